"""What only the SQLite catalog does: its file, its processes, and what is unfinished in it."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesearch import telemetry
from imagesearch.adapters.libraries.sqlite import SqliteLibrary, embeddings_after
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.adapters.vector_graph import CHECKS, RECALL
from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.domain.images import Credit, Embedding, Image, ListedImage, Listing
from imagesearch.domain.pools import PoolKey, PoolPolicy, PoolState, SourceOptions
from imagesearch.usecases.pools import Catalog
from tests.log_lines import Log
from tests.world import catalog_at

NOW = datetime(2026, 3, 4, tzinfo=UTC)
KEY = PoolKey.of("horse", SourceOptions())

WORK_FOR_EVER = """
import itertools, sys
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
from imagesearch.domain.images import *
from imagesearch.domain.pools import *
from tests.world import catalog_at

NOW = datetime(2026, 3, 4, tzinfo=UTC)
catalog = catalog_at(Path(sys.argv[1]))
vector = np.eye(1, 512, dtype=np.float32)[0]

def listed(n):
    image = Image(f"i-{n}", f"i-{n}.jpg", "", 1, 1, Credit("", ""))
    return ListedImage(image, "u")

def fill(key, numbers):
    catalog.request_pool(key, NOW)
    catalog.begin_fetch(key.pool_id, 1, NOW)
    listing = Listing(tuple(listed(n) for n in numbers), {"refused": "why"})
    catalog.record_listing(key.pool_id, 1, listing, NOW)
    for start in range(0, len(numbers), 32):
        catalog.record_batch(
            key.pool_id, 1, model_revision="m",
            embeddings={f"i-{n}": vector for n in numbers[start:start + 31]},
            rejections={f"i-{n}": "why" for n in numbers[start + 31:start + 32]}, now=NOW)

