"""The Pixabay client against a scripted server: parameters, pages, errors, hits, and its key."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pytest

from imagesearch.clock import SystemClock
from imagesearch.domain.errors import (
    ImageSearchError,
    InvalidRequest,
    Overloaded,
    RejectedImage,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.images import Credit, Image, ListedImage, Listing
from imagesearch.domain.pools import SourceOptions
from imagesearch.sources.declaration import Declaration
from imagesearch.sources.demo import DEMO
from imagesearch.sources.download import Downloader
from imagesearch.sources.exchange import Limits
from imagesearch.sources.pixabay import PIXABAY
from imagesearch.sources.pixabay_listing import Pixabay
from tests.stub_http import Request, Script, StubServer, reply

KEY = "31415926-s3cret+key/with&odd=signs"
KEY_START = "31415926-s3cret"  # alike in the key itself and in a URL
OPTIONS = SourceOptions()
DOWNLOADER = Downloader(PIXABAY.hosts, clock=SystemClock())
LIMITS = Limits(connect_seconds=5, read_seconds=5, total_seconds=5, max_bytes=500_000)


@dataclass
class PatientClock:
    """A clock whose sleeps are written down and take no time."""

    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)


@dataclass
class World:
    """A stub, a client that asks it, and the client's clock."""

    server: StubServer
    pixabay: Pixabay
    clock: PatientClock

    def listing(self, keyword: str, options: SourceOptions = OPTIONS) -> Listing:
        return Listing.joined(self.pixabay.pages(keyword, options))


@contextmanager
def world(
    script: Script,
    *,
    take_quota: Callable[[], float] = lambda: 0.0,
    limits: Limits = LIMITS,
    downloader: Downloader = DOWNLOADER,
    declaration: Declaration = PIXABAY,
) -> Iterator[World]:
    class Limited(Pixabay):
        pass

    Limited.limits = limits
    clock = PatientClock()
    with StubServer(script) as server:
        pixabay = Limited(
            declaration,
            api_url=server.origin + "/api/",
            api_key=KEY,
            downloader=downloader,
            take_quota=take_quota,
            clock=clock,
        )
        yield World(server, pixabay, clock)


def hit(number: int, **changes: Any) -> dict[str, Any]:
    """Return a hit as Pixabay's documentation shows it."""
    return {
        "id": number,
        "pageURL": f"https://pixabay.com/photos/horse-{number}/",
        "type": "photo",
        "tags": "horse, meadow , flowers",
        "previewURL": f"https://cdn.pixabay.com/photo/{number}_150.jpg",
        "webformatURL": f"https://pixabay.com/get/{number}_640.jpg",
        "webformatWidth": 640,
        "webformatHeight": 427,
        "imageWidth": 4000,
        "imageHeight": 2670,
        "user": "Rosa",
        **changes,
    }


def listing(*hits: object, total: int | None = None) -> bytes:
    """Return an answer with *hits*, of which there are *total* over all pages."""
    reachable = len(hits) if total is None else total
    return reply(200, json.dumps({"hits": hits, "totalHits": reachable, "total": 9999, "new": []}))


def paged(total: int) -> Script:
    """Return a script that pages through *total* hits as Pixabay does."""

    def script(request: Request) -> bytes:
        page, per_page = int(request.query["page"]), int(request.query["per_page"])
        first = (page - 1) * per_page
        if first >= total and page > 1:
            return reply(400, '[ERROR 400] "page" is out of valid range.')
        numbers = range(first, min(first + per_page, total))
        return listing(*[hit(number) for number in numbers], total=total)

    return script


def ids(images: tuple[ListedImage, ...]) -> list[str]:
    return [listed.image.image_id for listed in images]


def test_a_hit_becomes_an_image_of_its_stored_size_with_its_credit() -> None:
    with world(lambda _: listing(hit(736885))) as it:
        found = it.listing("horse")
    image = Image(
        image_id="pixabay-736885",
        object_name="pixabay-736885.jpg",
        page_url="https://pixabay.com/photos/horse-736885/",
        width=640,
        height=427,
        credit=Credit("Rosa", "Pixabay"),
        tags=("horse", "meadow", "flowers"),
    )
    assert found.images == (ListedImage(image, "https://pixabay.com/get/736885_640.jpg"),)
    assert found.rejections == {}


