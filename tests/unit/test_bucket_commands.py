"""The commands of collections in the cloud edition: what they keep, ask for, and say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from imagesearch.cli import buckets
from imagesearch.cli.main import cli
from imagesearch.domain.buckets import bucket_root
from imagesearch.domain.collections import Collection
from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.work import ForgetJob
from tests.bucket_collections import MemoryCollections
from tests.bucket_world import COLLECTION, BucketWorld
from tests.cloud_environment import CLOUD


def set_time(
    monkeypatch: pytest.MonkeyPatch,
    sleep: Callable[[float], None],
    monotonic: Callable[[], float],
) -> None:
    """Set the time of the commands alone: servers of other tests run in threads beside them."""
    monkeypatch.setattr(buckets, "time", SimpleNamespace(sleep=sleep, monotonic=monotonic))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BucketWorld:
    """A world in which the commands work, and which does all while they wait."""
    own = BucketWorld(tmp_path)

    @contextmanager
    def opened(_: object) -> Iterator[MemoryCollections]:
        yield own.collections

    @contextmanager
    def publisher(_: object) -> Iterator[BucketWorld]:
        yield own

    def sleep(_: float) -> None:
        for message in own.messages[:]:
            own.messages.remove(message)
            if isinstance(message, ForgetJob):
                own.remove(message.collection)
            else:
                try:
                    own.deliver(message)
                except NotFound:
                    continue

    monkeypatch.setattr(buckets, "opened", opened)
    monkeypatch.setattr(buckets, "_publisher", publisher)
    set_time(monkeypatch, sleep, lambda: 0.0)
    for name, value in {**CLOUD, "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    return own


def run(*arguments: str) -> int:
    return cli(arguments) or 0


def test_a_prefix_is_added_told_of_and_removed(
    own: BucketWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        own.buckets.write(f"p/{number}.jpg", str(number))
    assert run("add", "gs://ann/p/", "--name", "Pictures") == 0
    assert "Pictures: 6 pictures, 6 embedded, in " in capsys.readouterr().out
    own.buckets.write("p/empty.jpg", "")
    own.buckets.delete("p/0.jpg")
    assert run("update") == 1, "as not all could be read"
    told = capsys.readouterr().out
    assert "Pictures: 6 pictures, 5 as they were, 1 gone, in " in told
    assert "1 could not be read:\n  empty.jpg: it has 0 bytes" in told
    run("collections")
    first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert first == ["name", "pictures", "problems", "set"]
    assert second == ["Pictures", "5", "1", "gs://ann/p"]
    run("info", "Pictures")
    told = capsys.readouterr().out
    assert told.startswith("Pictures: 5 pictures\nIt is gs://ann/p\nPlaces are not kept.\n")
    run("forget", "--collection", "Pictures", "--dry-run")
    assert "up to 5 images would be forgotten" in capsys.readouterr().out
    assert run("remove", "Pictures") == 0
    assert "5 pictures are forgotten; gs://ann/p is as it was." in capsys.readouterr().out
    assert own.collections.all() == []
    assert own.stored() == set()


def test_what_was_taken_down_is_no_problem_and_stands_in_a_column_of_its_own(
    own: BucketWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.buckets.write("p/2.jpg", "two")
    run("add", "gs://ann/p", "--name", "Pictures")
    own.world.forget(ForgetJob((own.images_found()["1.jpg"].image_id,)))
    own.world.clock.sleep(60)
    capsys.readouterr()
    assert run("update") == 0
    told = capsys.readouterr().out
    assert "Pictures: 2 pictures, 2 as they were, 1 taken down, in " in told
    assert "could not be read" not in told
    run("collections")
    table = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert table == ["name pictures problems taken down set", "Pictures 1 0 1 gs://ann/p"]


def test_what_is_a_collection_already_is_said_and_done_once(
    own: BucketWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    own.buckets.write("p/x/1.jpg", "one")
    run("add", "gs://ann/p", "--name", "Pictures")
    capsys.readouterr()
    assert run("add", "gs://ann/p", "--name", "Others") == 0
    assert "gs://ann/p is the collection 'Pictures' already." in capsys.readouterr().out
    assert run("add", "gs://ann/p/x") == 0
    assert "searched by --collection 'Pictures' --folder 'x'." in capsys.readouterr().out
    assert own.collections.all() == [COLLECTION]
    assert run("add", "gs://ann") == 0
    told = capsys.readouterr().out
    assert "It has the collections Pictures in it; no picture is embedded twice." in told
    assert own.world.encoder.images == 1
    assert [each.name for each in own.collections.all()] == ["Pictures", "ann"]


def test_places_are_kept_once_that_is_asked_for(own: BucketWorld) -> None:
    run("add", "gs://ann/p", "--name", "Pictures")
    run("add", "gs://ann/p", "--keep-place")
    assert own.collections.all() == [replace(COLLECTION, keeps_place=True)]
    run("add", "gs://ann/p")
    assert own.collections.all() == [replace(COLLECTION, keeps_place=True)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "/home/ann"), "in EDITION=cloud SET must be gs://BUCKET or gs://BUCKET/PREFIX, "),
        (("add", "gs://x"), "a bucket must be gs://BUCKET or gs://BUCKET/PREFIX, got 'gs://x'"),
        (("add", "gs://bob", "--name", "Pictures"), "and 'Pictures' is gs://ann/p"),
        (("watch",), "a bucket's notifications do that"),
        (("update", "Nothing"), "NAME must be one of Pictures, got 'Nothing'"),
    ],
)
def test_what_cannot_be_is_refused(own: BucketWorld, arguments: tuple[str, ...], said: str) -> None:
    own.collections.keep(COLLECTION)
    with pytest.raises(InvalidRequest, match=said):
        run(*arguments)
    assert own.messages == []


def test_a_bucket_is_no_collection_of_the_embedded_edition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(InvalidRequest, match="a bucket is a collection of EDITION cloud"):
        run("add", "gs://ann/p")


def test_a_bucket_that_is_not_there_is_said(own: BucketWorld) -> None:
    with pytest.raises(Unavailable, match="the bucket none is not there"):
        run("add", "gs://none")


def test_of_several_the_others_are_updated(
    own: BucketWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.collections.keep(COLLECTION)
    own.collections.keep(Collection("A", "gs://none"))
    assert run("update") == 1
    told = capsys.readouterr()
    assert "A: the bucket none is not there" in told.err
    assert "Pictures: 1 pictures, 1 embedded" in told.out


def test_a_collection_that_is_removed_meanwhile_is_said(own: BucketWorld) -> None:
    own.collections.keep(COLLECTION)
    request = own.ask()
    own.collections.forget("Pictures")
    with pytest.raises(NotFound, match="'Pictures' was removed meanwhile"):
        buckets.followed(own.collections, COLLECTION, request, lambda _: None)


def test_it_is_said_where_nothing_comes_of_it(
    own: BucketWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own.collections.keep(COLLECTION)
    request = own.ask()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 300:
            own.deliver_all()

    set_time(monkeypatch, sleep, lambda: float(len(waits)))
    buckets.followed(own.collections, COLLECTION, request, lambda _: None)
    assert capsys.readouterr().err.count("Nothing has come of it yet") == 1


def test_the_default_name_is_that_of_the_folder_or_the_bucket(own: BucketWorld) -> None:
    def name(url: str) -> str:
        return buckets.added(own.collections, bucket_root(url), "", None).name

    assert name("gs://ann/2019/Italy/") == "Italy"
    assert name("gs://ann") == "ann"
