"""Collections: folders of own pictures, brought into the catalog and kept in step with them."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from imagesearch.adapters.collections.sqlite import SqliteCollections
from imagesearch.adapters.stores.collections import CollectionStore
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.collections import Collection, Update
from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.forgetting import TAKEN_DOWN, Forgotten
from imagesearch.domain.images import PICTURE_SUFFIXES, Image
from imagesearch.domain.queries import Query, SearchRequest
from imagesearch.domain.work import ForgetJob
from imagesearch.folders import folder
from imagesearch.folders.folder import Folders
from imagesearch.local.embedded.services import StoredCollections
from imagesearch.settings import load_settings
from imagesearch.usecases import own_images
from imagesearch.usecases.forget import Forget
from imagesearch.usecases.ingest import Ingest
from imagesearch.usecases.stored_pools import StoredPools
from tests.takeout import album_json, sidecar_json, write_takeout
from tests.world import World

REVISION = "twin-1"


def picture(seed: int) -> bytes:
    """Return a small JPEG that is no other's."""
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


class Own:
    """A world with one folder of pictures, and what brings it up to date."""

    def __init__(self, tmp_path: Path) -> None:
        self.world = World(tmp_path / "data")
        self.folder = tmp_path / "Pictures"
        self.folder.mkdir()
        self.collections = SqliteCollections(self.world.file)
        self.collection = Collection("Pictures", str(self.folder))
        self.collections.keep(self.collection)
        self.told: list[Update] = []
        self.start()

    def start(self) -> None:
        """Begin as a process does that starts: what waited in memory is gone."""
        world = self.world
        world.store = CollectionStore(world.store, self.collections, Folders())  # type: ignore[assignment]
        world.restart()
        self.pools = StoredPools(world.catalog, world.outbox, world.clock, 3, 0.2)
        self.forget = Forget(world.catalog, world.store, world.cache, world.clock, self.collections)
        self.ingest = Ingest(
            world.catalog,
            self.collections,
            Folders(),
            world.cache,
            self.pools,
            world.clock,
            lambda: world.encoder.model_revision,
            self.forget.keep_down,
        )

    def write(self, path: str, seed: int) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(seed))
        return file

    def update(self, collection: Collection | None = None, *, steps: int = 10_000) -> Update:
        """Bring the collection up to date; messages are delivered while it waits."""

        def step() -> None:
            if self.world.outbox.messages:
                self.world.deliver()

        self.world.clock.during_sleep = [step] * steps
        try:
            return self.ingest(collection or self.collection, self.told.append)
        finally:
            self.world.clock.during_sleep = []

    def images(self) -> dict[str, Image]:
        """Return all images that can be found, by the path of their first file."""
        library = self.world.catalog.library
        nearest = library.nearest(self.world.encoder._direction(b"?"), 1000, REVISION)
        return {image.collected.file: image for image, _ in nearest.hits if image.collected}

    def problems(self) -> dict[str, str]:
        return dict(self.collections.problems("Pictures", 100)[0])


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path)


def test_all_pictures_of_a_folder_and_those_within_it_are_found(own: Own) -> None:
    own.write("1.jpg", 1)
    own.write("2019/Italy/2.jpg", 2)
    outcome = own.update()
    assert (outcome.found, outcome.embedded, outcome.problems) == (2, 2, 0)
    assert outcome.is_over
    images = own.images()
    assert images.keys() == {"1.jpg", "2019/Italy/2.jpg"}
    collected = images["2019/Italy/2.jpg"].collected
    assert collected is not None
    assert collected.folders == ("2019", "2019/Italy")
    assert collected.collections == ("Pictures",)
    assert (images["1.jpg"].width, images["1.jpg"].height) == (16, 12)


def test_what_is_as_it_was_is_not_read_again(own: Own) -> None:
    own.write("1.jpg", 1)
    own.update()
    (own.folder / "1.jpg").chmod(0)
    outcome = own.update()
    assert (outcome.unchanged, outcome.embedded, outcome.problems) == (1, 0, 0)
    assert own.world.encoder.images == 1


