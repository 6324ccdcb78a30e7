"""One search over the whole catalog, and what approximate indexes miss."""

from __future__ import annotations

import gc
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.catalog_indexes import (
    DIM,
    EXACT,
    FLAT,
    GRAPHS,
    NUMPY,
    OURS,
    SHARDS,
    Graph,
    K,
    Search,
    Searches,
    ours,
)
from benchmarks.common import TURN_PAUSE_SECONDS, Bars, Benchmark, Column, Figures, Goal, Row
from imagesearch.domain.images import Embedding, Embeddings

QUERIES = 40

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """What is searched: *size* vectors of a kind, with which graphs beside the exact indexes."""

    vectors: str
    size: int
    graphs: tuple[tuple[str, Graph], ...] = ()
    looked_at: tuple[int, ...] = (64,)  # neighbours that a graph keeps in view while it searches


@dataclass(frozen=True)
class Built:
    """An index ready to be searched; *memory_bytes* is what the process grew by."""

    searches: Searches
    build_seconds: float
    memory_bytes: int


# The vectors


def uniform(size: int, seed: int) -> Embeddings:
    """Return *size* directions at random."""
    return _unit(np.random.default_rng(seed).standard_normal((size, DIM), np.float32))


def clip_like_images(size: int, seed: int) -> Embeddings:
    """Return *size* vectors of 1000 clusters in one cone."""
    random = np.random.default_rng(seed)
    centre = _cone(0, {133: 6.0, 92: -2.0}) * np.float32(0.75)
    clusters = _spectrum() * np.random.default_rng(1).standard_normal((1000, DIM), np.float32)
    rows = random.standard_normal((size, DIM), np.float32)
    rows *= _spectrum()
    rows += clusters[random.integers(0, len(clusters), size)]
    rows *= np.float32(0.47)
    rows += centre
    return _unit(rows)


def clip_like_queries(size: int, seed: int) -> Embeddings:
    """Return *size* vectors of the other cone, each drawn towards a cluster."""
    random = np.random.default_rng(seed)
    clusters = _spectrum() * np.random.default_rng(1).standard_normal((1000, DIM), np.float32)
    rows = _spectrum() * random.standard_normal((size, DIM), np.float32) * np.float32(0.5)
    rows += clusters[random.integers(0, len(clusters), size)] * np.float32(0.4)
    return _unit(rows + _cone(2, {133: -3.0}) * np.float32(0.7))


def _cone(seed: int, outliers: dict[int, float]) -> Embedding:
    axis = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32) / np.sqrt(DIM)
    for dimension, value in outliers.items():
        axis[dimension] = value
    return _unit(axis)


def _spectrum() -> Floats:
    """Return how much each dimension varies: unevenly, as trained embeddings do."""
    spectrum = np.arange(1, DIM + 1, dtype=np.float32) ** np.float32(-0.4)
    return spectrum / np.linalg.norm(spectrum)


def _unit(rows: Floats) -> Floats:
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows


KINDS = {"uniform": (uniform, uniform), "clip-like": (clip_like_images, clip_like_queries)}


# Measuring


def built(make: Callable[[], Searches], query: Embedding) -> Built:
    """Return what *make* builds, after a first search of each for *query*, and what that took."""
    before, started = _resident_bytes(), time.perf_counter()
    searches = make()
    for search in searches.values():
        search(query)
    seconds = time.perf_counter() - started
    # A tiny index may be less than what the process gives back meanwhile.
    grown = max(0, _resident_bytes() - before)
    return Built(searches, seconds, grown)


