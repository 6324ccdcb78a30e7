"""
The page in a real Chromium, against the real one-machine stack with the demo gallery and model.

Starting the stack lives in `conftest.py`. Answers that a healthy stack does not give (HTML, 503, a
failed pool) are put in its place by the browser's own network layer; the page is always the true
one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect, sync_playwright

READY_KEYWORD = "circle"
QUERY = "a red circle on a blue background"
EMPTY_KEYWORD = "horse"
POOL_TIMEOUT_SECONDS = 60
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

Answer = dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    executable = next(filter(None, found), None)
    if executable is None:
        if os.environ.get("REQUIRE_BACKENDS") == "1":
            pytest.fail("no Chromium on this machine, and REQUIRE_BACKENDS=1")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, stack_url: str) -> Iterator[Page]:
    context = browser.new_context(base_url=stack_url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


@pytest.fixture(scope="module")
def demo_keywords(stack_url: str) -> list[str]:
    keywords: list[str] = httpx.get(f"{stack_url}/config.json").json()["demo_keywords"]
    return keywords


@pytest.fixture(scope="module")
def ready_answer(stack_url: str) -> Answer:
    """The API's own answer to the shared search, once its pool is complete."""
    params: dict[str, str | int] = {"t": READY_KEYWORD, "s_query": QUERY, "k": 6, "wait": 5}
    end = time.monotonic() + POOL_TIMEOUT_SECONDS
    while time.monotonic() < end:
        answer: Answer = httpx.get(f"{stack_url}/search", params=params, timeout=30).json()
        if answer.get("complete"):
            return answer
    pytest.fail(f"the pool of {READY_KEYWORD!r} was not ready in {POOL_TIMEOUT_SECONDS} s")


def address(keyword: str = READY_KEYWORD, query: str = QUERY, k: object = 6) -> str:
    return f"/?{urlencode({'t': keyword, 's_query': query, 'k': str(k)})}"


def send_query(page: Page, keyword: str, query: str) -> None:
    page.get_by_label("Keyword", exact=True).fill(keyword)
    page.get_by_label("What should be in the picture").fill(query)
    page.get_by_role("button", name="Send Query").click()


def wait_for_all_results(page: Page, seconds: float = 10) -> None:
    expect(page.locator("#summary")).to_be_visible(timeout=seconds * 1000)
    expect(page.locator("#progress")).to_be_hidden(timeout=seconds * 1000)


def shown_images(page: Page) -> list[str]:
    urls: list[str] = page.locator(".card img").evaluate_all("nodes => nodes.map(n => n.src)")
    return urls


def answer_with(page: Page, *answers: Callable[[Route], None]) -> list[str]:
    """Give *answers* to the first searches, the last one again and again; return their URLs."""
    asked: list[str] = []

    def handle(route: Route) -> None:
        asked.append(route.request.url)
        answers[min(len(asked), len(answers)) - 1](route)

    page.route("**/search?*", handle)
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


# -- as it is served


def test_a_picture_of_the_demo_opens_a_styled_page(page: Page, ready_answer: Answer) -> None:
    """Its policy, as the site's, admits no style within a page."""
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(ready_answer["results"][0]["page_url"])
    radius = "element => getComputedStyle(element).borderRadius"
    assert page.locator("figure").evaluate(radius) == "16px"
    width = page.locator("img").evaluate("img => img.decode().then(() => img.naturalWidth)")
    assert width == ready_answer["results"][0]["width"]
    assert problems == []


def test_the_page_is_not_sent_twice(page: Page) -> None:
    """All that lies in the browser's cache is asked about, and is still as it was."""
    page.goto("/")
    statuses: list[int] = []
    page.on("response", lambda response: statuses.append(response.status))
    with page.expect_response("**/style.css"):
        page.goto("/")
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').map(entry => entry.transferSize)"
    )
    assert sizes
    assert all(size < 1_000 for size in sizes)  # heads alone


# -- a whole search


def test_a_new_keyword_shows_its_progress_and_then_its_best_pictures(
    page: Page, demo_keywords: list[str]
) -> None:
    """The API is asked not to wait, so that the first answers surely come before the pool."""
    keyword = demo_keywords[-1]
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    answers: list[Answer] = []
    page.route("**/search?*", lambda route: hurry(route, answers))
    page.goto("/")
    record_texts(page, "#progress-label")

    send_query(page, keyword, "something red")
    wait_for_all_results(page, POOL_TIMEOUT_SECONDS)

    labels = page.evaluate("window.recorded")
    assert any(label.startswith(f"Fetching images for “{keyword}”") for label in labels), labels
    assert not answers[0].get("complete")
    assert answers[-1]["complete"]
    compared = answers[-1]["pool"]["embedded"]
    expect(page.locator("#summary")).to_contain_text(f"10 of {compared} images from “{keyword}”")
    expect(page.locator(".card")).to_have_count(10)
    assert_cards_show(page, answers[-1])
    assert not problems


