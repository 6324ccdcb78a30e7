"""What a push door answers (design §8): the HTTP status is the ack or the nack.

The doors are `functions/fetch/main.py` and `inference_service/app.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from imagesearch.errors import ImageSearchError, InvalidRequest, NotFound, RejectedImage
from imagesearch.messages import Message, PushEnvelope

ACK = 204
logger = logging.getLogger(__name__)

AnyMessage = TypeVar("AnyMessage", bound=Message)


def handle(
    body: bytes, kind: type[AnyMessage], work: Callable[[AnyMessage, PushEnvelope], object]
) -> int:
    """
    Decode the push *body* as a *kind*, do the *work* and return the status to answer.

    204 acks: done, or an error that no retry can help; any other status nacks.
    """
    started = time.perf_counter()
    try:
        envelope = PushEnvelope.parse(body)
        message = envelope.decode(kind)
    except InvalidRequest as error:
        logger.error("%s malformed, acked: %s", kind.__name__, error)
        return ACK
    status, outcome = _outcome(message, envelope, work)
    logger.log(
        logging.INFO if status == ACK else logging.WARNING,
        "%s pool_id=%s generation=%d message_id=%s attempt=%s status=%d seconds=%.3f %s",
        kind.__name__,
        message.pool_id,
        message.generation,
        envelope.message.messageId,
        envelope.deliveryAttempt,
        status,
        time.perf_counter() - started,
        outcome,
    )
    return status


def _outcome(
    message: AnyMessage, envelope: PushEnvelope, work: Callable[[AnyMessage, PushEnvelope], object]
) -> tuple[int, object]:
    try:
        return ACK, work(message, envelope)
    except (InvalidRequest, NotFound, RejectedImage) as error:
        return ACK, f"acked: {error}"
    except ImageSearchError as error:
        return error.status, f"nacked: {error}"
    except Exception:  # a door: whatever went wrong is logged and nacked
        logger.exception("%s nacked: a bug", type(message).__name__)
        return 500, "nacked: a bug"
