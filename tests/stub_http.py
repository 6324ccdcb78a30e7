"""A scripted HTTP server on a real loopback socket, for tests of what talks HTTP.

The script sees each request and answers with raw bytes, so that a server can be rude on purpose.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One request: its path with the query, its header lines, and the socket it came by."""

    target: str
    headers: dict[str, str]
    connection: socket.socket

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query, decoded."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


# The bytes to answer with; none of them closes the connection.
Script = Callable[[Request], bytes]


def reply(status: int, body: bytes | str = b"", **headers: str) -> bytes:
    """Return a whole answer; *headers* are named with `_` for `-`."""
    data = body.encode() if isinstance(body, str) else body
    fields = {"Content_Length": str(len(data)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Stub", *lines, "", ""]).encode() + data


@dataclass
class StubServer:
    """
    Serves *script* from an ephemeral port until the `with` block ends.

    Attributes:
        requests: all that were read, in order.
        connections: how many were accepted.
        busiest: how many requests were being answered at once, at most.
        port: that it listens on.
        closing: set when the block ends; a script that waits should wait for it.
    """

    script: Script
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    busiest: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> StubServer:
        self._lock = threading.Lock()
        self._busy = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):  # wakes accept() on Linux
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def trickle(self, request: Request, data: bytes, seconds: float) -> bytes:
        """Send *data* byte by byte, *seconds* apart, until all is sent or the test is over."""
        with contextlib.suppress(OSError):
            for position in range(len(data)):
                request.connection.sendall(data[position : position + 1])
                if self.closing.wait(seconds):
                    break
        return b""

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.tls is not None:
                connection = self.tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._answer_all(connection)

    def _answer_all(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for request in _read_requests(connection, lines.readline):
                self.requests.append(request)
                with self._counted():
                    answer = self.script(request)
                if not answer:
                    return
                connection.sendall(answer)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1


def _read_requests(connection: socket.socket, readline: Callable[[], bytes]) -> Iterator[Request]:
    while first := readline():
        headers = {}
        while (line := readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        yield Request(first.decode("latin-1").split(" ")[1], headers, connection)
