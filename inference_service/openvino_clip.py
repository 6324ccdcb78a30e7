"""CLIP's two towers as OpenVINO graphs, each made from a checkpoint's weights in half a second.

Nothing is converted or kept on disk, and neither torch nor `transformers` is imported. Reading the
checkpoint is in `checkpoint.py`; `torch_clip.py` computes the same where this cannot.
"""

# ruff: noqa: E402 - OpenVINO is imported when what would report on it is out of the way

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Imported with OpenVINO, it makes a folder in the home for what it would report. Without it,
# OpenVINO takes a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov
from openvino import opset13 as op

from imagesearch.domain.images import Embeddings
from inference_service.batcher import cores
from inference_service.checkpoint import Config, Transformer, Weights, logit_scale
from inference_service.images import Framing

_UNSEEN = np.float32(-1e9)  # added to a logit of attention, it leaves a weight of exactly 0
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "quick_gelu": lambda x: op.swish(x, _constant(np.float32(1.702))),
    "gelu": lambda x: op.gelu(x, "erf"),
}


class OpenVinoTowers:
    """
    Both towers, compiled for this processor: for texts at the start, for pictures when first used.

    A query gets all cores. Of a batch of pictures each core has some to itself: a thread that
    calls `embed_pixels` does all of their arithmetic, and with its niceness. OpenVINO's own
    threads, which have none, would take the cores from the queries.
    """

    image_batch = 4  # larger ones are hardly faster, and at the end of a pool a core waits longer

    def __init__(self, config: Config, weights: Weights, framing: Framing) -> None:
        """
        Raises:
            ValueError: the weights are not those of the model.
            RuntimeError: OpenVINO does not take the graph.
        """
        config.check_weights(weights)
        self.logit_scale = logit_scale(weights)
        graph = _Graph(config, weights, framing)
        all_cores = {"PERFORMANCE_HINT": "LATENCY"}
        self._text = _request(_compiled(graph.text(), all_cores))
        self.image_threads = cores()
        self._vision = _Vision(graph.vision(), self.image_threads)

    def embed_tokens(self, ids: NDArray[np.int32], ends: NDArray[np.int32]) -> Embeddings:
        """Return (B, D) of unit norm from (B, T) tokens, each text read at its place in *ends*."""
        return self._text(ids, ends)

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return (B, D) of unit norm from (B, H, W, 3) pixels."""
        return self._vision(pixels)


class _Vision:
    """The graph *model*, compiled when first called, and then for each thread by itself."""

    def __init__(self, model: ov.Model, threads: int) -> None:
        self._model: ov.Model | None = model  # its weights are in mapped files
        self._threads = threads
        self._compiling = threading.Lock()
        self._compiled: Any = None
        self._of_thread = threading.local()

    def __call__(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return the model's output; RuntimeError when OpenVINO fails."""
        if not hasattr(self._of_thread, "run"):
            self._of_thread.run = _request(self._compile())
        embeddings: Embeddings = self._of_thread.run(pixels)
        return embeddings

    def _compile(self) -> Any:
        with self._compiling:
            if self._compiled is None:
                streams = {"NUM_STREAMS": self._threads, "INFERENCE_NUM_THREADS": self._threads}
                self._compiled = _compiled(self._model, streams)
                self._model = None
            return self._compiled


def _compiled(model: ov.Model | None, options: dict[str, Any]) -> Any:
    # On a processor without bfloat16 float32 is what OpenVINO takes anyway; with it, see
    # docs/decisions/0030. A thread that is pinned to a core waits for it while another is free.
    return ov.Core().compile_model(model, "CPU", {**options, "ENABLE_CPU_PINNING": False})


def _request(compiled: Any) -> Callable[..., Embeddings]:
    request = compiled.create_infer_request()

    def run(*inputs: NDArray[Any]) -> Embeddings:
        # A copy: the request writes its next answer to the same place.
        return np.array(request.infer(inputs)[0], np.float32)

    return run


