"""What stubs of Wikimedia Commons and of Openverse have in common: their limits.

A stub counts what it is asked by the clock of whoever asks, which a test sets, and answers 429 past
its limits. Those of Wikimedia are of its robot policy and its page on rate limits; those of
Openverse were measured, as its code leaves them to its environment.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from imagesearch.ports import Clock
from tests.stub_http import Request, Script, reply


@dataclass
class Counter:
    """
    Counts requests of one kind.

    Attributes:
        limits: how many are allowed in so many seconds, whichever these are.
        at_once: how many may be on their way.
        times: when each came.
        refused: how many were past a limit.
    """

    clock: Clock
    limits: tuple[tuple[int, float], ...]
    at_once: int = 1000
    times: list[float] = field(default_factory=list)
    refused: int = 0
    _busy: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def counted(self) -> Iterator[bool]:
        """Yield whether a request is within the limits; it lasts as long as the block."""
        with self._lock:
            now = self.clock.monotonic()
            self.times.append(now)
            self._busy += 1
            is_within = self._busy <= self.at_once and all(
                sum(time > now - seconds for time in self.times) <= most
                for most, seconds in self.limits
            )
            self.refused += not is_within
        try:
            yield is_within
        finally:
            with self._lock:
                self._busy -= 1


@dataclass
class Limited:
    """
    Scripts with *answer*, and 429 past what the host allows.

    Attributes:
        searches, pictures: what is counted of either, by whether "/thumb/" is in the path.
        total: what is counted of both.
    """

    answer: Script
    searches: Counter
    pictures: Counter
    total: Counter

    def __call__(self, request: Request) -> bytes:
        """Return the answer to *request*: a script of `StubServer`."""
        kind = self.pictures if "/thumb/" in request.target else self.searches
        with kind.counted() as is_allowed, self.total.counted() as is_allowed_at_all:
            if not (is_allowed and is_allowed_at_all):
                return reply(429, '{"detail": "throttled"}', Retry_After="30")
            return self.answer(request)

    @property
    def refused(self) -> int:
        """How many requests were answered 429."""
        return sum(one.refused for one in (self.searches, self.pictures, self.total))


def commons_limits(answer: Script, clock: Clock) -> Limited:
    """Return *answer* as Wikimedia gives it to a compliant User-Agent; 403 without a contact."""

    def guarded(request: Request) -> bytes:
        agent = request.headers.get("user-agent", "")
        is_compliant = agent.startswith("imagesearch") and ("@" in agent or "http" in agent)
        return answer(request) if is_compliant else reply(403, "see the User-Agent policy")

    return Limited(
        guarded,
        searches=Counter(clock, ((4, 1.0),), at_once=1),  # fewer than 5 in a second
        pictures=Counter(clock, (), at_once=2),
        total=Counter(clock, ((200, 60.0),)),
    )


def openverse_limits(answer: Script, clock: Clock) -> Limited:
    """Return *answer* as Openverse gives it to anyone without an account."""
    return Limited(
        answer,
        searches=Counter(clock, ((20, 60.0), (200, 86_400.0))),
        pictures=Counter(clock, ((150, 60.0),)),
        total=Counter(clock, ()),
    )
