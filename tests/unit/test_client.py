"""The client of the search API, and what a server may do to it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import math
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imagesearch.cli.client import opened_server
from imagesearch.client import AsyncClient, Client, SearchFailed, Unreached
from imagesearch.client.http import MAX_ANSWER_BYTES, HttpServer, reply_of, retry_after_seconds
from imagesearch.client.searching import GIVE_UP_SECONDS, Ask, Outcome, Patience, Pause, Reply
from imagesearch.domain.errors import InvalidRequest
from tests.stub_http import Request, StubServer, reply

PARAMS: dict[str, Any] = {"t": "horse", "s_query": "a horse"}
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
class Script:
    """A server of these outcomes, and seconds that pass by waiting alone."""

    outcomes: Iterator[Outcome]
    answering_seconds: float = 0.0
    seconds: float = 0.0
    asked: list[Ask] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)

    def client(self) -> Client:
        return Client(self, patience=Patience(now=lambda: self.seconds), sleep=self.sleep)

    def page(self, **search: Any) -> Any:
        """Return the page as it came."""
        return self.client().page(on_wait=self.pauses.append, **search).as_it_came()

    def ask(self, ask: Ask) -> Reply:
        self.asked.append(ask)
        self.asked_at.append(self.seconds)
        self.seconds += self.answering_seconds
        outcome = next(self.outcomes)
        if isinstance(outcome, Unreached):
            raise outcome
        return outcome

    def image(self, url: str) -> bytes:
        return url.encode()

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def ever(status: int, body: Any, retry_after: float | None) -> Iterator[Outcome]:
    while True:
        yield Reply(status, body, retry_after)


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
    script = Script(ever(status, body, retry_after))
    with pytest.raises(SearchFailed, match="no complete answer within 300 seconds"):
        script.page(**PARAMS)
    assert len(script.asked_at) <= most
    assert script.seconds <= GIVE_UP_SECONDS


def test_an_answer_that_was_waited_for_is_asked_for_again_at_once() -> None:
    waiting = [Reply(202, {"pool": POOL}, 1.0)] * 3
    script = Script(iter([*waiting, Reply(200, FOUND, None)]), answering_seconds=2.0)
    assert script.page(**PARAMS) == FOUND
    assert script.asked_at == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.5),
        ("2.5", 2.5),
        ("-5", None),
        ("1e9", None),
        ("9" * 5000, 86_400.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 27 Nov 2026 12:00:09 GMT", 9.0),
        ("Fri, 27 Nov 2026 12:00:09 -0000", 9.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Fri, 99 Nov 99999 12:00:09 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_within_the_bounds_of_sense(
    header: str, seconds: float | None
) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_a_part_without_text_is_none_to_look_for_in_the_answer() -> None:
    asked = {**PARAMS, "minus": ["", " people ", "people"]}
    script = Script(ever(200, {**FOUND, "minus": ["people"]}, None))
    assert script.page(**asked)["minus"] == ["people"]


@pytest.mark.parametrize("minus", [("people", "a dog"), ["people", "a dog"]])
def test_what_may_be_repeated_is_a_tuple_as_well(minus: Any) -> None:
    script = Script(ever(200, {**FOUND, "minus": ["people", "a dog"]}, None))
    script.page(**PARAMS, minus=minus)
    assert script.asked[0].params["minus"] == ["people", "a dog"]


def test_a_text_alone_is_one_of_what_may_be_repeated() -> None:
    script = Script(ever(200, {**FOUND, "minus": ["people"]}, None))
    script.page(**PARAMS, minus="people")
    assert script.asked[0].params["minus"] == ["people"]


def test_a_newer_server_may_say_more_of_what_it_heard() -> None:
    answer = {
        **FOUND,
        "minus": ["people", "crowds"],
        "filters": {"orientation": "vertical", "kind": "photo"},
    }
    script = Script(ever(200, answer, None))
    assert script.page(**PARAMS, minus=["people"], orientation="vertical") == answer


FILTERED: dict[str, Any] = {**PARAMS, "orientation": "vertical"}


@pytest.mark.parametrize("more", [{}, {"filters": {}}, {"filters": {"orientation": "square"}}])
def test_an_answer_that_is_not_filtered_as_asked_is_refused(more: dict[str, Any]) -> None:
    """A server of the version before takes no notice of a filter."""
    script = Script(ever(200, {**FOUND, **more}, None))
    with pytest.raises(SearchFailed, match="not filtered: it is of another version"):
        script.page(**FILTERED)
    answer = {**FOUND, "filters": {"orientation": "vertical"}, "matching": 1}
    assert Script(ever(200, answer, None)).page(**FILTERED) == answer


# --- trying again --------------------------------------------------------------------------------

AWAY = Unreached("http://127.0.0.1:9/search does not answer: ConnectionError")
ALL = [Reply(200, FOUND, None)]


CASES = json.loads(Path(__file__).with_name("retries.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["what"]))
def test_it_is_asked_again_as_the_client_in_javascript_asks(case: dict[str, Any]) -> None:
    """client.test.mjs holds that one to the same table."""
    script = Script(map(outcome_of, last_for_ever(case["outcomes"])))
    try:
        script.page(**PARAMS)
        end = "answered"
    except SearchFailed as failed:
        end = failed.kind
    assert ([pause.seconds for pause in script.pauses], end) == (case["pauses"], case["ends"])


def last_for_ever(outcomes: list[Any]) -> Iterator[Any]:
    return itertools.chain(outcomes, itertools.repeat(outcomes[-1]))


def outcome_of(outcome: Any) -> Outcome:
    status, retry_after = outcome if isinstance(outcome, list) else (outcome, None)
    bodies: dict[int, Any] = {200: FOUND, 202: {"pool": POOL}}
    body = json.dumps(bodies.get(status, {})).encode()
    return AWAY if status == "away" else reply_of(status, body, retry_after)


def test_why_it_is_asked_again_is_told_with_how_far_the_pool_is() -> None:
    starting = Reply(503, {"error": {"message": "the model is starting"}}, 3.0)
    script = Script(iter([AWAY, starting, Reply(202, {"pool": POOL}, 1.0), *ALL]))
    script.page(**PARAMS)
    away, busy, growing = script.pauses
    assert away.reason == str(AWAY)
    assert busy.reason == "the model is starting (HTTP 503)"
    assert growing.pool is not None
    assert growing.pool.images == 1


def test_a_server_that_stays_away_or_busy_says_why_in_the_end() -> None:
    with pytest.raises(SearchFailed, match="does not answer: ConnectionError"):
        Script(itertools.repeat(AWAY)).page(**PARAMS)
    error = {"error": {"code": "unavailable", "message": "the model starts", "field": None}}
    with pytest.raises(SearchFailed, match=r"the model starts \(HTTP 503\)") as told:
        Script(ever(503, error, 5.0)).page(**PARAMS)
    failure = told.value
    assert (failure.kind, failure.reason, failure.retry_seconds) == (
        "refused",
        "the model starts",
        5.0,
    )


def test_a_server_with_a_login_says_what_it_wants() -> None:
    error = {"error": {"code": "unauthorized", "message": "X-API-Key must be the key"}}
    both_ways = "give the key of this server as api_key, or as SEARCH_API_KEY"
    with pytest.raises(SearchFailed, match=both_ways) as told:
        Script(iter([Reply(401, error, None)])).page(**PARAMS)
    assert (told.value.kind, told.value.status) == ("refused", 401)
    for status in (401, 403, 407):  # of what stands before it, such as a proxy
        with pytest.raises(
            SearchFailed, match=rf"^a login is asked for, .* \(HTTP {status}\)$"
        ) as told:
            Script(iter([Reply(status, None, None)])).page(**PARAMS)
        assert told.value.kind == "login"


# --- paging --------------------------------------------------------------------------------------


def page_with(*image_ids: str, **more: Any) -> Reply:
    results = [{**RESULT, "image_id": image_id} for image_id in image_ids]
    return Reply(200, {**FOUND, "results": results, "next": None, **more}, None)


PAGES = [
    page_with("a", "b", next="x1"),
    page_with("a", "c", next="x2", restarted=True),
    page_with("b", "d"),
]


def test_the_hits_of_all_pages_come_one_after_the_other_and_each_once() -> None:
    script = Script(iter(PAGES))
    hits = [hit.image_id for hit in script.client().search(t="horse", s_query="a horse", k=2)]
    assert hits == ["a", "b", "c", "d"]
    assert [ask.params.get("cursor") for ask in script.asked] == [None, "x1", "x2"]
    assert {ask.params["k"] for ask in script.asked} == {"2"}


def test_no_page_is_asked_for_before_its_hits_are_wanted() -> None:
    script = Script(iter(PAGES[:1]))
    hits = script.client().search(t="horse")
    assert [next(hits).image_id, next(hits).image_id] == ["a", "b"]
    assert len(script.asked) == 1


def test_a_server_whose_pages_never_end_is_left() -> None:
    script = Script(iter(page_with("a", next=f"x{number}") for number in range(2_000)))
    with pytest.raises(SearchFailed, match="more than 1000 pages"):
        list(script.client().search(t="horse"))


# --- answers as they come ------------------------------------------------------------------------


def test_each_answer_is_given_while_the_pictures_come_and_the_whole_one_last() -> None:
    coming: list[Outcome] = [
        Reply(202, {"pool": POOL}, 1.0),
        Reply(200, {**FOUND, "complete": False}, None),
        AWAY,
        *ALL,
    ]
    script = Script(iter(coming))
    answers = list(script.client().answers(on_wait=script.pauses.append, **PARAMS))
    assert [(len(each.results), each.complete) for each in answers] == [
        (0, False),
        (1, False),
        (1, True),
    ]
    assert [ask.params["wait"] for ask in script.asked] == ["0.5", "0.25", "0.25", "0.25"]
    assert [pause.seconds for pause in script.pauses] == [1.0, 0.5, 1.0]

    async def all_answers() -> list[Any]:
        async def sleep(seconds: float) -> None:
            script.sleep(seconds)

        client = AsyncClient(Script(iter(coming)), sleep=sleep)
        return [answer async for answer in client.answers(**PARAMS)]

    assert asyncio.run(all_answers()) == answers


# --- with asyncio --------------------------------------------------------------------------------


def test_with_asyncio_it_is_the_same() -> None:
    script = Script(iter([AWAY, Reply(202, {"pool": POOL}, 1.0), *PAGES]))

    async def sleep(seconds: float) -> None:
        script.sleep(seconds)

    async def all_hits() -> list[str]:
        patience = Patience(now=lambda: script.seconds)
        client = AsyncClient(script, patience=patience, sleep=sleep)
        hits = client.search(on_wait=script.pauses.append, t="horse", k=2)
        return [hit.image_id async for hit in hits]

    assert asyncio.run(all_hits()) == ["a", "b", "c", "d"]
    assert [pause.seconds for pause in script.pauses] == [1.0, 1.0]


def test_with_asyncio_other_work_goes_on_and_a_question_can_be_given_up() -> None:
    asked, over = threading.Event(), threading.Event()

    class Silent(Script):
        def ask(self, ask: Ask) -> Reply:
            asked.set()
            over.wait(30)
            return Reply(200, FOUND, None)

    async def given_up() -> bool:
        page = asyncio.create_task(AsyncClient(Silent(iter(()))).page(t="horse"))
        while not asked.is_set():
            await asyncio.sleep(0)  # which a question that blocked would never come back to
        page.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await page
        return page.cancelled()

    try:
        assert asyncio.run(given_up())
    finally:
        over.set()


def test_what_a_client_reads_besides() -> None:
    collection = {"name": "P", "pictures": 2, "images": 1, "problems": 0, "updating": False}
    replies = [
        Reply(200, {"collections": [collection]}, None),
        Reply(200, {**POOL, "rejections": {"pixabay-1": "truncated"}}, None),
    ]
    script = Script(iter([*replies, *replies]))
    client = script.client()
    assert [each.name for each in client.collections()] == ["P"]
    assert client.pool("f" * 32).rejections == {"pixabay-1": "truncated"}
    assert client.image("u") == b"u"
    eager = AsyncClient(script)
    assert [each.images for each in asyncio.run(eager.collections())] == [1]
    assert asyncio.run(eager.pool("f" * 32)).embedded == 1
    assert asyncio.run(eager.image("u")) == b"u"
    assert {ask.path for ask in script.asked} == {"/collections", f"/pools/{'f' * 32}"}


def test_an_id_of_any_letters_is_one_part_of_the_path() -> None:
    script = Script(ever(404, None, None))
    with pytest.raises(SearchFailed):
        script.client().pool("a/b?c")
    assert script.asked[0].path == "/pools/a%2Fb%3Fc"


def test_a_search_is_asked_as_the_api_takes_it() -> None:
    script = Script(ever(200, FOUND, None))
    script.client().page(t="horse", fold=False, k=3, like_weight=[0.5], picture=b"jpeg")
    (ask,) = script.asked
    asked: dict[str, Any] = {"t": "horse", "fold": "false", "k": "3", "wait": "2"}
    asked["like_weight"] = ["0.5"]
    assert ask == Ask("/search", asked, {"picture": b"jpeg"})


# --- over HTTP -----------------------------------------------------------------------------------

HASTE = Patience(retry_pauses_seconds=())


def hasty(url: str, **options: Any) -> Client:
    """Return a client that tries nothing again."""
    return Client(HttpServer(url, **options), patience=HASTE)


def fails(body: Any, status: int = 200, **headers: str) -> str:
    """Return why a search fails that is answered with *body*."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with (
        StubServer(lambda _: reply(status, data, **headers)) as server,
        pytest.raises(SearchFailed) as caught,
    ):
        hasty(server.origin).page(**PARAMS)
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
    script = Script(ever(200, answer, None))
    assert script.page(**asked) == answer
    assert len(script.asked_at) == 1
    of_a_pool = Script(ever(200, {**FOUND, "like": ["pixabay-2"]}, None))
    with pytest.raises(SearchFailed, match=r"not an imagesearch's: scope"):
        of_a_pool.page(**asked)


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
        hasty(server.origin).page(**PARAMS)


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
        client = hasty(server.origin, exchange_seconds=0.2)
        for ask in (lambda: client.page(**PARAMS), lambda: client.image(server.origin)):
            with pytest.raises(SearchFailed, match=r"did not end its answer within 0\.2 s"):
                ask()


