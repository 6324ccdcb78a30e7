"""What only the SQLite catalog does: its file, its processes, and what is unfinished in it."""

from __future__ import annotations

import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesearch.adapters import sqlite_facts
from imagesearch.adapters.libraries.sqlite import SqliteLibrary
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.retention.sqlite import SqliteRetention
from imagesearch.adapters.sqlite import SCHEMA_VERSION, SqliteFile
from imagesearch.adapters.sqlite_facts import ImageFacts, _Texts
from imagesearch.adapters.sqlite_nearest import embeddings_after
from imagesearch.adapters.sqlite_rows import collected_of, last_embedding_ever
from imagesearch.adapters.vector_file import FileBlocks, path_of
from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.domain.filters import where_of
from imagesearch.domain.filters.declaration import Where
from imagesearch.domain.images import Collected, Credit, Embedding, Image, ListedImage, Listing
from imagesearch.domain.pools import PoolKey, PoolPolicy, PoolState, SourceOptions
from imagesearch.usecases.pools import Catalog
from tests.world import catalog_at, unfinished

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


@pytest.mark.slow
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
    in_progress = [one.pool_id for one in unfinished(path)]
    assert all(not _is_ready(catalog, pool_id) for pool_id in in_progress)


def _is_ready(catalog: Catalog, pool_id: str) -> bool:
    pool = catalog.pool(pool_id)
    return pool is not None and pool.current.state is PoolState.READY


def test_unfinished_names_the_pools_in_progress_requested_first_first(path: Path) -> None:
    keys = [PoolKey.of(word, SourceOptions()) for word in ("a", "b", "c", "d")]
    with closing(catalog_at(path)) as catalog:
        for seconds, key in enumerate(reversed(keys)):
            catalog.request_pool(key, NOW + timedelta(seconds=seconds))
        catalog.begin_fetch(keys[0].pool_id, 1, NOW)
        catalog.fail(keys[1].pool_id, 1, "down", NOW)
        catalog.record_listing(keys[2].pool_id, 1, Listing(()), NOW)
        assert [pool.keyword for pool in unfinished(path)] == ["d", "a"]
        assert unfinished(path)[1] == catalog.pool(keys[0].pool_id)


def test_a_file_of_a_newer_schema_names_what_opens_it_and_is_left_alone(path: Path) -> None:
    newer = SCHEMA_VERSION + 1
    catalog_at(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {newer}")
    said = rf"catalog\.sqlite has catalog schema {newer}, .* {SCHEMA_VERSION}: install the newer"
    with pytest.raises(Unavailable, match=said):
        catalog_at(path)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (newer,)


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE theirs (id)")
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"has catalog schema 0, this program needs \d: move"):
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
        assert len(catalog.library.nearest(vectors["query"][0], 600, "m").hits) == 600
        _store(catalog, dict(zip(keys[::2], vectors["new"][::2], strict=True)))
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.executemany("DELETE FROM embeddings WHERE image_id = ?", [(k,) for k in keys[::5]])
        now = np.where(np.arange(600)[:, None] % 2 == 0, vectors["new"], vectors["old"])
        cosines = now.astype(np.float64) @ vectors["query"][0]
        left = [n for n in range(600) if n % 5]
        best = sorted(left, key=lambda n: -cosines[n])
        for k in (1, 10, 300, 600):
            found = catalog.library.nearest(vectors["query"][0], k, "m").hits
            assert [image.image_id for image, _ in found] == [keys[n] for n in best[:k]]


TALL, WIDE = (where_of({"orientation": name}) for name in ("vertical", "horizontal"))


TAGGED = where_of({"tag": "three", "user": "anna"})


def _of_height(n: int, height: int) -> Image:
    tags = ("three",) if height == 5 else ("less",)
    return Image(f"i-{n}", "", "", 4, height, Credit("Anna" if n % 2 else "Bert", ""), tags)


