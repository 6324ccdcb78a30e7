"""What towers are computed with: the few operations of a runtime, and the layers made of them.

A family writes its towers once, in these; `openvino.py` makes a graph of them, and `torch.py`
computes them at once.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from inference_service.json_part import JsonPart

ACTIVATIONS = ("quick_gelu", "gelu", "gelu_pytorch_tanh")
MOST_WIDTH = 65_536  # of any width or number of patches: bounds against typing errors
Tensor: TypeAlias = Any  # of the runtime's own type: it can be added
Shapes: TypeAlias = Iterator[tuple[str, tuple[int, ...]]]  # of parameters, with their names


@dataclass(frozen=True)
class Transformer:
    """
    The shape of one tower's transformer; the rest of it is in its weights.

    Attributes:
        name: what the names of its weights begin with.
        width: of what its layers pass on; a multiple of `heads`.
        inner: the width inside of a layer's perceptron.
    """

    name: str
    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    epsilon: float

    @classmethod
    def read(cls, name: str, config: JsonPart) -> Transformer:
        """Return what *config* says of it; ValueError where that cannot be."""
        width = config.whole("hidden_size", 1, MOST_WIDTH)
        heads = config.whole("num_attention_heads", 1, width)
        if width % heads:
            raise config.wrong("num_attention_heads", f"a divisor of hidden_size, {width}")
        if config.values["hidden_act"] not in ACTIVATIONS:
            raise config.wrong("hidden_act", f"one of {', '.join(ACTIVATIONS)}")
        return cls(
            name,
            layers=config.whole("num_hidden_layers", 1, 1000),
            heads=heads,
            width=width,
            inner=config.whole("intermediate_size", 1, MOST_WIDTH),
            activation=config.values["hidden_act"],
            epsilon=config.number("layer_norm_eps", 1e-12, 1.0),
        )

    def shapes(self) -> Shapes:
        """Yield the parameters of its layers."""
        for layer in range(self.layers):
            name = f"{self.name}.encoder.layers.{layer}"
            for part in ("q", "k", "v", "out"):
                yield from pair(f"{name}.self_attn.{part}_proj", self.width, self.width)
            yield from pair(f"{name}.layer_norm1", self.width)
            yield from pair(f"{name}.layer_norm2", self.width)
            yield from pair(f"{name}.mlp.fc1", self.inner, self.width)
            yield from pair(f"{name}.mlp.fc2", self.width, self.inner)

    def check_layers(self, names: Collection[str]) -> None:
        """Raise ValueError when the parameters *names* are of more layers than it has."""
        layer = re.compile(rf"{self.name}\.encoder\.layers\.(\d+)\.")
        most = max((int(match[1]) + 1 for name in names if (match := layer.match(name))), default=0)
        if most > self.layers:
            raise ValueError(
                f"config.json: num_hidden_layers of the {self.name} must be {most} as in the "
                f"weights, got {self.layers}"
            )


def pair(name: str, *shape: int) -> Shapes:
    """Yield a weight of *shape* and the bias that goes with it."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