def test_an_album_that_is_renamed_or_comes_later_is_noticed_and_no_picture_read(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write("Trip/1.jpg", 1)
    own.update()
    monkeypatch.setattr(folder, "_read", kill)

    def albums() -> tuple[str, ...]:
        outcome = own.update()
        assert (outcome.embedded, outcome.problems) == (0, 0)
        collected = own.images()["Trip/1.jpg"].collected
        assert collected is not None
        return collected.albums

    said = own.folder / "Trip" / "metadata.json"
    for title in ("Norway", "Sweden"):
        said.write_text(json.dumps({"title": title, "date": {}}))
        assert albums() == (title,)
    said.unlink()
    assert albums() == ()
    assert own.update().unchanged == 1
    assert own.world.encoder.images == 1


def test_a_sidecar_of_the_same_size_and_an_older_time_is_noticed_and_no_picture_read(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write("1.jpg", 1)
    sidecar = own.folder / "1.jpg.json"
    for number, title in enumerate(("a goose", "a horse", "")):
        if title:
            sidecar.write_text(json.dumps({"description": title, "imageViews": "1"}))
            os.utime(sidecar, (1_000 - number, 1_000 - number))
        else:
            sidecar.unlink()
        outcome = own.update()
        assert outcome.problems == 0, own.problems()
        collected = own.images()["1.jpg"].collected
        assert collected is not None
        assert collected.title == title
        monkeypatch.setattr(folder, "_read", kill)


def test_a_renamed_and_a_moved_file_cost_no_embedding_and_are_found_where_they_are(
    own: Own,
) -> None:
    own.write("1.jpg", 1)
    own.write("2.jpg", 2)
    own.update()
    (own.folder / "1.jpg").rename(own.folder / "one.jpg")
    (own.folder / "sub").mkdir()
    (own.folder / "2.jpg").rename(own.folder / "sub" / "2.jpg")
    outcome = own.update()
    assert (outcome.embedded, outcome.reused, outcome.gone) == (0, 2, 2)
    images = own.images()
    assert images.keys() == {"one.jpg", "sub/2.jpg"}
    moved = images["sub/2.jpg"].collected
    assert moved is not None
    assert moved.folders == ("sub",)
    assert own.world.encoder.images == 2


def test_copies_share_one_image_which_is_in_the_folders_of_all(own: Own) -> None:
    own.write("a/1.jpg", 1)
    own.write("b/1.jpg", 1)
    outcome = own.update()
    assert (outcome.found, outcome.embedded) == (2, 1)
    (image,) = own.images().values()
    assert image.collected is not None
    assert image.collected.folders == ("a", "b")
    (own.folder / "a" / "1.jpg").unlink()
    own.update()
    (image,) = own.images().values()
    assert image.collected is not None
    assert (image.collected.file, image.collected.folders) == ("b/1.jpg", ("b",))


def test_an_edited_file_is_embedded_anew_and_its_earlier_picture_forgotten(own: Own) -> None:
    own.write("1.jpg", 1)
    own.update()
    before = own.images()["1.jpg"].image_id
    own.write("1.jpg", 2)
    outcome = own.update()
    assert outcome.embedded == 1
    assert [image.image_id for image in own.images().values()] != [before]
    assert len(own.images()) == 1


def test_a_deleted_file_leaves_the_index(own: Own) -> None:
    own.write("1.jpg", 1)
    own.write("2.jpg", 2)
    own.update()
    (own.folder / "1.jpg").unlink()
    assert own.update().gone == 1
    assert own.images().keys() == {"2.jpg"}


def test_an_update_that_was_broken_off_goes_on_and_embeds_nothing_twice(own: Own) -> None:
    for number in range(60):
        own.write(f"{number:02}.jpg", number)

    class KilledError(Exception):
        pass

    def kill() -> None:
        raise KilledError

    delivered = 0

    def step() -> None:
        nonlocal delivered
        own.world.deliver()
        delivered += 1
        if delivered == 2:
            kill()

    own.world.clock.during_sleep = [step] * 10
    with pytest.raises(KilledError):
        own.ingest(own.collection, own.told.append)
    done = own.world.encoder.images
    assert 0 < done < 60
    own.start()
    outcome = own.update()
    assert (outcome.embedded, outcome.unchanged) == (60 - done, done)
    assert own.world.encoder.images == 60
    assert len(own.images()) == 60


def test_no_pool_is_left_of_what_was_embedded(own: Own) -> None:
    own.write("1.jpg", 1)
    own.update()
    assert list(own.world.catalog.pools.pool_ids()) == []


def test_what_cannot_be_read_is_a_problem_each_and_the_others_are_found(own: Own) -> None:
    own.write("1.jpg", 1)
    (own.folder / "empty.jpg").touch()
    (own.folder / "page.jpg").write_text("<html>")
    (own.folder / "nowhere.jpg").symlink_to(own.folder / "gone.jpg")
    outcome = own.update()
    problems = {**own.problems(), **{each.path: each.problem for each in outcome.unreadable}}
    assert problems.keys() == {"empty.jpg", "page.jpg", "nowhere.jpg"}
    assert problems["empty.jpg"] == "it has 0 bytes"
    assert outcome.problems == 3
    assert own.images().keys() == {"1.jpg"}


def png() -> bytes:
    """Return a picture that the twin of the encoder takes for none."""
    file = io.BytesIO()
    Pillow.new("RGB", (16, 12)).save(file, "PNG")
    return file.getvalue()


def test_a_picture_that_cannot_be_decoded_is_a_problem_of_each_file_that_has_it(own: Own) -> None:
    for name in ("1.png", "2.png"):
        (own.folder / name).write_bytes(png())
    assert own.update().problems == 2
    assert own.problems() == dict.fromkeys(("1.png", "2.png"), "not an image")
    assert own.images() == {}


def test_a_copy_that_is_read_after_its_picture_was_rejected_is_a_problem_too(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_images, "PAGE", 1)
    for name in ("1.png", "2.png", "3.png"):
        (own.folder / name).write_bytes(png())
    own.write("4.jpg", 4)
    outcome = own.update()
    assert (outcome.embedded, outcome.reused, outcome.problems) == (1, 0, 3)
    assert own.problems() == dict.fromkeys(("1.png", "2.png", "3.png"), "not an image")


def test_copies_that_are_new_together_are_embedded_once_and_counted_each(own: Own) -> None:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        own.write(name, 1)
    outcome = own.update()
    assert (outcome.found, outcome.embedded, outcome.reused, outcome.waiting) == (3, 1, 2, 0)


def test_what_was_a_problem_is_read_again(own: Own) -> None:
    file = own.write("1.jpg", 1)
    stamp = file.stat()
    whole = file.read_bytes()
    file.write_bytes(b"x" * len(whole))
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    own.update()
    file.write_bytes(whole)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    outcome = own.update()
    assert (outcome.embedded, outcome.problems) == (1, 0)
    assert own.problems() == {}


def test_a_name_in_bytes_that_are_no_utf_8_is_a_problem(own: Own) -> None:
    own.write("1.jpg", 1)
    with open(os.fsencode(own.folder) + b"/caf\xe9.jpg", "wb") as file:
        file.write(picture(2))
    outcome = own.update()
    assert [each.problem for each in outcome.unreadable] == ["its name is no UTF-8"]
    assert own.images().keys() == {"1.jpg"}


def test_programs_leftovers_hidden_files_and_folders_without_media_are_skipped(own: Own) -> None:
    own.write("1.jpg", 1)
    for path in (".hidden.jpg", ".thumbs/1.jpg", "@eaDir/1.jpg", "quiet/1.jpg", "._1.jpg"):
        own.write(path, 2)
    (own.folder / "quiet" / ".nomedia").touch()
    (own.folder / "film.mp4").write_bytes(b"film")
    assert own.update().found == 1


def test_a_loop_of_links_ends_and_a_linked_folder_is_read_once(own: Own, tmp_path: Path) -> None:
    own.write("a/1.jpg", 1)
    (own.folder / "a" / "up").symlink_to(own.folder)
    (own.folder / "again").symlink_to(own.folder / "a")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "2.jpg").write_bytes(picture(2))
    (own.folder / "linked").symlink_to(elsewhere)
    own.update()
    assert own.images().keys() == {"a/1.jpg", "linked/2.jpg"}


def test_a_link_to_itself_is_one_problem(own: Own) -> None:
    own.write("1.jpg", 1)
    (own.folder / "self.jpg").symlink_to("self.jpg")
    (outcome,) = own.update().unreadable
    assert (outcome.path, outcome.is_folder) == ("self.jpg", False)


def test_a_folder_that_cannot_be_listed_keeps_what_was_read_of_it(own: Own) -> None:
    own.write("1.jpg", 1)
    own.write("sub/2.jpg", 2)
    own.update()

    class Unlistable(Folders):
        def listed(self, root):  # type: ignore[no-untyped-def]
            from imagesearch.domain.collections import Unreadable

            yield from (each for each in super().listed(root) if each.path == "1.jpg")
            yield Unreadable("sub", "permission denied", is_folder=True)

    own.ingest = replace(own.ingest, folders=Unlistable())
    outcome = own.update()
    assert (outcome.gone, outcome.problems) == (0, 1)
    assert own.images().keys() == {"1.jpg", "sub/2.jpg"}


def test_a_collection_whose_folder_cannot_be_listed_keeps_all(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write("1.jpg", 1)
    own.write("sub/2.jpg", 2)
    own.update()

    def fail(path: object) -> object:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", fail)
        outcome = own.update()
    assert (outcome.gone, outcome.problems) == (0, 1)
    assert outcome.unreadable[0].problem == "permission denied"
    assert own.images().keys() == {"1.jpg", "sub/2.jpg"}


def test_a_folder_whose_name_is_no_utf_8_is_a_problem_and_the_others_are_found(own: Own) -> None:
    own.write("1.jpg", 1)
    odd = os.fsencode(own.folder) + b"/caf\xe9"
    os.mkdir(odd)
    with open(odd + b"/2.jpg", "wb") as file:
        file.write(picture(2))
    outcome = own.update()
    (problem,) = outcome.unreadable
    assert (problem.path, problem.problem) == ("caf?", "its name is no UTF-8")
    assert own.images().keys() == {"1.jpg"}


def test_a_link_to_a_folder_that_is_away_keeps_what_was_read_of_it(
    own: Own, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "2.jpg").write_bytes(picture(2))
    own.write("1.jpg", 1)
    (own.folder / "disk").symlink_to(disk)
    own.update()
    disk.rename(tmp_path / "away")
    outcome = own.update()
    assert (outcome.gone, outcome.problems) == (0, 1)
    assert own.images().keys() == {"1.jpg", "disk/2.jpg"}


class KilledError(BaseException):
    """A process ends where it stands."""


def kill(*_: object) -> None:
    raise KilledError


def test_what_a_killed_update_did_not_say_of_images_is_said_by_the_next_process(own: Own) -> None:
    own.write("deleted.jpg", 1)
    own.write("edited.jpg", 2)
    own.update()
    (own.folder / "deleted.jpg").unlink()
    own.write("edited.jpg", 3)
    library = own.world.catalog.library
    for _ in range(2):  # at either of the two
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(type(library), "forget", kill)
            with pytest.raises(KilledError):
                own.update()
        own.start()
    own_images.renew(library, own.collections, own.collections.to_renew())
    own.update()
    assert {path: image.image_id for path, image in own.images().items()}.keys() == {"edited.jpg"}
    assert len(own.images()) == 1
    assert own.collections.to_renew() == []


def test_a_killed_removal_is_finished_by_the_next_process(own: Own) -> None:
    own.write("1.jpg", 1)
    own.update()
    library = own.world.catalog.library
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(library), "forget", kill)
        with pytest.raises(KilledError):
            own_images.forget(library, own.collections, own.collection)
    assert len(own.images()) == 1
    own_images.renew(library, own.collections, own.collections.to_renew())
    assert own.images() == {}


def test_a_collection_that_is_removed_while_it_is_updated_leaves_nothing(own: Own) -> None:
    for number in range(450):
        own.write(f"{number:03}.jpg", number)
    own.pools = replace(own.pools, at_once=1)
    own.ingest = replace(own.ingest, pools=own.pools)
    steps = 0

    def step() -> None:
        nonlocal steps
        own.world.deliver()
        steps += 1
        if steps == 3:
            own_images.forget(own.world.catalog.library, own.collections, own.collection)

    own.world.clock.during_sleep = [step] * 1000
    with pytest.raises(NotFound, match="was removed meanwhile"):
        own.ingest(own.collection, own.told.append)
    own.world.clock.during_sleep = []
    own.world.deliver_all()
    assert own.images() == {}


def test_a_copy_that_was_read_before_a_kill_is_said_of_its_image_afterwards(own: Own) -> None:
    own.write("a/1.jpg", 1)
    own.write("b/1.jpg", 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ingest, "_settle", kill)
        with pytest.raises(KilledError):
            own.update()
    own.start()
    own.update()
    (image,) = own.images().values()
    assert image.collected is not None
    assert image.collected.folders == ("a", "b")


def test_places_are_read_again_when_they_are_to_be_kept_and_forgotten_when_not(own: Own) -> None:
    own.write("1.jpg", 1)
    place = {"latitude": 46.0, "longitude": 11.0, "altitude": 0.0}
    (own.folder / "1.jpg.json").write_bytes(sidecar_json("1.jpg", geoData=place))
    own.update()

    def kept() -> object:
        (image,) = own.images().values()
        assert image.collected is not None
        return image.collected.place

    assert kept() is None
    for keeps_place, wanted in ((True, (46.0, 11.0)), (False, None)):
        collection = replace(own.collection, keeps_place=keeps_place)
        own.collections.keep(collection)
        assert own.update(collection).embedded == 0
        assert kept() == wanted


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"><rdf:Description xmp:Rating="RATING"'
    ' photoshop:Headline="TITLE" photoshop:City="Bergen"/></rdf:RDF></x:xmpmeta>'
)


