"""The inference service's HTTP doors over the use cases of `World`."""

from __future__ import annotations

import asyncio
import base64
import re
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.domain.queries import MAX_TEXT_BYTES
from imagesearch.domain.work import EmbedBatch
from imagesearch.doors.push import MAX_BODY_BYTES
from imagesearch.wire import scoring
from imagesearch.wire.messages import encode
from inference_service.app import create_app
from tests.log_lines import PROJECT, Log
from tests.world import World

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def client(world: World) -> TestClient:
    services = SimpleNamespace(
        scorer=world.score,
        embed=world.embed,
        encoder=world.encoder,
        catalog=world.catalog,
        give_up=world.give_up,
    )
    return TestClient(create_app(services), raise_server_exceptions=False)  # type: ignore[arg-type]


def test_score_answers_hits_with_score_logit_relevance_and_timings(
    client: TestClient, world: World
) -> None:
    pool = world.ready_pool(count=5)
    request = {"pool_id": pool.pool_id, "generation": 1, "query": "twin-3", "top_k": 2}
    response = client.post("/score", json=request)
    assert response.status_code == 200
    answer = response.json()
    assert answer["hits"][0]["image"]["image_id"] == "twin-3"
    assert answer["hits"][0]["logit"] == pytest.approx(100, abs=0.1)
    assert answer["embedded"] == 5
    assert answer["encode_seconds"] > 0


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"top_k": 0}, 400, "top_k"),
        ({"top_k": 201}, 400, "top_k"),
        ({"query": ""}, 400, "query"),
        ({"query": "x" * 501}, 400, "query"),
        ({"pool_id": None}, 400, "pool_id"),
        ({"scope": "moon"}, 400, "scope"),
        ({"pool_id": "0" * 32}, 404, None),
        ({"generation": 2}, 404, None),
    ],
)
def test_a_bad_score_request_is_refused_in_json(
    client: TestClient, world: World, change: dict[str, object], status: int, field: str | None
) -> None:
    pool = world.ready_pool(count=1)
    request = {"pool_id": pool.pool_id, "generation": 1, "query": "x", "top_k": 1, **change}
    response = client.post("/score", json=request)
    assert response.status_code == status
    assert response.json()["error"].get("field") == field


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_a_400(client: TestClient, body: bytes) -> None:
    response = client.post("/score", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("path", "most_bytes"),
    [("/score", scoring.MAX_BYTES), ("/alive", MAX_TEXT_BYTES), ("/nothing", MAX_TEXT_BYTES)],
)
def test_a_body_larger_than_any_query_is_a_413(
    client: TestClient, path: str, most_bytes: int
) -> None:
    response = client.post(path, content=b" " * (most_bytes + 1))
    assert (response.status_code, response.headers["Connection"]) == (413, "close")
    assert str(most_bytes) in response.json()["error"]["message"]


def test_a_push_larger_than_any_of_pubsub_is_a_413(client: TestClient) -> None:
    response = client.post("/events/embed", content=b"x" * (MAX_BODY_BYTES + 1))
    assert response.json()["error"]["code"] == "too_large"


def test_a_value_out_of_bounds_is_named_with_its_bound(client: TestClient) -> None:
    response = client.post("/score", json={"query": "x", "top_k": 201})
    message = "top_k: Input should be less than or equal to 200, got 201"
    assert response.json()["error"] == {
        "code": "invalid_request",
        "message": message,
        "field": "top_k",
    }


def test_a_client_that_hangs_up_in_mid_body_is_no_bug(world: World, log: Log) -> None:
    app = create_app(SimpleNamespace(scorer=world.score))  # type: ignore[arg-type]
    came: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return came.pop(0)

    async def send(_: Message) -> None:
        return

    headers = [(b"content-length", b"2")]
    scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers}
    asyncio.run(app({**scope, "query_string": b""}, receive, send))
    entry = log.only("request")
    assert (entry["status"], entry["outcome"]) == (400, "invalid_request")
    assert entry["severity"] == "INFO"


def test_overload_says_when_to_come_back(world: World) -> None:
    def overloaded(_: object) -> None:
        raise Overloaded("64 queries are waiting", retry_after_seconds=1.5)

    services = SimpleNamespace(scorer=SimpleNamespace(score=overloaded))
    client = TestClient(create_app(services))  # type: ignore[arg-type]
    response = client.post(
        "/score", json={"pool_id": "x", "generation": 1, "query": "x", "top_k": 1}
    )
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "2"


def test_a_bug_is_a_json_500_without_a_trace(world: World) -> None:
    services = SimpleNamespace(scorer=None)
    client = TestClient(create_app(services), raise_server_exceptions=False)  # type: ignore[arg-type]
    response = client.post(
        "/score", json={"pool_id": "x", "generation": 1, "query": "x", "top_k": 1}
    )
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal"


