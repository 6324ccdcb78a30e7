"""Takes the pictures of the page that docs/ shows, of a server with the demo, in Chromium.

Usage: imagesearch serve &  python -m tools.screenshots http://127.0.0.1:8080
"""

from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "page"
DESKTOP, PHONE = (1280, 900), (390, 844)
SEARCH = "/?s_query=a+pink+butterfly+in+a+meadow"
ELSEWHERE = "/?t=butterfly&s_query=a+birthday+cake"
QUALITY = 80  # of WebP, 0..100
FRAME_SECONDS = 0.1
FILM_SECONDS = 2.5
SLOW = {"latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 90_000, "offline": False}


def idle(page: Page) -> None:
    """Show the page as one comes to it."""
    page.goto("/")
    expect(page.locator("#examples")).to_be_visible()


def results(page: Page, path: str = SEARCH) -> None:
    """Show the pictures of a search."""
    page.goto(path)
    wait_for_pictures(page)


def wait_for_pictures(page: Page) -> None:
    """Wait for the answer, and for the first rows of its pictures."""
    expect(page.locator("#summary")).to_be_visible(timeout=60_000)
    for i in range(6):
        expect(page.locator(".card img").nth(i)).to_have_class("loaded", timeout=20_000)


def lightbox(page: Page) -> None:
    """Show one picture, large."""
    results(page)
    page.locator(".open").first.click()
    expect(page.get_by_role("dialog").locator("img.loaded")).to_be_visible()


def no_match(page: Page) -> None:
    """Show what is said where nothing matches."""
    results(page, ELSEWHERE)
    expect(page.get_by_role("heading", name="Nothing here shows that.")).to_be_visible()


def picture_query(page: Page) -> None:
    """Search by a picture: one of the answer."""
    results(page)
    url = page.locator(".card img").first.evaluate("node => node.src")
    buffer = page.request.get(url).body()
    file = {"name": "butterfly.jpg", "mimeType": "image/jpeg", "buffer": buffer}
    page.locator("#picture-file").set_input_files(file)  # type: ignore[arg-type]
    expect(page.locator("#results-heading")).to_have_text("Like your picture")
    wait_for_pictures(page)


Show = Callable[[Page], None]
SHOTS: dict[str, tuple[Show, tuple[int, int], str]] = {
    "idle": (idle, DESKTOP, "light"),
    "light": (results, DESKTOP, "light"),
    "dark": (results, DESKTOP, "dark"),
    "phone": (results, PHONE, "light"),
    "landscape": (results, (844, 390), "light"),
    "lightbox": (lightbox, DESKTOP, "light"),
    "no-match": (no_match, DESKTOP, "light"),
    "picture": (picture_query, DESKTOP, "light"),
}


def opened(browser: Browser, url: str, size: tuple[int, int], scheme: str) -> Page:
    """Return a page of *size*, in pixels, in a light or a dark *scheme*."""
    context = browser.new_context(
        base_url=url,
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    return context.new_page()


def film(browser: Browser, url: str) -> None:
    """Film how a shared link opens on a phone with a slow network."""
    page = opened(browser, url, PHONE, "light")
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    frames: list[Image.Image] = []
    page.goto(SEARCH, wait_until="commit")
    end = time.monotonic() + FILM_SECONDS
    while time.monotonic() < end:
        frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        page.wait_for_timeout(1000 * FRAME_SECONDS)
    milliseconds = round(1000 * FILM_SECONDS / len(frames))
    durations = [milliseconds] * (len(frames) - 1) + [2000]
    first, *others = frames
    target = FOLDER / "shared-link.webp"
    first.save(
        target, save_all=True, append_images=others, duration=durations, loop=0, quality=QUALITY
    )


def main(url: str) -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (show, size, scheme) in SHOTS.items():
            page = opened(browser, url, size, scheme)
            show(page)
            image = Image.open(io.BytesIO(page.screenshot()))
            image.convert("RGB").save(FOLDER / f"{name}.webp", quality=QUALITY, method=6)
            page.context.close()
        film(browser, url)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
