"""What benchmarks share: their shape, a model and pictures, time taken in turns, the machine."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

from imagesearch.domain.images import Credit, Image

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    *("torch", "transformers", "openvino", "numpy", "numkong", "pillow", "starlette", "uvicorn"),
    *("pydantic", "redis", "functions-framework", "google-cloud-firestore"),
    *("faiss-cpu", "hnswlib", "usearch"),
)
# What a CLIP on a CPU is as fast as: the widths of its vectors, and bfloat16 or int8 in hardware.
ISA_FLAGS = (
    *("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni"),
    *("amx_tile", "amx_bf16", "amx_int8"),
)
TURN_PAUSE_SECONDS = 0.3  # threads of the one before stop spinning for more work

Row: TypeAlias = dict[str, Any]  # seconds and bytes as they are; `Column` says how they are shown


@dataclass(frozen=True)
class Figures:
    """What a benchmark measured; *notes* say what was left out and why."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """One column of a table: a row's *key*, multiplied by *scale*, with so many *digits*."""

    key: str
    heading: str
    scale: float = 1.0
    digits: int | None = None  # None: text, or a number as it is


@dataclass(frozen=True)
class Bars:
    """A plot: a bar for each row, in groups, its length the column *value*."""

    title: str
    value: Column
    label: str  # the row's key that names a bar
    group: str | None = None
    is_logarithmic: bool = False
    wanted: Callable[[Row], bool] = lambda _: True


@dataclass(frozen=True)
class Curves:
    """A plot: a line through the rows of each *curve*, with a point where a row *is_ours*."""

    title: str
    across: Column
    value: Column
    curve: str  # the row's key that names a line
    wanted: Callable[[Row], bool] = lambda _: True


@dataclass(frozen=True)
class Goal:
    """What issue and design ask for; *reached* is None where it was not measured."""

    what: str
    wanted: str
    reached: Callable[[list[Row]], float | None]
    is_met: Callable[[float], bool]
    shown: str = "{:,.1f}"


@dataclass(frozen=True)
class Benchmark:
    """
    A measuring function with how its figures are shown.

    Attributes:
        measure: is given a folder that the benchmarks of one run share, and whether to take sizes
            so small that only the benchmark itself is tested. Its docstring is the explanation.
        in_full_only: `make bench` leaves it to `make bench-full`.
    """

    name: str
    title: str
    measure: Callable[[Path, bool], Figures]
    columns: tuple[Column, ...]
    goals: tuple[Goal, ...] = ()
    plots: tuple[Bars | Curves, ...] = ()
    in_full_only: bool = False


# A model and pictures


def checkpoint(folder: Path, tiny: bool) -> Path:
    """Return a CLIP of seeded random weights in *folder*, of full ViT-B/32 size unless *tiny*."""
    from tools.checkpoints import save_full_size, save_tiny  # here: they import torch

    path = folder / ("tiny-CLIP" if tiny else "ViT-B-32")
    if not (path / "model.safetensors").exists():
        (save_tiny if tiny else save_full_size)(path)
    return path


def photos(number: int, tiny: bool) -> list[bytes]:
    """Return JPEGs of 640 x 427, the size of Pixabay's `webformatURL`, each another picture."""
    from tools.pictures import jpeg

    width, height = (96, 64) if tiny else (640, 427)
    return [jpeg(seed, width, height) for seed in range(number)]


def query(number: int) -> str:
    """Return a sentence of 10 tokens, CLIP's two marks counted; each digit is one."""
    return f"a horse {' '.join(f'{number:06}')}"


def pixabay_image(number: int) -> Image:
    """Return what is stored about a photograph, as long as what Pixabay tells."""
    name = f"pixabay-{number}"
    tags = tuple("horse mare foal pasture meadow flowers spring animal nature farm".split())
    page_url = f"https://pixabay.com/photos/horse-mare-foal-pasture-{number}/"
    return Image(name, f"{name}.jpg", page_url, 640, 427, Credit(f"user{number}", "Pixabay"), tags)


# Time


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that *work* took and what it returned."""
    started = time.perf_counter()
    returned = work()
    return time.perf_counter() - started, returned


def in_turns(
    ways: Mapping[str, Callable[[], float]], rounds: int, pause_seconds: float = 0.0
) -> dict[str, list[float]]:
    """
    Return what each way gave in *rounds*, in which they take turns.

    A first turn, which warms up, does not count; of a single round it is that round, and does.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1 if rounds > 1 else 1):
        for name, way in ways.items():
            time.sleep(pause_seconds)
            given = way()
            if turn or rounds == 1:
                taken[name].append(given)
    return taken


def medians(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each."""
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


# The machine


def machine() -> dict[str, Any]:
    """Return what the figures depend on, *load_average* being that of the last minute."""
    info = _cpuinfo()
    flags = info.get("flags", "").split()
    return {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": _gpu(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = [line.partition(":")[::2] for line in lines]
    return {name.strip(): value.strip() for name, value in pairs}


def _gpu() -> str | None:
    if not Path("/dev/nvidiactl").exists():
        return None
    ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        run = subprocess.run(ask, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.splitlines()[0]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are measured."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def commit(root: Path = ROOT) -> str:
    """Return the commit of *root*, with a + when files differ that no run of benchmarks writes."""
    written = (":!docs/benchmarks", ":!docs/benchmarks.md", ":!README.md")
    try:
        differs = _git(root, "status", "--short", "--", ".", *written)
        return _git(root, "rev-parse", "--short=12", "HEAD") + ("+" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    run = subprocess.run(  # noqa: S603 - our own command
        ["git", *arguments],  # noqa: S607 - the developer's own
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()