def hurry(route: Route, answers: list[Answer]) -> None:
    parts = urlsplit(route.request.url)
    query = {**dict(parse_qsl(parts.query)), "wait": "0"}
    response = route.fetch(url=urlunsplit(parts._replace(query=urlencode(query))))
    answers.append(response.json())
    route.fulfill(response=response)


def record_texts(page: Page, selector: str) -> None:
    page.evaluate(
        """selector => {
            window.recorded = [];
            const node = document.querySelector(selector);
            const note = () => recorded.push(node.textContent);
            new MutationObserver(note).observe(node, { childList: true });
        }""",
        selector,
    )


def assert_cards_show(page: Page, answer: Answer) -> None:
    for i, hit in enumerate(answer["results"]):
        card = page.locator(".card").nth(i)
        image = card.locator("img")
        image.scroll_into_view_if_needed()
        expect(image).to_have_class("loaded")
        assert image.evaluate("node => node.naturalWidth") > 0
        assert image.get_attribute("alt") == ", ".join(hit["tags"])
        expect(card.locator(".rank")).to_have_text(str(i + 1))
        expect(card.locator(".number")).to_have_text(f"{answer['top_scores'][i]:.1f}")
        credit = card.locator(".credit a")
        expect(credit).to_contain_text(f"Picture by {hit['credit']['user']}")
        assert credit.get_attribute("href") == hit["page_url"]
        assert credit.get_attribute("rel") == "noopener"


def test_partial_results_appear_under_a_real_progress_bar(page: Page, ready_answer: Answer) -> None:
    part = {**ready_answer, "complete": False}
    part["pool"] = pool("embedding", images=200, embedded=64, rejected=6)
    part["results"], part["top_scores"] = part["results"][:2], part["top_scores"][:2]
    asked = answer_with(
        page,
        accepted(pool("requested"), **{"Retry-After": "0"}),
        lambda route: route.fulfill(json=part, headers={"Retry-After": "90"}),
        lambda route: route.fulfill(json=ready_answer),
    )
    page.clock.install()
    page.goto(address())

    bar = page.get_by_role("progressbar", name="64 of 200 ready")
    expect(bar).to_have_attribute("max", "200")
    assert bar.evaluate("node => node.value") == 70
    expect(page.locator("#summary")).to_contain_text("2 of 64 images from “circle” so far")
    expect(page.locator(".card")).to_have_count(2)
    kept = page.locator(".card img").first.element_handle()
    page.clock.fast_forward(80_000)
    expect(page.locator(".card")).to_have_count(2)
    assert len(asked) == 2, "Retry-After was not honoured"
    page.clock.fast_forward(10_000)
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(6)
    assert kept is not None
    assert kept.evaluate("node => node.isConnected")
    waits = [float(dict(parse_qsl(urlsplit(url).query))["wait"]) for url in asked]
    assert max(waits) <= 1


def test_everything_stored_is_searched_without_a_keyword(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    page.get_by_label("What should be in the picture").fill(QUERY)
    page.get_by_label("Search everything stored so far").check()
    page.get_by_role("button", name="Send Query").click()
    wait_for_all_results(page)
    expect(page.locator("#summary")).to_contain_text("from everything stored so far")
    expect(page.locator(".card")).to_have_count(10)
    assert "scope=catalog" in page.url


def test_a_search_of_everything_ends_though_pictures_wait_for_a_new_model(
    page: Page, ready_answer: Answer
) -> None:
    """Nobody may search for their keywords for weeks."""
    incomplete = {**ready_answer, "scope": "catalog", "pool": None, "complete": False}
    answers = [incomplete, {**incomplete, "results": [], "top_scores": []}]
    asked = answer_with(page, *(lambda route, one=one: route.fulfill(json=one) for one in answers))
    page.goto(f"/?{urlencode({'scope': 'catalog', 's_query': QUERY})}")
    expect(page.locator("#awaiting")).to_contain_text("Some stored pictures wait for a new model")
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(6)
    page.get_by_label("What should be in the picture").fill("another")
    page.get_by_role("button", name="Send Query").click()
    expect(page.locator("#notice")).to_contain_text("Some stored pictures wait for a new model")
    expect(page.locator("#progress")).to_be_hidden()
    assert len(asked) == 2


def test_a_query_that_was_cut_says_so(page: Page, ready_answer: Answer) -> None:
    page.goto(address(query="red circle " * 42))
    wait_for_all_results(page)
    expect(page.get_by_text("longer than the 77 tokens")).to_be_visible()
    page.goto(address())
    wait_for_all_results(page)
    expect(page.get_by_text("longer than the 77 tokens")).to_be_hidden()


def test_a_new_search_drops_the_one_before(page: Page, ready_answer: Answer) -> None:
    aborted: list[Request] = []
    page.on("requestfailed", lambda request: aborted.append(request))
    page.route("**/search?t=never*", lambda route: None)
    page.goto("/")
    with page.expect_request("**/search?t=never*"):
        send_query(page, "never", "an answer that does not come")
    send_query(page, READY_KEYWORD, QUERY)
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}”")
    assert ["t=never" in request.url for request in aborted] == [True]


