"""Bodies as gunicorn reads them from a socket, before an application sees them."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from gunicorn import config as gunicorn_config
from gunicorn import http
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.workers.gthread import ThreadWorker

from imagesearch.doors.bodies import Bound, InHand, Refused, announced_bytes
from imagesearch.doors.wsgi import KILLED_SECONDS, BoundedBodies, guard
from tests.log_lines import Log
from tests.raw_http import HOST, Answer, read

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

MOST_BYTES = 1000
SECONDS = 0.2


class Connection:
    """A client's end, and gunicorn's, with an application that tells the body it was given."""

    def __init__(self) -> None:
        self.client, self.server = socket.socketpair()
        self.bodies: list[bytes] = []
        self.is_read_no_more = False
        self.door = door(self._tell)

    def _tell(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body: bytes = environ["wsgi.input"].read()
        assert environ["CONTENT_LENGTH"] == str(len(body))
        self.bodies.append(body)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    def ask(self, *headers: bytes, body: bytes = b"") -> Answer:
        """Send one request and return the answer."""
        lines = [b"GET /alive HTTP/1.1", HOST.strip(), *headers, b"", body]
        self.client.sendall(b"\r\n".join(lines))
        return self.answer()

    def answer(self, method: str = "GET") -> Answer:
        """Have the server answer what it was sent, as gunicorn's worker does."""
        config = Config()
        request = next(http.get_parser(config, self.server, ("127.0.0.1", 1)))
        response, environ = wsgi.create(
            request, self.server, ("127.0.0.1", 1), ("127.0.0.1", 2), config
        )
        answer = self.door(environ, response.start_response)
        for part in answer:
            response.write(part)
        response.close()
        getattr(answer, "close", lambda: None)()
        self.is_read_no_more = is_at_end(self.server)
        self.server.close()
        return read(self.client, method)


def is_at_end(server: socket.socket) -> bool:
    """Say whether who reads from *server* is told at once that nothing comes."""
    server.setblocking(False)
    try:
        return server.recv(1) == b""
    except BlockingIOError:
        return False


def door(app: Callable[..., Iterable[bytes]], waiting: int = 1) -> BoundedBodies:
    return BoundedBodies(app, most_bytes=MOST_BYTES, waiting=waiting, seconds=SECONDS)


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    with made.client, made.server:
        yield made


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("headers", "body", "given"),
    [
        ([], b"", b""),
        ([b"Content-Length: 0"], b"", b""),
        ([b"Content-Length: 3"], b"abc", b"abc"),
        ([b"Content-Length: 1000"], b"x" * 1000, b"x" * 1000),
        ([CHUNKED], b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        ([CHUNKED], b"0\r\n\r\n", b""),
    ],
)
def test_a_body_that_comes_whole_is_given_to_the_application(
    connection: Connection, headers: list[bytes], body: bytes, given: bytes
) -> None:
    assert connection.ask(*headers, body=body).status == 200
    assert connection.bodies == [given]


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ([b"Content-Length: 1"], b"", 408, "too_slow"),
        ([b"Content-Length: 1000"], b"x" * 999, 408, "too_slow"),
        ([CHUNKED], b"", 408, "too_slow"),
        ([CHUNKED], b"5\r\nab", 408, "too_slow"),
        ([CHUNKED], b"0\r\n", 408, "too_slow"),
        ([b"Content-Length: 1001"], b"", 413, "too_large"),
        ([b"Content-Length: " + b"9" * 4000], b"x", 413, "too_large"),
        ([CHUNKED], b"1000\r\n" + b"x" * 0x1000, 413, "too_large"),
        ([CHUNKED], b"zz\r\n", 400, "invalid_request"),
        ([CHUNKED], b"3\r\nabcde\r\n", 400, "invalid_request"),
    ],
)
def test_a_body_that_is_too_slow_too_large_or_malformed_is_refused_and_the_connection_ended(
    connection: Connection,
    headers: list[bytes],
    body: bytes,
    status: int,
    code: str,
    log: Log,
) -> None:
    answer = connection.ask(*headers, body=body)
    assert (answer.status, answer.error["code"], answer.ended) == (status, code, True)
    assert (connection.bodies, connection.is_read_no_more) == ([], True)
    (line,) = log.entries()
    assert (line["severity"], line["status"], line["outcome"]) == ("INFO", status, code)


def test_a_refusal_of_a_head_request_has_no_body(connection: Connection) -> None:
    connection.client.sendall(b"HEAD / HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n")
    answer = connection.answer("HEAD")
    assert (answer.status, answer.body, answer.ended) == (413, b"", True)


@pytest.mark.parametrize(
    ("header", "version", "ended"),
    [
        (b"Connection: close", b"1.1", True),
        (b"Connection: keep-alive", b"1.1", False),
        (b"X: y", b"1.1", False),
        (b"X: y", b"1.0", True),
        (b"Connection: keep-alive", b"1.0", False),
    ],
)
def test_a_last_answer_ends_the_connection_and_leaves_no_wait_to_who_accepts_them(
    connection: Connection, header: bytes, version: bytes, ended: bool
) -> None:
    head = [b"GET / HTTP/" + version, HOST.strip(), header, b"", b""]
    connection.client.sendall(b"\r\n".join(head))
    assert connection.answer().status == 200
    assert connection.is_read_no_more is ended


