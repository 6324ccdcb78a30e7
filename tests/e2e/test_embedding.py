"""`<image-search>` in a page of another origin, in a real browser; the server is the true one."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Route, expect

from imagesearch.installation import ROOT
from tests.e2e.conftest import Host, Serving
from tests.e2e.pages import answer_with, error, html

WEB = ROOT / "web"
DOCUMENT = ROOT / "docs" / "embedding.md"
MOST_BYTES = 12_000
HOST_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>A page</title>
<meta http-equiv="Content-Security-Policy" content="style-src 'none'">
<script type="module" src="{url}/image-search.js"></script>
</head>
<body><main><h1>A page</h1><image-search {attributes}></image-search></main></body>
</html>
"""
HORSES = 'keyword="horse" query="horses amidst flowers" k="4"'


@pytest.fixture(scope="module")
def allowing(page_server: Serving) -> Serving:
    page_server.complete(t="horse", s_query="x")
    return page_server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 900, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


Opened = Callable[..., Locator]


@pytest.fixture
def opened(page: Page, stranger: Host, allowing: Serving) -> Opened:
    def open_with(attributes: str, language: str = "en-GB") -> Locator:
        text = HOST_PAGE.format(url=allowing.url, attributes=attributes, language=language)
        page.goto(stranger.show(text))
        return page.locator("image-search")

    return open_with


def state(search: Locator) -> Locator:
    return search.locator(".state")


def look_for(search: Locator, words: str) -> None:
    search.get_by_label("What should be in the picture").fill(words)
    search.get_by_role("button", name="Search").click()


# What it shows


def test_one_tag_searches_from_another_origin_under_a_strict_policy(
    page: Page, opened: Opened, stranger: Host, allowing: Serving
) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    search = opened(HORSES)
    expect(state(search)).to_have_text("4 pictures, the best first.")
    expect(search.locator("li")).to_have_count(4)
    expect(search.locator(".match").first).to_have_text("Strong match")
    credit = search.locator("a.credit").first
    expect(credit).to_contain_text("imagesearch demo · the demo gallery")
    widths = search.locator("img").evaluate_all("all => all.map(each => each.naturalWidth)")
    assert min(widths) > 0
    assert {urlsplit(url).netloc for url in asked} == {
        urlsplit(stranger.origin).netloc,
        urlsplit(allowing.url).netloc,
    }
    assert [text for text in problems if "favicon" not in text and "404" not in text] == []


def test_all_that_the_tag_loads_is_small(page: Page, opened: Opened) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(urlsplit(request.url).path))
    expect(opened(HORSES).locator("li")).to_have_count(4)
    scripts = {path.lstrip("/") for path in loaded if path.endswith((".js", ".css", ".json"))}
    assert "image-search.js" in scripts
    sizes = {name: len(gzip.compress((WEB / name).read_bytes(), 9)) for name in scripts}
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_in_a_page_that_speaks_german_it_does_too(page: Page, opened: Opened) -> None:
    """Its texts are a file more, which no other page loads."""
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(urlsplit(request.url).path))
    search = opened(HORSES, language="de-AT")
    expect(search.locator("li")).to_have_count(4)
    expect(search.get_by_label("Was soll auf dem Bild sein")).to_be_visible()
    expect(state(search)).to_have_text("4 Bilder, die besten zuerst.")
    expect(search.locator(".match").first).to_contain_text("Passt")
    expect(search.get_by_role("button", name="Suchen")).to_be_visible()
    assert search.locator(".row").evaluate("row => row.closest('[lang]').lang") == "de"
    answer_with(page, error(429, "zu oft"), html(403))
    search.get_by_role("button", name="Suchen").click()
    expect(state(search)).to_contain_text("Neuer Versuch in 1 s …")
    expect(search.get_by_role("alert")).to_contain_text("Er verlangt eine Anmeldung")
    scripts = [path.lstrip("/") for path in loaded if path.endswith(".js")]
    assert "image-search.de.js" in scripts
    page.unroute_all()
    search.evaluate("each => each.lang = 'fr'")
    expect(search.get_by_label("What should be in the picture")).to_be_visible()
    expect(state(search)).to_have_text("4 pictures, the best first.")


def test_each_language_has_the_texts_of_english() -> None:
    """What is in one and not in another would be said as “undefined”."""
    code = (WEB / "image-search.js").read_text()
    english = re.search(r"const ENGLISH = {\n(.*?)\n};", code, re.DOTALL)
    german = re.search(r"default {\n(.*?)\n};", (WEB / "image-search.de.js").read_text(), re.DOTALL)
    assert english
    assert german
    keys = [re.findall(r"^  (\w+):", part[1], re.MULTILINE) for part in (english, german)]
    assert sorted(keys[0]) == sorted(keys[1])
    kinds = set(re.findall(r'"(\w+)"', _line_with("  kind:", (WEB / "client.d.ts").read_text())))
    failures = re.search(r"failures: {(.*?)\n  }", german[1], re.DOTALL)
    assert failures
    assert set(re.findall(r"(\w+): \"", failures[1])) == kinds


def _line_with(beginning: str, text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(beginning))


