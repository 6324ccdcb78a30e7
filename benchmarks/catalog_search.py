"""Times one search over the whole catalog, and counts what approximate indexes miss.

Compared: ours (`SqliteCatalog.nearest`: the int8 scan, the float32 vectors of what is left from the
file, the images' rows), a float32 matrix product with numpy, faiss flat, and the graphs (HNSW) of
faiss, hnswlib and usearch at their usual settings, M 16 or 32 and 64 neighbours looked at.

Why it is fair: all have the same vectors, in memory, and the same queries one at a time, as
searches come; they take turns within one run and may use every core. Ours answers images, with
ties in order and other processes' writes seen; the peers answer positions. Recall@10 is counted
against the float32 product. Memory is by how much the process has grown; numpy's is its matrix.

Two kinds of vectors, for they decide what a graph is worth. `uniform`: directions at random, the
worst case. `clip-like`: what is known of CLIP's embeddings, without its weights: images lie in a
narrow cone with a few dimensions far above the others, in clusters, the queries in another cone
(Liang et al. 2022, "Mind the gap", figure 1).

Usage: python -m benchmarks.catalog_search [--sizes 10000 100000 1000000] [--json FILE]
The peers are the extra `bench`; those that are not installed are left out. Graphs are built up to
--graphs-up-to rows only: two cores add 1,500 to 4,000 rows a second, fewer as a graph grows. The
first two sizes take some 4 minutes; a million need 8 GB of memory, 5 GB of disk and many more.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from imagesearch.adapters.sqlite import SqliteCatalog
from imagesearch.clock import SystemClock
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

DIM = 512
SIZES = (10_000, 100_000)
GRAPHS_UP_TO = 10_000
QUERIES = 40
K = 10
MODEL = "benchmark@1"
POOL_SIZE = 10_000
LOOKED_AT = 64  # neighbours that a graph keeps in view while it searches

Floats: TypeAlias = NDArray[np.float32]
Search: TypeAlias = Callable[[Embedding], list[int]]  # the positions of the K nearest


@dataclass(frozen=True)
class Row:
    """One index on one set of vectors; *memory_bytes* is what it added to the process."""

    vectors: str
    size: int
    index: str
    build_seconds: float
    query_seconds: float
    recall: float
    memory_bytes: int


@dataclass(frozen=True)
class Built:
    """An index ready to be searched."""

    search: Search
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


# The indexes


def ours(rows: Embeddings, folder: Path) -> Search:
    """Store *rows* as a catalog's embeddings; the first search takes them into memory."""
    catalog = SqliteCatalog(folder / "catalog.sqlite", PoolPolicy())
    for start in range(0, len(rows), POOL_SIZE):
        _add_pool(catalog, start, rows[start : start + POOL_SIZE])

    def search(query: Embedding) -> list[int]:
        return [int(image.image_id) for image, _ in catalog.nearest(query, K, MODEL)]

    return search


def _add_pool(catalog: SqliteCatalog, start: int, rows: Embeddings) -> None:
    now = SystemClock().now()
    names = [str(start + number) for number in range(len(rows))]
    images = (Image(name, f"{name}.jpg", "", 640, 427, Credit("", "benchmark")) for name in names)
    pool_id = catalog.request_pool(PoolKey.of(str(start), SourceOptions()), now).pool.pool_id
    catalog.begin_fetch(pool_id, 1, now)
    listing = Listing(tuple(ListedImage(image, "") for image in images))
    catalog.record_listing(pool_id, 1, listing, now)
    embeddings = dict(zip(names, rows, strict=True))
    catalog.record_batch(
        pool_id, 1, model_revision=MODEL, embeddings=embeddings, rejections={}, now=now
    )


def numpy_product(rows: Embeddings) -> Search:
    """Return the float32 matrix product and a partition."""

    def search(query: Embedding) -> list[int]:
        cosines = rows @ query
        best = np.argpartition(cosines, -K)[-K:]
        return [int(i) for i in best]

    return search


def faiss_flat(rows: Embeddings) -> Search:
    """Return faiss's exact search over float32."""
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(rows)
    return lambda query: list(index.search(query[None], K)[1][0].tolist())


def faiss_hnsw(rows: Embeddings) -> Search:
    """Return faiss's graph, M 32."""
    import faiss

    index = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = LOOKED_AT
    index.add(rows)
    return lambda query: list(index.search(query[None], K)[1][0].tolist())


def hnswlib_graph(rows: Embeddings) -> Search:
    """Return hnswlib's graph, M 16, built with 200 neighbours in view."""
    import hnswlib

    index = hnswlib.Index("ip", DIM)
    index.init_index(len(rows), ef_construction=200, M=16)
    index.add_items(rows)
    index.set_ef(LOOKED_AT)
    return lambda query: list(index.knn_query(query, K)[0][0].tolist())


