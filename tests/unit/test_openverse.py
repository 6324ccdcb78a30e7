"""Openverse against a stub of its API, built from its code and its specification."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from imagesearch.domain.errors import Overloaded, SourceRefused, Unavailable
from imagesearch.domain.images import Credit, Image, Listing
from imagesearch.domain.pools import SourceOptions
from imagesearch.settings import load_settings
from imagesearch.sources.declaration import Tools
from imagesearch.sources.download import Downloader
from imagesearch.sources.openverse import OPENVERSE, Openverse, licence_of
from tests.stub_http import Request, StubServer, reply
from tests.unit.test_pixabay import PatientClock

JPEG = b"\xff\xd8\xff a picture \xff\xd9"
OPTIONS = SourceOptions(source="openverse")
API = "https://api.openverse.org"


@contextmanager
def openverse(server: StubServer) -> Iterator[Openverse]:
    clock = PatientClock()

    def downloader(origin: str | None, user_agent: str) -> Downloader:
        hosts = OPENVERSE.hosts
        return Downloader(hosts, clock=clock, allowed_origin=origin, user_agent=user_agent)

    tools = Tools(downloader, lambda: 0.0, lambda: 0.0, clock, lambda _: tools)
    source = Openverse("", tools, api_url=f"{server.origin}/v1/images/", origin=server.origin)
    try:
        yield source
    finally:
        source.close()


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def hit(number: int, origin: str = API, **changes: Any) -> dict[str, Any]:
    return {
        "id": uuid(number),
        "title": "Horse",
        "creator": "Ann\u202e",
        "foreign_landing_url": f"https://flickr.example/{number}",
        "thumbnail": f"{origin}/v1/images/{uuid(number)}/thumb/",
        "license": "by-sa",
        "license_version": "2.0",
        "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
        "width": 1200,
        "height": 900,
        "filetype": "jpg",
        "mature": False,
        "tags": [{"name": "horse", "accuracy": None}, {"name": "cow", "accuracy": 0.9}],
        "indexed_on": "2020-04-29T10:11:12.000000Z",
        **changes,
    }


def listing(request: Request, hits: list[dict[str, Any]]) -> bytes:
    """Answer as to anyone without an account."""
    query = request.query
    number, size = int(query["page"]), int(query["page_size"])
    if size > 20 or number * size > 240:
        return reply(401, '{"detail": "page_size must be at most 20"}')
    assert "mature" not in query, "any value of it lets more through"
    pages = -(-min(len(hits), 240) // size)
    part = hits[(number - 1) * size : number * size]
    return reply(200, json.dumps({"page_count": pages, "results": part, "result_count": 240}))


def images_of(*hits: Any) -> tuple[list[Image], dict[str, str]]:
    def script(request: Request) -> bytes:
        return listing(request, list(hits))

    with StubServer(script) as server, openverse(server) as source:
        found = Listing.joined(source.pages("horse", OPTIONS))
    return [one.image for one in found.images], dict(found.rejections)


def test_200_images_take_ten_requests_each_with_credit_and_licence() -> None:
    def script(request: Request) -> bytes:
        if request.target.endswith("/thumb/"):
            return reply(200, JPEG)
        return listing(request, [hit(n, server.origin) for n in range(1, 300)])

    with StubServer(script) as server, openverse(server) as source:
        listed = [one for part in source.pages("horse", OPTIONS) for one in part.images]
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(source.download, listed)) == [JPEG] * 200
        asked = [one for one in server.requests if "page=" in one.target]
    assert [one.image.image_id for one in listed] == [f"openverse-{uuid(n)}" for n in range(1, 201)]
    licence = "https://creativecommons.org/licenses/by-sa/2.0/"
    assert {one.image.credit for one in listed} == {
        Credit("Ann", "Openverse", "CC BY-SA 2.0", licence)
    }
    assert len(asked) == 10


def test_no_more_is_asked_than_there_is_to_have() -> None:
    def script(request: Request) -> bytes:
        return listing(request, [hit(n) for n in range(1, 300)])

    with StubServer(script) as server, openverse(server) as source:
        most = SourceOptions(source="openverse", pool_size=500)
        assert sum(len(part.images) for part in source.pages("horse", most)) == 240
        assert len(server.requests) == 12


def test_what_is_asked_is_no_more_than_is_allowed_without_an_account() -> None:
    minute, day = OPENVERSE.quota, OPENVERSE.daily_quota
    assert minute is not None
    assert day is not None
    assert 2 * minute.requests <= 20
    assert minute.period_seconds == 60
    assert 2 * day.requests <= 200
    assert day.period_seconds == 86_400


def test_an_image_has_what_its_hit_says() -> None:
    [image], _ = images_of(hit(7))
    assert image.object_name == f"openverse-{uuid(7)}.jpg"
    assert image.page_url == "https://flickr.example/7"
    assert (image.width, image.height, image.year, image.month) == (600, 450, 2020, 4)
    assert image.tags == ("horse",)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://www.flickr.com/photos/126744325@N07/51745389858", "flickr-51745389858"),
        ("https://commons.wikimedia.org/w/index.php?curid=3536953", "commons-3536953"),
        ("https://www.inaturalist.org/photos/7", None),
        (None, None),
    ],
)
def test_a_hit_says_what_its_site_calls_it_where_another_source_may_too(
    url: object, origin: str | None
) -> None:
    with (
        StubServer(lambda request: listing(request, [hit(7, foreign_landing_url=url)])) as server,
        openverse(server) as source,
    ):
        [part] = source.pages("horse", OPTIONS)
    assert [one.origin for one in part.images] == [origin]


def test_what_may_be_null_is_left_empty() -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("creator", "width", "height", "tags", "foreign_landing_url")
    )
    [image], _ = images_of(hit(7, **nothing, filetype="png", license_url="javascript:alert(1)"))
    assert (image.width, image.height, image.tags, image.page_url) == (0, 0, (), "")
    assert image.credit == Credit("unknown", "Openverse", "CC BY-SA 2.0", "")
    assert image.object_name.endswith(".png")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "../x"}, "id must be a UUID in small letters, got '../x'"),
        ({"thumbnail": "https://x.example/1"}, "its host must be one of api.openverse.org, got"),
        ({"thumbnail": "https://10.0.0.1/1"}, "its host must be one of api.openverse.org, got"),
        ({"license": None}, "it names no licence"),
        ({"mature": True}, "it is marked as mature"),
        ({"width": "wide"}, "width must be a whole number from 1 to 100000, got 'wide'"),
    ],
)
def test_a_hit_that_cannot_be_used_is_rejected_alone(changes: dict[str, Any], reason: str) -> None:
    images, reasons = images_of(hit(1), hit(2, **changes))
    assert len(images) == 1
    assert reason in next(iter(reasons.values()))


@pytest.mark.parametrize(
    ("code", "version", "name"),
    [
        ("by-nc-nd", "4.0", "CC BY-NC-ND 4.0"),
        ("cc0", "1.0", "CC0 1.0"),
        ("pdm", "1.0", "Public Domain Mark 1.0"),
        ("by", None, "CC BY"),
        (None, "1.0", ""),
    ],
)
def test_a_licence_is_named_as_people_name_it(code: object, version: object, name: str) -> None:
    assert licence_of({"license": code, "license_version": version}) == name


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (401, '{"detail": "x"}', SourceRefused, "Openverse answered 401"),
        (403, "<html>", SourceRefused, "answered 403; it may refuse this address"),
        (429, '{"detail": "x"}', Overloaded, "the rate limit of Openverse is reached"),
        (500, "<html>", Unavailable, "answered 500"),
        (200, '{"results": {}}', Unavailable, "not with a listing"),
    ],
)
def test_an_answer_that_is_no_listing_is_told(
    status: int, body: str, error: type[Exception], message: str
) -> None:
    answer = reply(status, body, Retry_After="17")
    with StubServer(lambda _: answer) as server, openverse(server) as source:
        with pytest.raises(error, match=message) as caught:
            list(source.pages("horse", OPTIONS))
        assert len(server.requests) == 1
    if isinstance(caught.value, Overloaded):
        assert caught.value.retry_after_seconds == 17


def test_openverse_needs_no_setting_but_its_name() -> None:
    settings = load_settings(source="openverse")
    assert settings.image_source is OPENVERSE
    assert OPENVERSE.needs == ()
    assert settings.policy.max_age_seconds == 7 * 86_400
