"""The public HTTP function: parse, call the use case `search`, answer in JSON; and the page.

The parameters and bodies are in `imagesearch/doors/http_api.py`, the work in
`imagesearch/usecases/search.py`, the page in `web/` and `imagesearch/doors/page.py`.
"""

from __future__ import annotations

import hmac
import json
import logging
from typing import Any, cast

import functions_framework
from flask import Request, Response

from imagesearch import telemetry
from imagesearch.compose.query import compose
from imagesearch.compose.start import process_of
from imagesearch.domain.errors import Bug, ImageSearchError, InvalidRequest, NotFound, Unauthorized
from imagesearch.domain.object_names import is_object_name, media_type_of
from imagesearch.domain.queries import MAX_TEXT_BYTES
from imagesearch.doors import http_api, wsgi
from imagesearch.doors.compression import LEAST_BYTES, gzipped
from imagesearch.doors.errors import BUG_MESSAGE, NO_SNIFFING, ErrorAnswer, answer_of, refusal
from imagesearch.doors.page import PageFile, PageFiles, addressed, page_config, page_headers
from imagesearch.doors.search_form import SEARCH_PATH, asked_of, search_bound
from imagesearch.installation import ROOT
from imagesearch.ports import ImageStore
from imagesearch.sources.demo import KEYWORDS
from imagesearch.usecases import clients
from imagesearch.usecases.search import SearchAnswer

IN_HAND_BYTES = 40_000_000  # of bodies with pictures, of 512 MB: each is copied some times over
WAITING = 16  # threads that wait for a body, of the 80 of `imagesearch/deployment/services.py`
READING = ("GET", "HEAD", "OPTIONS")
METHODS = {SEARCH_PATH: (*READING, "POST")}  # of other paths READING
# What this reads of a request, and a page of an answer, that a browser keeps back unless told so.
KEY_HEADER = "X-API-Key"
REQUEST_HEADERS = f"Content-Type, {KEY_HEADER}, traceparent, X-Cloud-Trace-Context"
ANSWER_HEADERS = "Location, Retry-After, Server-Timing"
QUICK = 4  # gzip's level: an answer is compressed each time, 13 KB in some 0.2 ms
CATALOG_SECONDS = 30  # after which a search of everything may find what a new model lacked
IMAGES_PATH = "/images/"  # as on one machine, where another door is in front of this one
# Images that the page shows of an answer (web/search.js), and no fewer files that it is made of.
FILES_FOR_A_REQUEST = 24
IMAGE_CACHE_CONTROL = "private, max-age=86400"  # no proxy keeps what only some may see
API = frozenset(path.split("/")[1] for path in http_api.PATHS)
logger = logging.getLogger(__name__)
_JSON = "application/json"
_process = process_of(compose)
_page_headers = page_headers(_process.settings.images_url(""))
_sources = _process.settings.image_source.parts
_keywords = KEYWORDS if _process.settings.is_demo else ()
_config = page_config(
    _keywords,
    [(source.credit, source.site, source.note) for source in _sources],
    has_collections=True,
    has_docs=(ROOT / "web" / "docs").is_dir(),
)
_page = PageFiles(ROOT / "web", {"config.json": _config})
wsgi.guard(
    most_bytes=MAX_TEXT_BYTES,
    waiting=WAITING,
    larger={("POST", SEARCH_PATH): search_bound(IN_HAND_BYTES)},
    on_end=_process.search.wait_no_more,
)


@functions_framework.http
def query(request: Request) -> Response:
    """Answer the paths of `http_api.PATHS`, and with the page's files."""
    kind = _kind(request.path)
    header = request.headers.get
    with telemetry.unit(kind, telemetry.trace_of(header), telemetry.parent_of(header)) as unit:
        response = _guarded(request)
        unit.note(status=response.status_code)
        _compress(response, request)
        response.headers["Server-Timing"] = unit.server_timing()
        for name, value in (_page_headers if kind == "page" else NO_SNIFFING).items():
            response.headers.setdefault(name, value)
    return response


