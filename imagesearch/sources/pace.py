"""Requests to a source at the pace that it asks for, over all threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.ports import Clock

MAX_WAIT_SECONDS = 90.0  # a longer wait is left to the push door


class Pace:
    """
    Turns for requests of one kind: *at_once* at a time, and as many as *take_quota* allows.

    Args:
        what: is asked, as an error calls it.
        take_quota: see `Tools`.
    """

    def __init__(
        self, what: str, at_once: int, take_quota: Callable[[], float], clock: Clock
    ) -> None:
        self._what, self._take_quota, self._clock = what, take_quota, clock
        self._turns = threading.Semaphore(at_once)
        self._rest_until = clock.monotonic()
        self._is_closed = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """
        Hold a turn, once there is one.

        Raises:
            Overloaded: it would take longer than MAX_WAIT_SECONDS.
            Unavailable: the source is closed.
        """
        with self._turns:
            self._wait()
            yield

    def rest(self, seconds: float) -> None:
        """Begin no request for *seconds*, which the source asked for."""
        self._rest_until = max(self._rest_until, self._clock.monotonic() + seconds)

    def close(self) -> None:
        """Have whoever waits for a turn wait no longer than for the next second."""
        self._is_closed = True

    def _wait(self) -> None:
        waited_seconds = 0.0
        while wait_seconds := self._wait_seconds():
            if waited_seconds + wait_seconds > MAX_WAIT_SECONDS:
                message = f"the rate limit of {self._what} is reached"
                raise Overloaded(message, retry_after_seconds=wait_seconds)
            step_seconds = min(wait_seconds, 1.0)
            self._clock.sleep(step_seconds)
            waited_seconds += step_seconds

    def _wait_seconds(self) -> float:
        if self._is_closed:
            raise Unavailable(f"{self._what} is not asked any more")
        rest_seconds = self._rest_until - self._clock.monotonic()
        return rest_seconds if rest_seconds > 0.0 else self._take_quota()
