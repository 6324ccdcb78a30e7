"""The push function: fetch jobs at `/`, dead letters at `/dead-letter`.

The HTTP status is the ack (`imagesearch/doors/push.py`); the work is in
`imagesearch/usecases/fetch.py`.
"""

from __future__ import annotations

import threading

import functions_framework
from flask import Request, Response

from imagesearch.compose.fetch import compose
from imagesearch.compose.start import process_of
from imagesearch.deployment.topics import MAX_DELIVERY_ATTEMPTS
from imagesearch.domain.errors import Overloaded
from imagesearch.domain.work import FetchJob
from imagesearch.doors import push, wsgi
from imagesearch.usecases.fetch import FetchReport
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import DeadLetter

JOBS_AT_ONCE = 4  # the other requests of an instance wait for their turn
WAITING = 8  # threads that wait for a body, of the 16 of `imagesearch/deployment/services.py`

_process = process_of(compose)
_turns = threading.BoundedSemaphore(JOBS_AT_ONCE)
wsgi.guard(most_bytes=push.MAX_BODY_BYTES, waiting=WAITING)


@functions_framework.http
def fetch(request: Request) -> Response:
    """Do the pushed fetch job, or mark the pool of a dead letter failed."""
    if request.method != "POST":
        return Response(status=200 if request.path == "/alive" else 405)
    body = request.get_data()
    return Response(status=_give_up(body) if request.path == "/dead-letter" else _fetch(body))


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
