"""What a push door does with overload, which passes, and with failure, which may not."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from imagesearch.deployment.topics import PATIENCE_SECONDS
from imagesearch.domain.errors import (
    Bug,
    DeadlineExceeded,
    ImageSearchError,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import FetchJob
from imagesearch.doors import push
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import encode
from tests.log_lines import Log

JOB = FetchJob(pool_id="p", generation=3, keyword="horse", options=SourceOptions())


@dataclass
class Door:
    """A door whose work meets *errors*, one each time, on a clock that only waits move."""

    errors: Iterator[Exception] = field(default_factory=lambda: iter(()))
    time: float = 0.0
    done: int = 0
    given_up: list[tuple[str, int, str]] = field(default_factory=list)
    catalog_error: ImageSearchError | None = None

    def push(self, attempt: int | None = 1, job: bytes = encode(JOB)) -> int:
        data = base64.b64encode(job).decode()
        body = json.dumps({"message": {"data": data}, "deliveryAttempt": attempt}).encode()
        patience = push.Patience(monotonic=lambda: self.time, sleep=self.wait)
        return push.handle(body, FetchJob, self.do, give_up=self.give_up, patience=patience)

    def wait(self, seconds: float) -> None:
        self.time += seconds

    def do(self, job: FetchJob, _: PushEnvelope) -> None:
        assert job == JOB
        if error := next(self.errors, None):
            raise error
        self.done += 1

    def give_up(self, pool_id: str, generation: int, reason: str) -> None:
        if self.catalog_error:
            raise self.catalog_error
        self.given_up.append((pool_id, generation, reason))


def always(error: Exception) -> Iterator[Exception]:
    while True:
        yield error


def test_overload_that_passes_is_waited_for_and_acked(log: Log) -> None:
    waits = [Overloaded("quota", retry_after_seconds=seconds) for seconds in (30.0, 0.5, 60.0)]
    door = Door(iter(waits))
    assert door.push() == 204
    assert (door.done, door.time) == (1, 90.5)
    assert "overloaded" in log.only("FetchJob")["stages"]


@pytest.mark.parametrize("pause_seconds", [0.0, 1.0, 59.0, PATIENCE_SECONDS])
def test_overload_that_stays_is_nacked_when_the_patience_is_over(
    pause_seconds: float, log: Log
) -> None:
    door = Door(always(Overloaded("quota", retry_after_seconds=pause_seconds)))
    assert door.push() == 429
    assert PATIENCE_SECONDS - pause_seconds - 0.2 <= door.time <= PATIENCE_SECONDS
    assert log.only("FetchJob")["outcome"] == "overloaded"


def test_a_pause_longer_than_the_patience_is_left_to_the_queue() -> None:
    door = Door(always(Overloaded("quota", retry_after_seconds=PATIENCE_SECONDS + 1)))
    assert door.push() == 429
    assert door.time == 0.0


@pytest.mark.parametrize("error", [Unavailable("down"), Bug("oops"), ZeroDivisionError()])
def test_what_fails_is_nacked_four_times_and_given_up_at_the_fifth(
    error: Exception, log: Log
) -> None:
    door = Door(always(error))
    assert [door.push(attempt) for attempt in (1, 2, 3, 4)] == [getattr(error, "status", 500)] * 4
    assert door.given_up == []
    assert door.push(5) == 204
    assert door.given_up == [("p", 3, "gave up after 5 attempts")]
    entry = log.entries("FetchJob")[-1]
    assert (entry["outcome"], entry["severity"], entry["status"]) == ("given up", "ERROR", 204)


@pytest.mark.parametrize("attempt", [1, 5, 14, 15, None])
@pytest.mark.parametrize("error", [Overloaded("full"), DeadlineExceeded("slow")])
def test_what_takes_too_long_is_never_given_up(error: Exception, attempt: int | None) -> None:
    door = Door(always(error))
    assert door.push(attempt) in (429, 504)
    assert door.given_up == []


def test_overload_before_a_failure_is_no_failure() -> None:
    door = Door(iter([Overloaded("full"), Unavailable("down")]))
    assert door.push(4) == 503
    assert door.given_up == []


def test_nothing_is_given_up_while_the_catalog_is_down() -> None:
    door = Door(always(Unavailable("Firestore")), catalog_error=Unavailable("Firestore"))
    assert [door.push(attempt) for attempt in (5, 6, 15)] == [503] * 3


def test_what_no_retry_can_help_is_acked_at_any_delivery() -> None:
    door = Door(always(InvalidRequest("k")))
    assert [door.push(attempt) for attempt in (1, 5)] == [204, 204]
    assert door.given_up == []


def test_a_job_of_a_later_version_waits_for_that_version(log: Log) -> None:
    """Services are replaced one after the other: it is neither lost nor given up meanwhile."""
    job = encode(JOB).replace(b'"source":', b'"colour_space":"grey","source":')
    door = Door()
    assert [door.push(attempt, job) for attempt in (1, 5, 14)] == [503] * 3
    assert (door.done, door.given_up) == (0, [])
    entry = log.entries("FetchJob")[0]
    assert (entry["outcome"], entry["status"]) == ("unavailable", 503)
    assert "colour_space" in entry["error"]
