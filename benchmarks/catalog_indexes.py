"""The indexes that `catalog_search.py` compares: ours, exact ones and graphs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from imagesearch.adapters.libraries.sqlite import SqliteLibrary
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.retention.sqlite import SqliteRetention
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.clock import SystemClock
from imagesearch.domain.images import Credit, Embedding, Embeddings, Image, ListedImage, Listing
from imagesearch.domain.pools import PoolKey, PoolPolicy, SourceOptions
from imagesearch.usecases.pools import Catalog

DIM = 512
K = 10
MODEL = "benchmark@1"
POOL_SIZE = 10_000
OURS, NUMPY = "ours", "numpy float32"
FLAT, SHARDS = "faiss flat", "faiss flat, a shard a core"

Search: TypeAlias = Callable[[Embedding], list[int]]  # the positions of the K nearest
Searches: TypeAlias = dict[str, Search]  # that one index offers, by their names in the table
Graph: TypeAlias = Callable[[Embeddings, Sequence[int]], Searches]


def ours(rows: Embeddings, folder: Path) -> Searches:
    """Store *rows* as a catalog's embeddings; the first search reads them."""
    file = SqliteFile(folder / "catalog.sqlite")
    library = SqliteLibrary(file)
    catalog = Catalog(SqlitePools(file), library, PoolPolicy(), SqliteRetention(file))
    for start in range(0, len(rows), POOL_SIZE):
        _add_pool(catalog, start, rows[start : start + POOL_SIZE])

    def search(query: Embedding) -> list[int]:
        return [int(image.image_id) for image, _ in library.nearest(query, K, MODEL).hits]

    return {OURS: search}


def _add_pool(catalog: Catalog, start: int, rows: Embeddings) -> None:
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


def numpy_product(rows: Embeddings) -> Searches:
    """Return the float32 matrix product and a partition."""

    def search(query: Embedding) -> list[int]:
        cosines = rows @ query
        best = np.argpartition(cosines, -K)[-K:]
        return [int(i) for i in best]

    return {NUMPY: search}


def faiss_flat(rows: Embeddings) -> Searches:
    """Return faiss's exact search over float32; it has one thread for each query."""
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(rows)
    return {FLAT: lambda query: list(index.search(query[None], K)[1][0].tolist())}


def faiss_shards(rows: Embeddings) -> Searches:
    """Return the same over as many parts of *rows* as there are cores, a thread for each."""
    import faiss

    shards: Any = faiss.IndexShards  # its stub lacks arguments
    index = shards(DIM, True, True)  # in threads; positions go on from part to part
    for _ in range(os.cpu_count() or 1):
        index.add_shard(faiss.IndexFlatIP(DIM))
    index.add(rows)  # at once: it deals them out
    return {SHARDS: lambda query: list(index.search(query[None], K)[1][0].tolist())}


EXACT: tuple[tuple[str, Callable[[Embeddings], Searches]], ...] = (  # after their modules
    ("numpy", numpy_product),
    ("faiss", faiss_flat),
    ("faiss", faiss_shards),
)


# Graphs: built once, searched with so many neighbours in view as *looked_at* has


def faiss_hnsw(rows: Embeddings, looked_at: Sequence[int]) -> Searches:
    """Return faiss's graph, M 32."""
    import faiss

    index = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(rows)
    parameters: Any = faiss  # its stub lacks these

    def looking_at(number: int) -> Search:
        search_parameters = parameters.SearchParametersHNSW(efSearch=number)
        return lambda query: list(
            index.search(query[None], K, params=search_parameters)[1][0].tolist()
        )

    return _named("faiss HNSW", looking_at, looked_at)


def hnswlib_graph(rows: Embeddings, looked_at: Sequence[int]) -> Searches:
    """Return hnswlib's graph, M 16, built with 200 neighbours in view."""
    import hnswlib

    index = hnswlib.Index("ip", DIM)
    index.init_index(len(rows), ef_construction=200, M=16)
    index.add_items(rows)

    def looking_at(number: int) -> Search:
        def search(query: Embedding) -> list[int]:
            index.set_ef(number)
            return list(index.knn_query(query, K)[0][0].tolist())

        return search

    return _named("hnswlib", looking_at, looked_at)


def usearch_graph(rows: Embeddings, looked_at: Sequence[int]) -> Searches:
    """Return usearch's graph over int8, M 16, whose best 4 K are put in order in float32."""
    from usearch.index import Index

    index: Any = Index(ndim=DIM, metric="ip", dtype="i8", connectivity=16)
    largest = float(np.abs(rows).max())
    index.add(np.arange(len(rows)), np.rint(rows * (127 / largest)).astype(np.int8))

    def looking_at(number: int) -> Search:
        def search(query: Embedding) -> list[int]:
            index.expansion_search = number
            coded = np.rint(query * (127 / np.abs(query).max())).astype(np.int8)
            keys = index.search(coded, 4 * K).keys.astype(np.int64)
            best = np.argsort(-(rows[keys] @ query))[:K]
            return [int(i) for i in keys[best]]

        return search

    return _named("usearch HNSW", looking_at, looked_at)


def _named(graph: str, looking_at: Callable[[int], Search], looked_at: Sequence[int]) -> Searches:
    return {f"{graph}, {number} looked at": looking_at(number) for number in looked_at}


GRAPHS: tuple[tuple[str, Graph], ...] = (  # after their modules
    ("faiss", faiss_hnsw),
    ("usearch", usearch_graph),
    ("hnswlib", hnswlib_graph),
)
