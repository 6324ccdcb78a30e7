"""The push function: fetch jobs at `/`, dead letters at `/dead-letter`.

The HTTP status is the ack (`imagesearch/push.py`); the work is in `imagesearch/fetch.py`.
"""

from __future__ import annotations

import functions_framework
from flask import Request, Response, current_app

from imagesearch import bootstrap, push
from imagesearch.fetch import FetchReport
from imagesearch.messages import DeadLetter, FetchJob, PushEnvelope
from imagesearch.topics import MAX_DELIVERY_ATTEMPTS


@functions_framework.http
def fetch(request: Request) -> Response:
    """Do the pushed fetch job, or mark the pool of a dead letter failed."""
    if request.method != "POST":
        return Response(status=200 if request.path == "/alive" else 405)
    body = request.stream.read(push.MAX_BODY_BYTES + 1)
    if request.path == "/dead-letter":
        # Always acked: a dead letter that is nacked would only come back here.
        return Response(status=push.handle(body, DeadLetter, _give_up, nacks=False))
    return Response(status=push.handle(body, FetchJob, _fetch))


def _fetch(job: FetchJob, envelope: PushEnvelope) -> FetchReport:
    last_attempt = (envelope.deliveryAttempt or 1) >= MAX_DELIVERY_ATTEMPTS
    return _services().fetch(job, last_attempt=last_attempt)


def _give_up(letter: DeadLetter, _: PushEnvelope) -> None:
    reason = f"gave up after {MAX_DELIVERY_ATTEMPTS} attempts"
    _services().fetch.give_up(letter.pool_id, letter.generation, reason)


def _services() -> bootstrap.Services:
    mounted: bootstrap.Services | None = current_app.extensions.get("imagesearch")
    return mounted or bootstrap.services()
