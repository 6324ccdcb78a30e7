"""Requests that hold on, never end or make no sense, on the servers as they are started."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from imagesearch.deployment.services import SERVICES
from imagesearch.local.emulated.processes import (
    Child,
    end_all,
    free_port,
    guarded_folder,
    wait_until_ready,
)
from tests.cloud_environment import CLOUD
from tests.e2e.conftest import Serving
from tests.raw_http import HOST, Answer, ask, connect, hostile_requests, read, silent

ROOT = Path(__file__).resolve().parents[2]
ALIVE = b"GET /alive HTTP/1.1\r\n" + HOST + b"\r\n"
SEARCH = b"GET /search?t=circle HTTP/1.1\r\n" + HOST + b"\r\n"  # refused as soon as it is looked at
HUGE = b"POST /alive HTTP/1.1\r\n" + HOST + b"Content-Length: 500000000\r\n\r\n"
BROKEN = b"POST /alive HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
SENT_BYTES = 100_000_000  # of a body of which nothing is to be kept
MOST_GROWTH_BYTES = 30_000_000


@dataclass(frozen=True)
class Function:
    """A function as production serves it, with its log and its worker."""

    port: int
    child: Child

    def peak_bytes(self) -> int:
        """Return the most memory that the worker has had."""
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        (worker,) = children.read_text().split()
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
        assert peak is not None
        return int(peak[1]) * 1024


@contextmanager
def function(name: str) -> Iterator[Function]:
    (service,) = (one for one in SERVICES if one.name == name)
    program = shutil.which(service.command[0], path=str(Path(sys.executable).parent))
    assert program is not None
    port = free_port()
    with guarded_folder("function-") as folder:
        command = [program, *service.command[1:], "--host", "127.0.0.1", "--port", str(port)]
        child = Child(name, command, port, folder, working_folder=ROOT, ready_path="/alive")
        child.environment = {
            **service.environment,
            **CLOUD,
            "XDG_RUNTIME_DIR": str(folder),
        }
        child.start()
        try:
            wait_until_ready([child], 60)
            yield Function(port, child)
        finally:
            end_all([child], 10)


@pytest.fixture(scope="module")
def query() -> Iterator[Function]:
    with function("query") as started:
        yield started


@pytest.fixture(scope="module")
def site(server: Serving) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port


@contextmanager
def holding(port: int, number: int, path: str) -> Iterator[None]:
    """Have *number* bodies announced that never come."""
    with ExitStack() as opened:
        for connection in silent(port, number, path):
            opened.enter_context(connection)
        yield


# Bodies


def test_silent_bodies_on_every_thread_of_the_query_function_stop_nothing(query: Function) -> None:
    with holding(query.port, 80, "/search"):
        assert ask(query.port, ALIVE).status == 200
        assert ask(query.port, SEARCH).error["field"] == "s_query"


def test_silent_bodies_on_every_thread_of_the_fetcher_stop_nothing() -> None:
    with function("fetch") as fetch, holding(fetch.port, 16, "/"):
        assert ask(fetch.port, ALIVE).status == 200


@pytest.mark.parametrize(("number", "path"), [(8, "/alive"), (96, "/search?t=x&s_query=y")])
def test_silent_bodies_stop_nothing_on_one_machine(site: int, number: int, path: str) -> None:
    with holding(site, number, path):
        assert ask(site, ALIVE).status == 200
        assert ask(site, SEARCH).error["field"] == "s_query"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the memory is read from /proc")
def test_a_huge_body_is_refused_and_nothing_of_it_is_kept(query: Function) -> None:
    before = query.peak_bytes()
    with connect(query.port) as connection:
        connection.sendall(HUGE)
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(SENT_BYTES // 1_000_000):
                connection.sendall(b"x" * 1_000_000)
        assert read(connection).error["code"] == "too_large"
    assert query.peak_bytes() - before < MOST_GROWTH_BYTES


@pytest.mark.parametrize("sent", [HUGE, HUGE.replace(b"POST", b"OPTIONS"), BROKEN])
def test_each_server_refuses_a_body_in_json(query: Function, site: int, sent: bytes) -> None:
    for port in (query.port, site):
        answer = ask(port, sent)
        assert (answer.status, answer.ended) == (400 if sent is BROKEN else 413, True)
        assert answer.error["code"] in ("invalid_request", "too_large")


# Errors


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/search?t=pferd&s_query=grünes Feld", 400),
        ("/search?t=pferd&s_query=gr%C3%BCnes%20Feld&k=0", 400),
        ("/search?t=pferd&s_query=Feld&orientation=%00%FF", 400),
        ("/search?s_query=Feld&scope=catalog&orientation=" + "9" * 5000, 400),
        ("/nothing", 404),
        ("/favicon.ico", 404),
        ("/robots.txt", 404),
        ("/pools/x", 400),
    ],
)
def test_each_server_tells_an_error_in_json(
    query: Function, site: int, target: str, status: int
) -> None:
    for port in (query.port, site):
        answer = ask(port, f"GET {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        assert answer.status == status
        assert ("percent-encoded" in answer.error["message"]) is (not target.isascii())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n", 404),
        (b"POST / HTTP/1.1\r\n", 405),
        (b"GET /images/nothing.jpg HTTP/1.1\r\n", 404),
        (b"GET /demo/nothing HTTP/1.1\r\n", 404),
        (b"GET /demo/api/?key=wrong HTTP/1.1\r\n", 400),
        (b"GET /demo/illustrations/" + b"9" * 5000 + b"/ HTTP/1.1\r\n", 404),
        (b"GET /demo/photo/" + b"9" * 5000 + b"_150.jpg HTTP/1.1\r\n", 404),
    ],
)
def test_the_site_tells_every_error_in_json(site: int, head: bytes, status: int) -> None:
    answer = ask(site, head + HOST + b"\r\n")
    assert answer.status == status
    assert answer.error["message"]


@pytest.mark.parametrize(("bounds", "status"), [("nonsense", 400), ("bytes=99999999-", 416)])
def test_a_range_that_an_image_lacks_is_told_in_json(
    server: Serving, bounds: str, status: int
) -> None:
    (url,) = server.complete(t="horse", s_query="a horse", k=1)["top_urls"]
    answer = requests.get(url, headers={"Range": bounds}, timeout=10)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_the_site_answers_nobody_who_calls_it_by_a_foreign_name(site: int) -> None:
    for path in ("/", "/alive", "/search", "/images/x", "/demo/api/", "/config.json"):
        answer = ask(site, f"GET {path} HTTP/1.1\r\nHost: evil.example:80\r\n\r\n".encode())
        assert (answer.status, answer.error["code"]) == (421, "unknown_host")


# Whatever comes


def test_hostile_requests_hang_up_nothing_and_leave_no_traceback(
    query: Function, site: int, server: Serving
) -> None:
    sent = hostile_requests(300, seed=7)
    with ThreadPoolExecutor(8) as threads:
        for port in (query.port, site):
            told = [one for one in threads.map(lambda raw, to=port: _told(to, raw), sent) if one]
            assert len(told) > len(sent) // 3
            for answer in told:
                assert answer.status < 400 or not answer.body or answer.error
            assert ask(port, ALIVE).status == 200
    for log in (query.child.log, server.log()):
        assert "Traceback" not in log


def _told(port: int, sent: bytes) -> Answer | None:
    """Return the answer, if one comes before there is reason to believe that none will."""
    with connect(port) as connection, suppress(OSError, http.client.HTTPException):
        connection.sendall(sent)
        connection.settimeout(0.5)
        return read(connection)
    return None


def test_a_client_that_is_gone_in_mid_body_leaves_no_traceback(
    query: Function, site: int, server: Serving
) -> None:
    for port in (query.port, site):
        for rest in (b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
            with connect(port) as connection:
                connection.sendall(b"POST /search HTTP/1.1\r\n" + HOST + rest)
                connection.shutdown(socket.SHUT_RDWR)
        assert ask(port, ALIVE).status == 200
    for log in (query.child.log, server.log()):
        assert "Traceback" not in log
