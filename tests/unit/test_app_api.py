"""The app and an API that answers, is away, slow, of another version, or behind a login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from app.answers import Answer
from app.api import Api
from app.failures import Failure
from app.follow import Countdown, follow
from app.search import Search

BASE = "https://api.example.org/v"
SEARCH = Search(t="cow", s_query="three cows", minus=("snow", "night"))
POOL = {"state": "ready", "images": 2, "embedded": 2, "reason": None}
HIT = {"image_id": "demo-1", "url": "/images/demo-1.jpg"}
WHOLE = {"pool": POOL, "complete": True, "results": [HIT], "next": "on"}
PARTIAL = {"pool": POOL, "complete": False, "results": []}
FETCHING = {"status": "fetching", "pool": {**POOL, "state": "requested"}}

Say = Callable[[httpx.Request], httpx.Response]


def answering(*answers: Any) -> tuple[Api, list[httpx.Request]]:
    """Return an API that gives *answers* in turn, and what it is asked."""
    asked: list[httpx.Request] = []
    coming: Iterator[Any] = iter(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        answer = next(coming)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    return Api(BASE, httpx.AsyncClient(transport=httpx.MockTransport(handle))), asked


def followed(api: Api, search: Search = SEARCH, **options: Any) -> tuple[list[Any], list[float]]:
    """Return what came of *search*, a failure last, and for how long it slept in between."""
    events: list[Any] = []
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def run() -> None:
        try:
            coming = follow(api, search, sleep=sleep, clock=lambda: sum(slept), **options)
            async for event in coming:
                events.append(event)  # noqa: PERF401 - those before a failure count, too
        except Failure as failure:
            events.append(failure)

    asyncio.run(run())
    return events, slept


def test_a_search_is_asked_again_until_it_is_whole() -> None:
    api, asked = answering(httpx.Response(202, json=FETCHING), PARTIAL, WHOLE)
    events, slept = followed(api)
    assert [event.complete for event in events] == [False, False, True]
    assert slept == [0.5, 0.5]
    assert [request.url.params["wait"] for request in asked] == ["0.5", "0.25", "0.25"]
    assert asked[0].url.path == "/v/search"
    assert asked[0].url.params.get_list("minus") == ["snow", "night"]


def test_over_everything_one_answer_is_the_last() -> None:
    api, asked = answering(PARTIAL)
    followed(api, Search(s_query="cows", everywhere=True))
    assert len(asked) == 1


def test_what_follows_is_asked_by_its_cursor() -> None:
    api, asked = answering(PARTIAL)
    events, _ = followed(api, cursor="on")
    assert asked[0].url.params["cursor"] == "on"
    assert isinstance(events[0], Answer)


def test_a_picture_travels_in_a_form_with_the_words() -> None:
    api, asked = answering(WHOLE)
    followed(api, picture=b"JPEG")
    assert asked[0].method == "POST"
    body = asked[0].content
    assert b'name="picture"' in body
    assert b"JPEG" in body
    assert body.count(b'name="minus"') == 2


def test_an_api_that_is_away_is_tried_again_three_times() -> None:
    api, asked = answering(*[httpx.ConnectError("refused")] * 4)
    events, slept = followed(api)
    assert len(asked) == 4
    assert [event.seconds for event in events[:-1]] == [3, 2, 1] * 3
    assert events[-1].key == "unreached"
    assert slept == [1] * 9


def test_what_comes_back_after_a_failure_is_shown() -> None:
    busy = httpx.Response(503, headers={"Retry-After": "2"})
    api, _ = answering(busy, busy, PARTIAL, busy, WHOLE)
    events, _ = followed(api)
    kinds = [type(event) for event in events]
    assert kinds == [*[Countdown] * 4, Answer, Countdown, Countdown, Answer]


def test_a_long_wait_is_not_waited_for() -> None:
    api, asked = answering(httpx.Response(429, headers={"Retry-After": "3600"}))
    events, slept = followed(api)
    assert (events[-1].retry_seconds, slept, len(asked)) == (3600, [], 1)


def test_a_silent_api_is_no_more_waited_for() -> None:
    api, asked = answering(httpx.ReadTimeout("slow"))
    events, _ = followed(api)
    assert (events[-1].key, len(asked)) == ("silent", 1)


def test_a_search_that_never_ends_is_given_up() -> None:
    api, _ = answering(*[PARTIAL] * 1000)
    events, slept = followed(api)
    assert events[-1].key == "unfinished"
    assert sum(slept) == 300


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (httpx.Response(200, html="<h1>Sign in</h1>"), "senseless"),
        (httpx.Response(302, headers={"Location": "https://accounts.example.org"}), "needs_login"),
        (httpx.Response(403, html="no"), "needs_login"),
        (httpx.Response(401, headers={"WWW-Authenticate": "ApiKey"}), "needs_key"),
        (httpx.Response(401, headers={"WWW-Authenticate": "Basic"}), "needs_login"),
        (httpx.Response(404, json={"detail": "none"}), "not_found"),
        ({"images": []}, "senseless"),
    ],
)
def test_another_server_or_a_login_is_said_at_once(answer: Any, key: str) -> None:
    api, asked = answering(answer)
    events, _ = followed(api)
    assert ([event.key for event in events], len(asked)) == ([key], 1)


def test_a_key_is_sent_once_it_is_given() -> None:
    api, asked = answering(WHOLE, WHOLE)
    followed(api)
    api.key = "secret"
    followed(api)
    assert ["X-API-Key" in request.headers for request in asked] == [False, True]


def test_what_the_server_has_is_asked_and_not_needed() -> None:
    api, _ = answering({"collections": [{"name": "Pictures"}, {}]}, httpx.ConnectError("away"))
    assert asyncio.run(api.collections()) == ("Pictures",)
    assert asyncio.run(api.collections()) == ()
    demo, _ = answering({"demo": True, "demo_keywords": ["cow"]}, {"demo": False}, [])
    assert asyncio.run(demo.demo_keywords()) == ("cow",)
    assert asyncio.run(demo.demo_keywords()) == asyncio.run(demo.demo_keywords()) == ()


def test_a_date_of_when_to_come_back_is_understood() -> None:
    past = httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    odd = httpx.Response(503, headers={"Retry-After": f"Wed, {10**30} Oct 2015 07:28:00 GMT"})
    soon = httpx.Response(503, headers={"Retry-After": "soon"})
    api, _ = answering(past, odd, soon, WHOLE)
    events, _ = followed(api)
    assert [event.seconds for event in events if isinstance(event, Countdown)] == [
        5,
        4,
        3,
        2,
        1,
    ] * 3
