"""Images embedded a second, from JPEG bytes, beside what users would take instead."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    ROOT,
    TURN_PAUSE_SECONDS,
    Bars,
    Benchmark,
    Column,
    Figures,
    Goal,
    Row,
    checkpoint,
    in_turns,
    machine,
    photos,
)

PHOTOS = {"cpu": 64, "cuda": 4096}
ROUNDS = 3
OURS, ALONE = "ours", "model alone"
PEERS = {"transformers", "open_clip", "sentence-transformers", "infinity-emb over HTTP"}
HERE = Path(sys.executable)
LIBRARIES = ROOT / ".venv-peers/libraries/bin/python"
INFINITY = ROOT / ".venv-peers/infinity/bin/python"
# Which Python runs each way; the first that is there.
WAYS: dict[str, tuple[Path, ...]] = {
    OURS: (HERE,),
    ALONE: (HERE,),
    "transformers": (LIBRARIES, HERE),
    "transformers, bfloat16": (LIBRARIES, HERE),
    "open_clip": (LIBRARIES,),
    "sentence-transformers": (LIBRARIES,),
    "infinity-emb over HTTP": (INFINITY,),
}
BFLOAT16 = {"avx512_bf16", "amx_bf16"}
# Multiply-adds of ViT-B/32 for one picture, twice: 50 places, 12 layers of 12 x 768 x 768 weights,
# attention, and the patches.
IMAGE_OPERATIONS = 2 * (50 * 12 * 12 * 768**2 + 12 * 2 * 50**2 * 768 + 49 * 3072 * 768)


class Way:
    """A process that embeds the same photos whenever it is asked; see `embedders.py`."""

    def __init__(self, name: str, model: Path, folder: Path, device: str) -> None:
        python = next(path for path in WAYS[name] if path.exists())
        self._log = (folder / f"{name}.log").open("w+")
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            [python, "-m", "benchmarks.embedders", name, str(model), str(folder), device],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self.name = name
        self.version = str(self._answer()["version"])

    def seconds(self) -> float:
        """Return how long all photos took."""
        assert self._process.stdin is not None  # as it was opened
        self._process.stdin.write("once more\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """End the process; it ends what it has started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def _answer(self) -> Row:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"{self.name} ended: {self._log.read()[-2000:]}")
        answer: Row = json.loads(line)
        return answer


def measure(folder: Path, tiny: bool) -> Figures:
    """
    Photographs of 640 × 427 embedded a second on the CPU, from JPEG bytes to embeddings: ours,
    which is the service's encoder asked as the service asks it, beside `transformers`, open_clip,
    sentence-transformers, infinity-emb over HTTP, and the model of ours alone, in the same
    precision and batches, on pixels that are decoded: what no decoding, however fast, can beat.

    Fair, because all have the same photos, the same random weights of full ViT-B/32 size and all
    cores, are each in a process of their own, as loaded and warm as the others, and take turns
    within one run; their embeddings are checked to be the same. Ours and its model alone run at the
    low priority at which the service embeds, peers at the usual one: what else the machine does
    slows them less. Each peer is used as its README says, 32 images at a time. `transformers` takes
    its fast image processor where torchvision is installed, as `make bench-full` does, and without
    it a slower one. infinity runs with `--no-bettertransformer`: that is of optimum, which has it
    no more. Peers compute in float32, their default on a CPU; ours in the fastest precision that
    the processor has, and where that is bfloat16, `transformers` shows its own, too. Ours and
    infinity are asked by four requests at a time, infinity in base64, as it wants its images. The
    fastest peer is only known where all four ran. Medians.
    """
    return _measure(folder, tiny, "cpu")


def measure_cuda(folder: Path, tiny: bool) -> Figures:
    """
    The same on a GPU, all in bfloat16, infinity in its own float16.

    Fair as on the CPU: the same photos, weights, card and cores, a process each, turns within one
    run, and the same embeddings. Of the 4,096 photos 256 are different; all are decoded each time.
    Ours and infinity are asked by sixteen requests at a time, so that there is always something to
    decode while the card computes. The last column is the rate of the model alone times the
    arithmetic of a picture's matrix products, as a share of the rate of such products that was
    measured on the card: what else the model computes, and the copies to the card and back, are in
    the time that it takes.
    """
    if machine()["gpu"] is None:
        return Figures([], ["There was no GPU: nothing was measured here."])
    return _measure(folder, tiny, "cuda")


def _measure(folder: Path, tiny: bool, device: str) -> Figures:
    model = checkpoint(folder, tiny)
    names, notes = _chosen(device, tiny)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        number = 8 if tiny else PHOTOS[device]
        for place, photo in enumerate(photos(min(number, 256), tiny)):
            (Path(own) / f"{place:05}.jpg").write_bytes(photo)
        for place in range(256, number):  # drawing more would take minutes; decoding is no faster
            shutil.copy(Path(own) / f"{place % 256:05}.jpg", Path(own) / f"{place:05}.jpg")
        taken, used = _taken(names, model, Path(own), device, 1 if tiny else ROUNDS)
    rates = {name: number / statistics.median(seconds) for name, seconds in taken.items()}
    return Figures([_row(name, rates, device) for name in rates], [*notes, *used])


