"""A real Chromium for the tests of the page, and what they say to it and to the server.

Answers that a healthy stack does not give (HTML, 503, a failed pool) are put in its place by the
browser's own network layer; the page is always the true one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

READY_KEYWORD = "cow"
QUERY = "three cows"
EMPTY_KEYWORD = "dragon"
POOL_SIZE = 72
POOL_TIMEOUT_SECONDS = 60
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

# The shell is the same engine without a browser's own windows, which took two fifths of the CPU.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

Answer = dict[str, Any]

expect.set_options(timeout=10_000)  # milliseconds; machines are shared


# Not of the session: while Playwright runs, no other test of this process can run a loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        if os.environ.get("REQUIRE_BACKENDS") == "1":
            pytest.fail("no Chromium on this machine, and REQUIRE_BACKENDS=1")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A new page, or the one that all tests share which leave nothing but routes and storage."""
    if request.node.get_closest_marker("same_page") is None:
        page: Page = request.getfixturevalue("new_page")
        yield page
        return
    page = request.getfixturevalue("kept_page")
    yield page
    page.unroute_all(behavior="ignoreErrors")
    page.evaluate("localStorage.clear(); sessionStorage.clear()")


@pytest.fixture
def new_page(browser: Browser, stack_url: str) -> Iterator[Page]:
    with opened_page(browser, stack_url) as page:
        yield page


# A new one takes a third of the CPU time of a test that does little with it.
@pytest.fixture(scope="module")
def kept_page(browser: Browser, stack_url: str) -> Iterator[Page]:
    with opened_page(browser, stack_url) as page:
        yield page


@contextmanager
def opened_page(browser: Browser, stack_url: str) -> Iterator[Page]:
    context = browser.new_context(base_url=stack_url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


@pytest.fixture(scope="session")
def demo_keywords(stack_url: str) -> list[str]:
    keywords: list[str] = httpx.get(f"{stack_url}/config.json").json()["demo_keywords"]
    return keywords


@pytest.fixture(scope="session")
def ready_answer(stack_url: str) -> Answer:
    """The API's own answer to the shared search, once its pool is complete."""
    params: dict[str, str | int] = {"t": READY_KEYWORD, "s_query": QUERY, "k": 6, "wait": 5}
    end = time.monotonic() + POOL_TIMEOUT_SECONDS
    while time.monotonic() < end:
        answer: Answer = httpx.get(f"{stack_url}/search", params=params, timeout=30).json()
        if answer.get("complete"):
            return answer
    pytest.fail(f"the pool of {READY_KEYWORD!r} was not ready in {POOL_TIMEOUT_SECONDS} s")


def address(keyword: str = READY_KEYWORD, query: str = QUERY, k: object | None = 6) -> str:
    """Return the page's address of a search, for *k* pictures or as many as the page asks for."""
    count = {} if k is None else {"k": str(k)}
    return f"/?{urlencode({'t': keyword, 's_query': query, **count})}"


def send_query(page: Page, keyword: str, query: str) -> None:
    """Fill the form and send it; on a small screen the keyword is among the options."""
    options = page.locator("#options-button")
    if options.is_visible() and options.get_attribute("aria-expanded") == "false":
        options.click()
    page.get_by_label("Keyword", exact=True).fill(keyword)
    page.get_by_label("What should be in the picture").fill(query)
    page.get_by_role("button", name="Search", exact=True).click()


def wait_for_all_results(page: Page, seconds: float = 10) -> None:
    """Wait until the search is over and has pictures."""
    expect(page.locator("#summary")).to_be_visible(timeout=seconds * 1000)
    expect(page.locator("#progress")).to_be_hidden(timeout=seconds * 1000)


def shown_images(page: Page) -> list[str]:
    expect(page.locator(".card img:not([src])")).to_have_count(0)  # those below come last
    urls: list[str] = page.locator(".card img").evaluate_all("nodes => nodes.map(n => n.src)")
    return urls


def answer_with(page: Page, *answers: Callable[[Route], None]) -> list[str]:
    """Give *answers* to the first searches, the last one again and again; return their URLs."""
    asked: list[str] = []

    def handle(route: Route) -> None:
        asked.append(route.request.url)
        answers[min(len(asked), len(answers)) - 1](route)

    page.route(re.compile(r"/search(\?|$)"), handle)
    return asked


def html(status: int, **headers: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(
        status=status, body="<h1>Bad day</h1>", content_type="text/html", headers=headers
    )


def error(status: int, message: str, field: str | None = None) -> Callable[[Route], None]:
    body = {"error": {"code": "any", "message": message, "field": field}}
    return lambda route: route.fulfill(status=status, body=json.dumps(body))


def pool(state: str, **counts: int) -> Answer:
    zeros = {"images": 0, "embedded": 0, "rejected": 0, "generation": 1, "age_seconds": 0}
    return {"pool_id": "p", "state": state, "reason": None, **zeros, **counts}


def accepted(pool: Answer, **headers: str) -> Callable[[Route], None]:
    body = json.dumps({"status": "fetching", "pool": pool})
    return lambda route: route.fulfill(status=202, body=body, headers=headers)
