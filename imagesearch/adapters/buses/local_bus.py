"""The bus of the one-machine edition: Pub/Sub's push delivery, retries and dead letters.

What a message says is in `domain/work.py`; who subscribes is decided in `local/stack.py`.
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
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from imagesearch import telemetry
from imagesearch.domain.errors import Bug, Overloaded, Unavailable
from imagesearch.domain.work import Message
from imagesearch.wire.messages import TOPIC_OF, attributes_of, encode

# Every other status is a nack. https://cloud.google.com/pubsub/docs/push#receive_push
ACK_STATUSES = frozenset({102, 200, 201, 202, 204})
MAX_WAITING = 10_000  # messages of a topic, unless it has a bound of its own

Endpoint: TypeAlias = Callable[[bytes], int]  # the body of a push request -> the HTTP status

_PROJECT = "local"
MAX_DEAD_LETTER_BYTES = 1_000_000  # some 2,000 letters
_CLIENT = "client"  # the attribute of whom a message is for
_FULL_SECONDS = 30.0  # after which a publisher may try a full topic again
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptLetter:
    """
    A dead letter as it is kept on disk, for people.

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


_DEAD_LETTER = TypeAdapter(KeptLetter)


@dataclass(frozen=True)
class _Published:
    """A message on its way."""

    topic: str
    message_id: str
    data: bytes
    attributes: dict[str, str]
    published_at: datetime
    attempts: int = 0  # deliveries that were nacked

    @property
    def client(self) -> str:
        """The mark of whom it is for; empty when nobody knows."""
        return self.attributes.get(_CLIENT, "")


class LocalBus:
    """
    The port `Publisher`: at-least-once delivery to endpoints of this process.

    Messages wait in memory: those of an ended process are lost, and the catalog knows what is
    unfinished. Those of different clients are delivered in turn, whoever has how many (decision
    0044); a message has its client from the work that published it. Dead letters are kept in the
    file *dead_letters*, one JSON object a line.

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

    def subscribe(
        self, topic: str, endpoint: Endpoint, *, workers: int = 1, max_waiting: int = MAX_WAITING
    ) -> None:
        """
        Have messages of *topic* delivered to *endpoint*, *workers* at a time.

        Args:
            max_waiting: so many wait at the most; those that rest before they are delivered again
                count, and are never refused.
        """
        if self._threads:
            raise Bug(f"subscribe to {topic!r} before the bus is started")
        if topic in self._subscriptions:
            raise Bug(f"topic {topic!r} has a subscriber already")
        queue = _Queue(topic, max_waiting)
        self._subscriptions[topic] = _Subscription(topic, endpoint, workers, queue)

    def subscribe_dead_letters(self, endpoint: Endpoint) -> None:
        """Have each dead letter, of any topic, delivered to *endpoint* once."""
        self._dead_letter_endpoint = endpoint

    def publish(self, message: Message) -> None:
        """
        Queue *message* for the subscriber of its topic.

        Raises:
            Bug: the topic has no subscriber.
            Overloaded: as many messages of the topic wait as may.
            Unavailable: the bus is stopped.
        """
        topic = TOPIC_OF[type(message)]
        subscription = self._subscriptions.get(topic)
        if subscription is None:
            raise Bug(f"topic {topic!r} has no subscriber")
        message_id = str(next(self._message_ids))
        data = encode(message)
        attributes = attributes_of(message, telemetry.trace_to_send())
        if client := telemetry.current_client():
            attributes[_CLIENT] = client
        published = _Published(topic, message_id, data, attributes, datetime.now(UTC))
        subscription.queue.put(published)

    def start(self) -> None:
        """Begin to deliver, what was published before included."""
        if self._threads:
            raise Bug("the bus is started already")
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(subscription,),
                name=f"bus-{subscription.topic}-{number}",
                daemon=True,
            )
            for subscription in self._subscriptions.values()
            for number in range(subscription.workers)
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

    def dead_letters(self) -> list[KeptLetter]:
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
                rest_seconds = self.backoff_seconds(published.attempts)
                subscription.queue.put_back(published, rest_seconds)

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
            KeptLetter(
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
    """
    Messages of *topic*, *most* of them: clients take turns, and each has its own in their order.

    A message that rests holds no other; it takes its client's last place when it is due.
    """

    def __init__(self, topic: str, most: int) -> None:
        self._topic = topic
        self._most = most
        self._turns: OrderedDict[str, deque[_Published]] = OrderedDict()  # none is empty
        self._resting: list[tuple[float, int, _Published]] = []  # a heap by the time they are due
        self._order = itertools.count()  # of those due at one time, and so _Published has none
        self._waiting = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, published: _Published) -> None:
        """Add a new message; Overloaded when as many wait as may, Unavailable when closed."""
        with self._changed:
            if self._is_closed:
                raise Unavailable("the bus is stopped")
            if self._waiting >= self._most:
                message = f"{self._waiting} messages of {self._topic} wait already"
                raise Overloaded(message, retry_after_seconds=_FULL_SECONDS)
            self._waiting += 1
            self._take_place(published)
            self._changed.notify()

    def put_back(self, published: _Published, rest_seconds: float) -> None:
        """Add a message that was nacked, to be delivered again after its rest."""
        with self._changed:
            due = time.monotonic() + rest_seconds
            heapq.heappush(self._resting, (due, next(self._order), published))
            self._waiting += 1
            self._changed.notify()

    def take(self) -> _Published | None:
        """Return the message whose turn it is, once there is one; None when the queue is closed."""
        with self._changed:
            while not self._is_closed:
                rest_seconds = self._end_rests()
                if self._turns:
                    return self._next()
                self._changed.wait(rest_seconds)
            return None

    def close(self) -> None:
        """Let every taker go; nobody gets what waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _take_place(self, published: _Published) -> None:
        self._turns.setdefault(published.client, deque()).append(published)

    def _end_rests(self) -> float | None:
        """Give what is due its place; return how long the next one rests, if one does."""
        while self._resting:
            rest_seconds = self._resting[0][0] - time.monotonic()
            if rest_seconds > 0:
                return rest_seconds
            self._take_place(heapq.heappop(self._resting)[2])
        return None

    def _next(self) -> _Published:
        client, own = self._turns.popitem(last=False)
        published = own.popleft()
        if own:
            self._turns[client] = own  # after the others
        self._waiting -= 1
        return published


@dataclass(frozen=True)
class _Subscription:
    topic: str
    endpoint: Endpoint
    workers: int
    queue: _Queue


class _DeadLetterFile:
    """
    A file of JSON lines; a line torn by a crash costs that line only.

    Of more than *MAX_DEAD_LETTER_BYTES* the newer half is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def append(self, letter: KeptLetter) -> None:
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

    def read(self) -> list[KeptLetter]:
        """Return the letters that can be read."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [letter for line in lines if (letter := _read_line(line)) is not None]


def _read_line(line: bytes) -> KeptLetter | None:
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
