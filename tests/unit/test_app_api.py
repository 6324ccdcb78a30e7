"""The app and an API that answers, is away, slow, of another version, or behind a login."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app import shown, words
from app.api import Api, Countdown, SoFar
from app.search import Search
from imagesearch.client import SearchFailed
from tests.stub_http import Request, StubServer, reply

SEARCH = Search(t="cow", s_query="three cows", minus=("snow", "night"))
POOL = {"state": "ready", "images": 2, "embedded": 2, "rejected": 0, "reason": None}
HIT = {
    "image_id": "demo-1",
    "url": "https://api.example.org/images/demo-1.jpg",
    "page_url": "",
    "credit": {"user": "Ann", "source": "Pixabay"},
    "tags": ["cow"],
    "score": 0.3,
}
WHOLE = {
    "keyword": "cow",
    "minus": ["snow", "night"],
    "results": [HIT],
    "query_truncated": False,
    "complete": True,
    "pool": POOL,
    "timings": {"total_seconds": 0.1},
    "next": "on",
}
PARTIAL = {**WHOLE, "complete": False, "results": [], "next": None}
FETCHING = {"status": "fetching", "pool": {**POOL, "state": "requested"}}
SIGN_IN = "<h1>Sign in</h1>"
AWAY = object()


class Person:
    """Somebody who searches an API, and what is shown and waited for meanwhile."""

    def __init__(self, url: str) -> None:
        self.events: list[SoFar | Countdown | SearchFailed] = []
        self.slept: list[float] = []
        self.api = Api(url, self.events.append, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def search(self) -> list[Any]:
        """Return what came of a search, a failure last."""

        async def run() -> None:
            try:
                async for answer in self.api.answers(SEARCH):
                    self.events.append(answer)
            except SearchFailed as failure:
                self.events.append(failure)

        asyncio.run(run())
        return self.events


@contextmanager
def answering(*answers: Any) -> Iterator[tuple[Person, StubServer]]:
    """Yield somebody whose API gives *answers*, HTTP or JSON, in turn."""
    coming = iter(answers)

    def script(_: Request) -> bytes:
        answer = next(coming)
        if answer is AWAY:
            return b""  # and the connection is closed
        return answer if isinstance(answer, bytes) else reply(200, json.dumps(answer))

    with StubServer(script) as server:
        yield Person(f"{server.origin}/v"), server


def sentence_of(failure: SearchFailed) -> str:
    """Return what is said of *failure*, which is said in the other languages, too."""
    for language in words.LANGUAGES:
        assert shown.failure_notice(failure, language).text
    notice = shown.failure_notice(failure, "en")
    return f"{notice.title}. {notice.text}"


def test_a_search_is_asked_again_until_it_is_whole() -> None:
    with answering(reply(202, json.dumps(FETCHING)), PARTIAL, WHOLE) as (person, server):
        events = person.search()
    assert [event.complete for event in events] == [False, False, True]
    assert [request.query["wait"] for request in server.requests] == ["0.5", "0.25", "0.25"]
    assert server.requests[0].target.startswith("/v/search?")
    assert server.requests[0].target.count("minus=") == 2


def test_what_follows_is_asked_by_its_cursor() -> None:
    with answering(WHOLE) as (person, server):
        assert asyncio.run(person.api.more(SEARCH, "on")).results
    assert server.requests[0].query["cursor"] == "on"


def test_an_api_that_is_away_is_waited_for_with_the_seconds_counted_down() -> None:
    with answering(AWAY, AWAY, WHOLE) as (person, _):
        *countdowns, answer = person.search()
    assert [event.seconds for event in countdowns] == [1, 2, 1]
    assert answer.complete
    assert shown.countdown_notice(countdowns[0], "en").countdown == "Trying again in 1 s."


def test_what_comes_back_after_a_failure_is_shown() -> None:
    busy = reply(503, "{}", Retry_After="2")
    with answering(busy, PARTIAL, busy, WHOLE) as (person, _):
        kinds = [isinstance(event, Countdown) for event in person.search()]
    assert kinds == [True, True, False, True, True, False]
    assert [seconds for seconds in person.slept if seconds == 1] == [1] * 4


def refusing(code: int, message: str, **headers: str) -> bytes:
    return reply(code, json.dumps({"error": {"message": message, "field": "t"}}), **headers)


@pytest.mark.parametrize(
    ("answer", "sentence", "call"),
    [
        (reply(200, SIGN_IN), "The server's answer makes no sense", "try_again"),
        (reply(403, SIGN_IN), "This server asks for a login", "try_again"),
        (refusing(401, "give X-API-Key"), "This server asks for a key. Give the", "give_key"),
        (reply(404, "{}"), "The server may be of another version", "try_again"),
        (reply(500, "oh"), "Something broke on the server", "try_again"),
        (refusing(400, "t must be short"), "T must be short.", ""),
        ({**WHOLE, "minus": []}, "It took no notice of a part of this search", "try_again"),
        ({"images": []}, "The server's answer makes no sense", "try_again"),
        (
            refusing(429, "the day is spent", Retry_After="7200"),
            "The day is spent. Come back in about 120 minutes.",
            "try_again",
        ),
    ],
)
def test_what_no_waiting_helps_is_said_at_once(answer: Any, sentence: str, call: str) -> None:
    with answering(answer) as (person, server):
        (failure,) = person.search()
    assert len(server.requests) == 1
    assert sentence in sentence_of(failure)
    assert shown.failure_notice(failure, "en").call == call


def test_a_redirect_to_a_sign_in_is_told_as_a_login() -> None:
    with (
        StubServer(lambda _: reply(200, SIGN_IN)) as login,
        answering(reply(302, Location=login.origin)) as (person, _),
    ):
        (failure,) = person.search()
    assert sentence_of(failure).startswith("This server asks for a login")


def test_an_api_that_stays_away_or_silent_is_told_as_what_it_is() -> None:
    with answering(AWAY, AWAY, AWAY, AWAY) as (person, _):
        failure = person.search()[-1]
    assert sentence_of(failure).startswith("No connection to the server")
    late = SearchFailed("it did not end its answer", "late")
    assert sentence_of(late).startswith("No answer from the server")
    unfinished = SearchFailed("no complete answer", "unfinished")
    assert "After 5 minutes there is no whole answer" in sentence_of(unfinished)


def test_a_key_that_is_refused_is_told_from_one_that_lacks() -> None:
    failure = SearchFailed("X-API-Key", "refused", status=401)
    titles = [
        shown.failure_notice(failure, "en", has_key=has_key).title for has_key in (False, True)
    ]
    assert titles == ["This server asks for a key", "This server did not take the key"]
    assert shown.failure_notice(failure, "de", has_key=True).call == "give_key"


def test_a_key_is_sent_once_it_is_given() -> None:
    with answering(WHOLE, WHOLE) as (person, server):
        person.search()
        assert not person.api.has_key
        person.api.give_key("secret")
        person.search()
        assert person.api.has_key
    assert ["x-api-key" in request.headers for request in server.requests] == [False, True]


Read = Callable[[Api], Any]


@pytest.mark.parametrize(
    ("read", "answer", "names"),
    [
        (Api.demo_keywords, {"demo": True, "demo_keywords": ["cow"]}, ("cow",)),
        (Api.demo_keywords, {"demo": False}, ()),
        (Api.demo_keywords, [], ()),
        (
            Api.collections,
            {"collections": [{"name": "Pictures", "images": 1, "updating": False}]},
            ("Pictures",),
        ),
        (Api.collections, reply(200, SIGN_IN), None),
        (Api.demo_keywords, reply(200, SIGN_IN), None),
    ],
)
def test_what_the_server_has_is_asked_and_not_needed(
    read: Read, answer: Any, names: tuple[str, ...] | None
) -> None:
    with answering(answer) as (person, _):
        assert asyncio.run(read(person.api)) == names
