"""The scorer over HTTP: against the true service, and against servers that misbehave."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
import uvicorn

from imagesearch.adapters.scorers.cloud_run import CloudRunScorer, InferenceService
from imagesearch.deployment.services import QUERY_CONCURRENCY
from imagesearch.domain.errors import (
    Bug,
    DeadlineExceeded,
    ImageSearchError,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
)
from imagesearch.domain.queries import ImagePart, Query, ScoreRequest
from imagesearch.ports import ScoreReply, TextEmbedding
from inference_service.app import create_app
from tests.stub_http import Request, Script, StubServer, reply
from tests.world import START, SetClock, TwinEncoder, World

REQUEST = ScoreRequest(pool_id="id", generation=1, query=Query.of_text("horse"), top_k=5)
EMPTY = ScoreReply((), 0, "twin-1", False, 0.0, 0.0)
EMPTY_JSON = (
    '{"hits": [], "embedded": 0, "model_revision": "twin-1", "query_truncated": false,'
    ' "encode_seconds": 0.0, "score_seconds": 0, "of_a_later_version": 1}'
)
GOOD = reply(200, EMPTY_JSON)


class Stub(StubServer):
    """A scripted server that reads the body of a request too."""

    def _answer_all(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while first := stream.readline():
                headers = {}
                while line := stream.readline().decode().strip():
                    name, _, value = line.partition(": ")
                    headers[name.lower()] = value
                stream.read(int(headers.get("content-length", 0)))
                request = Request(first.decode().split(" ")[1], headers, connection)
                self.requests.append(request)
                answer = self.script(request)
                if not answer:
                    return
                connection.sendall(answer)


def in_turn(*answers: bytes) -> Script:
    """Give one answer after the other, then the last again and again."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def inference(url: str, clock: SetClock, **options: float | str) -> InferenceService:
    return InferenceService(url, clock=clock, **options)  # type: ignore[arg-type]  # the tests give the right ones


@contextmanager
def waking(url: str, **options: float | str) -> Iterator[InferenceService]:
    with closing(inference(url, SetClock(), **options)) as service:
        yield service


@contextmanager
def scorer(
    url: str, clock: SetClock | None = None, **options: float | str
) -> Iterator[CloudRunScorer]:
    clock = clock or SetClock()
    with closing(inference(url, clock, **options)) as service:
        yield CloudRunScorer(service, clock=clock)


def error_of(url: str, clock: SetClock | None = None, **options: float | str) -> ImageSearchError:
    with scorer(url, clock, **options) as asked, pytest.raises(ImageSearchError) as caught:
        asked.score(REQUEST)
    return caught.value


# The true service.


@dataclass
class FailingEncoder(TwinEncoder):
    """An encoder that fails when it has an error to raise."""

    error: Exception | None = None

    def encode_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        if self.error is not None:
            raise self.error
        return super().encode_texts(texts)


@pytest.fixture
def service(world: World) -> Iterator[str]:
    """The URL of an inference service over the use cases of `world`."""
    world.encoder = FailingEncoder()
    world.assemble()
    services = SimpleNamespace(scorer=world.score, encoder=world.encoder, catalog=world.catalog)
    config = uvicorn.Config(create_app(services), log_config=None, lifespan="off")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def untimed(answer: ScoreReply) -> ScoreReply:
    return replace(answer, encode_seconds=0.0, score_seconds=0.0)


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_over_http_the_answer_is_the_one_in_process(service: str, world: World, scope: str) -> None:
    pool = world.ready_pool(count=7)
    request = ScoreRequest(
        scope=scope,  # type: ignore[arg-type]  # it is one of the two
        pool_id=pool.pool_id,
        generation=1,
        query=Query.of_text("twin-3 馬" + "x" * 300),
        top_k=5,
    )
    with scorer(service) as asked:
        answer = asked.score(request)
    assert untimed(answer) == untimed(world.score.score(request))
    assert len(answer.hits) == 5
    assert answer.encode_seconds > 0
    assert answer.query_truncated


