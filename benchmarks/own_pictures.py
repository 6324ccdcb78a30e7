"""A folder of own pictures: adding it, updating it, and searching a large one."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.catalog_search import clip_like_images
from benchmarks.common import (
    TURN_PAUSE_SECONDS,
    Benchmark,
    Column,
    Figures,
    Goal,
    Row,
    checkpoint,
    photos,
    query,
    timed,
)
from imagesearch.adapters.caches.in_process import InProcessCache
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.clock import SystemClock
from imagesearch.domain.collections import Collection, Update
from imagesearch.domain.images import Collected, Credit, Image
from imagesearch.domain.pools import PoolPolicy
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.local.embedded.stack import Stack, running_stack
from imagesearch.ports import Encoder
from imagesearch.settings import DEMO_MODEL, load_settings
from imagesearch.usecases.score import Score
from inference_service.encoder import ModelEncoder
from tools.catalogs import sqlite_catalog

PICTURES, SAMPLE = 10_000, 2_000
LARGE_PICTURES = 600  # for a model of full size, which takes some 30 a second
MOVED = 1_000
STORED = 100_000
QUERIES = 40
BATCH_IMAGES, BATCHES_AT_ONCE = 32, 2  # as the embedder is given them
NAME = "Pictures"
ADDING, ADDING_LARGE = "add, demo model", "add, full-size model"
AGAIN, RENAMED, COPIED = "update, nothing changed", "update, renamed", "update, copied"
SEARCH = "search beside the text encoder, 100,000 pictures"


@contextmanager
def stack_of(folder: Path, model: Path) -> Iterator[Stack]:
    """Yield the one-machine edition over a new data folder in *folder*."""
    settings = load_settings(data_dir=str(folder / "data"), clip_model=str(model), source="demo")
    with running_stack(settings) as stack:
        yield stack


def write_pictures(folder: Path, count: int, tiny: bool) -> list[Path]:
    """Write *count* JPEGs into folders of a hundred, each another picture, and return them."""
    drawn = photos(min(count, 200), tiny)
    paths = []
    for number in range(count):
        path = folder / f"{number // 100:03}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Behind its end marker a JPEG may have anything: other bytes, decoded at the same cost.
        path.write_bytes(drawn[number % len(drawn)] + b"%05d" % number)
        paths.append(path)
    return paths


def encoders_rate(encoder: Encoder, paths: Sequence[Path]) -> float:
    """Return how many images a second *encoder* embeds, given as the bus gives them."""
    batches = [paths[at : at + BATCH_IMAGES] for at in range(0, len(paths), BATCH_IMAGES)]

    def embed(batch: Sequence[Path]) -> None:
        encoder.encode_images([path.read_bytes() for path in batch])

    with ThreadPoolExecutor(BATCHES_AT_ONCE) as threads:
        seconds, _ = timed(lambda: list(threads.map(embed, batches)))
    return len(paths) / seconds


def added(stack: Stack, folder: Path) -> tuple[float, Update]:
    """Bring the collection of *folder* up to date; return the seconds and what came of it."""
    services = stack.services
    services.collections.keep(Collection(NAME, str(folder)))
    seconds, update = timed(lambda: services.update(NAME, lambda _: None))
    return seconds, update


def adding(folder: Path, model: Path, way: str, count: int, sample: int, tiny: bool) -> list[Row]:
    """Return what adding *count* pictures takes, between two runs of the encoder alone."""
    pictures = folder / "pictures"
    paths = write_pictures(pictures, count, tiny)
    with stack_of(folder, model) as stack:
        encoder = stack.services.inference.encoder
        encoders_rate(encoder, paths[:BATCH_IMAGES])
        before = encoders_rate(encoder, paths[:sample])
        seconds, update = added(stack, pictures)
        after = encoders_rate(encoder, paths[:sample])
        rate = update.embedded / seconds
        first = row(
            way, seconds, update, rate=rate, of_encoder=rate / statistics.mean((before, after))
        )
        return [first, *(updates(stack, pictures, paths) if way == ADDING else [])]


def updates(stack: Stack, pictures: Path, paths: Sequence[Path]) -> Iterator[Row]:
    """Yield what it takes to update a collection in which little or nothing changed."""
    yield row(AGAIN, *added(stack, pictures))
    moved = paths[: max(1, len(paths) * MOVED // PICTURES)]
    for path in moved:
        path.rename(path.with_name(f"moved-{path.name}"))
    yield row(RENAMED, *added(stack, pictures))
    for path in paths[-len(moved) :]:
        path.with_name(f"copy-{path.name}").write_bytes(path.read_bytes())
    yield row(COPIED, *added(stack, pictures))


def row(way: str, seconds: float, update: Update, **more: float) -> Row:
    """Return a row of an update."""
    return {
        "way": way,
        "pictures": update.found,
        "embedded": update.embedded,
        "seconds": seconds,
        **more,
    }


def searching(folder: Path, model: Path, tiny: bool) -> Row:
    """Return what a search of a collection takes beside the text encoder, a median."""
    size = 3_000 if tiny else STORED
    encoder = ModelEncoder.load(str(model))
    with closing(encoder), closing(SqliteFile(folder / "catalog.sqlite")) as file:
        catalog = sqlite_catalog(file, PoolPolicy())
        revision, dim = encoder.model_revision, len(encoder.encode_text("a").vector)
        vectors = clip_like_images(size, 3)[:, :dim]
        for start in range(0, size, 10_000):
            images = [own_image(number) for number in range(start, min(start + 10_000, size))]
            rows = {image.image_id: vectors[start + at] for at, image in enumerate(images)}
            catalog.library.put(images, rows, revision)
        score = Score(catalog, InProcessCache(), encoder, SystemClock(), PoolPolicy())
        seconds = [searched(score, number) for number in range(3 if tiny else QUERIES)]
    return {"way": SEARCH, "pictures": size, "seconds": statistics.median(seconds[1:])}


def searched(score: Score, number: int) -> float:
    """Return the seconds of one search but for its text's encoding."""
    time.sleep(TURN_PAUSE_SECONDS)
    filters = {"collection": NAME}
    request = ScoreRequest(
        Query.of_text(query(number)), 24, scope="catalog", filters=filters, fold=True
    )
    return score.score(request).score_seconds