# -- nothing found, and everything that can go wrong


def test_a_keyword_without_pictures_says_so_and_stops(page: Page) -> None:
    page.goto("/")
    send_query(page, EMPTY_KEYWORD, "horses amidst flowers")
    expect(page.get_by_role("heading", name="No pictures for “horse”")).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("Try another keyword")
    expect(page.locator("#status")).to_contain_text("No pictures for “horse”")
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#results")).to_be_hidden()


def test_blank_fields_are_named_and_nothing_is_sent(page: Page) -> None:
    asked = answer_with(page, html(200))
    page.goto("/")
    send_query(page, "  ", "")
    expect(page.locator("#keyword-error")).to_contain_text("Type a keyword")
    expect(page.locator("#query-error")).to_contain_text("Describe what should be")
    expect(page.get_by_label("Keyword", exact=True)).to_be_focused()
    expect(page.locator("#progress")).to_be_hidden()
    page.get_by_label("Keyword", exact=True).fill("star")
    expect(page.locator("#keyword-error")).to_be_hidden()
    assert asked == []


def test_an_error_of_the_api_stands_at_its_field(page: Page) -> None:
    page.goto(address(k=0))
    expect(page.locator("#count-error")).to_have_text("k must be between 1 and 200, got 0")
    expect(page.locator("#count")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#count")).to_have_value("0")
    expect(page.locator("#progress")).to_be_hidden()


@pytest.mark.parametrize(
    ("answer", "heading", "text"),
    [
        (html(200), "The server's answer makes no sense", "(HTTP 200)"),
        (error(404, "no such path"), "The search was not found", "No such path."),
        (error(413, "too large"), "That is too much text", "Too large."),
        (error(422, "odd"), "The server could not read this search", "Odd."),
        (html(500), "Something broke on the server", "Your search is fine"),
        (html(504, **{"Retry-After": "600"}), "The search took too long", "in about 10 minutes"),
        (lambda route: route.abort(), "No connection to the server", "Check your network"),
        (html(503, **{"Retry-After": "600"}), "not available right now", "in about 10 minutes"),
    ],
)
def test_every_failure_has_its_words_and_a_way_on(
    page: Page,
    ready_answer: Answer,
    answer: Callable[[Route], None],
    heading: str,
    text: str,
) -> None:
    answer_with(page, answer, lambda route: route.continue_())
    page.goto(address())
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator("#notice")).to_contain_text(text)
    expect(page.locator("#status")).to_contain_text(heading)
    expect(page.locator("#progress")).to_be_hidden()
    page.get_by_role("button", name="Try again").click()
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_busy_server_is_asked_again_after_a_countdown(page: Page, ready_answer: Answer) -> None:
    busy = [html(status, **{"Retry-After": "1"}) for status in (429, 503, 504)]
    asked = answer_with(page, *busy, lambda route: route.continue_())
    page.clock.install()
    page.goto(address())
    for heading in (
        "Too many searches just now",
        "The search is not available right now",
        "The search took too long",
    ):
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        sit_out_countdown(page)
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()
    assert len(asked) == 4


def sit_out_countdown(page: Page) -> None:
    expect(page.locator("#notice-wait")).to_have_text("Trying again in 1 s.")
    page.clock.fast_forward(1000)


