"""Where a checkpoint is: a folder here, a folder inside of it, or a model id of the hub.

Reading what is in it is in `checkpoint.py`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from imagesearch.named_models import NAMED_MODELS
from inference_service.checkpoint_files import CARD, CONFIG_FILES, PICKLES, SAFETENSORS, matching
from inference_service.families import FAMILIES

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+)?", re.ASCII)
_WOULD_DO = f"a name is {' or '.join(NAMED_MODELS)}, and a hub id is OWNER/NAME"

_LICENCE = re.compile(r"license(_name)?:[ \t]*['\"]?([^\s'\"].*?)['\"]?[ \t]*", re.ASCII)
# cc-by-nc-4.0 and its like, nvidia's …-nc, apple-amlr, and whatever says it in words.
_NO_COMMERCE = re.compile(r"(?<![a-z])(nc|non-?commercial|research|amlr)(?![a-z])", re.IGNORECASE)
_CARD_CHARACTERS = 10_000  # of its front matter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelFolder:
    """
    A folder in the format of `transformers`.

    Attributes:
        name: what the checkpoint is called, whatever the folder is.
        commit: the hub's; None of a folder that was here.
    """

    path: Path
    name: str
    commit: str | None = None

    @classmethod
    def find(cls, model: str) -> ModelFolder:
        """
        Find *model*: a folder, or what is no path and no folder here, on the hub.

        Raises:
            OSError: there is none, or the hub does not have it or does not answer.
            ValueError: it is something else, or more than one.
        """
        path = Path(model).expanduser()
        if path.is_dir():
            outer = path.resolve()
            inner = _inner(outer)
            return cls(inner, _name(inner))
        if path.exists():
            raise ValueError("it is a file, where a folder with a config.json is needed")
        beside_others = (
            len(path.parts) > 1 and path.parent.is_dir()
        )  # models/none, beside models/demo
        if len(path.parts) == 1 and _HUB_ID.fullmatch(model):
            raise FileNotFoundError(f"there is no folder {path.absolute()}, and {_WOULD_DO}")
        if beside_others or not _HUB_ID.fullmatch(model):
            raise FileNotFoundError(f"there is no folder {path.absolute()}")
        try:
            outer = _download(model)
        except Exception as error:
            raise OSError(f"there is no folder {path.absolute()}, {_why(error)}") from error
        return cls(_inner(outer), model.rpartition("/")[2], commit=outer.name)

    @property
    def revision(self) -> str:
        """Its name and its weights revision; of a folder its files are read for it."""
        digits = self.commit or _digest(self.path)
        return f"{re.sub(r'[^A-Za-z0-9._-]', '_', self.name)[:48]}-{digits[:12]}"

    @property
    def forbidding_licence(self) -> str:
        """The licence that its card says, where that allows no commercial use; else empty."""
        is_inside = (self.path.parent / "modules.json").exists()
        for folder in (self.path, self.path.parent) if is_inside else (self.path,):
            said = _licence(folder / CARD)
            named = said.get("license_name") or said.get("license", "")
            if any(map(_NO_COMMERCE.search, said.values())):
                return named
        return ""


def _inner(folder: Path) -> Path:
    """
    Return *folder*, or the one inside of it that is a checkpoint.

    sentence-transformers puts one into a folder inside, the hub's cache into snapshots/COMMIT.
    """
    if _is_checkpoint(folder / "config.json"):
        return folder
    configs = [*folder.glob("*/config.json"), *folder.glob("snapshots/*/config.json")]
    checkpoints = sorted(config.parent for config in configs if _is_checkpoint(config))
    if len(checkpoints) > 1:
        names = ", ".join(str(checkpoint.relative_to(folder)) for checkpoint in checkpoints)
        raise ValueError(f"it holds several checkpoints, of which one must be named: {names}")
    if checkpoints:
        logger.info("the checkpoint in %s is %s", folder, checkpoints[0].relative_to(folder))
        return checkpoints[0]
    if not (folder / "config.json").exists():
        raise FileNotFoundError(_without_config(folder))
    return folder


def _name(folder: Path) -> str:
    """Return what a checkpoint here is called, whichever folder around it was named."""
    if (folder.parent / "modules.json").exists():
        return folder.parent.name
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name
    return folder.name


def _licence(card: Path) -> dict[str, str]:
    """Return `license` and `license_name` of the front matter of a model's card."""
    try:
        with card.open(encoding="utf-8-sig", errors="replace") as file:
            first, *lines = file.read(_CARD_CHARACTERS).splitlines() or [""]
    except OSError:
        return {}
    said: dict[str, str] = {}
    for line in takewhile(lambda each: each.rstrip() != "---", lines if first == "---" else ()):
        if match := _LICENCE.fullmatch(line):
            said[f"license{match[1] or ''}"] = match[2]
    return said


def _without_config(folder: Path) -> str:
    needed = "a checkpoint in the format of transformers, with a config.json, is needed"
    if next(folder.glob("open_clip*"), None):
        return f"it is a checkpoint of open_clip, and {needed}"
    if (folder / "modules.json").exists():
        return f"it is a model of sentence-transformers without a checkpoint inside, and {needed}"
    return f"it has no config.json: {needed}"


def _is_checkpoint(config: Path) -> bool:
    try:
        return bool(json.loads(config.read_bytes())["model_type"] in FAMILIES)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _download(model: str) -> Path:
    """Return the snapshot of *model* in the hub's cache; its last part is the commit."""
    from huggingface_hub import snapshot_download  # here: a folder needs none
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    outer = Path(snapshot_download(model, allow_patterns=[*CONFIG_FILES, CARD, *SAFETENSORS]))
    inner = _inner(outer)
    place = "" if inner == outer else f"{inner.name}/"
    for weights in (SAFETENSORS, PICKLES):
        if not matching(inner, SAFETENSORS):
            files = [place + pattern for pattern in (*CONFIG_FILES, *weights)]
            snapshot_download(model, allow_patterns=files)
    return outer


def _why(error: Exception) -> str:
    """Return why the hub gave nothing, in one sentence: its library's are of several lines."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    match error:
        case LocalEntryNotFoundError():
            return (
                "the hub cannot be reached, and its cache here lacks the model or a part of "
                "it: a network for its first use, or a folder that holds it, would do"
            )
        case GatedRepoError():
            return "and the hub gives it only to who has agreed to its terms there"
        case RepositoryNotFoundError():
            return "and the hub shows nobody such a model without a login"
    return f"and of the hub: {' '.join(str(error).split())}"


def _digest(folder: Path) -> str:
    configs = [path for pattern in CONFIG_FILES for path in folder.glob(pattern)]
    digest = hashlib.sha256()
    for path in sorted(configs) + (matching(folder, SAFETENSORS) or matching(folder, PICKLES)):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