def test_more_is_shown_behind_what_is_there_and_the_focus_goes_there(opened: Opened) -> None:
    search = opened(HORSES)
    search.get_by_role("button", name="Show more").click()
    expect(search.locator("li")).to_have_count(8)
    ids = search.locator("li").evaluate_all("all => all.map(each => each.dataset.image)")
    assert len(set(ids)) == 8
    focused = search.evaluate("each => each.shadowRoot.activeElement.closest('li').dataset.image")
    assert focused == ids[4]


def test_what_a_person_types_is_searched_and_written_back(opened: Opened) -> None:
    search = opened('keyword="horse" k="3"')
    expect(search.locator("li")).to_have_count(0)
    search.get_by_label("What should be in the picture").fill("a horse at night")
    search.get_by_label("What should be in the picture").press("Enter")
    expect(search.locator("li")).to_have_count(3)
    expect(search).to_have_attribute("query", "a horse at night")


def test_what_is_being_typed_stays_when_another_attribute_changes(opened: Opened) -> None:
    search = opened(HORSES)
    expect(search.locator("li")).to_have_count(4)
    field = search.get_by_label("What should be in the picture")
    field.fill("half a sent")
    search.evaluate("each => each.setAttribute('k', '2')")
    expect(search.locator("li")).to_have_count(2)
    expect(field).to_have_value("half a sent")


def test_a_query_that_is_taken_away_takes_its_pictures_with_it(opened: Opened) -> None:
    search = opened(HORSES)
    expect(search.locator("li")).to_have_count(4)
    field = search.get_by_label("What should be in the picture")
    search.evaluate("each => each.removeAttribute('query')")
    expect(search.locator("li")).to_have_count(0)
    expect(state(search)).to_have_text("")
    expect(field).to_have_value("")
    expect(search.get_by_role("button", name="Show more")).to_be_hidden()
    search.evaluate("each => each.setAttribute('query', 'snow')")
    field.fill("half a sent")
    search.evaluate("each => each.setAttribute('query', '')")
    expect(search.locator("li")).to_have_count(0)
    expect(field).to_have_value("half a sent")


def test_attributes_that_are_set_in_one_go_are_one_search(page: Page, opened: Opened) -> None:
    search = opened(HORSES)
    expect(search.locator("li")).to_have_count(4)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    search.evaluate("each => { each.setAttribute('k', '2'); each.setAttribute('query', 'snow'); }")
    expect(search.locator("li")).to_have_count(2)
    searches = [url for url in asked if "/search?" in url]
    assert [(parse_qs(urlsplit(url).query)["s_query"], url.count("k=2")) for url in searches] == [
        (["snow"], 1)
    ]