@pytest.mark.slow
def test_a_filter_looks_at_all_rows_however_many_and_at_those_of_the_model(path: Path) -> None:
    """In more steps than one, of a catalog that goes on growing."""
    vectors, query = _directions(41_000, seed=1), _directions(1, seed=2)[0]
    images = [_of_height(n, 2 + n % 5) for n in range(41_000)]
    cosines = vectors.astype(np.float64) @ query
    best = [int(n) for n in np.argsort(-cosines) if n % 5 > 2]
    with closing(catalog_at(path)) as catalog:
        for some in (range(20_500), range(20_500, 20_501), range(20_501, 41_000)):
            embeddings = {f"i-{n}": vectors[n] for n in some}
            catalog.library.put([images[n] for n in some], embeddings, "m")
            catalog.library.put(images[:9], {"i-3": vectors[3]}, "another model")
            expected = [f"i-{n}" for n in best if n < some.stop]
            tagged = [f"i-{n}" for n in best if n < some.stop and n % 5 == 3 and n % 2]
            for k, (where, names) in product((10, 1000), ((TALL, expected), (TAGGED, tagged))):
                hits = catalog.library.nearest(query, k, "m", where).hits
                assert [image.image_id for image, _ in hits] == names[:k]
    facts, asked = ImageFacts("m"), count(1)
    with closing(SqliteFile(path)) as file:

        @contextmanager
        def failing() -> Iterator[sqlite3.Connection]:
            with file.reading() as connection:
                if next(asked) == 3:
                    raise Unavailable("half way")
                yield connection

        with file.reading() as connection:
            last_id = last_embedding_ever(connection)
        with pytest.raises(Unavailable):
            facts.matching(TALL, last_id, failing)
        matching = facts.matching(TALL, last_id, failing)
        before = next(asked)
        assert (facts.matching(TALL, last_id, failing) == matching).all()
        assert not (facts.matching(WIDE, last_id, failing) & matching).any()
        assert next(asked) == before + 1, "of rows whose facts are known nothing is read"
    assert matching.sum() == len(best), "no row is taken for one without facts"