def test_many_threads_get_their_own_answers(service: str, world: World) -> None:
    pool = world.ready_pool(count=7)
    requests = [
        ScoreRequest(
            pool_id=pool.pool_id, generation=1, query=Query.of_text(f"twin-{n % 7}"), top_k=1
        )
        for n in range(80)
    ]
    with scorer(service) as asked, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(asked.score, requests))
    best = [answer.hits[0].image.image_id for answer in answers]
    assert best == [request.query.text for request in requests]


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"generation": 2}, NotFound, None),
        ({"pool_id": "0" * 32}, NotFound, None),
        ({"pool_id": None}, InvalidRequest, "pool_id"),
        ({"top_k": 0}, InvalidRequest, "top_k"),
        ({"offset": -1}, InvalidRequest, "offset"),
        ({"query": Query((ImagePart("twin-9"),))}, NotFound, "like"),
    ],
)
def test_what_the_service_refuses_is_the_error_that_it_had(
    service: str,
    world: World,
    change: dict[str, object],
    error: type[ImageSearchError],
    field: str | None,
) -> None:
    pool = world.ready_pool(count=1)
    known = {
        "pool_id": pool.pool_id,
        "generation": 1,
        "scope": "pool",
        "query": Query.of_text("x"),
        "top_k": 1,
    }
    with scorer(service) as asked, pytest.raises(error) as caught:
        asked.score(ScoreRequest(**known | change))  # type: ignore[arg-type]
    assert getattr(caught.value, "field", None) == field
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("raised", "expected", "retry_after_seconds"),
    [
        (Overloaded("full", retry_after_seconds=7), Overloaded, 7),
        (Unavailable("down", retry_after_seconds=9), Unavailable, 9),
        (DeadlineExceeded("late", retry_after_seconds=3), DeadlineExceeded, 3),
        (Bug("a rule"), Bug, None),
        (RuntimeError("a bug"), Bug, None),
    ],
)
def test_what_fails_in_the_service_is_the_error_that_it_had(
    service: str,
    world: World,
    raised: Exception,
    expected: type[ImageSearchError],
    retry_after_seconds: float | None,
) -> None:
    pool = world.ready_pool(count=1)
    assert isinstance(world.encoder, FailingEncoder)
    world.encoder.error = raised
    with scorer(service) as asked, pytest.raises(expected) as caught:
        asked.score(replace(REQUEST, pool_id=pool.pool_id, query=Query.of_text("other")))
    assert caught.value.retry_after_seconds == retry_after_seconds


def test_the_service_is_woken(service: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "imagesearch")
    with waking(service) as asked:
        asked.wake()
        wait_until(lambda: "woken: 200" in caplog.text)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Connections and attempts.


def test_one_connection_serves_one_request_after_the_other() -> None:
    with Stub(in_turn(GOOD)) as server, scorer(server.origin + "/") as asked:
        assert [asked.score(REQUEST) for _ in range(10)] == [EMPTY] * 10
    assert server.connections == 1


def test_a_connection_is_kept_for_each_thread_of_the_query_function() -> None:
    together = threading.Barrier(QUERY_CONCURRENCY, timeout=30)

    def script(_: Request) -> bytes:
        together.wait()  # so that each thread needs a connection of its own
        return GOOD

    with (
        Stub(script) as server,
        scorer(server.origin) as asked,
        ThreadPoolExecutor(QUERY_CONCURRENCY) as threads,
    ):
        for _ in range(2):
            list(threads.map(asked.score, [REQUEST] * QUERY_CONCURRENCY))
    assert server.connections == QUERY_CONCURRENCY


