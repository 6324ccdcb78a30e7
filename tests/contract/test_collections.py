"""What every adapter of `Collections` does, and what those of buckets do besides."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from imagesearch.adapters.collections.firestore import FirestoreCollections
from imagesearch.adapters.collections.sqlite import SqliteCollections
from imagesearch.adapters.firestore import Firestore
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.domain.collections import (
    CollectedFile,
    Collection,
    CollectionCount,
    Stamp,
    Update,
)
from imagesearch.domain.errors import InvalidRequest, NotFound
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.domain.picture_facts import Caption, PictureFacts
from imagesearch.ports import BucketCollections, Collections, KnownFile, Position
from tests.bucket_collections import MemoryCollections

NOW = datetime(2026, 11, 28, tzinfo=UTC)
OWN = Collection("Pictures", "gs://ann/pictures")
FACTS = PictureFacts(
    2019, 7, "Apple", 3, "A dog", ("dog",), place=(1.5, 2.5), captions=(Caption("A"),)
)
OF_FILE = PictureFacts(2019, 7, tags=("dog",))
FIRESTORE = pytest.param("firestore", marks=pytest.mark.slow)


def collected(
    path: str, image: str = "", *, generation: int = 1, problem: str = ""
) -> CollectedFile:
    stamp = Stamp(10, generation)
    image_id = f"own-{image}" if image else ""
    return CollectedFile(path, stamp, stamp, image_id, (4, 3), FACTS, ("Album",), problem, OF_FILE)


@pytest.fixture
def in_firestore(firestore_host: str, firestore_clients: list[Any]) -> FirestoreCollections:
    everything = "emulator/v1/projects/test/databases/(default)/documents"
    requests.delete(f"http://{firestore_host}/{everything}", timeout=10).raise_for_status()
    clients = itertools.cycle(firestore_clients)
    return FirestoreCollections(Firestore(lambda: next(clients), total_seconds=30.0))


@pytest.fixture(params=["sqlite", "memory", FIRESTORE])
def collections(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        yield MemoryCollections()
    elif request.param == "firestore":
        yield request.getfixturevalue("in_firestore")
    else:
        with closing(SqliteFile(tmp_path / "catalog.sqlite")) as file:
            yield SqliteCollections(file)


@pytest.fixture(params=["memory", FIRESTORE])
def buckets(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        return MemoryCollections()
    return request.getfixturevalue("in_firestore")


def test_collections_come_in_the_order_of_their_names_and_are_kept_once(
    collections: Collections,
) -> None:
    other = Collection("A / b.__c__", "gs://bob", keeps_place=True)
    collections.keep(OWN)
    collections.keep(other)
    collections.keep(replace(OWN, root="gs://ann/new"))
    assert collections.all() == [other, replace(OWN, root="gs://ann/new")]


def test_files_are_known_by_path_a_page_at_a_time(collections: Collections) -> None:
    collections.keep(OWN)
    paths = ["a.jpg", "b/1.jpg", "b/2.jpg", "é.jpg", "\U0001f40e.jpg"]
    collections.put_files("Pictures", [collected(path, "1") for path in reversed(paths)])
    collections.keep(Collection("Other", "gs://bob"))
    collections.put_files("Other", [collected("c.jpg", "1")])
    known = collections.known_files("Pictures")
    assert list(known) == paths
    assert known["a.jpg"].stamp == Stamp(10, 1)
    assert known["a.jpg"].image_id == "own-1"
    assert list(collections.known_files("Pictures", after="a.jpg", most=2)) == paths[1:3]
    assert list(collections.known_files("Pictures", after="é.jpg", most=2)) == paths[4:]
    assert collections.known_files("None") == {}


def test_a_file_comes_back_as_it_was_put(collections: Collections) -> None:
    collections.keep(OWN)
    file = collected("a.jpg", "1")
    collections.put_files("Pictures", [collected("b.jpg", "1"), file, collected("c.jpg", "2")])
    files = collections.files_of(["own-1", "own-3"])
    assert files == {"own-1": [("Pictures", file), ("Pictures", collected("b.jpg", "1"))]}
    assert collections.not_of_one_file(["own-1", "own-2", "own-3"]) == {"own-1", "own-3"}


def test_files_of_many_images_are_found(collections: Collections) -> None:
    collections.keep(OWN)
    files = [collected(f"{number}.jpg", str(number)) for number in range(130)]
    collections.put_files("Pictures", files)
    assert collections.files_of([file.image_id for file in files]) == {
        file.image_id: [("Pictures", file)] for file in files
    }
    assert len(collections.to_renew()) == 130
    collections.renewed([file.image_id for file in files])
    assert collections.to_renew() == []


def test_nothing_is_put_into_a_collection_that_was_removed(collections: Collections) -> None:
    with pytest.raises(NotFound, match="'Pictures' was removed"):
        collections.put_files("Pictures", [collected("a.jpg", "1")])
    assert collections.files_of(["own-1"]) == {}


def test_what_a_file_was_and_what_it_is_are_to_be_renewed(collections: Collections) -> None:
    collections.keep(OWN)
    collections.put_files("Pictures", [collected("a.jpg", "1"), collected("b.jpg", problem="no")])
    assert collections.to_renew() == ["own-1"]
    collections.renewed(["own-1"])
    collections.put_files("Pictures", [collected("a.jpg", "2", generation=2)])
    assert collections.to_renew() == ["own-1", "own-2"]
    collections.renewed(["own-2"])
    collections.drop_files("Pictures", ["a.jpg", "never.jpg"])
    assert collections.to_renew() == ["own-1", "own-2"]
    assert collections.known_files("Pictures").keys() == {"b.jpg"}
    assert collections.files_of(["own-2"]) == {}


def test_what_was_dropped_may_come_back_as_it_was(collections: Collections) -> None:
    collections.keep(OWN)
    collections.put_files("Pictures", [collected("a.jpg", "1")])
    collections.drop_files("Pictures", ["a.jpg"])
    collections.put_files("Pictures", [collected("a.jpg", "1")])
    assert collections.known_files("Pictures").keys() == {"a.jpg"}


def test_a_forgotten_collection_leaves_its_images_to_be_renewed_and_may_be_added_again(
    collections: Collections,
) -> None:
    collections.keep(OWN)
    collections.put_files("Pictures", [collected("a.jpg", "1")])
    collections.renewed(["own-1"])
    collections.forget("Pictures")
    collections.forget("never")
    assert collections.all() == []
    assert collections.to_renew() == ["own-1"]
    assert collections.files_of(["own-1"]) == {}
    collections.keep(OWN)
    assert collections.known_files("Pictures") == {}
    collections.put_files("Pictures", [collected("a.jpg", "1")])
    assert collections.known_files("Pictures").keys() == {"a.jpg"}


def test_all_is_read_again_where_places_come_to_be_kept(collections: Collections) -> None:
    collections.keep(OWN)
    collections.put_files("Pictures", [collected("a.jpg", "1")])
    collections.renewed(["own-1"])

    def is_as_it_was() -> bool:
        known = collections.known_files("Pictures")["a.jpg"]
        return known.is_sound and known.stamp == Stamp(10, 1)

    assert is_as_it_was()
    collections.keep(OWN)
    assert is_as_it_was()
    collections.keep(replace(OWN, keeps_place=True))
    assert not is_as_it_was()


def test_problems_are_noted_counted_and_told_in_order(collections: Collections) -> None:
    collections.keep(OWN)
    some = [
        collected("b.jpg", "1"),
        collected("a.jpg", problem="no picture"),
        collected("c.jpg", "2"),
    ]
    collections.put_files("Pictures", some)
    collections.renewed(["own-1", "own-2"])
    collections.note_problems({"own-1": "too many pixels", "own-9": "never"})
    (noted,) = collections.files_of(["own-1"])["own-1"]
    assert noted == ("Pictures", replace(some[0], problem="too many pixels"))
    both = [("a.jpg", "no picture"), ("b.jpg", "too many pixels")]
    assert collections.problems("Pictures", 9) == (both, 2)
    assert collections.problems("Pictures", 1) == (both[:1], 2)
    sound = {path for path, file in collections.known_files("Pictures").items() if file.is_sound}
    assert sound == {"c.jpg"}
    assert collections.counts() == [CollectionCount("Pictures", 1, 1, 2, False)]


def test_what_was_taken_down_is_counted_apart_from_problems(collections: Collections) -> None:
    collections.keep(OWN)
    collections.put_files("Pictures", [collected("a.jpg", problem="no picture")])
    collections.put_files("Pictures", [collected("b.jpg", "1"), collected("c.jpg", "2")])
    collections.note_problems({"own-1": TAKEN_DOWN})
    assert collections.counts() == [CollectionCount("Pictures", 1, 1, 1, False, taken_down=1)]
    collections.note_problems({"own-1": ""})
    assert collections.counts() == [CollectionCount("Pictures", 2, 2, 1, False)]


def test_a_collection_without_files_is_counted(collections: Collections) -> None:
    collections.keep(OWN)
    assert collections.counts() == [CollectionCount("Pictures", 0, 0, 0, False)]


def test_an_update_is_asked_for_and_answered(collections: Collections) -> None:
    collections.keep(OWN)
    assert collections.asked() == {}
    first, second = collections.ask("Pictures"), collections.ask("Pictures")
    assert second > first > 0
    assert collections.asked() == {"Pictures": second}
    assert collections.counts()[0].is_updating
    collections.answer("Pictures", first)
    assert collections.is_answered("Pictures", first)
    assert not collections.is_answered("Pictures", second)
    collections.answer("Pictures", second)
    collections.answer("Pictures", first)
    assert collections.asked() == {}
    assert collections.is_answered("gone", 9)
    assert collections.ask("gone") == 0
    assert collections.all() == [OWN]


def test_how_far_an_update_is_is_noted(collections: Collections) -> None:
    collections.keep(OWN)
    assert collections.last_update("Pictures") == Update()
    stand = Update(found=3, embedded=2, seconds=1.5, error="é")
    collections.note("Pictures", stand)
    collections.note("gone", stand)
    assert collections.last_update("Pictures") == stand
    assert collections.last_update("gone") == Update()
    assert collections.all() == [OWN]


def test_an_earlier_generation_takes_nothings_place(buckets: BucketCollections) -> None:
    buckets.keep(OWN)
    buckets.put_files("Pictures", [collected("a.jpg", "2", generation=2)])
    buckets.put_files("Pictures", [collected("a.jpg", "1", generation=1)])
    assert buckets.files_of(["own-2"]).keys() == {"own-2"}
    buckets.bury("Pictures", {"a.jpg": 1}, NOW)
    assert buckets.known_files("Pictures").keys() == {"a.jpg"}
    assert buckets.known("Pictures", "a.jpg") == KnownFile(Stamp(10, 2), "own-2", False)
    assert buckets.known("Pictures", "b.jpg") is None


def test_what_went_does_not_come_back_by_what_is_told_late(buckets: BucketCollections) -> None:
    buckets.keep(OWN)
    buckets.bury("Pictures", {"a.jpg": 2, "b.jpg": 2}, NOW)
    buckets.put_files(
        "Pictures", [collected("a.jpg", "1", generation=2), collected("b.jpg", "1", generation=3)]
    )
    assert buckets.known_files("Pictures").keys() == {"b.jpg"}
    assert buckets.known("Pictures", "a.jpg") == KnownFile(Stamp(0, 2), "", True)
    buckets.bury("Pictures", {"b.jpg": 3}, NOW)
    assert buckets.known_files("Pictures") == {}
    assert buckets.unrenewed("Pictures", ["a.jpg", "b.jpg", "never.jpg"]) == {"own-1"}
    assert buckets.to_renew() == ["own-1"]
    with pytest.raises(NotFound):
        buckets.bury("gone", {"a.jpg": 1}, NOW)


def test_a_file_is_unsound_until_its_image_is_renewed(buckets: BucketCollections) -> None:
    buckets.keep(OWN)
    buckets.put_files("Pictures", [collected("a.jpg", "1")])
    assert not buckets.known_files("Pictures")["a.jpg"].is_sound
    assert buckets.unrenewed("Pictures", ["a.jpg"]) == {"own-1"}
    buckets.put_files("Pictures", [collected("a.jpg", "1")])  # by a message that comes again
    buckets.renewed(["own-1"])
    assert buckets.known_files("Pictures")["a.jpg"].is_sound
    assert buckets.known("Pictures", "a.jpg") == KnownFile(Stamp(10, 1), "own-1", True)
    assert buckets.unrenewed("Pictures", ["a.jpg"]) == set()


def test_what_was_read_of_another_bucket_is_read_again_whatever_its_generation(
    buckets: BucketCollections,
) -> None:
    buckets.keep(OWN)
    buckets.put_files("Pictures", [collected("a.jpg", "1", generation=9)])
    buckets.renewed(["own-1"])
    buckets.keep(replace(OWN, root="gs://bob"))
    assert buckets.known_files("Pictures")["a.jpg"] == KnownFile(Stamp(10, -1), "own-1", False)
    assert buckets.known("Pictures", "a.jpg") is None
    buckets.put_files("Pictures", [collected("a.jpg", "2", generation=3)])
    assert buckets.known_files("Pictures")["a.jpg"].image_id == "own-2"


def test_a_collection_that_is_being_removed_is_none_but_to_who_removes_it(
    buckets: BucketCollections,
) -> None:
    buckets.keep(OWN)
    buckets.put_files("Pictures", [collected("a.jpg", "1", generation=1)])
    buckets.retire("Pictures")
    assert (buckets.all(), buckets.counts()) == ([], [])
    assert buckets.is_there("Pictures")
    with pytest.raises(NotFound):
        buckets.put_files("Pictures", [collected("b.jpg", "2", generation=2)])
    with pytest.raises(InvalidRequest):
        buckets.keep(OWN)
    assert buckets.known_files("Pictures").keys() == {"a.jpg"}
    buckets.drop_files("Pictures", ["a.jpg"])
    assert buckets.known_files("Pictures") == {}
    assert buckets.to_renew() == ["own-1"]
    buckets.forget("Pictures")
    assert not buckets.is_there("Pictures")
    buckets.keep(OWN)
    assert buckets.all() == [OWN]


def test_a_position_is_advanced_once(buckets: BucketCollections) -> None:
    with pytest.raises(NotFound):
        buckets.position("Pictures")
    buckets.keep(OWN)
    assert buckets.position("Pictures") == Position()
    first, second = Position(1), Position(1, "", "b.jpg", datetime(2026, 11, 1, 12, 0, 0, 5, UTC))
    assert buckets.advance("Pictures", Position(), first, Update(found=1))
    assert not buckets.advance("Pictures", Position(), second, Update(found=2))
    assert buckets.last_update("Pictures").found == 1
    assert buckets.advance("Pictures", first, second, Update(found=2))
    assert buckets.position("Pictures") == second
    assert not buckets.advance("gone", Position(), second, Update())


@pytest.mark.slow
def test_what_went_expires_after_its_notifications_and_what_is_there_does_not(
    in_firestore: FirestoreCollections,
) -> None:
    in_firestore.keep(OWN)
    in_firestore.put_files("Pictures", [collected("a.jpg", "1"), collected("b.jpg", "1")])
    in_firestore.bury("Pictures", {"a.jpg": 1, "never.jpg": 1}, NOW)

    def expiry() -> dict[str, Any]:
        documents = in_firestore._collected().get()
        return {each.get("path"): each.get("expire_at") for each in documents}

    expire_at = NOW + timedelta(days=8)
    assert expiry() == {"a.jpg": expire_at, "b.jpg": None, "never.jpg": expire_at}
    in_firestore.put_files("Pictures", [collected("a.jpg", "1", generation=2)])
    assert expiry()["a.jpg"] is None


@pytest.mark.slow
def test_what_is_put_while_the_collection_is_removed_is_dropped(
    in_firestore: FirestoreCollections, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_firestore.keep(OWN)
    commit = in_firestore._commit

    def removing(*arguments: Any) -> None:
        monkeypatch.undo()
        in_firestore.forget("Pictures")
        commit(*arguments)

    monkeypatch.setattr(in_firestore, "_commit", removing)
    with pytest.raises(NotFound, match="was removed"):
        in_firestore.put_files("Pictures", [collected("a.jpg", "1")])
    assert in_firestore.files_of(["own-1"]) == {}
    assert in_firestore.to_renew() == ["own-1"]


def test_changes_of_several_processes_at_once_are_all_kept(buckets: BucketCollections) -> None:
    buckets.keep(OWN)

    def put(number: int) -> None:
        buckets.put_files("Pictures", [collected("a.jpg", str(number), generation=number)])

    def ask(_: int) -> int:
        return buckets.ask("Pictures")

    todo: list[tuple[Callable[[int], object], int]] = [(put, each) for each in (3, 1, 4, 2)]
    todo += [(ask, each) for each in range(4)]
    if isinstance(buckets, MemoryCollections):  # which no test uses from several threads
        answers = [do(each) for do, each in todo]
    else:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda one: one[0](one[1]), todo))
    assert {*answers[4:]} == {1, 2, 3, 4}
    assert buckets.known_files("Pictures")["a.jpg"].image_id == "own-4"
    assert "own-4" in buckets.to_renew()