def test_the_page_hears_of_answers_and_decides_what_a_click_does(
    page: Page, opened: Opened
) -> None:
    """By the listener of docs/embedding.md, as it stands there, and one for answers."""
    search = opened('keyword="horse"')
    (listener,) = re.findall(r"```js\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    page.evaluate(listener)
    page.evaluate(
        "addEventListener('image-search-answer', (event) => console.log(event.detail.query))"
    )
    written: list[str] = []
    page.on("console", lambda message: written.append(message.text))
    search.evaluate("each => { each.setAttribute('k', '2'); each.setAttribute('query', 'snow'); }")
    expect(search.locator("li")).to_have_count(2)
    with page.expect_console_message(lambda message: message.text.startswith("demo-")):
        search.locator("a.picture").first.click()
    shown = search.locator("li").first.get_attribute("data-image")
    assert written[0] == "snow"
    assert written[-1].startswith(f"{shown} http")
    assert len(page.context.pages) == 1


@pytest.mark.parametrize("document", ["embedding.md", "tours/front-end.md"])
def test_the_tag_of_the_documentation_works_as_it_stands(
    page: Page, stranger: Host, allowing: Serving, document: str
) -> None:
    (snippet,) = re.findall(r"```html\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)
    page.goto(stranger.show(snippet.replace("http://127.0.0.1:8080", allowing.url)))
    expect(page.locator("image-search li")).to_have_count(4)


def test_the_documentation_has_every_attribute_and_event() -> None:
    code = (WEB / "image-search.js").read_text()
    text = DOCUMENT.read_text()
    (attributes,) = re.findall(r"const ATTRIBUTES = (\[.*?\]);", code)
    events = set(re.findall(r'"(image-search-\w+)"', code))
    rows = re.findall(r"(?m)^\| `([\w-]+)` \|", text)
    assert set(rows) == {*json.loads(attributes), *events}


# What goes wrong


def test_a_server_that_is_away_is_named_nothing_is_lost_and_it_goes_on(
    page: Page, opened: Opened, allowing: Serving
) -> None:
    search = opened('keyword="horse" k="2"')
    page.clock.install()
    page.route(f"{allowing.url}/**", lambda route: route.abort())
    look_for(search, "a horse in the snow")
    for seconds in (1, 2, 4):
        expect(state(search)).to_contain_text("does not answer")
        expect(state(search)).to_contain_text(f"Trying again in {seconds} s")
        with page.expect_request(re.compile(r"/search\?")):
            page.clock.run_for(1000 * seconds + 100)
    alert = search.get_by_role("alert")
    expect(alert).to_contain_text(f"{allowing.url} does not answer. Check your network")
    expect(search.get_by_label("What should be in the picture")).to_have_value(
        "a horse in the snow"
    )
    page.unroute_all()
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(search.locator("li")).to_have_count(2)
    expect(alert).to_be_hidden()


def test_a_busy_server_is_asked_again_when_it_says(page: Page, opened: Opened) -> None:
    search = opened('keyword="horse" k="2"')
    page.clock.install()
    answer_with(page, error(503, "the scorer starts"), lambda route: route.continue_())
    look_for(search, "a horse in the snow")
    expect(state(search)).to_have_text(
        "The scorer starts (HTTP 503). Trying again in 1 s …"  # as it does not say when
    )
    page.clock.run_for(1_100)
    expect(search.locator("li")).to_have_count(2)


def to_sign_in(route: Route) -> None:
    """As one that leads to a sign-in, which other pages may not read."""
    headers = {"Access-Control-Allow-Origin": "https://accounts.example"}  # else Playwright allows
    route.fulfill(status=200, body="<h1>Sign in</h1>", headers=headers)


@pytest.mark.parametrize(
    ("answer", "sentence", "can_be_tried_again"),
    [
        (html(200), "does not answer as an imagesearch does (HTTP 200).", True),
        (error(400, "k must be between 1 and 200, got 0", "k"), "K must be between 1", False),
        (error(404, "there is no /search"), "There is no /search (HTTP 404).", True),
        (html(403), "A login is asked for, which is not here (HTTP 403).", True),
        (to_sign_in, "answers, but not to this page: a login stands before it", True),
    ],
)
def test_another_answer_is_a_sentence(
    page: Page,
    opened: Opened,
    answer: Callable[[Route], None],
    sentence: str,
    can_be_tried_again: bool,
) -> None:
    answer_with(page, answer)
    search = opened(HORSES)
    expect(search.get_by_role("alert")).to_contain_text(sentence)
    expect(search.get_by_role("button", name="Try again")).to_have_count(int(can_be_tried_again))
    expect(search.get_by_label("What should be in the picture")).to_have_value(
        "horses amidst flowers"
    )
    page.unroute_all()
    if can_be_tried_again:
        search.get_by_role("button", name="Try again").click()
        expect(search.locator("li")).to_have_count(4)


def test_a_text_that_is_too_long_is_told_so_and_not_cut(opened: Opened) -> None:
    search = opened('keyword="horse"')
    long = "a horse " * 70
    look_for(search, long)
    expect(search.get_by_role("alert")).to_contain_text("must have 1 to 500 characters, got 559")
    expect(search.get_by_label("What should be in the picture")).to_have_value(long.strip())


def test_a_server_behind_a_key_asks_for_it(page: Page, opened: Opened, allowing: Serving) -> None:
    keys: list[str | None] = []

    def with_key(route: Route) -> None:
        keys.append(route.request.headers.get("x-api-key"))
        if keys[-1] is None:
            error(401, "X-API-Key must be the key of this server")(route)
        else:
            route.continue_()

    page.route(re.compile(r"/search\?"), with_key)
    search = opened(HORSES)
    expect(search.get_by_role("alert")).to_contain_text("This server asks for a key")
    search.get_by_label("Key").fill("secret")
    search.get_by_label("Key").press("Enter")
    expect(search.locator("li")).to_have_count(4)
    assert keys == [None, "secret"]
    search.evaluate("(each, api) => each.setAttribute('api', api)", f"{allowing.url}/other/..")
    expect(search.get_by_role("alert")).to_contain_text("This server asks for a key")
    assert keys == [None, "secret", None], "the key of one server is no other's"


def test_an_address_that_is_none_is_a_sentence_and_ends_the_search(opened: Opened) -> None:
    search = opened('api="http://" query="snow"')
    expect(search.get_by_role("alert")).to_contain_text("The attribute api must be an address")
    expect(search.locator("ol")).not_to_have_attribute("aria-busy", "true")


# For everyone


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_it(page: Page, opened: Opened, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    search = opened(HORSES)
    expect(search.locator("li")).to_have_count(4)
    report = Axe().run(page)
    assert not report.response["violations"], report.generate_report()
    colour = search.evaluate("each => getComputedStyle(each).backgroundColor")
    assert colour == {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 22, 20)"}[scheme]


def test_it_fits_a_narrow_column(page: Page, opened: Opened) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    expect(opened(HORSES).locator("li")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_the_demo_page_has_the_whole_tag_and_axe_finds_nothing_there(
    page: Page, allowing: Serving
) -> None:
    page.goto(f"{allowing.url}/embed")  # its links begin at the slash that this lacks
    assert page.url == f"{allowing.url}/embed/"
    expect(page.locator("image-search li")).to_have_count(6)
    expect(page.locator("#tag")).to_contain_text(f'src="{allowing.url}/image-search.js"')
    expect(page.locator("#told")).to_contain_text("image-search-answer: 6 pictures")
    report = Axe().run(page)
    assert not report.response["violations"], report.generate_report()
