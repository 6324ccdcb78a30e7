"""What only the Cloud Storage store does: its errors, its limits, and what it says of an image."""

from __future__ import annotations

import gc
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from imagesearch.adapters.gcs import GcsStore, connect
from imagesearch.errors import Bug, ImageSearchError, NotFound, Overloaded, Unavailable
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


@pytest.fixture
def store_at() -> Iterator[Callable[[str], GcsStore]]:
    """Open the store of a bucket at a URL; it gives up after 0.3 s."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed

    opened: list[Any] = []

    def open_one(url: str) -> GcsStore:
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
        opened.append(Client("test", credentials, client_options={"api_endpoint": url}))
        return GcsStore(opened[-1].bucket("images"), total_seconds=0.3)

    yield open_one
    for client in opened:
        client.close()
    opened.clear()
    # The SDK leaves answers that it gave up on half read, with their connections open.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class QuietServer(ThreadingHTTPServer):
    """A client that gives up and hangs up is expected here, and no error to print."""

    def handle_error(self, *_: object) -> None:
        return


@dataclass
class Refusal:
    """A server that reads every request to its end and answers it with *status*."""

    status: int
    targets: list[str] = field(default_factory=list)

    def __enter__(self) -> Refusal:
        targets, status = self.targets, self.status

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                targets.append(self.path)
                self.rfile.read(int(self.headers.get("content-length", "0")))
                self.send_response(status)
                self.send_header("content-length", "10")
                self.end_headers()
                self.wfile.write(b"on purpose")

            do_POST = do_GET  # noqa: N815

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


def about_objects(targets: Iterable[str]) -> list[str]:
    """Return the requests but for the one that the SDK makes about the bucket, by itself."""
    return [target for target in targets if "/o" in target]


# Errors


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("status", STATUSES)
def test_each_status_that_a_method_meets_is_ours(
    store_at: Callable[[str], GcsStore], status: int, method: Callable[[GcsStore], object]
) -> None:
    with Refusal(status) as server:
        started = time.monotonic()
        with pytest.raises(ImageSearchError, match="Cloud Storage failed") as raised:
            method(store_at(server.origin))
    assert type(raised.value) is STATUSES[status]
    assert time.monotonic() - started < 3.0
    is_passing = status in (408, 429, 500, 502, 503, 504)
    assert (len(about_objects(server.targets)) > 1) == is_passing


def test_a_missing_right_says_that_the_configuration_must_be_mended(
    store_at: Callable[[str], GcsStore],
) -> None:
    with (
        Refusal(403) as server,
        pytest.raises(Unavailable, match="configuration must be mended"),
    ):
        store_at(server.origin).get("a.jpg")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_missing_bucket_is_unavailable_and_no_missing_image(
    bucket: Any, method: Callable[[GcsStore], object]
) -> None:
    store = GcsStore(bucket.client.bucket("nobodys"), total_seconds=0.3)
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

    def answer(request: Request) -> bytes:
        return next(answers) if "/o/" in request.target else reply(404)

    with StubServer(answer) as server:
        assert store_at(server.origin).get("a.jpg") == b"picture"
    assert len(about_objects(one.target for one in server.requests)) == 2


def test_bytes_that_are_not_those_of_the_checksum_are_unavailable(
    store_at: Callable[[str], GcsStore],
) -> None:
    wrong = reply(200, b"picture", x_goog_hash="crc32c=AAAAAA==")
    with (
        StubServer(lambda _: wrong) as server,
        pytest.raises(Unavailable, match=r"a\.jpg came damaged"),
    ):
        store_at(server.origin).get("a.jpg")


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
    GcsStore(bucket).put(name, b"data")
    blob = bucket.get_blob(name)
    assert (blob.content_type, blob.cache_control) == (content_type, "public, max-age=86400")


def test_an_image_of_20_mb_comes_back(bucket: Any) -> None:
    data = bytes(range(256)) * 80_000
    store = GcsStore(bucket)
    store.put("big.jpg", data)
    assert store.get("big.jpg") == data


def test_200_names_are_asked_about_8_at_a_time(store_at: Callable[[str], GcsStore]) -> None:
    def answer(request: Request) -> bytes:
        time.sleep(0.005)
        name = re.search(r"/o/(\d+)\.jpg", request.target)
        is_odd = name is not None and int(name[1]) % 2
        return reply(200, "{}", Content_Type="application/json") if is_odd else reply(404)

    names = [f"{n}.jpg" for n in range(200)]
    with StubServer(answer) as server:
        found = store_at(server.origin).existing([*names, *names])
    assert found == set(names[1::2])
    assert len(about_objects(one.target for one in server.requests)) == 200
    assert 2 <= server.busiest <= 9
    assert server.connections <= 10


def test_connect_takes_the_emulator_from_the_environment(
    storage_url: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_url)
    store = connect("test", "images")
    with closing(bucket.client):
        store.put("a.jpg", b"data")
        assert bucket.blob("a.jpg").download_as_bytes() == b"data"
    with pytest.raises(NotFound):
        store.get("b.jpg")
    assert requests.get(f"{storage_url}/images/a.jpg", timeout=10).content == b"data"
