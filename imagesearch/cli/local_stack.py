"""The one-machine edition as `serve` and `search` open it, its start shown on stderr."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
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
    with err.status(f"Loading the model {escape(printable(settings.model))}") as status:
        # Of what a start makes nearly all stays: to look for garbage in it takes a tenth of it.
        gc.disable()
        try:
            from imagesearch.local.embedded.stack import running_stack  # here: it takes a second

            with running_stack(settings, note) as stack:
                gc.freeze()
                gc.enable()
                status.stop()
                yield stack
        finally:
            gc.enable()


def reachable_url(address: str, port: int) -> str:
    """Return the URL by which this machine reaches a server that listens on *address*."""
    any_address = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
    host = any_address.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
