"""The running service under too much work: it refuses early, and drops what nobody waits for."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.types import Message

from imagesearch.domain.errors import ImageSearchError
from imagesearch.domain.pools import Pool
from imagesearch.domain.work import EmbedBatch
from imagesearch.ports import ImageEmbedding, TextEmbedding
from imagesearch.wire.messages import encode
from inference_service.app import MAX_PUSHES, MAX_SCORES, PUSHES_AT_WORK, create_app
from inference_service.batcher import Batcher, close
from tests.unit.test_batcher import until
from tests.world import TwinEncoder, World

SCORE_THREADS = 40  # what anyio has
LONG = 30.0  # seconds; no test waits that long unless something is broken


@dataclass
class QueuedEncoder(TwinEncoder):
    """A twin whose work waits in queues, as the true one's does, while *gate* is shut."""

    gate: threading.Event = field(default_factory=threading.Event)
    image_gate: threading.Event = field(default_factory=threading.Event)
    counting: threading.Lock = field(default_factory=threading.Lock)
    begun: int = 0  # batches
    done: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text_queue = Batcher("text", self._texts, max_batch=1, max_queue=1000)
        self.image_queue = Batcher("image", self._images, max_batch=4, max_queue=1000)

    def encode_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        return self.text_queue.ask(texts, LONG)

    def encode_images(self, images: Sequence[bytes]) -> list[ImageEmbedding | ImageSearchError]:
        with self.counting:
            self.begun += 1
        return self.image_queue.ask(images, LONG)

    def close(self) -> None:
        self.gate.set()
        self.image_gate.set()
        close(self.text_queue, self.image_queue)

    def _texts(self, texts: list[str]) -> list[TextEmbedding]:
        return [super(QueuedEncoder, self).encode_text(text) for text in self._let_in(texts)]

    def _images(self, images: list[bytes]) -> list[ImageEmbedding | ImageSearchError]:
        assert self.image_gate.wait(LONG)
        return list(super().encode_images(self._let_in(images)))

    def _let_in(self, items: list[Any]) -> list[Any]:
        self.done += items
        assert self.gate.wait(LONG)
        return items


@pytest.fixture
def encoder(world: World) -> Iterator[QueuedEncoder]:
    encoder = QueuedEncoder()
    encoder.gate.set()
    encoder.image_gate.set()
    world.encoder = encoder
    world.assemble()
    yield encoder
    encoder.close()


@pytest.fixture
def pool(world: World, encoder: QueuedEncoder) -> Pool:
    """A ready pool, with nothing noted of how it became one."""
    pool = world.ready_pool(count=2)
    encoder.done.clear()
    encoder.begun = 0
    return pool


def services_of(world: World, encoder: QueuedEncoder) -> Any:
    return SimpleNamespace(
        scorer=world.score,
        embed=world.embed,
        encoder=encoder,
        catalog=world.catalog,
        give_up=world.give_up,
    )


@contextmanager
def served(world: World, encoder: QueuedEncoder) -> Iterator[str]:
    """Yield the URL of a running service over the use cases of *world*."""
    app = create_app(services_of(world, encoder))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0), backlog=2 * MAX_SCORES) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        encoder.close()
        server.should_exit = True
        thread.join()


@pytest.fixture
def url(world: World, encoder: QueuedEncoder) -> Iterator[str]:
    """The URL of a service that runs as in production."""
    with served(world, encoder) as url:
        yield url


@contextmanager
def held_images(encoder: QueuedEncoder) -> Iterator[None]:
    """Let no image be embedded, at the latest until the block ends."""
    encoder.image_gate.clear()
    try:
        yield
    finally:
        encoder.image_gate.set()


def score_body(pool: Pool, query: str) -> dict[str, object]:
    return {"pool_id": pool.pool_id, "generation": 1, "query": query, "top_k": 1}


def push_body(batch: EmbedBatch) -> dict[str, object]:
    data = base64.b64encode(encode(batch)).decode()
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
        unread = client.post(f"{url}/score", content=b"no question")
        assert unread.status_code == 429, "what has no place is not read"
        encoder.gate.set()
        answers = [one.result().status_code for one in asked]
    assert {one.status_code for one in refused} == {429}
    assert {one.headers["Retry-After"] for one in refused} == {"1"}
    assert {one.json()["error"]["code"] for one in refused} == {"overloaded"}
    assert sorted(answers) == [200] * MAX_SCORES + [429] * 5