def test_trying_again_without_a_network_keeps_what_was_found(
    page: Page, ready_answer: Answer
) -> None:
    partial = {**ready_answer, "complete": False, "pool": {**pool("failed"), "reason": "gone"}}
    partial["results"] = ready_answer["results"][:2]
    answer_with(
        page,
        lambda route: route.fulfill(json=partial),
        lambda route: route.abort(),
        accepted(pool("fetching")),
        lambda route: route.continue_(),
    )
    page.goto(address())
    shown = page.locator(".card img")
    expect(shown).to_have_count(2)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="No connection to the server")).to_be_visible()
    expect(page.locator("#results")).to_be_visible()
    expect(page.locator("#results")).not_to_have_class(re.compile("old"))
    expect(shown).to_have_count(2)
    page.get_by_role("button", name="Try again").click()
    expect(shown).to_have_count(6)


def test_pictures_of_another_search_go_when_its_successor_fails(
    page: Page, ready_answer: Answer
) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.route("**/search?*", lambda route: route.abort())
    send_query(page, READY_KEYWORD, "something else")
    expect(page.get_by_role("heading", name="No connection to the server")).to_be_visible()
    expect(page.locator("#results")).to_be_hidden()


def test_a_browser_of_some_years_ago_searches_too(page: Page, ready_answer: Answer) -> None:
    page.add_init_script(
        "delete AbortSignal.any; delete AbortSignal.timeout; delete URL.canParse;"
        "delete AbortSignal.prototype.throwIfAborted; delete AbortSignal.prototype.reason;"
    )
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator(".card img")).to_have_count(6)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_demo_picture_has_a_page_with_its_style(page: Page, ready_answer: Answer) -> None:
    page.goto(ready_answer["results"][0]["page_url"])
    expect(page.locator("figure")).to_have_css("border-radius", "16px")
    expect(page.locator("img")).to_have_js_property("complete", True)
    expect(page.locator("li").first).to_have_css("list-style-type", "none")


def test_a_server_that_stays_down_is_not_asked_for_ever(page: Page) -> None:
    asked = answer_with(page, html(503, **{"Retry-After": "0"}))
    page.clock.install()
    page.goto(address())
    for _ in range(3):
        sit_out_countdown(page)
    expect(page.get_by_text("It still fails after 4 tries.")).to_be_visible()
    assert len(asked) == 4


def test_a_failed_pool_ends_the_search_with_its_reason(page: Page) -> None:
    failed = {**pool("failed"), "reason": "Pixabay answered 400"}
    asked = answer_with(page, accepted(failed))
    page.goto(address())
    expect(page.locator("#notice")).to_contain_text("Pixabay answered 400.")
    expect(page.locator("#progress")).to_be_hidden()
    assert len(asked) == 1


def test_a_pool_that_never_ends_is_given_up(page: Page) -> None:
    page.clock.install()
    answer_with(page, accepted(pool("fetching", images=200), **{"Retry-After": "1"}))
    page.goto(address())
    expect(page.get_by_text("0 of 200 ready")).to_be_visible()
    page.clock.fast_forward(301_000)
    expect(page.get_by_role("heading", name="Still not finished")).to_be_visible()
    expect(page.locator("#progress")).to_be_hidden()


def test_hostile_text_and_broken_images_do_no_harm(page: Page, ready_answer: Answer) -> None:
    hit = {
        **ready_answer["results"][0],
        "url": "/no-such-image.jpg",
        "page_url": "javascript:document.title='taken'",
        "credit": {"user": "<img src=x onerror=alert(1)>", "source": "Pixabay"},
        "tags": ["<b>bold</b>"],
    }
    answer_with(page, lambda route: route.fulfill(json={**ready_answer, "results": [hit]}))
    page.goto(address())
    wait_for_all_results(page)
    card = page.locator(".card")
    expect(card).to_contain_text("Picture by <img src=x onerror=alert(1)> on Pixabay")
    expect(card.get_by_role("img", name="<b>bold</b> (not available)")).to_be_visible()
    expect(card.locator("a")).to_have_count(0)


# -- address, history, keyboard


def test_a_shared_address_gives_the_same_results_when_reloaded(
    page: Page, ready_answer: Answer
) -> None:
    page.goto("/")
    page.get_by_label("Show").fill("6")
    send_query(page, READY_KEYWORD, QUERY)
    wait_for_all_results(page)
    first = shown_images(page)
    assert [urlsplit(url).path for url in first] == [
        urlsplit(hit["url"]).path for hit in ready_answer["results"]
    ]
    assert page.url.endswith(address())
    page.reload()
    wait_for_all_results(page)
    assert shown_images(page) == first
    expect(page.get_by_label("Keyword", exact=True)).to_have_value(READY_KEYWORD)
    expect(page.get_by_label("What should be in the picture")).to_have_value(QUERY)


