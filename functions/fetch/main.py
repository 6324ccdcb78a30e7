"""The push function: fetch jobs at `/`, dead letters at `/dead-letter`.

The HTTP status is the ack (`imagesearch/doors/push.py`); the work is in
`imagesearch/usecases/fetch.py`.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import functions_framework
from flask import Request, Response, current_app

from imagesearch.compose import bootstrap
from imagesearch.deployment.topics import MAX_DELIVERY_ATTEMPTS
from imagesearch.domain.errors import ImageSearchError, Overloaded
from imagesearch.doors import push, wsgi
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import DeadLetter, FetchJob

if TYPE_CHECKING:
    from imagesearch.usecases.fetch import FetchReport

JOBS_AT_ONCE = 4  # the other requests of an instance wait for their turn
WAITING = 8  # threads that wait for a body, of the 16 of `imagesearch/deployment/services.py`

logger = logging.getLogger(__name__)
_turns = threading.BoundedSemaphore(JOBS_AT_ONCE)
wsgi.guard(most_bytes=push.MAX_BODY_BYTES, waiting=WAITING)


@functions_framework.http
def fetch(request: Request) -> Response:
    """Do the pushed fetch job, or mark the pool of a dead letter failed."""
    if request.method != "POST":
        return Response(status=200 if request.path == "/alive" else 405)
    try:
        services = current_app.extensions.get("imagesearch") or bootstrap.services()
    except ImageSearchError as error:  # nacked, whatever it is: it is there when this is mended
        logger.error("%s", error)
        return Response(status=error.status)
    body = request.get_data()
    if request.path == "/dead-letter":
        return Response(status=_give_up(body, services))
    return Response(status=_fetch(body, services))


def _fetch(body: bytes, services: bootstrap.Services) -> int:
    patience = push.Patience()

    def do(job: FetchJob, envelope: PushEnvelope) -> FetchReport:
        if not _turns.acquire(timeout=patience.left_seconds):
            raise Overloaded(f"{JOBS_AT_ONCE} fetches are under way")
        try:
            return services.fetch(job, last_attempt=push.is_final(envelope))
        finally:
            _turns.release()

    def give_up(pool_id: str, generation: int, reason: str) -> None:
        services.give_up(pool_id, generation, reason)

    return push.handle(body, FetchJob, do, give_up=give_up, patience=patience)


def _give_up(body: bytes, services: bootstrap.Services) -> int:
    def do(letter: DeadLetter, _: PushEnvelope) -> None:
        reason = f"gave up after {MAX_DELIVERY_ATTEMPTS} attempts"
        services.give_up(letter.pool_id, letter.generation, reason)

    return push.handle(body, DeadLetter, do)