def test_xmp_files_beside_pictures_are_read_and_their_changes_noticed(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("a.jpg", "b.JPG", "c.jpg", "c.png", "Bergen.jpg")):
        own.write(name, number)
    told = {"a.jpg.xmp": "one", "a.xmp": "no", "b.XMP": "two", "c.xmp": "no", "d.xmp": "no"}
    for number, (name, title) in enumerate(told.items()):
        (own.folder / name).write_text(XMP.replace("TITLE", title).replace("RATING", f"{number}"))

    def said() -> dict[str, tuple[str, int]]:
        assert own.update().problems == 0
        images = own.images()
        assert not any(image.tags for image in images.values())  # no town is kept
        return {
            path: (image.collected.title, image.collected.rating)
            for path, image in images.items()
            if image.collected and path != "Bergen.jpg"
        }

    before = {"a.jpg": ("one", 1), "b.JPG": ("two", 2), "c.jpg": ("", 0), "c.png": ("", 0)}
    assert said() == before
    monkeypatch.setattr(folder, "_read", kill)
    (own.folder / "b.XMP").write_text(XMP.replace("TITLE", "six").replace("RATING", "5"))
    assert said() == before | {"b.JPG": ("six", 5)}


def test_towns_are_tags_where_places_are_kept_and_forgotten_where_not(own: Own) -> None:
    own.write("a.jpg", 1)
    (own.folder / "a.xmp").write_text(XMP)
    for keeps_place in (False, True, False):
        own.collection = replace(own.collection, keeps_place=keeps_place)
        own.collections.keep(own.collection)
        own.update()
        assert own.images()["a.jpg"].tags == (("Bergen",) if keeps_place else ())
        files = own.collections.files_of(
            [each.image_id for each in own.collections.known_files("Pictures").values()]
        )
        assert ("Bergen" in repr(files)) == keeps_place


