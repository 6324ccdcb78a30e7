"""The bounded HTTP client on real sockets: its limits, its guard, its threads, its certificates."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from imagesearch.domain.errors import Unavailable
from imagesearch.sources.addresses import is_public
from imagesearch.sources.exchange import Limits, Reply
from imagesearch.sources.http_client import HttpClient, anywhere
from tests.stub_http import Request, StubServer, reply

# Each test of a limit shortens that one alone, and what it cuts would last ten seconds.
LIMITS = Limits(connect_seconds=10, read_seconds=10, total_seconds=10, max_bytes=1000)


def a_client(limits: Limits = LIMITS, connections: int = 2) -> HttpClient:
    return HttpClient(limits=limits, connections=connections, guard=anywhere)


def answered(client: HttpClient, url: str) -> Reply:
    """Ask for *url*, which must be answered."""
    answer = client.get(url, total_seconds=10)
    assert isinstance(answer, Reply), answer
    return answer


def fails(client: HttpClient, url: str, total_seconds: float = 10) -> str:
    """Ask for *url*, which must fail before any limit of ten seconds, and return the reason."""
    started = time.monotonic()
    answer = client.get(url, total_seconds=total_seconds)
    assert isinstance(answer, Unavailable), answer
    assert time.monotonic() - started < 5
    return str(answer)


def test_status_headers_and_body_come_back_whatever_the_status() -> None:
    with StubServer(lambda _: reply(404, "gone", X_Left="7")) as server:
        answer = answered(a_client(), server.origin + "/a?b=c")
    assert (answer.status, answer.body, answer.headers["x-left"]) == (404, b"gone", "7")
    assert server.requests[0].target == "/a?b=c"


def test_a_redirect_is_reported_and_not_followed() -> None:
    with StubServer(lambda _: reply(302, Location="/elsewhere")) as server:
        answer = answered(a_client(), server.origin)
    assert answer.location == "/elsewhere"
    assert len(server.requests) == 1


def test_cookies_are_not_kept() -> None:
    with StubServer(lambda _: reply(200, "x", Set_Cookie="a=b")) as server:
        client = a_client()
        for _ in range(2):
            client.get(server.origin, total_seconds=10)
    assert ["cookie" in request.headers for request in server.requests] == [False, False]


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        StubServer(lambda _: reply(200, "proxy")) as proxy,
        StubServer(lambda _: reply(200, "direct")) as server,
    ):
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("ALL_PROXY", proxy.origin)
        answer = answered(a_client(), server.origin)
    assert answer.body == b"direct"
    assert proxy.connections == 0


@pytest.mark.parametrize("size", [0, 999, 1000])
def test_a_body_up_to_the_limit_is_read_whole(size: int) -> None:
    with StubServer(lambda _: reply(200, b"x" * size)) as server:
        answer = answered(a_client(), server.origin)
    assert answer.body == b"x" * size


def test_a_declared_length_over_the_limit_is_not_waited_for() -> None:
    head = reply(200, Content_Length="1001")
    with StubServer(lambda _: head) as server:
        answer = answered(a_client(), server.origin)
    assert answer.body is None


def test_a_body_without_a_length_is_read_to_the_limit_only() -> None:
    chunk = b"100\r\n" + b"x" * 256 + b"\r\n"

    def endless(request: Request) -> bytes:
        request.connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not server.closing.is_set():
            request.connection.sendall(chunk)
        return b""

    with StubServer(endless) as server:
        answer = answered(a_client(), server.origin)
        assert answer.body is None


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\xfe\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_is_cut_or_is_not_http_is_a_failure(raw: bytes) -> None:
    def cut(request: Request) -> bytes:
        request.connection.sendall(raw)
        return b""

    with StubServer(cut) as server:
        assert "the connection failed" in fails(a_client(), server.origin)


def test_silence_is_cut_at_the_read_limit() -> None:
    def silent(_: Request) -> bytes:
        server.closing.wait(5)
        return b""

    with StubServer(silent) as server:
        client = a_client(replace(LIMITS, read_seconds=0.2))
        assert "time limit" in fails(client, server.origin)


@pytest.mark.parametrize(
    "sent_at_once", [0, 20, 45], ids=["status line", "in the headers", "in the body"]
)
def test_a_byte_at_a_time_is_cut_at_the_total_limit(sent_at_once: int) -> None:
    whole = reply(200, b"x" * 200)

    def slow(request: Request) -> bytes:
        request.connection.sendall(whole[:sent_at_once])
        return server.trickle(request, whole[sent_at_once:], seconds=0.05)

    with StubServer(slow) as server:
        assert "time limit" in fails(a_client(), server.origin, total_seconds=0.3)


@contextmanager
def slow_handshake() -> Iterator[int]:
    """Yield the port of a server that sends a TLS record of 16 kB byte by byte."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"\x16\x03\x03\x40\x00")
            for _ in itertools.takewhile(lambda _: not over.wait(0.05), itertools.count()):
                try:
                    connection.sendall(b"\x02")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join()


