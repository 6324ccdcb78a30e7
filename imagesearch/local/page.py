"""The page as the local editions serve it: its files, its config.json and its headers.

The page itself is in `web/`; what else a site has beside it is in `stack.py` and `cloud_page.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagesearch.installation import ROOT

PAGE_POLICY = "default-src 'self'; img-src * data:; connect-src *"


def page_files() -> StaticFiles:
    """Return the page's files."""
    return StaticFiles(directory=ROOT / "web", html=True)


def page_config(api_url: str, demo_keywords: Sequence[str]) -> Callable[[Request], Response]:
    """Return what answers `/config.json`; an empty *api_url* is the page's own origin."""
    config = {"api": api_url, "demo": bool(demo_keywords), "demo_keywords": list(demo_keywords)}
    return lambda _: JSONResponse(config)


class SecurityHeaders:
    """Adds to every answer what keeps a page from running what it was not served with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
                headers.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        await self._app(scope, receive, send_with_headers)
