"""The bus of the one-machine edition: Pub/Sub's push delivery, retries and dead letters.

What a message says is in `messages.py`; who subscribes is decided in `local/stack.py`.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from imagesearch import work
from imagesearch.errors import Bug, Unavailable
from imagesearch.messages import Message

# Every other status is a nack. https://cloud.google.com/pubsub/docs/push#receive_push
ACK_STATUSES = frozenset({102, 200, 201, 202, 204})

Endpoint: TypeAlias = Callable[[bytes], int]  # the body of a push request -> the HTTP status

_PROJECT = "local"
MAX_DEAD_LETTER_BYTES = 1_000_000  # some 2,000 letters
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """
    A message that was given up.

    Attributes:
        data: the message itself, JSON.
        attempts: how many deliveries were nacked.
        last_status: the HTTP status of the last one; None when the endpoint raised.
        time: when it was given up, UTC.
    """

    topic: str
    message_id: str
    data: str
    attempts: int
    last_status: int | None
    time: datetime


_DEAD_LETTER = TypeAdapter(DeadLetter)


@dataclass(frozen=True)
class _Published:
    """A message on its way."""

    topic: str
    message_id: str
    data: bytes
    attributes: dict[str, str]
    published_at: datetime
    attempts: int = 0  # deliveries that were nacked


class LocalBus:
    """
    The port `Publisher`: at-least-once delivery to endpoints of this process.

    Messages wait in memory: those of an ended process are lost, and the catalog knows what is
    unfinished. Dead letters are kept in the file *dead_letters*, one JSON object a line.

    Args:
        min_backoff_seconds, max_backoff_seconds: a nacked message rests for the first, then
            twice as long each time, up to the second.
        max_delivery_attempts: a message nacked so often is a dead letter: over an hour of rests,
            as Pub/Sub's are (`topics.py`).
    """

    def __init__(
        self,
        dead_letters: Path,
        *,
        min_backoff_seconds: float = 1.0,
        max_backoff_seconds: float = 120.0,
        max_delivery_attempts: int = 40,
    ) -> None:
        self.max_delivery_attempts = max_delivery_attempts
        self._dead_letters = _DeadLetterFile(dead_letters)
        self._min_backoff_seconds = min_backoff_seconds
        self._max_backoff_seconds = max_backoff_seconds
        self._subscriptions: dict[str, _Subscription] = {}
        self._dead_letter_endpoint: Endpoint | None = None
        self._threads: list[threading.Thread] = []
        self._message_ids = itertools.count(time.time_ns())  # digits, as Pub/Sub's; no id twice

    def subscribe(self, topic: str, endpoint: Endpoint, *, workers: int = 1) -> None:
        """Have messages of *topic* delivered to *endpoint*, *workers* at a time."""
        if self._threads:
            raise Bug(f"subscribe to {topic!r} before the bus is started")
        if topic in self._subscriptions:
            raise Bug(f"topic {topic!r} has a subscriber already")
        self._subscriptions[topic] = _Subscription(topic, endpoint, workers)

    def subscribe_dead_letters(self, endpoint: Endpoint) -> None:
        """Have each dead letter, of any topic, delivered to *endpoint* once."""
        self._dead_letter_endpoint = endpoint

    def publish(self, message: Message) -> None:
        """
        Queue *message* for the subscriber of its topic.

        Raises:
            Bug: the topic has no subscriber.
            Unavailable: the bus is stopped.
        """
        subscription = self._subscriptions.get(message.topic)
        if subscription is None:
            raise Bug(f"topic {message.topic!r} has no subscriber")
        message_id = str(next(self._message_ids))
        data = message.model_dump_json().encode()
        attributes = message.attributes(work.trace_to_send())
        published = _Published(message.topic, message_id, data, attributes, datetime.now(UTC))
        if not subscription.queue.put(published):
            raise Unavailable("the bus is stopped")

    def start(self) -> None:
        """Begin to deliver, what was published before included."""
        if self._threads:
            raise Bug("the bus is started already")
        self._threads = [
            threading.Thread(
                target=self._work, args=(one,), name=f"bus-{one.topic}-{number}", daemon=True
            )
            for one in self._subscriptions.values()
            for number in range(one.workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Finish the deliveries in hand, waiting *timeout_seconds* at most; drop the others."""
        for subscription in self._subscriptions.values():
            subscription.queue.close()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _logger.warning("%s is still at work after %s s", thread.name, timeout_seconds)

    def dead_letters(self) -> list[DeadLetter]:
        """Return all dead letters, those of earlier processes included, oldest first."""
        return self._dead_letters.read()

    def _work(self, subscription: _Subscription) -> None:
        while (published := subscription.queue.take()) is not None:
            published = replace(published, attempts=published.attempts + 1)
            status = _deliver(subscription.endpoint, _envelope(published))
            if status in ACK_STATUSES:
                continue
            if published.attempts >= self.max_delivery_attempts:
                self._give_up(published, status)
            else:
                subscription.queue.put(published, self.backoff_seconds(published.attempts))

    def backoff_seconds(self, attempts: int) -> float:
        """Return how long a message rests that was nacked so often."""
        # The exponent is bounded, as a float's is.
        doubled = self._min_backoff_seconds * 2.0 ** min(attempts - 1, 60)
        return min(self._max_backoff_seconds, doubled)

    def _give_up(self, published: _Published, status: int | None) -> None:
        _logger.error(
            "dead letter: %s %s after %d attempts, last status %s",
            published.topic,
            published.message_id,
            published.attempts,
            status,
        )
        self._dead_letters.append(
            DeadLetter(
                published.topic,
                published.message_id,
                published.data.decode(),
                published.attempts,
                status,
                datetime.now(UTC),
            )
        )
        if self._dead_letter_endpoint is not None:
            _deliver(self._dead_letter_endpoint, _dead_letter_envelope(published))


