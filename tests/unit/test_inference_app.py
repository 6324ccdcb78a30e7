"""The inference service's HTTP doors over the use cases of `World`."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from imagesearch.errors import Overloaded, Unavailable
from imagesearch.messages import EmbedBatch
from inference_service.app import create_app
from tests.world import World


@pytest.fixture
def client(world: World) -> TestClient:
    services = SimpleNamespace(
        score=world.score, embed=world.embed, encoder=world.encoder, catalog=world.catalog
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


def test_overload_says_when_to_come_back(world: World) -> None:
    def overloaded(_: object) -> None:
        raise Overloaded("64 queries are waiting", retry_after_seconds=1.5)

    services = SimpleNamespace(score=SimpleNamespace(score=overloaded))
    client = TestClient(create_app(services))  # type: ignore[arg-type]
    response = client.post(
        "/score", json={"pool_id": "x", "generation": 1, "query": "x", "top_k": 1}
    )
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "2"


def test_a_bug_is_a_json_500_without_a_trace(world: World) -> None:
    services = SimpleNamespace(score=None)
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
    data = base64.b64encode(batch.model_dump_json().encode()).decode()
    response = client.post("/events/embed", json={"message": {"data": data}})
    assert response.status_code == 204
    assert world.ask().complete


def test_a_malformed_push_is_acked(client: TestClient) -> None:
    assert client.post("/events/embed", content=b"nonsense").status_code == 204


def test_ready_is_only_said_when_the_model_answers(client: TestClient, world: World) -> None:
    assert client.get("/ready").status_code == 200

    def stuck() -> None:
        raise Unavailable("the model does not answer")

    world.encoder.check = stuck  # type: ignore[method-assign]  # a twin that is stuck
    assert client.get("/ready").status_code == 503
    assert client.get("/alive").status_code == 200


def test_unknown_paths_and_methods_are_json(client: TestClient) -> None:
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    assert client.get("/score").json()["error"]["code"] == "method_not_allowed"
