"""Pictures on the page: one of them large, and searching by a picture in place of words."""

from __future__ import annotations

import io
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.e2e.pages import (
    POOL_SIZE,
    QUERY,
    READY_KEYWORD,
    Answer,
    address,
    answer_with,
    error,
    send_query,
    shown_images,
    wait_for_all_results,
)
from tests.stub_http import Request as StubRequest
from tests.stub_http import StubServer, reply


def test_a_picture_opens_large_with_what_is_known_of_it(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open").nth(1).click()
    hit = ready_answer["results"][1]
    box = page.get_by_role("dialog", name="Picture 2 of 6")
    expect(box).to_be_visible()
    for text in (hit["credit"]["user"], ", ".join(hit["tags"]), "640 × 427 pixels"):
        expect(box).to_contain_text(text)
    expect(box.get_by_role("link", name="Original")).to_have_attribute("href", hit["page_url"])
    assert box.locator("img").evaluate("node => node.decode().then(() => node.naturalWidth)") == 640


def test_a_picture_says_that_its_tags_brought_it(page: Page, ready_answer: Answer) -> None:
    hits = [{**hit, "reasons": ["picture"]} for hit in ready_answer["results"]]
    hits[1]["reasons"] = ["picture", "tags"]
    answer_with(page, lambda route: route.fulfill(json={**ready_answer, "results": hits}))
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open").first.click()
    expect(page.get_by_role("dialog")).not_to_contain_text("Found by")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog")).to_contain_text("what it looks like and its tags")


def test_arrows_and_escape_move_through_pictures_and_back(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open").nth(4).click()
    box = page.get_by_role("dialog")
    expect(page.get_by_role("heading", name="Picture 5 of 6")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Picture 6 of 6")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Picture 6 of 6")).to_be_visible()
    expect(box.get_by_role("button", name="Next picture")).to_be_disabled()
    box.get_by_role("button", name="Picture before").click()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="Picture 4 of 6")).to_be_visible()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page.locator(".open").nth(3)).to_be_focused()
    assert urlsplit(page.url).fragment == ""


def test_the_focus_stays_within_the_dialog(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open").first.click()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body"
            " || document.getElementById('lightbox').contains(document.activeElement)"
        )


