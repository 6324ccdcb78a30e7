"""Buckets as collections: what is listed and what is told, whatever comes twice or late."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from imagesearch.domain.collections import Collection, Stamp
from imagesearch.domain.errors import InvalidRequest, NotFound, Overloaded, Unavailable
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.domain.images import Image
from imagesearch.domain.work import BucketChange, BucketEvent, CollectJob, EmbedBatch, ForgetJob
from imagesearch.usecases import collect
from tests.bucket_world import COLLECTION, BucketWorld


@pytest.fixture
def own(tmp_path: Path) -> BucketWorld:
    return BucketWorld(tmp_path)


def only(own: BucketWorld) -> Image:
    (image,) = own.images_found().values()
    return image


# Listing


def test_all_pictures_of_a_prefix_are_found(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.buckets.write("p/2019/Italy/2.JPG", "two")
    for name in ("p/", "p/notes.txt", "p/.hidden.jpg", "p/@eaDir/1.jpg", "p2/3.jpg", "4.jpg"):
        own.buckets.write(name, name)
    outcome = own.add()
    assert (outcome.found, outcome.embedded, outcome.waiting, outcome.problems) == (2, 2, 0, 0)
    assert outcome.is_over
    image = own.images_found()["2019/Italy/2.JPG"]
    assert image.collected is not None
    assert image.collected.collections == ("Pictures",)
    assert image.collected.folders == ("2019", "2019/Italy")
    assert image.collected.place is None
    assert image.page_url == "https://storage.cloud.google.com/ann/p/2019/Italy/2.JPG"
    assert image.object_name in own.stored()
    assert (
        own.world.store.get(image.object_name)
        == own.buckets.objects["ann"]["p/2019/Italy/2.JPG"][1]
    )


def test_a_bucket_of_several_pages_is_listed_a_message_a_page(own: BucketWorld) -> None:
    names = [f"p/{number:02}.jpg" for number in range(10)]
    for name in names:
        own.buckets.write(name, name)
    own.ask(COLLECTION)
    pages: list[str] = []
    while own.messages:
        message = own.messages.pop(0)
        report = own.deliver(message)
        if isinstance(message, CollectJob) and report and report.outcome == "listed":
            pages.append(message.after)
    assert pages == ["", "p/03.jpg"]  # and the last one is told by "up to date"
    outcome = own.collections.last_update("Pictures")
    assert (outcome.found, outcome.embedded, outcome.is_over) == (10, 10, True)
    own.check()


def test_what_is_as_it_was_is_not_read_again(own: BucketWorld) -> None:
    for number in range(9):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.add()
    own.buckets.reads.clear()
    outcome = own.add()
    assert (outcome.found, outcome.unchanged, outcome.embedded) == (9, 9, 0)
    assert own.buckets.reads == []
    assert own.world.encoder.images == 9


def test_what_came_went_and_was_overwritten_is_seen_by_the_next_listing(own: BucketWorld) -> None:
    for number in range(9):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.add()
    for number in (0, 4, 8):
        own.buckets.delete(f"p/{number}.jpg")
    own.buckets.write("p/3.jpg", "three")
    own.buckets.write("p/55.jpg", "new")
    outcome = own.add()
    assert (outcome.found, outcome.unchanged, outcome.embedded, outcome.gone) == (7, 5, 2, 3)
    own.check()


def test_all_of_a_bucket_may_go(own: BucketWorld) -> None:
    for number in range(9):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.add()
    for number in range(9):
        own.buckets.delete(f"p/{number}.jpg")
    assert own.add().gone == 9
    own.check()


def test_a_renamed_object_costs_no_embedding_and_copies_share_one_image(own: BucketWorld) -> None:
    own.buckets.write("p/a/1.jpg", "one")
    own.buckets.write("p/b/1.jpg", "one")
    assert own.add().embedded == 1
    assert only(own).collected.folders == ("a", "b")  # type: ignore[union-attr]
    own.buckets.delete("p/a/1.jpg")
    own.buckets.write("p/c/1.jpg", "one")
    outcome = own.add()
    assert (outcome.embedded, outcome.reused, outcome.gone) == (0, 1, 1)
    assert only(own).collected.folders == ("b", "c")  # type: ignore[union-attr]
    assert own.world.encoder.images == 1
    own.check()


def test_what_cannot_be_read_is_a_problem_each_and_is_not_read_again_while_its_bytes_are_the_same(
    own: BucketWorld,
) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.buckets.write("p/empty.jpg", "")
    own.buckets.write("p/large.jpg", "l" * 2000)
    assert own.add().problems == 2
    problems = [
        ("empty.jpg", "it has 0 bytes"),
        ("large.jpg", "it has 2005 bytes, of at most 1000"),
    ]
    assert own.collections.problems("Pictures", 9) == (problems, 2)
    own.buckets.reads.clear()
    own.add()
    assert own.buckets.reads == []
    own.buckets.write("p/empty.jpg", "not any more")
    assert own.add().problems == 1


def test_what_the_model_cannot_take_is_a_problem_and_has_no_preview(own: BucketWorld) -> None:
    png = io.BytesIO()
    Pillow.new("RGB", (16, 12)).save(png, "PNG")  # which the twin of the encoder takes for none
    own.buckets.objects["ann"]["p/1.jpg"] = (7, png.getvalue())
    outcome = own.add()
    assert (outcome.found, outcome.embedded, outcome.problems) == (1, 0, 1)
    assert own.collections.problems("Pictures", 9) == ([("1.jpg", "not an image")], 1)
    assert own.stored() == set()
    assert list(own.world.catalog.pools.pool_ids()) == []


def test_a_page_ends_early_where_reading_takes_long(own: BucketWorld) -> None:
    own.collect = replace(own.collect, page=100, page_seconds=10.0)
    own.follow = replace(own.follow)
    names = [f"p/{number:02}.jpg" for number in range(60)]
    for name in names:
        own.buckets.write(name, name)
    get = own.buckets.get

    def slow(bucket: str, name: str, generation: int, most: int) -> bytes:
        own.world.clock.elapsed_seconds += 1.0
        return get(bucket, name, generation, most)

    own.buckets.get = slow  # type: ignore[method-assign]
    own.ask(COLLECTION)
    first = own.messages.pop(0)
    report = own.deliver(first)
    assert report is not None
    assert report.read == 16
    own.deliver_all()
    assert own.collections.last_update("Pictures").found == 60
    assert len(own.buckets.reads) == 60
    own.check()


def test_no_more_pools_are_begun_than_a_new_keyword_may_wait_for(own: BucketWorld) -> None:
    own.collect = replace(own.collect, page=2)
    for number in range(10, 22):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.ask(COLLECTION)
    for _ in range(20):  # nothing is embedded meanwhile
        jobs = [each for each in own.messages if isinstance(each, CollectJob)]
        own.messages = [each for each in own.messages if not isinstance(each, CollectJob)]
        for job in jobs:
            own.deliver(job)
    assert len([each for each in own.messages if isinstance(each, EmbedBatch)]) == 3
    stand = own.collections.last_update("Pictures")
    assert (stand.found, stand.waiting, stand.embedded) == (6, 6, 0)
    own.deliver_all()
    own.check()


def test_the_scheduler_makes_the_collection_and_has_it_listed(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    for _ in range(2):
        own.deliver(CollectJob("Pictures", "gs://ann/p/", keeps_place=True))
        own.deliver_all()
    assert own.collections.all() == [replace(COLLECTION, keeps_place=True)]
    assert only(own).collected.place == (1.0, 2.0)  # type: ignore[union-attr]
    own.deliver(CollectJob("Pictures", "gs://ann/p/"))
    own.deliver_all()
    assert only(own).collected.place is None  # type: ignore[union-attr]
    assert own.world.encoder.images == 1
    with pytest.raises(InvalidRequest, match="got 'pictures'"):
        own.deliver(CollectJob("Pictures", "pictures"))


def test_another_bucket_takes_the_place_of_the_first(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.buckets.objects["bob"] = {"p/1.jpg": (5, own.buckets.objects["ann"]["p/1.jpg"][1] + b"2")}
    own.add()
    own.add(replace(COLLECTION, root="gs://bob/p"))
    assert only(own).page_url == "https://storage.cloud.google.com/bob/p/1.jpg"
    assert len(own.stored()) == 1


def test_imagesearch_s_own_bucket_is_no_collection(own: BucketWorld) -> None:
    own.images = replace(own.images, own_bucket="ann")
    own.collect = replace(own.collect, images=own.images)
    own.buckets.write("p/1.jpg", "one")
    own.ask(COLLECTION)
    with pytest.raises(InvalidRequest, match="another bucket than that of imagesearch's own"):
        own.deliver(own.messages.pop())
    assert "got gs://ann/p" in own.collections.last_update("Pictures").error
    assert own.collections.asked() == {}
    assert own.buckets.reads == []


def test_the_scheduler_makes_no_second_collection_of_a_bucket(own: BucketWorld) -> None:
    own.add()
    with pytest.raises(InvalidRequest, match="is 'Pictures', got 'Others'"):
        own.deliver(CollectJob("Others", "gs://ann/p/"))
    assert own.collections.all() == [COLLECTION]


def test_copies_that_are_new_together_are_counted_each(own: BucketWorld) -> None:
    for name in ("1", "2", "3"):
        own.buckets.write(f"p/{name}.jpg", "one")
    outcome = own.add()
    assert (outcome.found, outcome.embedded, outcome.reused) == (3, 1, 2)


def test_an_update_ends_while_what_events_begin_is_not_embedded(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.ask(COLLECTION)
    job = own.messages.pop()
    own.deliver(job)
    (batch,) = [each for each in own.messages if isinstance(each, EmbedBatch)]
    own.world.clock.sleep(60)
    own.buckets.write("p/2.jpg", "two")
    with pytest.raises(Overloaded):  # its image is in work, and stays so
        own.follow(own.buckets.events[-1])
    assert own.collections.asked() == {"Pictures": 1}
    own.deliver(batch)
    own.deliver(job)
    assert own.collections.asked() == {}


def test_a_bucket_that_is_not_there_ends_the_update_and_says_so(own: BucketWorld) -> None:
    own.ask(replace(COLLECTION, root="gs://none"))
    with pytest.raises(NotFound, match="the bucket none is not there"):
        own.deliver(own.messages.pop())
    assert own.collections.last_update("Pictures").error == "the bucket none is not there"
    assert own.collections.asked() == {}


def test_an_update_that_is_given_up_says_so_and_the_next_one_goes_on(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.ask(COLLECTION)
    job = own.messages.pop()
    assert isinstance(job, CollectJob)
    own.collect.give_up(job, "gave up after 15 attempts")
    assert own.collections.last_update("Pictures").error == "gave up after 15 attempts"
    assert own.collections.asked() == {}
    outcome = own.add()
    assert (outcome.embedded, outcome.error) == (1, "")


def test_what_was_taken_down_is_a_problem_and_is_not_stored(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.add()
    image_id = only(own).image_id
    own.world.forget(ForgetJob((image_id,)))
    own.buckets.write("p/2.jpg", "one")
    own.world.clock.sleep(60)
    outcome = own.add()
    assert own.images_found() == {}
    assert own.stored() == set()
    assert (outcome.problems, outcome.taken_down) == (2, 2)
    assert own.collections.problems("Pictures", 1) == ([("1.jpg", TAKEN_DOWN)], 2)
    own.world.forget(ForgetJob((image_id,), allows=True))
    own.world.clock.sleep(60)
    assert own.add().embedded == 1
    own.check()


# XMP files beside pictures


def xmp(title: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">'
        f'<rdf:Description photoshop:Headline="{title}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def titles(own: BucketWorld) -> dict[str, str]:
    found = own.images_found().items()
    return {path: image.collected.title for path, image in found if image.collected}


def test_xmp_files_beside_pictures_are_read_on_whichever_page_they_would_be(
    own: BucketWorld,
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e/d.jpg", "f.jpg", "f.png"):
        own.buckets.write(f"p/{name}", name)
    said = ("a.jpg.xmp", "b.xmp", "d.xmp", "e/d.XMP", "f.png.xmp", "f.xmp", "g.xmp")
    for name in said:
        own.buckets.put(f"p/{name}", xmp(name.replace(".", " ")))
    outcome = own.add()
    assert (outcome.found, outcome.embedded, outcome.problems) == (7, 7, 0)
    wanted = {
        **{"a.jpg": "a jpg xmp", "b.jpg": "b xmp", "c.jpg": "", "d.jpg": "d xmp"},
        **{"e/d.jpg": "e/d XMP", "f.jpg": "", "f.png": "f png xmp"},
    }
    assert titles(own) == wanted
    own.buckets.reads.clear()
    assert own.add().unchanged == 7
    assert own.buckets.reads == []

    own.buckets.put("p/d.xmp", xmp("another"))
    own.buckets.delete("p/b.xmp")
    own.buckets.put("p/c.jpg.xmp", xmp("new"))
    outcome = own.add()
    assert (outcome.unchanged, outcome.embedded, outcome.reused) == (4, 0, 3)
    assert titles(own) == {**wanted, "b.jpg": "", "c.jpg": "new", "d.jpg": "another"}
    assert own.world.encoder.images == 7


@pytest.mark.parametrize("is_picture_first", [True, False])
def test_an_xmp_file_is_read_whether_it_is_told_of_before_its_picture_or_after(
    own: BucketWorld, is_picture_first: bool
) -> None:
    own.add()
    own.buckets.write("p/1.jpg", "one")
    own.buckets.put("p/1.xmp", xmp("first"))
    if not is_picture_first:
        own.buckets.events.reverse()
    own.tell()
    assert titles(own) == {"1.jpg": "first"}
    own.buckets.put("p/1.xmp", xmp("second"))
    own.tell()
    assert titles(own) == {"1.jpg": "second"}
    own.buckets.write("p/1.jpg", "another picture")
    own.tell()
    assert titles(own) == {"1.jpg": "second"}
    own.buckets.delete("p/1.xmp")
    own.tell()
    assert titles(own) == {"1.jpg": ""}
    own.check()
    assert own.world.encoder.images == 2
    own.buckets.reads.clear()
    assert own.add().unchanged == 1
    assert own.buckets.reads == []


def test_an_xmp_file_without_a_picture_is_none(own: BucketWorld) -> None:
    own.add()
    own.buckets.put("p/1.xmp", xmp("alone"))
    assert own.follow(own.buckets.events[-1]).outcome == "no picture"


# Messages that come twice, late, or after a crash


def crashing(own: BucketWorld) -> Iterator[str]:
    """Have each step of what is done die once, in turn: yield the name of the one that will."""
    targets = [
        (own.collections, ("known_files", "put_files", "bury", "renewed", "advance", "answer")),
        (own.world.catalog.library, ("put", "forget", "embedded")),
        (own.world.catalog.pools, ("change", "forget")),
        (own.world.store, ("put", "delete")),
        (own, ("publish",)),
    ]
    for target, names in targets:
        for name in names:
            for is_after in (False, True):
                _die_once(target, name, is_after=is_after)
                yield f"{'after' if is_after else 'before'} {name}"
                vars(target).pop(name, None)


def _die_once(target: object, name: str, *, is_after: bool) -> None:
    do = getattr(target, name)

    def dying(*args: object, **more: object) -> object:
        delattr(target, name)  # the next one is as it was
        if is_after:
            do(*args, **more)
        raise Unavailable("it died")

    object.__setattr__(target, name, dying)


def test_an_update_that_dies_at_any_step_goes_on_with_the_message_that_comes_again(
    own: BucketWorld,
) -> None:
    for number in range(9):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.add()
    own.buckets.events.clear()
    for step, died in enumerate(crashing(own)):
        own.buckets.delete(f"p/{step % 9}.jpg")
        own.buckets.write(f"p/{step % 9}.jpg", f"{step}")
        own.buckets.write(f"p/x/{step % 5}.jpg", f"{step % 3}")
        own.buckets.write(f"p/gone/{step}.jpg", f"{step}")
        if step:
            own.buckets.delete(f"p/gone/{step - 1}.jpg")
        _ask_again(own)
        _deliver_in_spite(own)
        _check(own, died)


def _check(own: BucketWorld, died: str) -> None:
    for each in (own.collections, own.world.catalog.library, own.world.catalog.pools):
        vars(each).pop(died.split()[1], None)  # where nothing was done that could die
    own.world.clock.sleep(4000)  # until the work of whoever died counts as lost
    own.images.settle()
    own.deliver_all()
    own.images.settle()
    try:
        own.check()
    except AssertionError as error:
        raise AssertionError(f"it died {died}") from error


def _ask_again(own: BucketWorld) -> None:
    for _ in range(2):
        try:
            own.ask(COLLECTION)
        except Unavailable:
            continue
        return


def _deliver_in_spite(own: BucketWorld) -> None:
    """Deliver all; what fails comes again, as by Pub/Sub."""
    for attempt in range(1000):
        if not own.messages:
            return
        if attempt > 100:  # what was lost with who died counts as lost after an hour
            own.world.clock.sleep(60.0)
        message = own.messages.pop(0)
        try:
            own.deliver(message)
        except Unavailable:
            own.messages.append(message)
    raise AssertionError(f"it never ends: {own.messages}")


def test_events_that_die_at_any_step_come_again(own: BucketWorld) -> None:
    own.add()
    for step, died in enumerate(crashing(own)):
        own.buckets.write(f"p/{step % 4}.jpg", f"{step}")
        own.buckets.write(f"p/x/{step % 5}.jpg", f"{step % 3}")
        if step:
            own.buckets.delete(f"p/x/{(step - 1) % 5}.jpg")
        own.messages += own.buckets.events
        own.buckets.events = []
        _deliver_in_spite(own)
        _check(own, died)


def test_a_page_that_comes_twice_changes_nothing(own: BucketWorld) -> None:
    for number in range(9):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.ask(COLLECTION)
    jobs: list[CollectJob] = []
    while own.messages:
        message = own.messages.pop(0)
        if isinstance(message, CollectJob):
            jobs.append(message)
        own.deliver(message)
    outcome = own.collections.last_update("Pictures")
    for job in jobs:
        own.deliver(job)
    own.deliver_all()
    assert own.collections.last_update("Pictures") == outcome
    assert own.world.encoder.images == 9


def test_an_earlier_request_is_nothing_to_do_once_a_later_one_began(own: BucketWorld) -> None:
    for number in range(9):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.ask(COLLECTION)
    first = own.messages.pop()
    own.ask(COLLECTION)
    own.deliver(own.messages.pop(0))
    report = own.deliver(first)
    assert report is not None
    assert report.outcome == "nothing to do"
    own.deliver_all()
    assert own.collections.last_update("Pictures").found == 9
    own.check()


# Events


def test_an_upload_is_found_and_a_deleted_object_is_not(own: BucketWorld) -> None:
    own.add()
    own.buckets.write("p/1.jpg", "one")
    own.tell()
    assert own.images_found().keys() == {"1.jpg"}
    own.check()
    own.buckets.delete("p/1.jpg")
    own.tell()
    assert own.images_found() == {}
    own.check()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_two_events_of_an_overwrite_leave_the_new_picture_in_any_order(
    own: BucketWorld, order: tuple[int, int]
) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.add()
    own.buckets.events.clear()
    own.buckets.write("p/1.jpg", "two")
    own.buckets.events = [own.buckets.events[each] for each in order]
    own.tell()
    own.check()
    assert own.images_found().keys() == {"1.jpg"}


def test_an_archived_object_is_gone(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.add()
    own.buckets.delete("p/1.jpg")
    own.buckets.events = [replace(own.buckets.events[-1], change=BucketChange.ARCHIVED)]
    own.tell()
    own.check()


def test_a_deletion_that_is_told_before_its_upload_keeps_it_away(own: BucketWorld) -> None:
    own.add()
    own.buckets.write("p/1.jpg", "one")
    kept = own.buckets.objects["ann"]["p/1.jpg"]
    own.buckets.delete("p/1.jpg")
    own.buckets.objects["ann"]["p/1.jpg"] = kept  # should a replica have it a moment longer
    own.buckets.events.reverse()
    own.tell()
    assert own.images_found() == {}
    assert own.collections.known("Pictures", "1.jpg") is not None


def test_what_belongs_to_no_collection_is_said_and_read_by_nobody(own: BucketWorld) -> None:
    own.add()
    own.buckets.write("q/1.jpg", "one")
    own.buckets.write("p/notes.txt", "two")
    first, second = own.buckets.events
    assert own.follow(first).outcome == "of no collection"
    assert own.follow(second).outcome == "no picture"
    other = BucketEvent(BucketChange.OTHER, "ann", "p/1.jpg", 7)
    assert own.follow(other).outcome == "nothing to do"
    assert own.buckets.reads == []


def test_an_event_waits_until_its_picture_is_embedded(own: BucketWorld) -> None:
    own.add()
    own.buckets.write("p/1.jpg", "one")
    (event,) = own.buckets.events
    with pytest.raises(Overloaded, match="the picture is being embedded"):
        own.follow(event)
    with pytest.raises(Overloaded):
        own.follow(event)
    assert own.buckets.reads == ["p/1.jpg"]
    own.deliver(own.messages.pop())
    assert own.follow(event).outcome == "known already"
    own.check()


def test_no_more_pools_of_events_are_begun_than_a_new_keyword_may_wait_for(
    own: BucketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "_EVENTS_AT_ONCE", 2)
    own.add()
    for number in range(3):
        own.buckets.write(f"p/{number}.jpg", str(number))
    for event in own.buckets.events:
        with pytest.raises(Overloaded):
            own.follow(event)
    assert own.buckets.reads == ["p/0.jpg", "p/1.jpg"]
    own.tell()
    own.check()


def test_copies_whose_batches_come_in_the_wrong_order_are_in_the_folders_of_both(
    own: BucketWorld,
) -> None:
    """The batch of the first knows nothing of the second."""
    own.add()
    own.buckets.write("p/x/1.jpg", "one")
    own.buckets.write("p/a/1.jpg", "one")
    for event in own.buckets.events:
        with pytest.raises(Overloaded):
            own.follow(event)
    first, second = own.messages
    own.messages = []
    own.deliver(second)
    for event in own.buckets.events:
        own.deliver(event)
    own.deliver(first)
    own.deliver_all()
    own.check()


def test_what_goes_while_it_is_embedded_does_not_come_back(own: BucketWorld) -> None:
    own.add()
    own.buckets.write("p/1.jpg", "one")
    own.buckets.delete("p/1.jpg")
    came, went = own.buckets.events
    own.buckets.objects["ann"]["p/1.jpg"] = (came.generation, b"\xff\xd8\xffone\xff\xd9")
    with pytest.raises(Overloaded):
        own.follow(came)
    del own.buckets.objects["ann"]["p/1.jpg"]
    (batch,) = own.messages
    store, delete = own.world.store, own.world.store.delete
    # The embedder has read the preview before it goes.
    store.delete = lambda names: 0  # type: ignore[method-assign]
    with pytest.raises(Overloaded, match="what changed since is being embedded"):
        own.follow(went)
    store.delete = delete  # type: ignore[method-assign]
    own.deliver(batch)
    assert len(own.images_found()) == 1
    assert own.follow(went).outcome == "gone"
    own.messages.clear()
    own.check()


def test_a_file_that_comes_as_its_copy_goes_is_read_again_where_its_preview_went(
    own: BucketWorld,
) -> None:
    """A renamed object is a copy and a deletion, which two processes do at once."""
    own.buckets.write("p/1.jpg", "one")
    own.add()
    own.buckets.events.clear()
    own.buckets.write("p/2.jpg", "one")
    own.buckets.delete("p/1.jpg")
    came, went = own.buckets.events
    forget = own.world.catalog.library.forget

    def late(image_ids: list[str]) -> None:
        object.__delattr__(own.world.catalog.library, "forget")
        own.follow(came)  # by another process, between what this one read and what it does
        forget(image_ids)

    object.__setattr__(own.world.catalog.library, "forget", late)
    own.deliver(went)
    own.deliver_all()
    own.check()
    assert own.images_found().keys() == {"2.jpg"}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["p/a.jpg", "p/x/b.jpg", "p/c.jpg"]), st.sampled_from(["", "1", "2", "3"])
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES, data=st.data())
def test_events_in_any_order_and_several_times_leave_what_the_bucket_has(
    changes: list[tuple[str, str]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        own = BucketWorld(Path(folder))
        own.add()
        for name, text in changes:
            if text:
                own.buckets.write(name, text)
            elif name in own.buckets.objects["ann"]:
                own.buckets.delete(name)
        events = own.buckets.events * 2
        waiting = data.draw(st.permutations(events)) if events else []
        own.messages = list(waiting)
        lists_at = data.draw(st.integers(0, 20))
        for step in range(1000):
            if step == lists_at:
                own.ask(COLLECTION)
            if not own.messages:
                break
            own.deliver(own.messages.pop(data.draw(st.integers(0, min(3, len(own.messages) - 1)))))
        own.deliver_all()
        own.check()


# Forgetting


def test_a_removed_collection_leaves_nothing_and_the_bucket_as_it_was(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.buckets.write("p/2.jpg", "two")
    own.buckets.write("q/2.jpg", "two")
    own.add()
    own.add(Collection("Others", "gs://ann/q"))
    objects = dict(own.buckets.objects["ann"])
    assert own.remove("Pictures").images == 1
    assert only(own).collected.collections == ("Others",)  # type: ignore[union-attr]
    assert own.stored() == {only(own).object_name}
    assert own.collections.to_renew() == []
    assert own.remove("Others").originals == 1
    assert own.images_found() == {}
    assert own.stored() == set()
    assert own.buckets.objects["ann"] == objects
    assert own.add().embedded == 2


def test_a_large_collection_is_removed_by_several_deliveries(own: BucketWorld) -> None:
    own.collect = replace(own.collect, page=300)
    for number in range(401):
        own.buckets.write(f"p/{number}.jpg", str(number))
    own.add()
    own.remove = replace(own.remove, seconds=0.0)  # of 401 images, some at a time
    delete = own.world.store.delete

    def slow(names: list[str]) -> int:
        own.world.clock.elapsed_seconds += 1.0
        return delete(names)

    own.world.store.delete = slow  # type: ignore[method-assign, assignment]
    for left in (201, 1):
        with pytest.raises(Overloaded, match="some images are left"):
            own.remove("Pictures")
        assert len(own.stored()) == left
        assert own.collections.is_there("Pictures")
    with pytest.raises(Overloaded, match="some images are left"):
        own.remove("Pictures")
    own.remove("Pictures")
    assert not own.collections.is_there("Pictures")
    assert own.stored() == set()
    assert own.images_found() == {}


def test_what_is_being_embedded_of_a_removed_collection_is_waited_for(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.ask(COLLECTION)
    own.deliver(own.messages.pop())
    with pytest.raises(Overloaded):
        own.remove("Pictures")
    own.messages = [each for each in own.messages if isinstance(each, EmbedBatch)]
    own.deliver_all()
    own.remove("Pictures")
    assert own.images_found() == {}
    assert own.stored() == set()
    assert list(own.world.catalog.pools.pool_ids()) == []


def test_a_collection_that_is_removed_while_it_is_listed_leaves_nothing(own: BucketWorld) -> None:
    own.buckets.write("p/1.jpg", "one")
    own.ask(COLLECTION)
    listed = own.buckets.listed

    def removing(*args: object, **more: object) -> object:
        own.buckets.listed = listed  # type: ignore[method-assign]
        own.remove("Pictures")
        return listed(*args, **more)  # type: ignore[arg-type]

    own.buckets.listed = removing  # type: ignore[method-assign, assignment]
    with pytest.raises(NotFound, match="was removed"):
        own.deliver(own.messages.pop())
    own.deliver_all()
    assert own.images_found() == {}
    assert own.stored() == set()
    assert own.collections.to_renew() == []


def test_a_file_says_its_size_where_an_event_tells_none(own: BucketWorld) -> None:
    own.add()
    own.buckets.write("p/1.jpg", "one")
    size, generation = len(own.buckets.objects["ann"]["p/1.jpg"][1]), own.buckets.generation
    own.tell()
    assert own.collections.known_files("Pictures")["1.jpg"].stamp == Stamp(size, generation)
