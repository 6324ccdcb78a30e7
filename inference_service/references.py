"""The captions that a model's hubness is measured with, embedded once and kept on disk.

What hubness is and does is in `imagesearch/domain/ranking.py`; decision 0063 says why.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagesearch.domain.images import Embedding, Embeddings
from imagesearch.ports import TextEmbedding

CAPTIONS = Path(__file__).with_name("reference_captions.txt")  # about photographs of anything
OWN_CAPTIONS = "references.txt"  # in a model's folder: of a model that knows something else
_NORM_ERROR = 1e-3
_TEXTS_AT_ONCE = 8
_UNTOLD_SECONDS = 2.0  # what takes no longer is over before anybody wonders

Tell = Callable[[str], object]  # is given a line for whoever waits

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReferenceCaptions:
    """
    The captions for one model, a line each.

    Attributes:
        digest: 12 digits of the sha256 of the captions; thresholds are good for these alone.
    """

    texts: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, folder: Path) -> ReferenceCaptions:
        """
        Return those in a model's *folder*, or else ours.

        Raises:
            OSError: they cannot be read.
            ValueError: there is none in the file, or it is not UTF-8.
        """
        own = folder / OWN_CAPTIONS
        file = own if own.exists() else CAPTIONS
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        texts = tuple(line for line in lines if line)
        if not texts:
            raise ValueError(f"{file.name} holds no caption")
        return cls(texts, hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12])

    def embedded(
        self,
        model_revision: str,
        embed: Callable[[Sequence[str]], list[TextEmbedding]],
        tell: Tell = logger.info,
        *,
        in_float32: bool = False,
    ) -> Embeddings:
        """
        Return their embeddings, (m, embedding_dim), as they are kept, or made and kept.

        Args:
            embed: the model of *model_revision*; for ours, a ViT-B/32 takes 5 s of CPU time, and
                a SigLIP of base size, which pads each to 64 tokens, 70 s.
            tell: is told what is being done once that has taken 2 s, and when it is over.
            in_float32: *embed* computes in that wherever it is; others' are not taken for its.
        """
        precision = "-float32" if in_float32 else ""
        file = cache_folder() / f"references-{model_revision}-{self.digest}{precision}.npy"
        embeddings = _read(file, len(self.texts))
        if embeddings is None:
            embeddings = self._made(model_revision, embed, tell)
            _write(file, embeddings)
        return embeddings

    def _made(
        self,
        model_revision: str,
        embed: Callable[[Sequence[str]], list[TextEmbedding]],
        tell: Tell,
    ) -> Embeddings:
        what = f"the {len(self.texts)} reference captions of {model_revision}"
        vectors: list[Embedding] = []
        began, is_told = time.monotonic(), False
        while len(vectors) < len(self.texts):
            part = self.texts[len(vectors) : len(vectors) + _TEXTS_AT_ONCE]
            vectors += [each.vector for each in embed(part)]
            seconds = time.monotonic() - began
            if seconds > _UNTOLD_SECONDS and not is_told:
                left = seconds * (len(self.texts) / len(vectors) - 1)
                tell(
                    f"Embedding {what}, some {left:.0f} seconds more:"
                    f" later starts read them from {cache_folder()}"
                )
                is_told = True
        if is_told:
            tell(f"Embedded {what} in {seconds:.0f} seconds")
        return np.array(vectors, np.float32)


def cache_folder() -> Path:
    """Return where this user's programs keep what they can make anew; it may not be there."""
    base = os.environ.get("XDG_CACHE_HOME", "")  # which counts when it is absolute, as XDG says
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "imagesearch"


def _read(file: Path, count: int) -> Embeddings | None:
    """Return what *file* holds; None when it is not there or not what was written."""
    try:
        embeddings = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s is made anew: %s", file.name, error)
        return None
    if embeddings.dtype != np.float32 or embeddings.ndim != 2 or len(embeddings) != count:
        logger.warning("%s is made anew: %s %s", file.name, embeddings.dtype, embeddings.shape)
        return None
    with np.errstate(all="ignore"):  # what overflows is no unit vector
        is_sound = np.abs(np.linalg.norm(embeddings, axis=1) - 1.0) < _NORM_ERROR
    if not is_sound.all():
        logger.warning("%s is made anew: it is damaged", file.name)
        return None
    sound: Embeddings = embeddings
    return sound


def _write(file: Path, embeddings: Embeddings) -> None:
    """Keep *embeddings*, whole or not at all; where that cannot be, each start makes them."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
            np.save(part, embeddings, allow_pickle=False)
        Path(part.name).chmod(0o644)  # in the image one user writes it, and another reads it
        Path(part.name).replace(file)
    except OSError as error:
        logger.info("%s cannot be kept, each start makes it: %s", file.name, error)