def test_an_original_is_had_only_as_it_was(own: Own) -> None:
    file = own.write("1.jpg", 1)
    own.update()
    (image,) = own.images().values()
    store = own.world.store
    assert isinstance(store, CollectionStore)
    assert store.path(image.image_id) == file
    own.write("1.jpg", 2)
    assert store.path(image.image_id) is None
    file.unlink()
    file.symlink_to("/etc/hostname")
    assert store.path(image.image_id) is None


def test_a_folder_that_is_gone_or_empty_changes_nothing(own: Own) -> None:
    own.write("1.jpg", 1)
    own.update()
    (own.folder / "1.jpg").unlink()
    with pytest.raises(InvalidRequest, match="Is its disk there"):
        own.update()
    own.folder.rmdir()
    with pytest.raises(NotFound, match="there is no folder"):
        own.update()
    assert own.images().keys() == {"1.jpg"}


def test_a_file_that_changes_after_it_was_read_is_not_embedded_as_what_it_was(own: Own) -> None:
    own.write("1.jpg", 1)
    own.ingest = replace(own.ingest, cache=own.world.cache)

    def step() -> None:
        own.world.cache.clear()  # type: ignore[attr-defined]
        own.write("1.jpg", 2)
        own.world.deliver()

    own.world.clock.during_sleep = [step] * 100
    own.ingest(own.collection, own.told.append)
    assert own.images() == {}
    own.world.clock.during_sleep = []
    assert own.update().embedded == 1