def test_a_slow_tls_handshake_is_cut_at_the_connect_limit() -> None:
    with slow_handshake() as port:
        client = a_client(replace(LIMITS, connect_seconds=0.3))
        assert "time limit" in fails(client, f"https://127.0.0.1:{port}/")


def test_a_refused_connection_is_a_failure_that_names_the_host() -> None:
    with StubServer(lambda _: reply(200)) as server:
        origin = server.origin
    assert "127.0.0.1: no connection" in fails(a_client(), origin)


@pytest.mark.parametrize("host", ["a" * 64 + ".pixabay.com", "..pixabay.com"])
def test_a_name_that_is_none_is_a_failure(host: str) -> None:
    reason = fails(a_client(), f"http://{host}/")
    assert "cannot be resolved" in reason
    assert "codec" not in reason
    assert "Errno" not in reason


def test_the_guard_is_asked_about_the_address_and_nothing_is_sent_when_it_refuses() -> None:
    asked = []

    def guard(host: str, port: int, address: str) -> bool:
        asked.append((host, port, address))
        return is_public(address)

    with StubServer(lambda _: reply(200)) as server:
        client = HttpClient(limits=LIMITS, connections=1, guard=guard)
        reason = fails(client, f"http://localhost:{server.port}/")
    assert "is not a public address" in reason
    assert {(host, port) for host, port, _ in asked} == {("localhost", server.port)}
    assert "127.0.0.1" in {address for *_, address in asked}
    assert server.connections == 0


def test_one_refused_address_among_several_refuses_the_name() -> None:
    """A name with a public and a private address is broken or hostile; `localhost` has two."""

    def guard(_host: str, _port: int, address: str) -> bool:
        return address != "127.0.0.1"

    with StubServer(lambda _: reply(200)) as server:
        client = HttpClient(limits=LIMITS, connections=1, guard=guard)
        assert "127.0.0.1 is not" in fails(client, f"http://localhost:{server.port}/")
    assert server.connections == 0


def test_every_failure_gives_its_connection_back() -> None:
    """With one connection, a single one that is not given back would block the next request."""
    bad = [
        reply(200, Content_Length="1001"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"nonsense\r\n\r\n",
        reply(500, b"x" * 2000),
    ]
    answers = iter(bad * 3)

    def script(request: Request) -> bytes:
        if request.target == "/good":
            return reply(200, "good")
        request.connection.sendall(next(answers))
        return b""

    with StubServer(script) as server:
        client = a_client(connections=1)
        for _ in range(12):
            client.get(server.origin + "/bad", total_seconds=10)
        assert answered(client, server.origin + "/good").body == b"good"


def test_threads_share_a_bounded_number_of_kept_connections() -> None:
    def script(request: Request) -> bytes:
        server.closing.wait(0.005)
        return reply(200, request.target)

    with StubServer(script) as server, ThreadPoolExecutor(12) as threads:
        client = a_client(connections=3)
        paths = [f"/{number}" for number in range(60)]
        bodies = list(threads.map(lambda path: answered(client, server.origin + path).body, paths))
    assert bodies == [path.encode() for path in paths]
    assert server.connections == 3
    assert server.busiest == 3


def tls_server(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this process trusts, as a company's own would be."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


def test_tls_checks_the_certificate_against_the_name_and_not_the_address(
    authority: trustme.CA,
) -> None:
    with StubServer(lambda _: reply(200, "ok"), tls_server(authority, "localhost")) as server:
        client = a_client()
        by_name = answered(client, f"https://localhost:{server.port}/")
        by_address = fails(client, f"https://127.0.0.1:{server.port}/")
    assert by_name.body == b"ok"
    assert "SSLError" in by_address


def test_a_certificate_of_an_unknown_authority_is_refused() -> None:
    with StubServer(lambda _: reply(200), tls_server(trustme.CA(), "localhost")) as server:
        assert "SSLError" in fails(a_client(), f"https://localhost:{server.port}/")
    assert server.requests == []


def test_a_byte_at_a_time_over_tls_is_cut_at_the_total_limit(authority: trustme.CA) -> None:
    def slow(request: Request) -> bytes:
        return server.trickle(request, reply(200, b"x" * 200), seconds=0.05)

    with StubServer(slow, tls_server(authority, "localhost")) as server:
        url = f"https://localhost:{server.port}/"
        assert "time limit" in fails(a_client(), url, total_seconds=0.4)