@pytest.mark.parametrize("value", ["9" * 5000, "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "１", "1_0"])
def test_a_retry_after_that_is_no_number_of_seconds_counts_for_none(value: str) -> None:
    with Stub(in_turn(reply(429, Retry_After=value.encode().decode("latin-1")))) as server:
        error = error_of(server.origin)
    assert isinstance(error, Overloaded)
    assert error.retry_after_seconds == 5.0
    assert {request.target for request in server.requests} == {"/score"}


@pytest.mark.parametrize("failure", [b"", reply(503), reply(503, "<html>", Retry_After="x")])
def test_a_failed_connection_and_a_503_are_tried_again_twice(failure: bytes) -> None:
    clock = SetClock()
    with Stub(in_turn(failure, failure, GOOD)) as server, scorer(server.origin, clock) as asked:
        assert asked.score(REQUEST) == EMPTY
    assert len(server.requests) == 3
    assert (clock.now() - START).total_seconds() == pytest.approx(0.5)


@pytest.mark.parametrize("failure", [b"", reply(503)])
def test_after_the_third_attempt_the_scorer_is_unavailable(failure: bytes) -> None:
    with Stub(in_turn(failure)) as server:
        error = error_of(server.origin)
    assert isinstance(error, Unavailable)
    assert error.retry_after_seconds == 5.0
    assert len(server.requests) == 3


def test_a_connection_that_the_server_closed_while_it_was_kept_is_replaced() -> None:
    def answer_and_close(request: Request) -> bytes:
        request.connection.sendall(GOOD)
        return b""

    with Stub(answer_and_close) as server, scorer(server.origin) as asked:
        assert [asked.score(REQUEST) for _ in range(3)] == [EMPTY] * 3
    assert server.connections == 3


def test_a_service_that_is_not_there_is_unavailable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    clock = SetClock()
    error = error_of(f"http://127.0.0.1:{port}", clock)
    assert isinstance(error, Unavailable)
    assert "no connection to the scorer" in str(error)
    assert (clock.now() - START).total_seconds() == pytest.approx(0.5)


def test_a_short_retry_after_is_waited_for() -> None:
    clock = SetClock()
    answers = in_turn(reply(503, Retry_After="2"), GOOD)
    with Stub(answers) as server, scorer(server.origin, clock) as asked:
        assert asked.score(REQUEST) == EMPTY
    assert (clock.now() - START).total_seconds() == 2


def test_a_long_retry_after_is_reported_and_not_waited_for() -> None:
    clock = SetClock()
    with Stub(in_turn(reply(503, Retry_After="60"))) as server:
        error = error_of(server.origin, clock)
    assert (type(error).status, error.retry_after_seconds) == (503, 60)
    assert clock.now() == START
    assert len(server.requests) == 1


def test_a_rest_that_would_outlast_the_total_limit_is_not_taken() -> None:
    with Stub(in_turn(reply(503, Retry_After="2"))) as server:
        assert isinstance(error_of(server.origin, total_seconds=1.0), Unavailable)
    assert len(server.requests) == 1


TOLD = '{"error": {"code": "%s", "message": "told", "field": "f"}}'
NAMELESS = '{"error": {"code": "%s", "message": "told"}}'


@pytest.mark.parametrize(
    ("answer", "expected", "retry_after_seconds"),
    [
        (reply(429, "Rate exceeded."), Overloaded, 5),
        (reply(429, TOLD % "overloaded", Retry_After="8"), Overloaded, 8),
        (reply(504, "upstream request timeout"), DeadlineExceeded, 5),
        (reply(504, TOLD % "deadline_exceeded", Retry_After="8"), DeadlineExceeded, 8),
        (reply(400, TOLD % "invalid_request"), InvalidRequest, None),
        (reply(404, TOLD % "not_found"), NotFound, None),
        (reply(500, TOLD % "internal"), Bug, None),
        (reply(400, NAMELESS % "invalid_request"), InvalidRequest, None),
        # What a scorer of an earlier version answers.
        (reply(400, TOLD.replace('"f"', '"query"') % "invalid_request"), Unavailable, 5),
        (reply(400, TOLD.replace('"f"', '"filters"') % "invalid_request"), Unavailable, 5),
        (reply(413, NAMELESS % "too_large"), Unavailable, 5),
        # The platform's own answers, and words that do not fit the status.
        (reply(400, "<html>Bad Request"), Unavailable, 5),
        (reply(401, "<html>Unauthorized"), Unavailable, 5),
        (reply(403, "<html>Forbidden"), Unavailable, 5),
        (reply(404, "<html>Not Found"), Unavailable, 5),
        (reply(500, "<html>Internal Server Error"), Unavailable, 5),
        (reply(502, "<html>Bad Gateway"), Unavailable, 5),
        (reply(405, TOLD % "method_not_allowed"), Unavailable, 5),
        (reply(500, TOLD % "not_found"), Unavailable, 5),
        (reply(301, Location="/elsewhere"), Unavailable, 5),
        (reply(204), Unavailable, 5),
        (reply(418, "\xff{"), Unavailable, 5),
    ],
)
def test_every_other_answer_is_an_error_at_once(
    answer: bytes, expected: type[ImageSearchError], retry_after_seconds: float | None
) -> None:
    with Stub(in_turn(answer)) as server:
        error = error_of(server.origin)
    assert type(error) is expected
    assert error.retry_after_seconds == retry_after_seconds
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "null",
        "[]",
        "{}",
        EMPTY_JSON[:-1],
        EMPTY_JSON.replace('"embedded": 0', '"embedded": "0"'),
        EMPTY_JSON.replace("[]", '[{"score": 1}]'),
        EMPTY_JSON.replace("false", "null"),
        b"\xff" * 100,
    ],
)
def test_a_200_that_is_no_reply_is_unavailable(body: str | bytes) -> None:
    with Stub(in_turn(reply(200, body))) as server:
        error = error_of(server.origin)
    assert isinstance(error, Unavailable)
    assert "nonsense" in str(error)