first = int(sys.argv[2])
for n in itertools.count(first):
    fill(PoolKey.of(f"keyword {n}", SourceOptions()), range(128 * n, 128 * n + 128))
    if n == first:
        print("at work", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


def test_a_writer_killed_in_the_middle_leaves_whole_transactions(path: Path) -> None:
    random_pause = random.Random(7)
    for round_number in range(4):
        _work_until_killed(path, 1000 * round_number, random_pause.uniform(0.005, 0.06))
        with closing(catalog_at(path)) as catalog:
            _check_whole(catalog, path)


def _work_until_killed(path: Path, first: int, pause_seconds: float) -> None:
    command = [sys.executable, "-c", WORK_FOR_EVER, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"at work\n"
        time.sleep(pause_seconds)
        worker.send_signal(signal.SIGKILL)


def _check_whole(catalog: Catalog, path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        pool_ids = [row[0] for row in raw.execute("SELECT pool_id FROM records")]
        stored = raw.execute("SELECT COUNT(*) FROM embeddings").fetchone()[0]
    embedded = 0
    for pool_id in pool_ids:
        pool = catalog.pool(pool_id)
        assert pool is not None
        current = pool.current
        assert (current.images, current.rejected) in [(0, 0)] + [(129, n) for n in range(1, 6)]
        assert current.embedded == max(0, current.rejected - 1) * 31
        assert (current.state is PoolState.READY) == (current.embedded == 124)
        assert (pool.ready is not None) == (current.embedded == 124)
        # Embeddings are stored before what counts them.
        packed = len(catalog.packed_pool(pool_id, 1, "m").images)
        assert packed - current.embedded in (0, 31)
        embedded += packed
    assert embedded == stored
    in_progress = [one.pool_id for one in catalog.pools.unfinished()]
    assert all(not _is_ready(catalog, pool_id) for pool_id in in_progress)


def _is_ready(catalog: Catalog, pool_id: str) -> bool:
    pool = catalog.pool(pool_id)
    return pool is not None and pool.current.state is PoolState.READY


def test_a_file_of_another_schema_version_says_so_and_is_left_alone(path: Path) -> None:
    catalog_at(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 7")
    with pytest.raises(Unavailable, match=r"catalog\.sqlite has catalog schema 7, .* needs 2"):
        catalog_at(path)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (7,)


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE theirs (id)")
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="has catalog schema 0"):
        catalog_at(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database" * 100, b"\x00" * 4096])
def test_a_file_that_is_no_database_is_unavailable(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"catalog\.sqlite failed"):
        catalog_at(path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        catalog_at(tmp_path / "file" / "catalog.sqlite")


def test_a_closed_catalog_is_unavailable(path: Path) -> None:
    catalog = catalog_at(path)
    catalog.close()
    catalog.close()
    with pytest.raises(Unavailable):
        catalog.check()
    with pytest.raises(Unavailable):
        catalog.request_pool(KEY, NOW)


def test_a_closed_catalog_is_one_file(path: Path) -> None:
    with closing(catalog_at(path)) as catalog:
        catalog.request_pool(KEY, NOW)
    assert [one.name for one in path.parent.iterdir()] == ["catalog.sqlite"]


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    for round_number in range(10):
        path = tmp_path / f"{round_number}.sqlite"
        with ThreadPoolExecutor(8) as threads:
            catalogs = list(threads.map(lambda _: catalog_at(path), range(8)))  # noqa: B023 - used within the round
        created = [one.request_pool(KEY, NOW).created for one in catalogs]
        for catalog in catalogs:
            catalog.close()
        assert created == [True] + [False] * 7


def test_reading_does_not_wait_for_another_process_that_writes(path: Path) -> None:
    with closing(catalog_at(path)) as catalog:
        catalog.request_pool(KEY, NOW)
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM records")
            started = time.monotonic()
            assert not catalog.request_pool(KEY, NOW).created
            assert catalog.pool(KEY.pool_id) is not None
            assert time.monotonic() - started < 1.0
            writer.execute("ROLLBACK")


def test_search_is_right_after_rows_were_replaced_and_deleted(path: Path) -> None:
    """Half of 600 images get a new embedding, a fifth of them none, between two searches."""
    keys = [f"i-{n}" for n in range(600)]
    vectors = {
        "old": _directions(600, seed=1),
        "new": _directions(600, seed=2),
        "query": _directions(1, seed=3),
    }
    with closing(catalog_at(path)) as catalog:
        _store(catalog, dict(zip(keys, vectors["old"], strict=True)))
        assert len(catalog.library.nearest(vectors["query"][0], 600, "m")) == 600
        _store(catalog, dict(zip(keys[::2], vectors["new"][::2], strict=True)))
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.executemany("DELETE FROM embeddings WHERE image_id = ?", [(k,) for k in keys[::5]])
        now = np.where(np.arange(600)[:, None] % 2 == 0, vectors["new"], vectors["old"])
        cosines = now.astype(np.float64) @ vectors["query"][0]
        left = [n for n in range(600) if n % 5]
        best = sorted(left, key=lambda n: -cosines[n])
        for k in (1, 10, 300, 600):
            found = catalog.library.nearest(vectors["query"][0], k, "m")
            assert [image.image_id for image, _ in found] == [keys[n] for n in best[:k]]


def test_searches_of_very_many_go_through_a_graph_and_say_what_it_finds(
    path: Path, log: Log
) -> None:
    kinds, spread = _directions(100, seed=1), _directions(34_000, seed=2)
    rows = kinds[np.arange(len(spread)) % 100] + np.float32(0.8) * spread
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rows[:: len(rows) // 200] + np.float32(0.2) * _directions(200, seed=3)

    def nearest(query: Embedding) -> list[str]:
        with telemetry.unit("search") as unit:
            found = catalog.library.nearest(query, 10, "m")
            unit.note(status=200)
        return [image.image_id for image, _ in found]

    library = SqliteLibrary(file := SqliteFile(path), graph_rows=1)
    with closing(Catalog(SqlitePools(file), library, PoolPolicy())) as catalog:
        _store(catalog, {f"i-{n}": row for n, row in enumerate(rows)})
        nearest(queries[0])
        index = library._indexes["m"]
        assert index._graph is not None
        index._graph.join()
        for query in queries[:CHECKS]:
            nearest(query)
        right = 0
        for query in queries[CHECKS:]:
            best = [f"i-{n}" for n in np.argsort(-(rows @ query))[:10]]
            right += len(set(best) & set(nearest(query)))
        assert right / (10 * len(queries[CHECKS:])) >= RECALL
        said = [entry["recall"] for entry in log.entries("search") if "recall" in entry]
        assert len(said) >= 90
        assert min(said) >= RECALL
        assert nearest(queries[0])[0] == "i-0"
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("DELETE FROM embeddings WHERE image_id = 'i-0'")
        assert "i-0" not in nearest(queries[0])
        assert len(nearest(queries[0])) == 10


def test_a_search_that_finds_many_waiting_is_refused_at_once(path: Path) -> None:
    library = SqliteLibrary(file := SqliteFile(path))
    catalog = Catalog(SqlitePools(file), library, PoolPolicy())
    with closing(catalog), ThreadPoolExecutor(17) as callers:
        _store(catalog, {"i-0": _directions(1, seed=1)[0]})
        query = _directions(1, seed=2)[0]
        with library._indexes_lock:  # as a search of a million images holds it
            asked = [callers.submit(catalog.library.nearest, query, 1, "m") for _ in range(17)]
            refused = next(as_completed(asked))
            with pytest.raises(Overloaded, match="16 searches of the catalog are under way"):
                refused.result()
        assert all(len(one.result()) == 1 for one in asked if one is not refused)


def _directions(number: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((number, 64)).astype(np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _store(catalog: Catalog, embeddings: Mapping[str, Embedding]) -> None:
    key = PoolKey.of("horse", SourceOptions())
    images = (Image(name, name, "", 1, 1, Credit("", "")) for name in embeddings)
    catalog.request_pool(key, NOW)
    catalog.begin_fetch(key.pool_id, 1, NOW)
    listing = Listing(tuple(ListedImage(image, "u") for image in images))
    catalog.record_listing(key.pool_id, 1, listing, NOW)
    catalog.record_batch(
        key.pool_id, 1, model_revision="m", embeddings=embeddings, rejections={}, now=NOW
    )


def test_a_search_looks_for_new_rows_by_their_id_alone(path: Path) -> None:
    """By SQLite's index of the model, each search would look at every row there is."""
    with closing(catalog_at(path)), closing(sqlite3.connect(path)) as raw:
        statements: list[str] = []
        raw.set_trace_callback(statements.append)
        embeddings_after(raw, "m", 7)
        raw.set_trace_callback(None)
        plan = raw.execute(f"EXPLAIN QUERY PLAN {statements[0]}").fetchall()
        assert [step[3] for step in plan] == [
            "SEARCH embeddings USING INTEGER PRIMARY KEY (rowid>?)"
        ]
