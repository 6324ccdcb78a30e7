"""The page in a real Chromium, against the real one-machine stack with the demo: searching."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.e2e.pages import (
    POOL_SIZE,
    POOL_TIMEOUT_SECONDS,
    QUERY,
    READY_KEYWORD,
    Answer,
    accepted,
    address,
    answer_with,
    pool,
    send_query,
    shown_images,
    wait_for_all_results,
)

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

    send_query(page, keyword, "a penguin")
    wait_for_all_results(page, POOL_TIMEOUT_SECONDS)

    labels = page.evaluate("window.recorded")
    assert any(label.startswith(f"Fetching pictures for “{keyword}”") for label in labels), labels
    assert not answers[0].get("complete")
    assert answers[-1]["complete"]
    compared = answers[-1]["pool"]["embedded"]
    expect(page.locator("#summary")).to_contain_text(
        f"24 of {compared} pictures from “{keyword}” · "
    )
    expect(page.locator(".card")).to_have_count(24)
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
        credit = card.locator("a.credit")
        expect(credit).to_have_accessible_name(
            f"{hit['credit']['user']} · {hit['credit']['source']} Picture {i + 1}"
        )
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


def test_counts_are_of_what_was_compared(page: Page, ready_answer: Answer) -> None:
    """More may have been embedded than the pool's record said when it was read."""
    behind = {**ready_answer, "matching": 150, "pool": pool("ready", images=200, embedded=2)}
    answer_with(page, lambda route: route.fulfill(json=behind))
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator("#summary")).to_contain_text("6 of 150 pictures")
    one = {**behind, "matching": 1, "results": ready_answer["results"][:1]}
    page.unroute_all()
    answer_with(page, lambda route: route.fulfill(json=one))
    page.reload()
    wait_for_all_results(page)
    expect(page.locator("#summary")).to_contain_text("1 of 1 picture from")


def test_the_time_is_what_the_person_waited(page: Page, ready_answer: Answer) -> None:
    """Not what the server says of itself."""
    at_once = {**ready_answer, "timings": {"total_seconds": 0.001}}
    answer_with(
        page,
        accepted(pool("requested"), **{"Retry-After": "3"}),
        lambda route: route.fulfill(json=at_once),
    )
    page.clock.install()
    page.goto(address())
    expect(page.locator("#progress-label")).to_contain_text("Fetching")
    page.clock.run_for(3_000)
    wait_for_all_results(page)
    expect(page.locator("#summary")).to_contain_text(re.compile(r"· [3-9]\.\d s"))