def test_another_source_has_its_own_ids_and_credit() -> None:
    with world(lambda _: listing(hit(5)), declaration=DEMO) as it:
        image = it.listing("horse").images[0].image
    assert (image.image_id, image.object_name) == ("demo-5", "demo-5.jpg")
    assert image.credit == Credit("Rosa", "the demo gallery")


def test_only_what_is_asked_for_is_sent() -> None:
    with world(paged(1)) as it:
        it.listing("horse")
    assert it.server.requests[0].query == {
        "key": KEY,
        "q": "horse",
        "lang": "en",
        "image_type": "all",
        "orientation": "all",
        "safesearch": "true",
        "order": "popular",
        "page": "1",
        "per_page": "200",
    }


def test_every_option_is_sent() -> None:
    options = SourceOptions(
        language="de",
        orientation="horizontal",
        category="nature",
        colors="red,blue",
        safesearch=False,
        pool_size=50,
    )
    with world(paged(1)) as it:
        it.listing("horse", options)
    query = it.server.requests[0].query
    assert (query["lang"], query["orientation"], query["category"]) == (
        "de",
        "horizontal",
        "nature",
    )
    assert (query["colors"], query["safesearch"], query["per_page"]) == ("red,blue", "false", "50")


@pytest.mark.parametrize(
    "keyword", ["a&b", "a#b", "a+b", "100%", "key=x", "a b", "馬 🐎", "é", "q" * 100, "?&page=7"]
)
def test_a_keyword_arrives_as_it_was_typed(keyword: str) -> None:
    with world(paged(1)) as it:
        it.listing(keyword)
    query = it.server.requests[0].query
    assert (query["q"], query["key"], query["page"]) == (keyword, KEY, "1")


@pytest.mark.parametrize(
    ("keyword", "changes", "message"),
    [
        ("", {}, "keyword must have between 1 and 100 characters, got 0"),
        ("q" * 101, {}, "keyword must have between 1 and 100 characters, got 101"),
        ("x", {"pool_size": 0}, "pool_size must have between 1 and 500 images, got 0"),
        ("x", {"pool_size": 501}, "pool_size must have between 1 and 500 images, got 501"),
        ("x", {"language": "xx"}, "language must be one of cs da de .*, got 'xx'"),
        ("x", {"orientation": ""}, "orientation must be one of all .*, got ''"),
        ("x", {"category": "cars"}, "category must be one of .*, got 'cars'"),
        ("x", {"colors": "red,mauve"}, "colors must be one of .*, got 'mauve'"),
        ("x", {"colors": "red,"}, "colors must be one of .*, got ''"),
    ],
)
def test_what_is_out_of_bounds_is_named_and_not_sent(
    keyword: str, changes: dict[str, Any], message: str
) -> None:
    with world(paged(1)) as it, pytest.raises(InvalidRequest, match=message) as caught:
        it.listing(keyword, replace(OPTIONS, **changes))
    assert caught.value.field == message.split()[0]
    assert it.server.connections == 0


@pytest.mark.parametrize(
    ("pool_size", "total", "expected", "requests"),
    [
        (1, 10, 1, 1),
        (3, 10, 3, 1),
        (30, 12, 12, 1),
        (200, 500, 200, 1),
        (200, 200, 200, 1),
        (201, 500, 201, 2),
        (500, 200, 200, 1),
        (500, 201, 201, 2),
        (500, 400, 400, 2),
        (500, 500, 500, 3),
        (200, 0, 0, 1),
    ],
)
def test_pages_are_followed_until_the_pool_is_full_or_the_hits_end(
    pool_size: int, total: int, expected: int, requests: int
) -> None:
    with world(paged(total)) as it:
        found = it.listing("horse", replace(OPTIONS, pool_size=pool_size))
    assert ids(found.images) == [f"pixabay-{number}" for number in range(expected)]
    assert len(it.server.requests) == requests
    assert {3 <= int(request.query["per_page"]) <= 200 for request in it.server.requests} == {True}


def full_page(first: int) -> bytes:
    return listing(*[hit(number) for number in range(first, first + 200)], total=500)


