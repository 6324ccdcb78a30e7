"""The inference service's HTTP doors (design §7): `/score`, `/events/embed`, and three for probes.

Each request is a unit of work with a line in the log, but for a push, whose message has its own.
Scoring is `imagesearch/usecases/score.py`, embedding `imagesearch/usecases/embed.py`, the model
`encoder.py`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagesearch import telemetry
from imagesearch.compose import inference
from imagesearch.compose.inference import InferenceProcess
from imagesearch.compose.start import start
from imagesearch.deployment.topics import PATIENCE_SECONDS
from imagesearch.domain.errors import Bug, ImageSearchError, Overloaded, Unavailable
from imagesearch.domain.queries import MAX_TEXT_BYTES
from imagesearch.domain.work import EmbedBatch
from imagesearch.doors import push
from imagesearch.doors.asgi import AlwaysAnswered, BoundedBodies
from imagesearch.doors.bodies import Bound, InHand
from imagesearch.doors.errors import BUG_MESSAGE, ErrorAnswer, answer_of, refusal
from imagesearch.ports import ScoreReply
from imagesearch.settings import Settings
from imagesearch.usecases.embed import EmbedReport
from imagesearch.wire import scoring
from imagesearch.wire.envelope import PushEnvelope
from inference_service.callers import Caller, unless_gone, working_for

EMBED_PATH = "/events/embed"
MAX_SCORES = 128  # at a time: on two cores a second of new queries
MAX_PUSHES = (
    128  # in hand: of the 160 requests that Cloud Run sends, the others are left for scores
)
PUSHES_AT_WORK = 8  # their images wait for the model, as many as it can do in its time limit
SCORE_PATH = "/score"
IN_HAND_BYTES = 300_000_000  # of questions with pictures
_REPLY = TypeAdapter(ScoreReply)
_Answer = Callable[[Request, Exception], Response]
_Endpoint = Callable[[Request], Awaitable[Response]]
logger = logging.getLogger(__name__)


def create() -> Starlette:
    """
    Return the app of a process of its own: `uvicorn --factory inference_service.app:create`.

    Raises:
        SystemExit: a bad setting, or the model cannot be loaded; the log says which.
    """
    process = start(_compose)

    @asynccontextmanager
    async def closing(_: Starlette) -> AsyncIterator[None]:
        yield
        process.catalog.close()
        process.encoder.close()

    app = create_app(process)
    app.router.lifespan_context = closing
    return app


def _compose(settings: Settings) -> InferenceProcess:
    from inference_service.encoder import ModelEncoder  # here: a mounted app brings its own

    return inference.compose(settings, ModelEncoder.load)


def create_app(process: InferenceProcess) -> Starlette:
    """Return the ASGI app over *process*, of which a door asks only what it needs."""
    return Starlette(
        routes=[
            Route(SCORE_PATH, _scores(process), methods=["POST"]),
            Route(EMBED_PATH, _pushes(process), methods=["POST"]),
            *_probes(process),
        ],
        middleware=_middleware(),
        exception_handlers={kind: _on_the_loop(answer) for kind, answer in _ANSWERS.items()},
    )


def _scores(process: InferenceProcess) -> _Endpoint:
    """Return the door of scores, which run in the thread pool: no more wait than have a place."""
    places = _Places("scores", MAX_SCORES)

    async def score(request: Request) -> Response:
        body = await request.body()
        with places.one():
            reply = await run_in_threadpool(scored, body)
        return Response(reply, media_type="application/json")

    def scored(body: bytes) -> bytes:  # on a thread, as the loop would stand still for a picture
        asked = scoring.decode(body)
        telemetry.note(pool_id=asked.pool_id, generation=asked.generation)
        reply = process.scorer.score(asked)
        telemetry.note(hits=len(reply.hits))
        return _REPLY.dump_json(reply)

    return score


def _pushes(process: InferenceProcess) -> _Endpoint:
    """Return the door of batches, on threads of their own, lest a score wait for theirs."""
    places = _Places("batches", MAX_PUSHES)
    at_work = ThreadPoolExecutor(PUSHES_AT_WORK, thread_name_prefix="push")

    async def embed(request: Request) -> Response:
        body = await request.body()
        patience = push.Patience(PATIENCE_SECONDS)

        def handle() -> int:
            return push.handle(body, EmbedBatch, do, give_up=process.give_up, patience=patience)

        try:
            with places.one():
                status = await _in_turn(at_work, handle, patience)
        except Overloaded as error:
            status = await run_in_threadpool(push.handle, body, EmbedBatch, _refusing(error))
        return Response(status_code=status)

    def do(batch: EmbedBatch, _: PushEnvelope) -> EmbedReport:
        if process.embed is None:
            raise Unavailable("this service embeds nothing: it has no IMAGES_BUCKET")
        return process.embed(batch)

    return embed


def _probes(process: InferenceProcess) -> list[Route]:
    async def alive(_: Request) -> Response:  # on no thread, lest it wait for one
        return JSONResponse({"status": "alive"})

    def started(_: Request) -> Response:  # what is elsewhere must keep nothing from starting
        process.encoder.check()
        revision = process.encoder.model_revision
        return JSONResponse({"status": "started", "model_revision": revision})

    def ready(_: Request) -> Response:
        process.encoder.check()
        process.catalog.check()
        return JSONResponse({"status": "ready"})

    return [Route("/alive", alive), Route("/started", started), Route("/ready", ready)]


def _middleware() -> list[Middleware]:
    larger = {
        ("POST", EMBED_PATH): Bound(push.MAX_BODY_BYTES),
        ("POST", SCORE_PATH): Bound(scoring.MAX_BYTES, in_hand=InHand(IN_HAND_BYTES)),
    }
    return [
        Middleware(AlwaysAnswered),
        Middleware(BoundedBodies, most_bytes=MAX_TEXT_BYTES, larger=larger),
        Middleware(_Watch),
        Middleware(_Door),
    ]


async def _in_turn(threads: Executor, handle: Callable[[], int], patience: push.Patience) -> int:
    """
    Return what *handle* does on one of *threads* when its turn comes; until then it holds none.

    Raises:
        Overloaded: the patience is over, or the client gone, before its turn has come.
    """
    turn = threads.submit(copy_context().run, handle)
    answer = asyncio.wrap_future(turn)
    try:
        with unless_gone(turn.cancel):
            await asyncio.wait([answer], timeout=patience.left_seconds)
        if turn.cancel():
            raise Overloaded(f"{PUSHES_AT_WORK} batches are at work")
        return await answer
    finally:
        turn.cancel()  # the service ends


def _refusing(error: Overloaded) -> push.Do[EmbedBatch]:
    def refuse(_: EmbedBatch, __: PushEnvelope) -> object:
        raise error

    return refuse


class _Places:
    """So many at a time and no more; whoever comes then is told so at once."""

    def __init__(self, what: str, number: int) -> None:
        self._full = f"{number} {what} are under way"
        self._free = threading.Semaphore(number)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for the block, or raise Overloaded."""
        if not self._free.acquire(blocking=False):
            raise Overloaded(self._full, retry_after_seconds=1.0)
        try:
            yield
        finally:
            self._free.release()


