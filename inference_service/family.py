"""What a family of models is: all that is not the same for every checkpoint with two towers.

Each family is a file in `families/`, and its import there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from inference_service.checkpoint import Weights
from inference_service.json_part import JsonPart
from inference_service.runtimes.layers import Layers, Tensor
from inference_service.text_rows import TextRows


@dataclass(frozen=True)
class Tokens:
    """
    Texts as a text tower takes them.

    Attributes:
        ids: (B, T) int32.
        places: (B,) int32, where in its row the tower reads a text's embedding.
        truncated: for each text whether a part of it is not in its row.
    """

    ids: NDArray[np.int32]
    places: NDArray[np.int32]
    truncated: Sequence[bool]


Tokenize = Callable[[Sequence[str]], Tokens]  # one thread at a time


class Family(Protocol):
    """
    A checkpoint's config.json, read as its family reads it, and what follows from it.

    Attributes:
        model_type: what config.json calls it.
        processor_defaults: what the family's image processor takes for a key that its file
            leaves out; `processor_config.py` lists the keys.
        is_causal: no token of a text sees a later one, so that several texts can be one row.
    """

    model_type: ClassVar[str]
    processor_defaults: ClassVar[Mapping[str, Any]]
    is_causal: ClassVar[bool]

    @classmethod
    def read(cls, config: JsonPart) -> Self:
        """Return what *config* says; ValueError where it says what cannot be."""

    @property
    def image_side(self) -> int:
        """Pixels of the square that the vision tower takes."""

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The name and the shape of each parameter that the towers are computed with."""

    def check(self, weights: Weights) -> None:
        """Raise ValueError when *weights* of the right names and shapes still fit no model."""

    def logit_scale(self, weights: Weights) -> float:
        """Return what a cosine is multiplied by to become a logit; ValueError: there is none."""

    def logit_bias(self, weights: Weights) -> float:
        """Return what is added to that then; ValueError: there is none, and the family has it."""

    def read_tokenizer(self, folder: Path) -> Tokenize:
        """
        Return the tokenizer in *folder*.

        Raises:
            OSError: there is none.
            ValueError: it does not fit the model.
        """

    def text(self, layers: Layers, rows: TextRows) -> Tensor:
        """Return (B, P, D) of any length, the embeddings of the texts in *rows*."""

    def vision(self, layers: Layers, pixels: Tensor) -> Tensor:
        """Return (B, 1, D) of any length, the embeddings of framed pixels (B, H, W, 3)."""