@pytest.mark.parametrize(
    "second",
    [
        reply(400, '[ERROR 400] "page" is out of valid range.'),
        listing(total=500),
        full_page(0),
    ],
    ids=["out of range", "empty", "nothing new"],
)
def test_a_second_page_that_brings_nothing_ends_the_listing(second: bytes) -> None:
    def script(request: Request) -> bytes:
        return full_page(0) if request.query["page"] == "1" else second

    with world(script) as it:
        found = it.listing("horse", replace(OPTIONS, pool_size=500))
    assert len(found.images) == 200
    assert len(it.server.requests) == 2


def test_an_image_on_two_pages_is_listed_once() -> None:
    """New uploads shift the pages while they are read."""

    def script(request: Request) -> bytes:
        return full_page(150 * (int(request.query["page"]) - 1))

    with world(script) as it:
        found = it.listing("horse", replace(OPTIONS, pool_size=400))
    assert ids(found.images) == [f"pixabay-{number}" for number in range(400)]


def test_the_images_of_each_page_are_told_before_the_next_is_asked_for() -> None:
    """What will not be listed is not among them: rejected hits, repeated ones, those too many."""

    def script(request: Request) -> bytes:
        hits = [hit(number) for number in range(200)]
        if request.query["page"] == "2":
            hits = [hit(199), hit(200, webformatURL=""), hit(201), hit(202), hit(203)] * 40
        return listing(*hits, total=400)

    with world(script) as it:
        pages = it.pixabay.pages("horse", replace(OPTIONS, pool_size=203))
        told = [(len(it.server.requests), ids(page.images)) for page in pages]
    first = [f"pixabay-{number}" for number in range(200)]
    assert told == [(1, first), (2, ["pixabay-201", "pixabay-202"])]


def test_an_out_of_range_first_page_is_a_refusal() -> None:
    text = '[ERROR 400] "page" is out of valid range.'
    with world(lambda _: reply(400, text)) as it, pytest.raises(SourceRefused, match="out of"):
        it.listing("horse")


@pytest.mark.parametrize(
    "text",
    [
        "[ERROR 400] Invalid or missing API key (https://pixabay.com/api/docs/).",
        '[ERROR 400] "per_page" is out of valid range.',
    ],
)
def test_a_refusal_says_what_pixabay_said(text: str) -> None:
    with world(lambda _: reply(400, text)) as it, pytest.raises(SourceRefused) as caught:
        it.listing("horse")
    assert text in str(caught.value)
    assert len(it.server.requests) == 1


def test_a_refusal_is_one_printable_line() -> None:
    text = "[ERROR 400]\r\n\x1b]52;c;eA==\x07 \u202e" + "x" * 100_000
    with world(lambda _: reply(400, text)) as it, pytest.raises(SourceRefused) as caught:
        it.listing("horse")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def limited(reset: str) -> bytes:
    return reply(429, "API rate limit exceeded", X_RateLimit_Reset=reset)


def test_a_short_rate_limit_is_waited_for() -> None:
    answers = iter([limited("3"), limited("2"), listing(hit(1))])
    with world(lambda _: next(answers)) as it:
        assert len(it.listing("horse").images) == 1
    assert it.clock.slept == [3.0, 2.0]


def test_a_rate_limit_that_stays_is_overloaded() -> None:
    with world(lambda _: limited("4")) as it, pytest.raises(Overloaded) as caught:
        it.listing("horse")
    assert caught.value.retry_after_seconds == 4.0
    assert len(it.server.requests) == 3
    assert it.clock.slept == [4.0, 4.0]


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("42", 42.0), ("", 60.0), ("soon", 60.0), ("nan", 60.0), ("inf", 60.0), ("86400", 60.0)],
)
def test_a_long_rate_limit_is_left_to_the_queue(reset: str, seconds: float) -> None:
    with world(lambda _: limited(reset)) as it, pytest.raises(Overloaded) as caught:
        it.listing("horse")
    assert caught.value.retry_after_seconds == seconds
    assert len(it.server.requests) == 1
    assert it.clock.slept == []


@pytest.mark.parametrize("reset", ["0", "-7"])
def test_a_rate_limit_that_should_be_over_is_given_a_second(reset: str) -> None:
    answers = iter([limited(reset), listing(hit(1))])
    with world(lambda _: next(answers)) as it:
        it.listing("horse")
    assert it.clock.slept == [1.0]


