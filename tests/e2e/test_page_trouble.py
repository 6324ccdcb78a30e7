"""The page when nothing is found, and when something goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

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
    send_query,
    wait_for_all_results,
)


def test_a_keyword_without_pictures_says_so_and_stops(page: Page) -> None:
    page.goto("/")
    send_query(page, EMPTY_KEYWORD, "a dragon in the snow")
    expect(page.get_by_role("heading", name="No pictures for “dragon”")).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("Try another keyword")
    expect(page.locator("#status")).to_contain_text("No pictures for “dragon”")
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(0)


def test_blank_fields_are_named_and_nothing_is_sent(page: Page) -> None:
    asked = answer_with(page, html(200))
    page.goto("/")
    send_query(page, "  ", "  ")
    expect(page.locator("#query-error")).to_contain_text("Describe what should be")
    expect(page.get_by_label("What should be in the picture")).to_be_focused()
    expect(page.locator("#progress")).to_be_hidden()
    page.get_by_label("What should be in the picture").fill("star")
    expect(page.locator("#query-error")).to_be_hidden()
    assert asked == []


def test_a_key_that_the_server_asks_for_is_asked_of_the_person_and_sent_from_then_on(
    page: Page,
) -> None:
    keys: list[str | None] = []

    def guarded(route: Route) -> None:
        keys.append(route.request.headers.get("x-api-key"))
        if keys[-1] == "the key":
            route.continue_()
        else:
            error(401, "X-API-Key must be the key of this server")(route)

    page.route(re.compile(r"/search(\?|$)"), guarded)
    page.goto("/")
    send_query(page, READY_KEYWORD, QUERY)
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    page.get_by_label("Key", exact=True).fill("another")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("This server asks for a key")
    page.get_by_role("button", name="Try again").click()
    expect(dialog).to_contain_text("It did not take the key that you gave.")
    page.get_by_label("Key", exact=True).fill(" the key ")
    dialog.get_by_role("button", name="Search").click()
    wait_for_all_results(page, 60)  # nobody may have asked for it before
    assert keys[:4] == [None, "another", "another", "the key"]
    assert set(keys[3:]) == {"the key"}


def test_who_gives_no_key_is_told_that_one_is_asked_for(page: Page) -> None:
    answer_with(page, error(401, "X-API-Key must be the key of this server"))
    page.goto("/")
    send_query(page, READY_KEYWORD, QUERY)
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    expect(dialog).to_contain_text("Whoever runs it can give you one.")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#notice")).to_contain_text("This server asks for a key")
    page.get_by_role("button", name="Try again").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()


def test_what_is_pasted_is_never_cut_in_silence(page: Page) -> None:
    """Characters are counted as the API counts them: an emoji is one."""
    asked = answer_with(page, html(200))
    page.goto("/")
    send_query(page, "k" * 101, "🐎" * 501)
    expect(page.locator("#query-error")).to_have_text(
        "The description has 501 characters; at most 500 can be read."
    )
    expect(page.locator("#keyword-error")).to_have_text(
        "The keyword has 101 characters; at most 100 can be read."
    )
    expect(page.get_by_label("Keyword", exact=True)).to_have_value("k" * 101)
    assert asked == []


def test_an_error_of_the_api_stands_at_its_field_in_the_page_s_words(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    answer_with(page, error(400, "t must have 1 to 100 characters, got 0", "t"))
    page.goto(address())
    expect(page.locator("#keyword-error")).to_have_text(
        "The keyword must have 1 to 100 characters, got 0."
    )
    expect(page.locator("#keyword")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#keyword")).to_be_focused()
    expect(page.locator("#progress")).to_be_hidden()


def test_an_error_without_a_field_on_the_page_has_the_page_s_words_too(page: Page) -> None:
    page.goto(address(k=0))
    expect(page.locator("#notice")).to_contain_text(
        "The number of pictures must be between 1 and 200, got 0."
    )


@pytest.mark.same_page
@pytest.mark.parametrize(
    ("status", "heading"),
    [
        (400, "This search was not accepted"),
        (405, "This server cannot do that yet"),
        (413, "That is too much at once"),
        (422, "The server could not read this search"),
    ],
)
def test_what_can_never_succeed_is_not_to_be_tried_again(
    page: Page, status: int, heading: str
) -> None:
    answer_with(page, error(status, "odd"))
    page.goto(address())
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("Odd.")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


@pytest.mark.same_page
@pytest.mark.parametrize(
    ("params", "where", "words"),
    [
        ("like=nope", "#query-error", "A picture that this search goes by is not stored here."),
        ("s_query=a&t=circle&fold=x", "#notice", "Whether similar pictures are folded must be"),
        ("s_query=a&t=circle&month=13", "#notice", "The month must be"),
    ],
)
def test_the_server_s_words_are_said_in_those_of_the_page(
    page: Page, params: str, where: str, words: str
) -> None:
    page.goto(f"/?{params}")
    expect(page.locator(where)).to_contain_text(words)


@pytest.mark.same_page
@pytest.mark.parametrize(
    "bad", ["colour=purple", "month=13", "orientation=round", "year=1", "k=0", "k=201", "fold=x"]
)
def test_what_the_form_does_not_show_and_the_server_refuses_can_be_taken_off(
    page: Page, ready_answer: Answer, bad: str
) -> None:
    page.goto(f"{address(k=None)}&{bad}&minus=snow")
    expect(page.locator("#notice")).to_contain_text("must be")
    page.get_by_role("button", name="Take it off").click()
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()
    assert parse_qs(urlsplit(page.url).query) == {
        "t": [READY_KEYWORD],
        "s_query": [QUERY],
        "minus": ["snow"],
    }


def test_filters_stay_in_sight_whatever_becomes_of_a_search(
    page: Page, ready_answer: Answer
) -> None:
    """Else they would narrow down the next one unseen."""
    chip = page.get_by_label("Any colour")
    failures = (html(500), error(400, "s_query must be short", "s_query"), Route.abort)
    for failure in failures:
        answer_with(page, failure)
        page.goto(f"{address()}&colour=green")
        expect(page.locator("#notice, .field-error").filter(visible=True)).to_have_count(1)
        expect(chip).to_have_value("green")
        page.unroute_all()
    answer_with(page, accepted(pool("embedding", images=200), **{"Retry-After": "60"}))
    page.goto(f"{address()}&colour=green")
    page.get_by_role("button", name="Stop").click()
    expect(chip).to_have_value("green")
    page.unroute_all()
    page.goto("/?picture=gone&scope=catalog&colour=green")
    expect(page.get_by_role("heading", name="The picture is not here")).to_be_visible()
    expect(chip).to_have_value("green")
    page.goto(f"{address()}&colour=purple")
    chip.select_option("")
    wait_for_all_results(page)
    assert "colour" not in page.url


def test_what_stays_of_an_answer_keeps_its_filters_when_more_fails(
    page: Page, ready_answer: Answer
) -> None:
    page.goto(address())
    wait_for_all_results(page)
    chips = page.locator("#chips .chip").all_text_contents()
    assert chips
    answer_with(page, html(500))
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#notice")).to_be_visible()
    assert page.locator("#chips .chip").all_text_contents() == chips


@pytest.mark.same_page
@pytest.mark.parametrize(
    "params",
    [
        "scope=pool&collection=Foo&s_query=a",
        "t=horse&collection=Foo&s_query=a",
        "t=horse&scope=catalog&s_query=a",
        "t=horse&scope=pool&camera=X100&like=a",
        "t=horse&folder=2019&s_query=a",
        "scope=pool&like=a",
        "scope=elsewhere&s_query=a",
    ],
)
def test_a_search_that_contradicts_itself_is_never_asked(page: Page, params: str) -> None:
    """A keyword is of a pool, and filters of own pictures and pictures alone are of none."""
    asked = answer_with(page, html(500))
    page.goto(f"/?{params}")
    expect(page.locator("#notice")).to_be_visible()
    sent = parse_qs(urlsplit(asked[0]).query)
    own = {"collection", "folder", "album", "camera"} & sent.keys()
    if own or "s_query" not in sent:
        assert sent["scope"] == ["catalog"]
    assert not {"t", "scope"} <= sent.keys()
    assert sent.get("scope", ["catalog"]) == ["catalog"]


JARGON = re.compile(
    r"normalised|s_query|\bt\b|\bor k\b|scope|cursor|decoded|truncated|Unicode|\\\\|JSON|\bbody\b"
)


@pytest.mark.same_page
@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"t": "ﷺ" * 10, "s_query": "a"}, "#keyword-error"),
        ({"t": "\u200b\u200c", "s_query": "a"}, "#keyword-error"),
        ({"s_query": "\u200b\u200c"}, "#query-error"),
        ({"s_query": "without"}, "#query-error"),
        ({"s_query": "a", "t": "horse", "minus": "\u200b\u200c"}, "#minus-error"),
        ({"like": [str(i) for i in range(20)]}, "#query-error"),
        ({"s_query": "a", "t": "horse", "tag": "\u200b"}, "#notice"),
        ({"s_query": "a", "t": "horse", "tag": "a,b,c,d,e,f,g,h,i,j,k,l"}, "#notice"),
        ({"s_query": "a", "t": "horse", "user": "a" * 500}, "#notice"),
        ({"s_query": "a", "t": "horse", "year": "MMXX"}, "#notice"),
        ({"s_query": "a", "t": "horse", "k": "many"}, "#notice"),
    ],
)
def test_nothing_that_the_server_refuses_is_said_in_its_jargon(
    page: Page, params: dict[str, str], where: str
) -> None:
    page.goto(f"/?{urlencode(params, doseq=True)}")
    expect(page.locator(where)).to_be_visible()
    expect(page.locator(where)).not_to_contain_text(JARGON)


@pytest.mark.same_page
@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        ("t or s_query must be given in scope pool, which is ...", "t", "Describe what should be"),
        ("s_query, like or picture must be given, got none of them", "s_query", "Describe what"),
        ("cursor must be of the same search, with the same k", "cursor", "Search again"),
        ("picture cannot be searched by: the image cannot be decoded: x", "picture", "is damaged"),
        ("the body must have at most 10065536 bytes", "picture", "take a smaller picture"),
    ],
)
def test_what_the_server_hardly_says_to_this_page_is_in_plain_words_too(
    page: Page, message: str, field: str, words: str
) -> None:
    answer_with(page, error(400, message, field))
    page.goto(address())
    said = page.locator("#notice, .field-error").filter(visible=True)
    expect(said).to_contain_text(words)
    expect(said).not_to_contain_text(JARGON)


@pytest.mark.same_page
def test_what_cancels_out_is_said_without_the_names_of_fields(page: Page) -> None:
    answer_with(page, error(400, "s_query, like and picture cancel out: got 0.000001", "like"))
    page.goto(address())
    expect(page.locator("#query-error")).to_contain_text("points in opposite directions")
    expect(page.locator("#query-error")).not_to_contain_text("s_query")


@pytest.mark.same_page
@pytest.mark.parametrize(
    ("answer", "heading", "text"),
    [
        (html(200), "The server's answer makes no sense", "(HTTP 200)"),
        (html(401), "A login stands before this server", "sign in, and try again"),
        (error(404, "no such path"), "The search was not found", "No such path."),
        (html(500), "Something broke on the server", "Your search is fine"),
        (html(504, **{"Retry-After": "600"}), "The search took too long", "in about 10 minutes"),
        (lambda route: route.abort(), "No connection to the server", "Check your network"),
        (html(503, **{"Retry-After": "600"}), "not available right now", "in about 10 minutes"),
        (html(429, **{"Retry-After": "36000"}), "Too many searches", "in about 10 hours"),
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
    expect(page.locator("#cards")).not_to_have_class(re.compile("old"))
    expect(shown).to_have_count(2)
    page.get_by_role("button", name="Try again").click()
    expect(shown).to_have_count(6)


def test_a_search_goes_on_when_the_connection_comes_back(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    page.context.set_offline(True)
    send_query(page, READY_KEYWORD, QUERY)
    expect(page.locator("#notice")).to_contain_text("goes on when the connection is back")
    page.context.set_offline(False)
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()


def test_more_pictures_come_when_the_connection_is_back(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.context.set_offline(True)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#notice")).to_contain_text("goes on when the connection is back")
    expect(page.locator(".card")).to_have_count(6)
    page.context.set_offline(False)
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator("#notice")).to_be_hidden()


def test_similar_pictures_come_when_the_connection_is_back(
    page: Page, ready_answer: Answer
) -> None:
    """And what was said of the answer, whose place the failure took, is said again."""
    hits = [{**hit, "similar": []} for hit in ready_answer["results"]]
    folded = [{**hits[0], "similar": [hits[5]["image_id"]]}, *hits[1:5]]
    answer = {**ready_answer, "results": folded, "matched": False}
    answer_with(page, lambda route: route.fulfill(json=answer))
    page.goto(address())
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_contain_text("Nothing here shows that.")
    page.unroute_all()
    page.context.set_offline(True)
    for _ in range(2):  # who does not believe it tries again
        page.get_by_role("button", name="+1 similar to picture 1").click()
        expect(page.locator("#notice")).to_contain_text("goes on when the connection is back")
    answer_with(page, lambda route: route.fulfill(json={**ready_answer, "results": hits}))
    page.context.set_offline(False)
    expect(page.locator(".card")).to_have_count(6)
    expect(page.locator("#notice")).to_contain_text("Nothing here shows that.")


def test_pictures_of_another_search_go_when_its_successor_fails(
    page: Page, ready_answer: Answer
) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.route("**/search?*", lambda route: route.abort())
    send_query(page, READY_KEYWORD, "something else")
    expect(page.get_by_role("heading", name="No connection to the server")).to_be_visible()
    expect(page.locator(".card")).to_have_count(0)


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
    expect(page.locator("#progress-label")).to_contain_text("0 of 200 ready")
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
        "similar": [],
    }
    answer_with(page, lambda route: route.fulfill(json={**ready_answer, "results": [hit]}))
    page.goto(address())
    wait_for_all_results(page)
    card = page.locator(".card")
    expect(card).to_contain_text("<img src=x onerror=alert(1)> · Pixabay")
    expect(card.get_by_role("button")).to_have_accessible_name(
        "Picture 1 <b>bold</b> Picture not available"
    )
    expect(card.locator("a:not(.inside)")).to_have_count(0)
    card.get_by_role("button").click()
    box = page.get_by_role("dialog")
    expect(box).to_contain_text("<img src=x onerror=alert(1)>")
    expect(box).to_contain_text("Picture not available")
    expect(box.locator("a:not(.inside)")).to_have_count(0)
