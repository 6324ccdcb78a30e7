"""
The demo's gallery: an HTTP server with Pixabay's API whose pictures are rendered on the fly.

It answers as https://pixabay.com/api/docs/ says, so that the real Pixabay client runs against it
unchanged; which pictures a query finds is in `gallery_query`, what they show in `scenes`.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import io
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from imagesearch.demo import drawing, keywords, scenes, wording
from imagesearch.demo.gallery_query import BadParameter, Query, find
from imagesearch.demo.scenes import Scene
from imagesearch.sources.demo import GALLERY_KEY
from imagesearch.sources.pixabay import QUOTA

Clock = Callable[[], float]

USER: Final = "imagesearch demo"
FIRST_ID: Final = 2_000_000_000
"""The id of the first picture: above Pixabay's own ids, so that no image_id can mean both, and
above those of the gallery of shapes that was here before, whose pictures may still be stored."""

# Pictures lie so far apart, whose ids are next to each other, in the time that it is open.
_OPENED: Final = datetime(2011, 1, 1, tzinfo=UTC)
_MINUTES_OPEN: Final = 15 * 365 * 24 * 60
_MINUTES_APART: Final = 2_147_483_647  # a prime, so that all minutes have their turn

URL_LIFE_SECONDS: Final = 24 * 3600
REACHABLE_HITS: Final = 500
RATE_WINDOW_SECONDS: Final = 60


# --- rate limit -------------------------------------------------------------------------------


@dataclass
class RateLimit:
    """
    At most *limit* requests per key in a window of 60 s that opens with a key's first request.

    Safe for several threads.
    """

    limit: int
    clock: Clock
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str) -> tuple[bool, dict[str, str]]:
        """Count one request of *key*; return whether it is allowed, and the answer's headers."""
        with self._lock:
            now = self.clock()
            start, used = self._windows.get(key, (now, 0))
            if not 0 <= now - start < RATE_WINDOW_SECONDS:  # over, or the clock has stepped back
                start, used = now, 0
            self._windows[key] = (start, used + 1)
        left = RATE_WINDOW_SECONDS - (now - start)
        return used < self.limit, {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - used - 1)),
            "X-RateLimit-Reset": str(math.ceil(left)),
        }


# --- image addresses --------------------------------------------------------------------------


@dataclass(frozen=True)
class Tickets:
    """
    Signs the expiring part of an image's address.

    The signature follows from the key alone, so that an address outlives a restart of the server.
    """

    clock: Clock

    def issue(self, scene_id: int) -> str:
        """Return a token that is good for `URL_LIFE_SECONDS`."""
        claim = f"{scene_id:x}-{int(self.clock()) + URL_LIFE_SECONDS:x}"
        return f"{claim}-{self._signature(claim)}"

    def scene_id(self, token: str) -> int | None:
        """Return whose token this is; None when it is forged, malformed or expired."""
        claim, _, signature = token.rpartition("-")
        if not hmac.compare_digest(signature.encode(), self._signature(claim).encode()):
            return None
        scene_id, expires = (int(part, 16) for part in claim.split("-"))
        return scene_id if self.clock() < expires else None

    def _signature(self, claim: str) -> str:
        return hmac.new(GALLERY_KEY.encode(), claim.encode(), hashlib.sha256).hexdigest()[:32]


_VARIANTS: Final[dict[str, tuple[int, int]]] = {
    "180": (10_000, 180),
    "340": (10_000, 340),
    "640": (640, 10_000),
    "960": (960, 720),
    "1280": (1280, 1280),
}
_PREVIEW_BOX: Final = (150, 150)


