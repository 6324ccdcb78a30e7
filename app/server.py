"""The web app: Flet's server behind doors of ours, with nothing from elsewhere.

Python runs here, a session for each window, and Flutter draws in the browser. Without a network all
works: what Flutter would load from Google's and others' hosts is here, or is not needed.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import flet as ft
import flet_web.fastapi
import uvicorn
from flet_web import get_package_web_dir
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.session import Session
from app.settings import Settings, settings_of

ASSETS = Path(__file__).parent / "assets"
SESSION_SECONDS = 600  # that a window may be without a connection before its session is forgotten
MOST_MESSAGE_BYTES = 24_000_000  # a picture of 10 MB, of which bytes from 128 on take two

# Flutter asks for fonts of letters that Roboto lacks by the folder of their family at Google Fonts.
# Those of Chinese and Japanese are in slices there, and one file here.
FALLBACK_FONTS = {
    "notosansarabic": "notosansarabic.woff2",
    "notosansdevanagari": "notosansdevanagari.woff2",
    "notosanshebrew": "notosanshebrew.woff2",
    "notosansthai": "notosansthai.woff2",
    "notosanskr": "hangul.woff2",
    **dict.fromkeys(
        ("notosanssc", "notosanstc", "notosanshk", "notosansjp"), "droidsansfallback.woff2"
    ),
}
_FALLBACK = re.compile(r"/assets/fonts/([a-z0-9]+)/.+")
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_COMPRESSIBLE = frozenset(
    {
        *("application/javascript", "application/json", "application/wasm", "image/svg+xml"),
        *("application/octet-stream", "font/otf", "application/vnd.ms-opentype"),
    }
)
_KEPT_A_DAY = "public, max-age=86400"
_REVALIDATED = "public, no-cache"
_OF_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def web_app(settings: Settings, folder: Path) -> ASGIApp:
    """
    Return the web app.

    Args:
        folder: an empty one, for the files that are made for this version of Flet.
    """

    async def main(page: ft.Page) -> None:
        await Session(page, settings.api_url).start()

    _make_assets(folder)
    flet_app = flet_web.fastapi.app(
        main,
        assets_dir=str(folder),
        app_name="imagesearch",
        app_description="Search pictures by a sentence.",
        no_cdn=True,
        session_timeout_seconds=SESSION_SECONDS,
    )
    return Compressed(Doors(FallbackFonts(flet_app), settings))


def _make_assets(folder: Path) -> None:
    """Put into *folder* what stands before Flet's own files: its page with additions of ours."""
    shutil.copytree(ASSETS, folder, dirs_exist_ok=True)
    web = Path(get_package_web_dir())
    page = (web / "index.html").read_text(encoding="utf-8")
    page = page.replace("icons/loading-animation.png", "favicon.svg")
    page = re.sub(r'<link rel="icon"[^>]*>', '<link rel="icon" href="favicon.svg">', page)
    page = page.replace("</body>", '<script src="accessible.js"></script>\n</body>')
    (folder / "index.html").write_text(page, encoding="utf-8")
    # Without the 20 fonts of formulas, which Flutter would load before its first frame.
    fonts = json.loads((web / "assets" / "FontManifest.json").read_bytes())
    needed = [font for font in fonts if font["family"] == "MaterialIcons"]
    (folder / "assets").mkdir()
    (folder / "assets" / "FontManifest.json").write_text(json.dumps(needed), encoding="utf-8")


class Compressed:
    """Sends texts and code gzipped to who takes that: of the engine's 14 MB are 5 left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies: dict[tuple[str, str], bytes] = {}  # compressed, by path and ETag

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered, and compress what gets smaller by it."""
        if not _takes_gzip(scope):
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def compress(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_compressible(message):
                start = message
            elif not start or message["type"] != "http.response.body":
                await send(message)
            else:
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._send(scope["path"], start, bytes(body), send)

        await self._app(scope, receive, compress)

    async def _send(self, path: str, start: Message, body: bytes, send: Send) -> None:
        headers = MutableHeaders(scope=start)
        tag = headers.get("ETag", "")
        compressed = self._bodies.get((path, tag))
        if compressed is None:
            # The most, 9, is 1 % smaller and takes twice as long, for which the first window waits.
            compressed = await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
            if tag:  # that of a file: what is made for one request is not kept
                self._bodies[path, tag] = compressed
        if tag:
            headers["ETag"] = f"W/{tag}"
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(compressed))
        headers.add_vary_header("Accept-Encoding")
        await send(start)
        await send({"type": "http.response.body", "body": compressed})


