"""Downloads overlap: looking up, downloading and storing, each as far as it may go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from imagesearch.adapters.caches.in_process import InProcessCache
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.errors import RejectedImage, Unavailable
from imagesearch.domain.images import ListedImage
from imagesearch.usecases.downloads import DownloadFailed, Downloads
from tests.world import TwinSource, listed, original

IMAGES = [listed(number) for number in range(60)]


@dataclass
class BusySource(TwinSource):
    """Counts the downloads at one time; *during* is called in each, with its image_id."""

    during: Callable[[str], object] = lambda _: None
    busy: int = 0
    busiest: int = 0

    def download(self, image: ListedImage) -> bytes:
        with self.lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            self.during(image.image.image_id)
            return super().download(image)
        finally:
            with self.lock:
                self.busy -= 1


@dataclass
class WatchedStore:
    """A folder of images; *before_put* and *before_lookup* are called with names."""

    folder: FolderStore
    before_put: Callable[[str], object] = lambda _: None
    before_lookup: Callable[[Collection[str]], object] = lambda _: None
    asked: list[str] = field(default_factory=list)

    def put(self, name: str, data: bytes) -> None:
        self.before_put(name)
        self.folder.put(name, data)

    def get(self, name: str) -> bytes:
        return self.folder.get(name)

    def existing(self, names: Collection[str]) -> set[str]:
        self.asked += names
        self.before_lookup(names)
        return self.folder.existing(names)

    def delete(self, names: Collection[str]) -> int:
        return self.folder.delete(names)


@pytest.fixture
def store(tmp_path: Path) -> WatchedStore:
    return WatchedStore(FolderStore(tmp_path))


@contextmanager
def downloads(
    source: TwinSource, store: WatchedStore, connections: int = 4
) -> Iterator[tuple[Downloads, threading.Event]]:
    stopping = threading.Event()
    cache = InProcessCache()
    begun = Downloads(
        source, store, cache, connections=connections, stopping=stopping, withdrawn=tuple
    )
    try:
        yield begun, stopping
    finally:
        begun.close()


def test_an_image_is_downloaded_and_stored_unless_it_is_stored(store: WatchedStore) -> None:
    store.put("twin-1.jpg", original("an image of another keyword"))
    source = BusySource()
    with downloads(source, store) as (begun, _):
        outcomes = [future.result(5) for future in begun.begin(IMAGES[:3])]
    assert outcomes == [True, False, True]
    assert sorted(source.downloads) == ["twin-0", "twin-2"]
    assert store.get("twin-1.jpg") == original("an image of another keyword")
    assert store.get("twin-2.jpg") == original("twin-2")


def test_what_has_begun_is_not_begun_or_looked_up_again(store: WatchedStore) -> None:
    source = BusySource()
    with downloads(source, store) as (begun, _):
        first = begun.begin(IMAGES[:3])
        again = begun.begin(IMAGES[2:5])
        assert [future.result(5) for future in [*first, *again]] == [True] * 6
        assert begun.are_stored(IMAGES[:1]) is False, "it was not when it was looked up"
    assert len(source.downloads) == len(store.asked) == 5


def test_no_more_are_downloaded_at_a_time_than_there_are_connections(store: WatchedStore) -> None:
    full = threading.Barrier(4)  # which only four at a time get past

    source = BusySource(during=lambda _: full.wait(5))
    with downloads(source, store) as (begun, _):
        assert all(future.result(5) for future in begun.begin(IMAGES))
    assert source.busiest == 4


def test_while_an_image_is_stored_its_connection_downloads_the_next(store: WatchedStore) -> None:
    second = threading.Event()

    def during(image_id: str) -> None:
        if image_id == "twin-1":
            second.set()

    def before_put(name: str) -> None:
        if name == "twin-0.jpg":
            assert second.wait(5), "the only connection waits for the store"

    store.before_put = before_put
    with downloads(BusySource(during=during), store, connections=1) as (begun, _):
        assert [future.result(10) for future in begun.begin(IMAGES[:2])] == [True, True]


def test_the_first_images_do_not_wait_for_the_last_to_be_looked_up(store: WatchedStore) -> None:
    """In Cloud Storage 200 names are 25 round trips on 8 connections."""
    first = threading.Event()

    def before_lookup(names: Collection[str]) -> None:
        if "twin-0.jpg" not in names:
            assert first.wait(5), "no image came before all were looked up"

    store.before_lookup = before_lookup
    source = BusySource(during=lambda _: first.set())
    with downloads(source, store) as (begun, _):
        assert all(future.result(10) for future in begun.begin(IMAGES))


def test_a_host_that_is_down_is_given_up_after_as_many_failures_as_connections(
    store: WatchedStore,
) -> None:
    source = BusySource(download_errors={f"twin-{i}": Unavailable("time-out") for i in range(60)})
    with downloads(source, store) as (begun, _):
        errors = [str(future.exception(5)) for future in begun.begin(IMAGES)]
    assert 4 <= len(source.downloads) <= 8, "and as many as were on their way by then"
    assert set(errors) == {"time-out", "not tried after others failed"}


def test_a_host_that_refuses_or_gives_images_in_between_is_not_given_up(
    store: WatchedStore,
) -> None:
    errors: dict[str, Exception] = {f"twin-{i}": Unavailable("time-out") for i in range(60)}
    errors |= {f"twin-{i}": RejectedImage("it is gone") for i in range(0, 60, 3)}
    source = BusySource(download_errors=errors)
    with downloads(source, store, connections=3) as (begun, _):
        for listed_image in IMAGES:  # one by one: their order is what is looked at
            begun.begin([listed_image])[0].exception(5)
    assert len(source.downloads) == 60


def test_hosts_that_are_down_do_not_hold_up_those_that_are_not(store: WatchedStore) -> None:
    odd = [replace(one, download_url=f"https://{one.image.image_id}.example/") for one in IMAGES]
    source = BusySource(download_errors={f"twin-{i}": Unavailable("no name") for i in range(50)})
    with downloads(source, store) as (begun, _):
        outcomes = begun.begin(odd[:50] + IMAGES[50:])
        assert [future.result(5) for future in outcomes[50:]] == [True] * 10


def test_once_the_process_is_to_end_no_download_begins(store: WatchedStore) -> None:
    source = BusySource()
    with downloads(source, store) as (begun, stopping):
        stopping.set()
        errors = [future.exception(5) for future in begun.begin(IMAGES)]
    assert source.downloads == []
    assert {type(error) for error in errors} == {DownloadFailed}


def test_a_store_that_is_down_is_told_apart_from_an_image_that_cannot_be_had(
    store: WatchedStore,
) -> None:
    def full(_: str) -> None:
        raise Unavailable("no space left on device")

    store.before_put = full
    with downloads(BusySource(), store) as (begun, _):
        [error] = [future.exception(5) for future in begun.begin(IMAGES[:1])]
    assert type(error) is Unavailable


def test_closing_waits_for_what_has_begun_and_drops_the_rest(store: WatchedStore) -> None:
    source = BusySource(during=lambda _: threading.Event().wait(0.01))
    with downloads(source, store) as (begun, _):
        futures = begun.begin(IMAGES)
        futures[0].result(5)
    assert all(future.done() for future in futures)
    assert source.busy == 0
    assert len(source.downloads) < 60
