"""The one table of Pub/Sub topics and subscriptions.

What a message says is in `domain/work.py`; `adapters/buses/pubsub.py` sets the emulator up from
this table, as far as the emulator can, and `tests/unit/test_terraform.py` holds
`terraform/topics.tf` to it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from imagesearch.domain.work import CollectJob, EmbedBatch, FetchJob, ForgetJob
from imagesearch.wire.messages import TOPIC_OF

# Cloud Storage's own notifications: their form is in `wire/bucket_events.py`.
BUCKET_EVENTS = "bucket-events"

FETCH_SERVICE = "fetch"  # functions/fetch
INFERENCE_SERVICE = "inference"  # inference_service
# Whatever is nacked, and be it at once, comes again for an hour before it is a dead letter, as
# overload passes. What fails is given up earlier, see `push.py`.
MAX_DELIVERY_ATTEMPTS = 15
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 5.0, 600.0
ACK_DEADLINE_SECONDS = 600  # Pub/Sub's most
# How long a push waits for its turn before it is nacked; the rest of its deadline is for the work.
PATIENCE_SECONDS = 420.0


@dataclass(frozen=True)
class PushSubscription:
    """
    A subscription that posts each message of *topic* to a door of *service*.

    The token of a push is for the service's URL without a path, which is what Cloud Run checks:
    https://cloud.google.com/run/docs/authenticating/service-to-service

    Attributes:
        service: whose URL is posted to, and is the audience of the token.
        path: of the door.
        ack_deadline_seconds: time limit of a push request, 10 to 600; past it is a nack.
        min_backoff_seconds, max_backoff_seconds: rest of a nacked message, 0 to 600, at first
            and at most.
        dead_letter_topic: where a message goes after *max_delivery_attempts*, 5 to 100; without
            one it is delivered until it is acked.
    """

    name: str
    topic: str
    service: str
    path: str
    ack_deadline_seconds: int
    min_backoff_seconds: float
    max_backoff_seconds: float
    dead_letter_topic: str | None = None
    max_delivery_attempts: int = MAX_DELIVERY_ATTEMPTS

    def endpoint(self, service_url: str) -> str:
        """Return the URL that messages are posted to, of the service at *service_url*."""
        return service_url.rstrip("/") + self.path


@dataclass(frozen=True)
class PullSubscription:
    """A subscription that keeps the messages of *topic* for people to look at."""

    name: str
    topic: str
    retention_seconds: int


def dead_letter_topic(topic: str) -> str:
    """Return the name of the dead-letter topic of *topic*."""
    return f"{topic}-dead-letter"


def _worker(topic: str, service: str, path: str) -> PushSubscription:
    return PushSubscription(
        name=topic,
        topic=topic,
        service=service,
        path=path,
        # A wait, and then a pool's downloads, or a service that first has to load its model. A
        # process that dies closes its connection, which nacks at once, so the limit costs only
        # when one hangs.
        ack_deadline_seconds=ACK_DEADLINE_SECONDS,
        min_backoff_seconds=MIN_BACKOFF_SECONDS,
        max_backoff_seconds=MAX_BACKOFF_SECONDS,
        dead_letter_topic=dead_letter_topic(topic),
    )


def _dead_letter_door(topic: str, path: str) -> PushSubscription:
    return PushSubscription(
        name=dead_letter_topic(topic),
        topic=dead_letter_topic(topic),
        service=FETCH_SERVICE,
        path=path,
        # It is done at once, but may come when jobs that wait for their turn hold all threads.
        ack_deadline_seconds=ACK_DEADLINE_SECONDS,
        min_backoff_seconds=10.0,
        max_backoff_seconds=600.0,
    )


def _dead_letter_store(topic: str) -> PullSubscription:
    name = dead_letter_topic(topic)
    return PullSubscription(f"{name}-kept", name, retention_seconds=7 * 24 * 3600)


_WORKERS: tuple[PushSubscription, ...] = (
    _worker(TOPIC_OF[FetchJob], FETCH_SERVICE, "/"),
    _worker(TOPIC_OF[EmbedBatch], INFERENCE_SERVICE, "/events/embed"),
    _worker(TOPIC_OF[ForgetJob], FETCH_SERVICE, "/forget"),
    _worker(TOPIC_OF[CollectJob], FETCH_SERVICE, "/collect"),
    _worker(BUCKET_EVENTS, FETCH_SERVICE, "/bucket-events"),
)
_DEAD_LETTER_DOORS = {  # of the others the pool is marked failed
    TOPIC_OF[ForgetJob]: "/forget/dead-letter",
    TOPIC_OF[CollectJob]: "/collect/dead-letter",
    BUCKET_EVENTS: "/bucket-events/dead-letter",
}

PUSH_SUBSCRIPTIONS: tuple[PushSubscription, ...] = (
    *_WORKERS,
    *(
        _dead_letter_door(worker.topic, _DEAD_LETTER_DOORS.get(worker.topic, "/dead-letter"))
        for worker in _WORKERS
    ),
)
PULL_SUBSCRIPTIONS: tuple[PullSubscription, ...] = tuple(
    _dead_letter_store(worker.topic) for worker in _WORKERS
)


def topics_of(subscriptions: Collection[PushSubscription | PullSubscription]) -> tuple[str, ...]:
    """Return the topics that *subscriptions* need, dead-letter topics included, each once."""
    named: dict[str, None] = {}  # a set that keeps its order
    for subscription in subscriptions:
        named[subscription.topic] = None
        if isinstance(subscription, PushSubscription) and subscription.dead_letter_topic:
            named[subscription.dead_letter_topic] = None
    return tuple(named)


TOPICS: tuple[str, ...] = topics_of([*PUSH_SUBSCRIPTIONS, *PULL_SUBSCRIPTIONS])
