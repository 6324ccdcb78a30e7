"""Times a search on a pool that is embedded, beside scoring all its images again.

The second is what the first version of this product did for every search: CLIPProcessor and
CLIPModel over all images and the query. What an embedding is worth is measured in `tests/`.

Why the comparison is fair: both use the same weights (a CLIP of full ViT-B/32 size; random ones
cost what trained ones cost), the same machine and threads, and take turns within one run. The
first version is handed its images decoded, as its cache held them; ours gets no help: each query
is new, so the cache of query embeddings never hits. Both answers are checked to be the same.

Usage: python -m benchmarks.warm_search [--json FILE]     (about 2 minutes)
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from rich.console import Console
from rich.table import Table
from transformers import CLIPModel, CLIPProcessor

from imagesearch.adapters.files import FolderStore
from imagesearch.adapters.memorystore import Memorystore, embedded_client
from imagesearch.adapters.sqlite import SqliteCatalog
from imagesearch.clock import SystemClock
from imagesearch.embed import Embed
from imagesearch.messages import MAX_BATCH_IMAGES, BatchImage, EmbedBatch, ScoreRequest
from imagesearch.model import (
    Credit,
    Image,
    ListedImage,
    Listing,
    Pool,
    PoolKey,
    PoolPolicy,
    SourceOptions,
)
from imagesearch.ports import ScoreReply
from imagesearch.score import Score
from inference_service.clip import ClipEncoder
from tests.checkpoints import jpeg, save_full_size

POOL_SIZE = 200
ROUNDS = 3
OURS_PER_ROUND = 10
TOP_K = 10


@dataclass(frozen=True)
class Result:
    """
    What one run measured; *_seconds are medians of one search.

    Attributes:
        encode_seconds: the part of `ours_seconds` in the text encoder.
        ratio: how many times faster ours is.
        images_per_second: of embedding the pool once, from JPEG bytes to the catalog.
    """

    pool_size: int
    ours_seconds: float
    encode_seconds: float
    first_version_seconds: float
    ratio: float
    images_per_second: float
    machine: dict[str, Any]


class FirstVersion:
    """The first version's search: everything is scored again for each query."""

    def __init__(self, checkpoint: Path, photos: Sequence[bytes]) -> None:
        self._model = CLIPModel.from_pretrained(checkpoint)
        self._processor: Any = CLIPProcessor.from_pretrained(checkpoint)
        self._images = [PIL.Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos]

    @torch.inference_mode()
    def search(self, query: str) -> tuple[list[int], list[float]]:
        """Return the positions and logits of the best images, best first."""
        inputs = self._processor(
            text=[query], images=self._images, return_tensors="pt", padding=True
        )
        best = self._model(**inputs).logits_per_text[0].topk(TOP_K)
        return best.indices.tolist(), best.values.tolist()


class Ours:
    """The use cases `embed` and `score` over the embedded adapters."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self.encoder = ClipEncoder.load(str(checkpoint))
        self.catalog = SqliteCatalog(folder / "catalog.sqlite", PoolPolicy())
        self._store = FolderStore(folder / "images")
        shared: dict[str, Any] = {
            "catalog": self.catalog,
            "cache": Memorystore(embedded_client()),
            "encoder": self.encoder,
            "clock": SystemClock(),
        }
        self._embed = Embed(**shared, store=self._store)
        self._score = Score(**shared, policy=PoolPolicy())

    def add_pool(self, photos: Sequence[bytes]) -> Pool:
        """Store and list *photos* as a pool that waits to be embedded."""
        now = SystemClock().now()
        key = PoolKey.of("anything", SourceOptions(pool_size=len(photos)))
        pool = self.catalog.request_pool(key, now).pool
        self.catalog.begin_fetch(pool.pool_id, 1, now)
        images = tuple(_listed(number) for number in range(len(photos)))
        self.catalog.record_listing(pool.pool_id, 1, Listing(images), now)
        for listed, photo in zip(images, photos, strict=True):
            self._store.put(listed.image.object_name, photo)
        self.catalog.finish_fetch(pool.pool_id, 1, now)
        return pool

    def embed(self, pool: Pool) -> None:
        """Embed *pool* in batches as the fetcher cuts them."""
        pending = self.catalog.pending(pool.pool_id, 1)
        for start in range(0, len(pending), MAX_BATCH_IMAGES):
            images = tuple(
                BatchImage(image_id=one.image.image_id, object_name=one.image.object_name)
                for one in pending[start : start + MAX_BATCH_IMAGES]
            )
            index = start // MAX_BATCH_IMAGES
            self._embed(
                EmbedBatch(pool_id=pool.pool_id, generation=1, batch_index=index, images=images)
            )

    def search(self, pool: Pool, query: str, top_k: int = TOP_K) -> ScoreReply:
        """Score *pool* against *query*."""
        request = ScoreRequest(pool_id=pool.pool_id, generation=1, query=query, top_k=top_k)
        return self._score.score(request)

    def close(self) -> None:
        """Stop the encoder's threads and close the catalog."""
        self.encoder.close()
        self.catalog.close()


