"""The push function: fetch jobs at `/`, forgetting at `/forget`, dead letters of both below them.

The HTTP status is the ack (`imagesearch/doors/push.py`); the work is in
`imagesearch/usecases/fetch.py` and `forget.py`.
"""

from __future__ import annotations

import threading

import functions_framework
from flask import Request, Response

from imagesearch.compose.fetch import compose
from imagesearch.compose.start import process_of
from imagesearch.deployment.topics import MAX_DELIVERY_ATTEMPTS
from imagesearch.domain.errors import NotFound, Overloaded
from imagesearch.domain.forgetting import Forgotten
from imagesearch.domain.work import FetchJob, ForgetJob
from imagesearch.doors import push, wsgi
from imagesearch.usecases.fetch import FetchReport
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import DeadLetter

JOBS_AT_ONCE = 4  # the other requests of an instance wait for their turn
WAITING = 8  # threads that wait for a body, of the 16 of `imagesearch/deployment/services.py`

_process = process_of(compose)
_turns = threading.BoundedSemaphore(JOBS_AT_ONCE)
_forgetting = threading.Lock()
wsgi.guard(most_bytes=push.MAX_BODY_BYTES, waiting=WAITING)


@functions_framework.http
def fetch(request: Request) -> Response:
    """Do the pushed job, or mark the pool of a dead letter failed."""
    if request.method != "POST":
        return Response(status=200 if request.path == "/alive" else 405)
    body = request.get_data()
    return Response(status=_DOORS.get(request.path, _fetch)(body))


def _fetch(body: bytes) -> int:
    patience = push.Patience()

    def do(job: FetchJob, envelope: PushEnvelope) -> FetchReport:
        if not _turns.acquire(timeout=patience.left_seconds):
            raise Overloaded(f"{JOBS_AT_ONCE} fetches are under way")
        try:
            return _process.fetch(job, last_attempt=push.is_final(envelope))
        finally:
            _turns.release()

    return push.handle(body, FetchJob, do, give_up=_process.give_up, patience=patience)


def _give_up(body: bytes) -> int:
    def do(letter: DeadLetter, _: PushEnvelope) -> None:
        reason = f"gave up after {MAX_DELIVERY_ATTEMPTS} attempts"
        _process.give_up(letter.pool_id, letter.generation, reason)

    return push.handle(body, DeadLetter, do)


def _forget(body: bytes) -> int:
    patience = push.Patience()

    def do(job: ForgetJob, _: PushEnvelope) -> Forgotten:
        # Two at once would do the same work twice.
        if not _forgetting.acquire(timeout=patience.left_seconds):
            raise Overloaded("something is being forgotten already")
        try:
            return _process.forget(job)
        finally:
            _forgetting.release()

    return push.handle(body, ForgetJob, do, patience=patience)


def _note_not_forgotten(body: bytes) -> int:
    """Have a line say so: what was to be forgotten is not, until somebody asks for it again."""

    def do(_: ForgetJob, __: PushEnvelope) -> None:
        reason = f"what was to be forgotten is not, after {MAX_DELIVERY_ATTEMPTS} attempts"
        raise NotFound(reason)

    return push.handle(body, ForgetJob, do)


_DOORS = {
    "/dead-letter": _give_up,
    "/forget": _forget,
    "/forget/dead-letter": _note_not_forgotten,
}
