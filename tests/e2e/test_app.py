"""The app in a real Chromium, against the real API on another origin, through Flutter's semantics.

A window of Flutter takes seconds of a processor to open: all tests share one, and each begins where
somebody is who has just searched something else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.app_pages import (
    PATIENCE_SECONDS,
    Window,
    colour_of_file,
    until,
)
from tests.e2e.conftest import Serving
from tests.e2e.pages import POOL_SIZE

COWS = {"t": "cow", "s_query": "three cows"}


@pytest.fixture(scope="module")
def answer(page_server: Serving) -> dict[str, Any]:
    return page_server.complete(**COWS, k=24)


@pytest.fixture(scope="module")
def opened(browser: Browser, app_url: str, answer: dict[str, Any]) -> Iterator[Window]:
    window = Window(browser, app_url)
    window.open()
    yield window
    window.context.close()


@pytest.fixture
def window(opened: Window) -> Window:
    opened.begin_anew()
    return opened


def search_cows(window: Window) -> None:
    window.button("“three cows” · “cow”").last.click()  # the first may be a recent one
    window.see(window.picture(1))
    until(lambda: "s_query=three+cows" in window.page.url, window.page)


def test_nothing_it_loads_is_from_elsewhere(opened: Window, app_url: str, stack_url: str) -> None:
    """Flet asks for the runtime of rive, which nothing needs: the policy keeps that in."""
    origins = (app_url, stack_url, "blob:", "data:")
    elsewhere = [request for request in opened.requests if not request.url.startswith(origins)]
    assert all("rive" in request.url for request in elsewhere)
    assert {request.failure for request in elsewhere} <= {"csp"}
    fonts = [request.url for request in opened.requests if "katex" in request.url]
    assert fonts == []


def test_a_search_by_the_keyboard_draws_the_pictures_of_the_api(
    window: Window, answer: dict[str, Any]
) -> None:
    page = window.page
    window.write("sentence", "three cows")
    window.tab()
    expect(window.field("keyword")).to_be_focused()
    window.write("keyword", "cow")
    page.keyboard.press("Enter")
    window.see(window.picture(1))
    until(lambda: "s_query" in page.url, page)
    assert parse_qs(urlsplit(page.url).query) == {"t": ["cow"], "s_query": ["three cows"]}
    window.see(f"24 of {POOL_SIZE} pictures from “cow”")
    first = answer["results"][0]
    name = f"Picture 1 of 24. {', '.join(first['tags'])}. Strong match. imagesearch demo · "
    expect(window.picture(1)).to_have_accessible_name(re.compile(re.escape(name)))
    window.is_drawn(window.picture(1), colour_of_file(first["url"]))
    window.is_drawn(window.picture(2), colour_of_file(answer["results"][1]["url"]))


def test_each_control_has_a_name_and_is_reached_by_the_keyboard(
    window: Window, answer: dict[str, Any]
) -> None:
    """Of few pictures, as each takes a key."""
    tags = Counter(tag for hit in answer["results"] for tag in hit["tags"])
    rarest = [tag for tag, count in tags.most_common() if count < 24][:12][-1]
    search_cows(window)
    window.choose("Any tag", rarest)
    window.see(window.button(f"Any tag: {rarest}"))
    page = window.page
    controls = "flt-semantics[role=button]:not([aria-disabled=true]), flt-semantics input"
    window.see(window.picture(1))
    count = page.locator(controls).count()
    assert count > 10
    window.field("sentence").focus()
    reached: dict[str, str] = {}
    while (at := window.tab())[0] not in reached:
        reached[at[0]] = at[1]
    assert "" not in reached.values()
    ids = page.locator(controls).evaluate_all("all => all.map(at => at.id || at.parentElement.id)")
    assert set(ids) <= reached.keys(), reached
    expected = {"Search", "Language", "Light or dark", "Search by a picture", "imagesearch"}
    assert expected <= set(reached.values())


def test_a_picture_opens_large_with_its_credit_and_is_left_by_the_keyboard(window: Window) -> None:
    search_cows(window)
    page = window.page
    window.picture(1).focus()
    page.keyboard.press("Enter")
    window.see(window.button("Next picture"))
    window.see("Picture by: imagesearch demo")
    window.see("Source: the demo gallery")
    page.keyboard.press("ArrowRight")
    window.see(page.get_by_role("group", name="Picture 2 of 24"))
    page.keyboard.press("Escape")
    expect(window.button("Next picture")).not_to_be_attached(timeout=PATIENCE_SECONDS * 1000)
    window.picture(2).dblclick()
    window.button("More like this").click()
    window.see("Like this picture")
    window.see(window.picture(1))
    until(lambda: "like=demo-" in page.url, page)
    window.see(window.button("Take out: This picture"))


def test_a_filter_and_the_way_back_are_in_the_address(window: Window) -> None:
    search_cows(window)
    page = window.page
    before = page.url
    window.choose("Any colour", "green")
    window.see(window.button("Any colour: green"))
    until(lambda: "colour=green" in page.url, page)
    window.see("pictures from “cow”")
    window.picture(1).click()
    window.see(window.button("Next picture"))
    page.go_back()
    expect(window.button("Next picture")).not_to_be_attached(timeout=PATIENCE_SECONDS * 1000)
    window.see(window.button("Any colour"))
    assert page.url == before
    window.write("without", "snow")
    window.choose("Any colour", "green")
    until(lambda: "minus=snow" in page.url and "colour=green" in page.url, page)


def test_what_is_typed_stays_when_the_language_changes(window: Window) -> None:
    search_cows(window)
    window.write("without", "snow")
    window.choose("Language", "Deutsch")
    window.see(window.field("Was soll auf dem Bild sein"))
    window.see(f"24 von {POOL_SIZE} Bildern aus „cow“")
    window.button("Suchen").click()
    until(lambda: "minus=snow" in window.page.url, window.page)
    window.choose("Sprache", "English")
    window.see(window.field("sentence"))


def test_nothing_that_matches_is_said_so(window: Window) -> None:
    window.write("sentence", "a pizza")
    window.write("keyword", "cow")
    window.button("Search").click()
    window.see("Nothing here shows that.")
    window.see("The nearest are these.")
    window.see(window.picture(1))


def test_a_search_without_words_is_told_so_at_its_field(window: Window) -> None:
    window.write("keyword", "cow")
    window.button("Search").click()
    window.see("Describe what should be in the picture, or choose one.")
    window.write("sentence", "a cow")
    window.button("Search").click()
    until(lambda: "t=cow" in window.page.url, window.page)


def test_letters_of_other_scripts_are_drawn_by_fonts_of_ours(window: Window) -> None:
    with window.page.expect_response("**/fonts/notosanshebrew.woff2") as font:
        window.write("sentence", "שלוש פרות")
    assert font.value.ok
    with window.page.expect_response("**/fonts/droidsansfallback.woff2"):
        window.write("without", "猫")


def test_a_picture_of_the_device_is_searched_by_and_joins_what_is_typed(
    window: Window, answer: dict[str, Any], tmp_path: Path
) -> None:
    picture = tmp_path / "cow.jpg"
    picture.write_bytes(httpx.get(answer["results"][0]["url"]).content)

    def choose() -> None:
        with window.page.expect_file_chooser() as chooser:
            window.button("Search by a picture").click()
        chooser.value.set_files(picture)

    window.write("sentence", "three cows")
    choose()
    window.see("“three cows” and like your picture")
    window.see(window.picture(1))
    window.see(window.button("Take out: Your picture"))
    choose()
    window.see(window.page.get_by_role("heading", name="Like your picture", exact=True))
    until(lambda: "s_query" not in window.page.url, window.page)


def test_the_night_is_dark(window: Window) -> None:
    window.page.emulate_media(color_scheme="dark")

    def is_dark() -> bool:
        return max(window.mean({"x": 600, "y": 800, "width": 40, "height": 40})) < 40

    until(is_dark, window.page)
    window.page.emulate_media(color_scheme="light")
    until(lambda: not is_dark(), window.page)


def test_a_filter_of_an_address_that_is_refused_can_be_taken_off(window: Window) -> None:
    window.open("/?t=cow&s_query=three+cows&colour=mauve")
    window.see("This search was not accepted")
    window.choose("Any colour: mauve", "Any colour")
    window.see(window.picture(1))
    until(lambda: "colour" not in window.page.url, window.page)


def test_an_address_opens_its_search_and_the_last_ones_are_remembered(window: Window) -> None:
    """In the same browser another day: the window is closed, and opened anew."""
    window.open("/?t=cow&s_query=three+cows&colour=green")
    window.see(window.picture(1))
    window.see(window.button("Any colour: green"))
    window.begin_anew()
    recent = window.page.get_by_role("heading", name="Your last searches")
    window.see(recent)
    window.see(window.button("“three cows” · “cow”").first)
    window.button("Forget them").click()
    expect(recent).not_to_be_attached(timeout=PATIENCE_SECONDS * 1000)