def own_image(number: int) -> Image:
    """Return a picture of a collection, in one of a hundred folders, with a few tags."""
    folder = f"{2000 + number % 25}/album {number % 100}"
    collected = Collected(
        (NAME,), (folder.partition("/")[0], folder), file=f"{folder}/{number}.jpg"
    )
    tags = (f"tag{number % 1000}", f"person{number % 40}")
    image_id = f"own-{number:032x}"
    credit = Credit("", "Your pictures")
    return Image(
        image_id, f"{image_id}.jpg", "", 640, 427, credit, tags, year=2000, collected=collected
    )


def measure(folder: Path, tiny: bool) -> Figures:
    """
    `imagesearch add` of 10,000 JPEGs of 640 x 427, each with other bytes, by the demo's model, and
    of 600 by a CLIP ViT-B/32 of random weights; then updates: nothing changed, 1,000 renamed, 1,000
    copied. *of the encoder's rate* is beside the same encoder in the same process, which is given
    the same files in batches of 32, two at a time, before and after. Last, `Score` in a collection
    of 100,000 vectors of 512 dimensions: all that a search takes but for the text's encoding.
    """
    full_size = checkpoint(folder, tiny)
    rows: list[Row] = []
    ways: tuple[tuple[str, Path, int, int], ...] = (
        (ADDING, DEMO_MODEL, PICTURES, SAMPLE),
        (ADDING_LARGE, full_size, LARGE_PICTURES, LARGE_PICTURES // 3),
    )
    for way, model, count, sample in ways:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            counts = (40, 20) if tiny else (count, sample)
            rows += adding(Path(own), model, way, *counts, tiny)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        rows.append(searching(Path(own), full_size, tiny))
    return Figures(rows)


def _of(way: str, key: str) -> Callable[[list[Row]], float | None]:
    def reached(rows: list[Row]) -> float | None:
        figures: list[float] = [row[key] for row in rows if row["way"] == way]
        return figures[0] if figures else None

    return reached


def _embedded_again(rows: list[Row]) -> float | None:
    return float(sum(row["embedded"] for row in rows if row["way"] in (RENAMED, COPIED)))


BENCHMARK = Benchmark(
    name="own_pictures",
    title="A folder of own pictures",
    measure=measure,
    columns=(
        Column("way", "what"),
        Column("pictures", "pictures", digits=0),
        Column("embedded", "embedded", digits=0),
        Column("seconds", "seconds", digits=3),
        Column("rate", "embedded a second", digits=0),
        Column("of_encoder", "of the encoder's rate", digits=2),
    ),
    goals=(
        Goal(
            "adding 10,000 pictures, demo model, against its encoder alone",
            "≥ 0.85 × its rate",
            _of(ADDING, "of_encoder"),
            lambda ratio: ratio >= 0.85,
            "{:.2f} ×",
        ),
        Goal(
            "adding with a model of full size, against its encoder alone",
            "≥ 0.9 × its rate",
            _of(ADDING_LARGE, "of_encoder"),
            lambda ratio: ratio >= 0.9,
            "{:.2f} ×",
        ),
        Goal(
            "updating 10,000 pictures of which none changed",
            "≤ 2 s",
            _of(AGAIN, "seconds"),
            lambda seconds: seconds <= 2,
            "{:.2f} s",
        ),
        Goal(
            "embedded again after renaming 1,000 of 10,000 and copying 1,000",
            "0",
            _embedded_again,
            lambda count: count == 0,
            "{:.0f}",
        ),
        Goal(
            "a search in a collection of 100,000, beside the text encoder",
            "≤ 15 ms",
            _of(SEARCH, "seconds"),
            lambda seconds: seconds <= 0.015,
            "{:.4f} s",
        ),
    ),
    in_full_only=True,
)
