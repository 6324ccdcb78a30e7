"""`imagesearch serve`: the page and the API of the one-machine edition."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from imagesearch import logs
from imagesearch.cli.local_stack import opened_stack, reachable_url
from imagesearch.cli.options import DEMO_NOTE, DataDir, ModelName, SourceName, settings_with
from imagesearch.cli.terminal import link, out
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.printable import printable
from imagesearch.settings import Settings

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch serve\n"
    "  PORT=9000 imagesearch serve --data-dir ~/imagesearch\n"
    "  PIXABAY_API_KEY=... imagesearch serve --model best\n"
    "  SOURCE_CONTACT=you@example.org imagesearch serve --source commons\n"
)


def serve(
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address [127.0.0.1]")] = None,
    port: Annotated[
        str | None, typer.Option(metavar="PORT", help="Port; 0 takes a free one [8080]")
    ] = None,
    data_dir: DataDir = None,
    model: ModelName = None,
    source: SourceName = None,
) -> None:
    """Serve the page and the API until Ctrl-C."""
    # Only here, as they import uvicorn: a search starts faster without it.
    from imagesearch.compose.spans import export_spans
    from imagesearch.doors.uvicorn_protocol import raise_descriptor_limit
    from imagesearch.local.server import Server, known_hosts, server_config

    raise_descriptor_limit()
    settings = settings_with(
        bind_address=host, port=port, data_dir=data_dir, clip_model=model, source=source
    )
    logs.configure(settings.log_level)
    export_spans(settings)
    with _listening(settings) as listener:
        url = reachable_url(settings.bind_address, listener.getsockname()[1])
        with opened_stack(settings) as stack:
            stack.announce(url)
            stack.services.begin_reembedding()
            stack.services.begin_collections()
            stack.services.begin_forgetting()
            out.print(_greeting(settings, url))
            config = server_config(
                stack.app,
                known_hosts(settings),
                timeout_graceful_shutdown=10,
                # Else uvicorn believes whoever is on this machine.
                proxy_headers=settings.trusted_proxies > 0,
            )
            # uvicorn ends its requests, then raises the signal again: here it is heeded.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            gc.freeze()  # what the start made is there to the end, which looks at all else alone
            with suppress(KeyboardInterrupt):
                Server(config).run(sockets=[listener])


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    from imagesearch.local.in_thread import listen  # only here, as it imports uvicorn

    try:
        listener = listen(settings.port, settings.bind_address)
    except OSError as error:
        where = f"BIND_ADDRESS {settings.bind_address} and PORT {settings.port}"
        message = f"cannot listen on {where}: {error.strerror}; try PORT=0"
        raise InvalidRequest(message, field="PORT") from None
    with listener:
        yield listener


def _greeting(settings: Settings, url: str) -> Panel:
    opening = Text.assemble("Open ", link(url, url), " in a browser; Ctrl-C ends it.")
    where = (
        f"model {printable(settings.model)}\ndata  {printable(str(settings.data_dir.resolve()))}"
    )
    demo = [DEMO_NOTE, ""] if settings.is_demo else []
    return Panel(
        Group(opening, "", *demo, Text(where, "dim")),
        title="imagesearch",
        expand=False,
        padding=(1, 2),
    )
