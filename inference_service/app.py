"""The inference service's HTTP doors (design §7): `/score`, `/events/embed`, `/alive`, `/ready`.

Scoring is `imagesearch/score.py`, embedding `imagesearch/embed.py`, the model `clip.py`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from imagesearch import bootstrap, http_api, push
from imagesearch.bootstrap import CloudServices, Services
from imagesearch.embed import EmbedReport
from imagesearch.errors import Bug, ImageSearchError, InvalidRequest
from imagesearch.messages import EmbedBatch, PushEnvelope, ScoreRequest

logger = logging.getLogger(__name__)


def create() -> FastAPI:
    """
    Return the app of a process of its own: `uvicorn --factory inference_service.app:create`.

    Raises:
        Unavailable: a bad setting, or the model cannot be loaded.
    """
    from inference_service.clip import ClipEncoder  # here: a mounted app brings its own encoder

    settings = bootstrap.cloud_settings()
    encoder = ClipEncoder.load(settings.model)
    services = CloudServices(settings, encoder=encoder)

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()
        encoder.close()

    app = create_app(services)
    app.router.lifespan_context = closing
    return app


def create_app(services: Services) -> FastAPI:
    """Return the ASGI app over *services*, whose encoder is loaded."""
    app = FastAPI(title="imagesearch inference service", docs_url=None, redoc_url=None)
    app.add_exception_handler(Exception, _answer_bug)
    app.add_exception_handler(ImageSearchError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http_error)

    # Plain functions, not coroutines: the work is blocking and runs in the thread pool.
    @app.post("/score")
    def score(request: ScoreRequest) -> dict[str, Any]:
        return asdict(services.score.score(request))

    @app.post("/events/embed")
    async def embed(request: Request) -> Response:
        body = await request.body()
        return Response(status_code=await run_in_threadpool(push.handle, body, EmbedBatch, work))

    def work(batch: EmbedBatch, _: PushEnvelope) -> EmbedReport:
        return services.embed(batch)

    @app.get("/alive")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    def ready() -> dict[str, str]:
        services.encoder.check()
        services.catalog.check()
        return {"status": "ready"}

    return app


def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ImageSearchError)  # noqa: S101 - how Starlette types a handler
    return JSONResponse(http_api.error_json(error), error.status, http_api.retry_after(error))


def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _answer_error(request, InvalidRequest(f"the body is not JSON: {first['msg']}"))
    field = str(first["loc"][-1])
    shown = str(first.get("input"))[:64]
    message = f"{field}: {first['msg']}, got {shown}"
    return _answer_error(request, InvalidRequest(message, field=field))


def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    code = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}.get(
        error.status_code, "http_error"
    )
    body = {"error": {"code": code, "message": str(error.detail)}}
    return JSONResponse(body, error.status_code, dict(error.headers or {}))


def _answer_bug(request: Request, error: Exception) -> Response:
    logger.error("%s: a bug", request.url.path, exc_info=error)
    return _answer_error(request, Bug("something went wrong in here; it is logged"))
