"""CLIP's two towers by `transformers` and torch: on CUDA, and where OpenVINO is not to be had.

`openvino_clip.py` computes the same; `clip.py` says which of them is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPModel
from transformers.utils.logging import disable_progress_bar

from imagesearch.model import Embeddings
from inference_service.checkpoint import Config
from inference_service.images import Framing


class TorchTowers:
    """Both towers on one device; each is for one thread at a time."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        framing: Framing,
        device: str,
        dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            dtype: what it computes in; by default bfloat16 on a GPU that has it, else float32.

        Raises:
            ValueError: a part is missing or does not fit.
            OSError: a file is missing or unreadable.
        """
        on_gpu = device.startswith("cuda")
        fast = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = dtype or (torch.bfloat16 if fast else torch.float32)
        model = _load_model(folder, config)
        self.logit_scale = float(model.logit_scale.detach().exp())
        self._model = model.to(device=device, dtype=dtype)  # type: ignore[call-arg] # its stub lost self
        self._scale = torch.tensor(framing.scale, device=device, dtype=torch.float32)  # (3,)
        self._offset = torch.tensor(framing.offset, device=device, dtype=torch.float32)

    @torch.inference_mode()
    def embed_tokens(self, ids: NDArray[np.int32], ends: NDArray[np.int32]) -> Embeddings:  # noqa: ARG002 - the library finds the end itself
        """Return (B, D) of unit norm from (B, T) tokens, padded with the end token."""
        tokens = torch.from_numpy(ids).long().to(self._model.device)
        return _unit(self._model.get_text_features(tokens).pooler_output)

    @torch.inference_mode()
    def embed_pixels(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Return (B, D) of unit norm from (B, H, W, 3) pixels, which travel as bytes."""
        raw = torch.from_numpy(pixels).to(self._model.device)
        normal = (raw * self._scale + self._offset).to(self._model.dtype)
        # As the bytes lie, (B, 3, H, W) is in the memory format channels_last.
        return _unit(self._model.get_image_features(normal.permute(0, 3, 1, 2)).pooler_output)


def _unit(features: torch.Tensor) -> Embeddings:
    features = features.float()
    unit: Embeddings = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()  # (B, D)
    return unit


def _load_model(folder: Path, config: Config) -> CLIPModel:
    disable_progress_bar()  # type: ignore[no-untyped-call]
    loaded: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model: CLIPModel = loaded[0]  # in evaluation mode
    # The library would go on with random weights in place of what is missing.
    config.check_weights(sorted(set(model.state_dict()) - set(loaded[1]["missing_keys"])))
    return model
