"""The extra `torch`, which a CPU with OpenVINO does without: what needs it says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imagesearch.installation import pip_install


@contextmanager
def torch_needed(reason: str) -> Iterator[None]:
    """
    Import torch in the block.

    Args:
        reason: why it is needed, a clause in front of the command that installs it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        command = pip_install("imagesearch[torch]")
        raise ModuleNotFoundError(f"{reason}: {command}", name=error.name) from error
