"""The demo gallery over real sockets, held against the facts of Pixabay's API documentation."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from imagesearch.demo import drawing, keywords, scenes, wording
from imagesearch.demo.gallery import (
    FIRST_ID,
    RateLimit,
    create_gallery,
)
from imagesearch.local.gallery_server import running_gallery
from imagesearch.sources.demo import KEYWORDS

DAY = 24 * 3600
EXPIRED = "This URL is invalid or has expired."


@dataclass
class FakeClock:
    """A clock that stands still until it is moved."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a gallery that does not limit the rate."""
    with (
        running_gallery(partial(create_gallery, limit=10**6)) as base_url,
        httpx.Client(base_url=base_url) as client,
    ):
        yield client


def ask(client: httpx.Client, **parameters: str | int) -> httpx.Response:
    return client.get("/api/", params={"key": "demo", **parameters})


def hits(client: httpx.Client, **parameters: str | int) -> list[dict[str, Any]]:
    response = ask(client, **parameters)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["hits"]
    return found


def tags(hit: dict[str, Any]) -> set[str]:
    return set(hit["tags"].split(", "))


def size(response: httpx.Response) -> tuple[int, int]:
    assert response.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(response.content)) as picture:
        picture.load()
        return picture.size


def test_a_hit_has_every_documented_field(client: httpx.Client) -> None:
    documented = (
        "id pageURL type tags previewURL previewWidth previewHeight webformatURL webformatWidth "
        "webformatHeight largeImageURL imageWidth imageHeight imageSize views downloads likes "
        "comments user_id user userImageURL"
    ).split()
    hit = hits(client, q="star")[0]
    assert [name for name in documented if name not in hit] == []
    assert hit["id"] >= FIRST_ID
    assert hit["user"] == "imagesearch demo"


def test_twenty_hits_come_by_default_and_totals_say_what_is_reachable(client: httpx.Client) -> None:
    answer = ask(client, q="star").json()
    assert len(answer["hits"]) == 20
    assert answer["total"] > 500
    assert answer["totalHits"] == 500


def test_pages_show_every_reachable_hit_once(client: httpx.Client) -> None:
    pages = [hits(client, q="star", per_page=200, page=page) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [200, 200, 100]
    assert len({hit["id"] for page in pages for hit in page}) == 500


def test_a_page_past_the_reachable_hits_is_a_plain_text_400(client: httpx.Client) -> None:
    response = ask(client, q="star", per_page=200, page=4)
    assert response.status_code == 400
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == '[ERROR 400] "page" is out of valid range.'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("per_page", "2"),
        ("per_page", "201"),
        ("per_page", "ten"),
        ("per_page", "²"),
        ("page", "0"),
        ("page", "-1"),
        ("page", "9" * 5000),
        ("q", "x" * 101),
        ("lang", "xx"),
        ("image_type", "film"),
        ("orientation", "diagonal"),
        ("category", "cats"),
        ("colors", "red,mauve"),
        ("min_width", "-1"),
        ("min_height", "1.5"),
        ("editors_choice", "yes"),
        ("safesearch", "1"),
        ("order", "random"),
    ],
)
def test_a_parameter_out_of_bounds_is_named_in_a_400(
    client: httpx.Client, name: str, value: str
) -> None:
    response = ask(client, **{name: value})
    assert (response.status_code, response.text) == (
        400,
        f'[ERROR 400] "{name}" is out of valid range.',
    )


def test_the_bounds_themselves_are_accepted(client: httpx.Client) -> None:
    assert len(hits(client, q="star", per_page=3)) == 3
    assert len(hits(client, q="star", per_page=200)) == 200
    assert hits(client, q="x" * 100) == []


@pytest.mark.parametrize("key", [None, "", "wrong", "dëmo"])
def test_a_wrong_or_missing_key_is_a_400(client: httpx.Client, key: str | None) -> None:
    response = client.get("/api/", params={} if key is None else {"key": key})
    assert response.status_code == 400
    assert response.text == (
        "[ERROR 400] Invalid or missing API key (https://pixabay.com/api/docs/)."
    )


