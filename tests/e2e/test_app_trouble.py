"""
The Flutter app in Chromium over an API that is away, or behind a login.

In a module of its own, as the app's server that ends here takes the files of any other one in the
process with it: Flet keeps those of all together.
"""

from __future__ import annotations

import json
import socket

from playwright.sync_api import Browser

from tests.e2e.app_pages import Window, origin_of, served
from tests.stub_http import StubServer, reply
from tools import openapi

FOUND = openapi.read()["components"]["responses"]["Found"]["content"]["application/json"]["example"]


def test_an_api_that_is_away_or_behind_a_login_is_said_and_nothing_is_lost(
    browser: Browser,
) -> None:
    """It is away and comes back by itself, and then a login stands before it."""
    sign_in = reply(200, "<h1>Sign in</h1>")
    answers = {"away": b"", "back": reply(200, json.dumps({**FOUND, "filters": {}}))}
    state = ["away"]
    with (
        StubServer(lambda _: sign_in) as login,
        StubServer(lambda _: answers[state[0]]) as api,
        socket.create_server(("127.0.0.1", 0)) as listener,
        served(listener, api.origin),
    ):
        answers["login"] = reply(302, Location=login.origin)
        window = Window(browser, origin_of(listener))
        window.open()
        window.write("sentence", "two horses")
        window.page.keyboard.press("Enter")
        window.see("No connection to the server")
        window.see("Trying again in")
        state[0] = "back"
        window.see(window.picture(1).first)
        state[0] = "login"
        window.button("Search").click()
        window.see("This server asks for a login")
        window.choose("Language", "Deutsch")
        window.see("Dieser Server verlangt eine Anmeldung")
        assert window.field("Was soll auf dem Bild sein").input_value() == "two horses"
        state[0] = "back"
        window.button("Noch einmal").click()
        window.see(window.picture(1, "Bild").first)
        window.context.close()
