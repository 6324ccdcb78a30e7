"""Catalog files of earlier schemas, as their versions made them, are taken over when opened."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from imagesearch.adapters.collections.sqlite import SqliteCollections
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.domain.collections import Collection
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.filters import where_of
from imagesearch.domain.images import Collected, Credit, Embedding, Image, ListedImage
from imagesearch.domain.pixels import PixelFacts, colour_bit
from imagesearch.domain.pools import Generation, Pool, PoolKey, PoolState, SourceOptions
from imagesearch.usecases.pools import Catalog
from tests.log_lines import Log
from tests.world import catalog_at, unfinished

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
HORSE, COW, STAR = (PoolKey.of(word, SourceOptions()) for word in ("horse", "cow", "star"))
VECTOR = np.eye(1, 8, dtype="<f4").tobytes()
SCHEMA_1 = """
CREATE TABLE pools (pool_id TEXT PRIMARY KEY, keyword TEXT NOT NULL, options TEXT NOT NULL,
    current INTEGER NOT NULL, ready INTEGER) WITHOUT ROWID;
CREATE TABLE generations (pool_id TEXT NOT NULL REFERENCES pools, number INTEGER NOT NULL,
    state TEXT NOT NULL, is_listed INTEGER NOT NULL DEFAULT 0, requested_at REAL NOT NULL,
    lease_until REAL, ready_at REAL, retry_at REAL, reason TEXT,
    PRIMARY KEY (pool_id, number)) WITHOUT ROWID;
