"""HTTP GETs bounded in time, size and connections, to addresses that a guard has seen.

Limits and answers are values of `exchange.py`. Which addresses are public is in `addresses.py`,
which hosts images may come from, redirects and attempts are in `download.py`; the listings that are
read over the same client are each in its source's file.

urllib3 is used without requests. Its PoolManager may be shared by threads (a requests Session is
not documented to be), and by itself it keeps no cookies, reads no `.netrc`, and follows neither
redirects nor `HTTP_PROXY`. A proxy would be wrong twice: it resolves the names itself, so that a
check of the address here would say nothing, and it cannot reach the demo's loopback server.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from imagesearch.domain.errors import Unavailable
from imagesearch.sources.exchange import Limits, NotPublic, Reply

_CHUNK_BYTES = 65_536
USER_AGENT = "imagesearch"

Guard = Callable[[str, int, str], bool]  # (host, port, address) -> may it be connected to?


def anywhere(_host: str, _port: int, _address: str) -> bool:
    """Let every connection be made: the guard for a URL that the operator configured."""
    return True


class _NoConnection(urllib3.exceptions.HTTPError):
    """No connection was made; the message holds nothing but the host and the reason."""


class _NotPublicError(_NoConnection):
    """An address was refused by the guard."""


class _TimedReader(io.RawIOBase):
    """
    Reads a socket until a deadline.

    A socket's own time-out starts again with each byte, so a server that sends one byte a
    second would never be cut off.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, read_seconds: float) -> None:
        # urllib3 sets what is left of Timeout.total on the socket before it reads an answer.
        left = sock.gettimeout()
        self._deadline = time.monotonic() + (read_seconds if left is None else left)
        self._sock, self._raw, self._read_seconds = sock, raw, read_seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() >= self._deadline:
            raise TimeoutError("the total time is over")
        self._sock.settimeout(min(_left(self._deadline), self._read_seconds))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose status line, headers and body all end by the deadline."""

    def __init__(self, sock: socket.socket, *args: Any, read_seconds: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach(), read_seconds))


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)  # 0 would mean not to block at all


class _Connection(HTTPConnection):
    """
    A connection to an address that its guard has seen.

    The name is resolved once, here, and the connection is made to an address of that very
    answer; a name server that answers otherwise the next time (DNS rebinding) is not asked.
    TLS still checks the certificate against the name.
    """

    def __init__(self, *args: Any, guard: Guard, read_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard
        self.response_class = partial(  # type: ignore[assignment]  # called like the class
            _TimedResponse, read_seconds=read_seconds
        )

    def _new_conn(self) -> socket.socket:
        # The one place where urllib3 opens a socket, for http and https alike.
        addresses = self._resolve()
        refused = [
            address for address in addresses if not self._guard(self.host, self.port, address)
        ]
        if refused:
            raise _NotPublicError(f"{self.host}: {refused[0]} is not a public address")
        return self._connect(addresses)

    def _resolve(self) -> list[str]:
        try:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise _NoConnection(f"{self.host} cannot be resolved: it is no host name") from error
        except OSError as error:
            reason = _in_words(error)
            raise _NoConnection(f"{self.host} cannot be resolved: {reason}") from error
        return [str(address[0]) for *_, address in addresses]

    def _connect(self, addresses: list[str]) -> socket.socket:
        deadline = time.monotonic() + (self.timeout or 0.0)
        reason = "it has no address"
        for address in addresses:
            try:
                sock = socket.create_connection((address, self.port), timeout=_left(deadline))
            except OSError as error:
                reason = _in_words(error)
            else:
                sock.settimeout(_left(deadline))  # for the TLS handshake
                return sock
        raise _NoConnection(f"{self.host}: no connection: {reason}")


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Once for all connections to a host: reading the authorities takes some 30 ms.
        super().__init__(*args, ssl_context=_trusting_context(), **kwargs)


class HttpClient:
    """
    Plain GETs within *limits*, over at most *connections* at once to a host; for many threads.

    It follows no redirect, repeats nothing, and trusts the authorities that the system trusts.
    """

    def __init__(
        self, *, limits: Limits, connections: int, guard: Guard, user_agent: str = USER_AGENT
    ) -> None:
        self._limits = limits
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._pools = urllib3.PoolManager(maxsize=connections, block=True)
        extra: dict[str, Any] = {"guard": guard, "read_seconds": limits.read_seconds}
        self._pools.pool_classes_by_scheme = {
            "http": partial(_Pool, **extra),  # type: ignore[dict-item]  # called like the class
            "https": partial(_TlsPool, **extra),  # type: ignore[dict-item]
        }

    def get(self, url: str, *, total_seconds: float) -> Reply | Unavailable:
        """
        Return the answer for *url*, or why there is none after at most *total_seconds*.

        The failure is returned, not raised, and holds no other exception: *url* may carry a
        secret, and a traceback shows the frames and the causes it came through.
        """
        timeout = urllib3.Timeout(
            connect=self._limits.connect_seconds, total=max(total_seconds, 0.001)
        )
        try:
            response = self._pools.urlopen(
                "GET",
                url,
                headers=self._headers,
                timeout=timeout,
                preload_content=False,
                redirect=False,
                retries=False,
            )
            return self._read(response)
        except _NotPublicError as error:
            return NotPublic(_reason(error))
        except urllib3.exceptions.HTTPError as error:
            return Unavailable(_reason(error))

    def close(self) -> None:
        """Close the connections that are kept for later requests."""
        self._pools.clear()

    def _read(self, response: urllib3.BaseHTTPResponse) -> Reply:
        try:
            return Reply(response.status, response.headers, self._body(response))
        finally:
            # What was not read to its end cannot be used again: closed, its place given back.
            response.close()
            response.release_conn()

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes | None:
        if (response.length_remaining or 0) > self._limits.max_bytes:  # its Content-Length
            return None
        body = bytearray()
        while chunk := response.read(_CHUNK_BYTES, decode_content=False):
            body += chunk
            if len(body) > self._limits.max_bytes:
                return None
        return bytes(body)


def _in_words(error: OSError) -> str:
    return str(error.strerror or error).lower()


def _trusting_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:  # so it is with python.org's Python on a Mac
        context.load_verify_locations(certifi.where())
    return context


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """Say what went wrong without the URL, and without what the server sent: it may echo it."""
    if isinstance(error, _NoConnection):
        return str(error)
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no whole answer within the time limit"
    return f"the connection failed ({type(error).__name__})"