def test_two_collections_share_the_images_that_both_have(own: Own, tmp_path: Path) -> None:
    own.write("sub/1.jpg", 1)
    own.write("2.jpg", 2)
    own.update()
    inner = Collection("Sub", str(own.folder / "sub"))
    own.collections.keep(inner)
    outcome = own.update(inner)
    assert (outcome.embedded, outcome.reused) == (0, 1)
    found = {image.collected.collections for image in own.images().values() if image.collected}
    assert found == {("Pictures", "Sub"), ("Pictures",)}
    library = own.world.catalog.library
    assert len(own_images.forget(library, own.collections, own.collection)) == 1
    (left,) = own.images().values()
    assert left.collected is not None
    assert left.collected.collections == ("Sub",)
    assert len(own_images.forget(library, own.collections, inner)) == 1
    assert own.images() == {}


def test_a_folder_is_one_of_the_collection_that_is_asked_for(own: Own, tmp_path: Path) -> None:
    other = Collection("Other", str(tmp_path / "Other"))
    own.collections.keep(other)
    own.write("2018/1.jpg", 1)
    own.write("2018/Italy/2.jpg", 2)
    (tmp_path / "Other" / "2019").mkdir(parents=True)
    shutil.copy(own.folder / "2018" / "1.jpg", tmp_path / "Other" / "2019" / "copy.jpg")
    own.update()
    own.update(other)

    def found(collection: str, folder: str) -> int:
        filters = {"collection": collection, "folder": folder}
        request = SearchRequest("", Query.of_text("?"), scope="catalog", filters=filters)
        return len(own.world.search(request).hits or ())

    assert found("Pictures", "2018") == 2
    assert found("pictures", "2018/ITALY") == 1
    assert found("Other", "2019") == 1
    assert found("Pictures", "2019") == 0
    assert found("Other", "2018") == 0