def _kind(path: str) -> str:
    """Return what a unit of work is called, by the path that is asked for."""
    first = path.strip("/").partition("/")[0]
    if first in API:
        return first
    if _is_image(path):
        return "image"
    return "page" if _page.file(path) else "request"


def _guarded(request: Request) -> Response:
    try:
        response = _answer(request)
    except Exception:  # the door: a bug is logged and answered in JSON
        logger.exception("%s %s: a bug", request.method, request.path)
        response = _error(Bug(BUG_MESSAGE))
    return _allow_origin(response, request.headers.get("Origin"), _process.settings.origins)


def _answer(request: Request) -> Response:
    methods = METHODS.get(request.path, READING)
    allow = ", ".join(methods)
    if request.method == "OPTIONS":
        headers = {
            "Access-Control-Allow-Methods": allow,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": "3600",
        }
        return Response(status=204, headers={"Allow": allow, **headers})
    if request.method not in methods:
        refused = refusal(405, f"{request.method} is none of {allow}")
        telemetry.note(outcome=refused.code)
        return _refuse(refused, {"Allow": allow})
    try:
        return _route(request)
    except ImageSearchError as error:
        return _error(error)


def _route(request: Request) -> Response:
    if request.path == "/alive":
        return _json({"status": "alive"})
    client = _client_of(request)
    if file := _page.file(request.path):
        _count_file(client)
        after_question_mark = request.query_string.decode("latin-1")
        asks_key = _process.settings.search_api_key is not None
        page = addressed(file, request.host_url, after_question_mark, asks_key=asks_key)
        response = _send(page, request)
        _process.search.spending.page_file(len(response.get_data()))
        return response
    if _page.file(f"{request.path}/"):  # a folder with a page: its links begin at the slash
        return Response(status=308, headers={"Location": f"{request.path}/"})
    if _is_image(request.path):
        return _image(request.path.removeprefix(IMAGES_PATH), client)
    _count_request(client)
    if request.path == "/ready":
        _process.check()
        return _json({"status": "ready"})
    _check_key(request)
    if request.path == SEARCH_PATH:
        return _search(request, client)
    if request.path.startswith("/pools/"):
        return _pool(http_api.parse_pool_id(request.path.removeprefix("/pools/")))
    if request.path == "/collections":
        return _json(http_api.collections_json(_process.collections()))
    there_are = ", ".join(http_api.PATHS)
    raise NotFound(f"there is no {request.path[:100]}; there are {there_are}: see /openapi.json")


def _send(file: PageFile, request: Request) -> Response:
    headers = {
        "Cache-Control": file.cache_control,
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": f'W/"{file.tag}"',
        "Vary": "Accept-Encoding",
    }
    if request.if_none_match.contains_weak(file.tag):
        return Response(status=304, headers=headers)
    body = file.body
    if file.gzipped is not None and request.accept_encodings["gzip"] > 0:
        body, headers["Content-Encoding"] = file.gzipped, "gzip"
    return Response(body, 200, headers, mimetype=file.media_type)


def _compress(response: Response, request: Request) -> None:
    """Have an answer of the API travel in fewer bytes; files of the page are compressed already."""
    headers = response.headers
    if headers.get("Content-Type") != _JSON or "Content-Encoding" in headers:
        return
    body = response.get_data()
    if len(body) < LEAST_BYTES:
        return
    response.vary.add("Accept-Encoding")
    if "gzip" not in request.headers.get("Accept-Encoding", ""):  # to read it properly takes longer
        return
    if request.accept_encodings["gzip"] > 0 and (compressed := gzipped(body, QUICK)):
        response.set_data(compressed)
        response.content_encoding = "gzip"


