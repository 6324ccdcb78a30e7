"""The true main.py files as functions-framework serves them, over the use cases of `World`."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import queue
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import functions_framework
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imagesearch.adapters.buses.local_bus import LocalBus
from imagesearch.domain.errors import (
    DeadlineExceeded,
    ImageSearchError,
    Overloaded,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.images import ListedImage, Listing
from imagesearch.domain.pools import Pool, PoolKey, PoolState
from imagesearch.domain.work import EmbedBatch, FetchJob, ForgetJob, Message
from imagesearch.doors.push import MAX_BODY_BYTES
from imagesearch.local.embedded.stack import mount
from imagesearch.ports import ImageStore
from imagesearch.settings import Settings, load_settings
from imagesearch.usecases.spending import IMAGE, PAGE_FILE, SENT_BYTE, Spending
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import TOPIC_OF, attributes_of, encode
from tests.log_lines import PROJECT, Log
from tests.world import World, listed

ROOT = Path(__file__).resolve().parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
SEARCH = {"t": "horse", "s_query": "twin-3", "wait": "0"}


def serve(
    name: str, world: World, settings: Settings, images: ImageStore | None = None
) -> FlaskClient:
    process = SimpleNamespace(
        settings=settings,
        clock=world.clock,
        catalog=world.catalog,
        limiter=world.limiter,
        check=world.catalog.check,
        search=world.search,
        fetch=world.fetch,
        give_up=world.give_up,
        collections=tuple,
        images=images,
        forget=world.forget,
    )
    app = mount(name, process)
    app.extensions["process"] = process  # where a test changes it
    client: FlaskClient = app.test_client()
    return client


@pytest.fixture
def query(world: World) -> FlaskClient:
    return serve("query", world, load_settings())


@pytest.fixture
def fetch(world: World) -> FlaskClient:
    return serve("fetch", world, load_settings())


def body(response: TestResponse) -> dict[str, Any]:
    assert response.mimetype == "application/json"
    parsed = json.loads(response.data)
    assert isinstance(parsed, dict)
    return parsed


def test_to_serve_a_function_leaves_the_paths_of_modules_as_they_were(world: World) -> None:
    paths = sys.path[:]
    serve("query", world, load_settings())
    assert sys.path == paths


def test_a_new_keyword_is_answered_202_with_where_to_look(query: FlaskClient) -> None:
    response = query.get("/search", query_string=SEARCH)
    assert response.status_code == 202
    assert body(response)["status"] == "fetching"
    assert response.headers["Retry-After"] == "1"
    location = response.headers["Location"]
    pool = query.get(location)
    assert pool.status_code == 200
    assert body(pool)["state"] == "requested"


def test_a_ready_pool_is_answered_in_the_shape_of_the_design(
    query: FlaskClient, world: World
) -> None:
    world.ready_pool(count=5)
    response = query.get("/search", query_string={**SEARCH, "k": "3"})
    assert response.status_code == 200
    answer = body(response)
    assert answer["top_urls"] == [result["url"] for result in answer["results"]]
    assert answer["top_scores"][0] == pytest.approx(100, abs=0.1)
    assert answer["results"][0] == {
        "image_id": "twin-3",
        "url": "http://localhost/images/twin-3.jpg",
        "page_url": "https://example.com/3",
        "width": 640,
        "height": 427,
        "credit": {"user": "someone", "source": "Twin", "licence": "", "licence_url": ""},
        "tags": ["tag", "3"],
        "colours": ["white"],
        "year": None,
        "month": None,
        "own": None,
        "score": pytest.approx(1, abs=1e-3),
        "relevance": pytest.approx(1, abs=1e-2),
        "match": "uncalibrated",
        "reasons": ["picture"],
        "similar": [],
    }
    assert (answer["keyword"], answer["query"], answer["scope"]) == ("horse", "twin-3", "pool")
    assert answer["complete"] is True
    assert answer["query_truncated"] is False
    assert answer["pool"] == {
        "pool_id": answer["pool"]["pool_id"],
        "keyword": "horse",
        "state": "ready",
        "generation": 1,
        "images": 5,
        "embedded": 5,
        "rejected": 0,
        "age_seconds": 0,
        "reason": None,
    }
    assert set(answer["timings"]) == {"total_seconds", "encode_seconds", "score_seconds"}


def test_an_answer_says_the_keywords_that_were_used(query: FlaskClient, world: World) -> None:
    world.ready_pool("horse", count=5)
    assert body(query.get("/search", query_string=SEARCH))["keywords"] == ["horse"]
    sentence = {"s_query": "horses amidst flowers", "wait": "0"}
    fetching = query.get("/search", query_string=sentence)
    assert (fetching.status_code, body(fetching)["keywords"]) == (202, ["horse flower"])
    world.deliver_all()
    answer = body(query.get("/search", query_string=sentence))
    assert answer["keywords"] == ["horse flower", "horse"]
    assert (answer["keyword"], answer["pool"]["keyword"]) == ("horse flower", "horse")
    assert len(answer["results"]) == 5
    everything = {"s_query": "horses amidst flowers", "scope": "catalog"}
    assert body(query.get("/search", query_string=everything))["keywords"] == []


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_a_link_that_was_stored_unread_costs_no_answer(
    query: FlaskClient, world: World, scope: str
) -> None:
    """An earlier version stored what a source sent as the page of an image."""
    odd = listed(1)
    odd = replace(odd, image=replace(odd.image, page_url="https://[x/"))
    world.source.offers["horse"] = Listing((listed(0), odd, listed(2)))
    world.ask()
    world.deliver_all()
    response = query.get("/search", query_string={**SEARCH, "scope": scope, "k": "200"})
    assert response.status_code == 200
    links = {one["image_id"]: one["page_url"] for one in body(response)["results"]}
    assert links == {
        "twin-0": "https://example.com/0",
        "twin-1": "",
        "twin-2": "https://example.com/2",
    }


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_a_filter_is_said_in_the_answer_that_it_made(
    query: FlaskClient, world: World, scope: str
) -> None:
    tall = listed(1)
    tall = replace(tall, image=replace(tall.image, width=400, height=600))
    world.source.offers["horse"] = Listing((listed(0), tall, listed(2)))
    world.ask()
    world.deliver_all()
    asked = {**SEARCH, "scope": scope}
    answer = body(query.get("/search", query_string={**asked, "orientation": "vertical"}))
    assert [result["image_id"] for result in answer["results"]] == ["twin-1"]
    assert answer["filters"] == {"orientation": "vertical"}
    assert answer["matching"] == (1 if scope == "pool" else None)
    assert answer["exhaustive"] is True
    if scope == "pool":
        assert (answer["pool"]["images"], answer["pool"]["embedded"]) == (3, 3)
    unfiltered = body(query.get("/search", query_string={**asked, "orientation": ""}))
    assert (len(unfiltered["results"]), unfiltered["filters"]) == (3, {})
    refused = query.get("/search", query_string={**asked, "orientation": "' OR 1=1 --"})
    assert refused.status_code == 400
    assert body(refused)["error"] == {
        "code": "invalid_request",
        "message": "orientation must be one of all, horizontal, vertical, square,"
        ' got "\' OR 1=1 --"',
        "field": "orientation",
    }


def test_the_catalog_scope_answers_without_a_pool(query: FlaskClient, world: World) -> None:
    world.ready_pool(count=5)
    response = query.get("/search", query_string={"s_query": "twin-1", "scope": "catalog"})
    answer = body(response)
    assert answer["pool"] is None
    assert answer["results"][0]["image_id"] == "twin-1"


def test_the_catalog_scope_says_that_images_await_a_new_model(
    query: FlaskClient, world: World
) -> None:
    world.ready_pool(count=5)
    world.encoder.model_revision = "twin-2"
    params = {"s_query": "twin-1", "scope": "catalog"}
    response = query.get("/search", query_string=params)
    assert (response.status_code, response.headers["Retry-After"]) == (200, "30")
    assert (body(response)["results"], body(response)["complete"]) == ([], False)
    assert body(response)["covered"] == 0.0
    query.get("/search", query_string=SEARCH)
    world.deliver_all()
    world.clock.sleep(6)  # they are counted now and then
    response = query.get("/search", query_string=params)
    assert (len(body(response)["results"]), body(response)["complete"]) == (5, True)
    assert body(response)["covered"] == 1.0
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"s_query": " "}, "s_query"),
        ({"t": "x"}, "s_query"),
        ({**SEARCH, "t": "\u200b"}, "t"),
        ({**SEARCH, "t": "\ufeff \u2800\u200d"}, "t"),
        ({**SEARCH, "t": "\u0301"}, "t"),
        ({**SEARCH, "s_query": "\u200b\u2060"}, "s_query"),
        ({**SEARCH, "s_query": "\x00"}, "s_query"),
        ({**SEARCH, "s_query": "\u3164"}, "s_query"),
        ({**SEARCH, "k": "0"}, "k"),
        ({**SEARCH, "wait": "26"}, "wait"),
        ({**SEARCH, "scope": "moon"}, "scope"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    query: FlaskClient, params: dict[str, str], field: str
) -> None:
    response = query.get("/search", query_string=params)
    assert response.status_code == 400
    error = body(response)["error"]
    assert (error["code"], error["field"]) == ("invalid_request", field)


@pytest.mark.parametrize(
    "raw", ["/search?t=%ff%fe&s_query=%00", "/search?%%%&=&&&", "/search?t=%ED%A0%80&s_query=x"]
)
def test_bytes_that_are_no_text_are_answered_in_json(query: FlaskClient, raw: str) -> None:
    response = query.get(raw)
    assert response.status_code in (202, 400)
    body(response)


def test_a_keyword_with_something_invisible_is_the_one_that_is_seen(
    query: FlaskClient, world: World
) -> None:
    pool = world.ready_pool("circle", 3)
    answer = body(query.get("/search", query_string={**SEARCH, "t": "circle\u200b"}))
    assert answer["pool"]["pool_id"] == pool.pool_id
    assert len(answer["results"]) == 3


def test_in_scope_catalog_an_invisible_keyword_is_none(query: FlaskClient) -> None:
    params = {"scope": "catalog", "s_query": "x", "t": "\u200b"}
    assert query.get("/search", query_string=params).status_code == 200


def test_nonsense_in_headers_and_bodies_does_no_harm(query: FlaskClient) -> None:
    headers = {
        "Content-Type": "application/\x7fjson",
        "Origin": "\x80\xff",
        "X-Cloud-Trace-Context": "?",
    }
    response = query.get("/search", query_string=SEARCH, headers=headers, data=b"\x00\xff{")
    assert response.status_code == 202
    body(response)


def test_a_large_body_is_refused_unread(query: FlaskClient) -> None:
    response = query.get("/search", query_string=SEARCH, data=b"x" * 70_000)
    assert response.status_code == 413
    assert "65536" in body(response)["error"]["message"]


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        *(("/search", method, "GET, HEAD, OPTIONS, POST") for method in ("PUT", "DELETE", "PATCH")),
        *(("/ready", method, "GET, HEAD, OPTIONS") for method in ("POST", "PUT", "PATCH")),
    ],
)
def test_other_methods_are_told_which_are_allowed(
    query: FlaskClient, path: str, method: str, allowed: str
) -> None:
    response = query.open(path, method=method, query_string=SEARCH)
    assert response.status_code == 405
    assert response.headers["Allow"] == allowed
    assert body(response)["error"]["code"] == "method_not_allowed"


def test_an_unknown_path_and_pool_are_404_and_a_bad_pool_id_400(query: FlaskClient) -> None:
    assert body(query.get("/nothing"))["error"]["code"] == "not_found"
    assert query.get(f"/pools/{'0' * 32}").status_code == 404
    assert query.get("/pools/x").status_code == 400


def test_a_failed_pool_is_a_503_with_its_reason_and_when_to_retry(
    query: FlaskClient, world: World
) -> None:
    world.source.listing_errors.append(SourceRefused("Invalid or missing API key"))
    query.get("/search", query_string=SEARCH)
    world.deliver()
    response = query.get("/search", query_string=SEARCH)
    assert response.status_code == 503
    assert "Invalid or missing API key" in body(response)["error"]["message"]
    assert response.headers["Retry-After"] == "60"


def test_a_bug_is_a_json_500_without_a_trace(query: FlaskClient, world: World) -> None:
    query.application.extensions["process"].search = "not a use case"
    response = query.get("/search", query_string=SEARCH)
    assert response.status_code == 500
    assert response.headers["Vary"] == "Origin", "a page of another origin must read it"
    assert "Traceback" not in response.text
    assert body(response)["error"]["code"] == "internal"


@pytest.mark.parametrize(
    "error", [Overloaded("full"), Unavailable("down"), DeadlineExceeded("late")]
)
def test_whatever_passes_by_itself_says_when_to_come_back(
    query: FlaskClient, error: ImageSearchError
) -> None:
    def failing(_: object, *, client: str | None = None) -> None:
        raise error

    query.application.extensions["process"].search = failing
    response = query.get("/search", query_string=SEARCH)
    assert response.status_code == error.status
    assert response.headers["Retry-After"] == "5"


def test_alive_and_ready_tell_the_truth(query: FlaskClient, world: World) -> None:
    assert query.get("/alive").status_code == 200
    assert query.get("/ready").status_code == 200
    world.catalog.close()
    assert query.get("/alive").status_code == 200
    assert query.get("/ready").status_code == 503


def test_a_configured_origin_may_read_answers_and_another_may_not(world: World) -> None:
    client = serve("query", world, load_settings(allowed_origins="https://app.example"))
    for path in ("/alive", "/search"):
        for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
            response = client.get(path, headers={"Origin": origin})
            assert (response.headers.get("Access-Control-Allow-Origin") == origin) is allowed
            assert "Origin" in response.headers["Vary"]


def test_a_preflight_is_answered(world: World) -> None:
    client = serve("query", world, load_settings(allowed_origins="*"))
    response = client.options("/search", headers={"Origin": "https://app.example"})
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "GET" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Access-Control-Max-Age"] == "3600"


def names(headers: str) -> set[str]:
    return {one.strip().lower() for one in headers.split(",")}


@pytest.mark.parametrize("path", ["/search", f"/pools/{'0' * 32}", "/alive", "/ready"])
def test_an_allowed_page_may_send_what_the_api_reads_and_read_what_it_answers(
    world: World, path: str
) -> None:
    client = serve("query", world, load_settings(allowed_origins="https://app.example"))
    preflight = client.options(
        path,
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "content-type,traceparent",
        },
    )
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    allowed = names(preflight.headers["Access-Control-Allow-Headers"])
    assert {"content-type", "traceparent", "x-cloud-trace-context"} <= allowed
    answer = client.get(path, headers={"Origin": "https://app.example"})
    exposed = names(answer.headers["Access-Control-Expose-Headers"])
    assert {"location", "retry-after", "server-timing"} <= exposed


def test_a_page_of_another_origin_is_given_no_leave(world: World) -> None:
    client = serve("query", world, load_settings(allowed_origins="https://app.example"))
    preflight = client.options("/search", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in preflight.headers


def test_a_client_over_its_rate_is_told_when_to_come_back(world: World) -> None:
    client = serve("query", world, load_settings(rate_limit_per_minute=3))
    codes = [client.get("/search", query_string=SEARCH).status_code for _ in range(5)]
    assert codes == [202, 202, 202, 429, 429]
    response = client.get("/search", query_string=SEARCH)
    assert 1 <= int(response.headers["Retry-After"]) <= 20
    assert body(response)["error"]["code"] == "overloaded"
    other = client.get("/search", query_string=SEARCH, environ_base={"REMOTE_ADDR": "10.0.0.9"})
    assert other.status_code == 202
    assert client.get("/alive").status_code == 200


def ask(client: FlaskClient, keyword: str, address: str = "203.0.113.1") -> TestResponse:
    params = {**SEARCH, "t": keyword}
    return client.get("/search", query_string=params, environ_base={"REMOTE_ADDR": address})


def limited(world: World, new_keywords_per_minute: int) -> FlaskClient:
    world.new_keywords_per_minute = new_keywords_per_minute
    world.assemble()
    return serve("query", world, load_settings())


def test_a_client_may_ask_for_so_many_new_keywords_and_for_all_that_are_known(
    world: World,
) -> None:
    world.ready_pool("ready", 3)
    query = limited(world, 3)
    codes = [ask(query, f"new {n}").status_code for n in range(5)]
    assert codes == [202, 202, 202, 429, 429]
    refused = ask(query, "new 9")
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    error = body(refused)["error"]
    assert error["code"] == "overloaded"
    assert "3 new keywords in a minute" in error["message"]
    assert world.catalog.pool(pool_of("new 9", world)) is None, "nothing was begun"
    assert [ask(query, f"new {n}").status_code for n in range(3)] == [202] * 3
    assert ask(query, "ready").status_code == 200
    assert ask(query, "new 9", "203.0.113.2").status_code == 202
    assert ask(query, "new 9").status_code == 202, "it is known now"


def test_all_clients_together_may_ask_for_so_many_new_keywords_in_a_day(world: World) -> None:
    world.ready_pool("ready", 3)
    world.new_keywords_per_day = 2
    query = limited(world, 60)
    began = world.clock.time
    codes = [ask(query, f"new {n}", f"203.0.113.{n}").status_code for n in range(4)]
    assert codes == [202, 202, 429, 429]
    refused = ask(query, "new 9", "203.0.113.9")
    comes_back = began + timedelta(seconds=int(refused.headers["Retry-After"]))
    assert comes_back.date() == began.date() + timedelta(days=1)
    assert (comes_back.hour, comes_back.minute) == (0, 0)
    assert "the 2 new keywords of this day, in UTC, are spent" in body(refused)["error"]["message"]
    assert world.catalog.pool(pool_of("new 9", world)) is None, "nothing was begun"
    assert ask(query, "ready").status_code == 200
    assert ask(query, "new 1").status_code == 202, "it is known"
    world.clock.time = comes_back
    assert ask(query, "new 9").status_code == 202


def test_without_the_key_of_the_door_nothing_is_told_and_nothing_begun(world: World) -> None:
    world.ready_pool("ready", 3)
    query = serve("query", world, load_settings(search_api_key="a-key-ü"))
    paths = ["/search?t=new&s_query=x&wait=0", f"/pools/{pool_of('ready', world)}", "/collections"]
    for given in ({}, {"X-API-Key": "a-key"}, {"X-API-Key": ""}, {"Authorization": "a-key-ü"}):
        for path in paths:
            answer = query.get(path, headers=given)
            assert answer.status_code == 401
            assert body(answer)["error"]["code"] == "unauthorized"
            assert "a-key" not in answer.text
            assert answer.headers["WWW-Authenticate"] == "ApiKey"
    assert not world.outbox.messages
    for path in ("/alive", "/ready", "/"):
        assert query.get(path).status_code == 200
    keyed = {"X-API-Key": "a-key-ü".encode().decode("latin-1")}  # bytes, as WSGI has them
    assert [query.get(path, headers=keyed).status_code for path in paths] == [202, 200, 200]


def test_a_key_that_nobody_asks_for_is_passed_over(world: World) -> None:
    query = serve("query", world, load_settings())
    assert (
        query.get("/search", query_string=SEARCH, headers={"X-API-Key": "any"}).status_code == 202
    )


def test_guesses_of_the_key_are_limited_like_all_requests(world: World) -> None:
    query = serve("query", world, load_settings(search_api_key="key", rate_limit_per_minute=2))
    guesses = [{"X-API-Key": f"{n}"} for n in range(3)]
    codes = [query.get("/collections", headers=guess).status_code for guess in guesses]
    assert codes == [401, 401, 429]


def everything(client: FlaskClient, address: str = "203.0.113.1") -> TestResponse:
    params = {"scope": "catalog", "s_query": "a horse"}
    return client.get("/search", query_string=params, environ_base={"REMOTE_ADDR": address})


def test_everything_is_searched_so_often_by_a_client_in_a_minute_and_by_all_in_a_day(
    world: World,
) -> None:
    world.ready_pool("ready", 3)
    world.catalog_searches_per_minute, world.catalog_searches_per_day = 2, 3
    query = limited(world, 60)
    codes = [everything(query).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert "2 searches over everything in a minute" in body(everything(query))["error"]["message"]
    codes = [everything(query, f"203.0.113.{n}").status_code for n in (2, 3)]
    assert codes == [200, 429]
    refused = everything(query, "203.0.113.9")
    assert int(refused.headers["Retry-After"]) > 60
    assert "the 3 searches over everything of this day" in body(refused)["error"]["message"]
    assert ask(query, "ready").status_code == 200


def test_searches_over_everything_can_be_switched_off(world: World) -> None:
    world.ready_pool("ready", 3)
    world.catalog_searches_per_day = 0
    query = limited(world, 60)
    refused = everything(query)
    assert refused.status_code == 400
    assert body(refused)["error"]["field"] == "scope"
    assert "no searches over everything" in body(refused)["error"]["message"]
    assert ask(query, "ready").status_code == 200


def test_without_a_limit_of_the_day_searches_over_everything_write_nothing(world: World) -> None:
    world.ready_pool("ready", 3)

    def unwanted(what: str, day: int, most: int, more: int = 1) -> bool:
        raise AssertionError(what)

    world.catalog.pools.count = unwanted  # type: ignore[method-assign]
    assert everything(limited(world, 60)).status_code == 200


def test_new_keywords_that_cannot_be_counted_are_not_begun(world: World) -> None:
    query = limited(world, 60)

    def unreachable(what: str, day: int, most: int, more: int = 1) -> bool:
        raise Unavailable("Firestore does not answer")

    world.catalog.pools.count = unreachable  # type: ignore[method-assign]
    assert ask(query, "new").status_code == 503
    assert not world.outbox.messages


def pool_of(keyword: str, world: World) -> str:
    return PoolKey.of(keyword, world.options).pool_id


def test_a_site_has_one_limit_with_all_addresses_of_its_48(world: World) -> None:
    query = limited(world, 2)
    addresses = ["2001:db8:1:2::1", "2001:db8:1:3::2", "2001:db8:1:ffff::3", "2001:db8:2:3::1"]
    codes = [ask(query, f"new {n}", one).status_code for n, one in enumerate(addresses)]
    assert codes == [202, 202, 429, 202]


def test_private_images_are_served_where_answers_say_and_kept_by_no_proxy(world: World) -> None:
    world.ready_pool(count=5)
    world.store.put("twin-3.jpg", b"pixels")
    settings = load_settings(edition="cloud", images_bucket="b", private_images=True)
    client = serve("query", world, settings, world.store)
    answer = body(client.get("/search", query_string=SEARCH))
    image = client.get(answer["results"][0]["url"])
    assert (image.status_code, image.data, image.mimetype) == (200, b"pixels", "image/jpeg")
    assert image.headers["Cache-Control"] == "private, max-age=86400"
    assert image.headers["Access-Control-Allow-Origin"] == "*", "as the bucket, for a canvas"
    assert "Access-Control-Allow-Origin" not in client.get("/alive").headers
    assert image.headers["X-Content-Type-Options"] == "nosniff"
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "img-src 'self' blob: data:;" in policy, "the page's own origin, and no bucket"


@pytest.mark.parametrize("name", ["absent.jpg", "", "a/b.jpg", "..", "%2e%2e%2fmain.py", "a?b"])
def test_what_is_no_private_image_is_not_found(world: World, name: str) -> None:
    client = serve("query", world, load_settings(), world.store)
    refused = client.get(f"/images/{name}")
    assert (refused.status_code, body(refused)["error"]["code"]) == (404, "not_found")


def test_a_store_that_does_not_answer_is_a_503_and_not_a_missing_image(world: World) -> None:
    def get(name: str) -> bytes:
        raise Unavailable("Cloud Storage does not answer")

    store = cast(ImageStore, SimpleNamespace(get=get))
    client = serve("query", world, load_settings(), store)
    refused = client.get("/images/twin-3.jpg")
    assert (refused.status_code, body(refused)["error"]["code"]) == (503, "unavailable")


def test_images_have_a_limit_of_their_own_that_leaves_searches_alone(world: World) -> None:
    world.store.put("twin-3.jpg", b"pixels")
    client = serve("query", world, load_settings(rate_limit_per_minute=1), world.store)
    codes = [client.get("/images/twin-3.jpg").status_code for _ in range(26)]
    assert codes == [200] * 24 + [429] * 2, "as many as the page shows"
    assert "const PAGE = 24;" in (ROOT / "web" / "search.js").read_text()
    assert client.get("/search", query_string=SEARCH).status_code == 202


def test_private_images_are_charged_until_the_money_of_the_day_is_spent(world: World) -> None:
    world.store.put("twin-3.jpg", b"pixels")
    world.spending = Spending(world.catalog, world.clock, 4 * 2 * IMAGE / 1e6)
    world.assemble()
    client = serve("query", world, load_settings(), world.store)
    codes = [client.get("/images/twin-3.jpg").status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def test_files_of_the_page_have_the_limit_of_images(world: World) -> None:
    client = serve("query", world, load_settings(rate_limit_per_minute=1))
    codes = [client.get("/reference.html").status_code for _ in range(25)]
    assert codes == [200] * 24 + [429]
    assert client.get("/search", query_string=SEARCH).status_code == 202


def test_files_of_the_page_are_charged_by_what_is_sent_of_them(world: World) -> None:
    def files_for(dollars: float, **headers: str) -> int:
        world.spending = Spending(world.catalog, world.clock, 4 * dollars)
        world.assemble()
        client = serve("query", world, load_settings())
        asked = (client.get("/reference.html", headers=headers) for _ in range(1000))
        codes = [
            one.status_code for one in itertools.takewhile(lambda one: one.status_code < 400, asked)
        ]
        world.clock.time += timedelta(days=1)
        return len(codes)

    tag = serve("query", world, load_settings()).get("/reference.html").headers["ETag"]
    size = (ROOT / "web" / "reference.html").stat().st_size
    assert files_for(100e-6) == int(100 / (PAGE_FILE + SENT_BYTE * size))
    assert files_for(100e-6, **{"If-None-Match": tag}) == int(100 / PAGE_FILE)
    small = files_for(100e-6, **{"Accept-Encoding": "gzip"})
    assert 2 * int(100 / (PAGE_FILE + SENT_BYTE * size)) < small < int(100 / PAGE_FILE)


def test_a_private_image_is_shown_where_a_key_is_asked_for(world: World) -> None:
    """The page cannot send one with a picture; whoever knows the name is whom a link was given."""
    world.store.put("twin-3.jpg", b"pixels")
    client = serve("query", world, load_settings(search_api_key="key"), world.store)
    assert client.get("/images/twin-3.jpg").status_code == 200
    assert client.get("/search", query_string=SEARCH).status_code == 401


def test_a_public_bucket_is_read_past_this_function(query: FlaskClient, world: World) -> None:
    world.store.put("twin-3.jpg", b"pixels")
    assert query.get("/images/twin-3.jpg").status_code == 404


def test_the_rate_limit_counts_a_48_and_a_mapped_address_as_one_client(world: World) -> None:
    query = serve("query", world, load_settings(rate_limit_per_minute=1))
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2::2", "::ffff:203.0.113.1", "203.0.113.1"]
    assert [ask(query, "horse", one).status_code for one in addresses] == [202, 429, 202, 429]


def test_many_simultaneous_searches_of_a_new_keyword_count_as_one(world: World) -> None:
    query = limited(world, 1)
    together, first = threading.Barrier(30), itertools.count()
    read = world.catalog.pools.get

    def read_together(pool_id: str) -> Pool | None:
        found = read(pool_id)
        if next(first) < 30:
            together.wait(30)
        return found

    world.catalog.pools.get = read_together  # type: ignore[method-assign]  # all find that it is new
    with ThreadPoolExecutor(30) as threads:
        codes = list(threads.map(lambda _: ask(query, "horse").status_code, range(30)))
    assert codes == [202] * 30
    world.catalog.pools.get = read  # type: ignore[method-assign]
    assert ask(query, "another").status_code == 429
    assert len(world.outbox.messages) == 1


def test_what_a_client_has_no_new_keywords_for_is_answered_from_what_is_there(
    world: World,
) -> None:
    world.ready_pool("horse", 3)
    query = limited(world, 1)
    world.clock.time += timedelta(days=1, seconds=1)
    assert ask(query, "new").status_code == 202
    stale = ask(query, "horse")
    assert (stale.status_code, body(stale)["pool"]["state"]) == (200, "stale")
    assert [job.keyword for job in world.outbox.messages if isinstance(job, FetchJob)] == ["new"]
    assert ask(query, "horse", "203.0.113.2").status_code == 200
    assert len(world.outbox.messages) == 2, "another client's search has it fetched again"


def test_lost_work_is_taken_up_again_for_a_client_without_new_keywords(world: World) -> None:
    query = limited(world, 1)
    ask(query, "horse")
    world.outbox.messages.clear()
    world.clock.time += timedelta(seconds=world.policy.queue_seconds + 1)
    assert ask(query, "horse").status_code == 202
    assert len(world.outbox.messages) == 1


@pytest.mark.slow
def test_a_new_keyword_is_served_soon_whoever_has_asked_for_how_many(
    world: World, tmp_path: Path
) -> None:
    """300 of one client, then one of another: through the true door, and the queue behind it."""
    served: queue.Queue[str] = queue.Queue()

    def fetch(body: bytes) -> int:
        served.put(PushEnvelope.parse(body).decode(FetchJob).keyword)
        return 204

    bus = LocalBus(tmp_path / "dead.jsonl")
    bus.subscribe(TOPIC_OF[FetchJob], fetch)
    query = limited(world, 10_000)
    services = query.application.extensions["process"]
    services.search = replace(world.search, publisher=bus)
    for n in range(300):
        ask(query, f"many {n}", f"2001:db8:1:2::{n:x}")
    ask(query, "one", "2001:db8:9::1")
    bus.start()
    try:
        assert "one" in [served.get(timeout=5) for _ in range(2)]
    finally:
        bus.stop(5.0)


def test_whom_a_search_is_for_goes_with_its_work_and_nobody_can_tell_who_it_is(
    query: FlaskClient, fetch: FlaskClient, world: World, log: Log
) -> None:
    world.offer("horse", 3)
    ask(query, "horse")
    [mark] = world.outbox.clients
    assert re.fullmatch("[0-9a-f]{16}", mark)
    pushed = envelope(world.take())
    pushed["message"]["attributes"] = {"client": mark}
    assert fetch.post("/", json=pushed).status_code == 204
    assert world.outbox.clients == [mark, mark], "its images are embedded in the same client's turn"
    ask(query, "star", "203.0.113.2")
    assert world.outbox.clients[2] != mark
    assert "203.0.113" not in log.stream.getvalue()
    assert mark not in log.stream.getvalue()


def test_a_function_of_the_embedded_edition_does_not_start(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """That lives in one process."""
    source = str(ROOT / "functions" / "query" / "main.py")
    with pytest.raises(SystemExit):
        functions_framework.create_app("query", source, "http")  # type: ignore[no-untyped-call]  # it has no types
    assert "imagesearch serve" in capfd.readouterr().err


# The line of each request


def test_a_search_is_one_line_with_the_trace_that_came_with_it(
    query: FlaskClient, world: World, log: Log
) -> None:
    pool = world.ready_pool(count=5)
    query.get("/search", query_string=SEARCH, headers={"X-Cloud-Trace-Context": f"{TRACE}/1;o=1"})
    entry = log.only("search")
    assert {**entry, "seconds": 0, "stages": 0, "message": 0, "time": 0} == {
        "severity": "INFO",
        "message": 0,
        "time": 0,
        "logging.googleapis.com/trace": f"projects/{PROJECT}/traces/{TRACE}",
        "kind": "search",
        "pool_id": pool.pool_id,
        "generation": 1,
        "hits": 5,
        "status": 200,
        "outcome": "complete",
        "seconds": 0,
        "stages": 0,
    }
    # What scores is in this process here; in the cloud its stages are in a line of its own.
    assert list(entry["stages"]) == ["pool", "wait", "score", "encode", "load", "rank"]
    assert entry["seconds"] >= entry["stages"]["score"] >= entry["stages"]["rank"] > 0


@pytest.mark.parametrize(
    ("path", "params", "kind", "status", "outcome", "severity"),
    [
        ("/search", SEARCH, "search", 202, "fetching", "INFO"),
        ("/search", {**SEARCH, "k": "0"}, "search", 400, "invalid_request", "INFO"),
        (f"/pools/{'0' * 32}", {}, "pools", 404, "not_found", "INFO"),
        ("/nothing", {}, "request", 404, "not_found", "INFO"),
    ],
)
def test_every_request_is_one_line_with_its_outcome(
    query: FlaskClient,
    log: Log,
    path: str,
    params: dict[str, str],
    kind: str,
    status: int,
    outcome: str,
    severity: str,
) -> None:
    response = query.get(path, query_string=params)
    (entry,) = log.entries()
    assert (entry["kind"], entry["status"], entry["outcome"]) == (kind, status, outcome)
    assert (entry["severity"], response.status_code) == (severity, status)
    assert re.fullmatch(r"(\w+;dur=\d+\.\d, )*total;dur=\d+\.\d", response.headers["Server-Timing"])


def test_a_pools_line_names_it_and_says_how_it_stands(
    query: FlaskClient, world: World, log: Log
) -> None:
    pool = world.ready_pool(count=5)
    response = query.get(f"/pools/{pool.pool_id}")
    entry = log.only("pools")
    assert (entry["pool_id"], entry["generation"]) == (pool.pool_id, 1)
    assert (entry["outcome"], set(entry["stages"])) == ("ready", {"pool"})
    assert response.headers["Server-Timing"].startswith("pool;dur=")


def test_probes_have_a_line_only_when_they_fail(query: FlaskClient, world: World, log: Log) -> None:
    query.get("/alive")
    query.get("/ready")
    assert log.entries() == []
    world.catalog.close()
    query.get("/ready")
    assert log.only("ready")["severity"] == "WARNING"


def test_a_failed_pool_a_bug_and_an_overload_are_lines_too(
    query: FlaskClient, world: World, log: Log
) -> None:
    world.source.listing_errors.append(SourceRefused("Invalid or missing API key"))
    query.get("/search", query_string=SEARCH)
    job = world.outbox.messages[0]
    world.deliver()
    query.get("/search", query_string=SEARCH)
    services = query.application.extensions["process"]
    services.settings = load_settings(rate_limit_per_minute=1)
    query.get("/search", query_string=SEARCH)
    services.settings = load_settings()
    services.search = "no use case"
    query.get("/search", query_string=SEARCH)
    _, failed, overloaded, traceback, bug = log.entries()
    assert (failed["pool_id"], failed["outcome"]) == (job.pool_id, "unavailable")
    assert "Invalid or missing API key" in failed["error"]
    assert (failed["severity"], overloaded["outcome"]) == ("WARNING", "overloaded")
    assert "TypeError" in traceback["stack_trace"]
    assert (bug["status"], bug["outcome"], bug["severity"]) == (500, "internal", "ERROR")


def test_no_line_has_what_was_searched_for(
    query: FlaskClient, fetch: FlaskClient, world: World, log: Log
) -> None:
    """Whether all goes well, is refused, fails, or is repeated until it is given up."""
    params = {"t": "My Keyword", "s_query": "my secret wish", "wait": "0"}
    world.offer("my keyword", 3)
    for changed in ({}, {"s_query": "my secret wish" * 50}, {"t": "my keyword" * 20}):
        query.get("/search", query_string={**params, **changed})
    job = world.take()
    world.source.download_errors["twin-0"] = Unavailable("time-out")
    fetch.post("/", json=envelope(job))
    fetch.post("/dead-letter", json=envelope(job))
    query.get("/search", query_string={**params, "t": "MY KEYWORD"})
    del world.source.download_errors["twin-0"]
    world.source.listing_errors.append(SourceRefused("Invalid API key"))
    query.get("/search", query_string={**params, "t": "my keyword too"})
    world.deliver_all()
    query.get("/search", query_string={**params, "t": "my keyword too"})
    assert len(log.entries("search")) == 6
    told = log.stream.getvalue().lower()
    assert "my keyword" not in told
    assert "secret" not in told


def test_a_page_of_an_allowed_origin_may_read_the_timing(world: World) -> None:
    client = serve("query", world, load_settings(allowed_origins="https://app.example"))
    for path, params in (("/search", SEARCH), ("/search", {}), (f"/pools/{'0' * 32}", {})):
        allowed = client.get(path, query_string=params, headers={"Origin": "https://app.example"})
        assert allowed.headers["Timing-Allow-Origin"] == "https://app.example"
        assert "Server-Timing" in allowed.headers["Access-Control-Expose-Headers"]
        other = client.get(path, query_string=params, headers={"Origin": "https://evil.example"})
        assert "Timing-Allow-Origin" not in other.headers


# The push doors


def envelope(message: Message, attempt: int = 1) -> dict[str, Any]:
    data = base64.b64encode(encode(message)).decode()
    return {"message": {"data": data, "messageId": "7"}, "deliveryAttempt": attempt}


def first_job(world: World, count: int = 3) -> FetchJob:
    world.offer("horse", count)
    world.ask()
    job = world.take()
    assert isinstance(job, FetchJob)
    return job


def test_a_pushed_job_is_done_and_acked(fetch: FlaskClient, world: World) -> None:
    response = fetch.post("/", json=envelope(first_job(world)))
    assert response.status_code == 204
    assert isinstance(world.take(), EmbedBatch)


def test_a_job_that_must_be_repeated_is_nacked(fetch: FlaskClient, world: World) -> None:
    job = first_job(world)
    world.source.listing_errors.append(Unavailable("Pixabay is down"))
    assert fetch.post("/", json=envelope(job)).status_code == 503


def test_the_last_attempt_goes_without_what_cannot_be_had(fetch: FlaskClient, world: World) -> None:
    job = first_job(world)
    world.source.download_errors["twin-0"] = Unavailable("time-out")
    assert fetch.post("/", json=envelope(job, attempt=4)).status_code == 503
    assert fetch.post("/", json=envelope(job, attempt=5)).status_code == 204


MALFORMED = [
    b"",
    b"not json",
    b"[]",
    b"{}",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"message": null}',
    b'{"message": {}}',
    b'{"message": {"data": null}}',
    b'{"message": {"data": 7}}',
    b'{"message": {"data": "%%%"}}',
    b'{"message": {"data": "e30"}}',
    '{"message": {"data": "馬"}}'.encode(),
    b'{"message": {"data": "\\ud800"}}',
    b'{"message": {"data": "/w=="}}',
    b'{"message": {"data": "e30="}}',
    b'{"message": {"data": "eyJzY2hlbWFfdmVyc2lvbiI6IDk5fQ=="}}',
    b'{"message": {"data": "e30=", "messageId": 7}}',
    b'{"message": {"data": "e30=", "attributes": {"trace": 7}}}',
    b'{"message": {"data": "e30=", "attributes": ["trace"]}}',
    b'{"message": {"data": "e30="}, "deliveryAttempt": "often"}',
    b'{"message": {"data": "e30="}, "deliveryAttempt": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("data", MALFORMED, ids=lambda data: repr(data[:40])[2:-1])
@pytest.mark.parametrize("path", ["/", "/dead-letter"])
def test_a_malformed_push_is_acked_so_that_it_cannot_loop_and_recorded(
    fetch: FlaskClient, data: bytes, path: str, log: Log
) -> None:
    assert fetch.post(path, data=data).status_code == 204
    entry = log.only("FetchJob" if path == "/" else "DeadLetter")
    assert (entry["severity"], entry["status"]) == ("ERROR", 204)
    assert (entry["outcome"], bool(entry["error"])) == ("malformed", True)
    assert entry["excerpt"] == repr(data[:200])
    assert len(log.stream.getvalue()) < 3000


@pytest.mark.parametrize("changes", [{"generation": 10**300}, {"pool_id": "f" * 1_000_000}])
def test_a_push_of_what_no_catalog_holds_is_malformed(
    fetch: FlaskClient, world: World, log: Log, changes: dict[str, Any]
) -> None:
    fields = json.loads(encode(first_job(world))) | changes
    data = base64.b64encode(json.dumps(fields).encode()).decode()
    assert fetch.post("/", json={"message": {"data": data}}).status_code == 204
    entry = log.only("FetchJob")
    assert entry["outcome"] == "malformed"
    assert next(iter(changes)) in entry["error"]


@pytest.mark.parametrize("path", ["/", "/dead-letter", "/alive"])
def test_a_push_larger_than_any_of_pubsub_is_refused_unread(
    fetch: FlaskClient, path: str, log: Log
) -> None:
    response = fetch.post(path, data=b"x" * (MAX_BODY_BYTES + 1))
    assert (response.status_code, response.headers["Connection"]) == (413, "close")
    assert body(response)["error"]["code"] == "too_large"
    assert log.only("request")["outcome"] == "too_large"


def test_malformed_pushes_are_counted(fetch: FlaskClient, log: Log) -> None:
    for _ in range(3):
        fetch.post("/", data=b"not json")
    first, second, third = (entry["malformed"] for entry in log.entries("FetchJob"))
    assert (second, third) == (first + 1, first + 2)


def test_a_push_says_which_message_it_was_even_when_the_message_is_malformed(
    fetch: FlaskClient, log: Log
) -> None:
    message = {"data": "e30=", "messageId": "7", "attributes": {"trace": TRACE}}
    fetch.post("/", json={"message": message, "deliveryAttempt": 2})
    entry = log.only("FetchJob")
    assert (entry["message_id"], entry["delivery_attempt"]) == ("7", 2)
    assert entry["logging.googleapis.com/trace"] == f"projects/{PROJECT}/traces/{TRACE}"


def test_a_pushed_job_is_one_line_with_all_that_it_did(
    fetch: FlaskClient, world: World, log: Log
) -> None:
    job = first_job(world)
    pushed = envelope(job, attempt=2)
    pushed["message"]["attributes"] = attributes_of(job, TRACE)
    fetch.post("/", json=pushed)
    entry = log.only("FetchJob")
    assert {**entry, "seconds": 0, "stages": 0, "message": 0, "time": 0} == {
        "severity": "INFO",
        "message": 0,
        "time": 0,
        "logging.googleapis.com/trace": f"projects/{PROJECT}/traces/{TRACE}",
        "kind": "FetchJob",
        "pool_id": job.pool_id,
        "generation": 1,
        "message_id": "7",
        "delivery_attempt": 2,
        "stored": 3,
        "reused": 0,
        "rejected": 0,
        "unavailable": 0,
        "status": 204,
        "outcome": "fetched",
        "seconds": 0,
        "stages": 0,
    }
    assert set(entry["stages"]) == {"list", "plan", "existing", "download", "publish"}
    assert entry["message"].startswith(f"FetchJob pool_id={job.pool_id} 204 fetched in 0.")


@pytest.mark.parametrize("attributes", [None, {}, {"trace": "nonsense"}, {"trace": "0" * 32}])
def test_a_job_without_a_trace_is_done_and_begins_one(
    fetch: FlaskClient, world: World, attributes: dict[str, str] | None, log: Log
) -> None:
    pushed = envelope(first_job(world))
    pushed["message"]["attributes"] = attributes
    assert fetch.post("/", json=pushed).status_code == 204
    entry = log.only("FetchJob")
    assert entry["outcome"] == "fetched"
    assert re.fullmatch(
        f"projects/{PROJECT}/traces/(?!0{{32}})[0-9a-f]{{32}}",
        entry["logging.googleapis.com/trace"],
    )


def test_a_nacked_job_says_why(fetch: FlaskClient, world: World, log: Log) -> None:
    job = first_job(world)
    world.source.listing_errors.append(Unavailable("Pixabay is down"))
    fetch.post("/", json=envelope(job))
    entry = log.only("FetchJob")
    assert (entry["status"], entry["outcome"]) == (503, "unavailable")
    assert (entry["error"], entry["severity"]) == ("Pixabay is down", "WARNING")


def test_a_job_that_meets_a_bug_is_nacked_with_its_traceback(
    fetch: FlaskClient, world: World, log: Log
) -> None:
    job = first_job(world)
    world.source.listing_errors.append(ZeroDivisionError())
    assert fetch.post("/", json=envelope(job)).status_code == 500
    traceback, entry = log.entries()
    assert "ZeroDivisionError" in traceback["stack_trace"]
    assert (entry["outcome"], entry["severity"]) == ("internal", "ERROR")
    trace = "logging.googleapis.com/trace"
    assert entry[trace] == traceback[trace]


def test_what_is_logged_while_an_image_is_downloaded_has_the_trace_of_its_job(
    fetch: FlaskClient, world: World, log: Log
) -> None:
    job = first_job(world)
    download = world.source.download

    def told(image: ListedImage) -> bytes:
        logging.getLogger("library").warning("slow")
        return download(image)

    world.source.download = told  # type: ignore[method-assign]  # a twin that says something
    fetch.post("/", json=envelope(job))
    *warnings, entry = log.entries()
    assert [warning["message"] for warning in warnings] == ["slow"] * 3
    assert {one["logging.googleapis.com/trace"] for one in (*warnings, entry)} == {
        entry["logging.googleapis.com/trace"]
    }


def test_a_dead_letter_of_either_topic_fails_its_pool(
    fetch: FlaskClient, world: World, log: Log
) -> None:
    job = first_job(world)
    fetch.post("/", json=envelope(job))
    batch = world.take()
    assert fetch.post("/dead-letter", json=envelope(batch)).status_code == 204
    assert log.only("DeadLetter")["pool_id"] == job.pool_id
    pool = world.catalog.pool(job.pool_id)
    assert pool is not None
    assert pool.current.state is PoolState.FAILED
    assert pool.current.reason == "gave up after 15 attempts"


def test_a_dead_letter_is_nacked_while_the_catalog_is_down(
    fetch: FlaskClient, world: World, log: Log
) -> None:
    job = first_job(world)
    world.catalog.close()
    assert fetch.post("/dead-letter", json=envelope(job)).status_code == 503
    assert log.only("DeadLetter")["outcome"] == "unavailable"


def test_the_push_door_takes_only_posts(fetch: FlaskClient) -> None:
    assert fetch.get("/").status_code == 405
    assert fetch.post("/-that-there-is-not", data=b"{}").status_code == 404, "a nack, not an ack"
    assert fetch.get("/alive").status_code == 200


def answer_statuses(client: FlaskClient, forwarded: list[str]) -> list[int]:
    return [
        client.get(
            "/search",
            query_string=SEARCH,
            headers={"X-Forwarded-For": value},
            environ_base={"REMOTE_ADDR": "169.254.1.1"},
        ).status_code
        for value in forwarded
    ]


def test_behind_a_proxy_each_client_has_a_rate_of_its_own(world: World) -> None:
    """The last entry is what the proxy saw; what precedes it is whatever the client claims."""
    client = serve("query", world, load_settings(rate_limit_per_minute=2, trusted_proxies=1))
    claims = ["203.0.113.1", "9.9.9.9, 203.0.113.1", "8.8.8.8, 203.0.113.1", "203.0.113.2"]
    assert answer_statuses(client, claims) == [202, 202, 429, 202]


def test_behind_a_load_balancer_the_client_is_the_last_but_one(world: World) -> None:
    client = serve("query", world, load_settings(rate_limit_per_minute=1, trusted_proxies=2))
    seen = ["203.0.113.1, 34.1.1.1", "1.1.1.1, 203.0.113.1, 34.1.1.1", "203.0.113.2, 34.1.1.1"]
    assert answer_statuses(client, seen) == [202, 429, 202]


def test_without_a_proxy_the_header_is_what_anyone_may_write(world: World) -> None:
    client = serve("query", world, load_settings(rate_limit_per_minute=1))
    assert answer_statuses(client, ["203.0.113.1", "203.0.113.2"]) == [202, 429]


def test_a_pushed_message_has_pictures_taken_down_and_says_what_it_did(
    fetch: FlaskClient, query: FlaskClient, world: World, log: Log
) -> None:
    world.ready_pool(count=3)
    job = ForgetJob(("twin-1",), "asked for by Ann")
    for _ in range(2):  # it may be delivered twice
        assert fetch.post("/forget", json=envelope(job)).status_code == 204
    first, second = (entry for entry in log.entries() if entry.get("kind") == "ForgetJob")
    assert (first["images"], first["originals"], first["pools"]) == (1, 1, 1)
    assert (second["images"], second["originals"], second["pools"]) == (1, 0, 0)
    assert "Ann" not in log.stream.getvalue()
    assert not world.store.existing(["twin-1.jpg"])
    assert set(world.catalog.retention.withdrawn()) == {"twin-1"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"image_ids": ["a"], "keyword": "b"},
        {"unused_days": -1},
        {"image_ids": ["a"] * 1001},
        {"image_ids": [""]},
        {"unused_days": 1, "schema_version": 2},
    ],
)
def test_a_message_that_says_not_what_to_forget_is_malformed(
    fetch: FlaskClient, world: World, log: Log, fields: dict[str, Any]
) -> None:
    data = base64.b64encode(json.dumps(fields).encode()).decode()
    assert fetch.post("/forget", json={"message": {"data": data}}).status_code == 204
    assert log.only("ForgetJob")["outcome"] == "malformed"


def test_what_cannot_be_forgotten_now_is_nacked_and_at_its_end_told(
    fetch: FlaskClient, world: World, log: Log
) -> None:
    world.ready_pool(count=3)
    world.catalog.close()
    job = ForgetJob(unused_days=90)
    assert fetch.post("/forget", json=envelope(job, attempt=9)).status_code == 503
    assert fetch.post("/forget/dead-letter", json=envelope(job)).status_code == 204
    failed, told = (entry for entry in log.entries() if entry.get("kind") == "ForgetJob")
    assert failed["outcome"] == "unavailable"
    assert "is not, after 15 attempts" in told["error"]
    assert told["severity"] == "WARNING"
