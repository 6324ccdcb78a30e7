"""`/score` without the model: what a search on an embedded pool pays besides the encoder."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from fastapi import FastAPI

from benchmarks.common import Bars, Benchmark, Column, Figures, Goal, Row, pixabay_image
from imagesearch.adapters.memorystore import Memorystore, embedded_client
from imagesearch.adapters.sqlite import SqliteCatalog
from imagesearch.bootstrap import Services
from imagesearch.clock import SystemClock
from imagesearch.errors import RejectedImage
from imagesearch.messages import ScoreRequest
from imagesearch.model import (
    Embedding,
    Embeddings,
    ListedImage,
    Listing,
    PoolKey,
    PoolPolicy,
    SourceOptions,
)
from imagesearch.ports import TextEmbedding
from imagesearch.score import Score
from inference_service.app import create_app

POOL_SIZES = (30, 200, 500)
TOP_KS = (10, 200)
EMBEDDING_DIM = 512
ROUNDS = 200
MODEL = "benchmark@1"
SERVICE = "ours, the service"


class ReadyEncoder:
    """Has one query embedding ready, and gives it to everyone."""

    model_revision = MODEL
    logit_scale = 100.0

    def __init__(self, vector: Embedding) -> None:
        self._text = TextEmbedding(vector, truncated=False)

    def encode_text(self, text: str) -> TextEmbedding:  # noqa: ARG002 - as the port says
        """Return the vector."""
        return self._text

    def encode_images(self, images: Sequence[bytes]) -> list[Embedding | RejectedImage]:
        """Embed nothing: the pools are stored embedded."""
        raise NotImplementedError(f"{len(images)} images came to a benchmark of scoring")

    def check(self) -> None:
        """Answer."""


def unit_vectors(number: int, seed: int) -> Embeddings:
    """Return *number* random directions, (number, EMBEDDING_DIM)."""
    rows = np.random.default_rng(seed).standard_normal((number, EMBEDDING_DIM), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def add_pool(catalog: SqliteCatalog, size: int) -> str:
    """Store a ready pool of *size* images and return its id."""
    now = SystemClock().now()
    key = PoolKey.of(f"pool of {size}", SourceOptions(pool_size=size))
    pool_id = catalog.request_pool(key, now).pool.pool_id
    catalog.begin_fetch(pool_id, 1, now)
    images = [pixabay_image(size * 1000 + number) for number in range(size)]
    listing = Listing(tuple(ListedImage(image, image.page_url) for image in images))
    catalog.record_listing(pool_id, 1, listing, now)
    vectors = unit_vectors(size, seed=size)
    catalog.record_batch(
        pool_id,
        1,
        model_revision=MODEL,
        embeddings={image.image_id: row for image, row in zip(images, vectors, strict=True)},
        rejections={},
        now=now,
    )
    return pool_id


def plain_app(score: Score) -> FastAPI:
    """Return the door as it is written without a thought for its answer's size."""
    app = FastAPI()

    @app.post("/score")
    def door(request: ScoreRequest) -> dict[str, Any]:
        return asdict(score.score(request))

    return app


async def post(app: Any, body: bytes) -> bytes:
    """Return what the ASGI application *app* answers to a POST of *body*."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/score",
        "raw_path": b"/score",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    return b"".join(message.get("body", b"") for message in sent)


async def seconds_of(work: Callable[[], Awaitable[Any]]) -> float:
    """Return the seconds that *work* takes."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def measured(score: Score, pool_id: str, size: int, top_k: int, rounds: int) -> list[Row]:
    """Time the three ways in turns, each with queries that none has seen."""
    services = cast(Services, SimpleNamespace(score=score))
    service, plain = create_app(services), plain_app(score)

    def request(query: str) -> ScoreRequest:
        return ScoreRequest(pool_id=pool_id, generation=1, query=query, top_k=top_k)

    async def use_case(query: str) -> None:
        score.score(request(query))

    ways: dict[str, Callable[[str], Awaitable[Any]]] = {
        "ours, the use case alone": use_case,
        SERVICE: lambda query: post(service, request(query).model_dump_json().encode()),
        "asdict as the door": lambda query: post(plain, request(query).model_dump_json().encode()),
    }
    check_same(*[await way("the first") for way in list(ways.values())[1:]])
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, way in ways.items():
            query = f"{name} {size} {top_k} {turn}"
            taken[name].append(await seconds_of(lambda way=way, query=query: way(query)))  # type: ignore[misc]
    return [
        {
            "pool": size,
            "top_k": top_k,
            "group": f"{size} images, the best {top_k}",
            "way": name,
            "seconds": statistics.median(seconds),
            "p99_seconds": float(np.quantile(seconds, 0.99)),
        }
        for name, seconds in taken.items()
    ]


def check_same(ours: bytes, plain: bytes) -> None:
    """Assert that both doors said the same, but for how long it took them."""
    untimed = {"encode_seconds": 0, "score_seconds": 0}
    assert {**json.loads(ours), **untimed} == {**json.loads(plain), **untimed}


def measure(folder: Path, tiny: bool) -> Figures:
    """
    `/score` without the model, three ways to the same answer: the use case alone; the service's
    own ASGI application in process, with its thread pool, log line and JSON; and the same with a
    door as tutorials of FastAPI write it, which hands over `asdict(reply)` to be encoded. No socket
    is in any of them.

    Fair, because all three score the same pool through one `Score` over the embedded adapters, take
    turns within one run, and both doors' answers are checked to be the same JSON. The encoder
    returns a vector that it has ready, so the text encoder's time is in none of the figures. Each
    query is new: the caches of query embeddings are asked in vain and then filled, as in real use.
    Medians, and the 99th percentile.
    """
    with tempfile.TemporaryDirectory(dir=folder) as own:
        return Figures(asyncio.run(_measure(Path(own), 3 if tiny else ROUNDS)))


async def _measure(folder: Path, rounds: int) -> list[Row]:
    catalog = SqliteCatalog(folder / "catalog.sqlite", PoolPolicy())
    score = Score(
        catalog=catalog,
        cache=Memorystore(embedded_client()),
        encoder=ReadyEncoder(unit_vectors(1, seed=1)[0]),
        clock=SystemClock(),
        policy=PoolPolicy(),
    )
    rows: list[Row] = []
    for size in POOL_SIZES:
        pool_id = add_pool(catalog, size)
        for top_k in TOP_KS:
            rows += await measured(score, pool_id, size, top_k, rounds)
    catalog.close()
    return rows


def _whole_score(rows: list[Row]) -> float | None:
    wanted = [r for r in rows if (r["pool"], r["top_k"], r["way"]) == (500, 10, SERVICE)]
    return wanted[0]["seconds"] * 1e3 if wanted else None


MILLISECONDS = Column("seconds", "ms", 1e3, 2)
BENCHMARK = Benchmark(
    name="scoring",
    title="`/score` without the model",
    measure=measure,
    columns=(
        Column("pool", "images", digits=0),
        Column("top_k", "top_k", digits=0),
        Column("way", ""),
        MILLISECONDS,
        Column("p99_seconds", "p99, ms", 1e3, 2),
    ),
    goals=(
        Goal(
            "`/score` without the model, pool of 500",
            "≤ 1 ms",
            _whole_score,
            lambda milliseconds: milliseconds <= 1,
            "{:.2f} ms",
        ),
    ),
    plots=(
        Bars(
            "/score without the model, pool of 500",
            MILLISECONDS,
            label="way",
            group="group",
            wanted=lambda row: bool(row["pool"] == 500),
        ),
    ),
)
