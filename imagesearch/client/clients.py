"""The clients: what `searching.py` decides, with a network and a clock, and with asyncio or not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar, Unpack, cast

from imagesearch.client.api import Answer, Collection, Fetching, Hit, PoolWithRejections, Search
from imagesearch.client.errors import Unreached
from imagesearch.client.http import HttpServer, in_a_thread
from imagesearch.client.searching import (
    UNWATCHED,
    WATCHED,
    Ask,
    Following,
    Outcome,
    Pages,
    Patience,
    Pause,
    Reply,
    Steps,
    collections_of,
    now_of,
    pool_of,
)

T = TypeVar("T")
PATIENCE = Patience()
OnWait = Callable[[Pause], None]
"""Is told of each pause, before it."""


def _ignored(_: Pause) -> None:
    return None


class Server(Protocol):
    """Where the API is: `HttpServer`, or a stack of this process."""

    def ask(self, ask: Ask) -> Reply:
        """Return the reply, whatever its status; raises SearchFailed, Unreached to try again."""

    def image(self, url: str) -> bytes:
        """Return the bytes of a result's `url`; raises SearchFailed or OSError."""


def _server(server: str | Server, api_key: str | None) -> Server:
    if not isinstance(server, str):
        return server
    key = os.environ.get("SEARCH_API_KEY", "") if api_key is None else api_key
    return HttpServer(server, api_key=key)


class Client:
    """
    Asks the API at a URL, and waits where that helps.

    Args:
        server: the URL under which `/search` is, or another `Server`; a URL that is none raises
            InvalidRequest.
        api_key: of a server that asks for one; None for that of SEARCH_API_KEY.
        patience: how long it goes on.
        sleep: waits so many seconds.

    Every method raises SearchFailed, with a sentence for a person.
    """

    def __init__(
        self,
        server: str | Server,
        *,
        api_key: str | None = None,
        patience: Patience = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = _server(server, api_key)
        self._patience = patience
        self._sleep = sleep

    def search(self, *, on_wait: OnWait = _ignored, **search: Unpack[Search]) -> Iterator[Hit]:
        """Yield the hits, the best first, page after page of `k`, each once."""
        pages = Pages(search)
        while pages.next is not None:
            yield from pages.take(self.page(on_wait=on_wait, **pages.next))

    def page(self, *, on_wait: OnWait = _ignored, **search: Unpack[Search]) -> Answer:
        """Return one page, when all the pictures of its keyword are there, or as many as can be."""
        following = Following(search, self._patience, UNWATCHED)
        while not following.is_over:
            answer = self._through(following.step(), on_wait)
        return cast(Answer, answer)

    def answers(
        self, *, on_wait: OnWait = _ignored, **search: Unpack[Search]
    ) -> Iterator[Answer | Fetching]:
        """Yield each answer while the pictures of a keyword come; the last is what `page` is."""
        following = Following(search, self._patience, WATCHED)
        while not following.is_over:
            yield self._through(following.step(), on_wait)

    def ask(
        self, *, wait_seconds: float = 0, on_wait: OnWait = _ignored, **search: Unpack[Search]
    ) -> Answer | Fetching:
        """Return what there is now, after the server has waited so long for the pictures."""
        return self._through(now_of(search, wait_seconds, self._patience), on_wait)

    def collections(self) -> list[Collection]:
        """Return the collections of own pictures, in the order of their names."""
        return self._through(collections_of(self._patience))

    def pool(self, pool_id: str) -> PoolWithRejections:
        """Return how the pictures of a keyword are coming along."""
        return self._through(pool_of(pool_id, self._patience))

    def image(self, url: str) -> bytes:
        """Return the bytes of a result's `url`, or raise SearchFailed or OSError."""
        return self._server.image(url)

    def _through(self, steps: Steps[T], on_wait: OnWait = _ignored) -> T:
        outcome: Outcome | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return cast(T, end.value)
            if isinstance(step, Pause):
                on_wait(step)
                self._sleep(step.seconds)
                outcome = None
            else:
                outcome = _outcome(self._server, step)


class AsyncClient:
    """
    `Client` for asyncio: the same arguments and methods, which are awaited.

    A question waits in a thread of its own, as that of a Client does; one that is cancelled is
    given up at once, and its thread ends by the time limit of an exchange.
    """

    def __init__(
        self,
        server: str | Server,
        *,
        api_key: str | None = None,
        patience: Patience = PATIENCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._server = _server(server, api_key)
        self._patience = patience
        self._sleep = sleep

    async def search(
        self, *, on_wait: OnWait = _ignored, **search: Unpack[Search]
    ) -> AsyncIterator[Hit]:
        """Yield the hits, the best first, page after page of `k`, each once."""
        pages = Pages(search)
        while pages.next is not None:
            for hit in pages.take(await self.page(on_wait=on_wait, **pages.next)):
                yield hit

    async def page(self, *, on_wait: OnWait = _ignored, **search: Unpack[Search]) -> Answer:
        """Return one page, when all the pictures of its keyword are there, or as many as can be."""
        following = Following(search, self._patience, UNWATCHED)
        while not following.is_over:
            answer = await self._through(following.step(), on_wait)
        return cast(Answer, answer)

    async def answers(
        self, *, on_wait: OnWait = _ignored, **search: Unpack[Search]
    ) -> AsyncGenerator[Answer | Fetching, None]:
        """Yield each answer while the pictures of a keyword come; the last is what `page` is."""
        following = Following(search, self._patience, WATCHED)
        while not following.is_over:
            yield await self._through(following.step(), on_wait)

    async def ask(
        self, *, wait_seconds: float = 0, on_wait: OnWait = _ignored, **search: Unpack[Search]
    ) -> Answer | Fetching:
        """Return what there is now, after the server has waited so long for the pictures."""
        return await self._through(now_of(search, wait_seconds, self._patience), on_wait)

    async def collections(self) -> list[Collection]:
        """Return the collections of own pictures, in the order of their names."""
        return await self._through(collections_of(self._patience))

    async def pool(self, pool_id: str) -> PoolWithRejections:
        """Return how the pictures of a keyword are coming along."""
        return await self._through(pool_of(pool_id, self._patience))

    async def image(self, url: str) -> bytes:
        """Return the bytes of a result's `url`, or raise SearchFailed or OSError."""
        return await _awaited(lambda: self._server.image(url))

    async def _through(self, steps: Steps[T], on_wait: OnWait = _ignored) -> T:
        outcome: Outcome | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return cast(T, end.value)
            if isinstance(step, Pause):
                on_wait(step)
                await self._sleep(step.seconds)
                outcome = None
            else:
                outcome = await _awaited(partial(_outcome, self._server, step))


def _outcome(server: Server, ask: Ask) -> Outcome:
    try:
        return server.ask(ask)
    except Unreached as unreached:
        return unreached


async def _awaited(work: Callable[[], T]) -> T:
    return await asyncio.wrap_future(in_a_thread(work))
