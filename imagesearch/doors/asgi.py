"""The doors before an ASGI app: bodies bounded and timed, hosts of this machine, always an answer.

What is refused, and in which words, is in `bodies.py`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from imagesearch.doors import bodies
from imagesearch.doors.bodies import Bound, Hold, Larger, Refused
from imagesearch.doors.errors import BUG_MESSAGE, NO_SNIFFING, refusal

# As in Starlette's `types`, which a process without Starlette can do without.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[^:\[\]]+))(?::\d*)?")
_REPLACED = (b"content-type", b"content-length", b"x-content-type-options")
logger = logging.getLogger(__name__)


class BoundedBodies:
    """
    Reads the body of each request before *app* sees it, or refuses the request.

    Args:
        most_bytes: of a body.
        larger: what holds instead for a method and path whose bodies may be larger.
        seconds: for all of a body, however its bytes are spread.
    """

    def __init__(
        self,
        app: App,
        *,
        most_bytes: int,
        larger: Larger | None = None,
        seconds: float = bodies.BODY_SECONDS,
    ) -> None:
        self._app = app
        self._usual = Bound(most_bytes, seconds)
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            bound = self._larger.get((scope["method"], scope["path"]), self._usual)
            length = _length(scope, bound)
            with bound.holding() as hold:
                body = await _body(receive, bound, hold) if length else None
                await self._app(scope, receive if body is None else _again(body, receive), send)
        except Refused as refused:
            refused.log()
            await _refuse(refused, receive, send)


def _length(scope: Scope, bound: Bound) -> int:
    is_chunked = _header(scope, b"transfer-encoding") is not None
    length = _header(scope, b"content-length") or ""
    return bodies.announced_bytes(length, is_chunked=is_chunked, bound=bound)


async def _body(receive: Receive, bound: Bound, hold: Hold) -> bytes:
    try:
        async with asyncio.timeout(bound.seconds):
            return await _read(receive, bound, hold)
    except TimeoutError:
        raise bodies.too_slow(bound.seconds) from None


async def _read(receive: Receive, bound: Bound, hold: Hold) -> bytes:
    body = bytearray()
    is_more = True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bodies.cut_off()
        part = message.get("body", b"")
        if len(body) + len(part) > bound.most_bytes:
            raise bound.too_large()
        hold(len(part))
        body += part
        is_more = message.get("more_body", False)
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives *body* as if it came now, and after it what *receive* gives."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return first.pop() if first else await receive()

    return receive_again


async def _refuse(refused: Refused, receive: Receive, send: Send) -> None:
    await send(_start(refused))
    await send({"type": "http.response.body", "body": refused.answer.body, "more_body": True})
    if refused.is_still_sent:
        with suppress(TimeoutError):
            async with asyncio.timeout(bodies.LINGER_SECONDS):
                while (await receive())["type"] != "http.disconnect":
                    pass
    await send({"type": "http.response.body", "body": b""})


def _start(refused: Refused) -> Message:
    headers = [(name.lower().encode(), value.encode()) for name, value in refused.headers]
    return {"type": "http.response.start", "status": int(refused.status), "headers": headers}


def _header(scope: Scope, name: bytes) -> str | None:
    value: bytes | None = dict(scope["headers"]).get(name)
    return None if value is None else value.decode("latin-1")


class KnownHosts:
    """
    Answers only requests for this machine, under a name that only it has, or for *hosts*.

    A page of any site can have its own name resolve to 127.0.0.1 and then read, as its own origin,
    what is served there ("DNS rebinding"); the Host header still has the site's name.
    """

    def __init__(self, app: App, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and not self._is_known(_header(scope, b"host")):
            refused = Refused(
                421,
                "this host is not served here: ask localhost, or name it in ALLOWED_ORIGINS",
            )
            refused.log()
            await _refuse(refused, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_known(self, header: str | None) -> bool:
        if header is None:  # HTTP/1.0, which no browser speaks
            return True
        host = _HOST.fullmatch(header.strip())
        return host is not None and self._is_ours((host["ipv6"] or host["name"]).lower())

    def _is_ours(self, name: str) -> bool:
        name = name.removesuffix(".")
        if name in self._hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        return is_loopback(name)


def is_loopback(address: str) -> bool:
    """Say whether *address* is an IP address that never leaves this machine."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


class AlwaysAnswered:
    """
    Answers in JSON where *app* did not: for a bug, and for a request that the server's end cut off.

    uvicorn would answer both in plain text.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_noting(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
            return
        except asyncio.CancelledError:
            refused = Refused(503, "the server is being stopped")
        except Exception:
            logger.exception("%s: a bug", scope["path"])
            refused = Refused(500, BUG_MESSAGE)
        if not is_started:  # Starlette answers before it raises on
            await send(_start(refused))
            await send({"type": "http.response.body", "body": refused.answer.body})


class JsonErrors:
    """Gives *app*'s errors in other words than JSON the form that all of ours have."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start: Message | None = None
        text = bytearray()

        async def send_json(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_foreign_error(message):
                start = message
            elif start is None:
                await send(message)
            else:
                text.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    for translated in _translated(start, bytes(text)):
                        await send(translated)

        await self._app(scope, receive, send_json)


def _is_foreign_error(start: Message) -> bool:
    kind = _header(start, b"content-type") or ""
    return start["status"] >= 400 and not kind.startswith("application/json")


def _translated(start: Message, text: bytes) -> tuple[Message, Message]:
    status = start["status"]
    message = text.decode(errors="replace")[:200] or HTTPStatus(status).phrase
    body = refusal(status, message).body
    kept = [pair for pair in start["headers"] if pair[0] not in _REPLACED]
    headers = [
        *kept,
        (b"content-type", b"application/json"),
        *((name.lower().encode(), value.encode()) for name, value in NO_SNIFFING.items()),
        (b"content-length", str(len(body)).encode()),
    ]
    return {**start, "headers": headers}, {"type": "http.response.body", "body": body}