def _takes_gzip(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    return "gzip" in Headers(scope=scope).get("Accept-Encoding", "")


def _is_compressible(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("Content-Type", "").partition(";")[0]
    return start["status"] == 200 and (kind.startswith("text/") or kind in _COMPRESSIBLE)


class FallbackFonts:
    """Gives Flutter the fonts of other scripts, and says of which there is none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for fonts, and have all else answered."""
        asked = _FALLBACK.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            await self._app(scope, receive, send)
        elif asked[1] in FALLBACK_FONTS:
            font = RedirectResponse(f"/fonts/{FALLBACK_FONTS[asked[1]]}")
            await font(scope, receive, send)
        else:
            await PlainTextResponse("no such font is here", 404)(scope, receive, send)


class Doors:
    """
    Confines what a browser does for the app, and who may reach it.

    A page of elsewhere could open a WebSocket to this machine, and see what the API shows to it: so
    the origin must be the app's own, and on a loopback address its name one of this machine.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._is_local = settings.bind_address in _OF_THIS_MACHINE
        sources = " ".join(("'self'", *settings.allowed_origins))
        self._policy = (
            "default-src 'none'; base-uri 'self'; frame-ancestors 'none'; form-action 'none'; "
            f"connect-src {sources} data: blob:; img-src 'self' data: blob:; "
            "manifest-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
            "worker-src 'self' blob:; script-src 'self' 'wasm-unsafe-eval' blob:"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse who may not reach the app, and add the policy to what it answers."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        status, refusal = self._refusal(scope, Headers(scope=scope))
        if refusal and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        elif refusal:
            await PlainTextResponse(refusal, status)(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, self._confined(scope, send))

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str]:
        """Return the status and the reason of a refusal, "" for none."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname
            origin = urlsplit(headers.get("origin", "")).netloc
        except ValueError:  # brackets that are no IPv6 address
            return 400, "the Host header must name a host, and Origin be one"
        if self._is_local and name not in _OF_THIS_MACHINE:
            return 421, "this host is not served here: ask localhost"
        if scope["type"] == "websocket" and origin != host:
            return 403, "this page is not of this app"
        return 200, ""

    def _confined(self, scope: Scope, send: Send) -> Send:
        """Return *send*, with the headers that an answer has here."""
        start: Message = {}

        async def confined(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                is_font = scope["path"].startswith("/fonts/")
                headers["Cache-Control"] = _KEPT_A_DAY if is_font else _REVALIDATED
                return
            if start:
                body = message.get("body", b"")
                MutableHeaders(scope=start)["Content-Security-Policy"] = self._policy + "".join(
                    f" 'sha256-{digest}'" for digest in _digests(body)
                )
                await send(start)
                start = {}
            await send(message)

        return confined


def _digests(body: bytes) -> Iterator[str]:
    """Yield the digests by which a policy admits the scripts within a page."""
    if body.lstrip().startswith(b"<!DOCTYPE html>"):
        for script in _INLINE_SCRIPT.findall(body):
            yield base64.b64encode(hashlib.sha256(script).digest()).decode()


def listen(settings: Settings) -> socket.socket:
    """
    Return a listener on the address and the port of *settings*.

    Raises:
        OSError: another listens there, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.bind_address else socket.AF_INET
    return socket.create_server((settings.bind_address, settings.port), family=family)


@contextmanager
def server(settings: Settings) -> Iterator[uvicorn.Server]:
    """Yield a server of the web app, which others run; its files go at the end of the context."""
    with tempfile.TemporaryDirectory(prefix="imagesearch-app-") as folder:
        app = web_app(settings, Path(folder))
        yield uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                loop="asyncio",
                ws="websockets-sansio",
                ws_max_size=MOST_MESSAGE_BYTES,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )


def main() -> None:
    """Serve the web app as the environment says, until it is ended."""
    try:
        settings = settings_of(os.environ)
        listener = listen(settings)
    except (OSError, ValueError) as error:
        sys.exit(f"The app cannot be served: {error}")
    port = listener.getsockname()[1]
    with listener, server(settings) as running:
        name = settings.bind_address
        host = f"[{name}]" if ":" in name else name
        print(f"The app is at http://{host}:{port}; it searches {settings.api_url}", flush=True)
        with suppress(KeyboardInterrupt):
            running.run(sockets=[listener])


if __name__ == "__main__":
    main()
