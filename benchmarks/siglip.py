"""SigLIP 2 on the CPU beside `transformers`, and the memory of a process that scores."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    ROOT,
    TURN_PAUSE_SECONDS,
    Benchmark,
    Column,
    Figures,
    Goal,
    Row,
    in_turns,
    medians,
    photos,
    timed,
)
from imagesearch.domain.images import Embeddings

OURS, THEIRS = "ours", "transformers, float32"
IMAGE, TEXT, MEMORY = "picture", "text", "memory of a process that scores"
ROUNDS = 7
IMAGES_PER_TURN, TEXTS_PER_TURN = 8, 8
TOKENS = 256_000  # Gemma's, which SigLIP 2 has: a table of 786 MB
# In bfloat16, where the processor has it, a tiny random one keeps 0.9898.
LEAST_COSINE, LEAST_IN_BFLOAT16 = 0.999, 0.98

# Prints the most private memory that it had, in bytes: what it needs of the machine, and mapped
# files, whose pages may be dropped at any time, left out.
SCORES = """
import re, sys, threading
from pathlib import Path
from inference_service.encoder import ModelEncoder

peak, is_over = 0, threading.Event()

def look():
    global peak
    while not is_over.wait(0.01):
        lines = Path("/proc/self/status").read_text()
        peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+) kB", lines)[1]) * 1024)

looking = threading.Thread(target=look)
looking.start()
encoder = ModelEncoder.load(sys.argv[1], "cpu")
for number in range(50):
    encoder.encode_text(f"a horse {number}")
