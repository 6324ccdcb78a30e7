"""Times `/score` without the model: what a search on an embedded pool pays besides the encoder.

Three ways to the same answer take turns within one run: the use case alone; the service's own
ASGI application in process, with its thread pool, log line and JSON; and the same application with
a door as FastAPI's tutorials write it, which hands over `asdict(reply)` to be encoded. No socket
is in any of them.

Why it is fair: all three score the same pool through one `Score` over the embedded adapters, and
both doors' answers are checked to be the same JSON. The encoder returns a vector that it has
ready, so the text encoder's time, measured in `warm_search.py`, is in none of the figures. Each
query is new: the cache of query embeddings is asked in vain and then filled, as in real use.

Usage: python -m benchmarks.scoring [--rounds 200] [--json FILE]     (about 15 seconds)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from fastapi import FastAPI
from rich.console import Console
from rich.table import Table

from imagesearch.adapters.memorystore import Memorystore, embedded_client
from imagesearch.adapters.sqlite import SqliteCatalog
from imagesearch.bootstrap import Services
from imagesearch.clock import SystemClock
from imagesearch.errors import RejectedImage
from imagesearch.messages import ScoreRequest
from imagesearch.model import (
    Credit,
    Embedding,
    Embeddings,
    Image,
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


@dataclass(frozen=True)
class Row:
    """Medians of one kind of request, and the 99th percentile of the service's own."""

    pool_size: int
    top_k: int
    use_case_seconds: float
    service_seconds: float
    service_p99_seconds: float
    plain_door_seconds: float


@dataclass(frozen=True)
class Result:
    """What one run measured."""

    rounds: int
    rows: list[Row]
    machine: dict[str, Any]


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
    images = [_image(size * 1000 + number) for number in range(size)]
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


def _image(number: int) -> Image:
    name = f"pixabay-{number}"
    tags = tuple("horse mare foal pasture meadow flowers spring animal nature farm".split())
    page_url = f"https://pixabay.com/photos/horse-mare-foal-pasture-{number}/"
    return Image(name, f"{name}.jpg", page_url, 640, 427, Credit(f"user{number}", "Pixabay"), tags)


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


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Return the seconds that *work* takes."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def measure_row(score: Score, pool_id: str, size: int, top_k: int, rounds: int) -> Row:
    """Time the three ways in turns, each with queries that none has seen."""
    services = cast(Services, SimpleNamespace(score=score))
    service, plain = create_app(services), plain_app(score)

    def request(query: str) -> ScoreRequest:
        return ScoreRequest(pool_id=pool_id, generation=1, query=query, top_k=top_k)

    async def use_case(query: str) -> None:
        score.score(request(query))

    ways: dict[str, Callable[[str], Awaitable[Any]]] = {
        "use case": use_case,
        "service": lambda query: post(service, request(query).model_dump_json().encode()),
        "plain": lambda query: post(plain, request(query).model_dump_json().encode()),
    }
    check_same(await ways["service"]("the first"), await ways["plain"]("the first"))
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, way in ways.items():
            query = f"{name} {size} {top_k} {turn}"
            taken[name].append(await timed(lambda way=way, query=query: way(query)))  # type: ignore[misc]
    return Row(
        size,
        top_k,
        statistics.median(taken["use case"]),
        statistics.median(taken["service"]),
        float(np.quantile(taken["service"], 0.99)),
        statistics.median(taken["plain"]),
    )


def check_same(ours: bytes, plain: bytes) -> None:
    """Assert that both doors said the same, but for how long it took them."""
    untimed = {"encode_seconds": 0, "score_seconds": 0}
    assert {**json.loads(ours), **untimed} == {**json.loads(plain), **untimed}


async def measure(folder: Path, rounds: int) -> Result:
    """Store the pools in *folder* and time every size and top_k."""
    catalog = SqliteCatalog(folder / "catalog.sqlite", PoolPolicy())
    score = Score(
        catalog=catalog,
        cache=Memorystore(embedded_client()),
        encoder=ReadyEncoder(unit_vectors(1, seed=1)[0]),
        clock=SystemClock(),
        policy=PoolPolicy(),
    )
    rows = []
    for size in POOL_SIZES:
        pool_id = add_pool(catalog, size)
        rows += [await measure_row(score, pool_id, size, top_k, rounds) for top_k in TOP_KS]
    catalog.close()
    return Result(rounds, rows, machine())


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "fastapi", "pydantic", "fakeredis")},
    }


def table(result: Result) -> Table:
    """Return *result* as people read it."""
    shown = Table(title="/score without the model, ms, medians")
    for column in ("pool", "top_k", "use case", "service", "service, p99", "asdict door"):
        shown.add_column(column, justify="right")
    for row in result.rows:
        seconds = (
            row.use_case_seconds,
            row.service_seconds,
            row.service_p99_seconds,
            row.plain_door_seconds,
        )
        shown.add_row(str(row.pool_size), str(row.top_k), *(f"{one * 1e3:.2f}" for one in seconds))
    shown.caption = f"{result.machine['cores']} cores, load {result.machine['load_average']:.1f}"
    return shown


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(Path(folder), arguments.rounds))
    Console().print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(result), indent=2) + "\n")


if __name__ == "__main__":
    main()