def test_the_back_button_returns_to_the_search_before(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    send_query(page, READY_KEYWORD, QUERY)
    wait_for_all_results(page)
    send_query(page, READY_KEYWORD, "something green")
    expect(page.locator("#results-heading")).to_have_text("“something green”")
    page.go_back()
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}”")
    expect(page.get_by_label("What should be in the picture")).to_have_value(QUERY)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    expect(page.locator("#results")).to_be_hidden()
    expect(page.get_by_label("Keyword", exact=True)).to_have_value("")


def test_half_a_search_in_the_address_asks_for_the_other_half(page: Page) -> None:
    page.goto("/?t=star")
    expect(page.get_by_label("Keyword", exact=True)).to_have_value("star")
    expect(page.get_by_label("What should be in the picture")).to_be_focused()
    expect(page.locator("#query-error")).to_be_visible()


def test_the_keyboard_alone_is_enough(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="imagesearch")).to_be_focused()
    press("Tab")
    page.keyboard.type(READY_KEYWORD)
    press("Tab")
    page.keyboard.type(QUERY)
    press("Enter")
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_be_focused()
    press("Tab")
    expect(page.locator(".credit a").first).to_be_focused()
    expect(page.locator(".credit a").first).to_have_css("outline-style", "solid")
    press("Tab")
    expect(page.locator(".credit a").nth(1)).to_be_focused()


# -- demo, looks, accessibility


def test_the_demo_says_that_it_is_one_and_offers_searches(
    page: Page, demo_keywords: list[str]
) -> None:
    page.goto("/")
    expect(page.get_by_text("No Pixabay key is set")).to_be_visible()
    expect(page.locator("#keyword-list button")).to_have_text(demo_keywords)
    examples = page.locator("#example-list a")
    assert 3 <= examples.count() <= 4
    for href in examples.evaluate_all("nodes => nodes.map(node => node.search)"):
        assert dict(parse_qsl(href[1:]))["t"] in demo_keywords
    page.locator("#keyword-list button").first.click()
    expect(page.get_by_label("Keyword", exact=True)).to_have_value(demo_keywords[0])
    expect(page.get_by_label("What should be in the picture")).to_be_focused()


def test_an_example_searches_without_loading_the_page_again(
    page: Page, ready_answer: Answer
) -> None:
    page.goto("/")
    page.evaluate("window.same = true")
    page.locator("#example-list a", has_text=READY_KEYWORD).click()
    wait_for_all_results(page)
    assert page.evaluate("window.same")
    assert f"t={READY_KEYWORD}" in page.url


def test_nothing_scrolls_sideways_on_a_narrow_screen(page: Page, ready_answer: Answer) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    for path in ("/", address(), address(k=0)):
        page.goto(path)
        settled = page.locator("#results, #count-error, #examples").filter(visible=True)
        expect(settled).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_the_dark_scheme_changes_the_page_and_keeps_its_contrast(page: Page) -> None:
    seen = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto("/")
        paper, ink, muted = (luminance(page, name) for name in ("--paper", "--ink", "--muted"))
        accent, on_accent = luminance(page, "--accent"), luminance(page, "--on-accent")
        alarm = luminance(page, "--alarm")
        for one, other in ((paper, ink), (paper, muted), (paper, alarm), (accent, on_accent)):
            assert contrast(one, other) >= 4.5
        assert contrast(paper, accent) >= 4.5
        seen.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert seen[0] != seen[1]


def luminance(page: Page, variable: str) -> float:
    """Relative luminance, 0..1, of a #rrggbb custom property (WCAG 2.2)."""
    value = page.evaluate(
        "name => getComputedStyle(document.documentElement).getPropertyValue(name)", variable
    )
    channels = [int(value.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_the_page_is_named_for_those_who_do_not_see_it(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    labels = page.locator("input").evaluate_all("nodes => nodes.map(n => n.labels.length)")
    assert labels == [1] * len(labels)
    assert len(labels) == 4
    alts = page.locator("img").evaluate_all("nodes => nodes.map(n => n.alt)")
    assert len(alts) == 6
    assert all(alts)
    sizes = page.locator("img").evaluate_all("ns => ns.map(n => [n.width, n.height])")
    assert all(width > 0 and height > 0 for width, height in sizes)
    assert page.locator("html").get_attribute("lang") == "en"
    expect(page.locator("[role=status][aria-live=polite]")).to_contain_text("6 pictures found.")
    expect(page).to_have_title(re.compile(re.escape(QUERY)))


def test_the_page_loads_nothing_from_elsewhere(
    page: Page, stack_url: str, ready_answer: Answer
) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(address())
    wait_for_all_results(page)
    assert hosts == {urlsplit(stack_url).netloc}