@pytest.mark.parametrize("status", [200, 403])
def test_a_redirect_to_a_sign_in_elsewhere_is_told_as_one(status: int) -> None:
    with (
        StubServer(lambda _: reply(status, "<h1>Sign in</h1>")) as login,
        StubServer(lambda _: reply(302, Location=f"{login.origin}/signin")) as server,
        pytest.raises(SearchFailed, match=r"/signin.*: a login is asked for") as told,
    ):
        hasty(server.origin).page(**PARAMS)
    assert told.value.kind == "login"


def test_redirects_are_followed_to_their_end_and_no_further() -> None:
    def script(request: Request) -> bytes:
        path = request.target.partition("?")[0]
        if path == "/search":
            return reply(302, Location="/again?to=there")
        return reply(200, json.dumps(FOUND)) if path == "/again" else reply(302, Location="/x")

    with StubServer(script) as server:
        client = hasty(server.origin)
        assert client.page(**PARAMS).as_it_came() == FOUND
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
        hasty("http://127.0.0.1:9").image(url)


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


def client(url: str) -> Client:
    """Return a client for which the names of HOSTS, and all that are numbers, have addresses."""

    def addresses(host: str) -> list[str]:
        return HOSTS.get(host) or [str(one[-1][0]) for one in socket.getaddrinfo(host, None)]

    return hasty(url, addresses=addresses)


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
            assert asked.page(**PARAMS).as_it_came() == FOUND
            asked.image(f"http://{host}:{server.port}/1.jpg")
        assert len(server.requests) == 4
        with pytest.raises(SearchFailed, match=r"inside\.example"):  # which only HOSTS knows
            client("http://inside.example:9").image("http://inside.example:9/1.jpg")
    assert proxy.requests == []