@contextmanager
def pushing(url: str, body: object, number: int) -> Iterator[list[Future[httpx.Response]]]:
    """Have *number* pushes of *body* under way for the block."""
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(timeout=LONG, limits=limits) as client, ThreadPoolExecutor(number) as callers:
        address = f"{url}/events/embed"
        yield [callers.submit(client.post, address, json=body) for _ in range(number)]


def test_more_pushes_than_can_be_at_work_wait_for_their_turn_and_hold_up_no_score(
    url: str, encoder: QueuedEncoder, world: World, pool: Pool
) -> None:
    """They wait without a thread: scores, readiness and `/alive` are answered meanwhile."""
    body = push_body(batch_of(world, 3))
    with held_images(encoder), pushing(url, body, SCORE_THREADS + PUSHES_AT_WORK) as asked:
        until(lambda: encoder.begun == PUSHES_AT_WORK)
        answer = httpx.post(f"{url}/score", json=score_body(pool, "twin-1"), timeout=LONG)
        assert answer.status_code == 200
        for path in ("/alive", "/ready"):
            assert httpx.get(f"{url}{path}", timeout=LONG).status_code == 200
        assert not any(one.done() for one in asked)
        encoder.image_gate.set()
        assert {one.result().status_code for one in asked} == {204}
    assert world.ask("cat").complete


def test_no_more_pushes_are_at_work_than_the_model_can_do_in_time(
    url: str, encoder: QueuedEncoder, world: World
) -> None:
    body = push_body(batch_of(world, 3))
    with held_images(encoder), pushing(url, body, 3 * PUSHES_AT_WORK) as asked:
        until(lambda: encoder.begun == PUSHES_AT_WORK)
        httpx.get(f"{url}/alive")
        assert encoder.begun == PUSHES_AT_WORK
        encoder.image_gate.set()
        assert {one.result().status_code for one in asked} == {204}


def test_a_push_beyond_what_an_instance_is_sent_is_refused_at_once(
    url: str, encoder: QueuedEncoder, world: World
) -> None:
    """A refusal reads nothing: neither the catalog nor the bytes."""
    body = push_body(batch_of(world, 3))
    with held_images(encoder), pushing(url, body, MAX_PUSHES + 5) as asked:
        until(lambda: sum(one.done() for one in asked) == 5)
        assert [one.result().status_code for one in asked if one.done()] == [429] * 5
        encoder.image_gate.set()
        assert sorted(one.result().status_code for one in asked) == [204] * MAX_PUSHES + [429] * 5


def test_a_push_whose_patience_is_over_is_nacked_before_it_has_begun(
    world: World, encoder: QueuedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_service.app.PATIENCE_SECONDS", 0.1)
    body = push_body(batch_of(world, 3))
    with (
        served(world, encoder) as url,
        held_images(encoder),
        pushing(url, body, PUSHES_AT_WORK + 5) as asked,
    ):
        until(lambda: sum(one.done() for one in asked) == 5)
        assert [one.result().status_code for one in asked if one.done()] == [429] * 5
        assert encoder.begun == PUSHES_AT_WORK
        encoder.image_gate.set()
        statuses = sorted(one.result().status_code for one in asked)
    assert statuses == [204] * PUSHES_AT_WORK + [429] * 5


def test_a_waiting_push_that_is_hung_up_on_never_begins(
    world: World, encoder: QueuedEncoder
) -> None:
    """Each push comes on an event loop of its own here, as those of the embedded edition do."""
    app = create_app(services_of(world, encoder))
    body = json.dumps(push_body(batch_of(world, 3))).encode()
    with held_images(encoder), ThreadPoolExecutor(PUSHES_AT_WORK) as callers:
        asked = [callers.submit(pushed, app, body, False) for _ in range(PUSHES_AT_WORK)]
        until(lambda: encoder.begun == PUSHES_AT_WORK)
        assert pushed(app, body, hangs_up=True) == 429
        encoder.image_gate.set()
        assert {one.result() for one in asked} == {204}
    assert encoder.begun == PUSHES_AT_WORK


def pushed(app: Starlette, body: bytes, hangs_up: bool) -> int:
    """Push *body* to the embed door, hang up at once or wait, and return the status."""

    async def push() -> int:
        statuses: list[int] = []
        over = asyncio.Event()
        asked: list[Message] = [{"type": "http.request", "body": body}]

        async def receive() -> Message:
            if not asked and not hangs_up:
                await over.wait()
            return asked.pop(0) if asked else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        scope = {"type": "http", "method": "POST", "path": "/events/embed", "headers": []}
        await app({**scope, "query_string": b""}, receive, send)
        return statuses[0]

    return asyncio.run(push())