def _search(request: Request, client: str) -> Response:
    if not request.host:  # what werkzeug makes of a Host header that is none
        raise InvalidRequest("the Host header must name a host", field="Host")
    answer = _process.search(asked_of(request), client=client)
    now, policy = _process.clock.now(), _process.settings.policy
    if answer.hits is None and answer.pool is not None:
        pool = http_api.pool_json(answer.pool, now, policy)
        headers = {"Retry-After": "1", "Location": f"/pools/{answer.pool.pool_id}"}
        telemetry.note(outcome="fetching")
        keywords = list(answer.keywords)
        return _json({"status": "fetching", "keywords": keywords, "pool": pool}, 202, headers)
    telemetry.note(
        outcome="complete" if answer.complete else "partial", hits=len(answer.hits or ())
    )
    return _json(
        http_api.answer_json(
            answer,
            host_url=request.host_url,
            images_url=_process.settings.images_url(request.host_url),
            now=now,
            policy=policy,
        ),
        headers=_when_to_ask_again(answer),
    )


def _when_to_ask_again(answer: SearchAnswer) -> dict[str, str]:
    # A pool is followed while it fills; the catalog waits for its pools to be searched.
    is_behind = answer.pool is None and not answer.complete
    return {"Retry-After": str(CATALOG_SECONDS)} if is_behind else {}


def _pool(pool_id: str) -> Response:
    telemetry.note(pool_id=pool_id)
    with telemetry.stage("pool"):
        pool = _process.search.pool(pool_id)
        rejections = dict(_process.search.rejections(pool))
    body = http_api.pool_json(pool, _process.clock.now(), _process.settings.policy)
    telemetry.note(generation=body["generation"], outcome=body["state"])
    return _json({**body, "rejections": rejections})


def _is_image(path: str) -> bool:
    return _process.images is not None and path.startswith(IMAGES_PATH)


def _image(name: str, client: str) -> Response:
    """Return the stored image; whoever may call this may see it, as an <img> sends no key."""
    _count_file(client)
    if not is_object_name(name):
        raise NotFound(f"no image is stored as {name[:100]}")
    _process.search.spending.image()
    body = cast(ImageStore, _process.images).get(name)
    # As the bucket has it: what is shown without credentials, any page may draw; with IAP's, none.
    headers = {"Cache-Control": IMAGE_CACHE_CONTROL, "Access-Control-Allow-Origin": "*"}
    return Response(body, 200, headers, mimetype=media_type_of(name))


def _count_file(client: str) -> None:
    """Raise Overloaded for a client that loads too many images and files of the page."""
    limit = FILES_FOR_A_REQUEST * _process.settings.rate_limit_per_minute
    refusal = f"a client may load {limit} images and files of the page in a minute"
    clients.spend(_process.limiter, "file", client, limit, refusal)


def _client_of(request: Request) -> str:
    """Return who asks."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    proxies = _process.settings.trusted_proxies
    return clients.client_of(forwarded, request.remote_addr, proxies)


def _count_request(client: str) -> None:
    """Raise Overloaded for a client that asks too often."""
    limit = _process.settings.rate_limit_per_minute
    refusal = f"a client may make {limit} requests in a minute"
    clients.spend(_process.limiter, "rate", client, limit, refusal)
    telemetry.serve(clients.mark_of(client))


def _check_key(request: Request) -> None:
    """Raise Unauthorized where a key is asked for and the request has another one, or none."""
    key = _process.settings.search_api_key
    given = request.headers.get(KEY_HEADER, "").encode("latin-1")  # as WSGI has them
    # In constant time: how long it takes tells nothing of how much of a guess was right.
    if key and not hmac.compare_digest(given, key.get_secret_value().encode()):
        raise Unauthorized(f"{KEY_HEADER} must be the key of this server")


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # Answers change while a pool is fetched, and hold scores of one query: no cache keeps them.
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(json.dumps(body), status, headers, mimetype=_JSON)


def _error(error: ImageSearchError) -> Response:
    telemetry.note_error(error)
    return _refuse(answer_of(error))


def _refuse(answer: ErrorAnswer, headers: dict[str, str] | None = None) -> Response:
    return Response(answer.body, answer.status, {**answer.headers, **(headers or {})})


def _allow_origin(response: Response, origin: str | None, allowed: frozenset[str]) -> Response:
    response.headers.add("Vary", "Origin")
    if origin and ("*" in allowed or origin in allowed):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ANSWER_HEADERS
        response.headers["Timing-Allow-Origin"] = origin
    return response
