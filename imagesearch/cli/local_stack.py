"""The one-machine edition as `serve` and `search` open it, its start shown on stderr."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

from imagesearch.cli.terminal import err, note
from imagesearch.domain.printable import printable
from imagesearch.settings import Settings

if TYPE_CHECKING:
    from imagesearch.local.embedded.stack import Stack


@contextmanager
def opened_stack(settings: Settings) -> Iterator[Stack]:
    """Yield a running stack; what it raises is in `running_stack`."""
    loading = err.status(f"Loading the model {escape(printable(settings.model))}")
    with loading as status, ExitStack() as ending:
        with _no_looks_for_garbage():
            from imagesearch.local.embedded.stack import running_stack  # here: it takes a second

            stack = ending.enter_context(running_stack(settings, note))
        status.stop()
        yield stack


@contextmanager
def _no_looks_for_garbage() -> Iterator[None]:
    """Look for no garbage meanwhile: nearly all stays, and looks take a tenth of a start."""
    was_looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_looking:
            gc.enable()


def reachable_url(address: str, port: int) -> str:
    """Return the URL by which this machine reaches a server that listens on *address*."""
    any_address = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
    host = any_address.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
