"""What only the Cloud Storage store does: its errors, its limits, and what it says of an image."""

from __future__ import annotations

import gc
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from imagesearch.adapters.stores.gcs import GcsStore, connect
from imagesearch.domain.errors import Bug, ImageSearchError, NotFound, Overloaded, Unavailable
from tests.emulators import free_port
from tests.stub_http import Request, StubServer, reply

# Design §8: what may pass or can be mended nacks as Unavailable, a quota as Overloaded, and what
# we must never have sent is a Bug.
STATUSES: dict[int, type[ImageSearchError]] = {
    400: Bug,
    401: Unavailable,
    403: Unavailable,
    405: Bug,
    408: Unavailable,
    409: Bug,
    411: Bug,
    412: Bug,
    416: Bug,
    429: Overloaded,
    500: Unavailable,
    501: Bug,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
METHODS: dict[str, Callable[[GcsStore], object]] = {
    "put": lambda store: store.put("a.jpg", b"x"),
    "get": lambda store: store.get("a.jpg"),
    "existing": lambda store: store.existing(["a.jpg"]),
}


@pytest.fixture(scope="module")
def nothing_is_left_open() -> Iterator[None]:
    """A connection that was left open is an error, here and not somewhere else."""
    yield
    gc.collect()


@pytest.fixture
def store_at(nothing_is_left_open: None) -> Iterator[Callable[[str], GcsStore]]:
    """Open the store of a bucket at a URL; it gives up after 0.3 s unless told."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed

    with ExitStack() as opened:

        def open_one(url: str, total_seconds: float = 0.3) -> GcsStore:
            credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
            client = Client("test", credentials, client_options={"api_endpoint": url})
            store = GcsStore(lambda: client.bucket("images"), total_seconds=total_seconds)
            return opened.enter_context(closing(store))

        yield open_one


class QuietServer(ThreadingHTTPServer):
    """A client that gives up and hangs up is expected here, and no error to print."""

    def handle_error(self, *_: object) -> None:
        return


@dataclass
class Answering:
    """A server that reads every request to its end and answers each with *status* and *body*."""

    status: int
    body: bytes = b"on purpose"
    targets: list[str] = field(default_factory=list)

    def __enter__(self) -> Answering:
        targets, status, body = self.targets, self.status, self.body

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                targets.append(self.path)
                self.rfile.read(int(self.headers.get("content-length", "0")))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("location", f"http://{self.headers['host']}/upload")
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                return

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.socket.close()  # its threads end with the clients' connections
        self._thread.join()


# Errors


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("status", STATUSES)
def test_each_status_that_a_method_meets_is_ours(
    store_at: Callable[[str], GcsStore], status: int, method: Callable[[GcsStore], object]
) -> None:
    with Answering(status) as server:
        started = time.monotonic()
        with pytest.raises(ImageSearchError, match="Cloud Storage failed") as raised:
            method(store_at(server.origin))
    assert type(raised.value) is STATUSES[status]
    assert time.monotonic() - started < 3.0
    is_passing = status in (408, 429, 500, 502, 503, 504)
    assert (len(server.targets) > 1) == is_passing


def test_a_missing_right_says_that_the_configuration_must_be_mended(
    store_at: Callable[[str], GcsStore],
) -> None:
    with (
        Answering(403) as server,
        pytest.raises(Unavailable, match="configuration must be mended"),
    ):
        store_at(server.origin).get("a.jpg")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_missing_bucket_is_unavailable_and_no_missing_image(
    bucket: Any, method: Callable[[GcsStore], object]
) -> None:
    store = GcsStore(lambda: bucket.client.bucket("nobodys"), total_seconds=0.3)
    with pytest.raises(Unavailable, match=r"NotFound.*configuration must be mended"):
        method(store)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_store_that_is_gone_is_unavailable_within_the_limit(
    store_at: Callable[[str], GcsStore], method: Callable[[GcsStore], object]
) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable):
        method(store_at(f"http://127.0.0.1:{free_port()}"))
    assert time.monotonic() - started < 3.0


def test_a_store_that_does_not_answer_is_unavailable_within_the_limit(
    store_at: Callable[[str], GcsStore],
) -> None:
    def hang(_: Request) -> bytes:
        server.closing.wait(20)
        return b""

    with StubServer(hang) as server:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            store_at(server.origin).get("a.jpg")
    assert 0.25 < time.monotonic() - started < 3.0


def test_a_store_that_stumbles_once_is_asked_again(store_at: Callable[[str], GcsStore]) -> None:
    answers = iter([reply(503), reply(200, b"picture")])

    with StubServer(lambda _: next(answers)) as server:
        assert store_at(server.origin).get("a.jpg") == b"picture"
    assert len(server.requests) == 2
    assert server.connections == 1  # the answer of the first try was read to its end


def test_bytes_that_are_not_those_of_the_checksum_are_unavailable(
    store_at: Callable[[str], GcsStore],
) -> None:
    wrong = reply(200, b"picture", x_goog_hash="crc32c=AAAAAA==")
    with (
        StubServer(lambda _: wrong) as server,
        pytest.raises(Unavailable, match=r"a\.jpg came damaged"),
    ):
        store_at(server.origin).get("a.jpg")


def test_a_big_upload_that_arrived_damaged_is_unavailable(
    store_at: Callable[[str], GcsStore],
) -> None:
    """What is sent in parts has its checksum compared in the end, by the client."""
    stored = b'{"crc32c": "AAAAAA==", "md5Hash": "AAAAAA=="}'
    with (
        Answering(200, stored) as server,
        pytest.raises(Unavailable, match=r"big\.jpg came damaged"),
    ):
        store_at(server.origin).put("big.jpg", b"x" * 10_000_000)


@pytest.mark.parametrize("method", ["put", "existing"])
def test_an_answer_that_is_no_json_is_unavailable(
    store_at: Callable[[str], GcsStore], method: str
) -> None:
    with Answering(200, b"<html>") as server, pytest.raises(Unavailable):
        METHODS[method](store_at(server.origin))


@pytest.mark.parametrize("method", ["get", "existing"])
@pytest.mark.parametrize(
    "answer", [reply(200, b"{}", Content_Length="50")[:-1], b"nonsense\r\n", b""]
)
def test_an_answer_that_is_cut_or_is_not_http_is_unavailable(
    store_at: Callable[[str], GcsStore], method: str, answer: bytes
) -> None:
    def cut(request: Request) -> bytes:
        request.connection.sendall(answer)
        return b""

    with StubServer(cut) as server, pytest.raises(Unavailable):
        METHODS[method](store_at(server.origin))


def test_a_closed_store_has_no_connection_left(store_at: Callable[[str], GcsStore]) -> None:
    with StubServer(lambda _: reply(200, b"picture")) as server:
        store = store_at(server.origin)
        store.get("a.jpg")
        store.close()
        store.get("a.jpg")
        assert server.connections == 2


# What is stored


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.html", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_an_image_is_served_with_its_type_and_may_be_kept_a_day(
    bucket: Any, name: str, content_type: str
) -> None:
    GcsStore(lambda: bucket).put(name, b"data")
    blob = bucket.get_blob(name)
    assert (blob.content_type, blob.cache_control) == (content_type, "public, max-age=86400")


def test_an_image_of_20_mb_comes_back(bucket: Any) -> None:
    data = bytes(range(256)) * 80_000
    store = GcsStore(lambda: bucket)
    store.put("big.jpg", data)
    assert store.get("big.jpg") == data


def test_200_names_are_asked_about_8_at_a_time(store_at: Callable[..., GcsStore]) -> None:
    def answer(request: Request) -> bytes:
        time.sleep(0.005)
        name = re.search(r"/o/(\d+)\.jpg", request.target)
        is_odd = name is not None and int(name[1]) % 2
        return reply(200, "{}", Content_Type="application/json") if is_odd else reply(404)

    names = [f"{n}.jpg" for n in range(200)]
    with StubServer(answer) as server:
        found = store_at(server.origin, 30.0).existing([*names, *names])
    assert found == set(names[1::2])
    assert len(server.requests) == 200
    assert 2 <= server.busiest <= 8
    assert server.connections <= 8


def test_each_of_20_threads_keeps_its_connection(store_at: Callable[..., GcsStore]) -> None:
    """The fetcher's downloads are stored by as many threads; the SDK would keep 10."""
    barrier = threading.Barrier(20)

    def get(store: GcsStore) -> bytes:
        barrier.wait(timeout=30)
        return store.get("1.jpg")

    def answer(_: Request) -> bytes:
        time.sleep(0.05)  # so that all ask at a time
        return reply(200, "data")

    with StubServer(answer) as server, ThreadPoolExecutor(20) as threads:
        store = store_at(server.origin, 30.0)
        for _ in range(3):
            assert set(threads.map(get, [store] * 20)) == {b"data"}
    assert server.connections <= 20


def test_connect_takes_the_emulator_from_the_environment(
    storage_url: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_url)
    with closing(connect("test", "images")) as store:
        store.put("a.jpg", b"data")
        assert bucket.blob("a.jpg").download_as_bytes() == b"data"
        with pytest.raises(NotFound):
            store.get("b.jpg")
    assert requests.get(f"{storage_url}/images/a.jpg", timeout=10).content == b"data"