def usearch_graph(rows: Embeddings) -> Search:
    """Return usearch's graph over int8, M 16, whose best 4 K are put in order in float32."""
    from usearch.index import Index

    index = Index(ndim=DIM, metric="ip", dtype="i8", connectivity=16, expansion_search=LOOKED_AT)
    largest = float(np.abs(rows).max())
    index.add(np.arange(len(rows)), np.rint(rows * (127 / largest)).astype(np.int8))

    def search(query: Embedding) -> list[int]:
        coded = np.rint(query * (127 / np.abs(query).max())).astype(np.int8)
        found = index.search(coded, 4 * K).keys.astype(np.int64)
        best = np.argsort(-(rows[found] @ query))[:K]
        return [int(i) for i in found[best]]

    return search


EXACT: dict[str, Callable[[Embeddings], Search]] = {
    "numpy float32": numpy_product,
    "faiss flat": faiss_flat,
}
GRAPHS: dict[str, Callable[[Embeddings], Search]] = {
    "faiss HNSW": faiss_hnsw,
    "hnswlib": hnswlib_graph,
    "usearch HNSW": usearch_graph,
}
MODULES = {"faiss flat": "faiss", "faiss HNSW": "faiss", "hnswlib": "hnswlib"}
MODULES["usearch HNSW"] = "usearch"


# Measuring


def built(make: Callable[[], Search], query: Embedding) -> Built:
    """Return what *make* builds, after a first search for *query*, and what that took."""
    before, started = _resident_bytes(), time.perf_counter()
    search = make()
    search(query)
    return Built(search, time.perf_counter() - started, _resident_bytes() - before)


def _resident_bytes() -> int:
    gc.collect()
    statm = Path("/proc/self/statm")  # Linux; elsewhere memory is given as 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def measure(
    vectors: str, rows: Embeddings, queries: Embeddings, folder: Path, graphs: bool
) -> Iterator[Row]:
    """Build every index over *rows*, then search them in turns."""
    makers = {**EXACT, **(GRAPHS if graphs else {})}
    indexes = {"ours": built(lambda: ours(rows, folder), queries[0])}
    for name, make in makers.items():
        if importlib.util.find_spec(MODULES.get(name, "numpy")):
            indexes[name] = built(lambda make=make: make(rows), queries[0])  # type: ignore[misc]
    seconds: dict[str, list[float]] = {name: [] for name in indexes}
    right = dict.fromkeys(indexes, 0)
    for query in queries:
        best = set(indexes["numpy float32"].search(query))
        for name, index in indexes.items():
            started = time.perf_counter()
            found = index.search(query)
            seconds[name].append(time.perf_counter() - started)
            right[name] += len(best & set(found))
    for name, index in indexes.items():
        yield Row(
            vectors=vectors,
            size=len(rows),
            index=name,
            build_seconds=index.build_seconds,
            query_seconds=statistics.median(seconds[name]),
            recall=right[name] / (K * len(queries)),
            memory_bytes=rows.nbytes if name == "numpy float32" else index.memory_bytes,
        )


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    packages = ("numpy", "numkong", "faiss-cpu", "hnswlib", "usearch")
    modules = ("numpy", "numkong", "faiss", "hnswlib", "usearch")
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{
            package: version(package)
            for package, module in zip(packages, modules, strict=True)
            if importlib.util.find_spec(module)
        },
    }


def table(rows: list[Row]) -> Table:
    """Return *rows* as people read them."""
    shown = Table(title=f"One search for the {K} nearest of n x {DIM}, medians")
    for column in ("vectors", "n", "index", "ms", "of faiss flat", "recall@10", "MB", "build, s"):
        shown.add_column(column, justify="left" if column in ("vectors", "index") else "right")
    flat = {(r.vectors, r.size): r.query_seconds for r in rows if r.index == "faiss flat"}
    for row in rows:
        beside = flat.get((row.vectors, row.size))
        shown.add_row(
            row.vectors,
            f"{row.size:,}",
            row.index,
            f"{row.query_seconds * 1e3:.2f}",
            f"{row.query_seconds / beside:.2f}" if beside else "",
            f"{row.recall:.3f}",
            f"{row.memory_bytes / 1e6:,.0f}",
            f"{row.build_seconds:.1f}",
        )
    shown.caption = (
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ours is built by way of its file"
    )
    return shown


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    parser.add_argument("--vectors", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--graphs-up-to", type=int, default=GRAPHS_UP_TO, metavar="N")
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for size in arguments.sizes:
        for name in arguments.vectors:
            images, queries = KINDS[name]
            with tempfile.TemporaryDirectory() as folder:
                asked = queries(arguments.queries, 7)
                graphs = size <= arguments.graphs_up_to
                rows += measure(name, images(size, 3), asked, Path(folder), graphs)
    Console().print(table(rows))
    if arguments.json:
        saved = {"rows": [asdict(row) for row in rows], "machine": machine()}
        arguments.json.write_text(json.dumps(saved, indent=2) + "\n")


if __name__ == "__main__":
    main()