def test_everything_stored_is_searched_without_a_keyword(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    page.get_by_label("What should be in the picture").fill(QUERY)
    page.get_by_label("Search everything stored so far").check()
    page.get_by_role("button", name="Search", exact=True).click()
    wait_for_all_results(page)
    expect(page.locator("#summary")).to_contain_text("from everything stored so far")
    expect(page.locator(".card")).to_have_count(24)
    assert "scope=catalog" in page.url


def test_what_comes_late_to_ask_early_asks_nothing(page: Page, ready_answer: Answer) -> None:
    asked = answer_with(page, lambda route: route.fulfill(json=ready_answer))
    held: list[Route] = []
    page.route("**/early.js", lambda route: held.append(route))
    page.goto(f"/?{urlencode({'t': READY_KEYWORD, 's_query': QUERY})}", wait_until="commit")
    wait_for_all_results(page)
    held[0].continue_()
    page.wait_for_load_state("load")
    assert len(asked) == 1


@pytest.mark.same_page
@pytest.mark.parametrize(
    "words",
    [
        {"s_query": QUERY},
        {"t": READY_KEYWORD, "s_query": QUERY},
        {"s_query": "Äpfel & Birnen: 50 % *-._~ (“süß”), 'a+b' 🍎?", "t": "c/d"},
    ],
)
def test_a_search_that_began_with_the_page_is_not_asked_again(
    page: Page, ready_answer: Answer, words: dict[str, str]
) -> None:
    """The server writes it into the page, where it must be the same to the letter."""
    asked = answer_with(page, lambda route: route.fulfill(json=ready_answer))
    page.route("**/early.js", lambda route: route.abort())
    page.goto(f"/?{urlencode(words)}")
    wait_for_all_results(page)
    page.wait_for_load_state("networkidle")
    assert len(asked) == 1
    begun = page.locator('link[as="fetch"][href^="search?"]').get_attribute("href")
    assert parse_qsl(urlsplit(asked[0]).query) == parse_qsl(urlsplit(str(begun)).query)


def test_pictures_below_the_screen_come_after_those_on_it(page: Page) -> None:
    answer = page.request.get(f"/search{address(k=24)[1:]}&wait=20").json()
    answer_with(page, lambda route: route.fulfill(json=answer))
    held: list[Route] = []
    page.route("**/images/*", lambda route: held.append(route))
    page.add_init_script(  # without the 2 s after which none is waited for
        "const after = setTimeout;"
        "window.setTimeout = (call, ms, ...rest) => after(call, ms === 2000 ? 60000 : ms, ...rest);"
    )
    page.goto(address(k=None), wait_until="commit")
    built = "() => document.querySelectorAll('.card').length === 24 && "
    asked_for = page.wait_for_function(built + "document.querySelectorAll('.card img[src]').length")
    assert asked_for.json_value() == 12
    held[0].abort()  # one that cannot be had holds up none
    for route in held[1:12]:
        route.continue_()
    expect(page.locator(".card img[src]")).to_have_count(23)
    expect(page.locator(".card .missing")).to_have_count(1)


def test_pictures_below_the_screen_do_not_wait_for_ever(page: Page) -> None:
    page.route("**/images/*", lambda route: None)
    page.goto(address(k=None), wait_until="commit")
    expect(page.locator(".card img[src]")).to_have_count(24)


def test_a_search_of_everything_ends_though_pictures_wait_for_a_new_model(
    page: Page, ready_answer: Answer
) -> None:
    """Nobody may search for their keywords for weeks."""
    incomplete = {**ready_answer, "scope": "catalog", "pool": None, "complete": False}
    incomplete["covered"] = 0.637
    # A server of an earlier version says no share.
    answers = [incomplete, {**incomplete, "covered": None, "results": [], "top_scores": []}]
    asked = answer_with(page, *(lambda route, one=one: route.fulfill(json=one) for one in answers))
    page.goto(f"/?{urlencode({'scope': 'catalog', 's_query': QUERY})}")
    waiting = "Some stored pictures wait for a new model:"
    expect(page.locator("#awaiting")).to_contain_text(f"{waiting} 63 % of all were compared.")
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(6)
    page.get_by_label("What should be in the picture").fill("another")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#notice")).to_contain_text(f"{waiting} the others were compared.")
    expect(page.locator("#progress")).to_be_hidden()
    assert len(asked) == 2


@pytest.mark.same_page
def test_a_filtered_search_of_everything_says_what_it_may_have_missed(
    page: Page, ready_answer: Answer
) -> None:
    answer = {**ready_answer, "scope": "catalog", "pool": None, "exhaustive": False}
    answer["filters"] = {"tag": "snow"}
    answer_with(page, lambda route: route.fulfill(json=answer))
    page.goto(f"/?{urlencode({'scope': 'catalog', 's_query': QUERY, 'tag': 'snow'})}")
    wait_for_all_results(page)
    expect(page.locator("#awaiting")).to_contain_text("the filters may fit others, too")


@pytest.mark.same_page
def test_the_end_of_more_says_what_it_may_have_missed(page: Page, ready_answer: Answer) -> None:
    answer = {**ready_answer, "scope": "catalog", "pool": None, "next": "on"}
    last = {**answer, "results": [], "exhaustive": False, "next": None}
    answer_with(
        page, lambda route: route.fulfill(json=answer), lambda route: route.fulfill(json=last)
    )
    page.goto(f"/?{urlencode({'scope': 'catalog', 's_query': QUERY})}")
    wait_for_all_results(page)
    expect(page.locator("#awaiting")).to_be_hidden()
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#awaiting")).to_have_text(
        "Only the nearest of all stored pictures were looked through: "
        "there may be others further down."
    )
    expect(page.locator("#status")).to_contain_text("Only the nearest")


@pytest.mark.same_page
def test_a_query_that_was_cut_says_so(page: Page, ready_answer: Answer) -> None:
    page.goto(address(query="cow meadow " * 42))
    wait_for_all_results(page)
    expect(page.get_by_text("longer than the model can read")).to_be_visible()
    page.goto(address())
    wait_for_all_results(page)
    expect(page.get_by_text("longer than the model can read")).to_be_hidden()


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