def test_back_closes_a_picture_and_forward_opens_it(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    asked: list[str] = []
    page.on(
        "request", lambda request: asked.append(request.url) if "/search?" in request.url else None
    )
    page.locator(".open").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(6)
    page.go_forward()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert not [url for url in asked if "/search?" in url]


def test_the_link_of_a_picture_opens_it(page: Page, ready_answer: Answer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open").nth(2).click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("The link was copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith(f"{address()}#{ready_answer['results'][2]['image_id']}")
    page.goto("/")
    page.goto(link)
    expect(page.get_by_role("dialog", name="Picture 3 of 6")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"k=6$"))
    expect(page.locator(".card")).to_have_count(6)


def test_an_address_that_names_no_picture_opens_none(page: Page, ready_answer: Answer) -> None:
    for name in ("%", "%E0%A4", "nobody"):
        page.goto("/")
        page.goto(f"{address()}#{name}")
        wait_for_all_results(page)
        expect(page.locator(".card")).to_have_count(6)
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_picture_is_downloaded(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    name = urlsplit(ready_answer["results"][0]["url"]).path.rpartition("/")[2]
    assert download.value.suggested_filename == name
    assert download.value.path().read_bytes()[:2] == b"\xff\xd8"


def test_a_picture_of_another_origin_is_downloaded(
    browser: Browser, stack_url: str, ready_answer: Answer
) -> None:
    """As a bucket is: it says only to a page that asks as such that it may read, and is kept."""
    picture = jpeg()

    def bucket(request: StubRequest) -> bytes:
        headers = {"Content-Type": "image/jpeg", "Cache-Control": "public, max-age=3600"}
        if "origin" in request.headers:
            headers["Access-Control-Allow-Origin"] = "*"
        return reply(200, picture, **headers)

    with StubServer(bucket) as server:
        context = browser.new_context(base_url=stack_url, bypass_csp=True)
        page = context.new_page()
        page.add_init_script(IMAGES_ELSEWHERE % server.origin)  # a route would do without the cache
        page.goto(address())
        wait_for_all_results(page)
        expect(page.locator(".card img.loaded").first).to_be_visible()
        page.locator(".open").first.click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.path().read_bytes() == picture
        context.close()


IMAGES_ELSEWHERE = """
    const fetchHere = window.fetch;
    window.fetch = async (...asked) => {
        const response = await fetchHere(...asked);
        if (!new URL(asked[0], location).pathname.endsWith("/search")) return response;
        const answer = await response.json();
        for (const hit of answer.results) hit.url = "%s" + new URL(hit.url).pathname;
        return Response.json(answer);
    };
"""


# -- searching by a picture


def test_more_like_a_picture_of_the_answer(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".card").nth(1).hover()
    link = page.get_by_role("link", name="More like picture 2")
    link.click()
    wait_for_all_results(page)
    image_id = ready_answer["results"][1]["image_id"]
    assert parse_qs(urlsplit(page.url).query) == {"scope": ["catalog"], "like": [image_id]}
    expect(page.locator("#results-heading")).to_have_text("Like this picture")
    expect(page.locator("#parts img")).to_have_js_property("complete", value=True)
    assert ready_answer["results"][1]["url"] not in shown_images(page)
    expect(page.locator(".card")).to_have_count(24)


def test_a_picture_is_taken_out_of_a_search_again(page: Page, ready_answer: Answer) -> None:
    image_id = ready_answer["results"][0]["image_id"]
    page.goto(f"{address()}&like={image_id}")
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}” and like this picture")
    page.get_by_role("button", name="Take out: Like this picture").click()
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}”")
    assert "like" not in page.url


def jpeg(size: tuple[int, int] = (640, 427), colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, "JPEG")
    return data.getvalue()


def upload(data: bytes, mime_type: str = "image/jpeg") -> FilePayload:
    return {"name": "mine", "mimeType": mime_type, "buffer": data}


def test_a_chosen_picture_is_searched_by(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Search with a picture").click()
    with page.expect_request(lambda request: request.method == "POST") as asked:
        chooser.value.set_files(upload(jpeg()))
    assert "multipart/form-data" in asked.value.headers["content-type"]
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text("Like your picture")
    expect(page.locator("#parts img")).to_have_js_property("naturalWidth", 640)
    expect(page.locator(".card")).to_have_count(24)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".card")).to_have_count(48)


def test_words_and_a_picture_go_together(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    page.get_by_label("What should be in the picture").fill(QUERY)
    page.get_by_label("Keyword", exact=True).fill(READY_KEYWORD)
    page.locator("#picture-file").set_input_files(upload(jpeg()))
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}” and like your picture")
    expect(page.locator("#summary")).to_contain_text(
        f"of {POOL_SIZE} pictures from “{READY_KEYWORD}”"
    )


def chosen_picture(page: Page) -> dict[str, list[str]]:
    """Choose a picture; return what is in the address of its search beside it."""
    page.locator("#picture-file").set_input_files(upload(jpeg()))
    expect(page.locator("#results-heading")).to_contain_text("ike your picture")
    wait_for_all_results(page)
    search = parse_qs(urlsplit(page.url).query)
    assert search.pop("picture")
    return search


@pytest.mark.parametrize("sent", ["/", address(k=None)], ids=["at first", "after an answer"])
def test_a_picture_joins_a_keyword_and_what_is_not_wanted(
    page: Page, ready_answer: Answer, sent: str
) -> None:
    page.goto(sent)
    page.get_by_label("Keyword", exact=True).fill(READY_KEYWORD)
    page.get_by_label("Without").fill("night, snow")
    search = chosen_picture(page)
    assert (search["t"], search["minus"]) == ([READY_KEYWORD], ["night", "snow"])
    expect(page.locator("#minus")).to_have_value("night, snow")
    expect(page.locator("#results-heading")).to_contain_text("without “night” or “snow”")