@dataclass(frozen=True)
class _Graph:
    config: Config
    weights: Weights
    framing: Framing

    def text(self) -> ov.Model:
        """Return the graph of `embed_tokens`; no token sees a later one, so padding is unseen."""
        ids = op.parameter(ov.PartialShape([-1, -1]), np.int32)  # (B, T)
        ends = op.parameter(ov.PartialShape([-1]), np.int32)  # (B,)
        length = op.slice(op.shape_of(ids, "i32"), _ints(1), _ints(2), _ints(1), _ints(0))  # (1,)
        positions = self._w("text_model.embeddings.position_embedding.weight")
        x = op.add(
            op.gather(self._w("text_model.embeddings.token_embedding.weight"), ids, _int(0)),
            op.slice(positions, _ints(0), length, _ints(1), _ints(0)),
        )  # (B, T, D)
        seen = np.triu(np.full((self.config.max_tokens,) * 2, _UNSEEN), 1)
        mask = op.slice(_constant(seen), _ints(0, 0), op.concat([length, length], 0), _ints(1, 1))
        places = op.unsqueeze(ends, _int(1))  # (B, 1)
        end_mask = op.slice(
            op.gather(_constant(seen), places, _int(0)), _ints(0), length, _ints(1), _ints(2)
        )  # (B, 1, T)
        x = self._encode(
            self.config.text,
            x,
            mask,
            read=lambda y: op.gather(y, places, _int(1), 1),
            read_mask=op.unsqueeze(end_mask, _int(1)),
        )
        x = self._norm(x, "text_model.final_layer_norm", self.config.text.epsilon)
        return ov.Model([self._project(x, "text_projection")], [ids, ends], "text")

    def vision(self) -> ov.Model:
        """Return the graph of `embed_pixels`; with each patch a row, no convolution is needed."""
        side, patch, n = self.config.image_side, self.config.patch_side, self.config.patches
        pixels = op.parameter(ov.PartialShape([-1, side, side, 3]), np.uint8)
        covered = op.slice(
            pixels, _ints(0, 0), _ints(n * patch, n * patch), _ints(1, 1), _ints(1, 2)
        )
        patches = op.reshape(
            op.transpose(
                op.reshape(covered, _longs(-1, n, patch, n, patch, 3), False),
                _longs(0, 1, 3, 2, 4, 5),
            ),
            _longs(0, n * n, patch * patch * 3),
            True,
        )  # (B, N, P)
        x = self._linear(op.convert(patches, "f32"), *self._patch_embedding())
        first = self.weights["vision_model.embeddings.class_embedding"][None, None]  # (1, 1, D)
        count = op.slice(op.shape_of(pixels, "i32"), _ints(0), _ints(1), _ints(1), _ints(0))
        batch = op.concat([count, _ints(1, 1)], 0)
        x = op.concat([op.tile(_constant(first), batch), x], 1)  # (B, 1 + N, D)
        x = op.add(x, self._w("vision_model.embeddings.position_embedding.weight"))
        epsilon = self.config.vision.epsilon
        x = self._norm(x, "vision_model.pre_layrnorm", epsilon)  # the library's spelling
        zero = _ints(0)
        x = self._encode(self.config.vision, x, read=lambda y: op.gather(y, zero, _int(1)))
        x = self._norm(x, "vision_model.post_layernorm", epsilon)
        return ov.Model([self._project(x, "visual_projection")], [pixels], "vision")

    def _patch_embedding(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weight and bias that take raw pixels: they do the normalisation, too."""
        weight = self.weights["vision_model.embeddings.patch_embedding.weight"]
        weight = weight.transpose(0, 2, 3, 1).astype(np.float64)  # (D, h, w, 3), as pixels lie
        bias = (weight * self.framing.offset).sum(axis=(1, 2, 3))
        weight = (weight * self.framing.scale).reshape(len(weight), -1)
        return weight.astype(np.float32), bias.astype(np.float32)

    def _encode(
        self,
        tower: Transformer,
        x: Any,
        mask: Any = None,
        *,
        read: Callable[[Any], Any],
        read_mask: Any = None,
    ) -> Any:
        """Return (B, 1, D): after the last layer only the one place that *read* gives is wanted."""
        for layer in range(tower.layers - 1):
            x = self._layer(tower, layer, x, x, mask)
        return self._layer(tower, tower.layers - 1, x, read(x), read_mask)

    def _layer(self, tower: Transformer, number: int, x: Any, wanted: Any, mask: Any) -> Any:
        """Return the layer's output at the places *wanted*, which attend to all of *x*."""
        name = f"{tower.name}.encoder.layers.{number}"
        norm = self._norm(x, f"{name}.layer_norm1", tower.epsilon)
        asking = norm if wanted is x else self._norm(wanted, f"{name}.layer_norm1", tower.epsilon)
        parts = [
            self._heads(self._named(source, f"{name}.self_attn.{part}_proj"), tower.heads)
            for source, part in ((asking, "q"), (norm, "k"), (norm, "v"))
        ]
        inputs = parts if mask is None else [*parts, mask]
        attended = op.transpose(op.scaled_dot_product_attention(*inputs), _longs(0, 2, 1, 3))
        size = self.weights[f"{name}.layer_norm1.weight"].shape[0]
        attended = op.reshape(attended, _longs(0, 0, size), True)
        x = op.add(wanted, self._named(attended, f"{name}.self_attn.out_proj"))
        y = self._norm(x, f"{name}.layer_norm2", tower.epsilon)
        y = _ACTIVATIONS[tower.activation](self._named(y, f"{name}.mlp.fc1"))
        return op.add(x, self._named(y, f"{name}.mlp.fc2"))

    def _heads(self, x: Any, heads: int) -> Any:
        split = op.reshape(x, _longs(0, 0, heads, -1), True)  # (B, T, heads, d)
        return op.transpose(split, _longs(0, 2, 1, 3))

    def _norm(self, x: Any, name: str, epsilon: float) -> Any:
        x = op.mvn(x, _longs(-1), True, epsilon, "inside_sqrt")
        return op.add(op.multiply(x, self._w(f"{name}.weight")), self._w(f"{name}.bias"))

    def _named(self, x: Any, name: str) -> Any:
        return self._linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _linear(self, x: Any, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Any:
        return op.add(op.matmul(x, _constant(weight), False, True), _constant(bias))

    def _project(self, x: Any, name: str) -> Any:
        """Return (B, D) of unit norm."""
        x = op.matmul(op.squeeze(x, _longs(1)), self._w(f"{name}.weight"), False, True)
        return op.divide(x, op.reduce_l2(x, _longs(-1), True))  # not finite stays not finite

    def _w(self, name: str) -> Any:
        return _constant(self.weights[name])


def _constant(array: NDArray[Any] | np.float32) -> Any:
    if not np.ndim(array):
        return op.constant(array)
    return op.constant(np.ascontiguousarray(array), shared_memory=True)  # a copy of each is 600 MB


def _int(value: int) -> Any:
    return op.constant(np.int32(value))


def _ints(*values: int) -> Any:
    return op.constant(np.array(values, np.int32))


def _longs(*values: int) -> Any:
    return op.constant(np.array(values, np.int64))