def test_a_search_is_stopped_and_goes_on(page: Page, ready_answer: Answer) -> None:
    part = {**ready_answer, "complete": False, "results": ready_answer["results"][:2]}
    part["pool"] = pool("embedding", images=200, embedded=64)
    asked = answer_with(
        page,
        lambda route: route.fulfill(json=part, headers={"Retry-After": "60"}),
        lambda route: route.fulfill(json=part, headers={"Retry-After": "60"}),
        lambda route: route.continue_(),
    )
    page.goto(address())
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="Stopped")).to_be_visible()
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#progress")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Stopped")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(6)
    assert len(asked) == 3


def test_more_pictures_come_at_the_end(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    first = shown_images(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(12)
    assert shown_images(page)[:6] == first
    assert len(set(shown_images(page))) == 12
    expect(page.locator(".card").nth(6).locator(".open")).to_be_focused()
    expect(page.locator("#status")).to_have_text("6 pictures more.")


def test_no_more_pictures_than_there_are(page: Page, ready_answer: Answer) -> None:
    page.goto(f"{address(k=60)}&fold=false")
    wait_for_all_results(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(POOL_SIZE)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_pictures_of_a_newer_pool_stand_in_place_of_the_old(
    page: Page, ready_answer: Answer
) -> None:
    newer = {**ready_answer, "restarted": True, "results": ready_answer["results"][3:]}
    answer_with(page, lambda route: route.continue_(), lambda route: route.fulfill(json=newer))
    page.goto(address())
    wait_for_all_results(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(3)


# -- matches, keywords, filters, what is folded


def test_matches_are_said_in_words(page: Page, ready_answer: Answer) -> None:
    words = {
        "strong": "Strong match",
        "fair": "Fair match",
        "weak": "Weak match",
        "none": "No match",
        "uncalibrated": "",
    }
    hits = [
        {**hit, "match": match} for hit, match in zip(ready_answer["results"], words, strict=False)
    ]
    answer_with(page, lambda route: route.fulfill(json={**ready_answer, "results": hits}))
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator(".card .match-word")).to_have_text(list(words.values()))
    expect(page.locator(".card .match-word").last).to_be_hidden()
    assert not re.search(r"\d\d\.\d", page.locator("#cards").inner_text()), "a bare score"


@pytest.mark.same_page
def test_what_nothing_shows_is_said_so(page: Page, ready_answer: Answer) -> None:
    page.goto(address(query="a pizza"))
    wait_for_all_results(page)
    expect(page.get_by_role("heading", name="Nothing here shows that.")).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("The nearest are these.")
    expect(page.locator("#status")).to_contain_text("Nothing here shows that.")
    expect(page.locator(".card")).to_have_count(6)


@pytest.mark.same_page
@pytest.mark.parametrize("matched", [True, None])
def test_nothing_is_claimed_of_what_matches_or_is_not_known(
    page: Page, ready_answer: Answer, matched: bool | None
) -> None:
    answer_with(page, lambda route: route.fulfill(json={**ready_answer, "matched": matched}))
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()


def test_what_it_is_not_about_is_asked_and_stays_in_the_address(
    page: Page, ready_answer: Answer
) -> None:
    page.goto("/")
    page.get_by_label("Without", exact=True).fill("desert, snow,")
    with page.expect_request("**/search?*") as asked:
        send_query(page, READY_KEYWORD, "a cow")
    assert parse_qs(urlsplit(asked.value.url).query)["minus"] == ["desert", "snow"]
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text("“a cow” without “desert” or “snow”")
    page.reload()
    wait_for_all_results(page)
    expect(page.get_by_label("Without", exact=True)).to_have_value("desert, snow")
    page.get_by_label("Without", exact=True).fill("a, b, c, d, e, f")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#minus-error")).to_contain_text("At most 5 things")


def test_keywords_of_the_sentence_are_shown_and_can_be_changed(
    page: Page, ready_answer: Answer
) -> None:
    answer_with(
        page, lambda route: route.fulfill(json={**ready_answer, "keywords": ["horse flower"]})
    )
    page.goto(f"/?{urlencode({'s_query': 'horses amidst flowers'})}")
    wait_for_all_results(page)
    expect(page.locator("#summary")).to_contain_text("from “horse flower”")
    page.get_by_role("button", name="Change the keyword horse flower").click()
    expect(page.get_by_label("Keyword", exact=True)).to_be_focused()
    expect(page.get_by_label("Keyword", exact=True)).to_have_value("horse flower")
    page.keyboard.type("horse")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"t=horse&"))


def test_an_answer_is_narrowed_down_by_what_it_has(page: Page, ready_answer: Answer) -> None:
    """The server leaves out; the page keeps on offer what it has seen before."""
    hits = [dict(hit) for hit in ready_answer["results"]]
    hits[0].update(width=400, height=640, credit={"user": "Ann", "source": "Pixabay"})
    whole = {**ready_answer, "results": hits}
    upright = {**whole, "results": hits[:1], "filters": {"orientation": "vertical"}}
    asked = answer_with(
        page,
        lambda route: route.fulfill(json=whole),
        lambda route: route.fulfill(json=upright),
        lambda route: route.fulfill(json=whole),
    )
    page.goto(address())
    wait_for_all_results(page)
    shape = page.get_by_role("combobox", name="Any shape")
    expect(shape.locator("option")).to_have_text(["Any shape", "Landscape", "Portrait"])
    people = page.get_by_role("combobox", name="By anyone")
    expect(people.locator("option")).to_have_text(["By anyone", "imagesearch demo", "Ann"])
    sources = page.get_by_role("combobox", name="Any source")
    expect(sources.locator("option")).to_have_text(["Any source", "the demo gallery", "Pixabay"])
    shape.select_option("Portrait")
    expect(page.locator(".card")).to_have_count(1)
    assert "orientation=vertical" in asked[1]
    assert "orientation=vertical" in page.url
    expect(shape.locator("option")).to_have_text(["Any shape", "Landscape", "Portrait"])
    shape.select_option("Any shape")
    expect(page.locator(".card")).to_have_count(6)
    assert "orientation" not in page.url
    sources.select_option("Pixabay")
    expect(page).to_have_url(re.compile(r"source=Pixabay"))


def test_colours_and_tags_come_from_the_answer_and_are_kept_in_the_address(
    page: Page, ready_answer: Answer
) -> None:
    page.goto(address(k=None))
    wait_for_all_results(page)
    assert {colour for hit in ready_answer["results"] for colour in hit["colours"]}
    chip = page.get_by_role("combobox", name="Any colour")
    offered = chip.locator("option").all_inner_texts()[1:]
    assert set(offered) <= {colour for hit in answered(page) for colour in hit["colours"]}
    chip.select_option(offered[-1])
    expect(chip).to_have_class(re.compile("chosen"))
    wait_for_all_results(page)
    assert all(offered[-1] in hit["colours"] for hit in answered(page))
    page.reload()
    wait_for_all_results(page)
    expect(chip).to_have_value(offered[-1])
    expect(page.get_by_role("combobox", name="Any tag")).to_be_visible()


def test_a_filter_is_of_what_is_typed(page: Page, ready_answer: Answer) -> None:
    page.goto(address(k=None))
    wait_for_all_results(page)
    chip = page.get_by_role("combobox", name="Any colour")
    colour = chip.locator("option").all_inner_texts()[1]
    sentence = page.locator("#query")
    sentence.fill("")
    chip.select_option(colour)
    expect(sentence).to_have_attribute("aria-invalid", "true")
    expect(chip).to_have_value("")
    sentence.fill("a horse at night")
    chip.select_option(colour)
    expect(page).to_have_url(re.compile(f"s_query=a\\+horse\\+at\\+night.*colour={colour}"))
    expect(sentence).to_have_value("a horse at night")
    wait_for_all_results(page)


def answered(page: Page) -> list[dict[str, Any]]:
    """Return the hits of the search that the address holds, as the API answers it."""
    response = page.request.get(f"/search?{urlsplit(page.url).query}&k=24")
    hits: list[dict[str, Any]] = response.json()["results"]
    return hits


@pytest.mark.same_page
def test_filters_that_leave_nothing_say_so(page: Page, ready_answer: Answer) -> None:
    page.goto(f"{address()}&orientation=square")
    expect(page.get_by_role("heading", name="No picture is left")).to_be_visible()
    page.get_by_role("combobox", name="Any shape").select_option("Any shape")
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(6)


@pytest.fixture
def unfolded_answer(ready_answer: Answer) -> Answer:
    """The same, as if no two of the pool's pictures looked the same."""
    hits = [{**hit, "similar": []} for hit in ready_answer["results"]]
    return {**ready_answer, "results": hits}


def test_what_is_folded_is_unfolded_beside_its_picture(page: Page, unfolded_answer: Answer) -> None:
    hits = unfolded_answer["results"]
    folded = [{**hits[0], "similar": [hits[4]["image_id"], hits[5]["image_id"]]}, *hits[1:4]]
    asked = answer_with(
        page,
        lambda route: route.fulfill(json={**unfolded_answer, "results": folded}),
        lambda route: route.fulfill(json=unfolded_answer),
    )
    page.goto(address())
    wait_for_all_results(page)
    button = page.get_by_role("button", name="+2 similar to picture 1")
    button.click()
    expect(page.locator(".card")).to_have_count(6)
    assert "fold=false" in asked[1]
    order = [hits[i]["image_id"] for i in (0, 4, 5, 1, 2, 3)]
    shown = page.locator(".card").evaluate_all("all => all.map(card => card.dataset.image)")
    assert shown == order
    expect(page.locator(".card .rank").first).to_have_text("1")
    expect(button).to_be_hidden()


def folded(answer: Answer, first: int, last: int, similar: list[int]) -> Answer:
    """Return *answer* with its hits from *first* on, *similar* being folded under the first."""
    hits = answer["results"]
    ids = [hits[i]["image_id"] for i in similar]
    results = [{**hits[first], "similar": ids}, *hits[first + 1 : last]]
    return {**answer, "results": results, "matching": 200, "next": None}


def test_what_is_unfolded_stays_while_more_pictures_come(
    page: Page, unfolded_answer: Answer
) -> None:
    first = {**folded(unfolded_answer, 0, 2, [4, 5]), "next": "on"}
    answer_with(
        page,
        lambda route: route.fulfill(json=first),
        lambda route: route.fulfill(json={**unfolded_answer, "next": None}),
        lambda route: route.fulfill(json=folded(unfolded_answer, 2, 4, [])),
    )
    page.goto(address())
    wait_for_all_results(page)
    page.get_by_role("button", name="+2 similar to picture 1").click()
    expect(page.locator("#summary")).to_contain_text("4 of 200 pictures")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(6)
    expect(page.locator("#summary")).to_contain_text("6 of 200 pictures")
    expect(page.locator("#status")).to_have_text("2 pictures more.")
    expect(page.locator(".card").nth(4).locator(".open")).to_be_focused()


def test_what_is_unfolded_stays_while_a_pool_fills(page: Page, unfolded_answer: Answer) -> None:
    filling = {**folded(unfolded_answer, 0, 2, [4]), "complete": False, "pool": pool("embedding")}
    answer_with(
        page,
        lambda route: route.fulfill(json=filling, headers={"Retry-After": "60"}),
        lambda route: route.fulfill(json={**unfolded_answer, "next": None}),
        lambda route: route.fulfill(json=folded(unfolded_answer, 0, 3, [4, 5])),
    )
    page.clock.install()
    page.goto(address())
    page.get_by_role("button", name="+1 similar to picture 1").click()
    expect(page.locator(".card")).to_have_count(3)
    page.clock.fast_forward(60_000)
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(4)
    expect(page.get_by_role("button", name="+1 similar to picture 1")).to_be_visible()


def test_similar_pictures_are_looked_for_further_down_and_counted(
    page: Page, unfolded_answer: Answer
) -> None:
    pages = [folded(unfolded_answer, 0, 4, []), folded(unfolded_answer, 4, 5, [])]
    asked = answer_with(
        page,
        lambda route: route.fulfill(json=folded(unfolded_answer, 0, 2, [4, 5])),
        lambda route: route.fulfill(json={**pages[0], "next": "further"}),
        lambda route: route.fulfill(json=pages[1]),
    )
    page.goto(address())
    wait_for_all_results(page)
    page.get_by_role("button", name="+2 similar to picture 1").click()
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator("#notice")).to_contain_text("1 of 2 similar pictures are shown.")
    assert "cursor=further" in asked[2]


