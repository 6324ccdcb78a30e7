"""The doors before an ASGI app, over messages as a server sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from imagesearch.doors.asgi import (
    AlwaysAnswered,
    App,
    BoundedBodies,
    JsonErrors,
    KnownHosts,
    Message,
    Receive,
    Scope,
    Send,
)
from imagesearch.doors.bodies import Bound, InHand
from imagesearch.local.server import known_hosts
from imagesearch.settings import load_settings
from tests.log_lines import Log

SECONDS = 0.05
PART: Message = {"type": "http.request", "body": b"x" * 600, "more_body": True}
LAST: Message = {"type": "http.request", "body": b"x", "more_body": False}
GONE: Message = {"type": "http.disconnect"}
CHUNKED = {"transfer-encoding": "chunked"}


def answer(app: App, headers: dict[str, str], came: Sequence[Message] = (), path: str = "/") -> Any:
    """Return the messages that *app* sends; after those that *came*, none comes for ever."""
    return asyncio.run(_answer(app, headers, list(came), path))


async def _answer(app: App, headers: dict[str, str], came: list[Message], path: str) -> Any:
    sent: list[Message] = []

    async def receive() -> Message:
        if not came:
            await asyncio.Event().wait()
        return came.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    named = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await app({"type": "http", "method": "POST", "path": path, "headers": named}, receive, send)
    return sent


class Told:
    """An app that remembers what it was given."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.after: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, is_more = b"", True
        while is_more:
            message = await receive()
            body += message["body"]
            is_more = message["more_body"]
        self.bodies.append(body)
        self.after.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})


def bounded(app: App) -> BoundedBodies:
    return BoundedBodies(
        app, most_bytes=1000, larger={("POST", "/large"): Bound(2000)}, seconds=SECONDS
    )


@pytest.mark.parametrize(
    ("headers", "came"),
    [
        ({}, [{**LAST, "body": b""}]),
        ({"content-length": "601"}, [PART, LAST]),
        (CHUNKED, [PART, LAST]),
    ],
)
def test_a_body_that_comes_whole_is_given_to_the_app_and_then_what_comes_after(
    headers: dict[str, str], came: list[Message]
) -> None:
    app = Told()
    assert answer(bounded(app), headers, [*came, GONE])[0]["status"] == 200
    assert app.bodies == [b"".join(message["body"] for message in came)]
    assert app.after == [GONE]


@pytest.mark.parametrize(
    ("headers", "came", "status"),
    [
        ({"content-length": "1"}, [], 408),
        ({"content-length": "601"}, [PART], 408),
        (CHUNKED, [PART], 408),
        ({"content-length": "1001"}, [], 413),
        ({"content-length": "9" * 5000}, [], 413),
        (CHUNKED, [PART, PART], 413),
        ({"content-length": "+5"}, [], 400),
        ({"content-length": "²"}, [], 400),
        ({"content-length": "9"}, [GONE], 400),
        (CHUNKED, [PART, GONE], 400),
    ],
)
def test_a_body_that_is_too_slow_too_large_or_cut_off_is_refused_and_the_connection_ended(
    headers: dict[str, str], came: list[Message], status: int, log: Log
) -> None:
    app = Told()
    start, *parts = answer(bounded(app), headers, came)
    assert (start["status"], app.bodies) == (status, [])
    assert (b"connection", b"close") in start["headers"]
    assert "error" in json.loads(b"".join(part["body"] for part in parts))
    (line,) = log.entries()
    assert (line["severity"], line["status"]) == ("INFO", status)


def test_a_path_may_take_a_larger_body() -> None:
    app = Told()
    answer(bounded(app), CHUNKED, [PART, PART, LAST, GONE], path="/large")
    assert answer(bounded(app), CHUNKED, [PART, PART], path="/other")[0]["status"] == 413
    assert [len(body) for body in app.bodies] == [1201]


def test_what_is_announced_keeps_no_place_until_it_comes() -> None:
    """Clients that send nothing wait beside one whose body fits, and one whose does not."""
    in_hand = {("POST", "/"): Bound(2000, 30.0, InHand(2000))}

    async def asked() -> list[int]:
        app = BoundedBodies(Told(), most_bytes=1000, larger=in_hand)
        idle = [asyncio.create_task(_answer(app, CHUNKED, [], "/")) for _ in range(3)]
        idle.append(asyncio.create_task(_answer(app, {"content-length": "2000"}, [], "/")))
        half = asyncio.create_task(_answer(app, CHUNKED, [PART], "/"))
        await asyncio.sleep(0)
        fits = await _answer(app, CHUNKED, [PART, PART, LAST, GONE], "/")
        does_not = await _answer(app, CHUNKED, [PART, PART, PART, LAST, GONE], "/")
        after = await _answer(app, CHUNKED, [PART, PART, LAST, GONE], "/")
        for task in (*idle, half):
            task.cancel()
        return [sent[0]["status"] for sent in (fits, does_not, after)]

    assert asyncio.run(asked()) == [200, 503, 200]


