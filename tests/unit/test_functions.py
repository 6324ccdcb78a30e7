"""The true main.py files as functions-framework serves them, over the use cases of `World`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imagesearch.config import Settings, load_settings
from imagesearch.errors import SourceRefused, Unavailable
from imagesearch.messages import EmbedBatch, FetchJob, Message
from imagesearch.model import PoolState
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]
SEARCH = {"t": "horse", "s_query": "twin-3", "wait": "0"}


def serve(name: str, world: World, settings: Settings) -> FlaskClient:
    source = str(ROOT / "functions" / name / "main.py")
    app = functions_framework.create_app(name, source, "http")  # type: ignore[no-untyped-call]  # it has no types
    app.extensions["imagesearch"] = SimpleNamespace(
        settings=settings,
        clock=world.clock,
        catalog=world.catalog,
        cache=world.cache,
        check=world.catalog.check,
        search=world.search,
        fetch=world.fetch,
    )
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
        "credit": {"user": "someone", "source": "Twin"},
        "tags": ["tag", "3"],
        "score": pytest.approx(1, abs=1e-3),
        "relevance": pytest.approx(1, abs=1e-2),
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


def test_the_catalog_scope_answers_without_a_pool(query: FlaskClient, world: World) -> None:
    world.ready_pool(count=5)
    response = query.get("/search", query_string={"s_query": "twin-1", "scope": "catalog"})
    answer = body(response)
    assert answer["pool"] is None
    assert answer["results"][0]["image_id"] == "twin-1"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"s_query": "x"}, "t"),
        ({"t": "x"}, "s_query"),
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


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_told_which_are_allowed(query: FlaskClient, method: str) -> None:
    response = query.open("/search", method=method, query_string=SEARCH)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
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
    query.application.extensions["imagesearch"].search = "not a use case"
    response = query.get("/search", query_string=SEARCH)
    assert response.status_code == 500
    assert "Traceback" not in response.text
    assert body(response)["error"]["code"] == "internal"


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


def test_a_function_without_services_says_why_in_json() -> None:
    """Served on its own; the embedded edition lives in one process."""
    source = str(ROOT / "functions" / "query" / "main.py")
    app = functions_framework.create_app("query", source, "http")  # type: ignore[no-untyped-call]  # it has no types
    response = app.test_client().get("/search", query_string=SEARCH)
    assert response.status_code == 503
    assert "imagesearch serve" in body(response)["error"]["message"]


# The push doors


def envelope(message: Message, attempt: int = 1) -> dict[str, Any]:
    data = base64.b64encode(message.model_dump_json().encode()).decode()
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


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"message": {}}',
        b'{"message": {"data": "%%%"}}',
        b'{"message": {"data": "e30="}}',
        b'{"message": {"data": "eyJzY2hlbWFfdmVyc2lvbiI6IDk5fQ=="}}',
    ],
)
@pytest.mark.parametrize("path", ["/", "/dead-letter"])
def test_a_malformed_push_is_acked_so_that_it_cannot_loop(
    fetch: FlaskClient, data: bytes, path: str
) -> None:
    assert fetch.post(path, data=data).status_code == 204


def test_a_dead_letter_of_either_topic_fails_its_pool(fetch: FlaskClient, world: World) -> None:
    job = first_job(world)
    fetch.post("/", json=envelope(job))
    batch = world.take()
    assert fetch.post("/dead-letter", json=envelope(batch)).status_code == 204
    pool = world.catalog.pool(job.pool_id)
    assert pool is not None
    assert pool.current.state is PoolState.FAILED
    assert pool.current.reason == "gave up after 5 attempts"


def test_a_dead_letter_is_acked_even_when_the_catalog_is_down(
    fetch: FlaskClient, world: World
) -> None:
    job = first_job(world)
    world.catalog.close()
    assert fetch.post("/dead-letter", json=envelope(job)).status_code == 204


def test_the_push_door_takes_only_posts(fetch: FlaskClient) -> None:
    assert fetch.get("/").status_code == 405
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
