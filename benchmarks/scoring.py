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

from benchmarks.common import Bars, Benchmark, Column, Figures, Goal, Row, pixabay_image
from imagesearch.adapters.caches.in_process import InProcessCache
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.clock import SystemClock
from imagesearch.compose.inference import InferenceProcess
from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.images import Embedding, Embeddings, ListedImage, Listing
from imagesearch.domain.pools import PoolKey, PoolPolicy, SourceOptions
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.domain.ranking import References, Thresholds
from imagesearch.ports import ImageEmbedding, ScoreReply, TextEmbedding
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.score import Score
from imagesearch.wire.scoring import encode
from inference_service.app import create_app
from tools.catalogs import sqlite_catalog

POOL_SIZES = (30, 200, 500)
TOP_KS = (10, 200)
EMBEDDING_DIM = 512
ROUNDS = 200
MODEL = "benchmark@1"
USE_CASE, SERVICE = "the use case alone", "the whole"
NEW, KNOWN = "new query", "query seen before"


class ReadyEncoder:
    """Has one query embedding ready, and gives it to everyone."""

    model_revision = MODEL
    logit_scale = 100.0
    logit_bias = 0.0

    def __init__(self, vector: Embedding) -> None:
        self._text = TextEmbedding(vector, truncated=False)
        self.references = References(unit_vectors(400, seed=2))
        self.thresholds = Thresholds(0.3, 0.2, 0.1)

    def encode_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """Return the vector for each."""
        return [self._text] * len(texts)

    def encode_images(self, images: Sequence[bytes]) -> list[ImageEmbedding | RejectedImage]:
        """Embed nothing: the pools are stored embedded."""
        raise NotImplementedError(f"{len(images)} images came to a benchmark of scoring")

    def encode_picture(self, data: bytes) -> Embedding:
        """Embed nothing: the queries are texts."""
        raise NotImplementedError(f"{len(data)} bytes came to a benchmark of scoring")

    def check(self) -> None:
        """Answer."""

    def close(self) -> None:
        """Have nothing to let go of."""


def unit_vectors(number: int, seed: int) -> Embeddings:
    """Return *number* random directions, (number, EMBEDDING_DIM)."""
    rows = np.random.default_rng(seed).standard_normal((number, EMBEDDING_DIM), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def add_pool(catalog: Catalog, size: int) -> str:
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


async def seconds_of(work: Awaitable[Any]) -> float:
    """Return the seconds that *work* takes."""
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def measured(score: Score, pool_id: str, size: int, top_k: int, rounds: int) -> list[Row]:
    """Time both in turns, with queries that none has seen and with one that both have."""
    service = create_app(cast(InferenceProcess, SimpleNamespace(scorer=score)))

    def request(query: str) -> ScoreRequest:
        return ScoreRequest(pool_id=pool_id, generation=1, query=Query.of_text(query), top_k=top_k)

    async def use_case(query: str) -> ScoreReply:
        return score.score(request(query))

    async def whole(query: str) -> bytes:
        return await post(service, encode(request(query)))

    check_same(await use_case(KNOWN), await whole(KNOWN))
    ways: dict[str, Callable[[str], Awaitable[Any]]] = {USE_CASE: use_case, SERVICE: whole}
    taken: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds):
        for name, way in ways.items():
            for kind, query in ((KNOWN, KNOWN), (NEW, f"{name} {size} {top_k} {turn}")):
                taken.setdefault((name, kind), []).append(await seconds_of(way(query)))
    return [
        {
            "pool": size,
            "top_k": top_k,
            "group": f"{size} images, the best {top_k}",
            "way": f"{name}, {kind}",
            "seconds": statistics.median(seconds),
            "p99_seconds": float(np.quantile(seconds, 0.99)),
        }
        for (name, kind), seconds in taken.items()
    ]


def check_same(reply: ScoreReply, answer: bytes) -> None:
    """Assert that both said the same, but for how long it took them."""
    said, untimed = json.loads(answer), {"encode_seconds": 0, "score_seconds": 0}
    assert {**json.loads(json.dumps(asdict(reply))), **untimed} == {**said, **untimed}


def measure(folder: Path, tiny: bool) -> Figures:
    """
    `/score` without the model: the use case alone, and the whole of it in process, by the service's
    own ASGI application with its thread pool, log line and JSON. No socket is in either.

    Fair, because both score the same pool through one `Score` over the embedded adapters, take
    turns within one run, and their answers are checked to be the same. The encoder returns a vector
    that it has ready, so the text encoder's time is in none of the figures. A query seen before
    needs no encoder; for a new one the cache of all processes is asked in vain and then filled, as
    in real use. Medians, and the 99th percentile.
    """
    with tempfile.TemporaryDirectory(dir=folder) as own:
        return Figures(asyncio.run(_measure(Path(own), 3 if tiny else ROUNDS)))


async def _measure(folder: Path, rounds: int) -> list[Row]:
    catalog = sqlite_catalog(SqliteFile(folder / "catalog.sqlite"), PoolPolicy())
    score = Score(
        catalog=catalog,
        cache=InProcessCache(),
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


def _whole_score(kind: str) -> Callable[[list[Row]], float | None]:
    wanted = (500, 10, f"{SERVICE}, {kind}")

    def milliseconds(rows: list[Row]) -> float | None:
        seconds = [r["seconds"] for r in rows if (r["pool"], r["top_k"], r["way"]) == wanted]
        return seconds[0] * 1e3 if seconds else None

    return milliseconds


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
    goals=tuple(
        Goal(
            f"`/score` without the model, pool of 500, {kind}",
            "≤ 1 ms",
            _whole_score(kind),
            lambda milliseconds: milliseconds <= 1,
            "{:.2f} ms",
        )
        for kind in (KNOWN, NEW)
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
