"""Takes the pictures of the page that docs/ shows, of a server with the demo, in Chromium.

Usage: DATA_DIR=$(mktemp -d) imagesearch serve &  python -m tools.screenshots http://127.0.0.1:8080

A new data folder has the film show how pictures are fetched. With `--own` after the address it
takes those of own pictures instead, of a server that has two collections: `Takeout`, what
`tools.drawn_takeout` writes, and `openclipart`, the folder of Debian's openclipart-png, which is in
the public domain.
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "page"
DESKTOP, PHONE, LANDSCAPE = (1280, 900), (390, 844), (844, 390)  # pixels of CSS
FILM = (960, 720)
SEARCH = "/?s_query=two+horses+amidst+flowers"
ELSEWHERE = "/?t=cow&s_query=a+birthday+cake"
SHARED = "/?s_query=three+cows"
OWN = "/?s_query=a+cow+in+the+desert&collection=Takeout"
OWN_ALBUM = "/?s_query=a+pizza+and+an+egg+at+night&collection=Takeout&album=Summer"
OWN_GERMAN = "/?s_query=Haie+zwischen+Sonnenblumen&collection=Takeout"
OWN_WORDS = "/?s_query=guitar&collection=openclipart"
QUALITY = 80  # of WebP, 0..100
FILM_QUALITY = 70
FRAME_SECONDS = 0.1
FILM_SECONDS = 20.0  # at most, for each search in a film
LAST_SECONDS = 3.0  # for the end of the film
SLOW = {"latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 90_000, "offline": False}
# True when each picture on the screen can be seen.
ALL_SEEN = """() => {
    const isOnScreen = ({ top, bottom, width }) => width > 0 && bottom > 0 && top < innerHeight;
    const images = [...document.images].filter((i) => isOnScreen(i.getBoundingClientRect()));
    return images.every((i) => i.complete && i.naturalWidth > 0);
}"""
DECODED = "() => Promise.all([...document.images].filter((i) => i.complete).map((i) => i.decode()))"


def idle(page: Page) -> None:
    """Show the page as one comes to it."""
    page.goto("/")
    expect(page.locator("#examples")).to_be_visible()


def results(page: Page, path: str = SEARCH) -> None:
    """Show the pictures of a search."""
    page.goto(path)
    wait_for_pictures(page)


def wait_for_pictures(page: Page) -> None:
    """Wait until the search is over and each picture on the screen is painted."""
    expect(page.locator("#summary")).to_be_visible(timeout=60_000)
    expect(page.locator("#cards")).not_to_have_class("cards old")
    page.wait_for_function(ALL_SEEN, timeout=20_000)
    page.evaluate(DECODED)
    page.evaluate(
        "() => new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)))"
    )


def lightbox(page: Page) -> None:
    """Show one picture, large."""
    results(page)
    page.locator(".open").first.click()
    expect(page.get_by_role("dialog").locator("img.loaded")).to_be_visible()
    page.evaluate(DECODED)


def no_match(page: Page) -> None:
    """Show what is said where nothing matches."""
    results(page, ELSEWHERE)
    expect(page.get_by_role("heading", name="Nothing here shows that.")).to_be_visible()


def picture_query(page: Page) -> None:
    """Search by a picture: one of the answer."""
    results(page)
    url = page.locator(".card img").first.evaluate("node => node.src")
    buffer = page.request.get(url).body()
    file = {"name": "horses.jpg", "mimeType": "image/jpeg", "buffer": buffer}
    page.locator("#picture-file").set_input_files(file)  # type: ignore[arg-type]
    expect(page.locator("#results-heading")).to_have_text("Like your picture")
    wait_for_pictures(page)


def own_lightbox(page: Page) -> None:
    """Show an own picture, large."""
    results(page, OWN)
    page.locator(".open").first.click()
    expect(page.get_by_role("dialog").locator("img.loaded")).to_be_visible()
    page.evaluate(DECODED)


def own_like(page: Page) -> None:
    """Show what of a collection is like one of its pictures."""
    results(page, OWN)
    page.locator(".card").first.hover()
    page.locator(".like").first.click()
    expect(page.locator("#results-heading")).to_contain_text("Like")
    wait_for_pictures(page)


Show = Callable[[Page], None]
SHOTS: dict[str, tuple[Show, tuple[int, int], str]] = {
    "idle": (idle, DESKTOP, "light"),
    "light": (results, DESKTOP, "light"),
    "dark": (results, DESKTOP, "dark"),
    "phone": (results, PHONE, "light"),
    "landscape": (results, LANDSCAPE, "light"),
    "lightbox": (lightbox, DESKTOP, "light"),
    "no-match": (no_match, DESKTOP, "light"),
    "picture": (picture_query, DESKTOP, "light"),
}


OWN_SHOTS: dict[str, tuple[Show, tuple[int, int], str]] = {
    "own-idle": (idle, DESKTOP, "light"),
    "own-sentence": (lambda page: results(page, OWN), DESKTOP, "light"),
    "own-album": (lambda page: results(page, OWN_ALBUM), DESKTOP, "light"),
    "own-german": (lambda page: results(page, OWN_GERMAN), PHONE, "dark"),
    "own-words": (lambda page: results(page, OWN_WORDS), DESKTOP, "light"),
    "own-like": (own_like, DESKTOP, "light"),
    "own-lightbox": (own_lightbox, DESKTOP, "light"),
}


def opened(browser: Browser, url: str, size: tuple[int, int], scheme: str) -> Page:
    """Return a page of *size*, in a light or a dark *scheme*, without what moves."""
    return _page(browser, url, size, 1 if size == DESKTOP else 2, scheme, "reduce")


def _page(
    browser: Browser, url: str, size: tuple[int, int], scale: float, scheme: str, motion: str
) -> Page:
    context = browser.new_context(
        base_url=url,
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        has_touch=size in (PHONE, LANDSCAPE),
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion=motion,  # type: ignore[arg-type]
    )
    return context.new_page()


Frame = tuple[float, Image.Image]  # when it was painted, in seconds, and what


def film_shared_link(browser: Browser, url: str) -> None:
    """Film how a shared link opens on a phone with a slow network."""
    page = _page(browser, url, PHONE, 1, "light", "no-preference")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.emulateNetworkConditions", SLOW)
    _save(_filmed(page, devtools, lambda: _open_shared(page)), "shared-link")
    page.context.close()


def _open_shared(page: Page) -> None:
    page.goto(SHARED, wait_until="commit")
    _wait_until_whole(page)


def film_first_minute(browser: Browser, url: str) -> None:
    """Film what a newcomer may do in the first minute, on a desktop."""
    page = _page(browser, url, FILM, 1, "light", "no-preference")
    devtools = page.context.new_cdp_session(page)
    idle(page)
    _save(_filmed(page, devtools, lambda: _first_minute(page)), "first-minute")
    page.context.close()


def _first_minute(page: Page) -> None:
    page.wait_for_timeout(1000)
    for query in ("horses amidst flowers", "a dog with a guitar under the moon", "Katze mit Pizza"):
        field = page.get_by_label("What should be in the picture")
        field.fill("")
        field.press_sequentially(query, delay=60)
        field.press("Enter")
        expect(page.locator("#results-heading")).to_contain_text(query)
        _wait_until_whole(page)
        page.wait_for_timeout(2500)
    page.locator(".open").first.click()
    expect(page.get_by_role("dialog").locator("img.loaded")).to_be_visible()
    page.wait_for_timeout(2500)
    page.keyboard.press("Escape")
    page.locator("#cards .card").first.hover()
    page.locator("#cards .like").first.click()
    expect(page.locator("#results-heading")).to_contain_text("Like")
    _wait_until_whole(page)
    page.wait_for_timeout(1500)


def _save(frames: list[Frame], name: str) -> None:
    pictures, durations = _at_rate(frames)
    pictures[0].save(
        FOLDER / f"{name}.webp",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        quality=FILM_QUALITY,
        method=6,
    )


def _filmed(page: Page, devtools: CDPSession, act: Callable[[], None]) -> list[Frame]:
    """Return what the browser painted while *act* was going on, each frame as it came."""
    frames: list[Frame] = []

    def keep(event: dict[str, Any]) -> None:
        image = Image.open(io.BytesIO(base64.b64decode(event["data"]))).convert("RGB")
        frames.append((event["metadata"]["timestamp"], image))
        devtools.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    devtools.on("Page.screencastFrame", keep)
    devtools.send("Page.startScreencast", {"format": "png"})
    act()
    page.wait_for_timeout(1000)
    devtools.send("Page.stopScreencast")
    return frames


def _wait_until_whole(page: Page) -> None:
    give_up_at = time.monotonic() + FILM_SECONDS
    while time.monotonic() < give_up_at and not _is_whole(page):
        page.wait_for_timeout(1000 * FRAME_SECONDS)
    wait_for_pictures(page)


def _is_whole(page: Page) -> bool:
    return page.locator("#summary").is_visible() and bool(page.evaluate(ALL_SEEN))


def _at_rate(frames: list[Frame]) -> tuple[list[Image.Image], list[int]]:
    """Return the last frame of each FRAME_SECONDS in which one was painted, and milliseconds."""
    by_tick = {int(at / FRAME_SECONDS): image for at, image in frames}
    ticks = sorted(by_tick)
    seconds = [(after - tick) * FRAME_SECONDS for tick, after in pairwise(ticks)]
    durations = [round(1000 * each) for each in [*seconds, LAST_SECONDS]]
    return [by_tick[tick] for tick in ticks], durations


def main(url: str, *, own: bool = False) -> None:
    """Write all pictures, or those of own pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"),
            args=["--no-sandbox"],
        )
        if not own:
            film_first_minute(browser, url)  # first: its pictures are still to be fetched
            film_shared_link(browser, url)
        for name, (show, size, scheme) in (OWN_SHOTS if own else SHOTS).items():
            page = opened(browser, url, size, scheme)
            show(page)
            image = Image.open(io.BytesIO(page.screenshot()))
            image.convert("RGB").save(FOLDER / f"{name}.webp", quality=QUALITY, method=6)
            page.context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], own="--own" in sys.argv[2:])