def test_what_a_shared_link_asks_early_can_be_stopped(page: Page, ready_answer: Answer) -> None:
    asked = answer_with(page, lambda route: None, lambda route: route.continue_())
    page.goto(address())
    expect(page.locator("#stop")).to_be_visible()
    page.wait_for_function("document.getElementById('examples').querySelector('a')")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="Stopped")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    wait_for_all_results(page)
    assert len(asked) == 2


def test_similar_pictures_come_after_a_search_was_stopped(
    page: Page, unfolded_answer: Answer
) -> None:
    filling = {**folded(unfolded_answer, 0, 2, [4]), "complete": False, "pool": pool("embedding")}
    answer_with(
        page,
        lambda route: route.fulfill(json=filling, headers={"Retry-After": "60"}),
        lambda route: route.fulfill(json={**unfolded_answer, "next": None}),
        lambda route: route.continue_(),
    )
    page.goto(address())
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="+1 similar to picture 1").click()
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator("#status")).to_have_text("1 of 1 similar pictures are shown.")
    page.get_by_role("button", name="Go on").click()
    wait_for_all_results(page)


def test_more_pictures_do_not_end_the_look_for_similar_ones(
    page: Page, unfolded_answer: Answer
) -> None:
    first = {**folded(unfolded_answer, 0, 2, [4]), "next": "on"}
    held: list[Route] = []
    answer_with(
        page,
        lambda route: route.fulfill(json=first),
        held.append,
        lambda route: route.fulfill(json=folded(unfolded_answer, 2, 4, [])),
    )
    page.goto(address())
    wait_for_all_results(page)
    page.get_by_role("button", name="+1 similar to picture 1").click()
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(4)
    held[0].fulfill(json={**unfolded_answer, "next": None})
    expect(page.locator(".card")).to_have_count(5)


