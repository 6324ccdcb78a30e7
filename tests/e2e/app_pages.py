"""The app in `app/` as it is served, and what is said to it in Chromium through its semantics."""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from PIL import Image, ImageStat
from playwright.sync_api import Browser, FloatRect, Locator, Page, Request, expect

STOP_SECONDS = 20
# Flutter's frames are drawn by the processor here, which other tests share.
PATIENCE_SECONDS = 60
SENTENCE = "What should be in the picture"
NEAR = 12  # of 255: how far a mean colour may be off by scaling

Colour = tuple[float, float, float]


def origin_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def app_url(app_listener: socket.socket, stack_url: str) -> Iterator[str]:
    """The app, which searches the shared server: another origin."""
    with served(app_listener, stack_url):
        yield origin_of(app_listener)


@contextmanager
def served(listener: socket.socket, api_url: str) -> Iterator[None]:
    """Serve the app on *listener*, for searches of the API at *api_url*."""
    from app.server import server  # only here, as it imports Flet, which few tests need
    from app.settings import settings_of

    with server(settings_of({"API_URL": api_url})) as running:
        sockets = [listener.dup()]
        thread = threading.Thread(target=running.run, args=(sockets,), name="app", daemon=True)
        thread.start()
        yield
        running.should_exit = True
        thread.join(STOP_SECONDS)
        assert not thread.is_alive()


class Window:
    """A window of the app, of which Chromium shows what is drawn and Flutter says what that is."""

    def __init__(self, browser: Browser, app_url: str) -> None:
        self.requests: list[Request] = []
        self.context = browser.new_context(
            base_url=app_url, viewport={"width": 1280, "height": 900}, locale="en-US"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_SECONDS * 1000)
        self.page.on("request", lambda request: self.requests.append(request))

    def open(self, address: str = "/") -> None:
        """Go to *address* of the app, and wait until it is there."""
        self.page.goto(address, wait_until="commit")
        self.see(self.field("sentence"))

    def field(self, name: str) -> Locator:
        names = {"sentence": SENTENCE, "keyword": "Keyword", "without": "Without"}
        # An empty one that has the focus is called by its hint, too.
        named = re.compile(f"^{re.escape(names.get(name, name))}")
        return self.page.get_by_role("textbox", name=named)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def picture(self, number: int, word: str = "Picture") -> Locator:
        return self.page.get_by_role("button", name=re.compile(f"^{word} {number} (of|von) "))

    def see(self, what: Locator | str) -> None:
        """Wait for *what*, a part of the app or a text."""
        part = self.page.get_by_text(what).first if isinstance(what, str) else what
        expect(part).to_be_attached(timeout=PATIENCE_SECONDS * 1000)

    def write(self, field: str, text: str) -> None:
        """
        Write *text* in place of what is in *field*, and again until it is there.

        Flutter takes a field up some frames after it has the focus, and drops the keys of before.
        """
        part = self.field(field)

        def is_written() -> bool:
            part.focus()
            self.page.keyboard.press("ControlOrMeta+A")
            self.page.keyboard.type(text)
            self.page.wait_for_timeout(100)
            return part.input_value() == text

        until(is_written, self.page)

    def tab(self) -> list[str]:
        """Go to the next control by the keyboard; return its id and its name."""
        before = self._focused()
        self.page.keyboard.press("Tab")
        until(lambda: self._focused() != before, self.page)
        return self._focused()

    def _focused(self) -> list[str]:
        found: list[str] = self.page.evaluate(
            """() => {
              const at = document.activeElement;
              const named = at.ariaLabel ? at : at.querySelector("[aria-label]");
              return [at.id || at.parentElement?.id || "", named?.ariaLabel || at.innerText || ""];
            }"""
        )
        return found

    def choose(self, menu: str, item: str) -> None:
        """Choose *item* of a menu by the keyboard."""
        self.unfold(menu, item).focus()
        self.page.keyboard.press("Enter")

    def unfold(self, menu: str, item: str) -> Locator:
        """Open a menu by the keyboard, and return its *item*, once that is there."""
        button = self.button(menu)
        entry = self.page.get_by_role("menuitemcheckbox", name=item, exact=True)
        self.see(button)

        def has_focus() -> bool:
            if not any(self._focused()):  # a field has it, and lets go of it by the keyboard alone
                self.page.keyboard.press("Tab")
            button.focus()
            self.page.wait_for_timeout(200)  # Flutter has the focus some frames after the browser
            return any(self._focused())

        until(has_focus, self.page)
        self.page.keyboard.press("Enter")
        self.see(entry)
        return entry

    def listen(self) -> None:
        """Keep from now on what is read aloud, for `heard`."""
        self.page.evaluate(
            """() => {
              const said = window.said = [];
              const place = document.querySelector("flt-announcement-polite");
              const keep = () => place.textContent && said.push(place.textContent.trim());
              new MutationObserver(keep).observe(place, { childList: true });
            }"""
        )

    def heard(self) -> list[str]:
        """Return what was read aloud since `listen`."""
        said: list[str] = self.page.evaluate("window.said")
        return said

    def begin_anew(self) -> None:
        """Return to the start, as somebody does who is somewhere in the app."""
        self.button("imagesearch").click()
        self.see("Describe a picture.")

    def is_drawn(self, part: Locator, colour: Colour) -> None:
        """Wait until the canvas has *colour* in the mean where *part* is."""

        def drawn() -> bool:
            box = part.bounding_box()
            return box is not None and is_near(self.mean(box), colour)

        until(drawn, self.page)

    def mean(self, box: FloatRect) -> Colour:
        return mean_colour(Image.open(io.BytesIO(self.page.screenshot(clip=box))))


def until(is_so: Callable[[], bool], page: Page) -> None:
    """Wait until *is_so*, which the browser tells of nobody."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end
        page.wait_for_timeout(200)


def mean_colour(picture: Image.Image) -> Colour:
    red, green, blue = ImageStat.Stat(picture.convert("RGB")).mean
    return red, green, blue


def colour_of_file(url: str) -> Colour:
    return mean_colour(Image.open(io.BytesIO(httpx.get(url).content)))


def is_near(colour: Colour, other: Colour) -> bool:
    return all(abs(a - b) < NEAR for a, b in zip(colour, other, strict=True))