def _fitted(box: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a picture shrunk, never enlarged, to fit in *box* pixels."""
    scale = min(1.0, box[0] / drawing.WIDTH, box[1] / drawing.HEIGHT)
    return round(drawing.WIDTH * scale), round(drawing.HEIGHT * scale)


def _jpeg_response(scene_id: int, box: tuple[int, int]) -> Response:
    scene, size = scenes.scene(scene_id), _fitted(box)
    if size == (drawing.WIDTH, drawing.HEIGHT):
        return Response(drawing.jpeg(scene), media_type="image/jpeg")
    buffer = io.BytesIO()
    drawing.render(scene).resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=88)
    return Response(buffer.getvalue(), media_type="image/jpeg")


# --- the server -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gallery:
    """The endpoints, and what they share."""

    public_url: str
    rate_limit: RateLimit
    tickets: Tickets

    def api(self, request: Request) -> Response:
        """Answer `GET /api/`."""
        given = dict(request.query_params)
        if not hmac.compare_digest(given.get("key", "").encode(), GALLERY_KEY.encode()):
            return _refusal(
                "[ERROR 400] Invalid or missing API key (https://pixabay.com/api/docs/)."
            )
        allowed, headers = self.rate_limit.take(GALLERY_KEY)
        if not allowed:
            return PlainTextResponse("API rate limit exceeded", 429, headers)
        try:
            return JSONResponse(self._answer(Query.parse(given), request), headers=headers)
        except BadParameter as error:
            return _refusal(str(error), headers)

    def _answer(self, query: Query, request: Request) -> dict[str, Any]:
        ids = find(query)
        reachable = ids[:REACHABLE_HITS]
        first = (query.page - 1) * query.per_page
        if query.page > 1 and first >= len(reachable):
            raise BadParameter("page")
        shown = reachable[first : first + query.per_page]
        return {
            "total": len(ids),
            "totalHits": len(reachable),
            "hits": [self._hit(scenes.scene(scene_id), query, request) for scene_id in shown],
        }

    def _hit(self, scene: Scene, query: Query, request: Request) -> dict[str, Any]:
        base, token = _base_url(request), self.tickets.issue(scene.id)
        preview, full = _fitted(_PREVIEW_BOX), (drawing.WIDTH, drawing.HEIGHT)
        picture_id = FIRST_ID + scene.id
        return {
            "id": picture_id,
            "pageURL": f"{self.public_url}/illustrations/{picture_id}/",
            "type": "illustration",
            "tags": ", ".join(keywords.tags(scene, query.language)),
            "previewURL": f"{base}/photo/{_uploaded(scene)}/{picture_id}_150.jpg",
            "previewWidth": preview[0],
            "previewHeight": preview[1],
            "webformatURL": f"{base}/get/{token}_640.jpg",
            "webformatWidth": full[0],
            "webformatHeight": full[1],
            "largeImageURL": f"{base}/get/{token}_1280.jpg",
            "imageWidth": full[0],
            "imageHeight": full[1],
            # Of the uncompressed pixels: rendering 200 JPEGs only to weigh them takes a second.
            "imageSize": full[0] * full[1] * 3,
            "views": 0,
            "downloads": 0,
            "collections": 0,
            "likes": 0,
            "comments": 0,
            "user_id": 0,
            "user": USER,
            "userImageURL": "",
            "userURL": "",
            "noAiTraining": False,
            "isAiGenerated": False,
            "isGRated": True,
            "isLowQuality": False,
        }

    def image(self, request: Request) -> Response:
        """Answer `GET /get/{token}_{variant}.jpg`, while the token lives."""
        token, _, variant = request.path_params["name"].rpartition("_")
        scene_id = self.tickets.scene_id(token)
        if scene_id is None or variant not in _VARIANTS:
            return _refusal("This URL is invalid or has expired.")
        return _jpeg_response(scene_id, _VARIANTS[variant])

    def preview(self, request: Request) -> Response:
        """Answer `GET /photo/{date}/{id}_150.jpg`, which never expires."""
        return _jpeg_response(_scene_id(request), _PREVIEW_BOX)

    def page(self, request: Request) -> Response:
        """Answer `GET /illustrations/{id}/` with the picture's own page."""
        scene_id = _scene_id(request)
        address = f"../../get/{self.tickets.issue(scene_id)}_640.jpg"
        return HTMLResponse(_page(scenes.scene(scene_id), address))


def _uploaded(scene: Scene) -> str:
    """Return the moment, made up and always the same, at which *scene* came to the gallery."""
    moment = _OPENED + timedelta(minutes=scene.id * _MINUTES_APART % _MINUTES_OPEN)
    return f"{moment:%Y/%m/%d/%H/%M}"


def _base_url(request: Request) -> str:
    """Return where this app answers, mounted or not: Starlette's own `base_url` omits a mount."""
    return str(request.url.replace(path=request.scope["root_path"], query=""))


def _refusal(text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text, 400, headers)


def _scene_id(request: Request) -> int:
    """Return which picture the path names, or raise HTTPException."""
    text = str(request.path_params["id"])
    if re.fullmatch(r"[0-9]{1,10}", text):  # int() refuses what has thousands of digits
        scene_id = int(text) - FIRST_ID
        if 0 <= scene_id < scenes.SCENE_COUNT:
            return scene_id
    raise HTTPException(404)


# A file of its own: the site's Content-Security-Policy admits no style within a page.
_STYLE: Final = """:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  box-sizing: border-box; background: light-dark(#f4f4f7, #17181d); }
figure { margin: 0; max-width: 640px; overflow: hidden; border-radius: 16px;
  background: light-dark(#fff, #23252d); box-shadow: 0 8px 40px rgb(0 0 0 / 18%); }
img { display: block; width: 100%; height: auto; }
figcaption { padding: 1rem 1.5rem 1.5rem; }
h1 { margin: 0 0 .5rem; font-size: 1.25rem; }
ul { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 1rem; padding: 0; list-style: none; }
li { padding: .1rem .75rem; border-radius: 1rem; background: light-dark(#ececf2, #33363f); }
p { margin: 0; opacity: .75; }
"""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · demo gallery</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="../../style.css">
</head>
<body>
<main>
<figure>
<img src="{address}" width="{width}" height="{height}" alt="{title}">
<figcaption>
<h1>{title}</h1>
<ul aria-label="Tags">{tags}</ul>
<p>By {user}. A picture of the built-in demo gallery, drawn by this program on request, with Fluent
emoji by Microsoft (MIT).</p>
</figcaption>
</figure>
</main>
</body>
</html>
"""


def _page(scene: Scene, address: str) -> str:
    description = wording.describe(scene)
    return _PAGE.format(
        title=html.escape(description[0].upper() + description[1:]),
        address=html.escape(address),
        width=drawing.WIDTH,
        height=drawing.HEIGHT,
        tags="".join(f"<li>{html.escape(tag)}</li>" for tag in keywords.tags(scene)),
        user=html.escape(USER),
    )


def create_gallery(
    public_url: str,
    *,
    limit: int = QUOTA.requests,
    clock: Clock = time.time,
) -> Starlette:
    """
    Return the gallery as an ASGI app.

    Args:
        public_url: where people reach this app, without a slash at the end; pages of pictures
            (`pageURL`) are addressed from it. Addresses of images are built on each request's own
            base URL.
        limit: API requests per key and 60 s.
        clock: seconds since any fixed moment; times the rate limit and the images' addresses.
    """
    threading.Thread(target=keywords.index, daemon=True).start()  # before anyone asks
    gallery = Gallery(public_url, RateLimit(limit, clock), Tickets(clock))
    routes = [
        Route("/api/", gallery.api),
        Route("/get/{name}.jpg", gallery.image),
        Route("/photo/{date:path}/{id}_150.jpg", gallery.preview),
        Route("/illustrations/{id}/", gallery.page),
        Route("/style.css", lambda _: Response(_STYLE, media_type="text/css")),
    ]
    return Starlette(routes=routes)
