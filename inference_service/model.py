"""A model in this process: texts and pictures in, embeddings out, one call at a time.

What it is made of is its family's business, in `families/`; its arithmetic is in `runtimes/`, the
queues before it are in `encoder.py`.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.images import Embeddings
from imagesearch.domain.pixels import PixelFacts
from imagesearch.named_models import BEST_ON_CPU
from imagesearch.ports import TextEmbedding
from inference_service.checkpoint import Weights, check_weights, read_weights
from inference_service.families import FAMILIES
from inference_service.family import Family, Tokenize
from inference_service.images import Decoding, Framing, Pixels, plan
from inference_service.json_part import JsonPart
from inference_service.pixel_facts import pixel_facts
from inference_service.processor_config import read_framing
from inference_service.torch_extra import torch_needed

logger = logging.getLogger(__name__)

_WOULD_DO = f"a SigLIP 2 of one resolution, such as {BEST_ON_CPU.hub_id}, would do"


class Towers(Protocol):
    """
    A text and a vision tower: for one thread at a time with queries, and for several with images.

    Attributes:
        image_batch: how many images at once it takes to be fast.
        image_threads: how many threads that embed images it takes to keep the device busy.
    """

    image_batch: int
    image_threads: int

    def embed_tokens(self, ids: NDArray[np.int32], places: NDArray[np.int32]) -> Embeddings:
        """Return (B, D), rows of unit L2 norm, from ids and places of `Tokens`."""

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """
        Return (B, D), rows of unit L2 norm, from framed pixels (B, H, W, 3).

        The vision tower may be loaded by the first call alone; a process that scores makes none.
        """

    def embed_query_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return the same of a query's picture, as soon as can be: it waits for no images."""


@dataclass(frozen=True)
class Framed:
    """A decoded picture as the model takes it, and what is kept of all its pixels."""

    pixels: Pixels
    facts: PixelFacts


@dataclass(frozen=True)
class Model:
    """
    The towers of a checkpoint with its tokenizer and the framing of its images.

    Any thread may call `preprocess`, as many as the towers say `embed_images`, and one each
    `embed_pictures` and `embed_texts`.

    Attributes:
        logit_scale, logit_bias: a logit is logit_scale x cosine + logit_bias.
    """

    family: Family
    towers: Towers
    tokenize: Tokenize
    framing: Framing
    logit_scale: float
    logit_bias: float

    @classmethod
    def load(cls, folder: Path, device: str, *, in_float32: bool = False) -> Model:
        """
        Load the checkpoint in *folder*, whatever precision it was saved in.

        Args:
            in_float32: it computes in that, and not in the fastest precision that *device* has.

        Raises:
            ValueError: another architecture, or a part that is missing or does not fit.
            OSError: a file is missing or unreadable.
            ModuleNotFoundError: it needs torch, which is not installed.
        """
        parts = Parts.read(folder)
        return parts.model(_towers(parts, device, in_float32=in_float32))

    def preprocess(self, data: bytes) -> Pixels:
        """
        Return the picture in *data*, resized and cropped as the checkpoint says.

        Raises:
            RejectedImage: as in `images.decode`.
        """
        return self.framed(self.plan(data)).pixels

    def plan(self, data: bytes) -> Decoding:
        """Return how *data* can be decoded, or raise RejectedImage; nothing is decoded yet."""
        return plan(data, draft_side=self.framing.draft_side)

    def framed(self, decoding: Decoding) -> Framed:
        """Decode what was planned, resized and cropped; raise RejectedImage where it is damaged."""
        picture = decoding.picture()
        return Framed(self.framing.frame(picture), pixel_facts(picture))

    def embed_images(self, images: Sequence[Pixels]) -> Embeddings:
        """Return (len(images), embedding_dim), rows of unit L2 norm."""
        return self.towers.embed_pixels(np.stack(images))

    def embed_pictures(self, pictures: Sequence[Pixels]) -> Embeddings:
        """Return the same of the pictures of queries, before all images."""
        return self.towers.embed_query_pixels(np.stack(pictures))

    def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """Return for each text its embedding, of unit L2 norm."""
        tokens = self.tokenize(texts)
        vectors = self.towers.embed_tokens(tokens.ids, tokens.places)
        return [TextEmbedding(*pair) for pair in zip(vectors, tokens.truncated, strict=True)]


@dataclass(frozen=True)
class Parts:
    """A checkpoint's files, read and held against each other; towers are made of them."""

    family: Family
    framing: Framing
    tokenize: Tokenize
    weights: Weights
    logit_scale: float
    logit_bias: float

    @classmethod
    def read(cls, folder: Path) -> Parts:
        """Raise what `Model.load` raises."""
        family = read_family(folder)
        framing = read_framing(folder, family.processor_defaults)
        _check_fit(family, framing)
        tokenize = family.read_tokenizer(folder)
        weights = read_weights(folder)
        check_weights(weights, family.parameters)
        family.check(weights)
        scale, bias = family.logit_scale(weights), family.logit_bias(weights)
        return cls(family, framing, tokenize, weights, scale, bias)

    def model(self, towers: Towers) -> Model:
        """Return the model that computes with *towers*."""
        logits = (self.logit_scale, self.logit_bias)
        return Model(self.family, towers, self.tokenize, self.framing, *logits)


def read_family(folder: Path) -> Family:
    """
    Read *folder*/config.json.

    Raises:
        OSError: there is none.
        ValueError: it is not the configuration of a model of one of the `FAMILIES`.
    """
    config = JsonPart.read(folder / "config.json")
    model_type = config.values.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        supported = " or ".join(map(repr, FAMILIES))
        raise ValueError(
            f"its model_type is {model_type!r}, and only {supported} is supported: {_WOULD_DO}"
        )
    return FAMILIES[model_type].read(config)


def _check_fit(family: Family, framing: Framing) -> None:
    taken, given = (family.image_side,) * 2, framing.shape
    if given != taken:
        gives = "images of many sizes" if given is None else f"images of {given[0]} x {given[1]}"
        raise ValueError(
            f"its image processor gives {gives}, and its model takes {taken[0]} x {taken[1]}"
        )


def _towers(parts: Parts, device: str, *, in_float32: bool) -> Towers:
    made_of = (parts.family, parts.weights, parts.framing)
    why_torch = "CUDA is asked for, which torch drives"
    if device == "cpu":
        why_torch = "OpenVINO is not installed, and without it torch computes the model"
        if importlib.util.find_spec("openvino"):
            from inference_service.runtimes.openvino import OpenVinoTowers

            try:
                return OpenVinoTowers(*made_of, in_float32=in_float32)
            except RuntimeError as error:  # what OpenVINO raises
                logger.warning("OpenVINO does not take the model, torch is tried: %s", error)
                why_torch = "OpenVINO does not take the model, and torch might"
    with torch_needed(why_torch):
        from inference_service.runtimes.torch import TorchTowers  # here: it takes seconds to import

    return TorchTowers(*made_of, device, "float32" if in_float32 else None)
