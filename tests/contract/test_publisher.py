"""What every `Publisher` and its push delivery do; what only the bus does: `test_local_bus.py`."""

from __future__ import annotations

import queue
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagesearch.messages import BatchImage, EmbedBatch, FetchJob, Message, PushEnvelope
from imagesearch.model import SourceOptions
from imagesearch.ports import Publisher

Endpoint = Callable[[bytes], int]
OpenPublisher = Callable[[Mapping[str, Endpoint], Endpoint], Publisher]

JOB = FetchJob(pool_id="id", generation=1, keyword="horse", options=SourceOptions())
BATCH = EmbedBatch(
    pool_id="id",
    generation=1,
    batch_index=0,
    images=(BatchImage(image_id="p-1", object_name="p-1.jpg"),),
)
HOSTILE_KEYWORDS = ["馬 🐎", '"}\n{"', "a\x00b\r\n", "x" * 50_000]


class Door:
    """An endpoint that keeps what it was sent and answers one status after the other."""

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self.bodies: queue.Queue[PushEnvelope] = queue.Queue()
        self._statuses = iter(statuses)

    def __call__(self, body: bytes) -> int:
        self.bodies.put(PushEnvelope.parse(body))
        return next(self._statuses, 204)

    def next(self) -> PushEnvelope:
        return self.bodies.get(timeout=5)

    def assert_no_more(self) -> None:
        with pytest.raises(queue.Empty):
            self.bodies.get(timeout=0.05)


def job(n: int) -> FetchJob:
    return JOB.model_copy(update={"generation": n})


@pytest.mark.parametrize("message", [JOB, BATCH], ids=["job", "batch"])
def test_a_message_arrives_at_its_topics_endpoint(
    open_publisher: OpenPublisher, message: Message
) -> None:
    doors = {"fetch-jobs": Door(), "embed-batches": Door()}
    open_publisher(doors, Door()).publish(message)
    envelope = doors[message.topic].next()
    assert envelope.decode(type(message)) == message
    assert envelope.message.messageId
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", envelope.message.publishTime)
    assert re.fullmatch(r"projects/[^/]+/subscriptions/[^/]+", envelope.subscription)
    assert envelope.deliveryAttempt == 1
    for door in doors.values():
        door.assert_no_more()


@pytest.mark.parametrize("keyword", HOSTILE_KEYWORDS)
def test_a_hostile_keyword_arrives_as_it_is(open_publisher: OpenPublisher, keyword: str) -> None:
    door = Door()
    open_publisher({"fetch-jobs": door}, Door()).publish(
        JOB.model_copy(update={"keyword": keyword})
    )
    assert door.next().decode(FetchJob).keyword == keyword


@pytest.mark.parametrize("status", [102, 200, 201, 202, 204])
def test_these_statuses_ack(open_publisher: OpenPublisher, status: int) -> None:
    door, dead = Door([status]), Door()
    open_publisher({"fetch-jobs": door}, dead).publish(JOB)
    door.next()
    door.assert_no_more()
    dead.assert_no_more()


@pytest.mark.parametrize("status", [100, 203, 205, 206, 301, 400, 404, 429, 500, 503])
def test_every_other_status_nacks_and_the_message_is_delivered_again(
    open_publisher: OpenPublisher, status: int
) -> None:
    door, dead = Door([status, status]), Door()
    open_publisher({"fetch-jobs": door}, dead).publish(JOB)
    envelopes = [door.next() for _ in range(3)]
    assert [envelope.deliveryAttempt for envelope in envelopes] == [1, 2, 3]
    assert len({envelope.message.messageId for envelope in envelopes}) == 1
    assert len({envelope.message.publishTime for envelope in envelopes}) == 1
    assert all(envelope.decode(FetchJob) == JOB for envelope in envelopes)
    door.assert_no_more()
    dead.assert_no_more()


def test_after_the_last_attempt_the_message_is_a_dead_letter(
    open_publisher: OpenPublisher,
) -> None:
    door, dead = Door([500] * 100), Door([500] * 100)
    open_publisher({"fetch-jobs": door}, dead).publish(JOB)
    attempts = [door.next().deliveryAttempt for _ in range(5)]
    assert attempts == [1, 2, 3, 4, 5]
    envelope = dead.next()
    assert envelope.decode(FetchJob) == JOB
    attributes = envelope.message.attributes
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"]
    assert attributes["CloudPubSubDeadLetterSourceSubscriptionProject"]
    door.assert_no_more()


def test_the_same_message_published_twice_is_two_messages(open_publisher: OpenPublisher) -> None:
    door = Door()
    publisher = open_publisher({"fetch-jobs": door}, Door())
    publisher.publish(JOB)
    publisher.publish(JOB)
    assert door.next().message.messageId != door.next().message.messageId


def test_a_slow_endpoint_holds_no_other_topic(open_publisher: OpenPublisher) -> None:
    go_on, batches = threading.Event(), Door()

    def slow(_: bytes) -> int:
        go_on.wait(5)
        return 204

    publisher = open_publisher({"fetch-jobs": slow, "embed-batches": batches}, Door())
    publisher.publish(JOB)
    publisher.publish(BATCH)
    try:
        assert batches.next().decode(EmbedBatch) == BATCH
        assert not go_on.is_set()
    finally:
        go_on.set()


def test_every_message_of_many_publishers_arrives(open_publisher: OpenPublisher) -> None:
    door = Door([500, 204, 503] * 40)
    publisher = open_publisher({"fetch-jobs": door}, Door())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: publisher.publish(job(n)), range(1, 201)))
    arrived: Counter[int] = Counter()
    while len(arrived) < 200:
        arrived[door.next().decode(FetchJob).generation] += 1
    assert set(arrived) == set(range(1, 201))
