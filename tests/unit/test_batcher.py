"""The batcher: what waits goes together, what is too much is refused, what fails fails alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from imagesearch.domain.errors import DeadlineExceeded, Overloaded, Unavailable
from inference_service.batcher import Batcher, close
from inference_service.callers import Caller, working_for

LONG = 30.0  # seconds; no test waits that long unless something is broken


class Doubler:
    """Doubles numbers while its gate is open, and keeps the batches it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        assert self.gate.wait(LONG)
        if -1 in numbers:
            raise ZeroDivisionError("a bad number")
        return [2 * number for number in numbers]


@contextmanager
def running(
    function: Callable[[list[int]], list[int]],
    max_batch: int = 4,
    max_queue: int = 8,
    threads: int = 1,
) -> Iterator[Batcher[int, int]]:
    batcher = Batcher("number", function, max_batch=max_batch, max_queue=max_queue, threads=threads)
    try:
        yield batcher
    finally:
        close(batcher)


@contextmanager
def blocked(
    doubler: Doubler, batcher: Batcher[int, int], callers: ThreadPoolExecutor
) -> Iterator[Future[list[int]]]:
    """Keep the thread busy with the number 0 until the block ends."""
    doubler.gate.clear()
    first = callers.submit(batcher.ask, [0], LONG)
    until(lambda: bool(doubler.batches))
    try:
        yield first
    finally:
        doubler.gate.set()


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.001)


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def test_each_caller_gets_the_results_of_its_own_items_in_order(
    callers: ThreadPoolExecutor,
) -> None:
    with running(Doubler(), max_queue=1000) as batcher:
        questions = [[i, -i - 2, 1000 + i] for i in range(100)]
        answers = list(callers.map(lambda numbers: batcher.ask(numbers, LONG), questions))
        assert answers == [[2 * i, 2 * (-i - 2), 2 * (1000 + i)] for i in range(100)]


def test_a_lone_item_is_not_kept_waiting_for_company() -> None:
    with running(Doubler()) as batcher:
        started = time.monotonic()
        for number in range(50):
            batcher.ask([number], LONG)
        assert time.monotonic() - started < 1.0


def test_what_came_during_a_batch_goes_together_in_the_next(callers: ThreadPoolExecutor) -> None:
    doubler = Doubler()
    with running(doubler, max_batch=4) as batcher:
        with blocked(doubler, batcher, callers):
            rest = [callers.submit(batcher.ask, [i], LONG) for i in range(1, 7)]
            until(lambda: batcher.waiting == 6)
        assert sorted(future.result()[0] for future in rest) == [2, 4, 6, 8, 10, 12]
    assert [len(batch) for batch in doubler.batches] == [1, 4, 2]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    callers: ThreadPoolExecutor,
) -> None:
    doubler = Doubler()
    with running(doubler, max_batch=4, max_queue=8) as batcher:
        with blocked(doubler, batcher, callers) as first:
            rest = callers.submit(batcher.ask, list(range(8)), LONG)
            until(lambda: batcher.waiting == 8)
            with pytest.raises(Overloaded, match="8 of at most 8 items wait") as caught:
                batcher.ask([9], LONG)
            assert caught.value.retry_after_seconds is not None
            assert caught.value.retry_after_seconds >= 1.0
            with pytest.raises(Overloaded):
                batcher.check_room(1)
        assert first.result() == [0]
        assert rest.result() == [2 * i for i in range(8)]
        batcher.check_room(8)
        assert batcher.ask([9], LONG) == [18]


def test_items_that_do_not_fit_are_refused_together(callers: ThreadPoolExecutor) -> None:
    doubler = Doubler()
    with running(doubler, max_queue=8) as batcher, blocked(doubler, batcher, callers):
        callers.submit(batcher.ask, [1], LONG)
        until(lambda: batcher.waiting == 1)
        with pytest.raises(Overloaded):
            batcher.ask(list(range(8)), LONG)
        assert batcher.waiting == 1


def test_one_caller_may_bring_more_than_the_queue_holds_when_nobody_waits() -> None:
    with running(Doubler(), max_batch=4, max_queue=8) as batcher:
        assert batcher.ask(list(range(100)), LONG) == [2 * i for i in range(100)]


def test_no_items_give_no_results() -> None:
    with running(Doubler()) as batcher:
        assert batcher.ask([], LONG) == []


def test_work_whose_caller_gave_up_never_reaches_the_function(
    callers: ThreadPoolExecutor,
) -> None:
    doubler = Doubler()
    with running(doubler) as batcher:
        with blocked(doubler, batcher, callers):
            with pytest.raises(DeadlineExceeded, match=r"took more than 0\.01 seconds"):
                batcher.ask([5, 6], 0.01)
            assert batcher.waiting == 0
            wanted = callers.submit(batcher.ask, [7], LONG)
            until(lambda: batcher.waiting == 1)
        assert wanted.result() == [14]
    assert doubler.batches == [[0], [7]]


def ask_for(caller: Caller, batcher: Batcher[int, int], numbers: list[int]) -> list[int]:
    with working_for(caller):
        return batcher.ask(numbers, LONG)