def test_a_folder_that_was_moved_is_the_same_collection_and_nothing_is_read(
    own: Own, tmp_path: Path
) -> None:
    own.write("1.jpg", 1)
    own.update()
    moved = tmp_path / "Moved"
    shutil.move(own.folder, moved)
    collection = Collection("Pictures", str(moved))
    own.collections.keep(collection)
    outcome = own.update(collection)
    assert (outcome.unchanged, outcome.embedded, outcome.gone) == (1, 0, 0)


def test_a_search_names_a_collection_and_needs_no_keyword(own: Own) -> None:
    own.write("1.jpg", 1)
    own.update()
    own.world.ready_pool("horse", 5)

    def hits(**filters: str) -> list[str]:
        request = SearchRequest(
            "", Query.of_text("anything"), scope="catalog", filters=filters, top_k=50
        )
        return [hit.image.image_id for hit in own.world.search(request).hits or ()]

    assert len(hits()) == 6
    assert len(hits(collection="pictures")) == 1
    assert hits(collection="Other") == []
    assert hits(folder="2019") == []


def test_what_a_picture_and_its_album_are_called_is_searched_by_words(own: Own) -> None:
    own.write("1.jpg", 1)
    for number in range(2, 9):
        own.write(f"{number}.jpg", number)
    (own.folder / "1.jpg.json").write_bytes(
        sidecar_json("1.jpg", description="Grandmother laughs at the geese")
    )
    (own.folder / "metadata.json").write_bytes(album_json("Lakeside weekend"))
    own.update()
    request = SearchRequest("", Query.of_text("geese"), scope="catalog", top_k=3)
    first, *_ = own.world.search(request).hits or ()
    assert first.image.collected is not None
    assert first.image.collected.file == "1.jpg"
    assert "tags" in first.reasons
    assert first.image.tags == ("Lakeside weekend",)
    assert first.image.collected.albums == ("Lakeside weekend",)


