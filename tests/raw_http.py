"""Requests as bytes on a socket, which no client library would send."""

from __future__ import annotations

import http.client
import json
import random
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

SECONDS = 30  # after which a server hangs; nothing here takes so long
HOST = b"Host: localhost\r\n"


@dataclass(frozen=True)
class Answer:
    """What came back; *ended* says whether the server closed the connection after it."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    ended: bool

    @property
    def error(self) -> dict[str, Any]:
        """The error, in the one form that all have."""
        assert self.headers["Content-Type"] == "application/json", self
        error = json.loads(self.body)["error"]
        assert set(error) <= {"code", "message", "field"}
        assert isinstance(error, dict)
        return error


def connect(port: int) -> socket.socket:
    """Return a connection to *port* of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def read(connection: socket.socket, method: str = "GET") -> Answer:
    """Return the answer on *connection*, which stays open for the caller to close."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    body = response.read()
    ended = response.headers.get("Connection", "").lower() == "close"
    if ended:
        assert _is_ended(connection)
    return Answer(response.status, response.headers, body, ended)


def _is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:  # closed while we were still sending
        return True


def ask(port: int, sent: bytes) -> Answer:
    """Send bytes to *port*, on a connection of their own, and return the answer."""
    with connect(port) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.sendall(sent)
        return read(connection)


def silent(port: int, number: int, path: str = "/") -> list[socket.socket]:
    """Return connections that announce a body of one byte and never send it."""
    connections = [connect(port) for _ in range(number)]
    for connection in connections:
        connection.sendall(
            b"POST %b HTTP/1.1\r\n%bContent-Length: 1\r\n\r\n" % (path.encode(), HOST)
        )
    return connections


def hostile_requests(number: int, seed: int) -> list[bytes]:
    """Return requests of which hardly any is as it should be, the same ones for a *seed*."""
    chosen = random.Random(seed)
    return [_hostile(chosen) for _ in range(number)]


def _hostile(chosen: random.Random) -> bytes:
    method = chosen.choice([b"GET", b"POST", b"OPTIONS", b"HEAD", b"get", b"", b"G\x00T", b"PRI"])
    target = chosen.choice(
        [
            b"/search?t=x&k=1",  # refused before anything is looked up
            b"/alive",
            b"*",
            b"/%zz",
            b"",
            b"/\xff",
            b"http://[/",
            b"//",
        ]
    )
    version = chosen.choice([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b"", b"HTTP/1.1 x"])
    headers = chosen.sample(
        [
            b"Host: localhost",
            b"Host: ",
            b"Content-Length: 3",
            b"Content-Length: 999999999999",
            b"Content-Length: -1",
            b"Content-Length: 1_0",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: chunked, chunked",
            b"Expect: 100-continue",
            b"Upgrade: websocket\r\nConnection: upgrade",
            b"X\x00: y",
            b"X: y\r\n folded",
            b"no colon",
            b"X: " + b"z" * chosen.choice([10, 9_000, 70_000]),
            b"Traceparent: \xff\xff",
            b"Range: bytes=9-1,-0",
        ],
        chosen.randrange(5),
    )
    body = chosen.choice([b"", b"abc", b"zz\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"\x00" * 100])
    sent = b"\r\n".join([b" ".join([method, target, version]), *headers, b"", body])
    return sent[: chosen.randrange(len(sent))] if chosen.random() < 0.1 else sent