@pytest.mark.parametrize(
    "keyword", ["xylophone", "red xylophone", "木琴", "🪇", "in the", "' OR 1=1 --"]
)
def test_a_keyword_that_nothing_shows_has_no_hits(client: httpx.Client, keyword: str) -> None:
    assert ask(client, q=keyword).json() == {"total": 0, "totalHits": 0, "hits": []}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_suggested_keyword_has_200_hits_and_more_that_show_it(
    client: httpx.Client, keyword: str
) -> None:
    answer = ask(client, q=keyword, per_page=200).json()
    assert answer["totalHits"] == min(500, answer["total"])
    assert answer["total"] > 200
    assert all(keyword in tags(hit) for hit in answer["hits"])


def test_several_words_and_plurals_and_capitals_narrow_the_search(client: httpx.Client) -> None:
    found = hits(client, q=" Horses  in SNOW, night ")
    assert found
    assert all({"horse", "snow", "night"} <= tags(hit) for hit in found)


@pytest.mark.parametrize(
    ("lang", "keyword", "tag"),
    [
        *(("de", "Pferd", "pferd"), ("de", "Pferde", "pferd"), ("fr", "cheval", "cheval")),
        *(("it", "cavallo", "cavallo"), ("pl", "konie", "koń"), ("ru", "лошадь", "лошадь")),
        *(("ja", "馬", "馬"), ("ko", "말", "말"), ("zh", "马", "马"), ("tr", "at", "at")),
    ],
)
def test_a_keyword_is_found_in_its_language_and_the_tags_are_of_it(
    client: httpx.Client, lang: str, keyword: str, tag: str
) -> None:
    found = hits(client, q=keyword, lang=lang)
    assert [hit["id"] for hit in found] == [hit["id"] for hit in hits(client, q="horse")]
    assert all(tag in tags(hit) for hit in found)


@pytest.mark.parametrize(
    ("keyword", "english"),
    [
        *(("Katze mit Pizza", "cat pizza"), ("पेंगुइन", "penguin"), ("بطريق", "penguin")),
        *(("fleurs", "flower"), ("steed amidst blossoms", "horse flower")),
    ],
)
def test_a_keyword_of_any_language_is_found_whatever_language_is_asked_for(
    client: httpx.Client, keyword: str, english: str
) -> None:
    expected = [hit["id"] for hit in hits(client, q=english)]
    assert expected
    assert [hit["id"] for hit in hits(client, q=keyword)] == expected


def test_a_word_that_means_one_thing_in_its_language_means_that(client: httpx.Client) -> None:
    [english, german] = [hits(client, q="hut", lang=lang) for lang in ("en", "de")]
    assert all("hut" in tags(hit) for hit in english)
    shown = [scenes.scene(hit["id"] - FIRST_ID) for hit in german]
    assert all("hat" in {group.thing for group in scene.groups} for scene in shown)


def test_no_keyword_finds_everything(client: httpx.Client) -> None:
    assert ask(client).json()["total"] == scenes.SCENE_COUNT


def test_the_same_search_gives_the_same_pictures_and_latest_turns_them_round(
    client: httpx.Client,
) -> None:
    popular = [hit["id"] for hit in hits(client, q="castle moon")]
    assert 3 < len(popular) < 20
    assert popular == [hit["id"] for hit in hits(client, q="castle moon")]
    latest = [hit["id"] for hit in hits(client, q="castle moon", order="latest")]
    assert latest == popular[::-1]


@pytest.mark.parametrize(
    ("keyword", "description"),
    [
        ("horse", "two horses amidst flowers in a meadow by day"),
        ("flower", "two horses amidst flowers in a meadow by day"),
        ("night", "a dog with a guitar under the moon in a meadow at night"),
        ("cow", "three cows in a meadow by day"),
        ("Katze", "a cat to the left of a pizza by the sea at sunset"),
    ],
)
def test_the_first_hits_hold_the_examples_of_the_documentation(
    client: httpx.Client, keyword: str, description: str
) -> None:
    shown = [scenes.scene(hit["id"] - FIRST_ID) for hit in hits(client, q=keyword)]
    assert description in map(wording.describe, shown)


@pytest.mark.parametrize(
    "filters",
    [
        {"orientation": "vertical"},
        {"min_width": 641},
        {"min_height": 428},
        {"image_type": "photo"},
        {"editors_choice": "true"},
        {"colors": "grayscale"},
        {"category": "fashion", "colors": "transparent"},
    ],
)
def test_a_filter_that_no_picture_passes_leaves_nothing(
    client: httpx.Client, filters: dict[str, str | int]
) -> None:
    assert hits(client, q="star", **filters) == []