def test_a_full_disk_ends_the_update_and_the_next_one_goes_on(own: Own) -> None:
    for number in range(10):
        own.write(f"{number}.jpg", number)

    class FullError(Unavailable):
        pass

    def full() -> None:
        raise FullError("the catalog catalog.sqlite failed: database or disk is full")

    full_catalog = replace(own.world.catalog)
    object.__setattr__(full_catalog, "check", full)
    ingest, own.ingest = own.ingest, replace(own.ingest, catalog=full_catalog)
    with pytest.raises(Unavailable, match="disk is full"):
        own.update()
    own.ingest = ingest
    assert own.update().is_over
    assert len(own.images()) == 10


def is_picture(path: str) -> bool:
    return Path(path).suffix.lower() in PICTURE_SUFFIXES


def test_each_picture_of_a_takeout_has_the_facts_of_its_own_sidecar(
    own: Own,
) -> None:
    titles = write_takeout(own.folder)
    own.update()
    files = own.collections.files_of(
        {file.image_id for file in own.collections.known_files("Pictures").values()} - {""}
    )
    read = {file.path: file.facts.title for its in files.values() for _, file in its}
    pictures = {path: title for path, title in titles.items() if is_picture(path)}
    kept = {path: title for path, title in pictures.items() if "Trash" not in path}
    assert len(kept) > 20
    assert read == kept
    assert own.problems() == {}