class Layers(ABC):
    """
    The operations of a runtime over the parameters of one model.

    Shapes: B texts or pictures, T places of one (tokens or patches), D numbers for each.
    """

    # --- what each runtime does its own way

    @abstractmethod
    def has(self, name: str) -> bool:
        """Say whether the model has the parameter *name*."""

    @abstractmethod
    def weight(self, name: str) -> Tensor:
        """Return the parameter *name*."""

    @abstractmethod
    def patches(self, pixels: Tensor, name: str) -> Tensor:
        """
        Return (B, T, D) from raw pixels (B, H, W, 3) uint8, normalised as the framing says.

        What is left over beside the last whole patch is not looked at.

        Args:
            name: of the weight (D, 3, patch, patch), and of the bias where there is one.
        """

    @abstractmethod
    def rows(self, x: Tensor, begin: int, end: int) -> Tensor:
        """Return x[begin:end]."""

    @abstractmethod
    def lookup(self, table: Tensor, ids: Tensor) -> Tensor:
        """Return (B, T, D): of *table*, (N, D), the rows that *ids*, (B, T), number."""

    @abstractmethod
    def at(self, x: Tensor, places: Tensor | int) -> Tensor:
        """Return *x*, (B, T, D), at *places*: (B, P, D) at (B, P) of them, (B, 1, D) at one."""

    @abstractmethod
    def mask_at(self, mask: Tensor, places: Tensor) -> Tensor:
        """Return (B, 1, P, T): the rows of a mask, (B, 1, T, T), that are of *places*, (B, P)."""

    @abstractmethod
    def repeated(self, x: Tensor, like: Tensor) -> Tensor:
        """Return (B, 1, D), the parameter *x* of D numbers for each of *like*, (B, T, D)."""

    @abstractmethod
    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (B, T + U, D) of (B, T, D) and (B, U, D)."""

    @abstractmethod
    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return x @ weight.T + bias."""

    @abstractmethod
    def normalised(self, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        """Return the layer norm of *x* over its last axis."""

    @abstractmethod
    def activated(self, x: Tensor, activation: str) -> Tensor:
        """Return one of `ACTIVATIONS` of *x*."""

    @abstractmethod
    def attention(
        self, queries: Tensor, keys: Tensor, values: Tensor, heads: int, mask: Tensor | None
    ) -> Tensor:
        """
        Return (B, U, D) from (B, U, D), (B, T, D) and (B, T, D).

        Args:
            mask: (B, 1, U, T), added to the logits of every head; see `TextRows`.
        """

    # --- what is made of that

    def linear(self, x: Tensor, name: str) -> Tensor:
        """Return x by the weight *name*, and the bias where the model has one."""
        bias = self.weight(f"{name}.bias") if self.has(f"{name}.bias") else None
        return self.affine(x, self.weight(f"{name}.weight"), bias)

    def norm(self, x: Tensor, name: str, epsilon: float) -> Tensor:
        """Return the layer norm *name* of x."""
        return self.normalised(
            x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), epsilon
        )

    def perceptron(self, x: Tensor, name: str, activation: str) -> Tensor:
        """Return x through the two linear layers of the perceptron *name*."""
        inner = self.activated(self.linear(x, f"{name}.fc1"), activation)
        return self.linear(inner, f"{name}.fc2")

    def encode(self, tower: Transformer, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, T, D): *x* through all layers of *tower*."""
        for number in range(tower.layers):
            x = self._layer(tower, number, x, x, mask)
        return x

    def encode_at(
        self, tower: Transformer, x: Tensor, places: Tensor | int, mask: Tensor | None = None
    ) -> Tensor:
        """Return (B, P, D): the same at *places* alone, so that the last layer has less to do."""
        for number in range(tower.layers - 1):
            x = self._layer(tower, number, x, x, mask)
        seen = None if mask is None else self.mask_at(mask, places)
        return self._layer(tower, tower.layers - 1, x, self.at(x, places), seen)

    def _layer(
        self, tower: Transformer, number: int, x: Tensor, wanted: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Return the layer's output at the places *wanted*, which attend to all of *x*."""
        name = f"{tower.name}.encoder.layers.{number}"
        norm = self.norm(x, f"{name}.layer_norm1", tower.epsilon)
        asking = norm if wanted is x else self.norm(wanted, f"{name}.layer_norm1", tower.epsilon)
        queries, keys, values = (
            self.linear(source, f"{name}.self_attn.{part}_proj")
            for source, part in ((asking, "q"), (norm, "k"), (norm, "v"))
        )
        attended = self.attention(queries, keys, values, tower.heads, mask)
        x = wanted + self.linear(attended, f"{name}.self_attn.out_proj")
        y = self.norm(x, f"{name}.layer_norm2", tower.epsilon)
        return x + self.perceptron(y, f"{name}.mlp", tower.activation)
