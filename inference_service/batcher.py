"""A bounded queue and the threads that run a function on what waits in it, in batches.

What the function computes is its owner's business: see `encoder.py`.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from typing import Any, Generic, TypeVar

from imagesearch.domain.errors import DeadlineExceeded, Overloaded, Unavailable
from inference_service import callers

CLOSE_LIMIT_SECONDS = 8.0  # Cloud Run kills a container 10 seconds after it asks it to end
BACKGROUND_NICENESS = 10  # of at most 19; the threads that the function starts inherit it
logger = logging.getLogger(__name__)


def cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def go_last() -> None:
    """
    Let all other threads go before this one where cores are short; on Linux alone.

    On Cloud Run, where the cores are this process's alone, it gets what they leave and no more.
    Elsewhere others may keep the cores busy for hours, and a share is kept from them.
    """
    if sys.platform != "linux":  # elsewhere a niceness is the whole process's
        return
    with suppress(OSError):  # a sandbox may forbid it
        os.nice(BACKGROUND_NICENESS)
        # https://cloud.google.com/run/docs/container-contract#env-vars
        if "K_SERVICE" in os.environ:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """
    Runs *function* on batches of what callers in many threads ask for.

    A thread takes its share of what waits, up to *max_batch*, and never waits for more: a lone item
    goes at once, and a batch forms of what came while the last ones ran. What its caller gave up
    leaves the queue. When the function raises, its batch fails and the thread lives on.

    Args:
        name: of the threads and in messages.
        function: takes 1..max_batch items and returns as many results, in their order.
        max_batch: most items the function gets at once.
        max_queue: most items that may wait. One caller's items always fit in an empty queue.
        threads: how many of them call the function, each with a batch of its own.
        background: on Linux, let the other threads of the machine go first when cores are short.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[list[Item]], Sequence[Result]],
        *,
        max_batch: int,
        max_queue: int,
        threads: int = 1,
        background: bool = False,
    ) -> None:
        self.name = name
        self._function = function
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._background = background
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._batch_seconds = 0.0
        self._succeeded_at = -math.inf
        self._was_asked = False
        self._idle = threads  # how many of them are not running a batch
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-batcher", daemon=True)
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def was_asked(self) -> bool:
        """True once items were taken into the queue."""
        return self._was_asked

    @property
    def idle_seconds(self) -> float:
        """Seconds since the function last returned; infinite when it never has."""
        return time.monotonic() - self._succeeded_at

    @property
    def waiting(self) -> int:
        """How many items are queued."""
        return len(self._waiting)

    def check_room(self, number: int) -> None:
        """Raise Overloaded when *number* more items do not fit in the queue."""
        if self._waiting and len(self._waiting) + number > self._max_queue:
            raise self._overloaded()

    def ask(self, items: Sequence[Item], time_limit_seconds: float) -> list[Result]:
        """
        Return the results of *items*, in their order.

        Raises:
            Overloaded: they do not fit in the queue; nothing was queued.
            DeadlineExceeded: the time limit passed, or the caller has gone (`callers.py`); what
                had not begun is dropped.
            Unavailable: the function raised, which is the cause, or the batcher is closed.
        """
        futures = self._submit(items)
        with callers.unless_gone(lambda: self._give_up(futures)):
            _, unfinished = wait(futures, timeout=time_limit_seconds)
        if unfinished:
            self._give_up(futures)
            limit = f"{time_limit_seconds:g} seconds"
            raise DeadlineExceeded(f"the {self.name} encoder took more than {limit}")
        return [self._result(future) for future in futures]

    def stop(self) -> None:
        """Fail what waits with Unavailable, and begin with nothing more."""
        with self._changed:
            self._closed = True
            abandoned = [future for _, future in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for future in abandoned:
            future.set_exception(self._stopping())

    def join(self, give_up_at: float) -> None:
        """Return when the threads of a stopped batcher have ended, or at *give_up_at*."""
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def _submit(self, items: Sequence[Item]) -> list[Future[Result]]:
        futures: list[Future[Result]] = [Future() for _ in items]
        with self._changed:
            if self._closed:
                raise self._stopping()
            self.check_room(len(items))
            self._waiting.extend(zip(items, futures, strict=True))
            self._was_asked |= bool(items)
            self._changed.notify_all()
        return futures

    def _give_up(self, futures: Sequence[Future[Result]]) -> None:
        """Take those of *futures* that have not begun out of the queue, and cancel them."""
        given_up = set(futures)
        with self._changed:
            dropped = [future for _, future in self._waiting if future in given_up]
            self._waiting = deque(
                waiting for waiting in self._waiting if waiting[1] not in given_up
            )
        for future in dropped:
            future.cancel()
            future.set_running_or_notify_cancel()  # else whoever waits for it is not told

    def _work(self) -> None:
        if self._background:
            go_last()
        while batch := self._take():
            started = time.monotonic()
            self._run(batch)
            self._batch_seconds = time.monotonic() - started
            with self._changed:
                self._idle += 1

    def _take(self) -> list[tuple[Item, Future[Result]]]:
        """Wait for items and take a batch of them; empty when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            share = math.ceil(len(self._waiting) / self._idle)  # those that are idle get as many
            number = min(share, self._max_batch)
            self._idle -= 1
            batch = [self._waiting.popleft() for _ in range(number)]
            for _, future in batch:
                future.set_running_or_notify_cancel()
        return batch

    def _run(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._function([item for item, _ in batch])
            answers = list(zip(batch, results, strict=True))
            self._succeeded_at = time.monotonic()
            for (_, future), result in answers:
                future.set_result(result)
        except Exception as error:  # the thread must outlive whatever is raised
            if not isinstance(error, Unavailable):
                logger.exception("the %s encoder failed", self.name)
            for _, future in batch:
                future.set_exception(error)

    def _result(self, future: Future[Result]) -> Result:
        try:
            return future.result()
        except Unavailable:
            raise
        except CancelledError:
            raise DeadlineExceeded(f"nobody waits for the {self.name} encoder") from None
        except Exception as error:
            # By its kind alone: what a library says may name folders of this machine.
            message = f"the {self.name} encoder failed ({type(error).__name__})"
            raise Unavailable(message) from error

    def _stopping(self) -> Unavailable:
        return Unavailable(f"the {self.name} encoder is stopping")

    def _overloaded(self) -> Overloaded:
        batches = math.ceil(len(self._waiting) / (self._max_batch * len(self._threads)))
        return Overloaded(
            f"{len(self._waiting)} of at most {self._max_queue} items wait for the {self.name}"
            " encoder",
            retry_after_seconds=max(1.0, batches * self._batch_seconds),
        )


def close(*batchers: Batcher[Any, Any]) -> None:
    """Stop all, and return when what they run has ended, or after CLOSE_LIMIT_SECONDS in all."""
    for batcher in batchers:
        batcher.stop()
    give_up_at = time.monotonic() + CLOSE_LIMIT_SECONDS
    for batcher in batchers:
        batcher.join(give_up_at)
