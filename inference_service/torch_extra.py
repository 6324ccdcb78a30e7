"""The extra `torch`, which a CPU with OpenVINO does without; what needs it says so in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

INSTALL = 'pip install "imagesearch[torch]"'
_PACKAGES = ("torch", "transformers")


@contextmanager
def torch_needed(reason: str) -> Iterator[None]:
    """
    Import torch or `transformers` in the block.

    Args:
        reason: why they are needed, a clause in front of the command that installs them.

    Raises:
        ModuleNotFoundError: they are not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise ModuleNotFoundError(f"{reason}: {INSTALL}", name=error.name) from error
