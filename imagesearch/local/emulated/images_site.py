"""The images of the emulated bucket, as the bucket itself serves them in production.

The services and emulators that it stands beside are in `cloud_stack.py`.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.object_names import checked_object_name
from imagesearch.doors.asgi import JsonErrors
from imagesearch.local.page_headers import PageHeaders

IMAGES_PATH = "/images"
# As terraform/images_bucket.tf has it for the bucket, to which a test holds it.
CORS: Final[dict[str, Any]] = {
    "allow_origins": ["*"],
    "allow_methods": ["GET", "HEAD"],
    "allow_headers": ["Content-Type"],
    "max_age": 3600,  # seconds
}
_IMAGE_SECONDS = 10.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine


def create_images_site(bucket_url: str) -> ASGIApp:
    """
    Return the site that passes on the images of the emulated bucket at *bucket_url*.

    They are at `/images/`, for any origin, as the bucket's are in production. The emulator sends no
    CORS headers, and answers one connection at a time: one that a browser opens ahead of its use
    would keep the services out.
    """

    def image(request: Request) -> Response:
        try:
            # What a store would not take is not asked for: `..` or `?` would be another URL.
            name = checked_object_name(request.path_params["name"])
        except InvalidRequest:
            return _not_found()
        return _image(f"{bucket_url}/{name}")

    cors = [Middleware(CORSMiddleware, **CORS)]
    images = Mount(IMAGES_PATH, routes=[Route("/{name}", image)], middleware=cors)
    return JsonErrors(Starlette(routes=[images], middleware=[Middleware(PageHeaders)]))


def _image(url: str) -> Response:
    try:
        with _direct.open(url, timeout=_IMAGE_SECONDS) as answer:
            headers = {"Cache-Control": "public, max-age=86400"}
            return Response(answer.read(), 200, headers, answer.headers["Content-Type"])
    except urllib.error.HTTPError as error:
        with error:
            return _not_found() if error.code == 404 else _no_answer()
    except (OSError, HTTPException):
        return _no_answer()


def _not_found() -> Response:
    return PlainTextResponse("Not Found", 404)


def _no_answer() -> Response:
    return PlainTextResponse("the storage emulator does not answer", 503)
