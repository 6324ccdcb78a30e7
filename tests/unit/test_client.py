"""The client of the search API, and what a server may do to it."""

from __future__ import annotations

import gzip
import json
import math
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from imagesearch.cli.client import (
    GIVE_UP_SECONDS,
    MAX_ANSWER_BYTES,
    Answer,
    SearchClient,
    SearchFailed,
    http_client,
    retry_after_seconds,
)
from imagesearch.domain.errors import InvalidRequest
from tests.stub_http import Request, StubServer, reply

PARAMS = {"t": "horse", "s_query": "a horse"}
NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
POOL = {"state": "ready", "images": 1, "embedded": 1, "rejected": 0, "reason": None}
RESULT = {
    "image_id": "pixabay-1",
    "url": "https://cdn.example/1.jpg",
    "page_url": "https://pixabay.com/photos/1/",
    "credit": {"user": "someone", "source": "Pixabay"},
    "tags": ["horse"],
    "score": 0.3,
    "match": "fair",
}
FOUND: dict[str, Any] = {
    "keyword": "horse",
    "results": [RESULT],
    "complete": True,
    "query_truncated": False,
    "pool": POOL,
    "timings": {"total_seconds": 0.01},
    "new": "what a later version adds",
}


@dataclass
class Patience:
    """Seconds that pass by waiting alone, and what was asked in them."""

    answers: Iterator[Answer]
    answering_seconds: float = 0.0
    seconds: float = 0.0
    asked_at: list[float] = field(default_factory=list)

    def client(self) -> SearchClient:
        return SearchClient(self.ask, lambda _: b"", now=lambda: self.seconds, sleep=self.sleep)

    def ask(
        self, path: str, params: Mapping[str, Any], pictures: Mapping[str, bytes] | None
    ) -> Answer:
        self.asked_at.append(self.seconds)
        self.seconds += self.answering_seconds
        return next(self.answers)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def ever(status: int, body: Any, retry_after: float | None) -> Iterator[Answer]:
    while True:
        yield Answer(status, body, retry_after)


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "most"),
    [
        (202, {"pool": POOL}, 1.0, 301),
        (202, {"pool": POOL}, None, 301),
        (202, {"pool": POOL}, 0.5, 601),
        (200, {**FOUND, "complete": False}, None, 301),
        (429, None, 30.0, 11),
        (504, None, 10.0, 31),
    ],
)
def test_an_instant_answer_is_not_asked_for_again_at_once(
    status: int, body: Any, retry_after: float | None, most: int
) -> None:
    patience = Patience(ever(status, body, retry_after))
    with pytest.raises(SearchFailed, match="no complete answer within 300 seconds"):
        patience.client().search(PARAMS, lambda _: None)
    assert len(patience.asked_at) <= most
    assert patience.seconds <= GIVE_UP_SECONDS


def test_an_answer_that_was_waited_for_is_asked_for_again_at_once() -> None:
    waiting = [Answer(202, {"pool": POOL}, 1.0)] * 3
    patience = Patience(iter([*waiting, Answer(200, FOUND, None)]), answering_seconds=2.0)
    assert patience.client().search(PARAMS, lambda _: None) == FOUND
    assert patience.asked_at == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.5),
        ("-5", 0.5),
        ("1e9", 30.0),
        ("9" * 5000, 30.0),
        ("inf", 30.0),
        ("nan", 1.0),
        ("soon", 1.0),
        ("", 1.0),
        ("Fri, 27 Nov 2026 12:00:09 GMT", 9.0),
        ("Fri, 27 Nov 2026 12:00:09 -0000", 9.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 30.0),
        ("Fri, 99 Nov 99999 12:00:09 GMT", 1.0),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_within_the_bounds_of_sense(
    header: str, seconds: float
) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_a_part_without_text_is_none_to_look_for_in_the_answer() -> None:
    asked = {**PARAMS, "minus": ["", " people ", "people"]}
    patience = Patience(ever(200, {**FOUND, "minus": ["people"]}, None))
    assert patience.client().search(asked, print)["minus"] == ["people"]


FILTERED = {**PARAMS, "orientation": "vertical"}


@pytest.mark.parametrize("more", [{}, {"filters": {}}, {"filters": {"orientation": "square"}}])
def test_an_answer_that_is_not_filtered_as_asked_is_refused(more: dict[str, Any]) -> None:
    """A server of the version before takes no notice of a filter."""
    patience = Patience(ever(200, {**FOUND, **more}, None))
    with pytest.raises(SearchFailed, match="not filtered: it is of another version"):
        patience.client().search(FILTERED, lambda _: None)
    answer = {**FOUND, "filters": {"orientation": "vertical"}, "matching": 1}
    assert Patience(ever(200, answer, None)).client().search(FILTERED, lambda _: None) == answer