CREATE TABLE members (pool_id TEXT NOT NULL, number INTEGER NOT NULL, position INTEGER NOT NULL,
    image_id TEXT NOT NULL, download_url TEXT, state TEXT NOT NULL, reason TEXT,
    PRIMARY KEY (pool_id, number, position), UNIQUE (pool_id, number, image_id),
    FOREIGN KEY (pool_id, number) REFERENCES generations ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE images (image_id TEXT PRIMARY KEY, object_name TEXT NOT NULL, page_url TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, credit_user TEXT NOT NULL,
    credit_source TEXT NOT NULL, tags TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE embeddings (id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id TEXT NOT NULL REFERENCES images, model_revision TEXT NOT NULL, vector BLOB NOT NULL,
    UNIQUE (model_revision, image_id));
PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a pool that was made ready and is fetched again, a failed and a damaged one."""
    path = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript(SCHEMA_1)
        for key, current, ready in ((HORSE, 2, 1), (COW, 1, None), (STAR, 1, None)):
            options = "{" if key is STAR else '{"source": "pixabay", "pool_size": 200}'
            pool = (key.pool_id, key.keyword, options, current, ready)
            file.execute("INSERT INTO pools VALUES (?, ?, ?, ?, ?)", pool)
        for key, number, state, is_listed in (
            (HORSE, 1, "ready", 1),
            (HORSE, 2, "embedding", 1),
            (COW, 1, "failed", 0),
            (STAR, 1, "requested", 0),
        ):
            begun = NOW.timestamp()
            ends = {"ready": (None, begun, None), "failed": (None, None, begun + 60)}
            moments = ends.get(state, (begun + 3600, None, None))
            reason = "down" if state == "failed" else None
            generation = (key.pool_id, number, state, is_listed, begun, *moments, reason)
            file.execute("INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", generation)
        for number, states in ((1, ("embedded", "rejected")), (2, ("embedded", "pending"))):
            for position, state in enumerate(states):
                reason = "broken" if state == "rejected" else None
                link = f"u{number}"
                member = (HORSE.pool_id, number, position, f"i-{position}", link, state, reason)
                file.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?)", member)
            refused = (HORSE.pool_id, number, 2, "i-9", None, "refused", "no image")
            file.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?)", refused)
        for position in (0, 1):
            row = (f"i-{position}", f"i-{position}.jpg", "p", 640, 427, "who", "where", '["a"]')
            file.execute("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        file.execute("INSERT INTO embeddings VALUES (7, 'i-0', 'm', ?)", (VECTOR,))
    return path


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with closing(catalog_at(path)) as catalog:
        yield catalog


def image(number: int) -> Image:
    credit = Credit("who", "where")
    return Image(f"i-{number}", f"i-{number}.jpg", "p", 640, 427, credit, ("a",))


def test_pools_are_as_they_were(catalog: Catalog, path: Path) -> None:
    ready = Generation(1, PoolState.READY, NOW, 3, 1, 2, ready_at=NOW)
    lease_until = NOW + timedelta(hours=1)
    current = Generation(2, PoolState.EMBEDDING, NOW, 3, 1, 1, lease_until=lease_until)
    horse = Pool(HORSE.pool_id, "horse", SourceOptions(), current, ready)
    assert catalog.pool(HORSE.pool_id) == horse
    retry_at = NOW + timedelta(minutes=1)
    failed = Generation(1, PoolState.FAILED, NOW, retry_at=retry_at, reason="down")
    assert catalog.pool(COW.pool_id) == Pool(COW.pool_id, "cow", SourceOptions(), failed)
    assert unfinished(path) == [horse]


def test_listings_are_as_they_were(catalog: Catalog) -> None:
    before, now = (catalog.members(HORSE.pool_id, number) for number in (1, 2))
    assert before is not None
    assert now is not None
    assert before.listing.images == (ListedImage(image(0), "u1"), ListedImage(image(1), "u1"))
    assert before.listing.rejections == {"i-9": "no image"}
    assert before.rejections == {"i-1": "broken", "i-9": "no image"}
    assert now.pending == (ListedImage(image(1), "u2"),)
    assert catalog.members(COW.pool_id, 1) is None


def test_images_and_embeddings_stay_and_the_work_goes_on(catalog: Catalog, path: Path) -> None:
    vector = np.eye(1, 8, dtype=np.float32)[0]
    assert catalog.packed_pool(HORSE.pool_id, 1, "m").images == (image(0),)
    assert [found for found, _ in catalog.library.nearest(vector, 5, "m").hits] == [image(0)]
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT id, vector FROM embeddings").fetchall() == [(7, VECTOR)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = file.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        names = [
            *("collections", "counters", "embeddings", "files", "images", "listings", "records"),
            *("sqlite_sequence", "tag_words", "to_renew", "uses", "withdrawn"),
        ]
        assert [name for (name,) in tables if not name.startswith("tag_words_")] == names
    pool = catalog.record_batch(
        HORSE.pool_id, 2, model_revision="m", embeddings={"i-1": vector}, rejections={}, now=NOW
    )
    assert pool is not None
    assert pool.current.state is PoolState.READY


def test_a_damaged_pool_is_left_out_and_fetched_anew(catalog: Catalog, log: Log) -> None:
    assert catalog.pool(STAR.pool_id) is None
    assert catalog.request_pool(STAR, NOW).created


def test_what_is_damaged_is_logged(path: Path, log: Log) -> None:
    catalog_at(path).close()
    assert STAR.pool_id in log.stream.getvalue()


def test_a_file_that_cannot_be_taken_over_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DROP TABLE members")
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="no such table: members"):
        catalog_at(path)
    assert path.read_bytes() == before


def test_a_file_of_schema_5_takes_its_images_for_used_today(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    vector = np.eye(1, 8, dtype=np.float32)[0]
    own = replace(image(1), image_id="own-1", object_name="own-1.jpg")
    with closing(catalog_at(path)) as catalog:
        catalog.library.put([image(0), own], {"i-0": vector, "own-1": vector}, "m")
    with closing(sqlite3.connect(path)) as file, file:
        for table in ("withdrawn", "uses", "counters"):
            file.execute(f"DROP TABLE {table}")
        file.execute("PRAGMA user_version = 5")
    today = int(time.time() // 86_400)
    with closing(catalog_at(path)) as catalog:
        assert catalog.retention.unused(today, 10) == []
        assert catalog.retention.unused(today + 2, 10) == ["i-0"]
        assert len(catalog.library.nearest(vector, 5, "m").hits) == 2


def test_a_file_of_the_version_before_keeps_all_and_knows_no_new_fact(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    vector = np.eye(1, 8, dtype=np.float32)[0]
    with closing(catalog_at(path)) as catalog:
        catalog.request_pool(HORSE, NOW)
        catalog.library.put([image(0), image(1)], {"i-0": vector, "i-1": vector}, "m")
    with closing(sqlite3.connect(path)) as file, file:  # as schema 2 had it
        for name in ("TRIGGER words_of_new", "TRIGGER words_of_old", "TABLE tag_words"):
            file.execute(f"DROP {name}")
        for column in ("pixel_hash", "colours", "year", "month", "licence", "licence_url"):
            file.execute(f"ALTER TABLE images DROP COLUMN {column}")
        drop_collections(file)
        file.execute("PRAGMA user_version = 2")
    red = PixelFacts(-5, colour_bit("red"))
    with closing(catalog_at(path)) as catalog:
        assert catalog.pool(HORSE.pool_id) is not None
        hits = catalog.library.nearest(vector, 5, "m").hits
        assert [found for found, _ in hits] == [image(0), image(1)]
        assert list(catalog.library.vectors(["i-0"], "m")[0].items()) == [("i-0", None)]
        tagged = catalog.library.tagged(["a"], vector, 5, "m").hits
        assert [found for found, _ in tagged] == [image(0), image(1)]
        dated = replace(image(0), pixels=red, year=2015)
        catalog.library.put([dated], {"i-0": vector}, "m")
        by_year = catalog.library.nearest(vector, 5, "m", where_of({"year": "2015"})).hits
        assert [found for found, _ in by_year] == [dated]
        where = where_of({"colour": "red"})
        assert [
            found.pixels for found, _ in catalog.library.nearest(vector, 5, "m", where).hits
        ] == [red]


def by_word(catalog: Catalog, words: list[str], query: Embedding) -> list[Image]:
    return [found for found, _ in catalog.library.tagged(words, query, 5, "m").hits]


def drop_collections(file: sqlite3.Connection) -> None:
    """Make of *file* what it was up to schema 4, but for what its triggers do."""
    for name in ("words_of_new", "words_of_old"):
        file.execute(f"DROP TRIGGER IF EXISTS {name}")
        if file.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tag_words'").fetchone():
            file.execute(f"CREATE TRIGGER {name} DELETE ON embeddings BEGIN SELECT 1; END")
    file.execute("ALTER TABLE images DROP COLUMN collected")
    for table in ("files", "collections", "to_renew", "withdrawn", "uses", "counters"):
        file.execute(f"DROP TABLE {table}")


def test_in_a_file_of_schema_6_own_pictures_without_tags_are_found_by_their_titles(
    tmp_path: Path,
) -> None:
    path = tmp_path / "catalog.sqlite"
    vector, other = np.eye(2, 8, dtype=np.float32)
    collected = Collected(collections=("Pictures",), file="1.jpg", title="A lighthouse")
    own = replace(image(0), tags=(), collected=collected)
    with closing(catalog_at(path)) as catalog:
        catalog.library.put([own, image(1)], {"i-0": vector, "i-1": other}, "m")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE tag_words SET words = NULL WHERE rowid = 1")
        file.execute("PRAGMA user_version = 6")
    with closing(catalog_at(path)) as catalog:
        assert by_word(catalog, ["lighthouse"], vector) == [own]
        assert by_word(catalog, ["a"], vector) == [
            own,
            image(1),
        ]
    with closing(catalog_at(path)) as catalog:  # it is of today's schema now
        assert len(catalog.library.nearest(vector, 5, "m").hits) == 2


def test_a_file_of_schema_4_keeps_its_images_and_takes_collections(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    vector = np.eye(1, 8, dtype=np.float32)[0]
    with closing(catalog_at(path)) as catalog:
        catalog.library.put([image(0)], {"i-0": vector}, "m")
    with closing(sqlite3.connect(path)) as file, file:
        drop_collections(file)
        file.execute("PRAGMA user_version = 4")
    with closing(SqliteFile(path)) as opened:
        collections = SqliteCollections(opened)
        collections.keep(Collection("Pictures", "/pictures"))
        assert collections.all() == [Collection("Pictures", "/pictures")]
    with closing(catalog_at(path)) as catalog:
        collected = Collected(collections=("Pictures",), file="1.jpg", title="A lighthouse")
        own = replace(image(0), collected=collected)
        catalog.library.put([own], {"i-0": vector}, "m")
        where = where_of({"collection": "pictures"})
        assert [one for one, _ in catalog.library.nearest(vector, 5, "m", where).hits] == [own]
        assert by_word(catalog, ["lighthouse"], vector) == [own]


def test_a_file_of_schema_3_keeps_its_images_and_takes_licences(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    vector = np.eye(1, 8, dtype=np.float32)[0]
    with closing(catalog_at(path)) as catalog:
        catalog.library.put([image(0)], {"i-0": vector}, "m")
    with closing(sqlite3.connect(path)) as file, file:
        for column in ("licence", "licence_url"):
            file.execute(f"ALTER TABLE images DROP COLUMN {column}")
        drop_collections(file)
        file.execute("PRAGMA user_version = 3")
    credit = Credit("Ann", "Wikimedia Commons", "CC BY 4.0", "https://licences.example/by")
    with closing(catalog_at(path)) as catalog:
        assert [one for one, _ in catalog.library.nearest(vector, 5, "m").hits] == [image(0)]
        licensed = replace(image(0), credit=credit)
        catalog.library.put([licensed], {"i-0": vector}, "m")
        assert [one for one, _ in catalog.library.nearest(vector, 5, "m").hits] == [licensed]
