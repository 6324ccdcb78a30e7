"""The API as one person's window asks it: by imagesearch's own client, with pauses counted down."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from app.search import Search
from imagesearch.client import Answer, AsyncClient, Fetching, SearchFailed
from imagesearch.client import Search as Question
from imagesearch.client.http import HttpServer
from imagesearch.client.searching import Ask, Pause

SoFar = Answer | Fetching


@dataclass(frozen=True)
class Countdown:
    """*failure* is waited out for *seconds* more."""

    failure: SearchFailed
    seconds: int


class Api:
    """
    An imagesearch at *url*.

    Args:
        on_countdown: told each second of what is waited out.
        sleep: waits so many seconds.

    Attributes:
        has_key: whether a key was given.

    Every method but those that say otherwise raises SearchFailed once waiting does not help.
    """

    def __init__(
        self,
        url: str,
        on_countdown: Callable[[Countdown], None],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url, self._on_countdown, self._sleep = url, on_countdown, sleep
        self._pause: Pause | None = None
        self.give_key("")

    def give_key(self, key: str) -> None:
        """Send *key* with each question from now on."""
        self.has_key = bool(key)
        self._server = HttpServer(self._url, api_key=key)
        self._client = AsyncClient(self._server, sleep=self._wait)

    def answers(self, search: Search, picture: bytes | None = None) -> AsyncGenerator[SoFar, None]:
        """Yield each answer to *search*, whose `picture` has these bytes; the last is whole."""
        return self._client.answers(on_wait=self._hear, **_question(search, picture))

    async def more(self, search: Search, cursor: str, picture: bytes | None = None) -> SoFar:
        """Return what follows where an answer to the same search ended."""
        question: Question = {**_question(search, picture), "cursor": cursor}
        return await self._client.ask(on_wait=self._hear, **question)

    async def collections(self) -> tuple[str, ...] | None:
        """Return the names of the collections of own pictures; None where it does not say."""
        try:
            return tuple(each.name for each in await AsyncClient(self._server).collections())
        except SearchFailed:
            return None

    async def demo_keywords(self) -> tuple[str, ...] | None:
        """Return the keywords of the demo, where the server has nothing but that; None unsaid."""
        try:
            reply = await asyncio.to_thread(self._server.ask, Ask("/config.json"))
        except SearchFailed:
            return None
        config = reply.body if isinstance(reply.body, dict) else {}
        keywords = config.get("demo_keywords") if config.get("demo") else None
        return tuple(map(str, keywords)) if isinstance(keywords, list) else ()

    def _hear(self, pause: Pause) -> None:
        self._pause = pause

    async def _wait(self, seconds: float) -> None:
        """Wait, and count down what went wrong; that pictures are on their way needs no word."""
        pause, self._pause = self._pause, None
        if pause is None or pause.failure is None:
            await self._sleep(seconds)
            return
        for left in range(math.ceil(seconds), 0, -1):
            self._on_countdown(Countdown(pause.failure, left))
            await self._sleep(1)  # up to one more than was asked for


def _question(search: Search, picture: bytes | None) -> Question:
    question = search.question()
    return cast(Question, {**question, "picture": picture} if picture else question)