def test_filters_that_every_picture_passes_change_nothing(client: httpx.Client) -> None:
    everything = [hit["id"] for hit in hits(client, q="star")]
    passed = hits(
        client,
        q="star",
        orientation="horizontal",
        min_width=640,
        min_height=427,
        image_type="illustration",
        safesearch="true",
    )
    assert [hit["id"] for hit in passed] == everything


def test_colours_and_categories_filter_by_what_is_shown(client: httpx.Client) -> None:
    lilac = hits(client, q="castle", colors="lilac", per_page=200)
    assert lilac
    for scene in (scenes.scene(hit["id"] - FIRST_ID) for hit in lilac):
        colours = {
            colour for group in scene.groups for colour in scenes.THINGS[group.thing].colours
        }
        assert scene.time == "sunset" or "lilac" in colours
    music = hits(client, category="music", per_page=200)
    shown = [scenes.scene(hit["id"] - FIRST_ID) for hit in music]
    assert len(shown) == 200
    assert all(
        "music" in {scenes.THINGS[group.thing].category for group in scene.groups}
        for scene in shown
    )


def test_every_address_of_a_hit_answers_at_its_stated_size(client: httpx.Client) -> None:
    hit = hits(client, q="house")[0]
    assert size(client.get(hit["webformatURL"])) == (hit["webformatWidth"], hit["webformatHeight"])
    assert size(client.get(hit["previewURL"])) == (hit["previewWidth"], hit["previewHeight"])
    assert size(client.get(hit["largeImageURL"])) == (hit["imageWidth"], hit["imageHeight"])


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("_180", (270, 180)), ("_340", (510, 340)), ("_640", (640, 427)), ("_960", (640, 427))],
)
def test_the_webformat_address_has_variants(
    client: httpx.Client, variant: str, expected: tuple[int, int]
) -> None:
    address = hits(client, q="house")[0]["webformatURL"].replace("_640", variant)
    assert size(client.get(address)) == expected


def test_the_picture_of_a_hit_is_the_scene_that_its_tags_name(client: httpx.Client) -> None:
    hit = hits(client, q="house")[0]
    shown = scenes.scene(hit["id"] - FIRST_ID)
    assert hit["tags"] == ", ".join(keywords.tags(shown))
    assert client.get(hit["webformatURL"]).content == drawing.jpeg(shown)


def test_an_image_address_is_valid_for_24_hours() -> None:
    clock = FakeClock()
    with (
        running_gallery(partial(create_gallery, clock=clock)) as base_url,
        httpx.Client(base_url=base_url) as client,
    ):
        address = hits(client, q="fish")[0]["webformatURL"]
        clock.now += DAY - 1
        assert size(client.get(address)) == (640, 427)
        clock.now += 1
        late = client.get(address)
        assert (late.status_code, late.text) == (400, EXPIRED)
        assert size(client.get(hits(client, q="fish")[0]["webformatURL"])) == (640, 427)


def test_an_image_address_outlives_a_restart() -> None:
    with running_gallery() as base_url, httpx.Client(base_url=base_url) as client:
        path = httpx.URL(hits(client, q="fish")[0]["webformatURL"]).path
    with running_gallery() as base_url, httpx.Client(base_url=base_url) as client:
        assert size(client.get(path)) == (640, 427)


@pytest.mark.parametrize(
    "name",
    [
        "x_640",
        "_640",
        "0-ffffffffff-00_640",
        "-_640",
        "é-1-2_640",
        "{token}_641",
        "{token}",
        "1{token}_640",
    ],
)
def test_a_forged_or_malformed_image_address_is_refused(client: httpx.Client, name: str) -> None:
    address = hits(client, q="fish")[0]["webformatURL"]
    token = address.rsplit("/", 1)[1].removesuffix("_640.jpg")
    response = client.get(f"/get/{name.replace('{token}', token)}.jpg")
    assert (response.status_code, response.text) == (400, EXPIRED)


def test_the_101st_request_in_a_minute_is_a_429_until_the_window_ends() -> None:
    clock = FakeClock()
    with (
        running_gallery(partial(create_gallery, clock=clock)) as base_url,
        httpx.Client(base_url=base_url) as client,
    ):
        first = ask(client, q="zebra")
        assert first.headers["X-RateLimit-Limit"] == "100"
        assert first.headers["X-RateLimit-Remaining"] == "99"
        assert first.headers["X-RateLimit-Reset"] == "60"
        for _ in range(98):
            ask(client, q="zebra")
        clock.now += 18.5
        assert ask(client, q="zebra").headers["X-RateLimit-Remaining"] == "0"
        refused = ask(client, q="zebra")
        assert (refused.status_code, refused.text) == (429, "API rate limit exceeded")
        assert refused.headers["X-RateLimit-Reset"] == "42"
        clock.now += 41.5
        assert ask(client, q="zebra").headers["X-RateLimit-Remaining"] == "99"