encoder.close()
is_over.set()
looking.join()
print(peak)
"""

Embed = Callable[[Sequence[Any]], Embeddings]


def measure(folder: Path, tiny: bool) -> Figures:
    """
    SigLIP 2 B/32-256 on the CPU, with random weights and the true table of 256,000 tokens: a
    photograph of 640 × 427 from its JPEG bytes to its embedding, and a query from its text to its
    embedding, beside `transformers` in float32.

    Fair, because both have the same weights and all cores, decode and tokenise themselves, take 8
    photographs at a time and one text, padded to 64 tokens as in training, and take turns within
    one run; their embeddings are checked to be the same. Ours goes through the queues that the
    service puts it in. Medians.

    Memory is the most private memory (RssAnon, looked at every 10 ms) of a process that loads the
    model, embeds the reference captions, as at its very first start, and then 50 queries. The file
    of the weights is mapped: its pages, the table's among them, may be dropped and read again.
    """
    from inference_service.encoder import ModelEncoder

    model = _checkpoint(folder, tiny)
    rounds = 1 if tiny else ROUNDS
    with closing(ModelEncoder.load(str(model), "cpu")) as encoder:
        ours: dict[str, Embed] = {
            IMAGE: lambda images: np.stack([each.vector for each in encoder.encode_images(images)]),  # type: ignore[union-attr]
            TEXT: lambda texts: np.stack([encoder.encode_text(text).vector for text in texts]),
        }
        theirs = _transformers(model)
        pictures = itertools.cycle([photos(IMAGES_PER_TURN, tiny)])
        inputs: dict[str, Iterator[list[Any]]] = {IMAGE: pictures, TEXT: _texts()}
        rows = [
            row
            for what in (IMAGE, TEXT)
            for row in _rows(what, {OURS: ours[what], THEIRS: theirs[what]}, inputs[what], rounds)
        ]
    return Figures([*rows, _memory(model)])


def _checkpoint(folder: Path, tiny: bool) -> Path:
    from tools.siglip_checkpoints import base_config, save_siglip_2, tiny_config

    path = folder / ("tiny-SigLIP-2" if tiny else "SigLIP-2-B-32-256")
    if not (path / "model.safetensors").exists():
        save_siglip_2(path, tiny_config() if tiny else base_config(256, 32, TOKENS))
    return path


def _transformers(model: Path) -> dict[str, Embed]:
    import torch
    from PIL import Image
    from transformers import SiglipModel
    from transformers.models.siglip import SiglipImageProcessorPil

    from tools.siglip_checkpoints import TEXT_LENGTH, reference_tokenizer

    towers: Any = SiglipModel.from_pretrained(model, dtype=torch.float32)
    processor: Any = SiglipImageProcessorPil.from_pretrained(model)
    tokenizer = reference_tokenizer(model)

    def unit(features: torch.Tensor) -> Embeddings:
        embeddings: Embeddings = (features / features.norm(dim=-1, keepdim=True)).numpy()
        return embeddings

    @torch.inference_mode()
    def images(some: Sequence[bytes]) -> Embeddings:
        pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in some]
        pixels = processor(pictures, return_tensors="pt")["pixel_values"]
        return unit(towers.get_image_features(pixels).pooler_output)

    @torch.inference_mode()
    def text(query: str) -> Embeddings:
        options = {"padding": "max_length", "max_length": TEXT_LENGTH, "truncation": True}
        ids = tokenizer([query], return_tensors="pt", **options)["input_ids"]
        return unit(towers.get_text_features(ids).pooler_output)

    return {IMAGE: images, TEXT: lambda texts: np.concatenate([text(each) for each in texts])}


def _texts() -> Iterator[list[Any]]:
    """Yield different queries, as many as a turn takes."""
    numbers = itertools.count()
    while True:
        yield [f"a horse in the snow {next(numbers)}" for _ in range(TEXTS_PER_TURN)]


def _rows(what: str, ways: dict[str, Embed], inputs: Iterator[list[Any]], rounds: int) -> list[Row]:
    asked = next(inputs)
    embeddings = [embed(asked) for embed in ways.values()]
    cosine = float(np.vecdot(*embeddings).min())
    import openvino  # here: a run of other benchmarks need not wait for it

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    least = LEAST_IN_BFLOAT16 if "BF16" in capabilities else LEAST_COSINE
    assert cosine > least, f"the ways to embed a {what} differ: cosine {cosine:.4f}"

    def turn(embed: Embed) -> Callable[[], float]:
        def once() -> float:
            some = next(inputs)
            return timed(lambda: embed(some))[0] / len(some)

        return once

    turns = {name: turn(embed) for name, embed in ways.items()}
    seconds = medians(in_turns(turns, rounds, TURN_PAUSE_SECONDS / 3))
    return [
        {"what": what, "way": way, "seconds": each, "ratio": seconds[THEIRS] / each}
        for way, each in seconds.items()
    ]


def _memory(model: Path) -> Row:
    with tempfile.TemporaryDirectory() as cache:  # without the embeddings of reference captions
        answer = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", SCORES, str(model)],
            cwd=ROOT,
            env=os.environ | {"XDG_CACHE_HOME": cache},
            capture_output=True,
            text=True,
            check=True,
        )
    return {"what": MEMORY, "way": OURS, "private_bytes": int(answer.stdout)}


def _ratio(what: str) -> Callable[[list[Row]], float | None]:
    return lambda rows: next(
        (row["ratio"] for row in rows if (row["what"], row["way"]) == (what, OURS)), None
    )


def _private_megabytes(rows: list[Row]) -> float | None:
    return next((row["private_bytes"] / 1e6 for row in rows if row["what"] == MEMORY), None)


BENCHMARK = Benchmark(
    name="siglip",
    title="SigLIP 2 on the CPU",
    measure=measure,
    columns=(
        Column("what", "of what"),
        Column("way", ""),
        Column("seconds", "ms each", 1e3, 1),
        Column("ratio", "times faster than transformers, float32", digits=2),
        Column("private_bytes", "MB, private, at most", 1e-6, 0),
    ),
    goals=(
        Goal(
            "SigLIP 2 B/32-256 against `transformers` in float32, images",
            "≥ 1.2 ×",
            _ratio(IMAGE),
            lambda ratio: ratio >= 1.2,
            "{:.2f} ×",
        ),
        Goal(
            "the same, text",
            "≥ 1.8 ×",
            _ratio(TEXT),
            lambda ratio: ratio >= 1.8,
            "{:.2f} ×",
        ),
        Goal(
            "private memory of a process that scores with it",
            "≤ 500 MB",
            _private_megabytes,
            lambda size: size <= 500,
            "{:.0f} MB",
        ),
    ),
)
