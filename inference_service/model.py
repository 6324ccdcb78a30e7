"""A CLIP in this process: texts and pictures in, embeddings out, one call at a time.

Its arithmetic is in `openvino_clip.py` and `torch_clip.py`; the queues before it in `clip.py`.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from imagesearch.domain.images import Embeddings
from imagesearch.ports import TextEmbedding
from inference_service.checkpoint import Config, Weights, read_tokenizer, read_weights
from inference_service.images import Decoding, Framing, Pixels, plan
from inference_service.processor_config import read_framing
from inference_service.torch_extra import INSTALL, torch_needed
from inference_service.typed_text import straightened

logger = logging.getLogger(__name__)


class Towers(Protocol):
    """
    A CLIP's text and vision towers: the first for one thread at a time, the second for several.

    Attributes:
        image_batch: how many pictures at once it takes to be fast.
        image_threads: how many threads that embed pictures it takes to keep the device busy.
    """

    logit_scale: float
    image_batch: int
    image_threads: int

    def embed_tokens(self, ids: NDArray[np.int32], ends: NDArray[np.int32]) -> Embeddings:
        """
        Return (B, D), rows of unit L2 norm.

        Args:
            ids: (B, T) tokens, padded with the end token.
            ends: (B,) where the end token of each is.
        """

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """
        Return (B, D), rows of unit L2 norm, from framed pixels (B, H, W, 3).

        The vision tower may be loaded by the first call alone; a process that scores makes none.
        """


@dataclass(frozen=True)
class Clip:
    """
    The towers of a model with its tokenizer and the framing of its images.

    Any thread may call `preprocess`, as many as the towers say `embed_images`, one `embed_texts`.
    """

    config: Config
    towers: Towers
    tokenizer: Tokenizer
    framing: Framing

    @classmethod
    def load(cls, folder: Path, device: str) -> Clip:
        """
        Load the checkpoint in *folder*, whatever precision it was saved in.

        Raises:
            ValueError: another architecture, or a part that is missing or does not fit.
            OSError: a file is missing or unreadable.
        """
        config, framing = Config.read(folder), read_framing(folder)
        _check_fit(config, framing)
        tokenizer = read_tokenizer(folder, config)
        weights = read_weights(folder)
        return cls(config, _towers(config, weights, framing, device), tokenizer, framing)

    def preprocess(self, data: bytes) -> Pixels:
        """
        Return the picture in *data*, resized and cropped as the checkpoint says.

        Raises:
            RejectedImage: as in `images.decode`.
        """
        return self.framed(self.plan(data))

    def plan(self, data: bytes) -> Decoding:
        """Return how *data* can be decoded, or raise RejectedImage; nothing is decoded yet."""
        return plan(data, draft_side=self.framing.draft_side)

    def framed(self, decoding: Decoding) -> Pixels:
        """Decode what was planned, resized and cropped; raise RejectedImage where it is damaged."""
        return self.framing.frame(decoding.picture())

    def embed_images(self, images: Sequence[Pixels]) -> Embeddings:
        """Return (len(images), embedding_dim), rows of unit L2 norm."""
        return self.towers.embed_pixels(np.stack(images))

    def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """Return for each text its embedding, of unit L2 norm."""
        encodings = [self.tokenizer.encode(straightened(text)) for text in texts]
        tokens = [self._to_the_end(encoding) for encoding in encodings]
        ends = np.array([len(one) - 1 for one in tokens], np.int32)
        ids = np.zeros((len(tokens), ends.max() + 1), np.int32)
        for row, one in zip(ids, tokens, strict=True):
            row[:] = one[-1]
            row[: len(one)] = one
        vectors = self.towers.embed_tokens(ids, ends)
        truncated = [bool(encoding.overflowing) for encoding in encodings]
        return [TextEmbedding(*pair) for pair in zip(vectors, truncated, strict=True)]

    def _to_the_end(self, encoding: Encoding) -> NDArray[np.int32]:
        """Return the tokens to the one at which the model reads, which sees none after it."""
        ids = np.array(encoding.ids, np.int32)
        end = ids.max() if self.config.ends_at_largest else self.config.end_token
        return ids[: int((ids == end).argmax()) + 1]


def _check_fit(config: Config, framing: Framing) -> None:
    taken, given = (config.image_side,) * 2, framing.shape
    if given != taken:
        gives = "images of many sizes" if given is None else f"images of {given[0]} x {given[1]}"
        raise ValueError(
            f"its image processor gives {gives}, and its model takes {taken[0]} x {taken[1]}"
        )


def _towers(config: Config, weights: Weights, framing: Framing, device: str) -> Towers:
    why_torch = "CUDA is asked for, which torch drives"
    if device == "cpu":
        why_torch = "OpenVINO is not installed, and without it torch computes the model"
        if importlib.util.find_spec("openvino"):
            from inference_service.openvino_clip import OpenVinoTowers

            try:
                return OpenVinoTowers(config, weights, framing)
            except RuntimeError as error:  # what OpenVINO raises
                logger.warning("OpenVINO does not take the model, torch does: %s", error)
                why_torch = "OpenVINO does not take the model, and torch might"
    with torch_needed(why_torch):
        from inference_service.torch_clip import TorchTowers  # here: it takes seconds to import

    return TorchTowers(config, weights, framing, device)


def fastest_device() -> str:
    """Return cuda when there is a GPU for it; torch, which takes long to import, knows for sure."""
    has_no_cuda = sys.platform == "darwin" or (
        sys.platform == "linux" and not Path("/dev/nvidiactl").exists()
    )
    if has_no_cuda:
        return "cpu"
    try:
        import torch
    except ModuleNotFoundError:
        logger.info("the CPU computes; a GPU for CUDA needs torch: %s", INSTALL)
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"