class _Watch:
    """Tells the work for a request when its client hangs up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = Caller()
        watching: list[asyncio.Task[None]] = []

        async def receive_and_watch() -> Message:
            message = await receive()
            if not watching and not message.get("more_body"):  # what comes next is the hanging up
                watching.append(asyncio.create_task(_wait_for_end(receive, caller)))
            return message

        with working_for(caller):
            try:
                await self._app(scope, receive_and_watch, send)
            finally:
                for task in watching:
                    task.cancel()


async def _wait_for_end(receive: Receive, caller: Caller) -> None:
    if (await receive())["type"] == "http.disconnect":
        caller.go()


class _Door:
    """Makes a unit of work of each request but a push, and answers for what nothing else caught."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == EMBED_PATH:
            await self._app(scope, receive, send)
            return
        header = Headers(scope=scope).get
        kind = _kind(scope["path"])
        with telemetry.unit(kind, telemetry.trace_of(header), telemetry.parent_of(header)) as unit:

            async def send_timed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    unit.note(status=message["status"])
                    MutableHeaders(scope=message)["Server-Timing"] = unit.server_timing()
                await send(message)

            try:
                await self._app(scope, receive, send_timed)
            except Exception as error:  # noqa: BLE001 - the door: a bug is logged and answered in JSON
                answer = _answer_bug(Request(scope), error)
                await answer(scope, receive, send_timed)


def _kind(path: str) -> str:
    name = path.removeprefix("/")
    return name if name in ("score", "alive", "started", "ready") else "request"


def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ImageSearchError)  # noqa: S101 - how Starlette types a handler
    telemetry.note_error(error)
    return _response(answer_of(error))


def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    answer = refusal(error.status_code, str(error.detail))
    telemetry.note(outcome=answer.code)
    return _response(answer, error.headers)


def _response(answer: ErrorAnswer, headers: Mapping[str, str] | None = None) -> Response:
    return Response(answer.body, answer.status, {**answer.headers, **(headers or {})})


_ANSWERS: dict[type[Exception], _Answer] = {
    ImageSearchError: _answer_error,
    HTTPException: _answer_http_error,
}


def _on_the_loop(answer: _Answer) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Make a coroutine of *answer*: a plain function would wait for a thread to refuse work."""

    async def answered(request: Request, error: Exception) -> Response:
        return answer(request, error)

    return answered


def _answer_bug(request: Request, error: Exception) -> Response:
    logger.error("%s: a bug", request.url.path, exc_info=error)
    return _answer_error(request, Bug(BUG_MESSAGE))