def test_what_a_caller_who_has_gone_asked_for_leaves_the_queue_at_once(
    callers: ThreadPoolExecutor,
) -> None:
    doubler, caller = Doubler(), Caller()
    with running(doubler, max_queue=8) as batcher:
        with blocked(doubler, batcher, callers):
            unwanted = callers.submit(ask_for, caller, batcher, list(range(1, 9)))
            until(lambda: batcher.waiting == 8)
            caller.go()
            with pytest.raises(DeadlineExceeded, match="nobody waits for the number encoder"):
                unwanted.result(LONG)
            wanted = callers.submit(batcher.ask, list(range(8)), LONG)
            until(lambda: batcher.waiting == 8)
        assert wanted.result() == [2 * i for i in range(8)]
    assert doubler.batches == [[0], [0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_caller_who_went_before_asking_gets_no_work_done(callers: ThreadPoolExecutor) -> None:
    doubler, caller = Doubler(), Caller()
    caller.go()
    with running(doubler) as batcher:
        with blocked(doubler, batcher, callers), pytest.raises(DeadlineExceeded):
            ask_for(caller, batcher, [5])
        assert ask_for(Caller(), batcher, [6]) == [12]
    assert doubler.batches == [[0], [6]]


def test_each_thread_runs_a_batch_of_its_own_beside_the_others(
    callers: ThreadPoolExecutor,
) -> None:
    """The batches meet at a barrier, which none of them passes alone."""
    meeting = threading.Barrier(3, timeout=LONG)

    def meet(numbers: list[int]) -> list[int]:
        meeting.wait()
        return [2 * number for number in numbers]

    with running(meet, max_batch=4, threads=3) as batcher:
        assert batcher.ask([1, 2, 3, 4, 5], LONG) == [2, 4, 6, 8, 10]


def test_a_caller_that_gives_up_during_its_batch_does_not_disturb_the_others(
    callers: ThreadPoolExecutor,
) -> None:
    doubler = Doubler()
    with running(doubler) as batcher:
        with blocked(doubler, batcher, callers), pytest.raises(DeadlineExceeded):
            callers.submit(batcher.ask, [0], 0.01).result()
        assert batcher.ask([4], LONG) == [8]


def test_a_failure_fails_its_batch_alone_and_the_thread_lives_on() -> None:
    with running(Doubler()) as batcher:
        for _ in range(3):
            with pytest.raises(Unavailable, match="the number encoder failed") as caught:
                batcher.ask([1, -1], LONG)
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            assert batcher.ask([4], LONG) == [8]


def test_a_function_that_returns_too_little_fails_and_nobody_waits_for_ever() -> None:
    with running(lambda numbers: numbers[1:]) as batcher, pytest.raises(Unavailable):
        batcher.ask([1, 2, 3], LONG)


def test_idle_seconds_count_from_the_last_success() -> None:
    with running(Doubler()) as batcher:
        assert batcher.idle_seconds == float("inf")
        with pytest.raises(Unavailable):
            batcher.ask([-1], LONG)
        assert batcher.idle_seconds == float("inf")
        batcher.ask([1], LONG)
        assert batcher.idle_seconds < LONG


def test_closing_fails_what_waits_ends_what_runs_and_stops_the_thread(
    callers: ThreadPoolExecutor,
) -> None:
    doubler = Doubler()
    with running(doubler) as batcher:
        with blocked(doubler, batcher, callers) as first:
            waiting = callers.submit(batcher.ask, [1], LONG)
            until(lambda: batcher.waiting == 1)
            closing = callers.submit(close, batcher)
            with pytest.raises(Unavailable, match="is stopping"):
                waiting.result()
        closing.result()
        assert first.result() == [0]
        with pytest.raises(Unavailable, match="is stopping"):
            batcher.ask([2], LONG)
        close(batcher)
    assert "number-batcher" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness on Linux only")
@pytest.mark.parametrize("background", [True, False])
def test_a_background_batcher_lets_other_threads_go_first(background: bool) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    batcher = Batcher[int, int](
        "nice", lambda _: [niceness()], max_batch=1, max_queue=1, background=background
    )
    assert (batcher.ask([0], LONG)[0] > niceness()) is background
    close(batcher)


SCHEDULED = """
import os
from inference_service.batcher import Batcher, close

policy = lambda _: [os.sched_getscheduler(0) == os.SCHED_IDLE]
for background in (True, False):
    batcher = Batcher("idle", policy, max_batch=1, max_queue=1, background=background)
    print(batcher.ask([0], 30.0)[0])
    close(batcher)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_IDLE is Linux's")
@pytest.mark.parametrize(("service", "idle"), [({"K_SERVICE": "inference"}, "True"), ({}, "False")])
def test_on_cloud_run_the_background_gets_only_what_the_other_threads_leave(
    service: dict[str, str], idle: str
) -> None:
    """Elsewhere it keeps a share: other programs may leave nothing for hours."""
    command = [sys.executable, "-c", SCHEDULED]
    environment = {"PATH": os.environ["PATH"], **service}
    said = subprocess.check_output(command, text=True, env=environment)
    assert said.split() == [idle, "False"]