def test_a_takeout_that_was_unpacked_zip_by_zip_is_one(own: Own) -> None:
    trip = "Takeout/Google Photos/Trip"
    own.write(f"t1/{trip}/IMG_1.jpg", 1)
    own.write(f"t2/{trip}/IMG_2.jpg", 2)
    for path, data in (
        (f"t2/{trip}/IMG_1.jpg.json", sidecar_json("IMG_1.jpg", description="a goose")),
        (f"t3/{trip}/IMG_2.jpg.json", sidecar_json("IMG_2.jpg", description="a horse")),
        (f"t3/{trip}/metadata.json", album_json("Norway")),
    ):
        (own.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (own.folder / path).write_bytes(data)
    assert own.update().problems == 0
    said = {
        path: (image.collected.title, image.collected.albums)
        for path, image in own.images().items()
        if image.collected
    }
    assert said == {
        f"t1/{trip}/IMG_1.jpg": ("a goose", ("Norway",)),
        f"t2/{trip}/IMG_2.jpg": ("a horse", ("Norway",)),
    }
    assert own.update().unchanged == 2


@pytest.mark.parametrize("fact", ["collection", "folder", "album", "camera"])
def test_no_image_of_a_source_has_a_fact_of_collections(own: Own, fact: str) -> None:
    own.world.ready_pool("horse", 5)
    request = SearchRequest("", Query.of_text("?"), scope="catalog", filters={fact: "x"})
    assert own.world.search(request).hits == ()


def test_an_own_picture_that_is_taken_down_stays_away_and_its_file_where_it_is(own: Own) -> None:
    first = own.write("1.jpg", 1)
    own.write("2.jpg", 2)
    own.update()
    images = own.images()
    image_id = images["1.jpg"].image_id
    world = own.world
    forget = Forget(world.catalog, world.store, world.cache, world.clock)
    world.store.put(f"{image_id}.jpg", picture(1))  # its preview
    assert forget(ForgetJob((image_id,))) == Forgotten(images=1, originals=1)
    assert own.images().keys() == {"2.jpg"}
    assert own.update().embedded == 0
    own.write("copy.jpg", 1)
    os.utime(first)
    outcome = own.update()
    assert (outcome.embedded, outcome.problems) == (0, 2)
    assert own.problems() == {"1.jpg": TAKEN_DOWN, "copy.jpg": TAKEN_DOWN}
    assert own.images().keys() == {"2.jpg"}
    forget(ForgetJob((image_id,), allows=True))
    world.clock.sleep(60)
    outcome = own.update()
    assert (outcome.embedded, outcome.problems) == (1, 0)
    assert own.images().keys() == {"1.jpg", "2.jpg"}


def test_a_picture_that_is_taken_down_counts_no_more_at_once_and_is_not_read_again(
    own: Own,
) -> None:
    for number in range(4):
        own.write(f"{number}.jpg", number)
    own.write("copy.jpg", 0)
    own.update()
    world, image_id = own.world, own.images()["0.jpg"].image_id
    forget = Forget(world.catalog, world.store, world.cache, world.clock, own.collections)
    forget(ForgetJob((image_id,)))
    (count,) = own.collections.counts()
    counted = (count.pictures, count.images, count.problems, count.taken_down)
    assert counted == (3, 3, 0, 2)
    assert own.problems() == {"0.jpg": TAKEN_DOWN, "copy.jpg": TAKEN_DOWN}
    for name in ("0.jpg", "copy.jpg"):  # which nobody could read now
        status = (own.folder / name).stat()
        (own.folder / name).write_bytes(bytes(status.st_size))
        os.utime(own.folder / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    outcome = own.update()
    assert (outcome.found, outcome.unchanged, outcome.taken_down, outcome.problems) == (5, 3, 2, 2)
    assert own.problems() == {"0.jpg": TAKEN_DOWN, "copy.jpg": TAKEN_DOWN}


def test_what_an_earlier_version_took_down_is_noted_by_an_update_and_by_the_sweep(
    own: Own,
) -> None:
    own.write("0.jpg", 0)
    own.write("1.jpg", 1)
    own.update()
    world, image_id = own.world, own.images()["0.jpg"].image_id
    Forget(world.catalog, world.store, world.cache, world.clock)(ForgetJob((image_id,)))
    assert own.problems() == {}
    outcome = own.update()
    assert (outcome.unchanged, outcome.taken_down) == (1, 1)
    assert own.problems() == {"0.jpg": TAKEN_DOWN}
    own.collections.note_problems({image_id: ""})
    Forget(world.catalog, world.store, world.cache, world.clock, own.collections).again()
    assert own.problems() == {"0.jpg": TAKEN_DOWN}


def test_own_pictures_are_never_forgotten_because_nobody_used_them(own: Own) -> None:
    own.write("1.jpg", 1)
    own.update()
    world = own.world
    query = Query.of_text("?")
    world.search(SearchRequest("", query, top_k=9, wait_seconds=0.0, scope="catalog"))
    world.clock.sleep(1000 * 86_400)
    forget = Forget(world.catalog, world.store, world.cache, world.clock)
    assert forget(ForgetJob(unused_days=1)) == Forgotten()
    assert own.images().keys() == {"1.jpg"}


def test_a_collection_is_forgotten_with_its_previews_and_no_file_of_it(
    own: Own, tmp_path: Path
) -> None:
    file = own.write("1.jpg", 1)
    own.update()
    (image,) = own.images().values()
    settings = load_settings(data_dir=str(tmp_path / "data"))
    FolderStore(tmp_path / "data" / "images").put(image.object_name, picture(1))
    version = own.world.catalog.retention.version()
    with closing(StoredCollections(settings)) as stored:
        assert stored.forget(own.collection) == 1
    assert own.images() == {}
    assert not list((tmp_path / "data" / "images").iterdir())
    assert file.exists()
    assert own.world.catalog.retention.version() != version