def test_a_picture_joins_half_a_search(page: Page, ready_answer: Answer) -> None:
    page.goto(f"/?t={READY_KEYWORD}")
    assert chosen_picture(page) == {"t": [READY_KEYWORD]}


def test_a_picture_that_is_chosen_again_joins_the_words_it_was_sent_with(
    page: Page, ready_answer: Answer
) -> None:
    page.goto(f"{address(k=None)}&minus=snow&colour=green&picture=gone")
    expect(page.get_by_role("heading", name="The picture is not here")).to_be_visible()
    words = {"t": [READY_KEYWORD], "s_query": [QUERY], "minus": ["snow"], "colour": ["green"]}
    assert chosen_picture(page) == words


def test_a_picture_takes_the_place_of_words_that_were_answered(
    page: Page, ready_answer: Answer
) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator("#picture-file").set_input_files(upload(jpeg()))
    expect(page.locator("#results-heading")).to_have_text("Like your picture")
    wait_for_all_results(page)
    expect(page.get_by_label("What should be in the picture")).to_have_value("")
    page.get_by_label("What should be in the picture").fill("in the snow")
    page.keyboard.press("Enter")
    expect(page.locator("#results-heading")).to_have_text("“in the snow” and like your picture")


def test_a_large_picture_is_made_smaller_before_it_travels(
    page: Page, ready_answer: Answer
) -> None:
    page.goto("/")
    noise = io.BytesIO()
    Image.effect_noise((2400, 1800), 90).convert("RGB").save(noise, "JPEG", quality=90)
    assert len(noise.getvalue()) > 1_000_000
    page.locator("#picture-file").set_input_files(upload(noise.getvalue()))
    wait_for_all_results(page)
    expect(page.locator("#parts img")).to_have_js_property("naturalWidth", 1600)


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page: Page, ready_answer: Answer, how: str) -> None:
    page.goto("/")
    page.evaluate(
        """([bytes, how]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "a.jpg", { type: "image/jpeg" }));
            const event = how === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            document.getElementById("query").dispatchEvent(event);
        }""",
        [list(jpeg((64, 64))), how],
    )
    wait_for_all_results(page)
    expect(page.locator("#results-heading")).to_have_text("Like your picture")


def test_what_is_no_picture_is_refused_beside_the_field(page: Page) -> None:
    page.goto("/")
    page.locator("#picture-file").set_input_files(upload(b"GIF87a, or is it?", "image/gif"))
    expect(page.locator("#query-error")).to_contain_text("This picture cannot be read.")


def test_what_the_server_says_of_a_picture_stands_beside_the_field(page: Page) -> None:
    page.goto("/")
    answer_with(page, error(400, "picture must not be animated, got 3 frames", "picture"))
    page.locator("#picture-file").set_input_files(upload(jpeg()))
    expect(page.locator("#query-error")).to_have_text(
        "The picture must not be animated, got 3 frames."
    )


def test_an_address_says_that_it_cannot_hold_a_picture(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    page.locator("#picture-file").set_input_files(upload(jpeg()))
    wait_for_all_results(page)
    page.reload()
    expect(page.get_by_role("heading", name="The picture is not here")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a picture").click()
    chooser.value.set_files(upload(jpeg()))
    wait_for_all_results(page)
    expect(page.locator("#notice")).to_be_hidden()


def test_back_goes_to_the_picture_before(page: Page, ready_answer: Answer) -> None:
    page.goto("/")
    page.locator("#picture-file").set_input_files(upload(jpeg()))
    wait_for_all_results(page)
    by_picture = shown_images(page)
    send_query(page, READY_KEYWORD, QUERY)
    page.get_by_role("button", name="Take out: Your picture").click()
    expect(page.locator("#results-heading")).to_have_text(f"“{QUERY}”")
    page.go_back()
    page.go_back()
    expect(page.locator("#results-heading")).to_have_text("Like your picture")
    wait_for_all_results(page)
    assert shown_images(page) == by_picture