# Limits.


def timed(url: str, **options: float) -> ImageSearchError:
    """Return the error, which must come long before the limits of the other tests."""
    started = time.monotonic()
    error = error_of(url, None, **options)
    assert time.monotonic() - started < 5
    return error


def test_silence_ends_at_the_total_limit() -> None:
    def hang(_: Request) -> bytes:
        server.closing.wait(20)
        return b""

    with Stub(hang) as server:
        assert isinstance(timed(server.origin, total_seconds=0.2), DeadlineExceeded)


def test_a_byte_at_a_time_ends_at_the_total_limit() -> None:
    def trickle(request: Request) -> bytes:
        request.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        return server.trickle(request, b" " * 1000, 0.02)

    with Stub(trickle) as server:
        assert isinstance(timed(server.origin, total_seconds=0.2), DeadlineExceeded)


def test_an_address_that_does_not_answer_ends_at_the_connect_limit() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as held:
        for _ in range(2):  # the queue of connections is full, so the next is not answered
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        error = timed(url, connect_seconds=0.1, total_seconds=10.0)
    assert isinstance(error, Unavailable)


def test_an_endless_answer_is_cut() -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    def endless(request: Request) -> bytes:
        request.connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while not server.closing.is_set():
                request.connection.sendall(chunk)
        return b""

    with Stub(endless) as server:
        assert "more than 10000000 bytes" in str(timed(server.origin))


# TLS.


def serving(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_the_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    known = serving(authority, "127.0.0.1")
    with Stub(in_turn(GOOD), known) as server, scorer(server.origin) as asked:
        assert asked.score(REQUEST) == EMPTY
    for stranger in (serving(authority, "10.0.0.1"), serving(trustme.CA(), "127.0.0.1")):
        with Stub(in_turn(GOOD), stranger) as server:
            assert isinstance(error_of(server.origin), Unavailable)
        assert server.requests == []


# The identity token.


def token(expires: float, serial: int) -> str:
    claims = json.dumps({"aud": "https://service", "exp": expires, "serial": serial}).encode()
    return f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    """A metadata server whose tokens are valid for an hour after START."""
    serials = iter(range(100))
    expires = START.timestamp() + 3600
    with Stub(lambda _: reply(200, token(expires, next(serials)))) as server:
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.port}")
        yield server


def tokens_of(server: StubServer) -> list[int]:
    """Return the serial numbers of the tokens that came with the requests."""
    serials = []
    for request in server.requests:
        kind, _, value = request.headers["authorization"].partition(" ")
        assert kind == "Bearer"
        claims = value.split(".")[1]
        serials.append(json.loads(base64.urlsafe_b64decode(claims + "=="))["serial"])
    return serials


def test_one_token_for_the_audience_serves_many_requests(metadata: StubServer) -> None:
    with (
        Stub(in_turn(GOOD)) as server,
        scorer(server.origin, audience="https://service") as asked,
        ThreadPoolExecutor(8) as threads,
    ):
        list(threads.map(lambda _: asked.score(REQUEST), range(20)))
    assert tokens_of(server) == [0] * 20
    assert len(metadata.requests) == 1
    url = urlsplit(metadata.requests[0].target)
    assert url.path == "/computeMetadata/v1/instance/service-accounts/default/identity"
    assert parse_qs(url.query) == {"audience": ["https://service"]}
    assert metadata.requests[0].headers["metadata-flavor"] == "Google"


def test_a_token_is_replaced_a_minute_before_it_expires(metadata: StubServer) -> None:
    clock = SetClock()
    with Stub(in_turn(GOOD)) as server, scorer(server.origin, clock, audience="a") as asked:
        for seconds in (0, 3539, 1):
            clock.sleep(seconds)
            asked.score(REQUEST)
    assert tokens_of(server) == [0, 0, 1]


@pytest.mark.parametrize("step_seconds", [-36_000, 36_000])
def test_a_token_is_kept_for_its_hour_when_the_clock_steps(
    metadata: StubServer, step_seconds: int
) -> None:
    clock = SetClock()
    with Stub(in_turn(GOOD)) as server, scorer(server.origin, clock, audience="a") as asked:
        asked.score(REQUEST)
        clock.time += timedelta(seconds=step_seconds)
        for seconds in (3539, 1):
            clock.sleep(seconds)
            asked.score(REQUEST)
    assert tokens_of(server) == [0, 0, 1]


