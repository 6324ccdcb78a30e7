"""
The Flutter app in Chromium over an API that is away, behind a login, or asks for a key.

In a module of its own, as the app's server that ends here takes the files of any other one in the
process with it: Flet keeps those of all together.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.app_pages import Window, origin_of, served
from tests.stub_http import Request, StubServer, reply
from tools import openapi

FOUND = openapi.read()["components"]["responses"]["Found"]["content"]["application/json"]["example"]
WHOLE = reply(200, json.dumps({**FOUND, "filters": {}}))
COLLECTIONS = {"collections": [{"name": "Summer", "images": 1, "updating": False}]}
NO_KEY = reply(401, json.dumps({"error": {"message": "X-API-Key must be the key", "field": None}}))


class Api:
    """An API that answers as the test of the moment says."""

    answer: Callable[[Request], bytes] = staticmethod(lambda _: WHOLE)


@pytest.fixture(scope="module")
def api() -> Api:
    return Api()


@pytest.fixture(scope="module")
def app(api: Api) -> Iterator[str]:
    with (
        StubServer(lambda request: api.answer(request)) as server,
        socket.create_server(("127.0.0.1", 0)) as listener,
        served(listener, server.origin),
    ):
        yield origin_of(listener)


@pytest.fixture
def window(browser: Browser, app: str) -> Iterator[Window]:
    window = Window(browser, app)
    yield window
    window.context.close()


def test_an_api_that_is_away_or_behind_a_login_is_said_and_nothing_is_lost(
    window: Window, api: Api
) -> None:
    """It is away and comes back by itself, and then a login stands before it."""
    api.answer = lambda _: b""
    window.open()
    window.write("sentence", "two horses")
    window.listen()
    window.page.keyboard.press("Enter")
    window.see("No connection to the server")
    for seconds in (1, 2, 1):
        window.see(f"Trying again in {seconds} s.")
    aloud = [text for text in window.heard() if text.startswith("No connection")]
    assert len(aloud) == 1, "the seconds are not read aloud"
    assert "Trying" not in aloud[0]
    api.answer = lambda _: WHOLE
    window.see(window.picture(1).first)
    with StubServer(lambda _: reply(200, "<h1>Sign in</h1>")) as login:
        api.answer = lambda _: reply(302, Location=login.origin)
        window.button("Search").click()
        window.see("This server asks for a login")
    window.choose("Language", "Deutsch")
    window.see("Dieser Server verlangt eine Anmeldung")
    assert window.field("Was soll auf dem Bild sein").input_value() == "two horses"
    window.write("Ohne", "Schnee")
    api.answer = lambda _: WHOLE
    window.button("Noch einmal").click()
    window.see(window.picture(1, "Bild").first)
    assert window.field("Ohne").input_value() == "Schnee"


def test_what_follows_is_tried_again_behind_what_is_there(window: Window, api: Api) -> None:
    first, second = FOUND["results"][0], {**FOUND["results"][0], "image_id": "pixabay-2"}
    begun = reply(200, json.dumps({**FOUND, "filters": {}, "results": [first], "next": "x1"}))
    followed = reply(200, json.dumps({**FOUND, "filters": {}, "results": [second]}))
    api.answer = lambda _: begun
    window.open("/?s_query=two+horses")
    window.see(window.button("Show more"))
    api.answer = lambda _: reply(500, "{}")
    window.button("Show more").click()
    window.see("Something broke on the server")
    window.see(window.picture(1).first)
    api.answer = lambda request: followed if "cursor=x1" in request.target else begun
    window.button("Try again").click()
    window.see(window.page.get_by_role("button", name=re.compile("^Picture 2 of 2")).first)


def test_a_key_is_asked_for_until_it_is_the_servers_which_then_tells_what_it_has(
    window: Window, api: Api
) -> None:
    def guarded(request: Request) -> bytes:
        if request.headers.get("x-api-key") != "secret":
            return NO_KEY
        is_of_collections = request.target.startswith("/collections")
        return reply(200, json.dumps(COLLECTIONS)) if is_of_collections else WHOLE

    api.answer = guarded
    window.open("/?s_query=two+horses")
    window.see("This server asks for a key")
    give(window, "wrong")
    window.see("This server did not take the key")
    give(window, "secret")
    window.see(window.picture(1).first)
    window.unfold("Search in: pictures by keyword", "Summer")


def give(window: Window, key: str) -> None:
    window.button("Give the key").click()
    window.see(window.page.get_by_role("alertdialog"))  # until then "Key" is how "Keyword" begins
    window.write("Key", key)
    window.page.keyboard.press("Enter")
