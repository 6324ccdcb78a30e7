"""One query encoded, beside `transformers`, and while images are embedded."""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import (
    TURN_PAUSE_SECONDS,
    Bars,
    Benchmark,
    Column,
    Figures,
    Goal,
    Row,
    checkpoint,
    in_turns,
    medians,
    photos,
    timed,
)
from imagesearch.domain.errors import DeadlineExceeded
from imagesearch.domain.images import Embedding

if TYPE_CHECKING:
    from inference_service.encoder import ModelEncoder

LENGTHS = (3, 10, 77)  # tokens with the two marks around them: one word, a sentence, the most
ROUNDS = 9
QUERIES_PER_TURN = 8
SEARCHES = 200  # beside images, and PAUSE_SECONDS after the answer to each
PAUSE_SECONDS = 0.05
PUSHES, PUSHED = 2, 32  # so many batches at a time, of so many images
ON_CLOUD_RUN = "ours, the same, scheduled as on Cloud Run"
OURS, FLOAT32, BFLOAT16 = "ours", "transformers, float32", "transformers, bfloat16"

Encode = Callable[[str], Any]


def queries(length: int) -> Iterator[str]:
    """Yield different texts of *length* tokens: each letter is one in any vocabulary."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    for number in itertools.count():
        yield " ".join(letters[(number + place * place) % 26] for place in range(length - 2))


def measure(folder: Path, tiny: bool) -> Figures:
    """
    One query encoded, from its text to its embedding: what every search on an embedded pool pays.
    Beside it the text tower of `transformers`, in float32 as it comes and in bfloat16. Lengths are
    in CLIP's tokens, its two marks counted: one word, a sentence, the most that it takes.

    Fair, because all three have the same random weights of full ViT-B/32 size, all cores, tokenise
    the text themselves, pad to its own length and not to 77, and take turns within one run; their
    embeddings are checked to be the same. Ours goes through the queue that the service puts it in.
    The precision of ours is the fastest that the processor has. Medians.

    The last three rows are no comparison with others but of ours with itself: what a search waits
    for while a new keyword is embedded. 200 queries, one every 50 ms after the answer to the one
    before, first with nothing else to do, then while two threads have batches of 32 JPEGs embedded
    all the time, as the service does for pushes: with the priority that threads for images have on
    any machine, and with that which they have on Cloud Run, where they get what is left: there by
    queries alone, here by whatever else runs, too.
    """
    from inference_service.encoder import ModelEncoder

    model = checkpoint(folder, tiny)
    encoder = ModelEncoder.load(str(model), "cpu")
    try:
        ways = {OURS: lambda text: encoder.encode_text(text).vector, **_transformers(model)}
        lengths = (3, 10, 20) if tiny else LENGTHS
        rows = [row for length in lengths for row in _rows(ways, length, 1 if tiny else ROUNDS)]
    finally:
        encoder.close()
    beside = _beside_images(model, tiny)
    return Figures(rows + beside.rows, beside.notes)


def _transformers(model: Path) -> dict[str, Encode]:
    import torch
    from transformers import AutoTokenizer, CLIPModel

    tokenizer: Any = AutoTokenizer.from_pretrained(model)

    def encoder_in(dtype: torch.dtype) -> Encode:
        towers: Any = CLIPModel.from_pretrained(model, dtype=dtype)

        def encode(text: str) -> Embedding:
            with torch.inference_mode():
                tokens = tokenizer([text], return_tensors="pt", truncation=True)
                features = towers.get_text_features(**tokens).pooler_output[0].float()
                unit: Embedding = (features / features.norm()).numpy()
            return unit

        return encode

    return {FLOAT32: encoder_in(torch.float32), BFLOAT16: encoder_in(torch.bfloat16)}


def _rows(ways: dict[str, Encode], length: int, rounds: int) -> list[Row]:
    asked = queries(length)
    _check_same(ways, next(asked))

    def turn(encode: Encode) -> Callable[[], float]:
        def once() -> float:
            texts = [next(asked) for _ in range(QUERIES_PER_TURN)]
            return timed(lambda: [encode(text) for text in texts])[0] / len(texts)

        return once

    turns = {name: turn(encode) for name, encode in ways.items()}
    seconds = medians(in_turns(turns, rounds, TURN_PAUSE_SECONDS / 3))
    return [
        {
            "tokens": f"{length} tokens",
            "way": name,
            "seconds": taken,
            "ratio": seconds[FLOAT32] / taken,
        }
        for name, taken in seconds.items()
    ]


def _check_same(ways: dict[str, Encode], text: str) -> None:
    vectors = [encode(text) for encode in ways.values()]
    assert np.min(np.stack(vectors) @ vectors[0]) > 0.999, "the ways to encode differ"


# While images are embedded


def _beside_images(model: Path, tiny: bool) -> Figures:
    batch = photos(PUSHED, tiny)
    ways = {OURS: 0, "ours, while images are embedded": PUSHES}
    rows = [_row_beside(way, model, batch, pushes, tiny) for way, pushes in ways.items()]
    if tiny:  # tests keep the cores busy, and what goes last of all would get nothing
        return Figures(rows)
    last: Row = {}
    with _with_environment("K_SERVICE", "inference"), suppress(DeadlineExceeded):
        last = _row_beside(ON_CLOUD_RUN, model, batch, PUSHES, tiny)
    if "images_per_second" not in last:
        return Figures(rows, [f"{ON_CLOUD_RUN}: others left no time for images, not measured."])
    return Figures([*rows, last])


def _row_beside(way: str, model: Path, batch: list[bytes], pushes: int, tiny: bool) -> Row:
    from inference_service.encoder import ModelEncoder

    with (
        closing(ModelEncoder.load(str(model), "cpu")) as encoder,
        _pushing(encoder, batch, pushes) as ended,
    ):
        seconds = _searches(encoder, 20 if tiny else SEARCHES)
        during = ended.copy()
    row: Row = {
        "tokens": "10 tokens, at intervals",
        "way": way,
        "seconds": statistics.median(seconds),
        "p99_seconds": float(np.quantile(seconds, 0.99)),
    }
    if len(during) > 1:  # from the end of a push to the end of another
        row["images_per_second"] = len(batch) * (len(during) - 1) / (during[-1] - during[0])
    return row


@contextmanager
def _with_environment(name: str, value: str) -> Iterator[None]:
    """Set a variable; threads of an encoder take their priority by it when they start."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _pushing(encoder: ModelEncoder, batch: list[bytes], pushes: int) -> Iterator[list[float]]:
    """Have *batch* embedded by so many threads all the time; yield when each push ended."""
    ended: list[float] = []
    is_over = threading.Event()

    def push() -> None:
        while not is_over.is_set():
            encoder.encode_images(batch)
            ended.append(time.perf_counter())

    if pushes:
        encoder.encode_images(batch)  # the first time, which does not count
    with ThreadPoolExecutor(PUSHES) as threads:
        running = [threads.submit(push) for _ in range(pushes)]
        try:
            yield ended
        finally:
            is_over.set()
    for each in running:
        each.result()  # raises what failed