# Hosts


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({})(scope, receive, send)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8080", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9:80"),
        *("[::1]", "[::1]:8080", "[::ffff:127.0.0.1]:80", "app.example", "APP.example:1"),
    ],
)
def test_this_machines_own_names_and_the_configured_are_answered(host: str) -> None:
    assert answer(KnownHosts(fine, {"app.example"}), {"host": host})[0]["status"] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evillocalhost"),
        *(
            "10.0.0.1",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "",
            ":80",
            "localhost:x",
            "app.example@evil",
            "\xff",
            "a, b",
        ),
    ],
)
def test_another_host_is_refused_with_a_hint(host: str) -> None:
    start, *parts = answer(KnownHosts(fine, {"app.example"}), {"host": host})
    assert start["status"] == 421
    error = json.loads(b"".join(part["body"] for part in parts))["error"]
    assert error["code"] == "unknown_host"
    assert "ALLOWED_ORIGINS" in error["message"]


def test_a_client_that_is_no_browser_needs_no_host() -> None:
    assert answer(KnownHosts(fine, ()), {})[0]["status"] == 200


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ({}, set()),
        ({"bind_address": "::1"}, set()),
        ({"bind_address": "localhost"}, set()),
        (
            {"allowed_origins": "https://app.example:8443, http://b.example"},
            {"app.example", "b.example"},
        ),
        ({"image_base_url": "https://img.example/x"}, {"img.example"}),
        ({"allowed_origins": "*"}, None),
        ({"bind_address": "0.0.0.0"}, None),
        ({"bind_address": "192.168.1.7"}, None),
    ],
)
def test_the_hosts_of_a_site_follow_from_its_settings(
    settings: dict[str, str], hosts: set[str] | None
) -> None:
    assert known_hosts(load_settings(**settings)) == hosts


# Always an answer, and in JSON


def test_a_request_that_the_servers_end_cuts_off_is_answered_in_json() -> None:
    async def stopped() -> list[Message]:
        sent: list[Message] = []
        waits = asyncio.Event()

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            waits.set()
            await asyncio.Event().wait()

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/search", "headers": []}
        task = asyncio.create_task(AlwaysAnswered(waiting)(scope, None, send))  # type: ignore[arg-type]
        await waits.wait()
        task.cancel()
        await task
        return sent

    start, body = asyncio.run(stopped())
    assert (start["status"], (b"connection", b"close") in start["headers"]) == (503, True)
    assert json.loads(body["body"])["error"]["code"] == "unavailable"


def test_a_bug_is_logged_once_and_answered_in_json(log: Log) -> None:
    async def buggy(_: Scope, __: Receive, ___: Send) -> None:
        raise ZeroDivisionError

    start, body = answer(AlwaysAnswered(buggy), {})
    assert (start["status"], json.loads(body["body"])["error"]["code"]) == (500, "internal")
    (line,) = log.entries()
    assert "ZeroDivisionError" in line["stack_trace"]


def foreign(_: Request) -> PlainTextResponse:
    return PlainTextResponse("Malformed range header.", 400, {"Vary": "Origin"})


def ours(_: Request) -> JSONResponse:
    return JSONResponse({"error": {"code": "ours", "message": "as it is"}}, 422)


def buggy(_: Request) -> PlainTextResponse:
    raise ZeroDivisionError


@pytest.fixture
def site() -> TestClient:
    cors = Middleware(CORSMiddleware, allow_origins=["*"])
    routes = [Route("/foreign", foreign), Route("/ours", ours), Route("/bug", buggy)]
    app = JsonErrors(Starlette(routes=routes, middleware=[cors]))
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("GET", "/foreign", 400, "invalid_request", "Malformed range header."),
        ("GET", "/ours", 422, "ours", "as it is"),
        ("GET", "/bug", 500, "internal", "Internal Server Error"),
        ("GET", "/nothing", 404, "not_found", "Not Found"),
        ("POST", "/foreign", 405, "method_not_allowed", "Method Not Allowed"),
        ("OPTIONS", "/foreign", 400, "invalid_request", "Disallowed CORS method"),
    ],
)
def test_an_error_in_other_words_than_json_is_put_in_json(
    site: TestClient, method: str, path: str, status: int, code: str, message: str
) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    response = site.request(method, path, headers=asked)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert response.json()["error"] == {"code": code, "message": message}
    assert path != "/foreign" or status == 405 or "Origin" in response.headers["Vary"]