def _resident_bytes() -> int:
    gc.collect()
    statm = Path("/proc/self/statm")  # Linux; elsewhere memory is given as 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def rows_of(case: Case, queries: int, folder: Path) -> list[Row]:
    """Build every index that is installed and search all in turns; return their rows."""
    images, texts = KINDS[case.vectors]
    rows, asked = images(case.size, 3), texts(queries, 7)
    makers = [partial(ours, rows, folder)]
    makers += [partial(make, rows) for module, make in EXACT if _is_installed(module)]
    makers += [
        partial(make, rows, case.looked_at) for module, make in case.graphs if _is_installed(module)
    ]
    indexes = [built(make, asked[0]) for make in makers]
    seconds, right = _searched(
        {name: search for index in indexes for name, search in index.searches.items()}, asked
    )
    return [
        {
            "vectors": case.vectors,
            "size": case.size,
            "group": f"{case.size:,} {case.vectors} vectors",
            "index": name,
            "seconds": statistics.median(seconds[name]),
            "of_flat": _ratio(seconds, name),
            "recall": right[name] / (K * len(asked)),
            "memory_bytes": rows.nbytes if name == NUMPY else index.memory_bytes,
            "build_seconds": index.build_seconds,
        }
        for index in indexes
        for name in index.searches
    ]


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _searched(
    searches: dict[str, Search], queries: Embeddings
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return the seconds of each search, and how many of all queries' K nearest it found."""
    nearest = [set(searches[NUMPY](query)) for query in queries]
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    right = dict.fromkeys(searches, 0)
    for query, best in zip(queries, nearest, strict=True):
        for name, search in searches.items():
            time.sleep(TURN_PAUSE_SECONDS / 6)
            started = time.perf_counter()
            hits = search(query)
            seconds[name].append(time.perf_counter() - started)
            right[name] += len(best & set(hits))
    return seconds, right


def _ratio(seconds: dict[str, list[float]], name: str) -> float | None:
    """Return how much longer *name* takes than the faster of faiss's exact ways."""
    flat = [statistics.median(seconds[name]) for name in (FLAT, SHARDS) if name in seconds]
    return statistics.median(seconds[name]) / min(flat) if flat else None


def measure(folder: Path, tiny: bool) -> Figures:
    """
    One search over the whole catalog: ours (`SqliteLibrary.nearest`: the int8 scan, the float32
    vectors of what is left from the file, the images' rows) beside a float32 matrix product with
    numpy and faiss flat, which are exact, too, and at 10,000 beside the graphs (HNSW) of faiss,
    usearch and hnswlib at their usual settings, M 16 or 32 and 64 neighbours looked at. Graphs over
    100,000 are `catalog_graphs`, which `make bench-full` runs.

    Fair, because all have the same vectors, in memory, and the same queries one at a time, as
    searches come; they take turns within one run, a pause between them, and may use every core.
    faiss flat has one thread for a query, so that it is here a second time with a part of the
    vectors for each core; ratios are to the faster of both. A graph's search is one thread's work.
    Ours answers images, with ties in order and other processes' writes seen; the peers answer
    positions. Recall@10 is counted against the float32 product. Memory is by how much the process
    has grown; numpy's is its matrix. Ours is built by way of its file. Medians.

    Two kinds of vectors, for they decide what a graph is worth. *uniform*: directions at random,
    the worst case. *clip-like*: what is known of CLIP's embeddings, without its weights: images lie
    in a narrow cone with a few dimensions far above the others, in clusters, the queries in another
    cone (Liang et al. 2022, "Mind the gap", figure 1).
    """
    if tiny:
        return _measure(folder, [Case("clip-like", 2000, graphs=GRAPHS)], 3)
    small = [Case(vectors, 10_000, graphs=GRAPHS) for vectors in KINDS]
    return _measure(folder, [*small, Case("clip-like", 100_000)])


def measure_graphs(folder: Path, tiny: bool) -> Figures:
    """
    The same over 100,000 vectors beside the graphs of faiss and of usearch, which look at 64
    neighbours and at 256: what they gain in time and what they miss. It takes minutes.

    Fair as above: the same vectors and queries, turns with pauses within one run, all in memory. A
    graph is built once, on all cores, and searched in both ways; its memory and the time of its
    building stand in both rows.
    """
    case = Case("clip-like", 2000 if tiny else 100_000, GRAPHS[:2], (64, 256))
    return _measure(folder, [case], 3 if tiny else QUERIES)


def measure_million(folder: Path, tiny: bool) -> Figures:
    """
    The same at a million, where memory is what limits an exact search. It needs 11 GB of memory
    and 5 GB of disk. Graphs are left out.

    Fair as above: all have the same vectors, in memory, and the same queries one at a time, and
    take turns with pauses within one run. numpy, our scan and faiss with a shard a core use every
    core; the ratio is to the faster of faiss's two ways.
    """
    case = Case("clip-like", 2000 if tiny else 1_000_000)
    return _measure(folder, [case], 3 if tiny else QUERIES)


def _measure(folder: Path, cases: list[Case], queries: int = QUERIES) -> Figures:
    rows: list[Row] = []
    for case in cases:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            rows += rows_of(case, queries, Path(own))
    modules = {
        module for module, _ in (*EXACT, *(graph for case in cases for graph in case.graphs))
    }
    absent = sorted(module for module in modules if not _is_installed(module))
    missing = [f"Not installed (extra `bench`): {', '.join(absent)}."] if absent else []
    return Figures(rows, [*_found_by_graphs(rows), *missing])


def _found_by_graphs(rows: list[Row]) -> list[str]:
    """Say for each kind and size what the graphs find of the ten nearest."""
    versions: dict[str, list[str]] = {}
    for row in rows:
        if "looked at" in row["index"]:
            versions.setdefault(row["group"], []).append(f"{row['index']}: {row['recall']:.3f}")
    return [f"Recall@10 of graphs, {group}: {'; '.join(of)}." for group, of in versions.items()]


def _of_flat(rows: list[Row]) -> float | None:
    return next((r["of_flat"] for r in rows if (r["index"], r["size"]) == (OURS, 10**6)), None)


def _recall(rows: list[Row]) -> float | None:
    return min((r["recall"] for r in rows if r["index"] == OURS), default=None)


MILLISECONDS = Column("seconds", "ms a search", 1e3, 2)
COLUMNS = (
    Column("vectors", "vectors"),
    Column("size", "n", digits=0),
    Column("index", "index"),
    MILLISECONDS,
    Column("of_flat", "of the faster faiss flat", digits=2),
    Column("recall", "recall@10", digits=3),
    Column("memory_bytes", "MB", 1e-6, 0),
    Column("build_seconds", "build, s", digits=1),
)
BENCHMARK = Benchmark(
    name="catalog_search",
    title="Search over the whole catalog",
    measure=measure,
    columns=COLUMNS,
    goals=(
        Goal(
            "whole catalog, 10,000 and 100,000, exact: the same ten as numpy's",
            "all",
            _recall,
            lambda recall: recall == 1,
            "{:.1%}",
        ),
    ),
    plots=(
        Bars(
            "One search over the whole catalog",
            MILLISECONDS,
            label="index",
            group="group",
            is_logarithmic=True,
        ),
    ),
)
GRAPHS_BESIDE = Benchmark(
    name="catalog_graphs",
    title="Search over 100,000 embeddings beside graphs",
    measure=measure_graphs,
    columns=COLUMNS,
    plots=(Bars("One search over 100,000 embeddings", MILLISECONDS, label="index", group="group"),),
    in_full_only=True,
)
MILLION = Benchmark(
    name="catalog_million",
    title="Search over a catalog of a million",
    measure=measure_million,
    columns=COLUMNS,
    goals=(
        Goal(
            "whole catalog, 1M × 512, exact, against faiss flat, the faster of two ways",
            "≤ 1.5 × its time",
            _of_flat,
            lambda ratio: ratio <= 1.5,
            "{:.2f} ×",
        ),
    ),
    plots=(
        Bars("One search over a million embeddings", MILLISECONDS, label="index", group="group"),
    ),
    in_full_only=True,
)