def test_a_token_that_seems_to_be_good_for_days_is_replaced_after_its_hour(
    metadata: StubServer,
) -> None:
    """The clock was behind when it was fetched."""
    clock = SetClock(START - timedelta(days=3))
    with Stub(in_turn(GOOD)) as server, scorer(server.origin, clock, audience="a") as asked:
        for seconds in (0, 3539, 1):
            clock.sleep(seconds)
            asked.score(REQUEST)
    assert tokens_of(server) == [0, 0, 1]


def test_after_a_401_the_token_is_replaced_once(metadata: StubServer) -> None:
    answers = in_turn(reply(401), GOOD)
    with Stub(answers) as server, scorer(server.origin, audience="https://service") as asked:
        assert asked.score(REQUEST) == EMPTY
    assert tokens_of(server) == [0, 1]


def test_a_401_to_the_new_token_too_is_unavailable(metadata: StubServer) -> None:
    with Stub(in_turn(reply(401))) as server:
        error = error_of(server.origin, audience="https://service")
    assert isinstance(error, Unavailable)
    assert tokens_of(server) == [0, 1]


def test_no_token_is_sent_or_fetched_unless_asked_for(metadata: StubServer) -> None:
    with Stub(in_turn(GOOD)) as server, scorer(server.origin) as asked:
        asked.score(REQUEST)
    assert "authorization" not in server.requests[0].headers
    assert metadata.requests == []


def test_waking_sends_the_token_too(metadata: StubServer) -> None:
    with Stub(in_turn(reply(200))) as server, waking(server.origin, audience="a") as asked:
        asked.wake()
        wait_until(lambda: len(server.requests) == 1)
        assert tokens_of(server) == [0]
        wait_until(lambda: "wake-scorer" not in [one.name for one in threading.enumerate()])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        reply(404, "<html>"),
        reply(500),
        reply(200),
        reply(200, "<html>"),
        reply(200, b"\xff.\xff.\xff"),
        reply(200, "a.b.c"),
        reply(200, "a.e30.c"),  # {}
        reply(200, "a.W10.c"),  # []
        reply(200, "a.eyJleHAiOiJ4In0.c"),  # {"exp":"x"}
    ],
)
def test_without_a_token_the_scorer_is_unavailable_and_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with Stub(in_turn(answer)) as metadata, Stub(in_turn(GOOD)) as server:
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{metadata.port}")
        assert isinstance(error_of(server.origin, audience="https://service"), Unavailable)
    assert server.requests == []


def test_a_metadata_server_that_is_slow_to_come_up_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = reply(200, token(START.timestamp() + 3600, 7))
    with Stub(in_turn(b"", reply(503), good)) as metadata, Stub(in_turn(GOOD)) as server:
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{metadata.port}")
        with scorer(server.origin, audience="https://service") as asked:
            assert asked.score(REQUEST) == EMPTY
    assert tokens_of(server) == [7]


# Waking.


def test_waking_waits_for_nothing_and_is_done_one_at_a_time() -> None:
    go_on = threading.Event()

    def start_slowly(_: Request) -> bytes:
        go_on.wait(10)
        return reply(200)

    with Stub(start_slowly) as server, waking(server.origin) as asked:
        started = time.monotonic()
        for _ in range(20):
            asked.wake()
        assert time.monotonic() - started < 1
        wait_until(lambda: len(server.requests) == 1)
        go_on.set()

        def woken_again() -> bool:
            asked.wake()
            return len(server.requests) > 1

        wait_until(woken_again)
        wait_until(lambda: "wake-scorer" not in [one.name for one in threading.enumerate()])
    assert {request.target for request in server.requests} == {"/alive"}


@pytest.mark.parametrize("answer", [b"", reply(503), reply(404, "<html>"), b"\x00\xff\r\n\r\n"])
def test_a_service_that_does_not_wake_is_noted_for_developers_only(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "imagesearch")
    with Stub(in_turn(answer)) as server, waking(server.origin) as asked:
        asked.wake()
        wait_until(lambda: "woken" in caplog.text)
    assert {record.levelno for record in caplog.records if record.name.startswith("image")} == {
        logging.DEBUG
    }
