"""What a push door answers (design §8): the HTTP status is the ack or the nack.

The doors are `functions/fetch/main.py` and `inference_service/app.py`.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, is_dataclass

from imagesearch import telemetry
from imagesearch.deployment.topics import PATIENCE_SECONDS
from imagesearch.domain.errors import (
    Bug,
    ImageSearchError,
    InvalidRequest,
    MalformedMessage,
    NotFound,
    Overloaded,
    RejectedImage,
    Unavailable,
)
from imagesearch.domain.work import PoolMessage
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import AnyMessage

ACK = 204
# Pub/Sub's 10 MB of data in base64, and its attributes: larger is refused unread.
# https://cloud.google.com/pubsub/quotas#resource_limits
MAX_BODY_BYTES = 15_000_000
# What fails, rather than meets overload, is given up at this delivery. Pub/Sub counts both as one,
# and to far more (`topics.py`).
FINAL_ATTEMPT = 5
_FAILURES = frozenset({Unavailable.status, Bug.status})
_LEAST_PAUSE_SECONDS = 0.1
_EXCERPT_BYTES = 200

logger = logging.getLogger(__name__)
_malformed = itertools.count(1)  # of this process; `next` is one step for all threads

Do = Callable[[AnyMessage, PushEnvelope], object]
GiveUp = Callable[[str, int, str], None]  # pool_id, generation, reason


class Patience:
    """
    What is left of the time that a push may wait for its turn; it begins when it is made.

    Args:
        seconds: how long it may wait in all.
    """

    def __init__(
        self,
        seconds: float = PATIENCE_SECONDS,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._ends_at = monotonic() + seconds
        self.sleep = sleep

    @property
    def left_seconds(self) -> float:
        """Seconds that it may wait still; 0.0 when they are over."""
        return max(0.0, self._ends_at - self._monotonic())


def is_final(envelope: PushEnvelope) -> bool:
    """True at the last delivery of what fails; Pub/Sub's emulator counts none."""
    return (envelope.deliveryAttempt or 1) >= FINAL_ATTEMPT


def handle(
    body: bytes,
    kind: type[AnyMessage],
    do: Do[AnyMessage],
    *,
    give_up: GiveUp | None = None,
    patience: Patience | None = None,
) -> int:
    """
    Decode the push *body* as a *kind*, *do* what it asks and return the status to answer.

    204 acks: done, or what no retry can help; any other status nacks.

    Args:
        give_up: marks a pool failed: called at the last delivery of what fails.
        patience: for how long what meets Overloaded is done again before that is a nack, which
            slows down all pushes of its subscription; by default not at all.
    """
    with telemetry.unit(kind.__name__) as unit:
        try:
            message, envelope = _decode(body, kind, unit)
        except MalformedMessage as error:
            _note_malformed(body, error, unit)
            return ACK
        except Unavailable as error:  # nothing gives it up: the version that reads it may come
            return _note_later(error, unit)
        status = _do(lambda: _patiently(do, message, envelope, patience), unit)
        is_over = status in _FAILURES and is_final(envelope)
        if give_up is not None and is_over and isinstance(message, PoolMessage):
            status = _end(message, give_up, status, unit)
        unit.note(status=status)
        return status


def _decode(
    body: bytes, kind: type[AnyMessage], unit: telemetry.Work
) -> tuple[AnyMessage, PushEnvelope]:
    envelope = PushEnvelope.parse(body)
    unit.follow(envelope.message.attributes.get("trace"))
    unit.client = envelope.message.attributes.get("client", "")
    unit.note(
        message_id=envelope.message.messageId or None, delivery_attempt=envelope.deliveryAttempt
    )
    message = envelope.decode(kind)
    if isinstance(message, PoolMessage):
        unit.note(pool_id=message.pool_id, generation=message.generation)
    return message, envelope


def _note_malformed(body: bytes, error: MalformedMessage, unit: telemetry.Work) -> None:
    unit.level = logging.ERROR
    unit.note(
        status=ACK,
        outcome="malformed",
        error=str(error),
        malformed=next(_malformed),
        excerpt=repr(body[:_EXCERPT_BYTES]),
    )


def _note_later(error: Unavailable, unit: telemetry.Work) -> int:
    unit.level = logging.WARNING
    unit.note(status=error.status, outcome=error.code, error=str(error))
    return error.status


def _patiently(
    do: Do[AnyMessage], message: AnyMessage, envelope: PushEnvelope, patience: Patience | None
) -> object:
    while True:
        try:
            return do(message, envelope)
        except Overloaded as error:
            pause_seconds = max(error.retry_after_seconds or 0.0, _LEAST_PAUSE_SECONDS)
            if patience is None or patience.left_seconds < pause_seconds:
                raise
        with telemetry.stage("overloaded"):
            patience.sleep(pause_seconds)


def _do(do: Callable[[], object], unit: telemetry.Work) -> int:
    try:
        report = do()
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


def _end(message: PoolMessage, give_up: GiveUp, status: int, unit: telemetry.Work) -> int:
    """Mark the pool failed, and return the status to answer: a nack where that failed, too."""
    try:
        reason = f"gave up after {FINAL_ATTEMPT} attempts"
        give_up(message.pool_id, message.generation, reason)
    except ImageSearchError as error:  # the catalog is down: its outage gives nothing up
        logger.warning("%s cannot be given up now: %s", unit.kind, error)
        return status
    unit.level = logging.ERROR
    unit.note(outcome="given up")
    return ACK
