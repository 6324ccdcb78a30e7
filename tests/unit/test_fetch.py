"""The fetcher: idempotent, batch by batch, one bad image costing nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from imagesearch.domain.errors import (
    InvalidRequest,
    Overloaded,
    RejectedImage,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.images import ListedImage, Listing
from imagesearch.domain.pools import PoolState, SourceOptions
from imagesearch.domain.work import BatchImage, EmbedBatch, FetchJob
from tests.world import TwinSource, World, listed, original


def job_of(world: World, count: int) -> FetchJob:
    world.offer("horse", count)
    world.ask()
    job = world.take()
    assert isinstance(job, FetchJob)
    return job


def state(world: World, job: FetchJob) -> PoolState:
    pool = world.catalog.pool(job.pool_id)
    assert pool is not None
    return pool.current.state


def test_a_fetch_stores_every_image_and_then_waits_for_the_embeddings(world: World) -> None:
    job = job_of(world, 5)
    report = world.fetch(job)
    assert (report.stored, report.reused, report.rejected) == (5, 0, 0)
    assert world.store.get("twin-4.jpg") == original("twin-4")
    assert state(world, job) is PoolState.EMBEDDING


def test_a_batch_is_published_while_later_downloads_are_still_running(world: World) -> None:
    """The fetcher does not wait for its last download."""
    release = threading.Event()

    class SlowLast(TwinSource):
        def download(self, image: ListedImage) -> bytes:
            if image.image.image_id == "twin-39":
                assert release.wait(5)
            return super().download(image)

    slow = SlowLast()
    world.source = slow
    world.assemble()
    job = job_of(world, 40)
    thread = threading.Thread(target=world.fetch, args=(job,))
    thread.start()
    try:
        for _ in range(500):
            if len(world.outbox.messages) == 2:
                break
            threading.Event().wait(0.01)
        assert sorted(len(one.images) for one in published(world)) == [8, 16]
    finally:
        release.set()
        thread.join()
    assert sorted(len(one.images) for one in published(world)) == [8, 16, 16]


def published(world: World) -> list[EmbedBatch]:
    """Return the batches in the outbox."""
    return [one for one in world.outbox.messages if isinstance(one, EmbedBatch)]


def _number(image: BatchImage) -> int:
    return int(image.image_id.removeprefix("twin-"))


def test_a_small_first_batch_is_searchable_before_any_other_is_embedded(world: World) -> None:
    """The first images of a new keyword need not wait for the embeddings of 31 others."""
    job = job_of(world, 200)
    world.fetch(job)
    batches = sorted(published(world), key=lambda one: _number(one.images[0]))
    assert [len(one.images) for one in batches] == [8, 16, 32, 32, 32, 32, 32, 16]
    world.deliver(batches[0])
    answer = world.ask(top_k=200)
    assert answer.hits is not None
    assert {hit.image.image_id for hit in answer.hits} == {f"twin-{i}" for i in range(8)}
    assert not answer.complete


def test_batches_that_another_version_has_cut_differently_do_no_harm(world: World) -> None:
    """A message may be older than the code: here of the version that cut 32 images at a time."""
    job = job_of(world, 40)
    world.fetch(job)
    older = EmbedBatch(
        pool_id=job.pool_id,
        generation=1,
        images=tuple(
            BatchImage(image_id=f"twin-{i}", object_name=f"twin-{i}.jpg") for i in range(32)
        ),
    )
    world.deliver()
    world.deliver(older)
    world.deliver_all()
    world.deliver(older)
    answer = world.ask(top_k=200)
    assert answer.complete
    assert answer.hits is not None
    assert len(answer.hits) == 40
    assert world.encoder.images == 40, "none was embedded twice"


def test_downloads_begin_with_the_first_page_of_the_listing(world: World) -> None:
    begun = threading.Event()

    class Paging(TwinSource):
        def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
            yield from super().pages(keyword, options)
            assert begun.wait(5), "the last page is not waited for"

        def download(self, image: ListedImage) -> bytes:
            begun.set()
            return super().download(image)

    world.source = Paging()
    world.assemble()
    assert world.fetch(job_of(world, 5)).stored == 5
    assert sorted(world.source.downloads) == [f"twin-{i}" for i in range(5)]


def test_a_listing_that_another_run_recorded_first_is_the_one_that_is_fetched(
    world: World,
) -> None:
    """What was begun of the own listing is stored, and listed by nobody."""

    class Overtaken(TwinSource):
        def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
            yield from super().pages(keyword, options)
            other = Listing((listed(1), listed(7)))
            world.catalog.record_listing(job.pool_id, 1, other, world.clock.now())

    world.source = Overtaken()
    world.assemble()
    job = job_of(world, 3)
    assert world.fetch(job).stored == 2
    world.deliver_all()
    answer = world.ask()
    assert answer.complete
    assert answer.hits is not None
    assert {hit.image.image_id for hit in answer.hits} == {"twin-1", "twin-7"}


def test_delivering_a_job_twice_fetches_nothing_twice(world: World) -> None:
    job = job_of(world, 40)
    world.fetch(job)
    world.deliver_all()
    downloads = list(world.source.downloads)
    assert world.fetch(job).outcome == "nothing to do"
    assert world.source.downloads == downloads
    assert world.outbox.messages == []


def test_a_run_after_a_crash_downloads_only_what_is_missing(world: World) -> None:
    job = job_of(world, 5)
    world.source.download_errors["twin-3"] = Unavailable("time-out")
    with pytest.raises(Unavailable):
        world.fetch(job)
    world.source.download_errors.clear()
    world.source.downloads.clear()
    report = world.fetch(job)
    assert world.source.downloads == ["twin-3"]
    assert (report.stored, report.reused) == (1, 4)
    world.deliver_all()
    assert world.ask().complete


def test_a_later_run_downloads_over_fresh_links(world: World) -> None:
    """Pixabay's links end after 24 hours, the demo gallery's with its process."""
    used: list[str] = []

    class Links(TwinSource):
        def download(self, image: ListedImage) -> bytes:
            used.append(image.download_url)
            return super().download(image)

    world.source = Links()
    world.assemble()
    job = job_of(world, 2)
    world.source.download_errors["twin-1"] = Unavailable("killed here")
    with pytest.raises(Unavailable):
        world.fetch(job)
    world.source.download_errors.clear()
    renewed = [replace(listed(i), download_url=f"https://new/{i}") for i in range(2)]
    world.source.offers["horse"] = Listing(tuple(renewed))
    world.fetch(job)
    assert used[-1] == "https://new/1"


def test_a_run_that_has_nothing_to_download_leaves_the_source_alone(world: World) -> None:
    job = job_of(world, 5)
    world.fetch(job)
    world.outbox.messages.clear()  # all batches were lost
    world.fetch(job)
    assert world.source.listings == 1
    world.deliver_all()
    assert world.ask().complete


def test_the_first_listing_of_a_generation_stays(world: World) -> None:
    job = job_of(world, 5)
    world.fetch(job)
    world.offer("horse", 9)
    world.fetch(job)
    pool = world.catalog.pool(job.pool_id)
    assert pool is not None
    assert pool.current.images == 5


def test_an_image_stored_for_another_keyword_is_not_downloaded_again(world: World) -> None:
    world.ready_pool("horse", 5)
    world.source.downloads.clear()
    world.ready_pool("pony", 6)
    assert world.source.downloads == ["twin-5"]
    assert world.encoder.images == 6


def test_one_rejected_image_costs_the_others_nothing(world: World) -> None:
    job = job_of(world, 5)
    world.source.download_errors["twin-2"] = RejectedImage("it has 30 MB, more than 20")
    assert world.fetch(job).rejected == 1
    world.deliver_all()
    pool = world.ask().pool
    assert pool is not None
    assert (pool.current.embedded, pool.current.rejected) == (4, 1)
    assert pool.current.state is PoolState.READY


def test_a_source_that_refuses_every_image_is_at_fault_itself(world: World) -> None:
    """A host that answers 403 or HTML to all must not leave a ready, empty pool for a day."""
    job = job_of(world, 40)
    for i in range(40):
        world.source.download_errors[f"twin-{i}"] = RejectedImage("the host answered 403")
    for last_attempt in (False, True):
        with pytest.raises(Unavailable, match="not one of 40 images could be used"):
            world.fetch(job, last_attempt=last_attempt)
    world.source.download_errors.clear()
    world.fetch(job)
    world.deliver_all()
    assert world.ask().complete


def test_a_listing_of_which_no_image_can_be_used_is_no_empty_pool(world: World) -> None:
    """The source has images for the keyword, so that "none" must not be remembered for a day."""
    world.offer("horse", 0, **{"twin-hit-1": "id must be a whole number", "twin-2": "no URL"})
    world.ask()
    job = world.take()
    assert isinstance(job, FetchJob)
    why = "not one of 2 images could be used: id must be a whole number"
    for last_attempt in (False, True):
        with pytest.raises(Unavailable, match=why):
            world.fetch(job, last_attempt=last_attempt)
    world.give_up(job.pool_id, job.generation, "gave up")
    with pytest.raises(Unavailable, match=why):
        world.ask()
    world.clock.sleep(61)
    world.offer("horse", 2)
    world.ask()
    world.deliver_all()
    assert world.ask().complete


def test_images_refused_before_the_first_good_one_are_rejected_with_it(world: World) -> None:
    job = job_of(world, 40)
    for i in range(32):
        world.source.download_errors[f"twin-{i}"] = RejectedImage("it is no image")
    world.fetch(job)
    world.deliver_all()
    pool = world.ask().pool
    assert pool is not None
    assert (pool.current.embedded, pool.current.rejected) == (8, 32)


def test_a_host_that_is_down_is_not_asked_for_every_image(world: World) -> None:
    job = job_of(world, 200)
    for i in range(200):
        world.source.download_errors[f"twin-{i}"] = Unavailable("time-out")
    world.source.failing_seconds = 0.02  # as long as a busy machine takes to see the failure
    with pytest.raises(Unavailable, match="200 images could not be downloaded"):
        world.fetch(job)
    assert len(world.source.downloads) < 20, "4 connections, so 4 failures in a row end it"


def test_a_fetcher_that_is_stopped_starts_no_more_downloads(world: World) -> None:
    job = job_of(world, 200)
    world.fetch.stop()
    with pytest.raises(Unavailable):
        world.fetch(job)
    assert len(world.source.downloads) < 20


def test_a_fetcher_that_is_stopped_gives_up_no_image_even_on_the_last_attempt(world: World) -> None:
    job = job_of(world, 40)
    world.source.download_errors["twin-39"] = Unavailable("time-out")
    with pytest.raises(Unavailable):
        world.fetch(job)  # the others are stored now
    world.fetch.stop()
    with pytest.raises(Unavailable):
        world.fetch(job, last_attempt=True)
    world.deliver_all()
    pool = world.ask().pool
    assert pool is not None
    assert pool.current.rejected == 0


def test_hits_the_source_rejected_are_counted_with_the_images(world: World) -> None:
    world.offer("horse", 4, **{"twin-77": "it has no webformatURL"})
    world.ask()
    world.deliver_all()
    pool = world.ask().pool
    assert pool is not None
    assert (pool.current.images, pool.current.embedded, pool.current.rejected) == (5, 4, 1)


def test_an_image_that_cannot_be_had_now_nacks_after_the_others_went_on(world: World) -> None:
    job = job_of(world, 5)
    world.source.download_errors["twin-2"] = Unavailable("time-out")
    with pytest.raises(Unavailable, match="1 images could not be downloaded: time-out"):
        world.fetch(job)
    world.deliver_all()
    answer = world.ask(top_k=10)
    assert answer.hits is not None
    assert len(answer.hits) == 4
    assert not answer.complete


def test_on_the_last_attempt_images_that_cannot_be_had_are_rejected(world: World) -> None:
    job = job_of(world, 5)
    world.source.download_errors["twin-2"] = Unavailable("time-out")
    world.fetch(job, last_attempt=True)
    world.deliver_all()
    assert world.ask().complete


def test_a_source_that_is_down_never_makes_a_ready_empty_pool(world: World) -> None:
    job = job_of(world, 3)
    for i in range(3):
        world.source.download_errors[f"twin-{i}"] = Unavailable("connection refused")
    with pytest.raises(Unavailable, match="connection refused"):
        world.fetch(job, last_attempt=True)
    world.give_up(job.pool_id, job.generation, "gave up after 5 attempts")
    with pytest.raises(Unavailable, match="connection refused"):
        world.ask()


@pytest.mark.parametrize("error", [Unavailable("down"), Overloaded("quota")])
def test_a_listing_that_fails_nacks_and_the_reason_is_kept(world: World, error: Exception) -> None:
    job = job_of(world, 3)
    world.source.listing_errors.append(error)
    with pytest.raises(type(error)):
        world.fetch(job)
    world.give_up(job.pool_id, job.generation, "gave up")
    pool = world.catalog.pool(job.pool_id)
    assert pool is not None
    assert pool.current.reason == str(error)


@pytest.mark.parametrize("error", [SourceRefused("bad key"), InvalidRequest("q is too long")])
def test_a_source_that_refuses_fails_the_pool_at_once(world: World, error: Exception) -> None:
    job = job_of(world, 3)
    world.source.listing_errors.append(error)
    assert world.fetch(job).outcome == "refused by the source"
    assert state(world, job) is PoolState.FAILED


def test_a_job_of_an_older_generation_does_nothing(world: World) -> None:
    job = job_of(world, 3)
    world.give_up(job.pool_id, job.generation, "lost")
    world.clock.sleep(61)
    world.ask()
    listings = world.source.listings
    assert world.fetch(job).outcome == "nothing to do"
    assert world.source.listings == listings


def test_a_job_of_an_unknown_pool_does_nothing(world: World) -> None:
    job = replace(job_of(world, 3), pool_id="f" * 32)
    assert world.fetch(job).outcome == "nothing to do"


def test_a_store_that_is_down_nacks_the_job(world: World) -> None:
    class FullDisk:
        def put(self, name: str, data: bytes) -> None:
            raise Unavailable("no space left on device")

        def get(self, name: str) -> bytes:
            raise AssertionError(name)

        def existing(self, names: object) -> set[str]:
            return set()

    job = job_of(world, 3)
    world.store = FullDisk()  # type: ignore[assignment]  # a twin of the same port
    world.assemble()
    with pytest.raises(Unavailable, match="no space left"):
        world.fetch(job, last_attempt=True)


def test_an_empty_listing_publishes_nothing(world: World) -> None:
    world.source.offers["horse"] = Listing(())
    world.ask()
    world.deliver()
    assert world.outbox.messages == []
