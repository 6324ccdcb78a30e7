"""What the one-machine edition serves of stored originals, and how a lost one comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Mount

from imagesearch.adapters.collections.sqlite import SqliteCollections
from imagesearch.adapters.sqlite_originals import SqliteOriginals
from imagesearch.adapters.stores.collections import CollectionStore
from imagesearch.domain.collections import Collection, ListedFile, downloaded_name
from imagesearch.domain.errors import (
    InvalidRequest,
    NotFound,
    RejectedImage,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.forgetting import Withdrawal
from imagesearch.domain.images import ListedImage
from imagesearch.folders.folder import Folders
from imagesearch.local.embedded.originals import OriginalFiles, Originals, own_original
from imagesearch.usecases.withdrawn import Withdrawn
from tests.world import TwinSource, World, original
from tools.pictures import jpeg


class ExpiringSource(TwinSource):
    """A source whose links hold until it is listed again."""

    def download(self, image: ListedImage) -> bytes:
        if self.listings < 2:
            raise RejectedImage("its download link is invalid or has expired")
        return super().download(image)


def originals_of(world: World, source: TwinSource) -> Originals:
    listed = SqliteOriginals(world.file).listed
    collections = SqliteCollections(world.file)
    own = CollectionStore(world.store, collections, Folders())
    withdrawn = Withdrawn(world.catalog.retention, world.clock)
    return Originals(listed, world.store, source, own, withdrawn)


@pytest.fixture
def originals(world: World) -> Originals:
    world.ready_pool(count=5)
    world.source.downloads.clear()
    return originals_of(world, world.source)


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"something else")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [remove, empty, overwrite, cut])
def test_a_lost_original_is_downloaded_when_it_is_asked_for(
    world: World, tmp_path: Path, originals: Originals, damage: Callable[[Path], None]
) -> None:
    stored = tmp_path / "images" / "twin-3.jpg"
    assert originals.path("twin-3.jpg") == str(stored)
    damage(stored)
    for _ in range(2):
        assert originals.path("twin-3.jpg") == str(stored)
    assert stored.read_bytes() == original("twin-3")
    assert world.source.downloads == ["twin-3"]


@pytest.mark.parametrize("path", ["/{}/", "//{}", "/%2E/{}", "/x/%2E%2E/{}", "/"])
def test_an_original_has_one_path_alone(originals: Originals, path: str) -> None:
    site = Starlette(routes=[Mount("/images", OriginalFiles(originals))])

    async def status(url: str) -> int:
        transport = httpx.ASGITransport(site)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(url)).status_code

    assert asyncio.run(status("/images/twin-3.jpg")) == 200
    assert asyncio.run(status("/images" + path.format("twin-3.jpg"))) == 404


def test_links_that_are_over_are_asked_for_once_for_all_of_a_keyword(
    world: World, tmp_path: Path, originals: Originals
) -> None:
    source = ExpiringSource(offers=world.source.offers, listings=1)
    originals = originals_of(world, source)
    for number in range(5):
        (tmp_path / "images" / f"twin-{number}.jpg").unlink()
        assert originals.path(f"twin-{number}.jpg")
    assert source.listings == 2


@pytest.mark.parametrize(
    "error", [RejectedImage("gone"), Unavailable("silent"), SourceRefused("a bad key")]
)
def test_what_cannot_be_had_is_not_found_and_not_asked_for_at_every_request(
    world: World, tmp_path: Path, originals: Originals, error: Exception
) -> None:
    (tmp_path / "images" / "twin-3.jpg").unlink()
    world.source.download_errors["twin-3"] = error
    for _ in range(3):
        with pytest.raises(NotFound, match=r"twin-3\.jpg"):
            originals.path("twin-3.jpg")
    assert len(world.source.downloads) <= 2
    assert originals.path("twin-4.jpg")


def test_what_no_keyword_lists_is_not_found_and_nobody_is_asked(
    world: World, originals: Originals
) -> None:
    for name in ("twin-77.jpg", "twin-3.png", "other.jpg"):
        with pytest.raises(NotFound):
            originals.path(name)
    for name in ("", ".", "../catalog.sqlite", ".hidden", "a/b.jpg"):
        with pytest.raises(InvalidRequest):
            originals.path(name)
    assert world.source.downloads == []


def test_only_so_many_lost_ones_are_fetched_at_a_time(world: World, tmp_path: Path) -> None:
    world.ready_pool(count=9)
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Slow(TwinSource):
        def download(self, image: ListedImage) -> bytes:
            begun.release()
            assert go_on.wait(30)
            return super().download(image)

    originals = originals_of(world, Slow(offers=world.source.offers))
    for number in range(9):
        (tmp_path / "images" / f"twin-{number}.jpg").unlink()
    with ThreadPoolExecutor(8) as threads:
        paths = [threads.submit(originals.path, f"twin-{number}.jpg") for number in range(8)]
        for _ in range(8):
            assert begun.acquire(timeout=30)
        with pytest.raises(Unavailable, match="being fetched"):
            originals.path("twin-8.jpg")
        go_on.set()
        assert len({path.result(30) for path in paths}) == 8
    assert originals.path("twin-8.jpg")


def test_rejected_and_replaced_originals_are_not_needed_and_all_others_are(
    world: World, tmp_path: Path
) -> None:
    world.offer("horse", 5)
    world.source.download = lambda image: (  # type: ignore[method-assign]
        original("x") if image.image.image_id != "twin-2" else b"<html>"
    )
    world.ask()
    world.deliver_all()
    folder = tmp_path / "images"
    for name in ("twin-3.png", "unknown-1.jpg"):
        (folder / name).write_bytes(original(""))
    world.store.sweep(SqliteOriginals(world.file).unused())
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["twin-0.jpg", "twin-1.jpg", "twin-3.jpg", "twin-4.jpg", "unknown-1.jpg"]


def test_an_original_that_its_source_sends_without_its_end_is_shown_and_asked_for_once(
    world: World, tmp_path: Path, originals: Originals
) -> None:
    asked = []

    def download(image: ListedImage) -> bytes:
        asked.append(image)
        return original("x")[:-2]

    world.source.download = download  # type: ignore[method-assign]
    stored = tmp_path / "images" / "twin-3.jpg"
    cut(stored)
    for _ in range(3):
        assert originals.path("twin-3.jpg") == str(stored)
    assert len(asked) == 1


def test_a_picture_that_is_taken_down_is_not_served_and_never_downloaded_again(
    world: World, originals: Originals, tmp_path: Path
) -> None:
    assert originals.path("twin-1.jpg")
    world.catalog.retention.withdraw([Withdrawal("twin-1", world.clock.now(), "")])
    world.clock.sleep(60)
    with pytest.raises(NotFound, match=r"twin-1\.jpg"):
        originals.path("twin-1.jpg")
    remove(tmp_path / "images" / "twin-1.jpg")
    with pytest.raises(NotFound, match=r"twin-1\.jpg"):
        originals.path("twin-1.jpg")
    assert world.source.downloads == []
    assert originals.path("twin-2.jpg")


def test_no_own_picture_that_is_taken_down_is_served_though_its_file_is_there(
    world: World, tmp_path: Path
) -> None:
    folder, collections = tmp_path / "Pictures", SqliteCollections(world.file)
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    collections.keep(Collection("Pictures", str(folder)))
    files = [
        Folders().read(str(folder), each, keeps_place=False)[0]
        for each in Folders().listed(str(folder))
        if isinstance(each, ListedFile)
    ]
    collections.put_files("Pictures", files)
    down, kept = (file.image_id for file in files)
    originals = originals_of(world, world.source)
    pictures = CollectionStore(world.store, collections, Folders())
    world.catalog.retention.withdraw([Withdrawal(down, world.clock.now(), "")])

    def ask(image_id: str) -> Response:
        scope = {"type": "http", "path_params": {"image_id": image_id}}
        return own_original(pictures, originals.withdrawn)(HttpRequest(scope))

    assert ask(kept).status_code == 200
    with pytest.raises(NotFound, match=down):
        ask(down)
    with pytest.raises(NotFound, match=down):
        originals.path(f"{down}.jpg")


def test_what_was_downloaded_for_a_list_is_served_by_no_name(
    world: World, originals: Originals
) -> None:
    name = downloaded_name("https://example.com/1.jpg")
    world.store.put(name, jpeg(1))
    with pytest.raises(NotFound, match=name):
        originals.path(name)
