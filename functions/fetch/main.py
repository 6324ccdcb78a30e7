"""The push function: fetch jobs at `/`, dead letters at `/dead-letter`.

The HTTP status is the ack (`imagesearch/push.py`); the work is in `imagesearch/fetch.py`.
"""

from __future__ import annotations

import logging

import functions_framework
from flask import Request, Response, current_app

from imagesearch import bootstrap, push
from imagesearch.errors import ImageSearchError
from imagesearch.fetch import FetchReport
from imagesearch.messages import FetchJob, Message, PushEnvelope
from imagesearch.topics import MAX_DELIVERY_ATTEMPTS

logger = logging.getLogger(__name__)


@functions_framework.http
def fetch(request: Request) -> Response:
    """Do the pushed fetch job, or mark the pool of a dead letter failed."""
    if request.method != "POST":
        return Response(status=200 if request.path == "/alive" else 405)
    try:
        services = current_app.extensions.get("imagesearch") or bootstrap.services()
    except ImageSearchError as error:
        logger.error("%s", error)
        return Response(str(error), error.status)
    if request.path == "/dead-letter":
        return Response(status=_give_up(request.get_data(), services))
    return Response(status=_fetch(request.get_data(), services))


def _fetch(body: bytes, services: bootstrap.Services) -> int:
    def work(job: FetchJob, envelope: PushEnvelope) -> FetchReport:
        return services.fetch(
            job, last_attempt=(envelope.deliveryAttempt or 1) >= MAX_DELIVERY_ATTEMPTS
        )

    return push.handle(body, FetchJob, work)


def _give_up(body: bytes, services: bootstrap.Services) -> int:
    def work(message: Message, _: PushEnvelope) -> None:
        reason = f"gave up after {MAX_DELIVERY_ATTEMPTS} attempts"
        services.fetch.give_up(message.pool_id, message.generation, reason)

    # Always acked: a dead letter that is nacked would only come back here.
    push.handle(body, Message, work)
    return push.ACK
