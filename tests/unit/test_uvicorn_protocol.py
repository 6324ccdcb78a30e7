"""uvicorn with our protocol, on real sockets: heads, connections, what is no HTTP."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from imagesearch.doors.uvicorn_protocol import MOST_DESCRIPTORS, RESERVED, Protocol, _descriptors
from imagesearch.local.in_thread import listen, serving
from tests.raw_http import HOST, ask, connect, read

FINE = b"GET /fine HTTP/1.1\r\n" + HOST + b"\r\n"


class Hasty(Protocol):
    head_seconds = 0.2


class Few(Protocol):
    head_seconds = 600
    share = 4.5 / (_descriptors() - RESERVED)  # four connections


def fine(_: Request) -> JSONResponse:
    return JSONResponse({"fine": True})


@contextmanager
def served(protocol: type[Protocol]) -> Iterator[int]:
    app = Starlette(routes=[Route("/fine", fine)])
    with listen() as listener, serving(app, listener, "test", protocol):
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(Hasty) as found:
        yield found


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /fine HTTP/1.1\r\nHost: local"])
def test_a_head_that_does_not_come_ends_the_connection(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        if sent:
            answer = read(connection)
            assert (answer.status, answer.error["code"], answer.ended) == (408, "too_slow", True)
        else:
            assert connection.recv(1) == b""


def test_the_head_of_a_second_request_has_its_own_time(port: int) -> None:
    with connect(port) as connection:
        for _ in range(2):
            connection.sendall(FINE)
            assert read(connection).status == 200
        connection.sendall(FINE[:10])
        assert read(connection).status == 408


def test_an_answer_may_take_longer_than_a_head() -> None:
    reached, over = threading.Event(), threading.Event()

    def slow(_: Request) -> JSONResponse:
        reached.set()
        over.wait(30)
        return JSONResponse({})

    app = Starlette(routes=[Route("/fine", slow), Route("/quick", fine)])
    with listen() as listener, serving(app, listener, "test", Hasty):
        found = listener.getsockname()[1]
        with connect(found) as waits, connect(found) as silent:
            waits.sendall(FINE)
            assert reached.wait(30)
            assert silent.recv(1) == b"", "the time of a head is over"
            over.set()
            assert read(waits).status == 200


ENCODED = "percent-encoded"


@pytest.mark.parametrize(
    ("sent", "status", "hint"),
    [
        ("GET /search?t=pferd&s_query=grünes%20Feld HTTP/1.1\r\n\r\n".encode(), 400, ENCODED),
        ("GET /search?t=pferd&s_query=grünes Feld HTTP/1.1\r\n\r\n".encode(), 400, ENCODED),
        (b"GET /search?t=horse&s_query=green field HTTP/1.1\r\n\r\n", 400, ENCODED),
        (b"nonsense\r\n\r\n", 400, "request line"),
        (b"\r\n\r\n", 400, "request line"),
        (b"GET /fine\r\n\r\n", 400, "request line"),
        (b"G\x00T /fine HTTP/1.1\r\n\r\n", 400, "request line"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "request line"),
        (b"GET /fine HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET /fine HTTP/1.1\r\nno colon\r\n\r\n", 400, "header line"),
        (b"GET /fine HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, "Host"),
        (b"POST /fine HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\n", 400, "Content-Length"),
        (b"POST /fine HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n\r\n", 400, "Content-Length"),
        (
            b"POST /fine HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
            400,
            "Content-Length",
        ),
        (
            b"POST /fine HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            "chunk",
        ),
        (b"POST /fine HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "chunked"),
        (b"GET /fine HTTP/1.1\r\nX: " + b"y" * 100_000, 431, "too long"),
    ],
    ids=repr,
)
def test_what_cannot_be_read_is_told_why_in_json(
    port: int, sent: bytes, status: int, hint: str
) -> None:
    answer = ask(port, sent)
    assert (answer.status, answer.ended) == (status, True)
    assert hint in answer.error["message"]


def test_an_upgrade_that_nobody_offers_is_ignored_without_a_word(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert ask(port, FINE[:-2] + upgrade).status == 200
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_connections_beyond_the_most_are_refused_in_few_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(Few) as port, ExitStack() as opened:
        kept = [opened.enter_context(connect(port)) for _ in range(4)]
        kept[-1].sendall(FINE)
        assert read(kept[-1]).status == 200, "all four are open"
        for _ in range(60):
            with connect(port) as refused:
                answer = read(refused)
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert "4 connections are open" in answer.error["message"]
        assert len(caplog.records) <= 3
        kept[0].close()
        while (answer := ask(port, FINE)).status == 503:  # it has not seen the end yet
            time.sleep(0.01)
        assert answer.status == 200


# As few descriptors as a small system gives, and more silent connections than that.
SERVE = """
import logging, resource, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from imagesearch.local.in_thread import listen, serving
from imagesearch.doors.uvicorn_protocol import Protocol, raise_descriptor_limit
logging.basicConfig()
raise_descriptor_limit()
Protocol.head_seconds = 600
app = Starlette(routes=[Route("/fine", lambda _: JSONResponse({}))])
with listen() as listener, serving(app, listener, "test", Protocol):
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
"""


def test_more_silent_connections_than_descriptors_stop_nothing() -> None:
    command = [sys.executable, "-c", SERVE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with ExitStack() as opened:
            for _ in range(300):
                opened.enter_context(connect(port))
            assert ask(port, FINE).status == 503
        while (answer := ask(port, FINE)).status == 503:  # they have not all ended yet
            time.sleep(0.01)
        assert answer.status == 200
        _, log = process.communicate("", timeout=30)
    assert process.returncode == 0
    assert 1 <= len(log.splitlines()) <= 3, log


def test_no_more_is_asked_of_the_system_than_is_of_use() -> None:
    assert 0 < _descriptors() <= MOST_DESCRIPTORS