@pytest.mark.parametrize("asked", [(), TALL], ids=["without a filter", "with another one"])
def test_no_search_waits_for_facts_that_it_does_not_ask_for(
    path: Path, asked: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first search with a filter of texts reads those of all images."""
    begun, go_on = threading.Event(), threading.Event()
    take_over = _Texts._take_over

    def held(self: _Texts, *rows: Any) -> None:
        begun.set()
        assert go_on.wait(30)
        take_over(self, *rows)

    monkeypatch.setattr(_Texts, "_take_over", held)
    vectors, query = _directions(2, seed=1), _directions(1, seed=2)[0]
    images = [_of_height(n, 5) for n in range(2)]
    with closing(catalog_at(path)) as catalog, ThreadPoolExecutor(2) as callers:
        catalog.library.put(images, {"i-0": vectors[0], "i-1": vectors[1]}, "m")
        slow = callers.submit(catalog.library.nearest, query, 9, "m", TAGGED)
        try:
            assert begun.wait(30)
            quick = callers.submit(catalog.library.nearest, query, 9, "m", asked)
            assert len(quick.result(timeout=10).hits) == 2
            assert not slow.done()
        finally:
            go_on.set()
        assert [image.image_id for image, _ in slow.result().hits] == ["i-1"]


def test_what_many_own_pictures_have_in_common_is_read_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a name, a title, a rating and a place of its own; of folders there are three."""
    read: list[object] = []

    def reading(column: object) -> Collected | None:
        read.append(column)
        return collected_of(column)

    monkeypatch.setattr(sqlite_facts, "collected_of", reading)
    vectors, query = _directions(90, seed=1), _directions(1, seed=2)[0]
    images = [
        replace(
            _of_height(n, 6),
            collected=Collected(
                ("Mine",),
                (f"{2000 + n % 3}",),
                file=f"{2000 + n % 3}/{n}.jpg",
                title=f"Number {n}",
                rating=1 + n % 5,
                place=(n / 10, n / 7),
            ),
        )
        for n in range(90)
    ]
    with closing(catalog_at(path)) as catalog:
        catalog.library.put(images, {f"i-{n}": vectors[n] for n in range(90)}, "m")
        where = where_of({"collection": "mine", "folder": "2001"})
        hits = catalog.library.nearest(query, 90, "m", where).hits
    assert {image.image_id for image, _ in hits} == {f"i-{n}" for n in range(1, 90, 3)}
    assert len(read) == 3


@pytest.mark.parametrize("value", ["'{'", "x'00'", "5", "'[3]'", "'null'", "''", "x'7b7d'"])
def test_damage_to_what_was_collected_costs_its_own_image(path: Path, value: str) -> None:
    vectors, query = _directions(2, seed=1), _directions(1, seed=2)[0]
    own = Collected(("Mine",), ("2001",))
    images = [replace(_of_height(n, 5), collected=own) for n in range(2)]
    with closing(catalog_at(path)) as catalog:
        catalog.library.put(images, {"i-0": vectors[0], "i-1": vectors[1]}, "m")
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute(f"UPDATE images SET collected = {value} WHERE image_id = 'i-0'")
        hits = catalog.library.nearest(query, 9, "m", where_of({"collection": "mine"})).hits
        assert [image for image, _ in hits] == [images[1]]


@pytest.mark.parametrize("value", ["'wide'", "x'00'", "5.5", "1e300", "-9"])
def test_damaged_sides_are_not_known(path: Path, value: str) -> None:
    """SQLite keeps whatever it is given, and takes text to be larger than every number."""
    vectors, query = _directions(2, seed=1), _directions(1, seed=2)[0]
    images = [_of_height(n, 6) for n in range(2)]
    with closing(catalog_at(path)) as catalog:
        catalog.library.put(images, {"i-0": vectors[0], "i-1": vectors[1]}, "m")
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute(f"UPDATE images SET height = {value} WHERE image_id = 'i-0'")
        hits = catalog.library.nearest(query, 9, "m", TALL).hits
        assert [image for image, _ in hits] == [images[1]]
        assert len(catalog.library.nearest(query, 9, "m").hits) == 2
        catalog.library.put(images, {}, "m")
        assert len(catalog.library.nearest(query, 9, "m", TALL).hits) == 2


@pytest.mark.parametrize("value", ["x'00'", "5", "'[7, null]'", "'[[[['", "'{}'"])
def test_damaged_texts_are_none(path: Path, value: str) -> None:
    vectors, query = _directions(2, seed=1), _directions(1, seed=2)[0]
    images = [replace(_of_height(n, 5), credit=Credit("Anna", "here")) for n in range(2)]
    with closing(catalog_at(path)) as catalog:
        catalog.library.put(images, {"i-0": vectors[0], "i-1": vectors[1]}, "m")
        with closing(sqlite3.connect(path)) as raw, raw:
            for column in ("credit_user", "credit_source", "tags"):
                raw.execute(f"UPDATE images SET {column} = {value} WHERE image_id = 'i-0'")
        for filters in ({"tag": "three"}, {"user": "anna"}, {"source": "here"}):
            hits = catalog.library.nearest(query, 9, "m", where_of(filters)).hits
            assert [image for image, _ in hits] == [images[1]]


@pytest.mark.parametrize("is_filtered_before", [True, False])
def test_a_filter_outlives_the_newest_row(path: Path, is_filtered_before: bool) -> None:
    """As when the newest embedding is damaged, and deleted."""
    vectors, query = _directions(3, seed=1), _directions(1, seed=2)[0]
    images = [_of_height(n, 6) for n in range(3)]
    embeddings = {image.image_id: vectors[n] for n, image in enumerate(images)}
    with closing(catalog_at(path)) as catalog:
        catalog.library.put(images, embeddings, "m")
        catalog.library.nearest(query, 9, "m", TALL if is_filtered_before else ())
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("DELETE FROM embeddings WHERE image_id = 'i-2'")
        hits = catalog.library.nearest(query, 9, "m", TALL).hits
        assert {image.image_id for image, _ in hits} == {"i-0", "i-1"}
        catalog.library.put(images[2:], {"i-2": vectors[2]}, "m")
        assert len(catalog.library.nearest(query, 9, "m", TALL).hits) == 3


def test_only_an_image_whose_facts_change_gets_new_rows(path: Path) -> None:
    vectors = _directions(3, seed=1)
    images = [_of_height(n, 6) for n in range(3)]
    with closing(catalog_at(path)) as catalog, closing(sqlite3.connect(path)) as raw:
        for model in ("m", "n"):
            embeddings = {image.image_id: vectors[n] for n, image in enumerate(images)}
            catalog.library.put(images, embeddings, model)
        ids = "SELECT id, model_revision, image_id FROM embeddings ORDER BY id"
        before = raw.execute(ids).fetchall()
        renamed = replace(images[0], page_url="https://x/")
        catalog.library.put([renamed, replace(images[1], height=3), images[2]], {}, "m")
        after = raw.execute(ids).fetchall()
        assert [row for row in before if row not in after] == [(2, "m", "i-1"), (5, "n", "i-1")]
        assert [row[1:] for row in after if row not in before] == [("m", "i-1"), ("n", "i-1")]
        assert catalog.library.vectors(["i-1"], "n")[1].tolist() == [vectors[1].tolist()]


def test_another_file_in_place_of_the_catalog_has_facts_of_its_own(path: Path) -> None:
    vectors, query = _directions(2, seed=1), _directions(1, seed=2)[0]
    with closing(catalog_at(path)) as catalog:
        for height, found in ((6, 1), (3, 0), (6, 1)):
            path.unlink()
            catalog.library.put([_of_height(0, height)], {"i-0": vectors[0]}, "m")
            assert len(catalog.library.nearest(query, 9, "m", TALL).hits) == found


class VanishingFile(SqliteFile):
    """A catalog that is removed right before its read of a number; the next one begins anew."""

    reads = 0
    removed_at = 0

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        self.reads += 1
        if self.reads == self.removed_at:
            for name in self.path.parent.iterdir():
                name.unlink()
        with super().reading() as connection:
            yield connection


@pytest.mark.parametrize("removed_at", range(1, 7))
def test_a_catalog_that_vanishes_during_a_search_costs_its_indexes(
    path: Path, removed_at: int
) -> None:
    """And not a look at each of their rows, or a row of the one in its place."""
    vectors, query = _directions(2000, seed=1), _directions(1, seed=2)[0]
    file = VanishingFile(path)
    with closing(SqliteLibrary(file)) as library:
        images = [_of_height(n, 6) for n in range(2000)]
        library.put(images, {f"i-{n}": row for n, row in enumerate(vectors)}, "m")
        assert len(library.nearest(query, 10, "m", TALL).hits) == 10
        file.reads, file.removed_at = 0, removed_at
        for _ in range(2):
            library.nearest(query, 10, "m", TALL)
        assert file.reads < 20
        library.put(images[:3], {f"i-{n}": vectors[n] for n in range(3)}, "m")
        hits = library.nearest(query, 10, "m", TALL).hits
        assert [image.image_id for image, _ in hits] == _ranked(vectors[:3], query)


def _copies(path: Path) -> list[Path]:
    return sorted(path.parent.glob("catalog.sqlite.*.int8"))


def _nearest(path: Path, query: Embedding, k: int = 10) -> list[str]:
    with closing(catalog_at(path)) as catalog:
        return [image.image_id for image, _ in catalog.library.nearest(query, k, "m").hits]


def _ranked(vectors: NDArray[np.float32], query: Embedding, k: int = 10) -> list[str]:
    return [f"i-{n}" for n in np.argsort(-(vectors.astype(np.float64) @ query))[:k]]


def _stored(path: Path, vectors: NDArray[np.float32]) -> None:
    with closing(catalog_at(path)) as catalog:
        _store(catalog, {f"i-{n}": vector for n, vector in enumerate(vectors)})


def test_the_next_process_takes_the_copy_on_disk_over_and_adds_what_is_new(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors, query = _directions(600, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors[:500])
    assert _nearest(path, query) == _ranked(vectors[:500], query)
    (copy,) = _copies(path)
    size = copy.stat().st_size
    with closing(sqlite3.connect(path)) as raw, raw:  # what it has is not read again
        taken = raw.execute("SELECT max(id) FROM embeddings").fetchone()[0]
    with closing(FileBlocks(copy)) as blocks:
        assert blocks.head.last_id == taken
        assert sum(len(blocks.part(n)) for n in range(len(blocks))) == 500
    with closing(catalog_at(path)) as catalog:
        _store(catalog, {f"i-{n}": vectors[n] for n in range(500, 600)}, "flower")
    assert _nearest(path, query) == _ranked(vectors, query)
    assert copy.stat().st_size == size, "blocks are made whole"
    assert caplog.records == []


def _flip(copy: Path, at: int) -> None:
    data = bytearray(copy.read_bytes())
    data[at] ^= 1
    copy.write_bytes(data)


def _zero(copy: Path, at: int, size: int = 24) -> None:
    data = copy.read_bytes()
    copy.write_bytes(data[:at] + bytes(size) + data[at + size :])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped byte of the head": lambda copy: _flip(copy, 20),
    "a flipped byte of the centre": lambda copy: _flip(copy, 70),
    "a flipped byte of a block's head": lambda copy: _flip(copy, 65_536),
    "a flipped byte of an id": lambda copy: _flip(copy, 2 * 65_536 + 3),
    "a flipped byte of a code": lambda copy: _flip(copy, 2 * 65_536 + 16 * 32_768 + 99),
    "cut off": lambda copy: os.truncate(copy, 70_000),
    "cut to a part of its head": lambda copy: os.truncate(copy, 10),
    "cut to its head": lambda copy: os.truncate(copy, 65_536),
    "the head of its block zeroed": lambda copy: _zero(copy, 65_536),
    "something else": lambda copy: copy.write_bytes(b"not a copy" * 9000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_copy_is_made_anew_and_told_of_once(
    path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    vectors, query = _directions(300, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    assert _nearest(path, query) == _ranked(vectors, query)
    (copy,) = _copies(path)
    damage(copy)
    assert _nearest(path, query) == _ranked(vectors, query)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "made anew" in caplog.text
    assert _nearest(path, query) == _ranked(vectors, query)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("lost", ["the first", "the last"])
def test_a_copy_that_lost_a_block_of_many_is_made_anew(
    path: Path, lost: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileBlocks, "rows", 128)
    vectors, query = _directions(300, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    assert _nearest(path, query, 300) == _ranked(vectors, query, 300)
    (copy,) = _copies(path)
    head, block = 65_536, (copy.stat().st_size - 65_536) // 3
    if lost == "the first":
        _zero(copy, head)
    else:
        os.truncate(copy, head + 2 * block)
    assert _nearest(path, query, 300) == _ranked(vectors, query, 300)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "rows of 300" in caplog.text


def test_a_block_whose_rows_are_all_gone_from_the_catalog_is_no_damage(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileBlocks, "rows", 128)
    vectors, query = _directions(300, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    _nearest(path, query)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM embeddings WHERE id <= 128")
    for _ in range(2):
        assert len(_nearest(path, query, 300)) == 172
    assert caplog.records == []


def test_a_copy_without_rows_is_kept_where_the_catalog_has_none_either(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors, query = _directions(50, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE embeddings SET model_revision = 'n'")
    for _ in range(2):
        assert _nearest(path, query) == []
    assert caplog.records == []
    path.unlink()
    _stored(path, vectors)
    assert _nearest(path, query) == _ranked(vectors, query)
    assert "its rows are not those of the catalog" in caplog.text


def test_the_copy_of_another_catalog_is_made_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the catalog is put back as it was, and goes on otherwise from there."""
    vectors, query = _directions(200, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    _nearest(path, query)
    for other in (_directions(200, seed=7), _directions(50, seed=8), _directions(300, seed=9)):
        path.unlink()
        _stored(path, other)
        caplog.clear()
        assert _nearest(path, query) == _ranked(other, query)
        assert "its rows are not those of the catalog" in caplog.text


def test_a_second_process_searches_from_memory(path: Path) -> None:
    vectors, query = _directions(100, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors[:90])
    with closing(catalog_at(path)) as first:
        first.library.nearest(query, 1, "m")
        with closing(catalog_at(path)) as second:
            _store(second, {f"i-{n}": vectors[n] for n in range(90, 100)}, "flower")
            for catalog in (second, first):
                hits = catalog.library.nearest(query, 10, "m").hits
                assert [image.image_id for image, _ in hits] == _ranked(vectors, query)


def test_where_no_copy_can_be_kept_memory_is_searched(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors, query = _directions(100, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    path_of(path, "m").mkdir()
    with caplog.at_level(logging.INFO):
        assert _nearest(path, query) == _ranked(vectors, query)
    assert "cannot be used, memory is" in caplog.text


@pytest.mark.slow
def test_a_full_disk_costs_the_copy_and_no_answer(path: Path) -> None:
    """In a process of its own, whose files may be no larger than the catalog is."""
    vectors, query = _directions(100, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    code = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from tests.world import catalog_at
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))
catalog = catalog_at(Path(sys.argv[1]))
query = np.array(eval(sys.argv[2]), np.float32)
print(*(image.image_id for image, _ in catalog.library.nearest(query, 10, "m").hits))
"""
    arguments = [sys.executable, "-c", code, str(path), repr(query.tolist())]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert run.stdout.split() == _ranked(vectors, query)
    assert "cannot be written to, memory is used" in run.stderr
    assert _copies(path) == []


def test_the_copies_of_models_that_are_gone_are_removed(path: Path) -> None:
    vectors, query = _directions(100, seed=1), _directions(1, seed=2)[0]
    _stored(path, vectors)
    _nearest(path, query)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE embeddings SET model_revision = 'n'")
    with closing(catalog_at(path)) as catalog:
        assert len(catalog.library.nearest(query, 10, "n").hits) == 10
    assert _copies(path) == [path_of(path, "n")]


def test_a_search_that_finds_many_waiting_is_refused_at_once(path: Path) -> None:
    library = SqliteLibrary(file := SqliteFile(path))
    catalog = Catalog(SqlitePools(file), library, PoolPolicy(), SqliteRetention(file))
    with closing(catalog), ThreadPoolExecutor(17) as callers:
        _store(catalog, {"i-0": _directions(1, seed=1)[0]})
        query = _directions(1, seed=2)[0]
        with library._search._indexes_lock:  # as a search of a million images holds it
            asked = [callers.submit(catalog.library.nearest, query, 1, "m") for _ in range(17)]
            refused = next(as_completed(asked))
            with pytest.raises(Overloaded, match="16 searches of the catalog are under way"):
                refused.result()
        assert all(len(one.result().hits) == 1 for one in asked if one is not refused)


def test_a_search_sees_all_of_a_batch_or_nothing_of_it(path: Path) -> None:
    """As Firestore does; its emulator shows queries some documents of a commit before others."""
    vectors = _directions(160, seed=1)
    batches = [{f"i-{n}": vectors[n] for n in range(at, at + 20)} for at in range(0, 160, 20)]

    def write() -> None:
        for n, batch in enumerate(batches):
            _store(catalog, batch, f"k{n}")

    with closing(catalog_at(path)) as catalog, ThreadPoolExecutor(4) as threads:
        writer = threads.submit(write)
        searches = [threads.submit(_numbers_seen, path, writer) for _ in range(3)]
        writer.result()
        for search in searches:
            assert {number % 20 for number in search.result()} == {0}


def _numbers_seen(path: Path, writer: Future[None]) -> list[int]:
    """Return how many images each search by another client gives, to the first after *writer*."""
    query = _directions(1, seed=2)[0]
    seen: list[int] = []
    is_last = False
    with closing(catalog_at(path)) as catalog:
        while not is_last:
            is_last = writer.done()
            seen.append(len(catalog.library.nearest(query, 160, "m").hits))
    assert seen[-1] == 160
    return seen


def _directions(number: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((number, 64)).astype(np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _store(catalog: Catalog, embeddings: Mapping[str, Embedding], keyword: str = "horse") -> None:
    key = PoolKey.of(keyword, SourceOptions())
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
