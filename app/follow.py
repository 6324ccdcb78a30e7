"""One search, from its first question to its last picture: asked until its answer is whole."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from app.answers import Answer
from app.api import Api
from app.failures import Failure
from app.search import Search

FIRST_WAIT_SECONDS = 0.5  # a known keyword answers well within it, a new one shows its progress
NEXT_WAIT_SECONDS = 0.25  # a longer one would keep the first pictures back until it ends
GIVE_UP_SECONDS = 300.0
LONGEST_COUNTDOWN_SECONDS = 120
RETRIES = 3

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Countdown:
    """*failure* is waited out for *seconds* more."""

    failure: Failure
    seconds: int


async def follow(
    api: Api,
    search: Search,
    *,
    cursor: str = "",
    picture: bytes | None = None,
    sleep: Sleep = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Answer | Countdown, None]:
    """
    Yield each answer to *search*, the last one whole, and what is waited out in between.

    Args:
        cursor: where an answer to the same search ended; what follows it is one answer.
        picture: the bytes that `search.picture` names.

    Raises:
        Failure: waiting did not help, or would not.
    """
    begun = clock()
    wait = FIRST_WAIT_SECONDS
    failures = 0
    while clock() < begun + GIVE_UP_SECONDS:
        try:
            answer = await api.search(search, wait, cursor=cursor, picture=picture)
        except Failure as failure:
            failures += 1
            if not _is_worth_waiting(failure) or failures > RETRIES:
                raise
            async for countdown in _counted_down(failure, sleep):
                yield countdown
            continue
        failures = 0
        yield answer
        if cursor or _is_last(answer, search):
            return
        await sleep(answer.pause_seconds)
        wait = NEXT_WAIT_SECONDS
    raise Failure("unfinished", minutes=round(GIVE_UP_SECONDS / 60))


def _is_last(answer: Answer, search: Search) -> bool:
    """Over everything each is: what awaits a new model waits until its keyword is searched."""
    return search.everywhere or answer.complete or answer.failed


def _is_worth_waiting(failure: Failure) -> bool:
    return failure.retry_seconds is not None and failure.retry_seconds <= LONGEST_COUNTDOWN_SECONDS


async def _counted_down(failure: Failure, sleep: Sleep) -> AsyncIterator[Countdown]:
    for left in range(max(1, math.ceil(failure.retry_seconds or 0)), 0, -1):
        yield Countdown(failure, left)
        await sleep(1)
