"""What is decided between a question and its answer: asking again, waiting for a pool, paging.

Nothing here waits or asks: a generator yields what is to be asked and how long to wait, and is
sent what came of it. `clients.py` drives the same ones with and without asyncio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import quote

from pydantic import ValidationError

from imagesearch.client.api import (
    PICTURES,
    Answer,
    Collection,
    Collections,
    Fetching,
    Hit,
    Pool,
    PoolWithRejections,
    Search,
    _Part,
)
from imagesearch.client.errors import SearchFailed, Unreached
from imagesearch.domain.filters import chosen
from imagesearch.domain.printable import printable

GIVE_UP_SECONDS = 300.0
RETRY_PAUSES_SECONDS = (1.0, 2.0, 4.0)  # where the server does not say when
LONGEST_PAUSE_SECONDS = 120.0  # what asks for a longer one is told at once
MAX_PAGES = 1_000  # of a search: a server looks at 1,000 pictures, so more are none of its answers
_REASON_CHARACTERS = 500


@dataclass(frozen=True)
class Ask:
    """A question: a path of the API, its parameters as texts, and the files that go with them."""

    path: str
    params: Mapping[str, str | list[str]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """One HTTP answer of the API; *body* is what its JSON says, None where there is none."""

    status: int
    body: Any
    retry_after_seconds: float | None


@dataclass(frozen=True)
class Pause:
    """
    How long to wait before the next question, and why.

    Attributes:
        failure: what is waited out; None where the pictures are on their way.
        pool: how they are, then.
    """

    seconds: float
    failure: SearchFailed | None = None
    pool: Pool | None = None

    @property
    def reason(self) -> str:
        """Why, in words."""
        return str(self.failure) if self.failure else "the pictures are on their way"


@dataclass(frozen=True)
class Patience:
    """
    How long a client goes on.

    Attributes:
        give_up_seconds: until there must be a complete answer.
        retry_pauses_seconds: before each further try where the server does not say when.
        now: the seconds of a clock that never steps back.
    """

    give_up_seconds: float = GIVE_UP_SECONDS
    retry_pauses_seconds: tuple[float, ...] = RETRY_PAUSES_SECONDS
    now: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Rhythm:
    """How often is asked while pictures come: the server waits, then the client."""

    first_wait_seconds: float
    next_wait_seconds: float
    pause_seconds: float  # from a question to the next, where the answer does not say


UNWATCHED = Rhythm(2, 2, 1.0)
# A known keyword answers well within the first wait, and a new one shows its progress then; a
# longer one after it would keep the first pictures back.
WATCHED = Rhythm(0.5, 0.25, 0.5)

_REPEATED = ("minus", "like", "unlike")
_MAY_RECOVER = (429, 502, 503, 504)
_TELLING_WHEN = (429, 504)  # a server in good order: it is asked again as often as it says
_LOGIN_STATUSES = (401, 403, 407)
LOGIN = "a login is asked for, which this client does not have"

T = TypeVar("T")
P = TypeVar("P", bound=_Part)
Outcome = Reply | Unreached
Steps = Generator[Ask | Pause, Outcome | None, T]
"""What asks: an Ask is sent its outcome, a Pause None when it is over."""


class Following:
    """
    The answers to *search* while its pictures come, each asked for with `step`.

    Attributes:
        is_over: whether the last answer was the whole one, or there can become no more.
    """

    def __init__(self, search: Search, patience: Patience, rhythm: Rhythm) -> None:
        self.is_over = False
        self._search, self._patience, self._rhythm = search, patience, rhythm
        self._give_up_at = patience.now() + patience.give_up_seconds
        self._before: tuple[Answer | Fetching, float] | None = None  # and when to ask again

    def step(self) -> Steps[Answer | Fetching]:
        """
        Return the next answer.

        Raises:
            SearchFailed: an error of the API, an answer that is none of this API's or of a version
                that leaves a part of the search out, or no complete one within the patience.
        """
        rhythm, wait_seconds = self._rhythm, self._rhythm.first_wait_seconds
        if self._before:
            answer, ask_at = self._before
            yield _pause(ask_at, self._patience, self._give_up_at, pool=answer.pool)
            wait_seconds = rhythm.next_wait_seconds
        ask = _question(self._search, wait_seconds)
        reply, asked_at = yield from _reply_to(ask, self._patience, self._give_up_at)
        answer = _answer_of(reply, ask)
        # Of an answer that was waited for, the pause is over already.
        pause_seconds = reply.retry_after_seconds or rhythm.pause_seconds
        self._before = answer, asked_at + pause_seconds
        self.is_over = isinstance(answer, Answer) and _is_last(answer)
        return answer


def now_of(search: Search, wait_seconds: float, patience: Patience) -> Steps[Answer | Fetching]:
    """Return what there is of *search* once the server has waited so long; raises SearchFailed."""
    ask = _question(search, wait_seconds)
    reply, _ = yield from _reply_to(ask, patience, patience.now() + patience.give_up_seconds)
    return _answer_of(reply, ask)


def collections_of(patience: Patience) -> Steps[list[Collection]]:
    """Return the collections of the server; raises SearchFailed."""
    return (yield from _what_is_at("/collections", Collections, patience)).collections


def pool_of(pool_id: str, patience: Patience) -> Steps[PoolWithRejections]:
    """Return the pool of that id; raises SearchFailed."""
    return (
        yield from _what_is_at(f"/pools/{quote(pool_id, safe='')}", PoolWithRejections, patience)
    )


class Pages:
    """
    The pages of *search*, each asked for with `next` and then taken.

    Attributes:
        next: the search to ask next; None when there is no more.
    """

    def __init__(self, search: Search) -> None:
        self.next: Search | None = search
        self._number = 0
        self._given: set[str] = set()

    def take(self, answer: Answer) -> list[Hit]:
        """
        Return the hits of *answer* that no page had before: where the pool has changed since, its
        pages begin anew.

        Raises:
            SearchFailed: there are more pages than any search has.
        """
        self._number += 1
        if self._number > MAX_PAGES:
            raise SearchFailed(f"the server answers with more than {MAX_PAGES} pages")
        search = cast(Search, self.next)
        self.next = {**search, "cursor": answer.next} if answer.next else None
        hits = [hit for hit in answer.results if hit.image_id not in self._given]
        self._given |= {hit.image_id for hit in hits}
        return hits


def _is_last(answer: Answer) -> bool:
    """Return whether asking again brings no more: of everything no fetch does."""
    return answer.pool is None or answer.complete or answer.pool.state == "failed"


def _answer_of(reply: Reply, ask: Ask) -> Answer | Fetching:
    if reply.status == 202:
        return _read(reply, Fetching, 202)
    answer = _read(reply, Answer)
    _check_parts(answer, ask.params)
    return answer


def _question(search: Search, wait_seconds: float) -> Ask:
    params = {
        name: _given(name, value)
        for name, value in search.items()
        if name not in PICTURES and value is not None
    }
    pictures = {name: cast(bytes, search.get(name)) for name in PICTURES if search.get(name)}
    return Ask("/search", {**params, "wait": f"{wait_seconds:g}"}, pictures)


def _given(name: str, value: object) -> str | list[str]:
    """Return a parameter as texts; of one that may be repeated, a text alone is one of them."""
    if isinstance(value, list | tuple):
        return [_text(each) for each in value]
    return [_text(value)] if name in _REPEATED else _text(value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _what_is_at(path: str, shape: type[P], patience: Patience) -> Steps[P]:
    give_up_at = patience.now() + patience.give_up_seconds
    reply, _ = yield from _reply_to(Ask(path), patience, give_up_at)
    return _read(reply, shape)


def _reply_to(ask: Ask, patience: Patience, give_up_at: float) -> Steps[tuple[Reply, float]]:
    """
    Return the reply, once asking again can help no more, and when it was asked for.

    docs/clients.md has the rule; client.js has the same, and a table of cases holds them to it.
    """
    pauses = iter(patience.retry_pauses_seconds)
    while True:
        asked_at = patience.now()
        outcome = cast(Outcome, (yield ask))
        failure = outcome if isinstance(outcome, Unreached) else _refusal(outcome)
        says_when = failure.retry_seconds or 0.0
        is_counted = not (says_when and failure.status in _TELLING_WHEN)
        retry = next(pauses, None) if is_counted else says_when
        is_final = failure.retry_seconds is None or says_when > LONGEST_PAUSE_SECONDS
        if is_final or retry is None:
            if isinstance(outcome, Unreached):
                raise outcome
            return outcome, asked_at
        until = patience.now() + (says_when or retry)
        yield _pause(until, patience, give_up_at, failure)


def _pause(
    until: float,
    patience: Patience,
    give_up_at: float,
    failure: SearchFailed | None = None,
    pool: Pool | None = None,
) -> Pause:
    pause = Pause(max(0.0, until - patience.now()), failure, pool)
    if until > give_up_at:
        seconds = f"{patience.give_up_seconds:.0f} seconds"
        raise SearchFailed(f"no complete answer within {seconds}: {pause.reason}", "unfinished")
    return pause


def _read(reply: Reply, shape: type[P], status: int = 200) -> P:
    """Return what the reply says, or raise SearchFailed."""
    if reply.status != status:
        raise _refusal(reply)
    try:
        return shape.model_validate(reply.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        message = f"the answer is not an imagesearch's: {where}: {first['msg']}"
        raise SearchFailed(message, status=status) from None


def _check_parts(answer: Answer, params: Mapping[str, Any]) -> None:
    """Raise SearchFailed where an older server has not seen all of *params*."""
    if params.get("scope", answer.scope) != answer.scope:
        raise SearchFailed("the answer is not an imagesearch's: scope is another one than asked")
    if not chosen(params).items() <= answer.filters.items():  # a newer one may say more
        raise SearchFailed("its answer is not filtered: it is of another version", "older")
    for name in _REPEATED:
        asked = {text.strip() for text in params.get(name, ())} - {""}
        if not asked <= set(getattr(answer, name)):
            unheard = f"its answer knows nothing of {name}: it is of another version"
            raise SearchFailed(unheard, "older")


def _refusal(reply: Reply) -> SearchFailed:
    status = reply.status
    reason = _said(reply.body, "message")
    retry_seconds = (reply.retry_after_seconds or 0.0) if status in _MAY_RECOVER else None
    if not reason and status in _LOGIN_STATUSES:
        # Every refusal of the API's has its reason: what has none is of what stands before it.
        return SearchFailed(f"{LOGIN} (HTTP {status})", "login", status=status)
    message = f"{reason or 'no reason given'} (HTTP {status})"
    if status == 401:
        message += ": give the key of this server as api_key, or as SEARCH_API_KEY"
    return SearchFailed(
        message,
        "refused" if status >= 400 else "odd",
        status=status,
        field=_said(reply.body, "field"),
        reason=reason,
        retry_seconds=retry_seconds,
    )


def _said(body: Any, name: str) -> str:
    """Return what an error says under *name*, on one line; "" where it says nothing there."""
    error = body.get("error") if isinstance(body, dict) else None
    text = error.get(name) if isinstance(error, dict) else None
    return printable(text.strip())[:_REASON_CHARACTERS] if isinstance(text, str) else ""
