"""One picture on the page: what is known of it and what can be done with it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.e2e.pages import Answer, address, wait_for_all_results


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


def test_a_picture_is_downloaded(page: Page, ready_answer: Answer) -> None:
    page.goto(address())
    wait_for_all_results(page)
    page.locator(".open").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    name = urlsplit(ready_answer["results"][0]["url"]).path.rpartition("/")[2]
    assert download.value.suggested_filename == name
    assert download.value.path().read_bytes()[:2] == b"\xff\xd8"
