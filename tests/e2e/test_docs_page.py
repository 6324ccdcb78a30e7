"""The documentation site in a real browser, under the headers that it is served with."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from imagesearch.doors.page import PageFiles, page_headers
from imagesearch.installation import ROOT
from tools.docs_site.__main__ import build

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the built site, from the files and with the headers of every server."""
    web = tmp_path_factory.mktemp("web")
    build(ROOT, web / "docs")
    files = PageFiles(web, {"favicon.svg": (ROOT / "web" / "favicon.svg").read_bytes()})

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = files.file(self.path)
            self.send_response(200 if file else 404)
            for name, value in page_headers("").items():
                self.send_header(name, value)
            self.send_header("Content-Type", file.media_type if file else "text/plain")
            self.end_headers()
            self.wfile.write(file.body if file else b"")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/docs/"
        http.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    yield page
    context.close()
    assert not refused  # of which the policy says something on the console


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["", "deploy.html"])
def test_axe_finds_nothing(page: Page, site: str, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(site + path)
    expect(page.get_by_label("Search the documentation")).to_be_visible()
    report = Axe().run(page)
    assert not report.response["violations"], report.generate_report()


@pytest.mark.parametrize("path", ["", "readme.html", "benchmarks.html"])
def test_a_phone_scrolls_nothing_sideways_and_leads_to_the_list_of_pages(
    page: Page, site: str, path: str
) -> None:
    page.set_viewport_size({**PHONE})  # type: ignore[typeddict-item]
    page.goto(site + path)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    listed = page.get_by_role("navigation", name="Pages").get_by_text("Deploy to Google Cloud")
    expect(listed).not_to_be_in_viewport()
    page.get_by_role("link", name="Pages", exact=True).click()
    expect(listed).to_be_in_viewport()


def test_the_search_is_found_by_a_key_and_leads_to_a_section(page: Page, site: str) -> None:
    page.goto(f"{site}tours/front-end.html")
    expect(page.get_by_label("Search the documentation")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("roll back")
    page.get_by_role("link", name=re.compile("^Roll back · Deploy to Google Cloud")).click()
    expect(page).to_have_url(f"{site}deploy.html#roll-back")
    expect(page.get_by_role("heading", name="Roll back")).to_be_in_viewport()


def test_what_is_nowhere_is_said(page: Page, site: str) -> None:
    page.goto(site)
    page.get_by_label("Search the documentation").fill("xyzzy")
    expect(page.get_by_role("status")).to_have_text("Nothing has all of these words.")
    page.keyboard.press("Escape")
    expect(page.locator("#search ul li")).to_have_count(0)
