"""The running service under too much work: it refuses early, and drops what nobody waits for."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from imagesearch.errors import RejectedImage
from imagesearch.messages import EmbedBatch
from imagesearch.model import Embedding, Pool
from imagesearch.ports import TextEmbedding
from inference_service.app import MAX_PUSHES, MAX_SCORES, create_app
from inference_service.batcher import Batcher, close
from tests.unit.test_batcher import until
from tests.world import TwinEncoder, World

LONG = 30.0  # seconds; no test waits that long unless something is broken


@dataclass
class QueuedEncoder(TwinEncoder):
    """A twin whose work waits in queues, as the true one's does, while *gate* is shut."""

    gate: threading.Event = field(default_factory=threading.Event)
    done: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text_queue = Batcher("text", self._texts, max_batch=1, max_queue=1000)
        self.image_queue = Batcher("image", self._images, max_batch=4, max_queue=1000)

    def encode_text(self, text: str) -> TextEmbedding:
        return self.text_queue.ask([text], LONG)[0]

    def encode_images(self, images: Sequence[bytes]) -> list[Embedding | RejectedImage]:
        return self.image_queue.ask(images, LONG)

    def close(self) -> None:
        self.gate.set()
        close(self.text_queue, self.image_queue)

    def _texts(self, texts: list[str]) -> list[TextEmbedding]:
        return [super(QueuedEncoder, self).encode_text(text) for text in self._let_in(texts)]

    def _images(self, images: list[bytes]) -> list[Embedding | RejectedImage]:
        return super().encode_images(self._let_in(images))

    def _let_in(self, items: list[Any]) -> list[Any]:
        self.done += items
        assert self.gate.wait(LONG)
        return items


@pytest.fixture
def encoder(world: World) -> Iterator[QueuedEncoder]:
    encoder = QueuedEncoder()
    encoder.gate.set()
    world.encoder = encoder
    world.assemble()
    yield encoder
    encoder.close()


@pytest.fixture
def pool(world: World, encoder: QueuedEncoder) -> Pool:
    """A ready pool, with nothing noted of how it became one."""
    pool = world.ready_pool(count=2)
    encoder.done.clear()
    return pool


@pytest.fixture
def url(world: World, encoder: QueuedEncoder) -> Iterator[str]:
    """The URL of a running service over the use cases of `world`."""
    services = SimpleNamespace(
        score=world.score, embed=world.embed, encoder=encoder, catalog=world.catalog
    )
    config = uvicorn.Config(create_app(services), log_config=None, lifespan="off")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=2 * MAX_SCORES) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        encoder.gate.set()
        server.should_exit = True
        thread.join()


def score_body(pool: Pool, query: str) -> dict[str, object]:
    return {"pool_id": pool.pool_id, "generation": 1, "query": query, "top_k": 1}


def push_body(batch: EmbedBatch) -> dict[str, object]:
    data = base64.b64encode(batch.model_dump_json().encode()).decode()
    return {"message": {"data": data}}


def batch_of(world: World, count: int) -> EmbedBatch:
    """Return a batch of *count* images that are stored and wait to be embedded."""
    world.offer("cat", count)
    world.ask("cat")
    world.deliver()
    batch = world.take()
    assert isinstance(batch, EmbedBatch)
    return batch


def hang_up(url: str, path: str, body: object, begun: Callable[[], bool]) -> None:
    """Send a request, and hang up without reading an answer once it has *begun*."""
    host, _, port = url.removeprefix("http://").partition(":")
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        until(begun)


@contextmanager
def busy(queue: Batcher[Any, Any], encoder: QueuedEncoder, item: Any) -> Iterator[None]:
    """Keep a queue's thread busy with *item* for the block."""
    encoder.gate.clear()
    with ThreadPoolExecutor(1) as caller:
        caller.submit(queue.ask, [item], LONG)
        until(lambda: encoder.done == [item])
        yield
        encoder.gate.set()


def test_a_query_whose_client_hangs_up_is_never_encoded(
    url: str, encoder: QueuedEncoder, pool: Pool
) -> None:
    queue = encoder.text_queue
    with busy(queue, encoder, "the first"):
        body = score_body(pool, "given up")
        hang_up(url, "/score", body, lambda: queue.waiting == 1)
        until(lambda: queue.waiting == 0)
    assert httpx.post(f"{url}/score", json=score_body(pool, "wanted")).status_code == 200
    assert encoder.done == ["the first", "wanted"]


def test_a_batch_whose_push_is_hung_up_on_is_not_embedded_and_a_later_push_is(
    url: str, encoder: QueuedEncoder, world: World
) -> None:
    """Pub/Sub hangs up when its deadline has passed, and delivers the batch again."""
    batch, queue = batch_of(world, 3), encoder.image_queue
    with busy(queue, encoder, b"the first"):
        body = push_body(batch)
        hang_up(url, "/events/embed", body, lambda: queue.waiting == 3)
        until(lambda: queue.waiting == 0)
    assert encoder.done == [b"the first"]
    assert httpx.post(f"{url}/events/embed", json=push_body(batch)).status_code == 204
    assert world.ask("cat").complete


def test_more_scores_than_have_a_place_are_refused_at_once_and_alive_is_answered(
    url: str, encoder: QueuedEncoder, pool: Pool
) -> None:
    """The refusals come while nothing moves: the gate opens after them."""
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(limits=limits, timeout=LONG) as client, ThreadPoolExecutor(200) as callers:
        encoder.gate.clear()
        asked = [
            callers.submit(client.post, f"{url}/score", json=score_body(pool, f"query {i}"))
            for i in range(MAX_SCORES + 5)
        ]
        until(lambda: sum(one.done() for one in asked) == 5)
        assert client.get(f"{url}/alive").status_code == 200
        refused = [one.result() for one in asked if one.done()]
        encoder.gate.set()
        answers = [one.result().status_code for one in asked]
    assert {one.status_code for one in refused} == {429}
    assert {one.headers["Retry-After"] for one in refused} == {"1"}
    assert {one.json()["error"]["code"] for one in refused} == {"overloaded"}
    assert sorted(answers) == [200] * MAX_SCORES + [429] * 5


def test_more_pushes_than_have_a_place_are_nacked_at_once_and_done_when_delivered_again(
    url: str, encoder: QueuedEncoder, world: World
) -> None:
    """A refusal reads nothing: neither the catalog nor the bytes."""
    body = push_body(batch_of(world, 3))
    with httpx.Client(timeout=LONG) as client, ThreadPoolExecutor(MAX_PUSHES + 5) as callers:
        encoder.gate.clear()
        asked = [
            callers.submit(client.post, f"{url}/events/embed", json=body)
            for _ in range(MAX_PUSHES + 5)
        ]
        until(lambda: sum(one.done() for one in asked) == 5)
        assert [one.result().status_code for one in asked if one.done()] == [429] * 5
        encoder.gate.set()
        assert sorted(one.result().status_code for one in asked) == [204] * MAX_PUSHES + [429] * 5
    assert world.ask("cat").complete