def test_every_request_takes_quota_and_waits_for_it() -> None:
    waits = iter([0.0, 0.6, 0.0, 0.0])
    with world(paged(500), take_quota=lambda: next(waits)) as it:
        it.listing("horse", replace(OPTIONS, pool_size=500))
    assert len(it.server.requests) == 3
    assert list(waits) == []
    assert it.clock.slept == [0.6]


def test_no_request_is_made_without_quota() -> None:
    with world(paged(1), take_quota=lambda: 31.0) as it, pytest.raises(Overloaded) as caught:
        it.listing("horse")
    assert caught.value.retry_after_seconds == 31.0
    assert it.server.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, "oops"),
        reply(502, "<html>bad gateway</html>"),
        reply(503),
        reply(403, "<html>Just a moment</html>"),
        reply(404, "nothing here"),
        reply(400, "<html>bad request</html>"),
        reply(302, Location="https://evil.com/"),
        reply(204),
        reply(200, "<html>maintenance</html>"),
        reply(200, ""),
        reply(200, b"\xff\xfe\x00"),
        reply(200, '{"hits": [], "totalHits": 0'),
        reply(200, "[" * 100_000),
        reply(200, "1" * 100_000),
        reply(200, "null"),
        reply(200, "[]"),
        reply(200, '"hits"'),
        reply(200, "{}"),
        reply(200, '{"hits": []}'),
        reply(200, '{"hits": null, "totalHits": 0}'),
        reply(200, '{"hits": {"a": 1}, "totalHits": 1}'),
        reply(200, '{"hits": [], "totalHits": "many"}'),
        reply(200, '{"hits": [], "totalHits": NaN}'),
        reply(200, " " * 600_000),
        b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{",
        b"garbage\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_listing_is_unavailable(answer: bytes) -> None:
    def script(request: Request) -> bytes:
        request.connection.sendall(answer)
        return b""

    if b"[[" in answer:  # or what other tests have left is finalized amid the recursion, and fails
        gc.collect()
    with world(script) as it, pytest.raises(Unavailable):
        it.listing("horse")
    assert len(it.server.requests) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webformatURL": None}, "download URL"),
        ({"webformatURL": 7}, "download URL"),
        ({"webformatURL": ""}, "download URL"),
        ({"webformatURL": "http://pixabay.com/get/a.jpg"}, "https"),
        ({"webformatURL": "https://evil.com/a.jpg"}, "evil.com"),
        ({"webformatURL": "https://[/a.jpg"}, "cannot be read"),
        ({"webformatURL": "javascript:alert(1)"}, "https"),
        ({"webformatWidth": 0}, "webformatWidth"),
        ({"webformatWidth": -640}, "webformatWidth"),
        ({"webformatWidth": True}, "webformatWidth"),
        ({"webformatHeight": "427"}, "webformatHeight"),
        ({"webformatHeight": 427.5}, "webformatHeight"),
        ({"webformatHeight": None}, "webformatHeight"),
    ],
)
def test_a_hit_that_cannot_be_used_is_rejected_and_the_others_stay(
    changes: dict[str, Any], reason: str
) -> None:
    with world(lambda _: listing(hit(1), hit(2, **changes), hit(3))) as it:
        found = it.listing("horse")
    assert ids(found.images) == ["pixabay-1", "pixabay-3"]
    assert list(found.rejections) == ["pixabay-2"]
    assert reason in found.rejections["pixabay-2"]


@pytest.mark.parametrize("name", ["webformatURL", "webformatWidth", "webformatHeight"])
def test_a_hit_without_a_needed_key_is_rejected(name: str) -> None:
    lacking = hit(2)
    del lacking[name]
    with world(lambda _: listing(hit(1), lacking)) as it:
        found = it.listing("horse")
    assert ids(found.images) == ["pixabay-1"]
    assert list(found.rejections) == ["pixabay-2"]


def test_hits_without_a_usable_id_are_rejected_by_their_place_in_the_listing() -> None:
    def script(request: Request) -> bytes:
        first = 200 * (int(request.query["page"]) - 1)
        hits: list[object] = [hit(number) for number in range(first, first + 200)]
        hits[7] = hit(1, id="7")
        return listing(*hits, total=400)

    with world(script) as it:
        found = it.listing("horse", replace(OPTIONS, pool_size=400))
    assert len(found.images) == 398
    assert list(found.rejections) == ["pixabay-hit-8", "pixabay-hit-208"]
    assert found.rejections["pixabay-hit-8"].startswith("id must be a whole number from 0 to ")


