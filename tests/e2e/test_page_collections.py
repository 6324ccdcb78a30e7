"""A person's own pictures on the page: collections beside keywords, and what is known of each."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from imagesearch.demo import drawing, scenes
from imagesearch.domain.collections import Collection
from imagesearch.local.embedded.services import StoredCollections
from imagesearch.settings import load_settings
from tests.e2e.conftest import serving
from tests.e2e.pages import Answer, error, send_query, shown_images, wait_for_all_results
from tests.e2e.test_page_looks import DESKTOP, PHONE, SHIFTS, violations

QUERY = "a dog in the snow"
FOLDERS = ("2019/Italy", "2019/Home", "2021/Norway")
CAMERAS = ("80D", "X-T3")
COUNT = 9
LATITUDE, LONGITUDE = 47.37, -8.54


def _draw(folder: Path, count: int) -> None:
    """Draw *count* pictures, of which those in Italy are an album as Takeout has it."""
    for number in range(count):
        picture = Image.open(io.BytesIO(drawing.jpeg(scenes.scene(number * 37))))
        exif = Image.Exif()
        exif[272] = CAMERAS[number % len(CAMERAS)]
        place = FOLDERS[number % len(FOLDERS)]
        exif.get_ifd(0x8769)[36867] = f"{place[:4]}:08:05 10:00:00"
        path = folder / place / f"IMG_{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, exif=exif)
    album = {"title": "Summer", "description": "", "access": "", "date": {"timestamp": "1"}}
    (folder / FOLDERS[0] / "metadata.json").write_text(json.dumps(album))
    sidecar = {
        "title": "IMG_0.jpg",
        "description": "By the lake",
        "photoTakenTime": {"timestamp": "1564000000"},
        "geoData": {"latitude": LATITUDE, "longitude": LONGITUDE, "altitude": 0.0},
    }
    (folder / FOLDERS[0] / "IMG_0.jpg.json").write_text(json.dumps(sidecar))


@pytest.fixture(scope="module")
def stack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own: what others show has no collections."""
    folder = tmp_path_factory.mktemp("own")
    _draw(folder / "Pictures", COUNT)
    _draw(folder / "Phone", 2)
    with serving(folder / "data", POOL_SIZE="12") as server:
        stored = StoredCollections(load_settings(data_dir=str(server.data_dir)))
        for name in ("Pictures", "Phone"):
            stored.collections.keep(Collection(name, str(folder / name), keeps_place=True))
            stored.collections.ask(name)
        stored.close()
        give_up_at = time.monotonic() + 60
        while any(each["updating"] for each in _collections(server.url)):
            assert time.monotonic() < give_up_at, server.log()
            time.sleep(0.2)
        yield server.url


def _collections(url: str) -> list[Answer]:
    told: list[Answer] = httpx.get(f"{url}/collections").json()["collections"]
    return told


def address(**params: str) -> str:
    return f"/?{urlencode({'s_query': QUERY, 'collection': 'Pictures', **params})}"


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


# -- where to search


def test_who_gives_the_key_of_a_server_is_offered_its_collections(page: Page) -> None:
    def guarded(route: Route) -> None:
        if route.request.headers.get("x-api-key") == "the key":
            route.continue_()
        else:
            error(401, "X-API-Key must be the key of this server")(route)

    page.route(re.compile(r"/(search|collections)(\?|$)"), guarded)
    page.goto("/")
    expect(page.get_by_label("Search in")).to_be_hidden()
    send_query(page, "cow", "three cows")
    page.get_by_label("Key", exact=True).fill("the key")
    page.keyboard.press("Enter")
    wait_for_all_results(page, 60)
    expect(page.get_by_label("Search in").locator("option")).to_contain_text(["Pictures"])


def test_the_first_screen_offers_collections_and_one_is_searched(page: Page) -> None:
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.goto("/")
    expect(page.get_by_role("heading", name="Search in your own pictures")).to_be_visible()
    page.get_by_role("button", name=re.compile(rf"Pictures.* {COUNT} pictures$")).click()
    expect(page.get_by_label("Search in")).to_have_value("collection:Pictures")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type(QUERY)
    page.keyboard.press("Enter")
    wait_for_all_results(page)
    where = {"s_query": [QUERY], "collection": ["Pictures"], "scope": ["catalog"]}
    assert asked(page) == where
    said = f"{COUNT} of {COUNT} pictures from your “Pictures” · "
    expect(page.locator("#summary")).to_contain_text(said)
    expect(page.locator(".card")).to_have_count(COUNT)
    pictures = shown_images(page)
    page.reload()
    wait_for_all_results(page)
    assert shown_images(page) == pictures
    page.go_back()
    expect(page.locator("#examples")).to_be_visible()
    link = page.locator("#recent-list a")
    expect(link).to_have_text(f"“{QUERY}” from your “Pictures”")
    link.click()
    wait_for_all_results(page)
    assert asked(page) == where
    assert not problems


