"""Both towers as OpenVINO graphs, each made from a checkpoint's weights in half a second.

Nothing is converted or kept on disk, and torch is not imported. `torch.py` computes the same where
this cannot.
"""

# ruff: noqa: E402 - OpenVINO is imported when what would report on it is out of the way

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Imported with OpenVINO, it makes a folder in the home for what it would report. Without it,
# OpenVINO takes a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# It converts the models of others, and its import takes a tenth of a second.
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
import openvino as ov
from openvino import opset13 as op

from imagesearch.domain.images import Embeddings
from inference_service.batcher import cores
from inference_service.checkpoint import Weights
from inference_service.family import Family
from inference_service.images import Framing
from inference_service.runtimes.layers import Layers, Tensor
from inference_service.text_rows import TextRows

_ALL_CORES = {"PERFORMANCE_HINT": "LATENCY"}
_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
# Tokens that keep all cores busy. Texts that have fewer together are one row; of more, each is a
# row. A text of so many is computed alone: several at once would be a quarter cheaper, and OpenVINO
# would rearrange weights of a base size anew for them, and hold 130 MB more.
_LONG = 64
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "quick_gelu": lambda x: op.swish(x, _constant(np.float32(1.702))),
    "gelu": lambda x: op.gelu(x, "erf"),
    "gelu_pytorch_tanh": lambda x: op.gelu(x, "tanh"),
}