def test_no_more_pages_are_asked_for_than_pixabay_has() -> None:
    """A source that repeats itself but for one hit a page would cost all of the quota."""

    def script(request: Request) -> bytes:
        first = int(request.query["page"])
        return listing(*[hit(number) for number in range(first, first + 200)], total=10**6)

    with world(script) as it:
        found = it.listing("horse", replace(OPTIONS, pool_size=500))
    assert len(found.images) == 202
    assert len(it.server.requests) == 3


def test_an_answer_over_the_limit_says_so() -> None:
    large = listing(hit(1, user="x" * 600_000))
    with (
        world(lambda _: large) as it,
        pytest.raises(Unavailable, match="answered with more than 500000 bytes"),
    ):
        it.listing("horse")


def test_rejected_hits_count_towards_the_size_of_the_pool() -> None:
    hits = [hit(1), hit(2, webformatWidth=0), hit(3), hit(4)]
    with world(lambda _: listing(*hits)) as it:
        found = it.listing("horse", replace(OPTIONS, pool_size=3))
    assert ids(found.images) == ["pixabay-1", "pixabay-3"]
    assert list(found.rejections) == ["pixabay-2"]


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"tags": "red, Red,red , ,blue"}, "tags", ("red", "Red", "blue")),
        ({"tags": ""}, "tags", ()),
        ({"tags": None}, "tags", ()),
        ({"tags": ["a"]}, "tags", ()),
        ({"tags": "\ud83d\udc0e, \ud800"}, "tags", ("🐎", "?")),
        ({"pageURL": "javascript:alert(1)"}, "page_url", ""),
        ({"pageURL": None}, "page_url", ""),
        ({"pageURL": "HTTP://x.org/"}, "page_url", "HTTP://x.org/"),
        ({"user": ""}, "credit", Credit("unknown", "Pixabay")),
        ({"user": None}, "credit", Credit("unknown", "Pixabay")),
        ({"user": " <b>&\n"}, "credit", Credit("<b>&", "Pixabay")),
        ({"webformatURL": "https://pixabay.com/get/a.PNG?x=.gif"}, "object_name", "pixabay-1.png"),
        ({"webformatURL": "https://pixabay.com/get/a.webp"}, "object_name", "pixabay-1.webp"),
        ({"webformatURL": "https://pixabay.com/get/a.jpeg"}, "object_name", "pixabay-1.jpg"),
        ({"webformatURL": "https://pixabay.com/get/a.php"}, "object_name", "pixabay-1.jpg"),
        ({"webformatURL": "https://pixabay.com/"}, "object_name", "pixabay-1.jpg"),
    ],
)
def test_what_is_only_shown_never_costs_an_image(
    changes: dict[str, Any], attribute: str, value: object
) -> None:
    with world(lambda _: listing(hit(1, **changes))) as it:
        image = it.listing("horse").images[0].image
    assert getattr(image, attribute) == value


def test_an_image_is_downloaded_by_the_downloader() -> None:
    with StubServer(lambda _: reply(200, b"\xff\xd8\xff image")) as gallery:
        downloader = Downloader(PIXABAY.hosts, clock=SystemClock(), allowed_origin=gallery.origin)
        offered = hit(1, webformatURL=gallery.origin + "/get/1_640.jpg")
        with world(lambda _: listing(offered, hit(2)), downloader=downloader) as it:
            first, second = it.listing("horse").images
            assert it.pixabay.download(first) == b"\xff\xd8\xff image"
    with pytest.raises(RejectedImage):
        it.pixabay.download(replace(second, download_url="https://evil.com/a.jpg"))


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, f"{KEY} is what you sent"),
        reply(302, Location=f"https://{KEY_START}.evil.com/"),
        reply(302, Location=f"https://{KEY_START}.pixabay.com:99/"),
        reply(302, Location=f"{KEY_START}://pixabay.com/"),
    ],
)
def test_why_an_image_cannot_be_had_does_not_hold_the_key(answer: bytes) -> None:
    """The host of the images may be that of the listing, which was told it."""
    with StubServer(lambda _: answer) as gallery:
        downloader = Downloader(PIXABAY.hosts, clock=SystemClock(), allowed_origin=gallery.origin)
        offered = hit(1, webformatURL=gallery.origin + "/get/1_640.jpg")
        with world(lambda _: listing(offered), downloader=downloader) as it:
            [image] = it.listing("horse").images
            with pytest.raises(RejectedImage) as caught:
                it.pixabay.download(image)
    assert KEY_START[:12] not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def echo(request: Request) -> bytes:
    """Send the request's own words back, as a server of another protocol may."""
    request.connection.sendall(request.target.encode() + b"\r\n\r\n")
    return b""


