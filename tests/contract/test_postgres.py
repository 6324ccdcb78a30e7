"""What only the library in PostgreSQL does: graphs, tables, and a server that comes and goes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagesearch.adapters import postgres
from imagesearch.adapters.libraries.postgres import PostgresLibrary, terms_of
from imagesearch.adapters.libraries.sqlite import SqliteLibrary
from imagesearch.adapters.postgres import Postgres
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.domain.errors import InvalidRequest, Overloaded, Unavailable
from imagesearch.domain.filters import where_of
from imagesearch.domain.images import Collected, Credit, Embedding, Image
from imagesearch.ports import Library
from tests.contract.conftest import OpenCatalog
from tools.postgres_servers import PostgresServer

MODEL = "demo@1/pre1"
DIM = 32


def image(n: int, *tags: str) -> Image:
    credit = Credit(f"user {n}", "Pixabay")
    return Image(f"i-{n:04}", f"i-{n:04}.jpg", f"https://x/{n}", 640, 427, credit, tags)


def embedding(seed: int, dim: int = DIM) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def fill(library: Library, images: list[Image]) -> None:
    library.put(images, {one.image_id: embedding(n) for n, one in enumerate(images)}, MODEL)


def ids(library: Library, query: Embedding, k: int = 10, **filters: str) -> list[str]:
    hits = library.nearest(query, k, MODEL, where_of(filters)).hits
    return [one.image_id for one, _ in hits]


@pytest.fixture
def library(postgres_url: str) -> Iterator[PostgresLibrary]:
    with closing(PostgresLibrary(Postgres(postgres_url))) as library:
        yield library


@pytest.fixture
def by_graph(postgres_url: str) -> Iterator[PostgresLibrary]:
    """The same library, of which no more than 40 rows are compared one by one."""
    with closing(PostgresLibrary(Postgres(postgres_url), max_exact=40)) as library:
        yield library


# The graph, and the exact search


def graph_scans(server: PostgresServer) -> int:
    server.execute("SELECT pg_stat_force_next_flush()")
    rows = server.execute(
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname LIKE 'embeddings_near_%'"
    )
    return sum(row[0] for row in rows)


def test_many_rows_are_searched_in_the_graph_and_few_exactly(
    postgres_server: PostgresServer, library: PostgresLibrary, postgres_url: str
) -> None:
    fill(library, [image(n, *(("rare",) if n % 20 == 0 else ())) for n in range(800)])
    exact = {seed: ids(library, embedding(seed)) for seed in range(9000, 9020)}
    rare = {seed: ids(library, embedding(seed), tag="rare") for seed in exact}
    assert graph_scans(postgres_server) == 0
    with closing(PostgresLibrary(Postgres(postgres_url), max_exact=40)) as by_graph:
        for seed, expected in rare.items():
            assert ids(by_graph, embedding(seed), tag="rare") == expected
        found = {seed: ids(by_graph, embedding(seed)) for seed in exact}
    assert graph_scans(postgres_server) == len(exact)
    right = sum(len(set(found[seed]) & set(exact[seed])) for seed in exact)
    assert right >= 0.97 * 10 * len(exact)


def test_under_a_filter_that_many_match_the_graph_finds_what_there_is(
    library: PostgresLibrary, by_graph: PostgresLibrary
) -> None:
    fill(library, [image(n, "half" if n % 2 else "other") for n in range(400)])
    for seed in range(9000, 9010):
        expected = ids(library, embedding(seed), tag="half")
        assert len(set(ids(by_graph, embedding(seed), tag="half")) & set(expected)) >= 9
    assert len(ids(by_graph, embedding(1), 1000, tag="half")) == 200, "more than the graph has"


def test_no_more_are_given_than_the_port_allows(
    library: PostgresLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagesearch.adapters.libraries.postgres.MAX_NEAREST", 30)
    fill(library, [image(n) for n in range(40)])
    assert len(ids(library, embedding(1), 5000)) == 30


def test_what_is_stored_while_a_filter_is_hot_is_found(
    library: PostgresLibrary, by_graph: PostgresLibrary
) -> None:
    """How many match is remembered for a minute, and says nothing of which."""
    fill(library, [image(n, "hot") for n in range(30)])
    assert len(ids(by_graph, embedding(9), 100, tag="hot")) == 30
    fill(library, [image(n, "hot") for n in range(90)])
    assert len(ids(by_graph, embedding(9), 100, tag="hot")) == 90
    fill(library, [image(n, *(("hot",) if n < 5 else ())) for n in range(90)])
    assert len(ids(by_graph, embedding(9), 100, tag="hot")) == 5


def test_what_half_precision_cannot_tell_apart_is_ordered_as_sqlite_orders_it(
    library: PostgresLibrary, tmp_path: Path
) -> None:
    noise = np.random.default_rng(5).standard_normal((300, 256)) * 1e-5
    rows = np.asarray(embedding(1, 256) + noise, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[7::40] = rows[7]  # which tie
    images = [image(n) for n in range(300)]
    vectors = {one.image_id: row for one, row in zip(images, rows, strict=True)}
    with closing(SqliteLibrary(SqliteFile(tmp_path / "catalog.sqlite"))) as sqlite:
        for one in (sqlite, library):
            one.put(images, vectors, MODEL)
        for k in (1, 10, 100):
            query = embedding(2, 256)
            assert list(library.nearest(query, k, MODEL).hits) == list(
                sqlite.nearest(query, k, MODEL).hits
            )


# What strangers write, and damage


def test_texts_that_the_database_cannot_hold_are_kept_and_filtered_by(
    library: PostgresLibrary,
) -> None:
    tags = ("nul\0", "馬" * 20, "x" * 5000, "'; DROP TABLE embeddings; --")
    hostile = replace(image(1, *tags), credit=Credit("a\0b", "%s {}"))
    fill(library, [hostile, image(2)])
    [(found, _)] = library.nearest(embedding(1), 9, MODEL, where_of({"tag": "馬" * 20})).hits
    assert found == hostile
    assert ids(library, embedding(1), source="%s {}") == ["i-0001"]
    assert max(len(term.encode()) for term in terms_of(hostile)) < 300


def test_text_that_is_no_unicode_is_an_invalid_request(library: PostgresLibrary) -> None:
    with pytest.raises(InvalidRequest):
        fill(library, [replace(image(1), credit=Credit("\ud800", "Pixabay"))])
    with pytest.raises(InvalidRequest):
        library.embedded(["i-\0"], MODEL)
    assert library.model_revisions() == []


def test_damaged_embeddings_are_deleted_and_damaged_images_left_out(
    postgres_server: PostgresServer, library: PostgresLibrary
) -> None:
    fill(library, [image(n) for n in range(5)])
    postgres_server.execute(
        "UPDATE imagesearch.embeddings SET vector = '\\x00' WHERE image_id IN ('i-0001', 'i-0002')"
    )
    postgres_server.execute(
        "UPDATE imagesearch.embeddings SET image = '{' WHERE image_id = 'i-0003'"
    )
    sound, rows = library.vectors(["i-0000", "i-0001"], MODEL)
    assert (list(sound), len(rows)) == (["i-0000"], 1)
    assert sorted(ids(library, embedding(0))) == ["i-0000", "i-0004"]
    left = postgres_server.execute("SELECT image_id FROM imagesearch.embeddings ORDER BY image_id")
    assert left == [("i-0000",), ("i-0003",), ("i-0004",)]


# The tables


def test_of_processes_that_begin_at_once_one_makes_the_tables(postgres_url: str) -> None:
    failures: list[Exception] = []
    together = threading.Barrier(8)

    def begin(n: int) -> None:
        with closing(PostgresLibrary(Postgres(postgres_url))) as library:
            together.wait()
            try:
                fill(library, [image(n)])
            except Exception as error:  # noqa: BLE001 - whichever it is
                failures.append(error)

    threads = [threading.Thread(target=begin, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(PostgresLibrary(Postgres(postgres_url))) as library:
        assert library.coverage(MODEL).embedded == 8
        assert library.model_revisions() == [MODEL]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE imagesearch.schema_version SET version = 7", "7"),
        ("DELETE FROM imagesearch.schema_version", "none"),
    ],
    ids=["newer", "none"],
)
def test_tables_of_another_version_are_refused(
    postgres_server: PostgresServer,
    library: PostgresLibrary,
    postgres_url: str,
    statement: str,
    found: str,
) -> None:
    fill(library, [image(1)])
    postgres_server.execute(statement)
    later = PostgresLibrary(Postgres(postgres_url))
    with (
        closing(later),
        pytest.raises(Unavailable, match=f"has library schema {found}, this program knows 1 to 2"),
    ):
        later.model_revisions()


def test_tables_of_an_older_version_are_brought_up_to_date_once_and_keep_their_rows(
    postgres_server: PostgresServer,
    library: PostgresLibrary,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(library, [image(1)])
    steps = (
        "ALTER TABLE imagesearch.embeddings ADD COLUMN place text NOT NULL DEFAULT 'sea'",
        "ALTER TABLE imagesearch.embeddings RENAME COLUMN place TO scene",
    )
    monkeypatch.setattr(postgres, "_STEPS", (*postgres._STEPS, *steps))
    for _ in range(2):
        with closing(PostgresLibrary(Postgres(postgres_url))) as later:
            assert later.coverage(MODEL).embedded == 1
    query = "SELECT image_id, scene FROM imagesearch.embeddings"
    assert postgres_server.execute(query) == [("i-0001", "sea")]
    assert postgres_server.execute("SELECT version FROM imagesearch.schema_version") == [(4,)]


def test_folders_in_collections_are_found_of_what_an_earlier_version_put(
    postgres_server: PostgresServer, library: PostgresLibrary, postgres_url: str
) -> None:
    own = Collected(("Pictures", "Ünï"), ("2019", "2019/Italy"), file="2019/Italy/1.jpg")
    fill(library, [image(1), replace(image(2), collected=own)])
    terms = "SELECT terms FROM imagesearch.embeddings WHERE image_id = 'i-0002'"
    [(put_now,)] = postgres_server.execute(terms)
    postgres_server.execute(
        "UPDATE imagesearch.embeddings SET terms ="
        " ARRAY(SELECT term FROM unnest(terms) AS term WHERE term NOT LIKE '%//%')"
    )
    postgres_server.execute("UPDATE imagesearch.schema_version SET version = 1")
    with closing(PostgresLibrary(Postgres(postgres_url))) as later:
        assert ids(later, embedding(1), collection="ünï", folder="2019/Italy") == ["i-0002"]
    [(brought,)] = postgres_server.execute(terms)
    assert sorted(brought) == sorted(put_now)


def test_a_step_that_fails_leaves_the_tables_of_before(
    postgres_server: PostgresServer,
    library: PostgresLibrary,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(library, [image(1)])
    steps = ("ALTER TABLE imagesearch.embeddings ADD COLUMN place text", "SELECT no_such_column")
    with monkeypatch.context() as later:
        later.setattr(postgres, "_STEPS", (*postgres._STEPS, *steps))
        opened = PostgresLibrary(Postgres(postgres_url))
        with closing(opened), pytest.raises(Unavailable, match="UndefinedColumn"):
            opened.model_revisions()
    assert postgres_server.execute("SELECT version FROM imagesearch.schema_version") == [(2,)]
    assert library.coverage(MODEL).embedded == 1
    columns = "SELECT 1 FROM information_schema.columns WHERE column_name = 'place'"
    assert postgres_server.execute(columns) == []


def test_a_pgvector_that_damages_its_indexes_is_refused(
    postgres_server: PostgresServer, postgres_url: str, library: PostgresLibrary
) -> None:
    library.model_revisions()
    [(version,)] = postgres_server.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    )
    told = "SET allow_system_table_mods = on; UPDATE pg_extension SET extversion = '{}'"
    told += " WHERE extname = 'vector'"
    postgres_server.execute(told.format("0.8.3"))
    try:
        later = PostgresLibrary(Postgres(postgres_url))
        with closing(later), pytest.raises(Unavailable, match=r"pgvector 0\.8\.3.*needs 0\.8\.4"):
            later.model_revisions()
    finally:
        postgres_server.execute(told.format(version))


# A server that comes and goes


def is_answering(library: Library) -> bool:
    try:
        library.model_revisions()
    except Unavailable:
        return False
    return True


def test_a_server_that_is_started_anew_is_found_again(
    postgres_server: PostgresServer, postgres_url: str, library: PostgresLibrary
) -> None:
    fill(library, [image(n) for n in range(3)])
    with closing(PostgresLibrary(Postgres(postgres_url, connect_seconds=1))) as other:
        assert other.model_revisions() == [MODEL]
        postgres_server.stop()
        try:
            with pytest.raises(Unavailable):
                other.model_revisions()
        finally:
            postgres_server.start("fsync=off")
        deadline = time.monotonic() + 20
        for one in (library, other):
            while not is_answering(one):
                assert time.monotonic() < deadline
            assert len(ids(one, embedding(1))) == 3
            assert one.model_revisions() == [MODEL]


def test_a_statement_that_takes_too_long_is_unavailable(
    postgres_server: PostgresServer, postgres_url: str, library: PostgresLibrary
) -> None:
    fill(library, [image(1)])
    hurried = PostgresLibrary(Postgres(postgres_url, statement_seconds=0.1))
    with closing(hurried), ExitStack() as held:
        connection = held.enter_context(library._database.transaction())
        connection.execute("LOCK TABLE embeddings")
        with pytest.raises(Unavailable):
            hurried.coverage(MODEL)


def test_too_many_at_once_are_told_to_come_back(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_WAITING", 1)
    database = Postgres(postgres_url, connections=1)
    with closing(PostgresLibrary(database)) as library, ExitStack() as held:
        held.enter_context(database.transaction())
        waiting = threading.Thread(target=library.model_revisions)
        waiting.start()
        pool = database._pool
        assert pool is not None
        while pool.get_stats().get("requests_waiting", 0) == 0:
            pass
        with pytest.raises(Overloaded):
            library.model_revisions()
        held.close()
        waiting.join()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hidden@/x?host=/nowhere",
        "postgresql://user:hidden@127.0.0.1:1/x",
    ],
)
def test_no_password_is_told_where_no_server_is(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    library = PostgresLibrary(Postgres(url))
    with closing(library), pytest.raises(Unavailable) as failed:
        library.model_revisions()
    assert "hidden" not in caplog.text + str(failed.value)


def test_a_url_that_is_none_is_refused_without_its_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    library = PostgresLibrary(Postgres("postgresql://user:hidden@host/x?what=1"))
    with closing(library), pytest.raises(InvalidRequest, match="DATABASE_URL") as refused:
        library.model_revisions()
    assert "hidden" not in caplog.text + str(refused.value)


def test_a_catalog_of_two_databases_closes_both(open_postgres: OpenCatalog) -> None:
    catalog = open_postgres()
    catalog.library.model_revisions()
    catalog.close()
    for ask in (catalog.check, catalog.library.model_revisions):
        with pytest.raises(Unavailable):
            ask()


# A change of what an image has


def test_an_image_is_the_same_in_the_rows_of_all_models(library: PostgresLibrary) -> None:
    fill(library, [image(1, "old")])
    library.put([image(1, "old")], {"i-0001": embedding(1, 8)}, "another")
    library.put([image(1, "new")], {}, "another")
    for model, dim in ((MODEL, DIM), ("another", 8)):
        where = where_of({"tag": "new"})
        assert library.nearest(embedding(1, dim), 9, model, where).hits[0][0].tags == ("new",)
    assert library.coverage("another").images == 1


def test_images_that_are_forgotten_are_gone_of_all_models(library: PostgresLibrary) -> None:
    fill(library, [image(n) for n in range(600)])
    library.put([image(1)], {"i-0001": embedding(1, 8)}, "another")
    library.forget([image(n).image_id for n in range(1, 600)])
    library.forget(["i-0001", "unknown"])
    assert library.model_revisions() == [MODEL]
    assert ids(library, embedding(1)) == ["i-0000"]


def test_a_model_that_is_gone_leaves_no_graph_and_may_come_back(
    postgres_server: PostgresServer, library: PostgresLibrary
) -> None:
    fill(library, [image(n) for n in range(3)])
    library.put([image(1)], {"i-0001": embedding(1, 8)}, "another")
    assert library.keep_only("another") == 3
    graphs = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'embeddings_near_%'"
    assert postgres_server.execute(graphs) == [(1,)]
    fill(library, [image(n) for n in range(2)])
    assert postgres_server.execute(graphs) == [(2,)]
    assert len(ids(library, embedding(1))) == 2
