"""An ASGI app served from a thread of this process, with no part in its signals."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from imagesearch.doors.uvicorn_protocol import Protocol
from imagesearch.local.server import Server, server_config

START_SECONDS = 10.0
STOP_SECONDS = 2  # for answers in hand


class BesideProtocol(Protocol):
    """The HTTP of a server that most people do not ask."""

    share = 0.125


def listen(port: int = 0, address: str = "127.0.0.1") -> socket.socket:
    """
    Return a listener on *port* of *address*, by default a free one.

    Raises:
        OSError: another listens there, or *address* is not of this machine.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only for sockets that name
    # it; without, each answer waits 40 ms for a delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def serving(
    app: ASGIApp,
    listener: socket.socket,
    name: str,
    protocol: type[Protocol] = BesideProtocol,
) -> Iterator[None]:
    """
    Serve *app* on *listener*, to this machine alone, until the end of the context.

    Raises:
        RuntimeError: it did not start within `START_SECONDS`.
    """
    config = server_config(
        app,
        frozenset(),
        protocol=protocol,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # nobody stands in front, whatever a request says
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name=name, daemon=True
    )
    thread.start()
    try:
        _wait_for(server, thread)
        yield
    finally:
        server.should_exit = True
        thread.join()


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > give_up_at:
            raise RuntimeError(f"{thread.name} did not start within {START_SECONDS} s")
        time.sleep(0.01)
