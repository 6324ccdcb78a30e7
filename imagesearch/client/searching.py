"""What is decided between a question and its answer: asking again, waiting for a pool, paging.

Nothing here waits or asks: a generator yields what is to be asked and how long to wait, and is
sent what came of it. `clients.py` drives the same ones with and without asyncio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

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

POLL_WAIT_SECONDS = 2
GIVE_UP_SECONDS = 300.0
RETRY_PAUSES_SECONDS = (0.5, 1.0, 2.0)  # after what nobody asked to wait out
LEAST_PAUSE_SECONDS, USUAL_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 1.0, 30.0
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
    """Why and how long to wait before the next question; *pool* as it stands, if that is known."""

    seconds: float
    reason: str
    pool: Pool | None = None


@dataclass(frozen=True)
class Patience:
    """
    How long a client goes on.

    Attributes:
        give_up_seconds: until there must be a complete answer.
        retry_pauses_seconds: before each further try where nobody answers, or a server cannot.
        now: the seconds of a clock that never steps back.
    """

    give_up_seconds: float = GIVE_UP_SECONDS
    retry_pauses_seconds: tuple[float, ...] = RETRY_PAUSES_SECONDS
    now: Callable[[], float] = time.monotonic


_LOGIN_STATUSES = (401, 403, 407)
_LOGIN = "a login is asked for, which this client does not have"

T = TypeVar("T")
P = TypeVar("P", bound=_Part)
Outcome = Reply | Unreached
Steps = Generator[Ask | Pause, Outcome | None, T]
"""What asks: an Ask is sent its outcome, a Pause None when it is over."""


def page_of(search: Search, patience: Patience) -> Steps[Answer]:
    """
    Return a page of *search*, once its pool is complete or can become no more.

    Raises:
        SearchFailed: an error of the API, an answer that is none of this API's or of a version
            that leaves a part of *search* out, or no complete one within the patience.
    """
    ask = _question(search)
    give_up_at = patience.now() + patience.give_up_seconds
    while True:
        reply, asked_at = yield from _reply_to(ask, patience, give_up_at)
        answer = _found(reply, ask)
        if isinstance(answer, Answer) and _is_last(answer):
            return answer
        # Of an answer that was waited for, the pause is over already.
        ask_at = asked_at + (reply.retry_after_seconds or USUAL_PAUSE_SECONDS)
        yield _pause(ask_at, "the pictures are on their way", patience, give_up_at, answer.pool)


def now_of(search: Search, wait_seconds: float, patience: Patience) -> Steps[Answer | Fetching]:
    """Return what there is of *search* once the server has waited so long; raises SearchFailed."""
    ask = _question(search, wait_seconds)
    reply, _ = yield from _reply_to(ask, patience, patience.now() + patience.give_up_seconds)
    return _found(reply, ask)


def collections_of(patience: Patience) -> Steps[list[Collection]]:
    """Return the collections of the server; raises SearchFailed."""
    return (yield from _what_is_at("/collections", Collections, patience)).collections


def pool_of(pool_id: str, patience: Patience) -> Steps[PoolWithRejections]:
    """Return the pool of that id; raises SearchFailed."""
    return (yield from _what_is_at(f"/pools/{pool_id}", PoolWithRejections, patience))


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


def _found(reply: Reply, ask: Ask) -> Answer | Fetching:
    if reply.status == 202:
        return _read(reply, Fetching, 202)
    answer = _read(reply, Answer)
    _check_parts(answer, ask.params)
    return answer


def _question(search: Search, wait_seconds: float = POLL_WAIT_SECONDS) -> Ask:
    params = {
        name: [_text(each) for each in value] if isinstance(value, list) else _text(value)
        for name, value in search.items()
        if name not in PICTURES and value is not None
    }
    pictures = {name: cast(bytes, search.get(name)) for name in PICTURES if search.get(name)}
    return Ask("/search", {**params, "wait": f"{wait_seconds:g}"}, pictures)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _what_is_at(path: str, shape: type[P], patience: Patience) -> Steps[P]:
    give_up_at = patience.now() + patience.give_up_seconds
    reply, _ = yield from _reply_to(Ask(path), patience, give_up_at)
    return _read(reply, shape)


def _reply_to(ask: Ask, patience: Patience, give_up_at: float) -> Steps[tuple[Reply, float]]:
    """Return the reply, once asking again can help no more, and when it was asked for."""
    pauses = iter(patience.retry_pauses_seconds)
    while True:
        asked_at = patience.now()
        outcome = cast(Outcome, (yield ask))
        seconds = _asked_for(outcome)
        if seconds is None:
            is_final = isinstance(outcome, Reply) and not _may_recover(outcome)
            retry = None if is_final else next(pauses, None)
            if retry is None:
                if isinstance(outcome, Unreached):
                    raise outcome
                return outcome, asked_at
            seconds = (isinstance(outcome, Reply) and outcome.retry_after_seconds) or retry
        yield _pause(patience.now() + seconds, _why(outcome), patience, give_up_at)


def _asked_for(outcome: Outcome) -> float | None:
    """Return the pause that a server in good order asks for, however often; None where none."""
    if isinstance(outcome, Unreached):
        return None
    is_late = outcome.status == 504 and outcome.retry_after_seconds is not None
    if outcome.status == 429 or is_late:
        return outcome.retry_after_seconds or USUAL_PAUSE_SECONDS
    return None


def _may_recover(reply: Reply) -> bool:
    """Return whether a server that cannot answer may soon: not where it speaks of half a minute."""
    is_soon = (reply.retry_after_seconds or 0) < MOST_PAUSE_SECONDS
    return reply.status in (502, 503, 504) and is_soon


def _pause(
    until: float, reason: str, patience: Patience, give_up_at: float, pool: Pool | None = None
) -> Pause:
    if until > give_up_at:
        seconds = f"{patience.give_up_seconds:.0f} seconds"
        raise SearchFailed(f"no complete answer within {seconds}: {reason}")
    return Pause(max(0.0, until - patience.now()), reason, pool)


def _why(outcome: Outcome) -> str:
    return str(outcome if isinstance(outcome, Unreached) else _refusal(outcome))


def _read(reply: Reply, shape: type[P], status: int = 200) -> P:
    """Return what the reply says, or raise SearchFailed."""
    if reply.status != status:
        raise _refusal(reply)
    try:
        return shape.model_validate(reply.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise SearchFailed(f"the answer is not an imagesearch's: {where}: {first['msg']}") from None


def _check_parts(answer: Answer, params: Mapping[str, Any]) -> None:
    """Raise SearchFailed where an older server has not seen all of *params*."""
    if params.get("scope", answer.scope) != answer.scope:
        raise SearchFailed("the answer is not an imagesearch's: scope is another one than asked")
    if answer.filters != chosen(params):
        raise SearchFailed("its answer is not filtered: it is of another version")
    for name in ("minus", "like", "unlike"):
        said = dict.fromkeys(text.strip() for text in params.get(name, ()) if text.strip())
        if getattr(answer, name) != list(said):
            raise SearchFailed(f"its answer knows nothing of {name}: it is of another version")


def _refusal(reply: Reply) -> SearchFailed:
    said = _told(reply.body, "message")
    # Every refusal of the API's has its reason: what has none is of what stands before it.
    reason = said or (_LOGIN if reply.status in _LOGIN_STATUSES else "no reason given")
    message = f"{reason} (HTTP {reply.status})"
    if said and reply.status == 401:
        message += ": give the key of this server as SEARCH_API_KEY"
    return SearchFailed(message, status=reply.status, field=_told(reply.body, "field"))


def _told(body: Any, name: str) -> str:
    """Return what an error says under *name*, on one line; "" where it says nothing there."""
    error = body.get("error") if isinstance(body, dict) else None
    text = error.get(name) if isinstance(error, dict) else None
    return printable(text.strip())[:_REASON_CHARACTERS] if isinstance(text, str) else ""
