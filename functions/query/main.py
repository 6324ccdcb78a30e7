"""The public HTTP function: parse, call the use case `search`, answer in JSON.

The parameters and bodies are in `imagesearch/doors/http_api.py`, the work in
`imagesearch/usecases/search.py`.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import functions_framework
from flask import Request, Response, current_app

from imagesearch import telemetry
from imagesearch.compose import bootstrap
from imagesearch.domain.errors import Bug, ImageSearchError, InvalidRequest, NotFound, Unavailable
from imagesearch.doors import http_api, wsgi
from imagesearch.usecases import clients

if TYPE_CHECKING:
    from imagesearch.usecases.search import SearchAnswer

MAX_BODY_BYTES = 65_536  # no request of this API has a body; a larger one is not read
WAITING = 16  # threads that wait for a body, of the 80 of `imagesearch/deployment/services.py`
METHODS = ("GET", "HEAD", "OPTIONS")
ALLOW = ", ".join(METHODS)
# What this reads of a request, and a page of an answer, that a browser keeps back unless told so.
REQUEST_HEADERS = "Content-Type, traceparent, X-Cloud-Trace-Context"
ANSWER_HEADERS = "Location, Retry-After, Server-Timing"
CATALOG_SECONDS = 30  # after which a search of everything may find what a new model lacked
KINDS = ("search", "pools", "alive", "ready")  # of units of work, by the beginning of the path
logger = logging.getLogger(__name__)
wsgi.guard(most_bytes=MAX_BODY_BYTES, waiting=WAITING)


@functions_framework.http
def query(request: Request) -> Response:
    """Answer `/search`, `/pools/{pool_id}`, `/alive` and `/ready`."""
    first = request.path.strip("/").partition("/")[0]
    kind = first if first in KINDS else "request"
    with telemetry.unit(kind, telemetry.trace_of(request.headers.get)) as unit:
        response = _guarded(request)
        unit.note(status=response.status_code)
        response.headers["Server-Timing"] = unit.server_timing()
    return response


def _guarded(request: Request) -> Response:
    try:
        services = current_app.extensions.get("imagesearch") or bootstrap.services()
    except ImageSearchError as error:  # a bad setting, which is nothing for the public
        logger.error("%s", error)
        return _error(Unavailable("this service is not set up; its log says why"))
    try:
        response = _answer(request, services)
    except Exception:  # the door: a bug is logged and answered in JSON
        logger.exception("%s %s: a bug", request.method, request.path)
        response = _error(Bug("something went wrong in here; it is logged"))
    return _allow_origin(response, request.headers.get("Origin"), services.settings.origins)


def _answer(request: Request, services: bootstrap.Services) -> Response:
    if request.method == "OPTIONS":
        headers = {
            "Access-Control-Allow-Methods": ALLOW,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": "3600",
        }
        return Response(status=204, headers={"Allow": ALLOW, **headers})
    if request.method not in METHODS:
        return _refuse(405, "method_not_allowed", f"{request.method} is none of {ALLOW}")
    try:
        return _route(request, services)
    except ImageSearchError as error:
        return _error(error)


def _route(request: Request, services: bootstrap.Services) -> Response:
    if request.path == "/alive":
        return _json({"status": "alive"})
    client = _count_request(request, services)
    if request.path == "/ready":
        services.check()
        return _json({"status": "ready"})
    if request.path == "/search":
        return _search(request, services, client)
    if request.path.startswith("/pools/"):
        return _pool(http_api.parse_pool_id(request.path.removeprefix("/pools/")), services)
    raise NotFound(f"there is no {request.path[:100]}; there are /search and /pools/{{pool_id}}")


def _search(request: Request, services: bootstrap.Services, client: str) -> Response:
    if not request.host:  # what werkzeug makes of a Host header that is none
        raise InvalidRequest("the Host header must name a host", field="Host")
    answer = services.search(http_api.parse_search(request.args), client=client)
    now, policy = services.clock.now(), services.settings.policy
    if answer.hits is None and answer.pool is not None:
        pool = http_api.pool_json(answer.pool, now, policy)
        headers = {"Retry-After": "1", "Location": f"/pools/{answer.pool.pool_id}"}
        telemetry.note(outcome="fetching")
        return _json({"status": "fetching", "pool": pool}, 202, headers)
    telemetry.note(
        outcome="complete" if answer.complete else "partial", hits=len(answer.hits or ())
    )
    return _json(
        http_api.answer_json(
            answer,
            host_url=request.host_url,
            images_url=services.settings.images_url(request.host_url),
            now=now,
            policy=policy,
        ),
        headers=_when_to_ask_again(answer),
    )


def _when_to_ask_again(answer: SearchAnswer) -> dict[str, str]:
    # A pool is followed while it fills; the catalog waits for its pools to be searched.
    is_behind = answer.pool is None and not answer.complete
    return {"Retry-After": str(CATALOG_SECONDS)} if is_behind else {}


def _pool(pool_id: str, services: bootstrap.Services) -> Response:
    telemetry.note(pool_id=pool_id)
    with telemetry.stage("pool"):
        pool = services.search.pool(pool_id)
        rejections = dict(services.search.rejections(pool))
    body = http_api.pool_json(pool, services.clock.now(), services.settings.policy)
    telemetry.note(generation=body["generation"], outcome=body["state"])
    return _json({**body, "rejections": rejections})


def _count_request(request: Request, services: bootstrap.Services) -> str:
    """Return who asks, or raise Overloaded for a client that asks too often."""
    settings = services.settings
    forwarded = request.headers.get("X-Forwarded-For", "")
    client = clients.client_of(forwarded, request.remote_addr, settings.trusted_proxies)
    limit = settings.rate_limit_per_minute
    refusal = f"a client may make {limit} requests in a minute"
    clients.spend(services.cache, "rate", client, limit, refusal)
    telemetry.serve(clients.mark_of(client))
    return client


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # Answers change while a pool is fetched, and hold scores of one query: no cache keeps them.
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(json.dumps(body), status, headers, mimetype="application/json")


def _error(error: ImageSearchError) -> Response:
    telemetry.note_error(error)
    return _json(http_api.error_json(error), error.status, http_api.retry_after(error))


def _refuse(status: int, code: str, message: str) -> Response:
    headers = {"Allow": ALLOW} if status == 405 else {}
    telemetry.note(outcome=code)
    return _json({"error": {"code": code, "message": message}}, status, headers)


def _allow_origin(response: Response, origin: str | None, allowed: frozenset[str]) -> Response:
    response.headers.add("Vary", "Origin")
    if origin and ("*" in allowed or origin in allowed):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ANSWER_HEADERS
        response.headers["Timing-Allow-Origin"] = origin
    return response
