"""Wikimedia Commons against a stub of its API and hosts, built from its documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from imagesearch.clock import SystemClock
from imagesearch.compose.fetch import compose
from imagesearch.domain.errors import (
    InvalidRequest,
    Overloaded,
    RejectedImage,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.images import Credit, Image, Listing
from imagesearch.domain.pools import SourceOptions
from imagesearch.ports import Clock
from imagesearch.settings import load_settings
from imagesearch.sources.commons import COMMONS, WIDTHS, Commons
from imagesearch.sources.declaration import Quota, Tools
from imagesearch.sources.download import Downloader
from tests.stub_http import Request, StubServer, reply
from tests.unit.test_pixabay import PatientClock

CONTACT = "ann@example.org"
JPEG = b"\xff\xd8\xff a picture \xff\xd9"
OPTIONS = SourceOptions(source="commons")
THUMBNAILS = "https://thumb.wikimedia.org"
AGENT = re.compile(r"imagesearch\S* \(ann@example\.org\) .+")


def tools_of(clock: Clock, take_download: Callable[[], float] = lambda: 0.0) -> Tools:
    def downloader(origin: str | None, user_agent: str) -> Downloader:
        hosts = COMMONS.hosts
        return Downloader(hosts, clock=clock, allowed_origin=origin, user_agent=user_agent)

    return Tools(downloader, lambda: 0.0, take_download, clock, lambda _: tools_of(clock))


@contextmanager
def commons(server: StubServer, clock: Clock | None = None) -> Iterator[Commons]:
    url = f"{server.origin}/w/api.php"
    source = Commons(CONTACT, tools_of(clock or PatientClock()), api_url=url, origin=server.origin)
    try:
        yield source
    finally:
        source.close()


def page(
    number: int, origin: str = "https://thumb.wikimedia.org", **changes: Any
) -> dict[str, Any]:
    thumb = f"{origin}/wikipedia/commons/thumb/a/ab/P{number}.jpg/960px-P{number}.jpg"
    metadata = {
        "LicenseShortName": "CC BY-SA 4.0",
        "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
        "Artist": '<a href="//commons.wikimedia.org/wiki/User:Ann">Ann &amp; <b>Bob</b></a>',
        "Categories": "Horses|Meadows in May",
        **changes.pop("metadata", {}),
    }
    info = {
        "thumburl": f"{thumb}?utm_source=commons",
        "thumbwidth": 960,
        "thumbheight": 640,
        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:P{number}.jpg",
        "mime": "image/jpeg",
        "user": "Uploader",
        "timestamp": "2019-05-06T07:08:09Z",
        "extmetadata": {name: {"value": value, "source": "x"} for name, value in metadata.items()},
        **changes,
    }
    return {"pageid": number, "index": number, "imageinfo": [info]}


def listing(request: Request, pages: list[dict[str, Any]]) -> bytes:
    """Answer as the Action API does: by offset, in the order of the database."""
    query = request.query
    offset, limit = int(query.get("gsroffset", 0)), int(query["gsrlimit"])
    assert limit <= 50, "the rest would have no thumbnail"
    assert int(query["iiurlwidth"]) in WIDTHS
    found = pages[offset : offset + limit]
    answer: dict[str, Any] = {"batchcomplete": True, "query": {"pages": found[::-1]}}
    if offset + limit < len(pages):
        answer["continue"] = {"gsroffset": offset + limit, "continue": "gsroffset||"}
    return reply(200, json.dumps(answer))


def images_of(*pages: dict[str, Any]) -> tuple[list[Image], dict[str, str]]:
    answer = lambda request: listing(request, list(pages))  # noqa: E731
    with StubServer(answer) as server, commons(server) as source:
        found = Listing.joined(source.pages("horse", OPTIONS))
    return [one.image for one in found.images], dict(found.rejections)


def test_200_images_come_in_order_each_with_credit_and_licence_and_no_429_is_caused() -> None:
    """The stub answers 429 past two at once, and 403 without a contact."""

    def script(request: Request) -> bytes:
        if not AGENT.fullmatch(request.headers["user-agent"]):
            return reply(403, "see the User-Agent policy")
        if server.busiest > 2:
            return reply(429)
        if "/thumb/" in request.target:
            server.closing.wait(0.003)
            return reply(200, JPEG)
        return listing(request, [page(n, server.origin) for n in range(1, 300)])

    with StubServer(script) as server, commons(server) as source:
        with ThreadPoolExecutor(16) as threads:
            listed = [one for part in source.pages("horse", OPTIONS) for one in part.images]
            assert list(threads.map(source.download, listed)) == [JPEG] * 200
        asked = [one for one in server.requests if "api.php" in one.target]
    assert [one.image.image_id for one in listed] == [f"commons-{n}" for n in range(1, 201)]
    licence = "https://creativecommons.org/licenses/by-sa/4.0"
    credit = Credit("Ann & Bob", "Wikimedia Commons", "CC BY-SA 4.0", licence)
    assert {one.image.credit for one in listed} == {credit}
    assert len(asked) == 4
    assert server.busiest == 2


def test_what_is_asked_in_a_minute_is_below_what_wikimedia_allows() -> None:
    def most(seconds: float, *quotas: Quota | None) -> float:
        return sum(one.requests * (1 + seconds / one.period_seconds) for one in quotas if one)

    assert most(60.0, COMMONS.quota, COMMONS.download_quota) < 200
    assert most(1.0, COMMONS.quota) < 5


def test_an_image_has_what_its_page_says() -> None:
    [image], _ = images_of(page(7))
    assert image.object_name == "commons-7.jpg"
    assert image.page_url == "https://commons.wikimedia.org/wiki/File:P7.jpg"
    assert (image.width, image.height, image.year, image.month) == (960, 640, 2019, 5)
    assert image.tags == ("Horses", "Meadows in May")


@pytest.mark.parametrize("host", COMMONS.hosts)
def test_thumbnails_of_both_hosts_are_taken(host: str) -> None:
    [image], _ = images_of(page(7, f"https://{host}"))
    assert image.image_id == "commons-7"


def test_a_credit_that_the_author_demands_goes_before_the_artist() -> None:
    html = "<script>alert(1)</script><p>Photo:</p><p>Ann <i>L.</i>&lt;b&gt;</p>"
    [image], _ = images_of(page(7, metadata={"Attribution": html}))
    assert image.credit.user == "Photo: Ann L.<b>"


@pytest.mark.parametrize(
    ("credit", "origin"),
    [
        (
            '<a rel="nofollow" href="https://www.flickr.com/photos/1@N07/517453/">x</a>',
            "flickr-517453",
        ),
        (
            '<a href="//flickr.com/photos/ann/7">x</a> https://www.flickr.com/photos/1@N0/7',
            "flickr-7",
        ),
        ("https://www.flickr.com/photos/ann/7 and https://www.flickr.com/photos/ann/8", None),
        ("https://www.flickr.com/photos/ann", None),
        ("Own work", None),
    ],
)
def test_a_file_that_is_of_flickr_says_of_which_photograph(credit: str, origin: str | None) -> None:
    with (
        StubServer(
            lambda request: listing(request, [page(7, metadata={"Credit": credit})])
        ) as server,
        commons(server) as source,
    ):
        [part] = source.pages("horse", OPTIONS)
    assert [one.origin for one in part.images] == [origin]


def test_without_an_artist_the_uploader_is_credited() -> None:
    [image], _ = images_of(page(7, metadata={"Artist": "<br>"}))
    assert image.credit.user == "Uploader"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mime": "image/tiff"}, "mime must be one of image/jpeg image/png image/webp, got 'image"),
        (
            {
                "thumburl": "https://upload.wikimedia.org/wikipedia/commons/thumb/a/P.jpg/640px-P.jpg"
            },
            "thumburl must have one of the widths 20 40 60 120 250 330 500 960 1280 1920 3840",
        ),
        (
            {"thumburl": "https://evil.example/P.jpg"},
            "its host must be one of upload.wikimedia.org",
        ),
        ({"thumburl": "http://127.0.0.1/P.jpg"}, "its download URL must be https, got 'http'"),
        ({"thumburl": None}, "thumburl must be a download URL of 1 to 400 characters, got None"),
        ({"thumbwidth": -1}, "thumbwidth must be a whole number from 1 to 100000, got -1"),
        ({"metadata": {"LicenseShortName": "", "UsageTerms": ""}}, "it names no licence"),
        ({"metadata": {"NonFree": "true"}}, "it is not free"),
        ({"extmetadata": []}, "it names no licence"),
    ],
)
def test_a_file_that_cannot_be_used_is_rejected_alone(changes: dict[str, Any], reason: str) -> None:
    images, reasons = images_of(page(1), page(2, **changes))
    assert [one.image_id for one in images] == ["commons-1"]
    assert reason in reasons["commons-2"]


def test_image_info_that_comes_in_two_answers_is_put_together() -> None:
    whole = [page(1), page(2)]

    def script(request: Request) -> bytes:
        if "iicontinue" in request.query:
            assert request.query["continue"] == "||info"
            answer = {"batchcomplete": True, "query": {"pages": [{"pageid": 1}, whole[1]]}}
        else:
            first = {"pages": [whole[0], {"pageid": 2, "index": 2}]}
            answer = {"query": first, "continue": {"iicontinue": "P2|x", "continue": "||info"}}
        return reply(200, json.dumps(answer))

    with StubServer(script) as server, commons(server) as source:
        found = list(source.pages("horse", OPTIONS))
    assert [[one.image.image_id for one in part.images] for part in found] == [
        ["commons-1", "commons-2"]
    ]


def test_no_hit_is_an_answer() -> None:
    answer = reply(200, '{"batchcomplete": true}')
    with StubServer(lambda _: answer) as server, commons(server) as source:
        assert Listing.joined(source.pages("horse", OPTIONS)) == Listing(())


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (200, {"error": {"code": "badvalue", "info": "no"}}, SourceRefused, "badvalue: no"),
        (200, {"error": {"code": "internal_api_error", "info": ""}}, Unavailable, "internal_api"),
        (200, {"error": {"code": "ratelimited", "info": ""}}, Overloaded, "ratelimited"),
        (200, {"error": "x"}, Unavailable, "of no form"),
        (200, {"query": 7}, Unavailable, "not with a listing"),
        (200, [], Unavailable, "not with a listing"),
        (403, "<html>", SourceRefused, "answered 403; it may refuse this address, or SOURCE_CON"),
        (429, "", Overloaded, "the rate limit of Wikimedia Commons is reached"),
        (301, "", Unavailable, "answered 301"),
        (503, "<html>", Unavailable, "answered 503"),
    ],
)
def test_an_answer_that_is_no_listing_is_told(
    status: int, body: object, error: type[Exception], message: str
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with StubServer(lambda _: reply(status, text, Location="http://127.0.0.1/")) as server:
        with commons(server) as source, pytest.raises(error, match=message):
            list(source.pages("horse", OPTIONS))
        assert len(server.requests) == 1


def test_a_download_that_meets_429_waits_for_as_long_as_the_host_asks() -> None:
    clock, answers = PatientClock(), [reply(429, Retry_After="30"), reply(200, JPEG)]

    def script(request: Request) -> bytes:
        if "/thumb/" in request.target:
            return answers.pop(0)
        return listing(request, [page(1, server.origin)])

    with StubServer(script) as server, commons(server, clock) as source:
        [part] = source.pages("horse", OPTIONS)
        assert source.download(part.images[0]) == JPEG
    assert sum(clock.slept) == pytest.approx(30.0)


def test_a_thumbnail_that_is_redirected_elsewhere_is_rejected() -> None:
    def script(request: Request) -> bytes:
        if "/thumb/" in request.target:
            return reply(302, Location="http://169.254.169.254/latest")
        return listing(request, [page(1, server.origin)])

    with StubServer(script) as server, commons(server) as source:
        [part] = source.pages("horse", OPTIONS)
        with pytest.raises(RejectedImage, match="must be https, got 'http'"):
            source.download(part.images[0])


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("-horse incategory:x", "horse incategory x"),
        ('"a|b" ~c', "a b c"),
        ("jack-o'-lantern",) * 2,
    ],
)
def test_a_keyword_holds_no_operator_of_the_search(keyword: str, words: str) -> None:
    with StubServer(lambda request: listing(request, [])) as server, commons(server) as source:
        list(source.pages(keyword, OPTIONS))
        assert server.requests[0].query["gsrsearch"] == f"{words} filemime:image/jpeg"


def test_a_keyword_without_a_word_is_refused() -> None:
    source = Commons(CONTACT, tools_of(SystemClock()))
    with pytest.raises(InvalidRequest, match=r"keyword must have a word for .*, got '\?!'"):
        source.pages("?!", OPTIONS)
    source.close()


def test_a_fetcher_of_commons_needs_a_contact() -> None:
    with pytest.raises(InvalidRequest, match="SOURCE_CONTACT is missing"):
        compose(load_settings(source="commons", google_cloud_project="p-12345", images_bucket="i"))


@pytest.mark.parametrize("contact", ["ann", "a b@c.de", "(x)@c.de", "https://a b", "x" * 300])
def test_a_contact_that_is_none_names_itself_its_bound_and_its_value(contact: str) -> None:
    bound = "SOURCE_CONTACT: must be an e-mail address or an http:// or https:// URL"
    with pytest.raises(InvalidRequest) as caught:
        load_settings(source_contact=contact)
    assert str(caught.value).startswith(bound)
    assert contact[:190] in str(caught.value)