def test_what_is_said_last_of_where_to_search_is_meant(page: Page) -> None:
    page.goto(address(folder="2019", camera="80D"))
    wait_for_all_results(page)
    place = page.get_by_label("Search in")
    place.select_option("everything")
    page.locator("#query").press("Enter")
    wait_for_all_results(page)
    everywhere = {"s_query": [QUERY], "scope": ["catalog"], "camera": ["80D"]}
    assert asked(page) == everywhere, "a folder is of one collection"
    place.select_option(label="Phone")
    page.locator("#query").press("Enter")
    expect(page.locator("#summary")).to_contain_text("from your “Phone”")
    assert asked(page) == {**everywhere, "collection": ["Phone"]}
    page.get_by_label("Keyword", exact=True).fill("moon")
    expect(place).to_have_value("")
    page.locator("#query").press("Enter")
    expect(page.locator("#summary")).to_contain_text("from “moon”", timeout=60_000)
    assert asked(page) == {"s_query": [QUERY], "t": ["moon"]}, "whose pictures have no camera"
    place.select_option(label="Pictures")
    expect(page.get_by_label("Keyword", exact=True)).to_have_value("")


def test_a_collection_that_is_gone_is_named(page: Page) -> None:
    page.goto(address(collection="Wedding"))
    heading = page.get_by_role("heading", name="Nothing of a collection “Wedding”")
    expect(heading).to_be_visible()
    expect(page.get_by_label("Search in")).to_have_value("collection:Wedding")


def test_a_server_without_collections_shows_nothing_of_them(page: Page) -> None:
    page.route("**/collections", lambda route: route.fulfill(json={"collections": []}))
    page.goto("/")
    expect(page.locator("#examples")).to_be_visible()
    for place in ("#collections", "#place-option"):
        expect(page.locator(place)).to_be_hidden()
    expect(page.get_by_label("Search everything stored so far")).to_be_visible()


@pytest.mark.parametrize("has_collections", [True, False])
def test_collections_are_asked_for_once_and_only_where_there_may_be_any(
    page: Page, has_collections: bool
) -> None:
    times: list[str] = []
    page.on("request", lambda request: times.append(urlsplit(request.url).path))
    config = {"api": "", "demo": False, "demo_keywords": [], "collections": has_collections}
    page.route("**/config.json", lambda route: route.fulfill(json=config))
    page.goto("/")
    expect(page.locator("#examples")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert times.count("/collections") == has_collections


def test_the_page_does_not_need_what_is_told_of_collections(page: Page) -> None:
    page.route("**/collections", lambda route: route.abort())
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator("#summary")).to_contain_text(f"{COUNT} pictures from your “Pictures”")


def test_a_collection_that_grows_says_so(page: Page) -> None:
    page.route("**/collections", growing)
    page.goto("/")
    words = "3,120 pictures so far, more are on their way"
    expect(page.get_by_role("button", name=re.compile(f"Pictures.* {words}$"))).to_be_visible()
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator("#awaiting")).to_have_text(f"{words}.")
    page.goto(address(album="None"))
    expect(page.get_by_role("heading", name="No pictures yet")).to_be_visible()


def growing(route: Route) -> None:
    told = route.fetch().json()
    for each in told["collections"]:
        each.update(images=3120, updating=True)
    route.fulfill(json=told)


# -- what narrows down


def test_own_pictures_are_narrowed_down_by_what_they_have(page: Page) -> None:
    page.goto(address())
    wait_for_all_results(page)
    labels = page.locator("#chips select:visible").evaluate_all("all => all.map(n => n.ariaLabel)")
    expected = ["Any folder", "Any album", "Any camera", "Any year", "Any month"]
    assert [label for label in labels if label in expected] == expected[:-1], "all are of August"
    folder = page.get_by_label("Any folder")
    values = folder.locator("option").evaluate_all("all => all.map(n => n.value)")
    assert set(values) == {"", "2019", "2021", *FOLDERS}
    folder.select_option("2019")
    expect(page.locator("#summary")).to_contain_text("6 pictures from your “Pictures”")
    expect(page.get_by_label("Any year")).to_be_hidden()  # they are all of 2019
    page.get_by_label("Any camera").select_option("80D")
    expect(page.locator(".card")).to_have_count(3)
    narrowed = {"folder": ["2019"], "camera": ["80D"]}
    assert narrowed.items() <= asked(page).items()
    page.reload()
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(3)
    page.go_back()
    expect(page.locator(".card")).to_have_count(6)
    page.get_by_label("Any folder").select_option("")
    page.get_by_label("Any year").select_option("2021")
    expect(page.locator(".card")).to_have_count(3)
    page.get_by_label("Any year").select_option("")
    page.get_by_label("Any album").select_option("Summer")
    expect(page.locator(".card")).to_have_count(3)
    page.goto(address(year="1999"))
    expect(page.get_by_role("heading", name="No picture is left")).to_be_visible()


def test_a_phone_changes_the_collection_by_its_chip(page: Page) -> None:
    """The form, which says it elsewhere, is folded there."""
    page.set_viewport_size({**PHONE})  # type: ignore[typeddict-item]
    page.goto(address(folder="2019"))
    wait_for_all_results(page)
    chip = page.get_by_label("Any collection")
    expect(chip).to_have_value("Pictures")
    chip.select_option("Phone")
    expect(page.locator("#summary")).to_contain_text("2 of 2 pictures from your “Phone”")
    assert "folder" not in asked(page)
    page.set_viewport_size({**DESKTOP})  # type: ignore[typeddict-item]
    expect(chip).to_be_hidden()
    expect(page.get_by_label("Search in")).to_be_visible()


