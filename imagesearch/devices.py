"""What computes a model here: the CPU, or a GPU that torch drives."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from imagesearch.installation import pip_install
from imagesearch.named_models import checkpoint_of

logger = logging.getLogger(__name__)


def checkpoint_here(model: str) -> str:
    """Return the checkpoint that *model* means on this machine, where it is a name."""
    return checkpoint_of(model, fastest_device)


def fastest_device() -> str:
    """Return cuda when there is a GPU for it; torch, which takes long to import, knows for sure."""
    if not may_have_cuda(sys.platform, has_driver=Path("/dev/nvidiactl").exists()):
        return "cpu"
    try:
        import torch
    except ModuleNotFoundError:
        command = pip_install("imagesearch[torch]")
        logger.info("the CPU computes; a GPU for CUDA needs torch: %s", command)
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def may_have_cuda(platform: str, *, has_driver: bool) -> bool:
    """Return False where `sys.platform` or, on Linux, a missing driver leaves no CUDA to ask."""
    return platform != "darwin" and (platform != "linux" or has_driver)
