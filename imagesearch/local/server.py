"""How the servers of one machine are set up: the site, the demo gallery, the page of `emulators`.

What each part does is in `imagesearch/doors/asgi.py` and `imagesearch/doors/uvicorn_protocol.py`.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from imagesearch.domain.queries import MAX_TEXT_BYTES
from imagesearch.doors.asgi import AlwaysAnswered, BoundedBodies, KnownHosts, is_loopback
from imagesearch.doors.search_form import SEARCH_PATH, search_bound
from imagesearch.doors.uvicorn_protocol import Protocol
from imagesearch.settings import Settings

IN_HAND_BYTES = 200_000_000  # of bodies with pictures; no other request has a use for a body
# asyncio's backlog is also how many connections it accepts in one go, and each is some turns of the
# loop old before it can be refused: accepted by the thousand, they would take every descriptor.
ACCEPTED_AT_ONCE = 16
WAITING_TO_BE_ACCEPTED = 1024  # in the system's queue


class Server(uvicorn.Server):
    """uvicorn's server, with a queue before it that holds more than it accepts in one go."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(WAITING_TO_BE_ACCEPTED)


def server_config(
    app: ASGIApp,
    hosts: Collection[str] | None,
    *,
    protocol: type[Protocol] = Protocol,
    **options: Any,
) -> uvicorn.Config:
    """
    Return uvicorn's configuration for *app* behind its doors.

    Args:
        hosts: that are answered besides this machine's own names; None: all are.
        options: of uvicorn.
    """
    larger = {("POST", SEARCH_PATH): search_bound(IN_HAND_BYTES)}
    guarded: Any = BoundedBodies(app, most_bytes=MAX_TEXT_BYTES, larger=larger)
    if hosts is not None:
        guarded = KnownHosts(guarded, hosts)
    return uvicorn.Config(
        AlwaysAnswered(guarded),
        http=protocol,
        backlog=ACCEPTED_AT_ONCE,
        ws="none",  # nothing here speaks it, and what would is not imported
        loop="asyncio",  # the one in production: the extra `app` brings another
        lifespan="off",
        log_config=None,
        server_header=False,
        **options,
    )


def known_hosts(settings: Settings) -> frozenset[str] | None:
    """
    Return the hosts that the site answers besides this machine's own names; None: all.

    Whoever listens on an address of the network is known there by names that nobody can list.
    """
    address = settings.bind_address
    if "*" in settings.origins or not (address == "localhost" or is_loopback(address)):
        return None
    urls = (*settings.origins, settings.image_base_url)
    return frozenset(host for host in (urlsplit(url).hostname for url in urls) if host)
