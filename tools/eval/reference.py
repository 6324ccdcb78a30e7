"""Embeddings by `transformers`, which shares no code with the program."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ftfy
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

Array = NDArray[np.float64]
_AT_ONCE = 64
_CONTRAST = 16  # of 255; with less there is nothing to see


class Reference:
    """A CLIP or a SigLIP as `transformers` computes it, by its folder or its id on the hub."""

    def __init__(self, model: str) -> None:
        disable_progress_bar()
        self._model: Any = AutoModel.from_pretrained(model, dtype=torch.float32).eval()
        self._processor: Any = AutoImageProcessor.from_pretrained(model, backend="pil")
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model, padding_side="right")
        self._is_clip = self._model.config.model_type == "clip"
        self._most_tokens = self._model.config.text_config.max_position_embeddings

    def images(self, files: Sequence[Path]) -> Array:
        """Return unit vectors, (n, d), equal where pictures are."""
        framed = [self._processor(on_ground(file.read_bytes())) for file in files]
        pixels = [np.asarray(each["pixel_values"][0]) for each in framed]
        return _each_once(
            pixels,
            np.ndarray.tobytes,
            lambda some: self._model.get_image_features(torch.tensor(np.stack(some))),
        )

    def texts(self, texts: Sequence[str]) -> Array:
        """Return unit vectors, (t, d), equal where tokens are."""
        options = {"truncation": True, "max_length": self._most_tokens}
        ids = [self._tokenizer(self._cleaned(text), **options)["input_ids"] for text in texts]
        return _each_once(ids, tuple, self._features)

    def _features(self, ids: Sequence[Any]) -> Any:
        # No text of a CLIP sees its padding, and each of a SigLIP had all of it in training.
        padding = "longest" if self._is_clip else "max_length"
        padded = self._tokenizer.pad(
            {"input_ids": list(ids)},
            padding=padding,
            max_length=self._most_tokens,
            return_tensors="pt",
        )
        return self._model.get_text_features(padded["input_ids"])

    def _cleaned(self, text: str) -> str:
        """Return what a text was made in training, but for ftfy's guesses at a wrong encoding."""
        if not self._is_clip:
            return text.lower()
        fixed = ftfy.fix_text(text, fix_encoding=False, decode_inconsistent_utf8=False)
        return html.unescape(html.unescape(fixed)).lower()


def _each_once(
    inputs: Sequence[Any], key: Callable[[Any], Any], embed: Callable[[Sequence[Any]], Any]
) -> Array:
    """Return the unit vectors of *inputs*; equal ones are computed once, so that they tie."""
    different = {key(each): each for each in inputs}
    values, parts = (
        sorted(different.values(), key=len),
        [],
    )  # texts of a length pad each other least
    with torch.inference_mode():
        parts = [
            embed(values[first : first + _AT_ONCE]).pooler_output.double()
            for first in range(0, len(values), _AT_ONCE)
        ]
    vectors = torch.cat(parts)
    places = {key(each): place for place, each in enumerate(values)}
    units = np.asarray(vectors / vectors.norm(dim=1, keepdim=True))
    return units[[places[key(each)] for each in inputs]]


def on_ground(data: bytes) -> Image.Image:
    """Lay a picture on white, or on black where white shows nothing and black does."""
    with Image.open(io.BytesIO(data)) as image:
        picture = image.convert("RGBA")
    grounds = [
        Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture).convert("RGB")
        for ground in ("white", "black")
    ]
    return next((each for each in grounds if _shows_something(each)), grounds[0])


def _shows_something(picture: Image.Image) -> bool:
    extrema: Any = picture.getextrema()
    return any(high - low >= _CONTRAST for low, high in extrema)