def test_a_pushed_batch_is_embedded_and_acked(client: TestClient, world: World) -> None:
    world.offer("horse", 3)
    world.ask()
    world.deliver()
    batch = world.take()
    assert isinstance(batch, EmbedBatch)
    data = base64.b64encode(encode(batch)).decode()
    response = client.post("/events/embed", json={"message": {"data": data}})
    assert response.status_code == 204
    assert world.ask().complete


@pytest.mark.parametrize("body", [b"nonsense", b"x" * (MAX_TEXT_BYTES + 1)])
def test_a_malformed_push_is_acked_and_recorded(client: TestClient, body: bytes, log: Log) -> None:
    assert client.post("/events/embed", content=body).status_code == 204
    entry = log.only("EmbedBatch")
    assert (entry["severity"], entry["outcome"]) == ("ERROR", "malformed")
    assert len(entry["excerpt"]) <= 1000


def test_a_score_is_one_line_with_the_trace_that_came_with_the_request(
    client: TestClient, world: World, log: Log
) -> None:
    pool = world.ready_pool(count=5)
    request = {"pool_id": pool.pool_id, "generation": 1, "query": "a wish", "top_k": 2}
    response = client.post("/score", json=request, headers={"traceparent": TRACEPARENT})
    entry = log.only("score")
    assert {**entry, "seconds": 0, "stages": 0, "message": 0, "time": 0} == {
        "severity": "INFO",
        "message": 0,
        "time": 0,
        "logging.googleapis.com/trace": f"projects/{PROJECT}/traces/{TRACE}",
        "kind": "score",
        "pool_id": pool.pool_id,
        "generation": 1,
        "hits": 2,
        "status": 200,
        "outcome": "done",
        "seconds": 0,
        "stages": 0,
    }
    assert set(entry["stages"]) == {"encode", "load", "rank"}
    assert "a wish" not in log.stream.getvalue()
    timing = r"encode;dur=\d+\.\d, load;dur=\d+\.\d, rank;dur=\d+\.\d, total;dur=\d+\.\d"
    assert re.fullmatch(timing, response.headers["Server-Timing"])


@pytest.mark.parametrize(
    ("change", "outcome"),
    [({"query": "x" * 501}, "invalid_request"), ({"pool_id": "0" * 32}, "not_found")],
)
def test_a_refused_score_is_a_line_that_does_not_repeat_the_query(
    client: TestClient, change: dict[str, object], outcome: str, log: Log
) -> None:
    request = {"pool_id": "id", "generation": 1, "query": "x" * 80, "top_k": 1, **change}
    response = client.post("/score", json=request)
    entry = log.only("score")
    assert (entry["status"], entry["outcome"]) == (response.status_code, outcome)
    assert "x" * 10 not in log.stream.getvalue()
    assert "total;dur=" in response.headers["Server-Timing"]


def test_a_bug_is_a_line_and_a_traceback_of_one_trace(world: World, log: Log) -> None:
    client = TestClient(create_app(SimpleNamespace(scorer=None)))  # type: ignore[arg-type]
    request = {"pool_id": "x", "generation": 1, "query": "x", "top_k": 1}
    response = client.post("/score", json=request, headers={"traceparent": TRACEPARENT})
    traceback, entry = (one for one in log.entries() if one.get("logger") != "httpx2")
    assert "AttributeError" in traceback["stack_trace"]
    assert (entry["status"], entry["outcome"], entry["severity"]) == (500, "internal", "ERROR")
    assert {TRACE in one["logging.googleapis.com/trace"] for one in (traceback, entry)} == {True}
    assert "total;dur=" in response.headers["Server-Timing"]


def test_ready_is_only_said_when_the_model_answers(client: TestClient, world: World) -> None:
    assert client.get("/ready").status_code == 200

    def stuck() -> None:
        raise Unavailable("the model does not answer")

    world.encoder.check = stuck  # type: ignore[method-assign]  # a twin that is stuck
    assert client.get("/ready").status_code == 503
    assert client.get("/alive").status_code == 200


def test_it_has_started_when_the_model_answers_whatever_else_is_down(
    client: TestClient, world: World
) -> None:
    """Else an outage of the catalog would keep every new instance from starting."""
    world.catalog.close()
    assert client.get("/ready").status_code == 503
    assert client.get("/started").status_code == 200

    def stuck() -> None:
        raise Unavailable("the model does not answer")

    world.encoder.check = stuck  # type: ignore[method-assign]  # a twin that is stuck
    assert client.get("/started").status_code == 503


def test_unknown_paths_and_methods_are_json(client: TestClient) -> None:
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    assert client.get("/score").json()["error"]["code"] == "method_not_allowed"
