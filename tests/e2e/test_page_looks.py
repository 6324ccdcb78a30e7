"""How the page looks and sounds: small screens, dark and forced colours, paper, screen readers."""

from __future__ import annotations

import io
import re
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import FilePayload, Page, Route, expect

from tests.e2e.pages import (
    EMPTY_KEYWORD,
    QUERY,
    READY_KEYWORD,
    Answer,
    accepted,
    address,
    answer_with,
    error,
    html,
    pool,
    wait_for_all_results,
)
from tests.effort import amount

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
LANDSCAPE = {"width": 844, "height": 390}


def test_nothing_scrolls_sideways_on_a_narrow_screen(page: Page, ready_answer: Answer) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    for path in ("/", address(), address(k=0), address(query="w" * 300)):
        page.goto(path)
        settled = page.locator("#summary, #notice, #examples").filter(visible=True)
        expect(settled.first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.set_viewport_size({**PHONE})  # type: ignore[typeddict-item]
    page.goto(address(k=None))
    wait_for_all_results(page)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_phone_on_its_side_shows_what_narrows_down(page: Page, ready_answer: Answer) -> None:
    page.set_viewport_size({**LANDSCAPE})  # type: ignore[typeddict-item]
    page.goto(address(k=None))
    wait_for_all_results(page)
    chip = page.locator("#chips .chip").first.bounding_box()
    chips = page.locator("#chips").bounding_box()
    assert chip
    assert chips
    assert chip["x"] + chip["width"] <= chips["x"] + chips["width"]
    page.goto(f"{address(k=None)}&minus=green")
    expect(page.locator("#results-heading")).to_contain_text("without “green”")
    height = page.locator("#results-heading").evaluate("node => node.clientHeight")
    assert height > 10  # the field above does not say that


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
    labels = page.locator("input").evaluate_all(
        "nodes => nodes.map(n => n.labels.length + n.hasAttribute('aria-label'))"
    )
    assert labels == [1] * len(labels)
    assert len(labels) == 6
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


def test_links_and_buttons_have_names_of_their_own(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    for kind in ("a.credit", ".open"):
        names = page.locator(kind).evaluate_all(
            "all => all.map(n => n.textContent + (n.querySelector('img')?.alt ?? ''))"
        )
        assert len(set(names)) == 6


LISTEN = """() => {
    window.spoken = [];
    const node = document.getElementById("status");
    const note = () => spoken.push(node.textContent);
    new MutationObserver(note).observe(node, { childList: true });
}"""


def test_a_long_wait_for_one_answer_is_spoken_until_it_comes(
    page: Page, ready_answer: Answer
) -> None:
    """A scorer that starts takes longer than a person waits in silence."""
    held: list[Route] = []
    answer_with(page, held.append)
    page.clock.install()
    page.goto("/")
    expect(page.locator("#example-list a").first).to_be_visible()
    page.evaluate(LISTEN)
    page.locator("#example-list a").first.click()
    expect(page.locator("#progress")).to_be_visible()
    for _ in range(26):
        page.clock.run_for(1_000)
    held[0].fulfill(json=ready_answer)
    wait_for_all_results(page)
    for _ in range(20):
        page.clock.run_for(1_000)
    spoken = [text for text in page.evaluate("window.spoken") if text.startswith("Still")]
    assert spoken == [
        f"Still searching, {seconds} seconds without an answer." for seconds in (8, 16, 24)
    ]


def test_progress_is_spoken_now_and_then(page: Page) -> None:
    """Each poll would be a stammer, and none at all a long silence."""
    counts = iter(range(1, 100))
    answer_with(
        page,
        lambda route: accepted(
            pool("embedding", images=200, embedded=next(counts)), **{"Retry-After": "1"}
        )(route),
    )
    page.clock.install()
    page.goto("/")
    page.evaluate(LISTEN)
    page.locator("#example-list a").first.click()
    expect(page.locator("#progress-label")).to_contain_text("1 of 200 ready")
    for count in range(2, 13):
        page.clock.run_for(1_000)
        expect(page.locator("#progress-label")).to_contain_text(f"{count} of 200 ready")
    spoken = [text for text in page.evaluate("window.spoken") if "of 200 ready" in text]
    assert 3 <= len(spoken) <= 4, spoken


# -- small screens, rows, directions


@pytest.mark.parametrize("screen", [PHONE, LANDSCAPE], ids=["upright", "on its side"])
def test_a_phone_shows_pictures_at_once_in_columns(
    page: Page, ready_answer: Answer, screen: dict[str, int]
) -> None:
    page.set_viewport_size({**screen})  # type: ignore[typeddict-item]
    page.goto(address(k=None))
    wait_for_all_results(page)
    tops = page.locator(".frame").evaluate_all("all => all.map(n => n.getBoundingClientRect().top)")
    assert tops[0] < screen["height"] / 3
    assert tops[0] == tops[1]
    expect(page.locator(".frame").first).to_be_in_viewport(ratio=1)


def test_rows_are_of_equal_height_whatever_stands_in_them(page: Page, ready_answer: Answer) -> None:
    shapes = [(640, 427), (300, 640), (640, 640), (1200, 400), (427, 640), (640, 427)]
    hits = [
        {**hit, "width": width, "height": height, "image_id": f"{hit['image_id']}-{turn}"}
        for turn in range(3)
        for hit, (width, height) in zip(ready_answer["results"], shapes, strict=True)
    ]
    answer_with(page, lambda route: route.fulfill(json={**ready_answer, "results": hits}))
    for screen in (DESKTOP, PHONE, LANDSCAPE):
        page.set_viewport_size({**screen})  # type: ignore[typeddict-item]
        page.goto(address())
        wait_for_all_results(page)
        boxes = page.locator(".frame").evaluate_all(
            "all => all.map(n => n.getBoundingClientRect()).map(b => [b.top, b.height, b.right])"
        )
        rows: dict[int, list[tuple[float, float]]] = {}
        for top, height, right in boxes:
            rows.setdefault(round(top), []).append((height, right))
        assert len(rows) > 2
        for row in rows.values():
            assert max(height for height, _ in row) - min(height for height, _ in row) < 1
        ends = [max(right for _, right in row) for row in list(rows.values())[:-1]]
        assert max(ends) - min(ends) < 1, "a row does not reach the edge"


def test_text_from_the_right_reads_from_the_right(page: Page, ready_answer: Answer) -> None:
    query = "دائرة حمراء"
    answer_with(page, lambda route: route.fulfill(json=ready_answer))
    page.goto(address("דג", query))
    wait_for_all_results(page)
    for place in ("#query", "#keyword", "#results-heading"):
        expect(page.locator(place)).to_have_css("direction", "rtl")
    expect(page.locator("#summary")).to_contain_text("“\u2068דג\u2069”")
    expect(page.locator("#summary")).to_have_css("direction", "ltr")


def test_descenders_are_whole(page: Page, ready_answer: Answer) -> None:
    answer_with(page, lambda route: route.fulfill(json=ready_answer))
    for screen in (DESKTOP, PHONE):
        page.set_viewport_size({**screen})  # type: ignore[typeddict-item]
        page.goto(address(query="gypsy"))
        wait_for_all_results(page)
        below = page.locator("#results-heading").evaluate(
            """node => {
                const text = document.createRange();
                text.selectNodeContents(node);
                return text.getBoundingClientRect().bottom - node.getBoundingClientRect().bottom;
            }"""
        )
        assert below <= 0


def test_forced_colours_keep_buttons_and_the_bar(page: Page) -> None:
    answer_with(page, accepted(pool("embedding", images=200, embedded=64), **{"Retry-After": "60"}))
    page.emulate_media(forced_colors="active")
    page.goto(address())
    expect(page.locator("#progress-label")).to_contain_text("64 of 200")
    for place in ("button[type=submit]", "#stop", "#progress-bar"):
        edge = page.locator(place).evaluate(
            "node => [node, document.body].map(n => getComputedStyle(n))"
            ".map((style, i) => i ? style.backgroundColor : style.borderTopColor)"
        )
        assert edge[0] != edge[1]
        expect(page.locator(place)).to_have_css("border-top-style", "solid")


def test_paper_gets_the_pictures_and_whose_they_are(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.emulate_media(media="print")
    for gone in ("#search", ".top", "#more", ".keys", "#chips"):
        expect(page.locator(gone)).to_be_hidden()
    expect(page.locator("#results-heading")).to_be_visible()
    content = page.locator(".credit").first.evaluate(
        "node => getComputedStyle(node, '::after').content"
    )
    assert "attr(href)" in content or "/demo/" in content


def test_paper_says_that_nothing_matches_and_offers_nothing_to_press(
    page: Page, ready_answer: Answer
) -> None:
    notices: dict[str, dict[str, Any]] = {
        "Nothing here shows that.": {"matched": False},
        "The pictures could not all be fetched": {
            "complete": False,
            "pool": {**pool("failed"), "reason": "gone"},
        },
    }
    for text, change in notices.items():
        answer_with(page, partial(Route.fulfill, json={**ready_answer, **change}))
        page.emulate_media(media="screen")
        page.goto(address())
        expect(page.locator("#notice")).to_contain_text(text)
        page.emulate_media(media="print")
        expect(page.locator("#notice")).to_be_visible()
        expect(page.locator("#notice button")).to_be_hidden()
        page.unroute_all()
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()


# -- before the first paint


def test_a_shared_link_never_shows_the_landing_page(page: Page, ready_answer: Answer) -> None:
    page.route("**/app.js", lambda route: None)  # what is painted before any module runs
    page.goto(address(), wait_until="commit")
    expect(page.locator("#search")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-view", "search")
    expect(page.locator(".hero")).to_have_css("height", "1px")


def test_a_shared_link_asks_for_its_pictures_before_the_page_is_whole(
    page: Page, ready_answer: Answer
) -> None:
    """And does not ask again when it is."""
    asked: list[str] = []
    held: list[Route] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.route("**/app.js", lambda route: held.append(route))
    with page.expect_response(lambda response: "/images/" in response.url):
        page.goto(address(), wait_until="commit")
    assert asked.count("/search") == 1
    assert page.locator(".card").count() == 0
    held[0].continue_()
    wait_for_all_results(page)
    assert asked.count("/search") == 1
    for hit in ready_answer["results"]:
        assert asked.count(urlsplit(hit["url"]).path) == 1


def test_every_module_is_fetched_at_once(page: Page, stack_url: str) -> None:
    """Not only when the one that imports it has come."""
    page.goto("/")
    page.wait_for_load_state("networkidle")
    wanted = page.evaluate(
        "[...document.querySelectorAll('[rel=modulepreload], script[type=module]')]"
        ".map(node => node.href || node.src)"
    )
    urls = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    loaded = [url for url in urls if url.endswith(".js") and not url.endswith("/first.js")]
    assert sorted(wanted) == sorted(loaded)


SHIFTS = """
    window.shift = 0;
    new PerformanceObserver(list => {
        const own = list.getEntries().filter(entry => !entry.hadRecentInput);
        window.shift = own.reduce((sum, entry) => sum + entry.value, window.shift);
    }).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("path", ["/", address(k=None)], ids=["idle", "shared"])
def test_the_layout_does_not_jump(
    page: Page, ready_answer: Answer, path: str, screen: dict[str, int]
) -> None:
    page.set_viewport_size({**screen})  # type: ignore[typeddict-item]
    page.add_init_script(SHIFTS)
    page.goto(path)
    expect(page.locator("#summary, #examples").filter(visible=True)).to_have_count(1)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.shift") <= 0.05


def test_those_who_share_the_page_show_what_it_is(page: Page) -> None:
    page.goto("/")
    for name in ("og:title", "og:description", "og:image", "og:image:alt"):
        assert page.locator(f"meta[property='{name}']").get_attribute("content")
    picture = page.locator("meta[property='og:image']").get_attribute("content")
    assert picture == f"{page.url}share.png"
    assert page.request.get(picture).headers["content-type"] == "image/png"
    assert page.locator("meta[property='og:url']").get_attribute("content") == page.url


# -- every state, for axe


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


LOOKS = [("light", PHONE), ("dark", DESKTOP), ("dark", PHONE), ("light", DESKTOP)][: amount(2, 4)]


def test_axe_finds_nothing_in_any_state(page: Page, ready_answer: Answer) -> None:
    """Each state is entered on a phone in the light scheme, and looked at in others from there."""
    for state in STATES:
        page.unroute_all()
        for scheme, screen in LOOKS:
            page.set_viewport_size({**screen})  # type: ignore[typeddict-item]
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            if (scheme, screen) == LOOKS[0]:
                state(page)
            assert violations(page) == [], (state.__name__, scheme, screen)


def idle(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#examples")).to_be_visible()


def with_results(page: Page) -> None:
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator(".card img.loaded").first).to_be_visible()


def with_lightbox(page: Page) -> None:
    with_results(page)
    page.locator(".open").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def at_work(page: Page) -> None:
    answer_with(page, accepted(pool("embedding", images=200, embedded=64), **{"Retry-After": "60"}))
    page.goto(address())
    expect(page.locator("#progress-label")).to_contain_text("64 of 200")


def failed(page: Page) -> None:
    answer_with(page, html(500))
    page.goto(address())
    expect(page.locator("#notice")).to_be_visible()


def asked_for_a_key(page: Page) -> None:
    answer_with(page, error(401, "X-API-Key must be the key of this server"))
    page.goto(address())
    expect(page.get_by_role("dialog", name="This server asks for a key")).to_be_visible()


def nothing_there(page: Page) -> None:
    page.goto(address(EMPTY_KEYWORD))
    heading = f"No pictures for “{EMPTY_KEYWORD}”"
    expect(page.get_by_role("heading", name=heading)).to_be_visible()


def with_errors(page: Page) -> None:
    page.goto("/?t=star")
    expect(page.locator("#query-error")).to_be_visible()


def stopped(page: Page) -> None:
    part = accepted(pool("embedding", images=200, embedded=64), **{"Retry-After": "60"})
    answer_with(page, part)
    page.goto(f"{address()}&colour=green")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    expect(page.get_by_label("Any colour")).to_be_visible()


def counting_down(page: Page) -> None:
    answer_with(page, html(503, **{"Retry-After": "60"}))
    page.goto(address())
    expect(page.locator("#notice-wait")).to_contain_text("Trying again in")


def offline(page: Page) -> None:
    answer_with(page, Route.abort)
    page.goto(address())
    expect(page.get_by_role("heading", name="No connection to the server")).to_be_visible()


def refused_filter(page: Page) -> None:
    page.goto(f"{address()}&colour=purple")
    expect(page.get_by_role("button", name="Take it off")).to_be_visible()
    expect(page.get_by_label("Any colour")).to_be_visible()


def filtered_out(page: Page) -> None:
    page.goto(f"{address()}&user=nobody")
    expect(page.get_by_role("heading", name="No picture is left")).to_be_visible()


def unknown_like(page: Page) -> None:
    page.goto("/?like=nope")
    expect(page.locator("#query-error")).to_be_visible()


def lost_picture(page: Page) -> None:
    page.goto("/?picture=gone")
    expect(page.get_by_role("heading", name="The picture is not here")).to_be_visible()


def own_picture(page: Page) -> None:
    page.goto("/")
    data = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(data, "PNG")
    file: FilePayload = {"name": "a", "mimeType": "image/png", "buffer": data.getvalue()}
    page.locator("#picture-file").set_input_files(file)
    wait_for_all_results(page)
    expect(page.locator("#parts img")).to_be_visible()


def with_similar_missing(page: Page) -> None:
    page.route("**/search?*", with_extras)
    page.goto(address())
    page.locator(".similar").first.click()
    expect(page.locator("#notice")).to_contain_text("similar pictures are shown.")


def picture_of_the_demo(page: Page) -> None:
    page.goto("/demo/illustrations/2000000000/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def with_all_parts(page: Page) -> None:
    """Everything that an answer can bring at once, after a search by a picture and words."""
    page.goto(f"/?{urlencode({'t': READY_KEYWORD, 's_query': QUERY, 'minus': 'snow'})}")
    wait_for_all_results(page)
    page.locator(".card").nth(1).hover()
    page.route("**/search?*", with_extras)
    page.locator(".like").nth(1).evaluate("link => link.click()")
    expect(page.locator("#notice")).to_contain_text("The nearest are these.")
    expect(page.locator(".similar").first).to_be_visible()
    if page.locator("#options-button").is_visible():
        page.locator("#options-button").click()


def with_extras(route: Route) -> None:
    response = route.fetch()
    answer = response.json()
    hits = answer["results"]
    for hit, match in zip(hits, ("strong", "fair", "weak", "none"), strict=False):
        hit.update(match=match, similar=["a", "b"])
    route.fulfill(json={**answer, "matched": False, "keywords": ["horse flower"]})


def reference(page: Page) -> None:
    page.goto("/reference.html")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


STATES = (
    idle,
    with_results,
    with_lightbox,
    at_work,
    failed,
    asked_for_a_key,
    nothing_there,
    with_errors,
    stopped,
    counting_down,
    offline,
    refused_filter,
    filtered_out,
    unknown_like,
    lost_picture,
    own_picture,
    with_similar_missing,
    with_all_parts,
    picture_of_the_demo,
    reference,
)
