"""One query encoded, beside `transformers` in float32 and in bfloat16."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    timed,
)
from imagesearch.model import Embedding

LENGTHS = (3, 10, 77)  # tokens with the two marks around them: one word, a sentence, the most
ROUNDS = 9
QUERIES_PER_TURN = 8
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
    """
    from inference_service.clip import ClipEncoder

    model = checkpoint(folder, tiny)
    encoder = ClipEncoder.load(str(model), "cpu")
    try:
        ways = {OURS: lambda text: encoder.encode_text(text).vector, **_transformers(model)}
        lengths = (3, 10, 20) if tiny else LENGTHS
        rows = [row for length in lengths for row in _rows(ways, length, 1 if tiny else ROUNDS)]
    finally:
        encoder.close()
    return Figures(rows)


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
            "seconds": one,
            "ratio": seconds[FLOAT32] / one,
        }
        for name, one in seconds.items()
    ]


def _check_same(ways: dict[str, Encode], text: str) -> None:
    vectors = [encode(text) for encode in ways.values()]
    assert np.min(np.stack(vectors) @ vectors[0]) > 0.999, "the ways to encode differ"


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