# -- address, history, keyboard


def test_a_shared_address_gives_the_same_results_when_reloaded(
    page: Page, ready_answer: Answer
) -> None:
    page.goto("/")
    send_query(page, READY_KEYWORD, QUERY)
    wait_for_all_results(page)
    first = shown_images(page)
    assert [urlsplit(url).path for url in first[:6]] == [
        urlsplit(hit["url"]).path for hit in ready_answer["results"]
    ]
    assert page.url.endswith(address(k=None))
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


def test_back_while_an_answer_is_on_its_way_shows_the_search_before(
    page: Page, ready_answer: Answer
) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.route("**/search?*green*", lambda route: None)  # never answered
    send_query(page, READY_KEYWORD, "something green")
    expect(page.locator("#results-heading")).to_have_text("“something green”")
    page.go_back()
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}”")
    wait_for_all_results(page)


def test_reloading_and_going_back_keep_the_place(page: Page, ready_answer: Answer) -> None:
    page.goto(address(k=None))
    wait_for_all_results(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(48)
    above = page.evaluate("scrollY")
    page.mouse.wheel(0, 1500)
    while not page.evaluate(f"scrollY > {above + 1000} && history.state?.y === scrollY"):
        page.wait_for_timeout(50)
    place = page.evaluate("scrollY")
    page.reload()
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(48)
    assert page.evaluate("scrollY") == place
    page.evaluate("scrollTo(0, 0)")
    page.locator("#home").click()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    page.go_back()
    wait_for_all_results(page)
    assert page.evaluate("scrollY") == 0


def test_what_scrolls_before_the_pictures_are_there_again_is_no_place(page: Page) -> None:
    def late(route: Route) -> None:
        page.wait_for_timeout(1000)
        route.continue_()

    page.goto(address(k=None))
    wait_for_all_results(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(48)
    page.add_init_script("setInterval(() => dispatchEvent(new Event('scroll')), 300)")
    page.route("**/config.json", late)
    page.reload()
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(48)


def test_what_began_with_a_page_of_more_pictures_is_no_answer_to_a_later_search(page: Page) -> None:
    asked: list[str] = []

    def count(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_()

    page.route("**/search?*", count)
    page.goto(address(k=None))
    wait_for_all_results(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(48)
    page.reload()
    wait_for_all_results(page)
    expect(page.locator(".card")).to_have_count(48)
    before = len(asked)
    page.locator("#home").click()
    send_query(page, READY_KEYWORD, QUERY)
    wait_for_all_results(page)
    assert len(asked) == before + 1


@pytest.mark.same_page
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
    page.keyboard.type(QUERY)
    for name in ("Search with a picture", "Search"):
        press("Tab")
        expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()
    press("Tab")
    page.keyboard.type(READY_KEYWORD)
    press("Enter")
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_be_focused()
    expect(page.locator("#results-heading")).to_have_css("outline-style", "none")
    for _ in range(page.locator("#chips > *").count() + 1):
        press("Tab")
    expect(page.locator(".open").first).to_be_focused()
    expect(page.locator(".open").first).to_have_css("outline-style", "solid")
    press("Tab")
    expect(page.get_by_role("link", name="More like picture 1", exact=True)).to_be_focused()
    for _ in range(1 + page.locator(".card").first.locator("button.similar:not([hidden])").count()):
        press("Tab")
    expect(page.locator("a.credit").first).to_be_focused()
    press("/")
    expect(page.get_by_label("What should be in the picture")).to_be_focused()
    expect(page.get_by_label("What should be in the picture")).to_have_value(QUERY)


def test_arrows_go_from_picture_to_picture(page: Page, ready_answer: Answer) -> None:
    page.goto(address(k=None))
    wait_for_all_results(page)
    cards = page.locator(".card .open")
    cards.first.focus()
    page.keyboard.press("ArrowRight")
    expect(cards.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    in_a_row = page.locator(".card").evaluate_all(
        "cards => cards.filter(card => card.offsetTop === cards[0].offsetTop).length"
    )
    expect(cards.nth(1 + in_a_row)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(cards.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(cards.first).to_be_focused()


# -- examples, last searches


def test_the_demo_says_that_it_is_one_and_offers_searches(
    page: Page, demo_keywords: list[str]
) -> None:
    page.goto("/")
    expect(page.locator("header").get_by_text("Demo")).to_be_visible()
    expect(page.locator("#keyword-list button")).to_have_text(demo_keywords)
    examples = page.locator("#example-list a")
    assert 3 <= examples.count() <= 4
    for href in examples.evaluate_all("nodes => nodes.map(node => node.search)"):
        assert dict(parse_qsl(href[1:]))["t"] in demo_keywords
    page.locator("#keyword-list button").first.click()
    expect(page.get_by_label("Keyword", exact=True)).to_have_value(demo_keywords[0])
    expect(page.get_by_label("What should be in the picture")).to_be_focused()


@pytest.mark.same_page
def test_every_edition_has_examples(page: Page) -> None:
    page.route(
        "**/config.json",
        lambda route: route.fulfill(json={"api": "", "demo": False, "demo_keywords": []}),
    )
    page.goto("/")
    expect(page.locator("#example-list a")).to_have_count(4)
    expect(page.get_by_text("horses amidst flowers")).to_be_visible()
    expect(page.locator("#keywords")).to_be_hidden()
    expect(page.locator("#demo")).to_be_hidden()


@pytest.mark.same_page
def test_the_page_says_where_photographs_come_from_and_what_that_place_asks(page: Page) -> None:
    source = {"name": "Openverse", "site": "https://openverse.org/", "note": "Not endorsed."}
    config = {"api": "", "demo": False, "demo_keywords": [], "sources": [source]}
    page.route("**/config.json", lambda route: route.fulfill(json=config))
    page.goto("/")
    expect(page.locator("#source a")).to_have_attribute("href", "https://openverse.org/")
    expect(page.locator("#source")).to_have_text(
        "Pictures come from Openverse; CLIP compares each one with your words. Not endorsed."
    )


@pytest.mark.same_page
def test_the_page_names_each_of_several_places_and_what_each_asks(page: Page) -> None:
    sources = [
        {"name": "Wikimedia Commons", "site": "https://commons.wikimedia.org/", "note": ""},
        {"name": "Openverse", "site": "https://openverse.org/", "note": "Not endorsed."},
        {"name": "Pixabay", "site": "javascript:alert(1)", "note": ""},
    ]
    config = {"api": "", "demo": False, "demo_keywords": [], "sources": sources}
    page.route("**/config.json", lambda route: route.fulfill(json=config))
    page.goto("/")
    expect(page.locator("#source a")).to_have_text(["Wikimedia Commons", "Openverse"])
    expect(page.locator("#source")).to_have_text(
        "Pictures come from Wikimedia Commons, Openverse and Pixabay; CLIP compares each one with"
        " your words. Not endorsed."
    )


@pytest.mark.same_page
def test_the_demo_offers_photographs_without_an_account(page: Page) -> None:
    page.goto("/")
    contact = "SOURCE_CONTACT=you@example.org"
    expect(page.locator("#source code")).to_have_text(
        [
            "imagesearch serve --source openverse",
            f"{contact} imagesearch serve --source commons",
        ]
    )


@pytest.mark.same_page
def test_a_licence_is_shown_beside_the_credit_with_a_link_to_it(
    page: Page, ready_answer: Answer
) -> None:
    hits = [dict(hit) for hit in ready_answer["results"]]
    licence = {"licence": "CC BY 4.0", "licence_url": "https://creativecommons.org/licenses/by/4.0"}
    hits[0]["credit"] = {"user": "Ann", "source": "Openverse", **licence}
    answer = {**ready_answer, "results": hits}
    page.route("**/search?*", lambda route: route.fulfill(json=answer))
    page.goto(f"/?t={READY_KEYWORD}&s_query=a")
    link = page.locator(".card").first.get_by_text("CC BY 4.0")
    expect(link.locator("xpath=..")).to_have_attribute("href", licence["licence_url"])


def test_an_example_searches_without_loading_the_page_again(
    page: Page, ready_answer: Answer
) -> None:
    page.goto("/")
    page.evaluate("window.same = true")
    page.locator("#example-list a", has_text=READY_KEYWORD).click()
    wait_for_all_results(page)
    assert page.evaluate("window.same")
    assert f"t={READY_KEYWORD}" in page.url


def test_last_searches_are_offered_and_can_be_forgotten(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    expect(page.locator("#recent")).to_be_hidden()
    send_query(page, READY_KEYWORD, QUERY)
    wait_for_all_results(page)
    send_query(page, READY_KEYWORD, "something green")
    wait_for_all_results(page)
    page.locator("#home").click()
    links = page.locator("#recent-list a")
    expect(links).to_have_text(
        [f"“something green” from “{READY_KEYWORD}”", f"“{QUERY}” from “{READY_KEYWORD}”"]
    )
    links.last.click()
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}”")
    page.locator("#home").click()
    page.get_by_role("button", name="Forget them").click()
    expect(page.locator("#recent")).to_be_hidden()
    assert page.evaluate("localStorage.length") == 0


def test_a_sentence_alone_is_said_without_a_place(page: Page) -> None:
    """Before an answer nobody knows where it looks."""
    answer_with(page, lambda _: None)
    page.add_init_script("localStorage['imagesearch.recent'] = '[\"?s_query=horses\"]'")
    page.goto("/")
    last = page.locator("#recent-list a")
    expect(last).to_have_text("“horses”")
    last.click()
    expect(page.locator("#progress-label")).to_have_text("Searching …")


def test_a_search_that_is_narrowed_down_is_one_of_the_last(
    page: Page, ready_answer: Answer
) -> None:
    page.goto("/")
    page.locator("#example-list a", has_text=READY_KEYWORD).click()
    wait_for_all_results(page)
    for colour in page.get_by_label("Any colour").locator("option").all()[1:3]:
        page.get_by_label("Any colour").select_option(colour.get_attribute("value"))
        wait_for_all_results(page)
    narrowed = page.url
    assert "colour=" in narrowed
    page.locator(".card").first.hover()
    page.get_by_role("link", name="More like picture 1", exact=True).click()
    wait_for_all_results(page)
    page.locator("#home").click()
    links = page.locator("#recent-list a")
    expect(links).to_have_text(
        ["Like this picture from everything stored so far", f"“{QUERY}” from “{READY_KEYWORD}”"]
    )
    links.last.click()
    expect(page).to_have_url(narrowed)


@pytest.mark.same_page
@pytest.mark.parametrize("there", [True, False])
def test_the_foot_leads_to_the_documentation_where_it_was_built(page: Page, there: bool) -> None:
    def answer(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "docs": there})

    page.route("**/config.json", answer)
    page.goto("/")
    expect(page.locator("#example-list a").first).to_be_visible()
    link = page.get_by_role("link", name="Documentation")
    assert link.count() == there
    assert page.locator("#docs").get_attribute("href") == "docs/"
    expect(page.get_by_role("link", name="API", exact=True)).to_be_visible()


def test_storage_that_refuses_or_lies_does_no_harm(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    for lie in ("{", "3", '[1, {"a": 2}]', json.dumps(["javascript:alert(1)", "?s_query=x"])):
        page.evaluate("lie => localStorage.setItem('imagesearch.recent', lie)", lie)
        page.reload()
        expect(page.locator("#example-list a").first).to_be_visible()
        hrefs = page.locator("#recent-list a").evaluate_all("all => all.map(a => a.protocol)")
        assert set(hrefs) <= {"http:"}
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } })"
    )
    page.goto("/")
    send_query(page, READY_KEYWORD, QUERY)
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()