def _listed(number: int) -> ListedImage:
    name = f"photo-{number:03}"
    url = f"https://example.com/{name}.jpg"
    image = Image(name, f"{name}.jpg", url, 640, 427, Credit("nobody", "benchmark"))
    return ListedImage(image, url)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that *work* took and what it returned."""
    started = time.perf_counter()
    returned = work()
    return time.perf_counter() - started, returned


def check_same_answer(ours: ScoreReply, theirs: tuple[list[int], list[float]]) -> None:
    """Assert that *ours*, of the whole pool, gives the images of *theirs* the same logits."""
    logits = {hit.image.image_id: hit.logit for hit in ours.hits}
    found = [logits[_listed(number).image.image_id] for number in theirs[0]]
    np.testing.assert_allclose(found, theirs[1], atol=1e-2)


def measure(folder: Path, pool_size: int = POOL_SIZE, rounds: int = ROUNDS) -> Result:
    """Build everything in *folder* (about 640 MB), and time both kinds of search in turns."""
    checkpoint = folder / "ViT-B-32"
    save_full_size(checkpoint)
    photos = [jpeg(seed, 640, 427) for seed in range(pool_size)]
    ours, first = Ours(checkpoint, folder), FirstVersion(checkpoint, photos)
    pool = ours.add_pool(photos)
    embed_seconds, _ = timed(lambda: ours.embed(pool))
    ours.search(pool, "the first search loads the pool")
    fast, encode, slow = [], [], []
    for turn in range(rounds):
        query = f"horses amidst {turn} flowers"
        seconds, theirs = timed(lambda query=query: first.search(query))  # type: ignore[misc]
        slow.append(seconds)
        check_same_answer(ours.search(pool, query, top_k=pool_size), theirs)
        for number in range(OURS_PER_ROUND):
            other = f"{turn} horses amidst {number} flowers"
            seconds, reply = timed(lambda query=other: ours.search(pool, query))  # type: ignore[misc]
            fast.append(seconds)
            encode.append(reply.encode_seconds)
    ours.close()
    ours_seconds, first_version_seconds = statistics.median(fast), statistics.median(slow)
    return Result(
        pool_size=pool_size,
        ours_seconds=ours_seconds,
        encode_seconds=statistics.median(encode),
        first_version_seconds=first_version_seconds,
        ratio=first_version_seconds / ours_seconds,
        images_per_second=pool_size / embed_seconds,
        machine=machine(),
    )


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "pillow", "numpy")},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(result: Result) -> Table:
    """Return *result* as people read it."""
    shown = Table(title=f"One search on a pool of {result.pool_size} images, ViT-B/32, medians")
    for column in ("", "ms a search", "times faster"):
        shown.add_column(column, justify="left" if not column else "right")
    first, ours = result.first_version_seconds * 1e3, result.ours_seconds * 1e3
    shown.add_row("first version: all images again", f"{first:,.0f}", "1")
    shown.add_row("ours: text encoder and matrix product", f"{ours:,.1f}", f"{result.ratio:,.0f}")
    shown.add_row("  of it, the text encoder", f"{result.encode_seconds * 1e3:,.1f}", "")
    shown.caption = (
        f"the pool was embedded once, at {result.images_per_second:.1f} images a second; "
        f"{result.machine['processor']}, {result.machine['cores']} cores, "
        f"{result.machine['device']}, torch {result.machine['torch']}"
    )
    return shown


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder))
    Console().print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(result), indent=2) + "\n")


if __name__ == "__main__":
    main()