class _Queue:
    """Messages by the time they are due; a message that rests holds no other."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Published]] = []
        self._order = itertools.count()  # of those due at one time, and so _Published has none
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, published: _Published, delay_seconds: float = 0.0) -> bool:
        """Add *published*; False when the queue is closed."""
        with self._changed:
            if self._is_closed:
                return False
            due = time.monotonic() + delay_seconds
            heapq.heappush(self._heap, (due, next(self._order), published))
            self._changed.notify()
            return True

    def take(self) -> _Published | None:
        """Return the next message once it is due; None when the queue is closed."""
        with self._changed:
            while not self._is_closed:
                left_seconds = self._heap[0][0] - time.monotonic() if self._heap else None
                if left_seconds is not None and left_seconds <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(left_seconds)
            return None

    def close(self) -> None:
        """Let every taker go; nobody gets what waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


@dataclass(frozen=True)
class _Subscription:
    topic: str
    endpoint: Endpoint
    workers: int
    queue: _Queue = field(default_factory=_Queue)


class _DeadLetterFile:
    """
    A file of JSON lines; a line torn by a crash costs that line only.

    Of more than *MAX_DEAD_LETTER_BYTES* the newer half is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def append(self, letter: DeadLetter) -> None:
        """Add *letter* durably; a disk that fails is logged, as the letter is in the log too."""
        line = _DEAD_LETTER.dump_json(letter) + b"\n"
        try:
            with self._lock:
                self._write(line)
        except OSError:
            _logger.exception("dead letter %s could not be kept", letter.message_id)

    def _write(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._shorten()
        with self._path.open("a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _shorten(self) -> None:
        if not self._path.exists() or self._path.stat().st_size <= MAX_DEAD_LETTER_BYTES:
            return
        newer = self._path.read_bytes()[-MAX_DEAD_LETTER_BYTES // 2 :]
        shorter = self._path.with_suffix(".tmp")
        shorter.write_bytes(newer.partition(b"\n")[2])
        os.replace(shorter, self._path)

    def read(self) -> list[DeadLetter]:
        """Return the letters that can be read."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [letter for line in lines if (letter := _read_line(line)) is not None]


def _read_line(line: bytes) -> DeadLetter | None:
    try:
        return _DEAD_LETTER.validate_json(line)
    except ValidationError:
        _logger.warning("a line of the dead letters cannot be read: %r", line[:80])
        return None


def _deliver(endpoint: Endpoint, body: bytes) -> int | None:
    """Return the status of *endpoint*, or None when it raised."""
    try:
        return endpoint(body)
    except Exception:  # a door: whatever an endpoint raises is a nack
        _logger.exception("an endpoint of the bus raised")
        return None


def _envelope(published: _Published) -> bytes:
    """Source: https://cloud.google.com/pubsub/docs/push#receive_push."""
    return json.dumps(
        {
            "message": _message(published, published.attributes),
            "subscription": f"projects/{_PROJECT}/subscriptions/{published.topic}",
            "deliveryAttempt": published.attempts,
        }
    ).encode()


def _dead_letter_envelope(published: _Published) -> bytes:
    """Source: https://cloud.google.com/pubsub/docs/handling-failures#track-delivery-attempts."""
    attributes = {
        **published.attributes,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(published.attempts),
        "CloudPubSubDeadLetterSourceSubscription": published.topic,
        "CloudPubSubDeadLetterSourceSubscriptionProject": _PROJECT,
        "CloudPubSubDeadLetterSourceTopicPublishTime": _rfc3339(published.published_at),
    }
    return json.dumps(
        {
            "message": _message(published, attributes),
            "subscription": f"projects/{_PROJECT}/subscriptions/{published.topic}-dead-letter",
        }
    ).encode()


def _message(published: _Published, attributes: dict[str, str]) -> dict[str, object]:
    """The two spellings of two names are both what Pub/Sub sends."""
    publish_time = _rfc3339(published.published_at)
    return {
        "attributes": attributes,
        "data": base64.b64encode(published.data).decode(),
        "messageId": published.message_id,
        "message_id": published.message_id,
        "publishTime": publish_time,
        "publish_time": publish_time,
    }


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