def test_the_window_of_the_rate_limit_ends_when_the_clock_steps_back() -> None:
    clock = FakeClock()
    limit = RateLimit(1, clock)
    assert [limit.take("key")[0] for _ in range(2)] == [True, False]
    clock.now -= 3600
    assert [limit.take("key")[0] for _ in range(2)] == [True, False]


def test_a_refused_parameter_counts_towards_the_limit_and_a_refused_key_does_not() -> None:
    with (
        running_gallery(partial(create_gallery, limit=2)) as base_url,
        httpx.Client(base_url=base_url) as client,
    ):
        assert client.get("/api/", params={"key": "wrong"}).status_code == 400
        assert ask(client, per_page=1).headers["X-RateLimit-Remaining"] == "1"
        assert ask(client, q="zebra").headers["X-RateLimit-Remaining"] == "0"
        assert ask(client, q="zebra").status_code == 429
        assert size(client.get(f"/photo/2015/01/02/03/04/{FIRST_ID}_150.jpg")) == (150, 100)


def test_concurrent_requests_are_all_counted() -> None:
    with (
        running_gallery(partial(create_gallery, limit=10)) as base_url,
        ThreadPoolExecutor(8) as pool,
    ):
        parameters = {"key": "demo", "q": "zebra"}
        answers = pool.map(lambda _: httpx.get(f"{base_url}/api/", params=parameters), range(24))
        assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 14


def test_the_page_of_a_picture_shows_it_with_title_tags_and_credit(client: httpx.Client) -> None:
    hit = hits(client, q="heart")[0]
    response = client.get(hit["pageURL"])
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    title = wording.describe(scenes.scene(hit["id"] - FIRST_ID))
    assert f"<h1>{title[0].upper()}{title[1:]}</h1>" in response.text
    assert all(f"<li>{tag}</li>" in response.text for tag in tags(hit))
    assert "imagesearch demo" in response.text
    address = response.text.split('<img src="')[1].split('"')[0]
    assert size(client.get(httpx.URL(hit["pageURL"]).join(address))) == (640, 427)


@pytest.mark.parametrize(
    "path",
    [
        f"/illustrations/{FIRST_ID + scenes.SCENE_COUNT}/",
        "/illustrations/0/",
        "/photo/7_150.jpg",
        "/illustrations/x/",
        f"/illustrations/{'9' * 5000}/",
        f"/photo/{'9' * 5000}_150.jpg",
        "/",
    ],
)
def test_a_page_or_preview_of_no_picture_is_a_404(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_pages_are_addressed_from_the_public_url_and_images_from_the_request() -> None:
    """The fetcher downloads from where it asked; people open a page later, from elsewhere."""
    with (
        running_gallery(lambda _: create_gallery("https://demo.example/gallery")) as base_url,
        httpx.Client(base_url=base_url) as client,
    ):
        hit = hits(client, q="tree")[0]
        assert hit["pageURL"] == f"https://demo.example/gallery/illustrations/{hit['id']}/"
        for name in ("previewURL", "webformatURL", "largeImageURL"):
            assert hit[name].startswith(f"{base_url}/")


def test_the_gallery_works_mounted_under_a_path() -> None:
    public_url = "http://testserver/gallery"
    app = Starlette(routes=[Mount("/gallery", create_gallery(public_url))])
    with TestClient(app) as client:
        hit = client.get("/gallery/api/", params={"key": "demo", "q": "tree"}).json()["hits"][0]
        assert hit["webformatURL"].startswith(f"{public_url}/get/")
        assert client.get(hit["webformatURL"]).status_code == 200
        page = client.get(hit["pageURL"])
        address = page.text.split('<img src="')[1].split('"')[0]
        assert client.get(str(page.url.join(address))).status_code == 200


def test_the_server_and_its_thread_are_gone_when_the_block_ends() -> None:
    def servers() -> int:
        return [thread.name for thread in threading.enumerate()].count("demo-gallery")

    before = servers()
    with running_gallery() as base_url:
        assert servers() == before + 1
    assert servers() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base_url}/api/")
