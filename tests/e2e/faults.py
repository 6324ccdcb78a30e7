"""What breaks on demand: a TCP link that can be cut, and a gallery that counts and can hold.

The cloud edition that they are built into is in `cloud_counts.py`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from imagesearch.demo.gallery import create_gallery
from imagesearch.local.emulated.processes import HOST, free_port
from imagesearch.local.in_thread import listen, serving

_HELD_SECONDS = 0.02


class Link:
    """
    A port that leads to another one until it is cut: then it refuses, as a stopped server does.

    What is behind it keeps its data: Google's Firestore emulator has it in memory alone.
    """

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self._to_port = to_port
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    @property
    def address(self) -> str:
        """The host:port that clients are told."""
        return f"{HOST}:{self.port}"

    def mend(self) -> None:
        """Take connections, again too."""
        with self._lock:
            assert self._listener is None
            self._listener = socket.create_server((HOST, self.port), backlog=128)
        _thread(self._accept, self._listener)

    def cut(self) -> None:
        """Refuse connections, and break those that there are."""
        with self._lock:
            listener, self._listener = self._listener, None
            ends, self._ends = self._ends, set()
        if listener is not None:
            _shut(listener)
            listener.close()
        for end in ends:
            _shut(end)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                near, _ = listener.accept()
                _thread(self._join, near, listener)

    def _join(self, near: socket.socket, listener: socket.socket) -> None:
        with closing(near), suppress(OSError), self._connected() as far:
            with self._lock:
                if self._listener is not listener:  # cut meanwhile
                    return
                self._ends |= {near, far}
            back = _thread(_pump, far, near)
            _pump(near, far)
            back.join()
            with self._lock:
                self._ends -= {near, far}

    def _connected(self) -> socket.socket:
        far = socket.create_connection((HOST, self._to_port))
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return far


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):  # it was not connected any more
        one.shutdown(socket.SHUT_RDWR)


def _thread(target: object, *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


@contextmanager
def link(to_port: int) -> Iterator[Link]:
    """Yield a link to *to_port* that is cut at the end."""
    one = Link(to_port)
    one.mend()
    try:
        yield one
    finally:
        one.cut()


class CountingGallery:
    """
    The demo gallery with its requests counted, and its images held back on demand.

    Attributes:
        url: its base URL.
        listings: requests for a listing, by keyword.
        images: requests for an image, by the scene that it shows.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.listings: Counter[str] = Counter()
        self.images: Counter[str] = Counter()
        self._app: ASGIApp = create_gallery(url)
        self._left: int | None = None  # images until the rest is held; None: all are given

    def hold_after(self, images: int) -> None:
        """Give *images* more, and let requests for further ones wait."""
        self._left = images

    def release(self) -> None:
        """Give what was held, and all that is asked for from now on."""
        self._left = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the gallery does."""
        if scope["type"] == "http":
            await self._count(scope)
        await self._app(scope, receive, send)

    async def _count(self, scope: Scope) -> None:
        # One event loop runs this, so that nothing happens between a look and a count.
        path = scope["path"]
        if path == "/api/":
            self.listings[parse_qs(scope["query_string"].decode())["q"][0]] += 1
        if not path.startswith("/get/"):
            return
        # An address is "/get/{scene}-{expiry}-{signature}_{variant}.jpg", new in each listing.
        self.images[path.removeprefix("/get/").partition("-")[0]] += 1
        while self._left is not None and self._left <= 0:
            await asyncio.sleep(_HELD_SECONDS)
        if self._left is not None:
            self._left -= 1


@contextmanager
def counting_gallery() -> Iterator[CountingGallery]:
    """Serve a counting gallery on a free port, and stop it at the end."""
    with listen() as listener:
        gallery = CountingGallery(f"http://{HOST}:{listener.getsockname()[1]}")
        with serving(gallery, listener, "counting-gallery"):
            yield gallery
            gallery.release()
