"""What a pool takes in Redis, beside what the first version kept there."""

from __future__ import annotations

import io
import pickle
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Bars, Benchmark, Column, Figures, Goal, Row, photos, pixabay_image
from imagesearch.adapters.caches.memorystore import Memorystore, connect
from imagesearch.domain.images import PackedPool
from imagesearch.local.emulated import emulators
from imagesearch.local.emulated.processes import HOST, end_all, guarded_folder, wait_until_ready
from imagesearch.ports import TextEmbedding
from imagesearch.usecases.cache_slots import POOL, TEXT

POOL_SIZES = (30, 200, 500)
EMBEDDING_DIM = 512
PICKLED = 30  # images of a pool of the first version
MODEL = "benchmark@1"
REDIS_SECONDS = 10.0


def measure(folder: Path, tiny: bool) -> Figures:  # noqa: ARG001 - nothing is kept on disk
    """
    What Redis takes for a pool, by its own `MEMORY USAGE`, which counts the key, the value and what
    its allocator rounds up: embeddings of 512 dimensions, and what is shown about each image (10
    tags, the photographer, the page). Beside it what the first version kept, its images' pixels
    pickled, for its own pool of 30; those are photographs of the same size. A query is one text's
    embedding, kept for a day.

    Fair, because both are real values in one real redis-server; only the first version's client is
    missing, which would add nothing to the value.
    """
    with ExitStack() as stack:
        home = stack.enter_context(guarded_folder("benchmark-redis-"))
        server = emulators.redis_server(home)
        stack.callback(end_all, [server], REDIS_SECONDS)
        server.start()
        wait_until_ready([server], REDIS_SECONDS)
        client: Any = connect(HOST, server.port, timeout_seconds=REDIS_SECONDS)
        stack.callback(client.close)
        rows = [_pool(client, size) for size in ((3,) if tiny else POOL_SIZES)]
        rows += [_query(client), _pickled_pixels(client, 3 if tiny else PICKLED, tiny)]
    return Figures(rows)


def _pool(client: Any, size: int) -> Row:
    vectors = np.random.default_rng(0).standard_normal((size, EMBEDDING_DIM), np.float32)
    packed = PackedPool(tuple(pixabay_image(number) for number in range(size)), vectors)
    Memorystore(client).put(POOL, ("0" * 32, 1, MODEL), packed)
    return _row(client, f"ours, a pool of {size}", size)


def _query(client: Any) -> Row:
    vector = np.ones(EMBEDDING_DIM, np.float32)
    Memorystore(client).put(TEXT, (MODEL, "horses amidst flowers"), TextEmbedding(vector, False))
    return _row(client, "ours, a query", None)


def _pickled_pixels(client: Any, number: int, tiny: bool) -> Row:
    import PIL.Image

    images = [PIL.Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos(number, tiny)]
    client.set("horse", pickle.dumps(images))
    return _row(client, f"first version, a pool of {number}", number)


def _row(client: Any, what: str, images: int | None) -> Row:
    [key] = client.keys("*")
    used = int(client.memory_usage(key, samples=0))
    client.flushall()
    return {
        "what": what,
        "images": images,
        "bytes": used,
        "image_bytes": used / images if images else None,
    }


def _image_bytes(rows: list[Row]) -> float | None:
    return next((r["image_bytes"] for r in rows if r["what"] == "ours, a pool of 200"), None)


A_PIECE = Column("image_bytes", "bytes an image", digits=0)
BENCHMARK = Benchmark(
    name="redis_bytes",
    title="Bytes of a pool in Redis",
    measure=measure,
    columns=(Column("what", ""), Column("bytes", "KB", 1e-3, 1), A_PIECE),
    goals=(
        Goal(
            "Memorystore, a pool of 200: bytes an image",
            "≤ 1,600",
            _image_bytes,
            lambda size: size <= 1600,
            "{:,.0f}",
        ),
    ),
    plots=(Bars("Redis' memory for one image", A_PIECE, label="what", is_logarithmic=True),),
)
