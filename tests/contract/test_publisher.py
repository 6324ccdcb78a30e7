"""What every `Publisher` and its push delivery do; what only the bus does: `test_local_bus.py`.

Messages that are nacked rest side by side, as a rest takes a second on Google's emulator.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from imagesearch import telemetry
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import BatchImage, EmbedBatch, FetchJob, Message, PoolMessage
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import TOPIC_OF, attributes_of

if TYPE_CHECKING:
    from tests.contract.publishers import Bench

pytest_plugins = ["tests.contract.publishers"]

JOB = FetchJob(pool_id="id", generation=1, keyword="horse", options=SourceOptions())
BATCH = EmbedBatch(
    pool_id="id",
    generation=1,
    images=(BatchImage(image_id="p-1", object_name="p-1.jpg"),),
)
ACKS = [102, 200, 201, 202, 204]
NACKS = [100, 203, 205, 206, 301, 400, 404, 429, 500, 503]
HOSTILE_KEYWORDS = ["馬 🐎", '"}\n{"', "a\x00b\r\n", "x" * 50_000]
POISON = 1
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Door:
    """An endpoint that keeps what it was sent; *answer* maps generation and attempt to a status."""

    def __init__(self, answer: Callable[[int, int], int] = lambda generation, attempt: 204) -> None:
        self.envelopes: queue.Queue[PushEnvelope] = queue.Queue()
        self._answer = answer
        self._attempts: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __call__(self, body: bytes) -> int:
        envelope = PushEnvelope.parse(body)
        generation = envelope.decode(PoolMessage).generation
        with self._lock:
            self._attempts[generation] += 1
            status = self._answer(generation, self._attempts[generation])
        self.envelopes.put(envelope)
        return status

    def next(self) -> PushEnvelope:
        return self.envelopes.get(timeout=20)

    def take(self, count: int) -> dict[int, list[PushEnvelope]]:
        """Return the next *count* deliveries by generation, in their order."""
        taken = defaultdict(list)
        for _ in range(count):
            envelope = self.next()
            taken[envelope.decode(FetchJob).generation].append(envelope)
        return taken


def assert_quiet(bench: Bench, *doors: Door) -> None:
    """Nothing more comes to any of *doors*."""
    time.sleep(bench.quiet_seconds)
    assert [door.envelopes.qsize() for door in doors] == [0] * len(doors)


def attempts(bench: Bench, envelopes: list[PushEnvelope]) -> list[int]:
    """Return the deliveryAttempt of each, or their places where it is not sent."""
    if not bench.counts_attempts:
        assert {envelope.deliveryAttempt for envelope in envelopes} == {None}
        return list(range(1, len(envelopes) + 1))
    return [envelope.deliveryAttempt or 0 for envelope in envelopes]


def job(generation: int) -> FetchJob:
    return replace(JOB, generation=generation)


@pytest.mark.parametrize("message", [JOB, BATCH], ids=["job", "batch"])
def test_a_message_arrives_once_at_its_topics_endpoint(bench: Bench, message: Message) -> None:
    doors = {"fetch-jobs": Door(), "embed-batches": Door()}
    bench.open(doors, Door()).publish(message)
    envelope = doors[TOPIC_OF[type(message)]].next()
    assert envelope.decode(type(message)) == message
    assert envelope.message.messageId
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", envelope.message.publishTime)
    assert re.fullmatch(
        rf"projects/[^/]+/subscriptions/{TOPIC_OF[type(message)]}", envelope.subscription
    )
    assert attempts(bench, [envelope]) == [1]
    assert_quiet(bench, *doors.values())


def test_the_trace_of_the_work_that_published_it_stays_with_a_message(bench: Bench) -> None:
    """With a delivery, with those that follow a nack, and with the dead letter."""
    door, dead = Door(lambda generation, _: 500), Door()
    publisher = bench.open({"fetch-jobs": door}, dead)
    with telemetry.unit("search", TRACE) as unit:
        publisher.publish(JOB)
        unit.note(status=202)
    publisher.publish(job(2))  # by nobody's work: it begins a trace of its own
    taken = door.take(2 * 5)
    for envelope in taken[1]:
        assert envelope.message.attributes == attributes_of(JOB, TRACE)
    (own,) = {envelope.message.attributes["trace"] for envelope in taken[2]}
    assert re.fullmatch("[0-9a-f]{32}", own)
    assert own != TRACE
    letters = [dead.next() for _ in range(2)]
    assert {letter.message.attributes["trace"] for letter in letters} == {TRACE, own}


@pytest.mark.parametrize("keyword", HOSTILE_KEYWORDS)
def test_a_hostile_keyword_arrives_as_it_is(bench: Bench, keyword: str) -> None:
    door = Door()
    bench.open({"fetch-jobs": door}, Door()).publish(replace(JOB, keyword=keyword))
    assert door.next().decode(FetchJob).keyword == keyword


def test_these_statuses_ack(bench: Bench) -> None:
    statuses = [status for status in ACKS if status not in bench.misjudged]
    door, dead = Door(lambda generation, _: statuses[generation - 1]), Door()
    publisher = bench.open({"fetch-jobs": door}, dead)
    for generation in range(1, len(statuses) + 1):
        publisher.publish(job(generation))
    assert set(door.take(len(statuses))) == set(range(1, len(statuses) + 1))
    assert_quiet(bench, door, dead)


def test_every_other_status_nacks_and_the_message_is_delivered_again(bench: Bench) -> None:
    statuses = [status for status in NACKS if status not in bench.misjudged]

    def nack_twice(generation: int, attempt: int) -> int:
        return statuses[generation - 1] if attempt <= 2 else 204

    door, dead = Door(nack_twice), Door()
    publisher = bench.open({"fetch-jobs": door}, dead)
    for generation in range(1, len(statuses) + 1):
        publisher.publish(job(generation))
    taken = door.take(3 * len(statuses))
    for generation, envelopes in taken.items():
        assert attempts(bench, envelopes) == [1, 2, 3], statuses[generation - 1]
        assert len({envelope.message.messageId for envelope in envelopes}) == 1
        assert len({envelope.message.publishTime for envelope in envelopes}) == 1
        assert all(envelope.decode(FetchJob) == job(generation) for envelope in envelopes)
    assert_quiet(bench, door, dead)


def test_after_the_last_attempt_a_message_is_a_dead_letter_and_the_next_ones_have_flowed(
    bench: Bench,
) -> None:
    door = Door(lambda generation, _: 500 if generation == POISON else 204)
    dead = Door()
    publisher = bench.open({"fetch-jobs": door}, dead)
    for generation in (POISON, 2, 3, 4):
        publisher.publish(job(generation))
    most = bench.max_delivery_attempts
    taken = door.take(most + 3)
    assert attempts(bench, taken[POISON]) == list(range(1, most + 1))
    assert [len(taken[generation]) for generation in (2, 3, 4)] == [1, 1, 1]
    envelope = dead.next()
    assert envelope.decode(FetchJob) == job(POISON)
    attributes = envelope.message.attributes
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == str(most)
    assert attributes["CloudPubSubDeadLetterSourceSubscription"] == "fetch-jobs"
    assert attributes["CloudPubSubDeadLetterSourceSubscriptionProject"]
    published = datetime.fromisoformat(taken[POISON][0].message.publishTime)
    told = attributes["CloudPubSubDeadLetterSourceTopicPublishTime"]
    assert datetime.fromisoformat(told) == published  # a second without a fraction has two forms
    assert envelope.subscription.endswith("/subscriptions/fetch-jobs-dead-letter")
    assert_quiet(bench, door, dead)


def test_messages_flow_while_another_is_tried_again(bench: Bench) -> None:
    door = Door(lambda generation, attempt: 500 if generation == POISON and attempt < 3 else 204)
    publisher = bench.open({"fetch-jobs": door}, Door())
    publisher.publish(job(POISON))
    first = door.next().decode(FetchJob).generation
    publisher.publish(job(2))
    order = [first, *(door.next().decode(FetchJob).generation for _ in range(3))]
    assert order == [POISON, 2, POISON, POISON] or order == [POISON, POISON, 2, POISON]


def test_the_same_message_published_twice_is_two_messages(bench: Bench) -> None:
    door = Door()
    publisher = bench.open({"fetch-jobs": door}, Door())
    publisher.publish(JOB)
    publisher.publish(JOB)
    assert door.next().message.messageId != door.next().message.messageId


def test_a_slow_endpoint_holds_no_other_topic(bench: Bench) -> None:
    go_on, batches = threading.Event(), Door()

    def slow(_: bytes) -> int:
        go_on.wait(20)
        return 204

    publisher = bench.open({"fetch-jobs": slow, "embed-batches": batches}, Door())
    publisher.publish(JOB)
    publisher.publish(BATCH)
    try:
        assert batches.next().decode(EmbedBatch) == BATCH
        assert not go_on.is_set()
    finally:
        go_on.set()


def test_every_message_of_many_publishers_arrives(bench: Bench) -> None:
    door = Door(lambda generation, attempt: 500 if attempt <= generation % 3 else 204)
    publisher = bench.open({"fetch-jobs": door}, Door())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: publisher.publish(job(n)), range(1, 201)))
    deliveries = {n: 1 + n % 3 for n in range(1, 201)}
    taken = door.take(sum(deliveries.values()))
    assert {n: len(envelopes) for n, envelopes in taken.items()} == deliveries
