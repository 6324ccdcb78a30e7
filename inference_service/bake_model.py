"""Puts a checkpoint into a folder while the container image is built.

Of ours it imports `checkpoint_files.py` alone: a change of other code must not download weights.

Usage: python -m inference_service.bake_model MODEL REVISION FOLDER
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download

from inference_service.checkpoint_files import CONFIG_FILES, NOTES, PICKLES, SAFETENSORS


class CannotBake(Exception):
    """There is no such checkpoint, or it is not pinned."""


def bake(model: str, revision: str, folder: Path) -> None:
    """
    Copy the weights, configuration and tokenizer of *model* into *folder*, and nothing else.

    Args:
        model: a model id of the Hugging Face hub, or a folder, which has no revision.
        revision: the hub's commit, 40 hexadecimal digits; a branch or a tag may move.

    Raises:
        CannotBake: the folder is missing, the revision is no commit, or there are no weights.
    """
    if Path(model).is_dir():
        _copy(Path(model), folder, [*CONFIG_FILES, *NOTES, *(_weights(Path(model)))])
    elif model.startswith((".", "/", "~", "models/")):  # models/ is copied into the build
        raise CannotBake(f"there is no folder {model}")
    else:
        _download(model, revision, folder)
    if not _weights(folder):
        raise CannotBake(f"{model} has no weights: no {SAFETENSORS[0]} and no {PICKLES[0]}")


def _download(model: str, revision: str, folder: Path) -> None:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise CannotBake(
            f"CLIP_REVISION must be a commit of {model}, 40 hexadecimal digits, got {revision!r}; "
            f"https://huggingface.co/{model}/commits/main lists them"
        )
    for weights in (SAFETENSORS, PICKLES):
        if not _weights(folder):
            patterns = [*CONFIG_FILES, *weights]
            snapshot_download(model, revision=revision, allow_patterns=patterns, local_dir=folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the download's own notes


def _copy(source: Path, folder: Path, patterns: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        for path in source.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def _weights(folder: Path) -> list[str]:
    """Return the names of the weights in *folder*, in the one format that is loaded."""
    for patterns in (SAFETENSORS, PICKLES):
        if names := [path.name for pattern in patterns for path in folder.glob(pattern)]:
            return sorted(names)
    return []


def main() -> None:
    """Bake what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("revision")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    bake(arguments.model, arguments.revision, arguments.folder)


if __name__ == "__main__":
    main()