def _searches(encoder: ModelEncoder, number: int) -> list[float]:
    """Return the seconds of each of *number* queries; before them one that does not count."""
    asked = queries(10)
    encoder.encode_text(next(asked))
    seconds = []
    for text in itertools.islice(asked, number):
        time.sleep(PAUSE_SECONDS)
        seconds.append(timed(lambda text=text: encoder.encode_text(text))[0])  # type: ignore[misc]
    return seconds


def _ratio(rows: list[Row]) -> float | None:
    return next((r["ratio"] for r in rows if r["tokens"] == "10 tokens" and r["way"] == OURS), None)


MILLISECONDS = Column("seconds", "ms a query", 1e3, 1)
BENCHMARK = Benchmark(
    name="text_encoding",
    title="Text encoding",
    measure=measure,
    columns=(
        Column("tokens", "length"),
        Column("way", ""),
        MILLISECONDS,
        Column("ratio", "times faster than transformers, float32", digits=1),
        Column("p99_seconds", "99th percentile, ms", 1e3, 1),
        Column("images_per_second", "images a second meanwhile", digits=1),
    ),
    goals=(
        Goal(
            "text encoding against `transformers` in float32, 10 tokens",
            "≥ 4 ×",
            _ratio,
            lambda ratio: ratio >= 4,
            "{:.1f} ×",
        ),
    ),
    plots=(Bars("One query encoded", MILLISECONDS, label="way", group="tokens"),),
)