def echo_in_a_header(request: Request) -> bytes:
    """Send them as a header that cannot be parsed, which urllib3 logs with a traceback."""
    line = f"GET {request.target}".encode()
    request.connection.sendall(b"HTTP/1.1 200 OK\r\nA: b\r\n" + line + b"\r\nC: d\r\n\r\n")
    return b""


def echo_the_key_in_a_header(request: Request) -> bytes:
    request.connection.sendall(f"HTTP/1.1 200 OK\r\nA: b\r\n{KEY}\r\nC: d\r\n\r\n".encode())
    return b""


FAILURES: dict[str, Script] = {
    "time-out": lambda request: (request.connection.recv(1), b"")[1],
    "closed": lambda _: b"",
    "400": lambda _: reply(400, "[ERROR 400] Invalid or missing API key"),
    "400 that repeats the key": lambda _: reply(400, f"the key {KEY} is bad"),
    "400 that repeats a piece of the key": lambda _: reply(400, f"{KEY[:20]}: no such key"),
    "400 that encodes the key": lambda _: reply(400, quote(quote(KEY, safe=""))),
    "400 that repeats the URL": lambda request: reply(400, "bad: " + request.target),
    "429": lambda _: limited("60"),
    "500": lambda request: reply(500, request.target),
    "302": lambda request: reply(302, Location="http://127.0.0.1:1" + request.target),
    "other JSON": lambda request: reply(200, json.dumps({"hits": request.target})),
    "HTML": lambda request: reply(200, f"<html>{request.target}</html>"),
    "no HTTP": echo,
    "no header": echo_in_a_header,
    "no header, the key alone": echo_the_key_in_a_header,
}


def frames_of(traceback: TracebackType | None) -> Iterator[str]:
    """Yield the locals of the package's own frames, as an error page would print them."""
    while traceback is not None:
        if "imagesearch" in traceback.tb_frame.f_globals["__name__"]:
            yield from map(repr, traceback.tb_frame.f_locals.values())
        traceback = traceback.tb_next


def assert_hides_the_key(error: ImageSearchError) -> None:
    """The key is in no text of *error*, in no frame it came through, and nothing is behind it."""
    assert KEY_START not in str(error) + repr(error.args) + repr(vars(error))
    assert (error.__cause__, error.__context__) == (None, None)
    frames = list(frames_of(error.__traceback__))
    assert len(frames) > 5
    assert [text for text in frames if KEY_START in text] == []


@pytest.mark.parametrize("name", FAILURES)
def test_no_log_error_or_trace_holds_the_key(
    name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        world(FAILURES[name], limits=replace(LIMITS, read_seconds=0.2)) as it,
        pytest.raises(ImageSearchError) as caught,
    ):
        it.listing("horse")
    assert it.server.requests[0].query["key"] == KEY
    assert_hides_the_key(caught.value)
    assert KEY_START not in caplog.text + "".join(capfd.readouterr())
    assert [record for record in caplog.records if KEY_START in repr(vars(record))] == []
    if name in ("400", "429", "500", "HTML"):
        assert "GET /api/?key=***&q=horse" in caplog.text  # so urllib3 did log the request


def test_a_refused_connection_and_a_success_do_not_show_the_key_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with world(paged(3)) as it:
        it.listing("horse")
    with pytest.raises(Unavailable, match="Pixabay is not available: 127") as caught:
        it.listing("horse")
    assert_hides_the_key(caught.value)
    assert KEY_START not in caplog.text + repr(it.pixabay) + repr(vars(it.pixabay))
    assert "key=***" in caplog.text