def test_everything_is_narrowed_down_to_a_collection(page: Page) -> None:
    page.goto(f"/?{urlencode({'s_query': QUERY, 'scope': 'catalog'})}")
    wait_for_all_results(page)
    page.get_by_label("Any collection").select_option("Phone")
    expect(page.locator("#summary")).to_contain_text("2 of 2 pictures from your “Phone”")


# -- one of them


def test_an_own_picture_says_what_it_is_called_and_nothing_of_a_source(page: Page) -> None:
    page.goto(address())
    wait_for_all_results(page)
    captions = page.locator(".credit bdi").all_inner_texts()
    assert len(captions) == COUNT
    assert {"By the lake · Summer", "IMG_3.jpg · Summer", "IMG_1.jpg"} <= set(captions)
    alts = page.locator(".card img").evaluate_all("all => all.map(n => n.alt)")
    assert {"By the lake", "IMG_1.jpg"} <= set(alts)
    expect(page.locator("main")).not_to_contain_text("Your pictures ·")
    links = page.locator("a.credit").evaluate_all("all => all.map(n => n.pathname)")
    assert all(link.startswith("/originals/own-") for link in links)


def test_an_own_picture_opens_large_with_what_its_file_says(page: Page, stack_url: str) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open", has=page.get_by_alt_text("By the lake")).click()
    box = page.get_by_role("dialog")
    said = box.locator("dl > div").evaluate_all(
        "all => Object.fromEntries(all.map(n => [...n.children].map(each => each.textContent)))"
    )
    assert {name: said.get(name) for name in ("Title", "File", "Folder", "Album", "Camera")} == {
        "Title": "By the lake",
        "File": "IMG_0.jpg",
        "Folder": "2019/Italy",
        "Album": "Summer",
        "Camera": "80D",
    }
    assert set(said["Collection"].split(", ")) == {"Pictures", "Phone"}
    assert re.fullmatch(r"(July|August) 2019", said["Taken"])
    assert said["Size"] == "640 × 427 pixels"
    assert "Source" not in said
    place = box.get_by_role("link", name="47.3700° N, 8.5400° W")
    assert urlsplit(place.get_attribute("href") or "").hostname == "www.openstreetmap.org"
    original = box.get_by_role("link", name="Original").get_attribute("href") or ""
    assert original.startswith(f"{stack_url}/originals/own-")
    assert page.request.get(original).headers["content-type"] == "image/jpeg"
    with page.expect_download() as download:
        box.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "IMG_0.jpg"


def test_a_picture_of_which_little_is_known_says_no_more(page: Page) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open", has=page.get_by_alt_text("IMG_1.jpg")).click()
    names = page.get_by_role("dialog").locator("dt").all_inner_texts()
    assert names == ["File", "Folder", "Collection", "Taken", "Camera", "Size"]


def test_more_like_an_own_picture_stays_in_its_collection(page: Page) -> None:
    page.goto(address(folder="2019"))
    wait_for_all_results(page)
    card = page.locator(".card").first
    card.hover()
    card.locator(".like").click()
    expect(page.locator("#results-heading")).to_have_text("Like this picture")
    expect(page.locator("#summary")).to_contain_text(f"{COUNT - 1} of {COUNT} pictures from your")
    assert (asked(page)["collection"], asked(page).get("folder")) == (["Pictures"], None)
    page.goto(f"/?{urlencode({'s_query': QUERY, 'scope': 'catalog'})}")
    wait_for_all_results(page)
    page.locator(".open").first.click()
    page.get_by_role("dialog").get_by_role("link", name="More like this").click()
    expect(page.locator("#results-heading")).to_have_text("Like this picture")
    assert "collection" not in asked(page)


# -- how it looks and sounds


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_layout_does_not_jump_where_own_pictures_are(
    page: Page, screen: dict[str, int]
) -> None:
    page.set_viewport_size({**screen})  # type: ignore[typeddict-item]
    page.add_init_script(SHIFTS)
    page.route("**/collections", growing)
    for path, last in (("/", "#collections"), (address(), "#awaiting"), ("/?t=x", "#collections")):
        page.goto(path)
        expect(page.locator(last)).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.shift") <= 0.05
        assert page.evaluate("document.documentElement.scrollWidth") == screen["width"]


def test_axe_finds_nothing_where_own_pictures_are(page: Page) -> None:
    page.set_viewport_size({**PHONE})  # type: ignore[typeddict-item]
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.route("**/collections", growing)
    page.goto("/")
    expect(page.locator("#collections")).to_be_visible()
    assert violations(page) == []
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator(".card img.loaded").first).to_be_visible()
    page.locator("#options-button").click()
    expect(page.get_by_label("Search in")).to_be_visible()
    assert violations(page) == []
    page.locator(".open", has=page.get_by_alt_text("By the lake")).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
