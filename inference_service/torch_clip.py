"""CLIP's two towers by `transformers` and torch: on CUDA, and where OpenVINO is not to be had.

`openvino_clip.py` computes the same; `clip.py` says which of them is used.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPConfig, CLIPModel
from transformers.utils.logging import disable_progress_bar

from imagesearch.domain.images import Embeddings
from inference_service.checkpoint import Config, Weights, logit_scale
from inference_service.images import Framing


class TorchTowers:
    """
    Both towers on one device.

    On a GPU a query overtakes the pictures that are queued there, and each thread that embeds
    pictures has a queue of its own: while one computes, another's bytes are copied.
    """

    def __init__(
        self,
        config: Config,
        weights: Weights,
        framing: Framing,
        device: str,
        dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            dtype: what it computes in; by default bfloat16 on a GPU that has it, else float32.

        Raises:
            ValueError: the weights are not those of the model.
        """
        self._device = torch.device(device)
        fast = self._on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = dtype or (torch.bfloat16 if fast else torch.float32)
        self.image_batch, self.image_threads = (64, 2) if self._on_gpu else (16, 1)
        config.check_weights(weights)
        self.logit_scale = logit_scale(weights)
        model = _model(config, weights)
        # The bytes of a picture lie with its colours last, and so lie the weights that meet them.
        self._model = model.to(device=self._device, dtype=dtype).to(  # type: ignore[call-arg]  # its stub lost self
            memory_format=torch.channels_last
        )
        self._scale = torch.tensor(framing.scale, device=self._device)  # (3,)
        self._offset = torch.tensor(framing.offset, device=self._device)
        self._streams = threading.local()
        if self._on_gpu:
            torch.cuda.synchronize(self._device)  # what is copied must be there for every stream

    @torch.inference_mode()
    def embed_tokens(self, ids: NDArray[np.int32], ends: NDArray[np.int32]) -> Embeddings:  # noqa: ARG002 - the library finds the end itself
        """Return (B, D) of unit norm from (B, T) tokens, padded with the end token."""
        with self._own_stream(priority=-1):  # the lower number goes first
            tokens = self._sent(torch.from_numpy(ids)).long()
            return _unit(self._model.get_text_features(tokens).pooler_output)

    @torch.inference_mode()
    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return (B, D) of unit norm from (B, H, W, 3) pixels, which travel as bytes."""
        with self._own_stream(priority=0):
            raw = self._sent(torch.from_numpy(pixels))
            normal = (raw * self._scale + self._offset).to(self._model.dtype)
            # As the bytes lie, (B, 3, H, W) is in the memory format channels_last.
            features = self._model.get_image_features(normal.permute(0, 3, 1, 2))
            return _unit(features.pooler_output)

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


def _unit(features: torch.Tensor) -> Embeddings:
    features = features.float()
    unit: Embeddings = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()  # (B, D)
    return unit


def _model(config: Config, weights: Weights) -> CLIPModel:
    disable_progress_bar()  # type: ignore[no-untyped-call]
    parameters = {name: torch.from_numpy(weights[name]) for name in config.parameters}
    parameters["logit_scale"] = torch.from_numpy(weights["logit_scale"]).reshape(())
    model: CLIPModel = CLIPModel.from_pretrained(
        None,
        config=_library_config(config),
        state_dict=parameters,
        dtype=torch.float32,
        attn_implementation="sdpa",  # flash attention, where the card has it
    )
    return model  # in evaluation mode


def _library_config(config: Config) -> CLIPConfig:
    text, vision = (
        {
            "hidden_size": tower.width,
            "intermediate_size": tower.inner,
            "num_hidden_layers": tower.layers,
            "num_attention_heads": tower.heads,
            "hidden_act": tower.activation,
            "layer_norm_eps": tower.epsilon,
        }
        for tower in (config.text, config.vision)
    )
    text |= {
        "vocab_size": config.tokens,
        "max_position_embeddings": config.max_tokens,
        "eos_token_id": config.end_token,
    }
    vision |= {"image_size": config.image_side, "patch_size": config.patch_side}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=config.embedding_dim)
