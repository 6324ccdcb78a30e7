"""A catalog of which rows or the file itself are damaged: it costs what is damaged, for a while."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from imagesearch.adapters.caches.in_process import InProcessCache
from imagesearch.adapters.sqlite_originals import SqliteOriginals
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.images import Listing
from imagesearch.domain.pools import PoolKey
from imagesearch.local.embedded.stack import FolderInUse, FolderLock
from imagesearch.usecases.cache_slots import POOL
from imagesearch.usecases.embed import EmbedReport
from tests.disk import no_space
from tests.log_lines import Log
from tests.world import START, World, catalog_at, listed, unfinished

DAMAGED_VECTORS = {
    "empty": b"",
    "short": np.eye(1, 15, dtype="<f4").tobytes(),
    "cut": np.full(16, 0.25, "<f4").tobytes()[:-1],
    "long": np.eye(1, 17, dtype="<f4").tobytes(),
    "nan": np.full(16, np.nan, "<f4").tobytes(),
    "huge": np.full(16, 3e38, "<f4").tobytes(),
    "zero": bytes(64),
    "text": "not bytes",
}
DAMAGED_POOLS = [
    "UPDATE records SET record = json_set(record, '$.current.state', 'asleep')",
    "UPDATE records SET record = json_set(record, '$.current.state', 5)",
    "UPDATE records SET record = json_set(record, '$.current.requested_at', 'yesterday')",
    "UPDATE records SET record = json_set(record, '$.current.ready_at', 1e300)",
    "UPDATE records SET record = json_set(record, '$.options', json('[]'))",
    """UPDATE records SET record = json_set(record, '$.options', json('{"colour": "red"}'))""",
    "UPDATE records SET record = json_set(record, '$.current.number', 'one')",
    "UPDATE records SET record = json_set(record, '$.ready', 'one')",
    "UPDATE records SET record = json_set(record, '$.keyword', 5)",
    "UPDATE records SET record = json_remove(record, '$.current')",
    "UPDATE records SET record = '{'",
    "UPDATE records SET record = x'ff'",
    f"UPDATE records SET record = '{'[' * 100_000}'",
    "UPDATE listings SET states = 'eee?e'",
    "UPDATE listings SET states = 'ee'",
    "UPDATE listings SET states = x'ff'",
    "UPDATE listings SET reasons = '{'",
    "UPDATE listings SET listing = 'text'",
    "UPDATE listings SET listing = x'00ff'",
]


def spoil(folder: Path, statement: str, *values: object) -> None:
    """Do to the catalog's file what no program of ours does."""
    with sqlite3.connect(folder / "catalog.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize("name", DAMAGED_VECTORS)
def test_a_damaged_embedding_is_left_out_and_made_anew(
    world: World, tmp_path: Path, log: Log, name: str
) -> None:
    world.ready_pool(count=5)
    spoil(
        tmp_path,
        "UPDATE embeddings SET vector = ? WHERE image_id = 'twin-3'",
        DAMAGED_VECTORS[name],
    )
    world.restart()
    everything = world.ask("", scope="catalog")
    assert everything.hits is not None
    assert {hit.image.image_id for hit in everything.hits} == {f"twin-{n}" for n in (0, 1, 2, 4)}
    answer = world.ask()
    assert answer.hits is not None
    assert len(answer.hits) == 4
    assert not answer.complete
    assert "twin-3" in log.stream.getvalue()
    world.deliver_all()
    healed = world.ask()
    assert healed.complete
    assert healed.hits is not None
    assert healed.hits[0].image.image_id == "twin-3"


def test_an_embedding_that_is_damaged_after_it_was_indexed_is_no_hit(
    world: World, tmp_path: Path
) -> None:
    world.ready_pool(count=5)
    world.ask("", scope="catalog")
    spoil(tmp_path, "UPDATE embeddings SET vector = x'00' WHERE image_id = 'twin-3'")
    answer = world.ask("", scope="catalog")
    assert answer.hits is not None
    assert len(answer.hits) == 4


@pytest.mark.parametrize("statement", DAMAGED_POOLS, ids=lambda statement: statement[:60])
def test_a_damaged_pool_is_fetched_anew_and_costs_no_other(
    world: World, tmp_path: Path, log: Log, statement: str
) -> None:
    pool = world.ready_pool("horse", count=5)
    spoil(tmp_path, statement)
    world.ready_pool("cow", count=3)
    world.catalog.close()
    world.catalog = catalog_at(tmp_path / "catalog.sqlite")  # a new start
    world.restart()
    assert unfinished(tmp_path / "catalog.sqlite") == []
    assert world.ask("cow").complete
    assert world.ask("", scope="catalog").hits
    answer = world.ask("horse")
    assert not answer.complete
    assert pool.pool_id in log.stream.getvalue()
    world.deliver_all()
    again = world.ask("horse")
    assert again.complete
    assert again.hits is not None
    assert len(again.hits) == 5


@pytest.mark.parametrize(
    "damage",
    [
        "tags = '{'",
        "tags = '5'",
        "tags = x'ff'",
        f"tags = '{'[' * 100_000}'",
        "width = 'wide'",
        "credit_user = CAST(x'ff00fe' AS TEXT)",
        "page_url = x'ffff'",
        "height = x'00'",
    ],
    ids=lambda damage: damage[:30],
)
def test_damaged_words_about_an_image_cost_these_words(
    world: World, tmp_path: Path, damage: str
) -> None:
    world.ready_pool(count=5)
    spoil(tmp_path, f"UPDATE images SET {damage} WHERE image_id = 'twin-3'")
    world.restart()
    for answer in (world.ask(), world.ask("", scope="catalog")):
        assert answer.hits is not None
        best = answer.hits[0].image
        assert (best.image_id, best.object_name) == ("twin-3", "twin-3.jpg")
        assert len(answer.hits) == 5


def test_a_hit_whose_image_is_gone_is_left_out(world: World, tmp_path: Path) -> None:
    world.ready_pool(count=5)
    spoil(tmp_path, "DELETE FROM images WHERE image_id = 'twin-3'")
    answer = world.ask("", scope="catalog")
    assert answer.hits is not None
    assert len(answer.hits) == 4


@pytest.mark.parametrize("damage", ["overwritten", "emptied", "removed"])
def test_a_damaged_original_is_downloaded_again_for_a_new_model(
    world: World, tmp_path: Path, damage: str
) -> None:
    world.ready_pool(count=5)
    path = tmp_path / "images" / "twin-3.jpg"
    path.unlink()
    if damage != "removed":
        path.write_bytes(b"" if damage == "emptied" else b"some other file")
    world.source.downloads.clear()
    world.encoder.model_revision = "twin-2"
    world.restart()
    world.ask()
    world.deliver_all()
    assert world.source.downloads == ["twin-3"]
    pool = world.ask().pool
    assert pool is not None
    assert (pool.current.embedded, pool.current.rejected) == (5, 0)


def test_a_catalog_file_that_is_removed_is_begun_anew(world: World, tmp_path: Path) -> None:
    world.ready_pool()
    assert world.ask("", scope="catalog").hits
    remove_catalog(tmp_path)
    world.catalog.check()
    world.restart()
    world.ready_pool("horse", count=3)
    answer = world.ask("", scope="catalog")
    assert answer.hits is not None
    assert len(answer.hits) == 3


def remove_catalog(folder: Path) -> None:
    for path in folder.glob("catalog.sqlite*"):
        path.unlink()


def test_a_batch_of_a_catalog_that_is_gone_is_of_no_generation_of_the_next(
    world: World, tmp_path: Path
) -> None:
    """Messages wait in the process, and their images may have gone with the folder."""
    world.offer("horse", 5)
    world.ask()
    world.deliver()
    late = world.take()
    remove_catalog(tmp_path)
    world.cache = InProcessCache()
    world.assemble()
    pool = world.ask().pool
    assert pool is not None
    assert pool.current.number == late.generation + 1
    world.deliver()
    assert world.deliver(late) == EmbedReport("nothing to do")
    world.deliver_all()
    assert world.ask().complete


def test_a_pool_is_counted_from_one_until_a_catalog_is_gone(world: World, tmp_path: Path) -> None:
    for keyword in ("horse", "cow"):
        assert world.ready_pool(keyword).current.number == 1
    for number in (2, 3):
        remove_catalog(tmp_path)
        for keyword in ("horse", "cow"):
            key = PoolKey.of(keyword, world.options)
            first = world.catalog.request_pool(key, START).pool
            assert first.current.number == number
            world.catalog.record_listing(key.pool_id, number, Listing((listed(1),)), START)


def test_a_pool_that_is_noted_and_whose_catalog_is_gone_is_asked_for_anew(
    world: World, tmp_path: Path
) -> None:
    pool = world.ready_pool(count=3)
    remove_catalog(tmp_path)
    world.score.forget()
    world.cache.drop(POOL, [(pool.pool_id, 1, world.encoder.model_revision)])
    assert not world.ask().complete
    world.deliver_all()
    answer = world.ask()
    assert answer.complete
    assert answer.hits is not None
    assert len(answer.hits) == 3


def test_both_pools_that_are_noted_and_whose_catalog_is_gone_are_asked_for_anew(
    world: World, tmp_path: Path
) -> None:
    pools = [world.ready_pool("red horse", count=2), world.ready_pool("horse", count=3)]
    remove_catalog(tmp_path)
    world.score.forget()
    world.cache.drop(POOL, [(pool.pool_id, 1, world.encoder.model_revision) for pool in pools])
    for _ in range(2):
        assert not world.ask("red horse", broader="horse").complete
        world.deliver_all()
    answer = world.ask("red horse", broader="horse")
    assert (len(answer.hits or ()), answer.complete) == (3, True)


def test_a_catalog_whose_folder_is_removed_is_begun_anew(tmp_path: Path) -> None:
    catalog = catalog_at(tmp_path / "data" / "catalog.sqlite")
    shutil.rmtree(tmp_path / "data")
    catalog.check()
    assert unfinished(tmp_path / "data" / "catalog.sqlite") == []
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").touch()
    with pytest.raises(Unavailable, match="the catalog"):
        catalog.check()
    (tmp_path / "data").unlink()
    catalog.check()
    catalog.close()


def test_a_catalog_that_cannot_be_written_is_not_ready_and_is_read_all_the_same(
    world: World,
) -> None:
    pool = world.ready_pool()
    with no_space():
        with pytest.raises(Unavailable, match="the catalog"):
            world.catalog.check()
        assert world.catalog.pool(pool.pool_id) == pool
        assert world.ask().complete
    world.catalog.check()


@pytest.mark.parametrize("data", [b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_file_that_is_no_catalog_is_refused_with_what_to_do(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(data)
    with pytest.raises(Unavailable, match="move the file away to begin anew"):
        catalog_at(tmp_path / "catalog.sqlite")
    assert (tmp_path / "catalog.sqlite").read_bytes() == data


def test_an_embedding_of_an_image_without_a_name_is_no_hit(world: World, tmp_path: Path) -> None:
    world.ready_pool(count=5)
    spoil(tmp_path, "UPDATE embeddings SET image_id = x'ff' WHERE image_id = 'twin-3'")
    answer = world.ask("", scope="catalog")
    assert answer.hits is not None
    assert len(answer.hits) == 4


def test_a_pool_whose_image_is_gone_from_the_library_answers_from_its_listing(
    world: World, tmp_path: Path
) -> None:
    world.ready_pool(count=5)
    spoil(tmp_path, "DELETE FROM images WHERE image_id = 'twin-3'")
    world.restart()
    answer = world.ask()
    assert answer.complete
    assert answer.hits is not None
    assert answer.hits[0].image.image_id == "twin-3"


def test_an_original_of_a_damaged_pool_is_listed_nowhere(world: World, tmp_path: Path) -> None:
    world.ready_pool(count=3)
    spoil(tmp_path, "UPDATE records SET record = '{'")
    assert SqliteOriginals(world.file).listed("twin-1.jpg") is None


def test_a_catalog_that_could_not_be_opened_for_a_while_is_opened_when_it_can(
    tmp_path: Path,
) -> None:
    data, aside = tmp_path / "data", tmp_path / "aside"
    catalog = catalog_at(data / "catalog.sqlite")
    data.rename(aside)
    data.touch()
    with pytest.raises(Unavailable, match="the catalog"):
        catalog.check()
    data.unlink()
    aside.rename(data)
    catalog.check()
    (data / "catalog.sqlite").rename(data / "aside")
    (data / "catalog.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match="move the file away"):
        catalog.check()
    (data / "aside").rename(data / "catalog.sqlite")
    catalog.check()
    catalog.close()


def test_a_data_folder_that_comes_back_is_locked_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lock = FolderLock(folder)
    lock.announce("http://127.0.0.1:1")
    catalog = catalog_at(folder / "catalog.sqlite", on_new_file=lock.renew)
    (folder / "catalog.sqlite").unlink()
    catalog.check()
    with pytest.raises(FolderInUse) as busy:
        FolderLock(folder)
    assert busy.value.url == "http://127.0.0.1:1"
    shutil.rmtree(folder)
    catalog.check()
    with pytest.raises(FolderInUse) as busy:
        FolderLock(folder)
    assert busy.value.url == "http://127.0.0.1:1"
    shutil.rmtree(folder)
    with closing(FolderLock(folder)), pytest.raises(FolderInUse):
        catalog.check()  # another process has it now
    catalog.check()
    catalog.close()
    lock.close()
