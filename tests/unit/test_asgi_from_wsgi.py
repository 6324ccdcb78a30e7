"""A WSGI application among ASGI apps: each answer is handed over whole, from a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from imagesearch.local.asgi_from_wsgi import AsgiFromWsgi

Sent = list[dict[str, Any]]
START = "http.response.start"
BODY = "http.response.body"


async def asked(
    app: AsgiFromWsgi,
    method: str = "GET",
    path: str = "/",
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    on_send: Callable[[], object] = lambda: None,
) -> Sent:
    """Return the messages that *app* answers with."""
    sent: Sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        on_send()
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "http_version": "1.1",
        "headers": headers,
    }
    await app(scope, receive, send)
    return sent


def test_head_and_all_parts_of_the_body_are_two_messages() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("404 Not Found", [("X-Name", "a"), ("X-Name", "\xe9")])
        return [b"one, ", b"two"]

    start, body = asyncio.run(asked(AsgiFromWsgi(app, 1)))
    named = [(b"x-name", b"a"), (b"x-name", b"\xe9")]
    assert start == {"type": START, "status": 404, "headers": named}
    assert body == {"type": BODY, "body": b"one, two"}


def test_what_is_asked_arrives() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        names = "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_X_NAME", "CONTENT_LENGTH"
        return [" ".join(environ[name] for name in names).encode(), environ["wsgi.input"].read()]

    headers = [(b"x-name", b"n"), (b"content-length", b"5")]
    asking = asked(AsgiFromWsgi(app, 1), "POST", "/a b", b"c=%26", headers, b" body")
    assert asyncio.run(asking)[1]["body"] == b"POST /a b c=%26 n 5 body"


def test_an_answer_is_closed_before_it_is_sent() -> None:
    closed = threading.Event()

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield b"part"

        def close(self) -> None:
            closed.set()

    def app(environ: dict[str, Any], start_response: Any) -> Parts:
        start_response("200 OK", [])
        return Parts()

    seen: list[bool] = []
    asyncio.run(asked(AsgiFromWsgi(app, 1), on_send=lambda: seen.append(closed.is_set())))
    assert seen == [True, True]


def test_an_error_of_the_application_is_its_callers() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Sequence[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asked(AsgiFromWsgi(app, 1)))


def test_as_many_are_answered_at_a_time_as_there_are_threads() -> None:
    goes_on = threading.Event()
    begun = threading.Semaphore(0)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun.release()
        goes_on.wait(timeout=30)
        start_response("200 OK", [])
        return [threading.current_thread().name.encode()]

    async def ask_thrice() -> list[Sent]:
        door = AsgiFromWsgi(app, 2)
        answers = asyncio.gather(*(asked(door) for _ in range(3)))
        for _ in range(2):
            assert await asyncio.to_thread(begun.acquire, timeout=30)
        assert not await asyncio.to_thread(begun.acquire, timeout=0.1), "a third has begun"
        goes_on.set()
        return [*await answers]

    threads = {sent[1]["body"] for sent in asyncio.run(ask_thrice())}
    assert len(threads) <= 2
    assert threading.current_thread().name.encode() not in threads