def test_what_is_elsewhere_is_asked_through_the_proxy(proxy: StubServer) -> None:
    assert client("http://search.example").page(**PARAMS).as_it_came() == FOUND
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
    bound = "must be an http:// or https:// URL"
    with pytest.raises(InvalidRequest, match=f"^url {bound}"):
        Client(url)
    with (
        pytest.raises(InvalidRequest, match=f"^--url {bound}"),
        opened_server(url, None, model=None, source=None),
    ):
        pass


def test_the_url_may_end_in_a_slash_and_have_a_path() -> None:
    with StubServer(lambda _: reply(200, json.dumps(FOUND))) as server:
        Client(f" HTTP://127.0.0.1:{server.port}/api/ ").page(**PARAMS)
        assert server.requests[0].target.startswith("/api/search?")


def test_the_key_is_sent_to_the_server_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_API_KEY", "the key")
    with (
        StubServer(lambda _: reply(200, b"a picture")) as other,
        StubServer(lambda _: reply(200, json.dumps(FOUND).encode())) as server,
    ):
        client = Client(server.origin)
        client.page(**PARAMS)
        client.image(f"{server.origin}/images/1.jpg")
        client.image(f"{other.origin}/1.jpg")
    assert [one.headers.get("x-api-key") for one in server.requests] == ["the key", "the key"]
    assert [one.headers.get("x-api-key") for one in other.requests] == [None]
