"""What a push door answers (design §8): the HTTP status is the ack or the nack.

The doors are `functions/fetch/main.py` and `inference_service/app.py`.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import TypeVar

from imagesearch import work
from imagesearch.errors import (
    Bug,
    ImageSearchError,
    InvalidRequest,
    MalformedMessage,
    NotFound,
    RejectedImage,
)
from imagesearch.messages import Message, PushEnvelope

ACK = 204
# Pub/Sub's 10 MB of data in base64, and its attributes. A door reads one byte more at most.
# https://cloud.google.com/pubsub/quotas#resource_limits
MAX_BODY_BYTES = 15_000_000
_EXCERPT_BYTES = 200

logger = logging.getLogger(__name__)
_malformed = itertools.count(1)  # of this process; `next` is one step for all threads

AnyMessage = TypeVar("AnyMessage", bound=Message)
Do = Callable[[AnyMessage, PushEnvelope], object]


def handle(body: bytes, kind: type[AnyMessage], do: Do[AnyMessage]) -> int:
    """
    Decode the push *body* as a *kind*, *do* what it asks and return the status to answer.

    204 acks: done, or an error that no retry can help; any other status nacks.
    """
    with work.unit(kind.__name__) as unit:
        try:
            message, envelope = _decode(body, kind, unit)
        except MalformedMessage as error:
            _note_malformed(body, error, unit)
            return ACK
        status = _do(message, envelope, do, unit)
        unit.note(status=status)
        return status


def _decode(
    body: bytes, kind: type[AnyMessage], unit: work.Work
) -> tuple[AnyMessage, PushEnvelope]:
    if len(body) > MAX_BODY_BYTES:
        raise MalformedMessage(f"the body must have at most {MAX_BODY_BYTES} bytes, got more")
    envelope = PushEnvelope.parse(body)
    unit.follow(envelope.message.attributes.get("trace"))
    unit.note(
        message_id=envelope.message.messageId or None, delivery_attempt=envelope.deliveryAttempt
    )
    message = envelope.decode(kind)
    unit.note(pool_id=message.pool_id, generation=message.generation)
    return message, envelope


def _note_malformed(body: bytes, error: MalformedMessage, unit: work.Work) -> None:
    unit.level = logging.ERROR
    unit.note(
        status=ACK,
        outcome="malformed",
        error=str(error),
        malformed=next(_malformed),
        excerpt=repr(body[:_EXCERPT_BYTES]),
    )


def _do(message: AnyMessage, envelope: PushEnvelope, do: Do[AnyMessage], unit: work.Work) -> int:
    try:
        report = do(message, envelope)
    except (InvalidRequest, NotFound, RejectedImage) as error:
        unit.level = logging.WARNING
        unit.note(outcome=error.code, error=str(error))
        return ACK
    except ImageSearchError as error:
        unit.level = logging.ERROR if isinstance(error, Bug) else logging.WARNING
        unit.note(outcome=error.code, error=str(error))
        return error.status
    except Exception:  # a door: whatever went wrong is logged and nacked
        logger.exception("%s: a bug", unit.kind)
        unit.note(outcome=Bug.code)
        return Bug.status
    if is_dataclass(report) and not isinstance(report, type):
        unit.note(**asdict(report))
    return ACK