class OpenVinoTowers:
    """
    Both towers, compiled for this processor: for texts at the start, for pictures when first used.

    A query gets all cores, be it a text or a picture. Of a batch of images each core has some to
    itself. OpenVINO's own threads do their arithmetic with the niceness of the thread that first
    embeds some, so the vision tower is compiled twice: they would else take the cores from the
    queries, or have a query's picture wait for a batch.
    """

    image_batch = 4  # larger ones are hardly faster, and at the end of a pool a core waits longer

    def __init__(
        self, family: Family, weights: Weights, framing: Framing, *, in_float32: bool = False
    ) -> None:
        """Raise RuntimeError when OpenVINO does not take the graph."""
        self.image_threads = threads = cores()
        parts = (family, weights, framing)
        precision = _FLOAT32 if in_float32 else {}
        all_cores = {**_ALL_CORES, **precision}
        streams = {"NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads, **precision}
        self._is_causal = family.is_causal
        self._text = _request(_compiled(_text(family, _OpenVinoLayers(*parts)), all_cores))
        self._images = _Vision(family, lambda: _OpenVinoLayers(*parts), streams)
        # In bfloat16 the matrices, which come with each picture, would be rounded each time.
        self._picture = _Vision(family, lambda: _LayersInPlace(*parts), {**_ALL_CORES, **_FLOAT32})

    def embed_tokens(self, ids: NDArray[np.int32], places: NDArray[np.int32]) -> Embeddings:
        """Return (B, D) of unit norm from (B, T) tokens, each text read at its one of *places*."""
        alone = ids.shape[1] >= _LONG
        parts = [slice(row, row + 1) for row in range(len(ids))] if alone else [slice(None)]
        rows_of: Callable[..., TextRows] = partial(TextRows.of, causal=self._is_causal)
        if self._is_causal and (alone or len(ids) + places.sum() < _LONG):
            rows_of = TextRows.together
        return np.concatenate([self._text(*rows_of(ids[part], places[part])) for part in parts])

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return (B, D) of unit norm from (B, H, W, 3) pixels."""
        return self._images(pixels)

    def embed_query_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return the same on all cores, and with the niceness of the thread that asks."""
        return self._picture(pixels)


class _Vision:
    """The vision tower of *family*, made when first called, and then run by each thread itself."""

    def __init__(
        self,
        family: Family,
        make_layers: Callable[[], _OpenVinoLayers],
        options: dict[str, Any],
    ) -> None:
        self._family = family
        self._make_layers = make_layers
        self._options = options
        self._compiling = threading.Lock()
        self._make_request: Callable[[], Callable[..., Embeddings]] | None = None
        self._of_thread = threading.local()

    def __call__(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return the model's output; RuntimeError when OpenVINO fails."""
        if not hasattr(self._of_thread, "run"):
            self._of_thread.run = self._compile()()
        embeddings: Embeddings = self._of_thread.run(pixels)
        return embeddings

    def _compile(self) -> Callable[[], Callable[..., Embeddings]]:
        with self._compiling:
            if self._make_request is None:
                layers = self._make_layers()
                compiled = _compiled(_vision(self._family, layers), self._options)
                self._make_request = partial(_request, compiled, layers.matrices)
            return self._make_request


def _compiled(model: ov.Model, options: dict[str, Any]) -> Any:
    # On a processor without bfloat16 float32 is what OpenVINO takes anyway; with it, see
    # docs/decisions/0030. A thread that is pinned to a core waits for it while another is free.
    return ov.Core().compile_model(model, "CPU", {**options, "ENABLE_CPU_PINNING": False})


def _request(
    compiled: Any, matrices: Sequence[NDArray[np.float32]] = ()
) -> Callable[..., Embeddings]:
    """Return what runs *compiled* on its inputs, of which the last are always *matrices*."""
    request = compiled.create_infer_request()
    first = len(compiled.inputs) - len(matrices)
    for place, matrix in enumerate(matrices, start=first):
        request.set_input_tensor(place, ov.Tensor(matrix, shared_memory=True))

    def run(*inputs: NDArray[Any]) -> Embeddings:
        for place, array in enumerate(inputs):  # `infer` takes twice as long to hand them over
            request.set_input_tensor(place, ov.Tensor(array))
        request.infer()
        # A copy: the request writes its next answer to the same place.
        embeddings = np.array(request.get_output_tensor().data, np.float32)  # (B, P, D)
        return embeddings.reshape(-1, embeddings.shape[-1])

    return run


def _text(family: Family, layers: Layers) -> ov.Model:
    rows = TextRows(*(op.parameter(ov.PartialShape([-1, -1]), np.int32) for _ in range(3)))
    if family.is_causal:
        rows = replace(rows, mask=op.parameter(ov.PartialShape([-1, 1, -1, -1]), np.float32))
    return ov.Model([_unit(family.text(layers, rows))], [*rows], "text")


def _vision(family: Family, layers: _OpenVinoLayers) -> ov.Model:
    side = family.image_side
    pixels = op.parameter(ov.PartialShape([-1, side, side, 3]), np.uint8)
    embeddings = _unit(family.vision(layers, pixels))
    return ov.Model([embeddings], [pixels, *layers.inputs], "vision")


def _unit(x: Tensor) -> Tensor:
    """Return (B, P, D) of unit norm."""
    return op.divide(x, op.reduce_l2(x, _longs(-1), True))  # not finite stays not finite


class _OpenVinoLayers(Layers):
    """
    Makes nodes of a graph.

    Attributes:
        inputs, matrices: weights that are inputs of the graph, and what they are given each time.
    """

    def __init__(self, family: Family, weights: Weights, framing: Framing) -> None:
        self.inputs: list[Tensor] = []
        self.matrices: list[NDArray[np.float32]] = []
        self._parameters = family.parameters
        self._weights = weights
        self._framing = framing

    def has(self, name: str) -> bool:
        return name in self._parameters

    def weight(self, name: str) -> Tensor:
        return _constant(self._weights[name])

    def patches(self, pixels: Tensor, name: str) -> Tensor:
        """With each patch a row, no convolution is needed."""
        _, _, patch, _ = self._parameters[f"{name}.weight"]
        n = pixels.get_partial_shape()[1].get_length() // patch
        covered = op.slice(
            pixels, _ints(0, 0), _ints(n * patch, n * patch), _ints(1, 1), _ints(1, 2)
        )
        rows = op.reshape(
            op.transpose(
                op.reshape(covered, _longs(-1, n, patch, n, patch, 3), False),
                _longs(0, 1, 3, 2, 4, 5),
            ),
            _longs(0, n * n, patch * patch * 3),
            True,
        )
        weight, bias = self._patch_embedding(name)
        return self.affine(op.convert(rows, "f32"), _constant(weight), _constant(bias))

    def _patch_embedding(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weight and bias that take raw pixels: they do the normalisation, too."""
        weight = self._weights[f"{name}.weight"]
        weight = weight.transpose(0, 2, 3, 1).astype(np.float64)  # (D, h, w, 3), as pixels lie
        bias = (weight * self._framing.offset).sum(axis=(1, 2, 3))
        if self.has(f"{name}.bias"):
            bias += self._weights[f"{name}.bias"]
        weight = (weight * self._framing.scale).reshape(len(weight), -1)
        return weight.astype(np.float32), bias.astype(np.float32)

    def rows(self, x: Tensor, begin: int, end: int) -> Tensor:
        return op.slice(x, _ints(begin), _ints(end), _ints(1), _ints(0))

    def lookup(self, table: Tensor, ids: Tensor) -> Tensor:
        return op.gather(table, ids, _int(0))

    def at(self, x: Tensor, places: Tensor | int) -> Tensor:
        if isinstance(places, int):
            return op.gather(x, _ints(places), _int(1))
        return op.gather(x, places, _int(1), 1)

    def mask_at(self, mask: Tensor, places: Tensor) -> Tensor:
        return op.gather(mask, places, _int(2), 1)

    def repeated(self, x: Tensor, like: Tensor) -> Tensor:
        batch = op.concat([_size(like, 0), _ints(1, 1)], 0)
        return op.tile(op.reshape(x, _longs(1, 1, -1), False), batch)

    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        return op.concat([x, y], 1)

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = op.matmul(x, weight, False, True)
        return x if bias is None else op.add(x, bias)

    def normalised(self, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        x = op.mvn(x, _longs(-1), True, epsilon, "inside_sqrt")
        return op.add(op.multiply(x, weight), bias)

    def activated(self, x: Tensor, activation: str) -> Tensor:
        return _ACTIVATIONS[activation](x)

    def attention(
        self, queries: Tensor, keys: Tensor, values: Tensor, heads: int, mask: Tensor | None
    ) -> Tensor:
        inputs = [_heads(x, heads) for x in (queries, keys, values)]
        if mask is not None:
            inputs.append(mask)
        attended = op.transpose(op.scaled_dot_product_attention(*inputs), _longs(0, 2, 1, 3))
        return op.reshape(attended, _longs(0, 0, -1), True)


class _LayersInPlace(_OpenVinoLayers):
    """
    Makes nodes of a graph that reads matrices where they lie.

    Of a constant OpenVINO makes a copy, rearranged, in each graph: 330 MB of ViT-B/32. With what is
    an input it cannot. A picture takes a quarter more arithmetic that way.
    """

    def weight(self, name: str) -> Tensor:
        matrix = self._weights[name]
        if matrix.ndim != 2:
            return _constant(matrix)
        # Were its width given, OpenVINO would set memory aside to copy it to.
        node = op.parameter(ov.PartialShape([len(matrix), -1]), np.float32)
        self.inputs.append(node)
        self.matrices.append(matrix)
        return node


def _heads(x: Tensor, heads: int) -> Tensor:
    split = op.reshape(x, _longs(0, 0, heads, -1), True)  # (B, T, heads, d)
    return op.transpose(split, _longs(0, 2, 1, 3))


def _size(x: Tensor, axis: int) -> Tensor:
    """Return (1,): how long *x* is along *axis*."""
    return op.slice(op.shape_of(x, "i32"), _ints(axis), _ints(axis + 1), _ints(1), _ints(0))


def _constant(array: NDArray[Any] | np.float32) -> Tensor:
    if not np.ndim(array):
        return op.constant(array)
    return op.constant(np.ascontiguousarray(array), shared_memory=True)  # a copy of each is 600 MB


def _int(value: int) -> Tensor:
    return op.constant(np.int32(value))


def _ints(*values: int) -> Tensor:
    return op.constant(np.array(values, np.int32))


def _longs(*values: int) -> Tensor:
    return op.constant(np.array(values, np.int64))
