"""The extra `torch`, which a CPU with OpenVINO does without: what needs it says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# With this Python, in which imagesearch is installed, from a checkout or a wheel: the `pip` on the
# PATH may install for another one, as beside a checkout's .venv or pipx.
_PYTHON = f'"{sys.executable}"' if " " in sys.executable else sys.executable
INSTALL = f'{_PYTHON} -m pip install "imagesearch[torch]"'


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
        raise ModuleNotFoundError(f"{reason}: {INSTALL}", name=error.name) from error
