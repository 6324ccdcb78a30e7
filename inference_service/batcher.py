"""A bounded queue and the one thread that runs a function on what waits in it, in batches.

What the function computes is its owner's business: see `clip.py`.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from imagesearch.errors import DeadlineExceeded, Overloaded, Unavailable

CLOSE_LIMIT_SECONDS = 8.0  # Cloud Run kills a container 10 seconds after it asks it to end
BACKGROUND_NICENESS = 10  # of at most 19; the threads that the function starts inherit it


def go_last() -> None:
    """Let all other threads go before this one where cores are short; on Linux alone."""
    if sys.platform == "linux":  # elsewhere a niceness is the whole process's
        os.nice(BACKGROUND_NICENESS)


Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """
    Runs *function* on batches of what callers in many threads ask for.

    The thread takes what is waiting, up to *max_batch*, and never waits for more: a lone item
    goes at once, and a batch forms of what came while the last one ran. A cancelled item is
    dropped before it reaches the function. When the function raises, its batch fails and the
    thread lives on.

    Args:
        name: of the thread and in messages.
        function: takes 1..max_batch items and returns as many results, in their order.
        max_batch: most items the function gets at once.
        max_queue: most items that may wait. One caller's items always fit in an empty queue.
        background: on Linux, let the other threads of the machine go first when cores are short.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[list[Item]], Sequence[Result]],
        *,
        max_batch: int,
        max_queue: int,
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
        self._thread = threading.Thread(target=self._work, name=f"{name}-batcher", daemon=True)
        self._thread.start()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the function last returned; infinite when it never has."""
        return time.monotonic() - self._succeeded_at

    @property
    def waiting(self) -> int:
        """How many items are queued, those that were given up included."""
        return len(self._waiting)

    def ask(self, items: Sequence[Item], time_limit_seconds: float) -> list[Result]:
        """
        Return the results of *items*, in their order.

        Raises:
            Overloaded: they do not fit in the queue; nothing was queued.
            DeadlineExceeded: the time limit passed; what had not begun is dropped.
            Unavailable: the function raised, which is the cause, or the batcher is closed.
        """
        futures = self._submit(items)
        _, unfinished = wait(futures, timeout=time_limit_seconds)
        for future in unfinished:
            future.cancel()
        if unfinished:
            limit = f"{time_limit_seconds:g} seconds"
            raise DeadlineExceeded(f"the {self.name} encoder took more than {limit}")
        return [self._result(future) for future in futures]

    def close(self) -> None:
        """
        Fail what waits with Unavailable, and return when the running batch has ended.

        A function that is stuck is given up after CLOSE_LIMIT_SECONDS.
        """
        with self._changed:
            self._closed = True
            abandoned = [future for _, future in self._waiting]
            self._waiting.clear()
            self._changed.notify()
        for future in abandoned:
            if future.set_running_or_notify_cancel():
                future.set_exception(self._stopping())
        self._thread.join(CLOSE_LIMIT_SECONDS)

    def _submit(self, items: Sequence[Item]) -> list[Future[Result]]:
        futures: list[Future[Result]] = [Future() for _ in items]
        with self._changed:
            if self._closed:
                raise self._stopping()
            if self._waiting and len(self._waiting) + len(items) > self._max_queue:
                raise self._overloaded()
            self._waiting.extend(zip(items, futures, strict=True))
            self._changed.notify()
        return futures

    def _work(self) -> None:
        if self._background:
            go_last()
        while batch := self._take():
            started = time.monotonic()
            self._run(batch)
            self._batch_seconds = time.monotonic() - started

    def _take(self) -> list[tuple[Item, Future[Result]]]:
        """Wait for items and take a batch that nobody gave up on; empty when closed."""
        batch: list[tuple[Item, Future[Result]]] = []
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    break
                while self._waiting and len(batch) < self._max_batch:
                    item, future = self._waiting.popleft()
                    if future.set_running_or_notify_cancel():
                        batch.append((item, future))
        return batch

    def _run(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._function([item for item, _ in batch])
            answers = list(zip(batch, results, strict=True))
            self._succeeded_at = time.monotonic()
            for (_, future), result in answers:
                future.set_result(result)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever is raised
            for _, future in batch:
                future.set_exception(error)

    def _result(self, future: Future[Result]) -> Result:
        try:
            return future.result()
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(f"the {self.name} encoder failed: {error!r}") from error

    def _stopping(self) -> Unavailable:
        return Unavailable(f"the {self.name} encoder is stopping")

    def _overloaded(self) -> Overloaded:
        batches = math.ceil(len(self._waiting) / self._max_batch)
        return Overloaded(
            f"{len(self._waiting)} of at most {self._max_queue} items wait for the {self.name}"
            " encoder",
            retry_after_seconds=max(1.0, batches * self._batch_seconds),
        )