@pytest.mark.parametrize("headers", [[b"Content-Length: 9"], [CHUNKED]])
def test_a_client_that_hangs_up_in_mid_body_is_one_line_and_no_traceback(
    connection: Connection, headers: list[bytes], log: Log
) -> None:
    lines = [b"POST / HTTP/1.1", HOST.strip(), *headers, b"", b"3\r\nab"]
    connection.client.sendall(b"\r\n".join(lines))
    connection.client.shutdown(socket.SHUT_WR)
    assert connection.answer().error["code"] == "invalid_request"
    (line,) = log.entries()
    assert (line["severity"], line["status"]) == ("INFO", 400)


def test_a_byte_now_and_then_does_not_hold_a_thread_longer(connection: Connection) -> None:
    over = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            while not over.wait(SECONDS / 10):
                connection.client.sendall(b"x")

    connection.client.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n")
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        assert connection.answer().status == 408
    finally:
        over.set()
        dripping.join()


def test_bodies_that_never_come_hold_no_more_threads_than_may_wait() -> None:
    """One waits already, as long as the test likes; the next body is refused at once."""
    reached, over = threading.Event(), threading.Event()

    class Waiting:
        def read(self, _: int) -> bytes:
            reached.set()
            over.wait(30)
            return b"x"

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return []

    guarded = door(answer)
    told: list[str] = []
    here, there = socket.socketpair()
    environ = {"CONTENT_LENGTH": "1", "wsgi.input": Waiting(), "gunicorn.socket": here}
    environ |= {"REQUEST_METHOD": "POST", "SERVER_PROTOCOL": "HTTP/1.1"}

    def start(status: str, *_: object) -> Callable[[bytes], object]:
        told.append(status)
        return lambda data: None

    with here, there:
        first = threading.Thread(target=guarded, args=(dict(environ), start))
        first.start()
        try:
            assert reached.wait(30)
            guarded(dict(environ), start)
            assert told == ["503 Service Unavailable"]
            guarded({**environ, "CONTENT_LENGTH": ""}, start)
            assert told[1:] == ["200 OK"], "what has no body waits for nobody"
        finally:
            over.set()
            first.join()


@pytest.mark.parametrize(
    "head", [{"CONTENT_LENGTH": "1000"}, {"HTTP_TRANSFER_ENCODING": "chunked"}]
)
def test_what_is_announced_keeps_no_place_until_it_comes(head: dict[str, str]) -> None:
    reached, over = threading.Event(), threading.Event()

    class Idle:
        def read(self, _: int) -> bytes:
            reached.set()
            over.wait(30)
            return b""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return []

    larger = {("POST", "/"): Bound(MOST_BYTES, 30.0, InHand(MOST_BYTES))}
    guarded = BoundedBodies(answer, most_bytes=MOST_BYTES, waiting=9, larger=larger)
    told: list[str] = []
    here, there = socket.socketpair()
    post = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1"}

    def start(status: str, *_: object) -> Callable[[bytes], object]:
        told.append(status)
        return lambda data: None

    with here, there:
        idle = {**post, **head, "wsgi.input": Idle(), "gunicorn.socket": here}
        first = threading.Thread(target=guarded, args=(idle, start))
        first.start()
        try:
            assert reached.wait(30)
            for length in (MOST_BYTES, MOST_BYTES):
                body = {"CONTENT_LENGTH": str(length), "wsgi.input": io.BytesIO(b"x" * length)}
                guarded({**post, **body}, start)
            assert told == ["200 OK", "200 OK"], "and what was answered keeps none"
        finally:
            over.set()
            first.join()


def test_bodies_that_came_keep_their_place_until_they_are_answered() -> None:
    larger = {("POST", "/"): Bound(MOST_BYTES, 30.0, InHand(MOST_BYTES))}
    told: list[str] = []

    def start(status: str, *_: object) -> Callable[[bytes], object]:
        told.append(status)
        return lambda data: None

    def ask(length: int) -> None:
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
        body = {"CONTENT_LENGTH": str(length), "wsgi.input": io.BytesIO(b"x" * length)}
        guarded({**environ, **body}, start)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["CONTENT_LENGTH"] == "900":
            ask(101)
            ask(100)
        start_response("200 OK", [])
        return []

    guarded = BoundedBodies(answer, most_bytes=MOST_BYTES, waiting=9, larger=larger)
    ask(900)
    assert told == ["503 Service Unavailable", "200 OK", "200 OK"]


@pytest.mark.parametrize(
    "text", ["+5", "-1", "1_0", "１２", "²", "5.0", "0x5", "5 5", "1,1", "x" * 5000]
)
def test_a_content_length_is_of_plain_digits(text: str) -> None:
    with pytest.raises(Refused, match="Content-Length must be a whole number") as refused:
        announced_bytes(text, is_chunked=False, bound=Bound(9))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("0", 0), ("000", 0), (" 7 ", 7), ("0009", 9)]
)
def test_digits_are_read_as_they_are_meant(text: str, length: int) -> None:
    assert announced_bytes(text, is_chunked=False, bound=Bound(9)) == length


# The end


def test_a_worker_that_is_asked_to_end_says_so_and_has_ended_before_cloud_run_kills_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    usual = gunicorn_config.GracefulTimeout.default
    monkeypatch.setattr(gunicorn_config.GracefulTimeout, "default", usual)  # put back afterwards
    monkeypatch.setattr(ThreadWorker, "handle_exit", lambda *_: calls.append("gunicorn"))
    with Flask("function").app_context():
        guard(most_bytes=1, waiting=1, on_end=lambda: calls.append("function"))
    # functions-framework makes gunicorn's settings after it has loaded the function.
    assert 1 < Config().graceful_timeout < KILLED_SECONDS - 1
    ThreadWorker.handle_exit(None, 15, None)
    assert calls == ["function", "gunicorn"]