def _chosen(device: str, tiny: bool) -> tuple[list[str], list[str]]:
    """Return the ways that can run here, and why others cannot."""
    # Tiny leaves it out: it is another way in another precision, and takes torch's import again.
    has_bfloat16 = bool(BFLOAT16 & set(machine()["isa"])) and not tiny
    names = [name for name in WAYS if "bfloat16" not in name or (device == "cpu" and has_bfloat16)]
    absent = [name for name in names if not any(path.exists() for path in WAYS[name])]
    missing = f"Not installed, `make bench-full` installs them: {', '.join(absent)}."
    return [name for name in names if name not in absent], [missing] if absent else []


def _taken(
    names: list[str], model: Path, folder: Path, device: str, rounds: int
) -> tuple[dict[str, list[float]], list[str]]:
    with ExitStack() as stack:
        ways: dict[str, Callable[[], float]] = {}
        versions, notes = [], []
        for name in names:
            try:
                way = Way(name, model, folder, device)
            except RuntimeError as error:
                if name in (OURS, ALONE):
                    raise
                notes.append(f"{name} did not run: {str(error).splitlines()[-1]}")
                continue
            stack.callback(way.close)
            _check_same(folder, name)
            ways[name] = way.seconds
            versions.append(way.version)
        taken = in_turns(ways, rounds, TURN_PAUSE_SECONDS)
    return taken, [*notes, f"Versions: {', '.join(dict.fromkeys(versions))}."]


def _check_same(folder: Path, name: str) -> None:
    ours, theirs = (np.load(folder / f"{way}.npy").astype(np.float32) for way in (OURS, name))
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    # open_clip crops a pixel further to the side where the margin is odd; bfloat16 rounds.
    assert cosines.min() > 0.98, f"{name} embeds otherwise: cosine {cosines.min():.4f}"


def _row(name: str, rates: dict[str, float], device: str) -> Row:
    row: Row = {
        "way": name,
        "images_per_second": rates[name],
        "of_model": rates[name] / rates[ALONE],
        "of_ours": rates[OURS] / rates[name] if name not in (OURS, ALONE) else None,
    }
    if device == "cuda" and name == ALONE:
        row["of_card"] = rates[name] * IMAGE_OPERATIONS / _matrix_operations_per_second()
    return row


def _matrix_operations_per_second() -> float:
    """Return how fast the card multiplies 8192 x 8192 matrices of bfloat16."""
    import torch

    side = 8192
    a, b = (torch.randn(side, side, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    event: Any = torch.cuda.Event  # untyped
    start, end = (event(enable_timing=True) for _ in range(2))
    times = 50
    for turn in range(times + 5):
        if turn == 5:  # the first ones do not count
            start.record()
        a @ b
    end.record()
    torch.cuda.synchronize()
    return float(2 * side**3 * times / (start.elapsed_time(end) / 1e3))


def _of_model(rows: list[Row]) -> float | None:
    return next((row["of_model"] for row in rows if row["way"] == OURS), None)


def _of_fastest(rows: list[Row]) -> float | None:
    of_ours = {row["way"]: row["of_ours"] for row in rows if row["of_ours"] is not None}
    return min(of_ours.values()) if of_ours.keys() >= PEERS else None


RATE = Column("images_per_second", "images a second", digits=1)
COLUMNS = (
    Column("way", ""),
    RATE,
    Column("of_model", "of the model alone, %", 100, 0),
    Column("of_ours", "ours is faster, times", digits=2),
    Column("of_card", "of the card's matrix rate, %", 100, 1),
)
BENCHMARK = Benchmark(
    name="image_embedding",
    title="Image embedding",
    measure=measure,
    columns=COLUMNS,
    goals=(
        Goal(
            "image embedding from JPEG bytes, against the model alone",
            "≥ 90 % of its rate",
            _of_model,
            lambda share: share >= 0.9,
            "{:.0%}",
        ),
        Goal(
            "the same against the fastest peer",
            "≥ 1.3 ×",
            _of_fastest,
            lambda ratio: ratio >= 1.3,
            "{:.2f} ×",
        ),
    ),
    plots=(Bars("Images embedded a second, from JPEG bytes, on the CPU", RATE, label="way"),),
)
CUDA = Benchmark(
    name="image_embedding_cuda",
    title="Image embedding on a GPU",
    measure=measure_cuda,
    columns=COLUMNS,
    goals=(
        Goal(
            "image embedding on a GPU, against the model alone",
            "≥ 90 % of its rate",
            _of_model,
            lambda share: share >= 0.9,
            "{:.0%}",
        ),
    ),
    plots=(Bars("Images embedded a second, from JPEG bytes, on a GPU", RATE, label="way"),),
)