def fails(body: Any, status: int = 200, **headers: str) -> str:
    """Return why a search fails that is answered with *body*."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with (
        StubServer(lambda _: reply(status, data, **headers)) as server,
        pytest.raises(SearchFailed) as caught,
    ):
        http_client(server.origin).search(PARAMS, lambda _: None)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800
    return str(caught.value)


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    body: Any = json.loads(json.dumps(FOUND))
    part = body
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = to
    return dict(body)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [1, 2],
        "text",
        3,
        {},
        changed("results", to=None),
        changed("results", to=[RESULT] * 201),
        changed("results", 0, to=7),
        changed("results", 0, "tags", to="horse"),
        changed("results", 0, "credit", to=[]),
        changed("results", 0, "score", to="0.3"),
        changed("results", 0, "score", to=1e308),
        changed("results", 0, "match", to=1e9),
        changed("results", 0, "url", to=None),
        changed("keyword", to=None),
        changed("complete", to="false"),
        changed("pool", to=None),
        changed("pool", "images", to=-1),
        changed("pool", "images", to=10**12),
        changed("pool", "state", to={}),
        changed("timings", to={}),
        changed("timings", "total_seconds", to=True),
    ],
)
def test_an_answer_of_another_shape_is_refused(body: Any) -> None:
    assert "the answer is not an imagesearch's: " in fails(body)


def test_an_answer_over_everything_has_no_pool_and_is_not_waited_for() -> None:
    asked = {"like": ["pixabay-2"], "scope": "catalog"}
    answer = {**FOUND, **asked, "keyword": None, "pool": None, "complete": False}
    patience = Patience(ever(200, answer, None))
    assert patience.client().search(asked, lambda _: None) == answer
    assert len(patience.asked_at) == 1
    of_a_pool = Patience(ever(200, {**FOUND, "like": ["pixabay-2"]}, None))
    with pytest.raises(SearchFailed, match=r"not an imagesearch's: scope"):
        of_a_pool.client().search(asked, lambda _: None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"9" * 5_000,
        json.dumps(changed("results", 0, "score", to=math.nan)).encode(),
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    assert "did not answer in JSON: is it an imagesearch?" in fails(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"error": {"message": "no\x1b]52;c;eA==\x07 such\nthing"}},
            r"no\x1b]52;c;eA==\x07 such\n",
        ),
        ({"error": {"message": "x" * 10_000}}, "xxx (HTTP 503)"),
        ({"error": {"message": ["x"]}}, "no reason given (HTTP 503)"),
        ({"error": "x"}, "no reason given (HTTP 503)"),
        ([1], "no reason given (HTTP 503)"),
        (b"<html>", "no reason given (HTTP 503)"),
    ],
)
def test_a_refusal_is_told_whatever_its_form(body: Any, message: str) -> None:
    assert message in fails(body, 503)


def test_a_body_of_any_size_is_not_read() -> None:
    assert "more than" in fails(b"[" + b" " * MAX_ANSWER_BYTES + b"]")
    bomb = gzip.compress(b" " * 1_000_000)
    assert "compressed" in fails(bomb, Content_Encoding="gzip")


def test_a_body_that_is_cut_short_is_no_answer() -> None:
    def script(request: Request) -> bytes:
        request.connection.sendall(reply(200, json.dumps(FOUND), Content_Length="100000"))
        return b""

    with StubServer(script) as server, pytest.raises(SearchFailed, match="does not answer"):
        http_client(server.origin).search(PARAMS, lambda _: None)


@pytest.mark.parametrize(
    "dripped",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        reply(200, "x" * 1_000, X_Long="y" * 1_000),
        reply(302, Location="/" + "y" * 1_000),
    ],
    ids=["to be continued", "head", "redirect"],
)
def test_an_answer_that_drips_is_given_up(dripped: bytes) -> None:
    with StubServer(lambda one: server.trickle(one, dripped, seconds=0.02)) as server:
        client = http_client(server.origin, exchange_seconds=0.2)
        for ask in (lambda: client.search(PARAMS, print), lambda: client.image(server.origin)):
            with pytest.raises(SearchFailed, match=r"did not end its answer within 0\.2 s"):
                ask()


def test_redirects_are_followed_to_their_end_and_no_further() -> None:
    def script(request: Request) -> bytes:
        path = request.target.partition("?")[0]
        if path == "/search":
            return reply(302, Location="/again?to=there")
        return reply(200, json.dumps(FOUND)) if path == "/again" else reply(302, Location="/x")

    with StubServer(script) as server:
        client = http_client(server.origin)
        assert client.search(PARAMS, lambda _: None) == FOUND
        with pytest.raises(SearchFailed, match="redirects more than 5 times"):
            client.image(f"{server.origin}/x")
        assert len(server.requests) == 2 + 6


@pytest.mark.parametrize("to", ["file:///dev/zero", "ftp://host.example/", "http://[", "//[::"])
def test_a_redirect_leads_to_http_alone(to: str) -> None:
    fails(b"", 302, Location=to)


@pytest.mark.parametrize(
    "url",
    [
        "file:///dev/zero",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "FILE:///dev/zero",
        "/images/1.jpg",
        "http://",
        "http://[",
        "",
    ],
)
def test_an_image_is_read_over_http_alone(url: str) -> None:
    with pytest.raises(SearchFailed):
        http_client("http://127.0.0.1:9").image(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LocalHost.",
        "a.localhost",
        "127.1",
        "[::1]",
        "[::1%25lo]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "127.0.0.1\\@search.example",
        "inside.example",
        "both.example",
        socket.gethostname(),
    ],
)
def test_a_server_elsewhere_has_no_images_on_this_machine(host: str) -> None:
    for server in ("search.example", "both.example", "169.254.1.1"):
        with pytest.raises(SearchFailed, match="is on this machine, and its server is not"):
            client(f"https://{server}").image(f"http://{host}:9/1.jpg")


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1%25eth0]", "link.example"])
def test_a_server_elsewhere_has_no_images_on_the_network_link(host: str) -> None:
    with pytest.raises(SearchFailed, match="is link local, and its server is not"):
        client("https://search.example").image(f"http://{host}:9/1.jpg")


HOSTS = {
    "search.example": ["203.0.113.9"],
    "inside.example": ["127.0.0.1"],
    "both.example": ["203.0.113.9", "::1"],
    "link.example": ["fe80::1%eth0"],
}


def client(url: str) -> SearchClient:
    """Return a client for which the names of HOSTS, and all that are numbers, have addresses."""

    def addresses(host: str) -> list[str]:
        return HOSTS.get(host) or [str(one[-1][0]) for one in socket.getaddrinfo(host, None)]

    return http_client(url, addresses=addresses)


PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    """A configured proxy, which answers everything itself."""
    with StubServer(lambda _: reply(200, json.dumps(FOUND))) as proxy:
        for name in PROXY_VARIABLES:
            monkeypatch.setenv(name, proxy.origin)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield proxy


def test_what_is_on_this_machine_is_asked_without_a_proxy(proxy: StubServer) -> None:
    def script(request: Request) -> bytes:
        return reply(200, json.dumps(FOUND))

    with StubServer(script) as server:
        for host in ("127.0.0.1", "localhost"):
            asked = client(f"http://{host}:{server.port}")
            assert asked.search(PARAMS, lambda _: None) == FOUND
            asked.image(f"http://{host}:{server.port}/1.jpg")
        assert len(server.requests) == 4
        with pytest.raises(SearchFailed, match=r"inside\.example"):  # which only HOSTS knows
            client("http://inside.example:9").image("http://inside.example:9/1.jpg")
    assert proxy.requests == []


def test_what_is_elsewhere_is_asked_through_the_proxy(proxy: StubServer) -> None:
    assert client("http://search.example").search(PARAMS, lambda _: None) == FOUND
    assert proxy.requests[0].target.startswith("http://search.example/search?")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "search.example",
        "ftp://search.example",
        "http://",
        "http://a b/",
        "http://x/?k=1",
        "http://x:y",
    ],
)
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(InvalidRequest, match="--url must be an http:// or https:// URL"):
        http_client(url)


def test_the_url_may_end_in_a_slash_and_have_a_path() -> None:
    with StubServer(lambda _: reply(200, json.dumps(FOUND))) as server:
        http_client(f" HTTP://127.0.0.1:{server.port}/api/ ").search(PARAMS, lambda _: None)
        assert server.requests[0].target.startswith("/api/search?")


def test_the_key_is_sent_to_the_server_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_API_KEY", "the key")
    with (
        StubServer(lambda _: reply(200, b"a picture")) as other,
        StubServer(lambda _: reply(200, json.dumps(FOUND).encode())) as server,
    ):
        client = http_client(server.origin)
        client.search(PARAMS, lambda _: None)
        client.image(f"{server.origin}/images/1.jpg")
        client.image(f"{other.origin}/1.jpg")
    assert [one.headers.get("x-api-key") for one in server.requests] == ["the key", "the key"]
    assert [one.headers.get("x-api-key") for one in other.requests] == [None]
