"""What only the local bus does: its file, its clockwork and its threads."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imagesearch import telemetry
from imagesearch.adapters.buses.local_bus import MAX_DEAD_LETTER_BYTES, Endpoint, LocalBus
from imagesearch.domain.errors import Bug, Overloaded, Unavailable
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import EmbedBatch, FetchJob
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import TOPIC_OF, decode, encode

JOB = FetchJob(pool_id="id", generation=1, keyword="horse", options=SourceOptions())
MakeBus = Callable[..., LocalBus]


@pytest.fixture
def make_bus(tmp_path: Path) -> Iterator[MakeBus]:
    """Make buses over one file of dead letters, which give up soon unless told."""
    made: list[LocalBus] = []

    def make(**options: float) -> LocalBus:
        bounds = {"min_backoff_seconds": 0.001, "max_backoff_seconds": 0.002} | options
        bounds = {"max_delivery_attempts": 5} | bounds
        made.append(LocalBus(tmp_path / "bus" / "dead.jsonl", **bounds))  # type: ignore[arg-type]  # the tests give the right ones
        return made[-1]

    yield make
    for bus in made:
        bus.stop(5.0)


def job(n: int) -> FetchJob:
    return replace(JOB, generation=n)


def generation(body: bytes) -> int:
    return PushEnvelope.parse(body).decode(FetchJob).generation


def into(bodies: queue.Queue[bytes]) -> Endpoint:
    """Return an endpoint that acks and keeps what it was sent."""

    def endpoint(body: bytes) -> int:
        bodies.put(body)
        return 204

    return endpoint


def give_up(bus: LocalBus, *jobs: FetchJob, status: int = 503) -> None:
    """Have the bus deliver *jobs* in vain until they are dead letters."""
    dead: queue.Queue[bytes] = queue.Queue()
    bus.subscribe("fetch-jobs", lambda _: status)
    bus.subscribe_dead_letters(into(dead))
    bus.start()
    for one in jobs:
        bus.publish(one)
        dead.get(timeout=5)


def test_the_body_is_that_of_a_pubsub_push_request(make_bus: MakeBus) -> None:
    bodies: queue.Queue[bytes] = queue.Queue()
    bus = make_bus()
    bus.subscribe("fetch-jobs", into(bodies))
    bus.start()
    before = datetime.now(UTC)
    bus.publish(JOB)
    envelope = json.loads(bodies.get(timeout=5))
    message = envelope["message"]
    assert set(envelope) == {"message", "subscription", "deliveryAttempt"}
    assert envelope["subscription"] == "projects/local/subscriptions/fetch-jobs"
    assert set(message) == {
        "attributes",
        "data",
        "messageId",
        "message_id",
        "publishTime",
        "publish_time",
    }
    assert base64.b64decode(message["data"]) == encode(JOB)
    assert message["messageId"] == message["message_id"]
    assert message["messageId"].isdigit()
    assert message["publishTime"] == message["publish_time"]
    published_at = datetime.fromisoformat(message["publishTime"])
    assert timedelta(seconds=-0.01) < published_at - before < timedelta(seconds=5)


def test_a_dead_letter_says_what_was_tried_and_survives_a_restart(make_bus: MakeBus) -> None:
    give_up(make_bus(), job(1), job(2))
    letters = make_bus().dead_letters()
    assert [decode(FetchJob, letter.data.encode()) for letter in letters] == [job(1), job(2)]
    for letter in letters:
        assert (letter.topic, letter.attempts, letter.last_status) == ("fetch-jobs", 5, 503)
        assert timedelta() <= datetime.now(UTC) - letter.time < timedelta(seconds=10)
    assert letters[0].message_id < letters[1].message_id


def test_there_are_no_dead_letters_at_first(make_bus: MakeBus) -> None:
    assert make_bus().dead_letters() == []


def test_a_torn_last_line_costs_no_other_dead_letter(
    make_bus: MakeBus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    give_up(make_bus(), job(1), job(2))
    file = tmp_path / "bus" / "dead.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert [letter.attempts for letter in make_bus().dead_letters()] == [5]
    assert "cannot be read" in caplog.text
    give_up(make_bus(), job(3))
    letters = [decode(FetchJob, one.data.encode()) for one in make_bus().dead_letters()]
    assert letters == [job(1), job(3)]


def test_a_dead_letter_that_cannot_be_kept_is_logged_and_still_delivered(
    make_bus: MakeBus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bus" / "dead.jsonl").mkdir(parents=True)
    give_up(make_bus(), job(1), job(2))
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize("attempts", [1, 7])
def test_a_message_is_given_up_after_the_attempts_that_were_set(
    make_bus: MakeBus, attempts: int
) -> None:
    bus = make_bus(max_delivery_attempts=attempts)
    give_up(bus, JOB)
    assert [letter.attempts for letter in bus.dead_letters()] == [attempts]


def test_an_endpoint_that_raises_nacks(make_bus: MakeBus, caplog: pytest.LogCaptureFixture) -> None:
    delivered: queue.Queue[int] = queue.Queue()

    def endpoint(body: bytes) -> int:
        delivered.put(generation(body))
        raise RuntimeError("on purpose")

    bus = make_bus(max_delivery_attempts=2)
    bus.subscribe("fetch-jobs", endpoint)
    bus.start()
    bus.publish(job(1))
    bus.publish(job(2))
    assert sorted(delivered.get(timeout=5) for _ in range(4)) == [1, 1, 2, 2]
    bus.stop(5.0)
    assert [letter.last_status for letter in bus.dead_letters()] == [None, None]
    assert "on purpose" in caplog.text


def test_the_dead_letter_endpoint_gets_a_letter_once_whatever_it_answers(
    make_bus: MakeBus,
) -> None:
    dead: queue.Queue[dict[str, object]] = queue.Queue()

    def endpoint(body: bytes) -> int:
        dead.put(json.loads(body))
        raise RuntimeError("on purpose")

    bus = make_bus()
    bus.subscribe("fetch-jobs", lambda _: 500)
    bus.subscribe_dead_letters(endpoint)
    bus.start()
    bus.publish(JOB)
    envelope = dead.get(timeout=5)
    assert envelope["subscription"] == "projects/local/subscriptions/fetch-jobs-dead-letter"
    assert "deliveryAttempt" not in envelope
    with pytest.raises(queue.Empty):
        dead.get(timeout=0.05)


def test_a_nacked_message_rests_twice_as_long_each_time_up_to_the_bound(
    make_bus: MakeBus,
) -> None:
    times: list[float] = []
    bus = make_bus(min_backoff_seconds=0.04, max_backoff_seconds=0.1)

    def endpoint(_: bytes) -> int:
        times.append(time.monotonic())
        return 500

    dead: queue.Queue[bytes] = queue.Queue()
    bus.subscribe("fetch-jobs", endpoint)
    bus.subscribe_dead_letters(into(dead))
    bus.start()
    bus.publish(JOB)
    dead.get(timeout=5)
    rests = [after - before for before, after in itertools.pairwise(times)]
    for rest, least in zip(rests, [0.04, 0.08, 0.1, 0.1], strict=True):
        assert least <= rest < least + 0.2


def test_a_message_that_rests_holds_no_other_of_its_topic(make_bus: MakeBus) -> None:
    delivered: queue.Queue[int] = queue.Queue()
    bus = make_bus(min_backoff_seconds=60.0, max_backoff_seconds=60.0)

    def endpoint(body: bytes) -> int:
        delivered.put(generation(body))
        return 503 if generation(body) == 1 else 204

    bus.subscribe("fetch-jobs", endpoint)
    bus.start()
    for n in (1, 2, 3):
        bus.publish(job(n))
    assert [delivered.get(timeout=5) for _ in range(3)] == [1, 2, 3]


def test_as_many_deliveries_are_under_way_as_there_are_workers(make_bus: MakeBus) -> None:
    together = threading.Barrier(4)  # 3 deliveries and this test
    bus = make_bus()

    def endpoint(_: bytes) -> int:
        together.wait(5)
        return 204

    bus.subscribe("fetch-jobs", endpoint, workers=3)
    bus.start()
    for n in (1, 2, 3):
        bus.publish(job(n))
    together.wait(5)


def test_what_was_published_before_the_start_is_delivered_in_its_order(
    make_bus: MakeBus,
) -> None:
    bodies: queue.Queue[bytes] = queue.Queue()
    bus = make_bus()
    bus.subscribe("fetch-jobs", into(bodies))
    for n in range(1, 51):
        bus.publish(job(n))
    bus.start()
    assert [generation(bodies.get(timeout=5)) for _ in range(50)] == list(range(1, 51))


def publish_for(bus: LocalBus, client: str, *generations: int) -> None:
    with telemetry.unit("search") as unit:
        unit.client = client
        for n in generations:
            bus.publish(job(n))
        unit.note(status=202)


def test_clients_take_turns_whoever_has_how_many_messages(make_bus: MakeBus) -> None:
    bodies: queue.Queue[bytes] = queue.Queue()
    bus = make_bus()
    bus.subscribe("fetch-jobs", into(bodies))
    publish_for(bus, "one", *range(1, 301))
    publish_for(bus, "another", 1001, 1002)
    publish_for(bus, "a third", 2001)
    bus.publish(job(3001))  # for nobody who is known
    bus.start()
    order = [generation(bodies.get(timeout=5)) for _ in range(304)]
    assert order[:7] == [1, 1001, 2001, 3001, 2, 1002, 3]
    assert order[7:] == list(range(4, 301))


def test_a_message_that_was_nacked_waits_for_its_clients_turn(make_bus: MakeBus) -> None:
    delivered: queue.Queue[int] = queue.Queue()
    bus = make_bus(min_backoff_seconds=0.0, max_backoff_seconds=0.0, max_delivery_attempts=3)

    def endpoint(body: bytes) -> int:
        delivered.put(generation(body))
        return 503 if generation(body) == 1 else 204

    bus.subscribe("fetch-jobs", endpoint)
    publish_for(bus, "one", 1, 2, 3)
    publish_for(bus, "another", 11, 12)
    bus.start()
    assert [delivered.get(timeout=5) for _ in range(7)] == [1, 11, 2, 12, 3, 1, 1]


def test_whom_a_message_is_for_stays_with_it(make_bus: MakeBus) -> None:
    bodies: queue.Queue[bytes] = queue.Queue()
    dead: queue.Queue[bytes] = queue.Queue()
    bus = make_bus(min_backoff_seconds=0.0, max_backoff_seconds=0.0, max_delivery_attempts=2)

    def nack(body: bytes) -> int:
        bodies.put(body)
        return 500

    bus.subscribe("fetch-jobs", nack)
    bus.subscribe_dead_letters(into(dead))
    publish_for(bus, "one", 1)
    bus.start()
    for body in (bodies.get(timeout=5), bodies.get(timeout=5), dead.get(timeout=5)):
        assert PushEnvelope.parse(body).message.attributes["client"] == "one"


def test_a_full_topic_refuses_what_is_new_and_keeps_what_is_delivered_again(
    make_bus: MakeBus,
) -> None:
    delivered: queue.Queue[int] = queue.Queue()
    begun, go_on = threading.Event(), threading.Event()
    bus = make_bus(min_backoff_seconds=0.0, max_backoff_seconds=0.0)

    def endpoint(body: bytes) -> int:
        begun.set()
        go_on.wait(5)
        delivered.put(generation(body))
        return 503 if delivered.qsize() == 1 else 204

    bus.subscribe("fetch-jobs", endpoint, max_waiting=3)
    bus.start()
    bus.publish(job(1))
    assert begun.wait(5)  # what is in hand does not wait
    for n in (2, 3, 4):
        bus.publish(job(n))
    with pytest.raises(Overloaded, match="3 messages of fetch-jobs wait already") as caught:
        bus.publish(job(5))
    assert caught.value.retry_after_seconds == 30
    go_on.set()
    assert sorted(delivered.get(timeout=5) for _ in range(5)) == [1, 1, 2, 3, 4]
    bus.publish(job(6))
    assert delivered.get(timeout=5) == 6


def test_stop_finishes_what_is_in_hand_and_drops_the_rest(make_bus: MakeBus) -> None:
    begun, go_on, finished = threading.Event(), threading.Event(), []
    bus = make_bus()

    def endpoint(body: bytes) -> int:
        begun.set()
        go_on.wait(5)
        finished.append(generation(body))
        return 500

    bus.subscribe("fetch-jobs", endpoint)
    bus.start()
    bus.publish(job(1))
    bus.publish(job(2))
    assert begun.wait(5)
    threading.Timer(0.05, go_on.set).start()
    bus.stop(5.0)
    assert finished == [1]
    assert not [one for one in threading.enumerate() if one.name.startswith("bus-")]
    with pytest.raises(Unavailable, match="stopped"):
        bus.publish(job(3))
    assert bus.dead_letters() == []


def test_stop_does_not_wait_longer_than_it_may(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    bus = make_bus()

    def endpoint(_: bytes) -> int:
        begun.set()
        go_on.wait(5)
        return 204

    bus.subscribe("fetch-jobs", endpoint)
    bus.start()
    bus.publish(JOB)
    assert begun.wait(5)
    started = time.monotonic()
    bus.stop(0.05)
    assert time.monotonic() - started < 1.0
    assert "bus-fetch-jobs-0 is still at work" in caplog.text
    go_on.set()


def test_a_topic_without_a_subscriber_is_a_bug(make_bus: MakeBus) -> None:
    bus = make_bus()
    bus.subscribe(TOPIC_OF[EmbedBatch], lambda _: 204)
    with pytest.raises(Bug, match="topic 'fetch-jobs' has no subscriber"):
        bus.publish(JOB)


def test_a_second_subscriber_a_late_one_and_a_second_start_are_bugs(make_bus: MakeBus) -> None:
    bus = make_bus()
    bus.subscribe("fetch-jobs", lambda _: 204)
    with pytest.raises(Bug, match="has a subscriber already"):
        bus.subscribe("fetch-jobs", lambda _: 204)
    bus.start()
    with pytest.raises(Bug, match="before the bus is started"):
        bus.subscribe("embed-batches", lambda _: 204)
    with pytest.raises(Bug, match="started already"):
        bus.start()


def test_no_message_id_is_used_again_after_a_restart(make_bus: MakeBus) -> None:
    for _ in range(2):
        give_up(make_bus(max_delivery_attempts=1), *(job(n) for n in range(1, 11)))
    ids = [letter.message_id for letter in make_bus().dead_letters()]
    assert len(ids) == len(set(ids)) == 20


def test_a_dead_letter_is_logged(make_bus: MakeBus, caplog: pytest.LogCaptureFixture) -> None:
    give_up(make_bus(), JOB)
    record = next(one for one in caplog.records if one.levelno == logging.ERROR)
    assert "fetch-jobs" in record.getMessage()
    assert "after 5 attempts, last status 503" in record.getMessage()


def test_the_file_of_dead_letters_is_bounded_and_keeps_the_newest(
    make_bus: MakeBus, tmp_path: Path
) -> None:
    path = tmp_path / "bus" / "dead.jsonl"
    path.parent.mkdir()
    line = (
        '{"topic":"fetch-jobs","message_id":"%d","data":"' + "x" * 3000 + '",'
        '"attempts":5,"last_status":503,"time":"2026-01-01T00:00:00Z"}\n'
    )
    path.write_text("".join(line % number for number in range(400)))
    bus, is_over = make_bus(max_delivery_attempts=1), threading.Event()
    bus.subscribe(TOPIC_OF[FetchJob], lambda _: 503)

    def note(_: bytes) -> int:
        is_over.set()
        return 204

    bus.subscribe_dead_letters(note)
    bus.start()
    bus.publish(JOB)
    assert is_over.wait(30)
    letters = bus.dead_letters()
    assert path.stat().st_size < MAX_DEAD_LETTER_BYTES
    assert letters[-2].message_id == "399"
    assert "horse" in letters[-1].data
    assert len(letters) > 100
    assert list(path.parent.iterdir()) == [path]


def test_by_default_a_message_is_given_up_after_more_than_an_hour_of_rests(tmp_path: Path) -> None:
    """Even if each of its deliveries were refused at once, as by an overloaded service."""
    bus = LocalBus(tmp_path / "dead.jsonl")
    rests = [bus.backoff_seconds(attempt) for attempt in range(1, bus.max_delivery_attempts)]
    assert sum(rests) >= 3600
    assert max(rests) <= 120  # what was refused is soon tried again
