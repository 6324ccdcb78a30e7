"""Both towers by torch: on CUDA, and where OpenVINO is not to be had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from imagesearch.domain.images import Embeddings
from inference_service.checkpoint import Weights
from inference_service.family import Family
from inference_service.images import Framing
from inference_service.runtimes.layers import Layers
from inference_service.text_rows import TextRows

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu": functional.gelu,
    "gelu_pytorch_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}


class TorchTowers:
    """
    Both towers on one device.

    On a GPU a query overtakes the pictures that are queued there, and each thread that embeds
    pictures has a queue of its own: while one computes, another's bytes are copied.
    """

    def __init__(
        self,
        family: Family,
        weights: Weights,
        framing: Framing,
        device: str,
        precision: Literal["float32", "bfloat16"] | None = None,
    ) -> None:
        """Args: precision: by default bfloat16 on a GPU that has it, else float32."""
        self._device = torch.device(device)
        fast = self._on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = getattr(torch, precision or ("bfloat16" if fast else "float32"))
        self.image_batch, self.image_threads = (64, 2) if self._on_gpu else (16, 1)
        self._family = family
        self._layers = _TorchLayers(family, weights, framing, self._device, dtype)
        self._streams = threading.local()
        if self._on_gpu:
            torch.cuda.synchronize(self._device)  # what is copied must be there for every stream

    @torch.inference_mode()
    def embed_tokens(self, ids: NDArray[np.int32], places: NDArray[np.int32]) -> Embeddings:
        """Return (B, D) of unit norm from (B, T) tokens, each text read at its one of *places*."""
        with self._own_stream(priority=-1):  # the lower number goes first
            rows = TextRows.of(ids, places, causal=self._family.is_causal)
            sent = TextRows(*(self._sent(torch.from_numpy(array)) for array in rows))
            if sent.mask is not None:
                sent = replace(sent, mask=sent.mask.to(self._layers.dtype))
            return _unit(self._family.text(self._layers, sent))

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return (B, D) of unit norm from (B, H, W, 3) pixels, which travel as bytes."""
        return self._embedded(pixels, priority=0)

    def embed_query_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return the same, before the images that are queued."""
        return self._embedded(pixels, priority=-1)

    @torch.inference_mode()
    def _embedded(self, pixels: NDArray[np.uint8], priority: int) -> Embeddings:
        with self._own_stream(priority):
            return _unit(self._family.vision(self._layers, self._sent(torch.from_numpy(pixels))))

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    def _sent(self, array: torch.Tensor) -> torch.Tensor:
        """Return *array* on the device; from pinned memory the copy needs no processor."""
        if self._on_gpu:
            array = array.pin_memory()  # torch keeps the block until the copy has ended
        return array.to(self._device, non_blocking=True)

    def _own_stream(self, priority: int) -> AbstractContextManager[Any]:
        """Work in this thread's own queue of the GPU: waiting for it is for nobody else's work."""
        if not self._on_gpu:
            return nullcontext()
        if not hasattr(self._streams, "own"):
            stream: Any = torch.cuda.Stream  # its stub is untyped
            self._streams.own = stream(self._device, priority=priority)
        return torch.cuda.stream(self._streams.own)


def _unit(x: torch.Tensor) -> Embeddings:
    x = x.squeeze(1).float()
    unit: Embeddings = (x / x.norm(dim=-1, keepdim=True)).cpu().numpy()  # (B, D)
    return unit


class _TorchLayers(Layers):
    """Computes at once, in the type of its weights."""

    def __init__(
        self,
        family: Family,
        weights: Weights,
        framing: Framing,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.dtype = dtype
        self._weights = {
            name: _on_device(weights[name], device, dtype) for name in family.parameters
        }
        self._scale = torch.tensor(framing.scale, device=device)  # (3,)
        self._offset = torch.tensor(framing.offset, device=device)

    def has(self, name: str) -> bool:
        return name in self._weights

    def weight(self, name: str) -> torch.Tensor:
        return self._weights[name]

    def patches(self, pixels: torch.Tensor, name: str) -> torch.Tensor:
        weight = self._weights[f"{name}.weight"]
        normal = (pixels * self._scale + self._offset).to(self.dtype)
        # As the bytes lie, (B, 3, H, W) is in the memory format channels_last.
        x = functional.conv2d(
            normal.permute(0, 3, 1, 2),
            weight,
            self._weights.get(f"{name}.bias"),
            stride=weight.shape[-1],
        )
        return x.flatten(2).transpose(1, 2)

    def rows(self, x: torch.Tensor, begin: int, end: int) -> torch.Tensor:
        return x[begin:end]

    def lookup(self, table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return functional.embedding(ids, table)

    def at(self, x: torch.Tensor, places: torch.Tensor | int) -> torch.Tensor:
        if isinstance(places, int):
            return x[:, places, None]
        return x[torch.arange(len(x), device=x.device)[:, None], places]

    def mask_at(self, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return self.at(mask[:, 0], places)[:, None]

    def repeated(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, 1, -1).expand(len(like), 1, -1)

    def joined(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, y], 1)

    def affine(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        return functional.linear(x, weight, bias)

    def normalised(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], weight, bias, epsilon)

    def activated(self, x: torch.Tensor, activation: str) -> torch.Tensor:
        return _ACTIVATIONS[activation](x)

    def attention(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        heads: int,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (queries, keys, values))
        attended = functional.scaled_dot_product_attention(q, k, v, mask)
        return attended.transpose(1, 2).flatten(2)


def _on_device(
    array: NDArray[np.float32], device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    tensor = torch.from_numpy(array).to(device=device, dtype=dtype)
    # The bytes of a picture lie with its colours last, and so lie the weights that meet them.
    return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
