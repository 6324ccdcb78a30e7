"""What every `Catalog` does, in the port's words; what only SQLite does is in `test_sqlite.py`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pytest

from imagesearch.domain.errors import Bug, InvalidRequest
from imagesearch.domain.filters import where_of
from imagesearch.domain.filters.declaration import folder_in
from imagesearch.domain.forgetting import Withdrawal
from imagesearch.domain.images import Collected, Credit, Embedding, Image, ListedImage, Listing
from imagesearch.domain.pixels import PixelFacts, colour_bit
from imagesearch.domain.pool_life import MAX_REJECTION_CHARACTERS
from imagesearch.domain.pools import (
    Pool,
    PoolKey,
    PoolPolicy,
    PoolRequest,
    PoolState,
    SourceOptions,
)
from imagesearch.domain.tag_words import words_to_look_for
from imagesearch.ports import Coverage
from imagesearch.usecases.pools import Catalog

OpenCatalog = Callable[[], Catalog]

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
KEY = PoolKey.of("horse", SourceOptions())
POOL = KEY.pool_id
MODEL = "demo@1/pre1"
OTHER_MODEL = "demo@2/pre1"
HOSTILE_KEYWORDS = ["馬 🐎", "'; DROP TABLE pools; --", 'a"b\\c', "a\x00b", "x" * 5000, "%s {} \n"]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def image(n: int) -> Image:
    credit = Credit(f"user {n}", "Pixabay")
    return Image(f"pixabay-{n}", f"pixabay-{n}.jpg", f"https://x/{n}", 640, n, credit, ("a", "b"))


def stored(n: int) -> Image:
    """Return an image as it is once `record` has embedded it."""
    return replace(image(n), pixels=PixelFacts(1, 0))


def listed(n: int) -> ListedImage:
    return ListedImage(image(n), f"https://x/{n}.jpg")


def listing(numbers: Iterable[int], rejections: Iterable[int] = ()) -> Listing:
    reasons = {f"pixabay-{n}": f"reason {n}" for n in rejections}
    return Listing(tuple(listed(n) for n in numbers), reasons)


def embedding(seed: int, dim: int = 8) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def embeddings(numbers: Iterable[int]) -> dict[str, Embedding]:
    return {f"pixabay-{n}": embedding(n) for n in numbers}


def record(
    catalog: Catalog,
    embedded: Iterable[int] = (),
    rejected: Iterable[int] = (),
    *,
    pool_id: str = POOL,
    generation: int = 1,
    model_revision: str = MODEL,
    reused: Iterable[int] = (),
    has_pixels: bool = True,
    now: datetime = NOW,
) -> Pool | None:
    vectors = embeddings(embedded)
    return catalog.record_batch(
        pool_id,
        generation,
        model_revision=model_revision,
        embeddings=vectors,
        pixels={each: PixelFacts(1, 0) for each in vectors if has_pixels},
        rejections={f"pixabay-{n}": f"reason {n}" for n in rejected},
        reused=[f"pixabay-{n}" for n in reused],
        now=now,
    )


def begin(catalog: Catalog, numbers: Iterable[int], key: PoolKey = KEY) -> None:
    """Bring the first generation of *key* to a recorded listing."""
    catalog.request_pool(key, NOW)
    catalog.begin_fetch(key.pool_id, 1, NOW)
    catalog.record_listing(key.pool_id, 1, listing(numbers), NOW)


def make_ready(catalog: Catalog, numbers: list[int], now: datetime = NOW) -> None:
    begin(catalog, numbers)
    record(catalog, numbers, now=now)


def known(pool: Pool | None) -> Pool:
    assert pool is not None
    return pool


def listing_of(catalog: Catalog, pool_id: str = POOL, generation: int = 1) -> Listing | None:
    members = catalog.members(pool_id, generation)
    return members.listing if members else None


def pending(catalog: Catalog) -> tuple[ListedImage, ...]:
    members = catalog.members(POOL, 1)
    return members.pending if members else ()


def rejections(catalog: Catalog, generation: int = 1) -> dict[str, str]:
    members = catalog.members(POOL, generation)
    return members.rejections if members else {}


def ids(images: Iterable[ListedImage]) -> list[str]:
    return [one.image.image_id for one in images]


def at_once(work: Callable[[int], object], times: int) -> list[object]:
    """Do *work* in that many threads that begin together."""
    together = threading.Barrier(times)

    def wait_and_work(n: int) -> object:
        together.wait()
        return work(n)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(wait_and_work, range(times)))


def request_at_once(clients: list[Catalog], now: datetime) -> list[PoolRequest]:
    def request(n: int) -> PoolRequest:
        return clients[n % len(clients)].request_pool(KEY, now)

    return [one for one in at_once(request, 50) if isinstance(one, PoolRequest)]


# request_pool


def test_an_unknown_pool_is_none(catalog: Catalog) -> None:
    assert catalog.pool(POOL) is None
    assert catalog.pool("") is None


def test_the_first_request_creates_the_pool_and_the_second_does_not(catalog: Catalog) -> None:
    first = catalog.request_pool(KEY, NOW)
    assert first.created
    current = first.pool.current
    assert (first.pool.pool_id, first.pool.keyword, first.pool.options) == (
        POOL,
        "horse",
        KEY.options,
    )
    assert (current.number, current.state) == (1, PoolState.REQUESTED)
    assert (current.requested_at, current.lease_until) == (NOW, later(60))
    assert (current.images, current.embedded, current.rejected) == (0, 0, 0)
    assert first.pool.ready is None
    assert catalog.request_pool(KEY, later(1)) == PoolRequest(first.pool, created=False)
    assert catalog.pool(POOL) == first.pool


def test_other_options_make_another_pool(catalog: Catalog) -> None:
    catalog.request_pool(KEY, NOW)
    options = SourceOptions(language="de", colors="red,blue", safesearch=False, pool_size=50)
    other = catalog.request_pool(PoolKey.of("horse", options), NOW)
    assert other.created
    assert other.pool.options == options


@pytest.mark.parametrize("keyword", HOSTILE_KEYWORDS)
def test_a_hostile_keyword_is_kept_as_it_is(catalog: Catalog, keyword: str) -> None:
    key = PoolKey(keyword, SourceOptions())
    assert catalog.request_pool(key, NOW).created
    assert known(catalog.pool(key.pool_id)).keyword == keyword


def test_a_keyword_that_is_not_unicode_is_an_invalid_request(catalog: Catalog) -> None:
    key = PoolKey("\ud800", SourceOptions())
    with pytest.raises(InvalidRequest):
        catalog.request_pool(key, NOW)
    assert catalog.pool(key.pool_id) is None


def test_of_50_simultaneous_first_requests_exactly_one_creates(open_catalog: OpenCatalog) -> None:
    requests = request_at_once([open_catalog(), open_catalog()], NOW)
    assert sum(one.created for one in requests) == 1
    assert {one.pool.current.number for one in requests} == {1}


def test_of_50_simultaneous_requests_of_a_stale_pool_exactly_one_creates(
    open_catalog: OpenCatalog,
) -> None:
    make_ready(open_catalog(), [1, 2])
    requests = request_at_once([open_catalog(), open_catalog()], later(86_400))
    assert sum(one.created for one in requests) == 1
    assert {one.pool.current.number for one in requests} == {2}


def test_of_50_simultaneous_requests_of_a_lost_pool_exactly_one_creates(
    open_catalog: OpenCatalog,
) -> None:
    begin(open_catalog(), [1, 2])
    requests = request_at_once([open_catalog(), open_catalog()], later(600))
    assert sum(one.created for one in requests) == 1
    assert {one.pool.current.number for one in requests} == {1}


def test_a_ready_pool_is_requested_again_once_it_is_stale(catalog: Catalog) -> None:
    make_ready(catalog, [1, 2])
    assert not catalog.request_pool(KEY, later(86_399)).created
    stale = catalog.request_pool(KEY, later(86_400))
    assert stale.created
    assert (stale.pool.current.number, stale.pool.current.state) == (2, PoolState.REQUESTED)
    assert stale.pool.current.requested_at == later(86_400)
    ready = stale.pool.answering
    assert (ready.number, ready.state, ready.embedded) == (1, PoolState.READY, 2)


def test_a_failed_pool_is_requested_again_once_it_has_rested(catalog: Catalog) -> None:
    catalog.request_pool(KEY, NOW)
    catalog.fail(POOL, 1, "the source is down", NOW)
    resting = catalog.request_pool(KEY, later(29))
    assert not resting.created
    assert resting.pool.current.state is PoolState.FAILED
    again = catalog.request_pool(KEY, later(30))
    assert again.created
    assert again.pool.current.number == 2
    assert again.pool.current.reason is None


def test_work_whose_lease_is_lost_is_taken_up_again(catalog: Catalog) -> None:
    begin(catalog, [1, 2, 3])
    record(catalog, [1])
    assert not catalog.request_pool(KEY, later(599)).created
    again = catalog.request_pool(KEY, later(600))
    assert again.created
    current = again.pool.current
    assert (current.number, current.state, current.embedded) == (1, PoolState.FETCHING, 1)
    assert (current.requested_at, current.lease_until) == (later(600), later(660))
    assert not catalog.request_pool(KEY, later(601)).created


def test_a_job_that_nobody_published_is_due_soon_and_one_in_the_queue_much_later(
    catalog: Catalog,
) -> None:
    catalog.request_pool(KEY, NOW)
    assert catalog.request_pool(KEY, later(60)).created
    queued = known(catalog.renew_lease(POOL, 1, later(61)))
    assert (queued.current.state, queued.current.lease_until) == (PoolState.REQUESTED, later(661))
    assert catalog.pool(POOL) == queued
    assert not catalog.request_pool(KEY, later(660)).created
    assert catalog.request_pool(KEY, later(661)).created


def test_lost_work_keeps_its_generation_however_long_ago_it_was_lost(catalog: Catalog) -> None:
    begin(catalog, [1, 2, 3])
    again = catalog.request_pool(KEY, later(30 * 24 * 3600))
    assert again.created
    assert again.pool.current.number == 1
    assert listing_of(catalog) is not None


def test_a_pool_whose_record_is_damaged_counts_on_from_its_last_listing(
    catalog: Catalog, damage_records: Callable[[], None]
) -> None:
    """A batch that waits, or a cached copy, of a generation before is of no other one."""
    make_ready(catalog, [1, 2])
    for number in range(2, 13):
        now = later(number * 86_400)
        catalog.request_pool(KEY, now)
        catalog.record_listing(POOL, number, listing([1, 2]), now)
        record(catalog, reused=[1, 2], generation=number, now=now)
    catalog.request_pool(KEY, later(20 * 86_400))  # the 13th, of which nothing is listed
    damage_records()
    assert catalog.pool(POOL) is None
    assert record(catalog, [1], generation=12) is None
    again = catalog.request_pool(KEY, later(20 * 86_400))
    assert again.created
    assert again.pool.current.number == 13
    assert not catalog.request_pool(KEY, later(20 * 86_400)).created
    assert listing_of(catalog, generation=13) is None


# Several models


def waiting(catalog: Catalog, model_revision: str) -> list[str]:
    return [image.image_id for image in catalog.library.waiting(model_revision)]


def test_of_an_empty_library_all_is_covered(catalog: Catalog) -> None:
    assert catalog.library.model_revisions() == []
    begin(catalog, [1, 2])
    assert catalog.library.coverage(MODEL).share == 1.0, "they never were in anybody's reach"
    assert waiting(catalog, MODEL) == []


def test_what_another_model_embedded_waits_until_all_of_it_is_embedded_again(
    catalog: Catalog,
) -> None:
    make_ready(catalog, [1, 2, 3])
    assert catalog.library.coverage(MODEL) == Coverage(3, 3)
    assert catalog.library.coverage(OTHER_MODEL) == Coverage(0, 3)
    assert [image.image_id for image in catalog.library.waiting(OTHER_MODEL)] == [
        "pixabay-1",
        "pixabay-2",
        "pixabay-3",
    ]
    catalog.reopen(POOL, 1, OTHER_MODEL, NOW)
    record(catalog, [1, 2], model_revision=OTHER_MODEL)
    assert catalog.library.coverage(OTHER_MODEL) == Coverage(2, 3)
    [image] = catalog.library.waiting(OTHER_MODEL)
    assert replace(image, pixels=None) == listed(3).image
    assert catalog.library.model_revisions() == sorted([MODEL, OTHER_MODEL])
    record(catalog, [3], model_revision=OTHER_MODEL)
    assert catalog.library.coverage(OTHER_MODEL) == Coverage(3, 3)
    assert waiting(catalog, OTHER_MODEL) == []


def test_a_pool_goes_on_being_answered_while_it_is_embedded_again(catalog: Catalog) -> None:
    make_ready(catalog, [1, 2, 3])
    before = known(catalog.pool(POOL))
    reopened = known(catalog.reopen(POOL, 1, OTHER_MODEL, later(9), keeps_answering=True))
    assert reopened.answering == before.current
    record(catalog, [1, 2], [3], model_revision=OTHER_MODEL)
    ready = known(catalog.pool(POOL))
    assert (ready.current.state, ready.current.embedded) == (PoolState.READY, 2)
    assert ready.current.ready_at == before.current.ready_at
    assert rejections(catalog) == {"pixabay-3": "reason 3"}


def test_the_embeddings_of_other_models_go_with_the_images_that_have_no_other(
    catalog: Catalog,
) -> None:
    make_ready(catalog, [1, 2, 3])
    catalog.reopen(POOL, 1, OTHER_MODEL, NOW)
    record(catalog, [1, 2], [3], model_revision=OTHER_MODEL)
    assert waiting(catalog, OTHER_MODEL) == ["pixabay-3"]
    assert len(catalog.library.nearest(embedding(1), 9, MODEL).hits) == 3
    assert catalog.library.keep_only(OTHER_MODEL) == 3
    assert catalog.library.keep_only(OTHER_MODEL) == 0
    assert catalog.library.model_revisions() == [OTHER_MODEL]
    assert catalog.library.coverage(OTHER_MODEL) == Coverage(2, 2)
    assert waiting(catalog, OTHER_MODEL) == []
    assert len(catalog.library.nearest(embedding(1), 9, OTHER_MODEL).hits) == 2
    assert catalog.library.nearest(embedding(1), 9, MODEL).hits == []


def test_pools_are_listed_in_order(catalog: Catalog) -> None:
    keys = [PoolKey.of(f"word {n}", SourceOptions()) for n in range(105)]
    for key in keys:
        catalog.request_pool(key, NOW)
    own = PoolKey("own 1", SourceOptions("own"))
    catalog.request_pool(own, NOW)
    assert list(catalog.pools.pool_ids()) == sorted(key.pool_id for key in [*keys, own])
    assert list(catalog.pools.pool_ids("own")) == [own.pool_id]
    assert list(catalog.pools.pool_ids("openverse")) == []


# How many are begun in a day


def test_so_many_are_begun_in_a_day_and_no_more_however_many_ask_at_once(catalog: Catalog) -> None:
    with ThreadPoolExecutor(8) as threads:
        counted = list(threads.map(lambda _: catalog.count("new", NOW, 12), range(30)))
    assert sum(counted) == 12
    assert not catalog.count("new", NOW, 12)
    assert catalog.count("new", NOW, 60), "it may be raised meanwhile"
    assert catalog.count("catalog", NOW, 1), "each is counted for itself"
    assert catalog.count("new", NOW + timedelta(days=1), 1)
    assert not catalog.count("new", NOW + timedelta(days=1), 1)


def test_several_are_counted_at_once_as_far_as_they_go(catalog: Catalog) -> None:
    with ThreadPoolExecutor(8) as threads:
        counted = list(threads.map(lambda _: catalog.count("money", NOW, 1000, 90), range(30)))
    assert sum(counted) == 11
    assert not catalog.count("money", NOW, 1000, 90)


# The clock steps


@pytest.mark.parametrize("back_seconds", [2, 3600, 400 * 86_400])
def test_a_lease_from_before_the_clock_stepped_back_is_over(
    catalog: Catalog, back_seconds: float
) -> None:
    begin(catalog, [1, 2])
    again = catalog.request_pool(KEY, later(-back_seconds))
    assert again.created
    assert again.pool.current.number == 1
    assert again.pool.current.lease_until == later(60 - back_seconds)
    assert not catalog.request_pool(KEY, later(1 - back_seconds)).created


def test_work_taken_up_again_and_not_published_is_not_held_back_by_a_clock_that_steps_back(
    catalog: Catalog,
) -> None:
    """Whoever took it up may have died: a minute is made up for, and not ten."""
    begin(catalog, [1, 2])
    assert catalog.request_pool(KEY, later(600)).created
    assert catalog.request_pool(KEY, later(300)).created
    catalog.renew_lease(POOL, 1, later(600))
    assert not catalog.request_pool(KEY, later(601)).created, "published work has longer"


@pytest.mark.parametrize("back_seconds", [2, 3600, 400 * 86_400])
def test_the_rest_of_a_pool_that_failed_before_the_clock_stepped_back_is_over(
    catalog: Catalog, back_seconds: float
) -> None:
    catalog.request_pool(KEY, NOW)
    catalog.fail(POOL, 1, "the source is down", NOW)
    again = catalog.request_pool(KEY, later(-back_seconds))
    assert again.created
    assert again.pool.current.number == 2


def test_a_pool_that_became_ready_before_the_clock_stepped_back_stays_fresh_for_its_age(
    catalog: Catalog,
) -> None:
    make_ready(catalog, [1, 2])
    assert not catalog.request_pool(KEY, later(-3600)).created
    assert not catalog.request_pool(KEY, later(-86_399)).created
    assert catalog.request_pool(KEY, later(-86_400)).created


def test_what_was_done_while_the_clock_was_ahead_holds_nothing_back_afterwards(
    catalog: Catalog,
) -> None:
    """A year ahead work is begun, is lost, fails and is begun again; then the clock is set."""
    ahead = 365 * 86_400.0
    begin(catalog, [1, 2])
    assert catalog.request_pool(KEY, later(ahead)).created
    assert catalog.request_pool(KEY, NOW).created, "its lease"
    catalog.fail(POOL, 1, "the source is down", later(ahead))
    assert catalog.request_pool(KEY, NOW).created, "its rest"
    catalog.begin_fetch(POOL, 2, NOW)
    catalog.record_listing(POOL, 2, listing([1]), NOW)
    record(catalog, [1], generation=2, now=later(ahead))
    assert catalog.request_pool(KEY, NOW).created, "its age"


def test_two_machines_whose_clocks_differ_a_little_see_one_lease(catalog: Catalog) -> None:
    begin(catalog, [1, 2])
    assert not catalog.request_pool(KEY, later(-0.5)).created


def test_each_rejected_image_has_its_reason(catalog: Catalog) -> None:
    catalog.request_pool(KEY, NOW)
    catalog.begin_fetch(POOL, 1, NOW)
    catalog.record_listing(POOL, 1, listing([1, 2, 3], rejections=[9]), NOW)
    record(catalog, [1], rejected=[2])
    reasons = rejections(catalog)
    assert set(reasons) == {"pixabay-2", "pixabay-9"}
    assert reasons["pixabay-9"] == "reason 9"
    assert reasons["pixabay-2"]
    assert rejections(catalog, 2) == {}


# begin_fetch, finish_fetch


def test_begin_fetch_marks_a_requested_generation_and_renews_its_lease(catalog: Catalog) -> None:
    catalog.request_pool(KEY, NOW)
    pool = known(catalog.begin_fetch(POOL, 1, later(10)))
    assert pool.current.state is PoolState.FETCHING
    assert pool.current.lease_until == later(610)
    assert catalog.pool(POOL) == pool


def test_begin_fetch_leaves_an_embedding_generation_as_it_is(catalog: Catalog) -> None:
    begin(catalog, [1])
    catalog.finish_fetch(POOL, 1, NOW)
    pool = known(catalog.begin_fetch(POOL, 1, later(10)))
    assert pool.current.state is PoolState.EMBEDDING
    assert pool.current.lease_until == later(610)


def test_finish_fetch_marks_a_fetching_generation(catalog: Catalog) -> None:
    begin(catalog, [1])
    pool = known(catalog.finish_fetch(POOL, 1, later(5)))
    assert pool.current.state is PoolState.EMBEDDING
    assert pool.current.lease_until == later(605)
    assert catalog.finish_fetch(POOL, 1, later(5)) == pool


STEPS: dict[str, Callable[[Catalog, str, int], Pool | None]] = {
    "begin_fetch": lambda catalog, pool_id, n: catalog.begin_fetch(pool_id, n, later(9)),
    "renew_lease": lambda catalog, pool_id, n: catalog.renew_lease(pool_id, n, later(9)),
    "record_listing": lambda catalog, pool_id, n: catalog.record_listing(
        pool_id, n, listing([7, 8]), later(9)
    ),
    "finish_fetch": lambda catalog, pool_id, n: catalog.finish_fetch(pool_id, n, later(9)),
    "record_batch": lambda catalog, pool_id, n: record(
        catalog, [1], [2], pool_id=pool_id, generation=n, now=later(9)
    ),
    "fail": lambda catalog, pool_id, n: catalog.fail(pool_id, n, "no", later(9)),
    "give_up": lambda catalog, pool_id, n: catalog.give_up(pool_id, n, "no", later(9)),
    "record_error": lambda catalog, pool_id, n: catalog.record_error(pool_id, n, "no"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_step_changes_a_generation_that_is_not_the_current_one_or_is_over(
    catalog: Catalog, step: Callable[[Catalog, str, int], Pool | None]
) -> None:
    assert step(catalog, "unknown", 1) is None
    make_ready(catalog, [1, 2])
    ready = catalog.pool(POOL)
    assert step(catalog, POOL, 1) is None
    assert catalog.pool(POOL) == ready
    requested = catalog.request_pool(KEY, later(86_400)).pool
    for number in (0, 1, 3, -1):
        assert step(catalog, POOL, number) is None
    assert catalog.pool(POOL) == requested
    failed = catalog.fail(POOL, 2, "the source is down", later(86_400))
    assert step(catalog, POOL, 2) is None
    assert catalog.pool(POOL) == failed


# record_listing, listing, pending


def test_a_listing_comes_back_as_it_was_recorded(catalog: Catalog) -> None:
    catalog.request_pool(KEY, NOW)
    catalog.begin_fetch(POOL, 1, NOW)
    assert listing_of(catalog) is None
    recorded = listing([3, 1, 2], rejections=[9, 8])
    pool = known(catalog.record_listing(POOL, 1, recorded, later(5)))
    assert (pool.current.images, pool.current.embedded, pool.current.rejected) == (5, 0, 2)
    assert pool.current.state is PoolState.FETCHING
    assert pool.current.lease_until == later(605)
    assert listing_of(catalog) == recorded
    assert pending(catalog) == recorded.images
    record(catalog, [1], [3])
    assert listing_of(catalog) == recorded


def test_the_first_listing_of_a_generation_stays(catalog: Catalog) -> None:
    begin(catalog, [1, 2])
    pool = known(catalog.record_listing(POOL, 1, listing([3, 4, 5]), NOW))
    assert pool.current.images == 2
    assert listing_of(catalog) == listing([1, 2])


def test_an_image_listed_twice_counts_once(catalog: Catalog) -> None:
    begin(catalog, [2, 1, 2, 2, 1])
    assert known(catalog.pool(POOL)).current.images == 2
    assert listing_of(catalog) == listing([2, 1])


def test_a_listed_image_that_the_listing_rejects_is_not_pending(catalog: Catalog) -> None:
    catalog.request_pool(KEY, NOW)
    recorded = listing([1, 2], rejections=[2])
    pool = known(catalog.record_listing(POOL, 1, recorded, NOW))
    assert (pool.current.images, pool.current.rejected) == (2, 1)
    assert ids(pending(catalog)) == ["pixabay-1"]
    assert listing_of(catalog) == recorded


@pytest.mark.parametrize(
    ("offer", "rejected"),
    [(listing([]), 0), (listing([], [1, 2]), 2), (listing([1], [1]), 1)],
    ids=["empty", "refused", "listed and refused"],
)
def test_a_listing_with_nothing_to_embed_makes_the_pool_ready(
    catalog: Catalog, offer: Listing, rejected: int
) -> None:
    catalog.request_pool(KEY, NOW)
    catalog.begin_fetch(POOL, 1, NOW)
    pool = known(catalog.record_listing(POOL, 1, offer, later(3)))
    assert pool.current.state is PoolState.READY
    assert pool.current.ready_at == later(3)
    assert pool.ready == pool.current
    assert (pool.current.images, pool.current.rejected) == (rejected, rejected)
    assert listing_of(catalog) == offer
    assert not catalog.request_pool(KEY, later(4)).created


def test_pending_is_empty_for_what_is_unknown(catalog: Catalog) -> None:
    assert list(pending(catalog)) == []
    assert listing_of(catalog) is None


def test_hostile_metadata_is_kept_as_it_is(catalog: Catalog) -> None:
    credit = Credit("<script>'\"\x00", "")
    hostile = Image("p-1", "p-1.jpg", "", 0, 2**31, credit, ("'; --", "", "馬🐎", "a,b"))
    offer = Listing((ListedImage(hostile, "https://x/?a=%00&b='"),), {"p-2": ""})
    catalog.request_pool(KEY, NOW)
    catalog.record_listing(POOL, 1, offer, NOW)
    assert listing_of(catalog) == offer


def test_the_licence_of_a_credit_is_kept_and_is_the_new_one_after_a_new_fetch(
    open_catalog: OpenCatalog, policy: PoolPolicy
) -> None:
    """In the listing, which pools are searched by, and in the library, for any other client."""
    writer, reader = open_catalog(), open_catalog()
    deeds = "https://creativecommons.org/licenses"
    credits_of = {
        1: Credit("Ann & Bob", "Openverse", "CC BY-SA 2.0", f"{deeds}/by-sa/2.0/"),
        2: Credit("Ann & Bob", "Openverse", "CC BY 4.0", f"{deeds}/by/4.0/"),
    }
    for generation, credit in credits_of.items():
        now = later((generation - 1) * policy.max_age_seconds)
        writer.request_pool(KEY, now)
        writer.begin_fetch(POOL, generation, now)
        offer = Listing((ListedImage(replace(image(1), credit=credit), "https://x/1.jpg"),))
        writer.record_listing(POOL, generation, offer, now)
        record(writer, [1], generation=generation, now=now)
        for catalog in (writer, reader):
            assert listing_of(catalog, generation=generation) == offer
            [(found, _)] = catalog.library.nearest(embedding(1), 5, MODEL).hits
            assert found.credit == credit


# record_batch


def test_a_pool_is_ready_exactly_when_nothing_is_pending(catalog: Catalog) -> None:
    begin(catalog, [1, 2, 3, 4])
    pool = known(record(catalog, [2], [3], now=later(5)))
    assert pool.current.state is PoolState.FETCHING
    assert (pool.current.embedded, pool.current.rejected) == (1, 1)
    assert pool.current.lease_until == later(605)
    assert ids(pending(catalog)) == ["pixabay-1", "pixabay-4"]
    assert known(record(catalog, [4])).ready is None
    ready = known(record(catalog, [1], now=later(7)))
    assert ready.current.state is PoolState.READY
    assert (ready.current.images, ready.current.embedded, ready.current.rejected) == (4, 3, 1)
    assert ready.current.ready_at == later(7)
    assert ready.current.lease_until is None
    assert ready.ready == ready.current
    assert catalog.pool(POOL) == ready


def test_a_pool_without_a_listing_is_not_ready(catalog: Catalog) -> None:
    begin(catalog, [1], PoolKey.of("cow", SourceOptions()))
    catalog.request_pool(KEY, NOW)
    pool = known(record(catalog, [1]))
    assert pool.current.state is PoolState.REQUESTED
    assert pool.current.embedded == 0


def test_a_batch_of_nothing_only_renews_the_lease(catalog: Catalog) -> None:
    begin(catalog, [1])
    before = known(catalog.pool(POOL))
    pool = known(record(catalog, now=later(5)))
    assert replace(pool.current, lease_until=before.current.lease_until) == before.current
    assert pool.current.lease_until == later(605)


def test_recording_a_batch_twice_equals_once(catalog: Catalog) -> None:
    begin(catalog, [1, 2, 3])
    once = record(catalog, [1], [2])
    assert record(catalog, [1], [2]) == once
    assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 1


def test_what_came_first_about_an_image_stays(catalog: Catalog) -> None:
    begin(catalog, [1, 2, 3])
    record(catalog, [1], [2])
    pool = known(record(catalog, [2], [1]))
    assert (pool.current.embedded, pool.current.rejected) == (1, 1)
    assert [one.image_id for one in catalog.packed_pool(POOL, 1, MODEL).images] == ["pixabay-1"]


def test_images_outside_the_listing_do_not_count(catalog: Catalog) -> None:
    begin(catalog, [1, 2])
    pool = known(record(catalog, [1, 77], [88]))
    assert (pool.current.images, pool.current.embedded, pool.current.rejected) == (2, 1, 0)


def test_what_the_generation_never_listed_is_not_stored_whoever_listed_it(catalog: Catalog) -> None:
    begin(catalog, [7], PoolKey.of("cow", SourceOptions()))
    begin(catalog, [1])
    record(catalog, [1, 7, 77])
    ids = ["pixabay-1", "pixabay-7", "pixabay-77"]
    assert catalog.library.embedded(ids, MODEL) == {"pixabay-1"}


def test_a_long_reason_is_cut(catalog: Catalog) -> None:
    begin(catalog, [1, 2])
    catalog.reject(POOL, 1, {"pixabay-1": "x" * 1000}, NOW)
    assert rejections(catalog) == {"pixabay-1": "x" * MAX_REJECTION_CHARACTERS}


def test_a_listing_that_is_too_big_says_so_and_changes_nothing(catalog: Catalog) -> None:
    before = catalog.request_pool(KEY, NOW).pool
    refused = {str(n): random.Random(n).randbytes(1000).hex() for n in range(900)}
    with pytest.raises(InvalidRequest, match="bytes packed, got"):
        catalog.record_listing(POOL, 1, Listing((), refused), NOW)
    assert catalog.pool(POOL) == before


def test_what_a_new_listing_says_of_an_image_is_shown_at_once(catalog: Catalog) -> None:
    make_ready(catalog, [1])
    catalog.request_pool(KEY, later(86_400))
    renewed = replace(image(1), tags=("new",))
    catalog.record_listing(POOL, 2, Listing((ListedImage(renewed, "u"),)), later(86_400))
    record(catalog, reused=[1], generation=2, now=later(86_401))
    renewed = replace(renewed, pixels=stored(1).pixels)
    assert catalog.packed_pool(POOL, 1, MODEL).images == (stored(1),)
    assert catalog.packed_pool(POOL, 2, MODEL).images == (renewed,)
    assert [found for found, _ in catalog.library.nearest(embedding(1), 5, MODEL).hits] == [renewed]


def test_reused_images_count_when_they_have_an_embedding_of_that_model(catalog: Catalog) -> None:
    begin(catalog, [1, 2, 3], PoolKey.of("cow", SourceOptions()))
    cow = PoolKey.of("cow", SourceOptions()).pool_id
    record(catalog, [1, 2], pool_id=cow)
    begin(catalog, [1, 2, 3])
    assert known(record(catalog, reused=[1, 2, 3])).current.embedded == 2
    assert known(record(catalog, reused=[3])).current.embedded == 2
    ready = known(record(catalog, [3], reused=[1]))
    assert (ready.current.state, ready.current.embedded) == (PoolState.READY, 3)


def test_a_later_embedding_of_an_image_replaces_the_earlier(catalog: Catalog) -> None:
    begin(catalog, [1, 2])
    record(catalog, [1])
    catalog.record_batch(
        POOL,
        1,
        model_revision=MODEL,
        embeddings={"pixabay-1": embedding(100)},
        rejections={},
        now=NOW,
    )
    np.testing.assert_array_equal(
        catalog.packed_pool(POOL, 1, MODEL).embeddings, embedding(100)[None]
    )


def test_embeddings_are_stored_even_when_the_generation_is_over(catalog: Catalog) -> None:
    begin(catalog, [1, 2])
    catalog.fail(POOL, 1, "too late", NOW)
    assert record(catalog, [1, 2]) is None
    assert catalog.library.embedded(["pixabay-1", "pixabay-2"], MODEL) == {"pixabay-1", "pixabay-2"}
    assert known(catalog.pool(POOL)).current.embedded == 0


@pytest.mark.parametrize(
    "broken",
    [np.array([np.nan, 1], np.float32), np.array([np.inf], np.float32), np.eye(2, dtype="f4")],
)
def test_a_broken_embedding_is_a_bug_and_changes_nothing(
    catalog: Catalog, broken: Embedding
) -> None:
    begin(catalog, [1, 2])
    before = catalog.pool(POOL)
    with pytest.raises(Bug, match="pixabay-2"):
        catalog.record_batch(
            POOL,
            1,
            model_revision=MODEL,
            embeddings={"pixabay-1": embedding(1), "pixabay-2": broken},
            rejections={},
            now=later(5),
        )
    assert catalog.pool(POOL) == before
    assert catalog.library.embedded(["pixabay-1"], MODEL) == set()


def test_batches_recorded_twice_each_at_once_in_any_order_make_the_pool_ready_once(
    open_catalog: OpenCatalog,
) -> None:
    clients = [open_catalog(), open_catalog()]
    begin(clients[0], range(200))
    batches = [range(start, start + 20) for start in range(0, 200, 20)] * 2
    random.Random(5).shuffle(batches)

    def deliver(n: int) -> Pool | None:
        rejected = [number for number in batches[n] if number % 10 == 3]
        embedded = [number for number in batches[n] if number % 10 != 3]
        return record(clients[n % 2], embedded, rejected, now=later(n))

    outcomes = [one for one in at_once(deliver, len(batches)) if isinstance(one, Pool)]
    ready = [one for one in outcomes if one.current.state is PoolState.READY]
    assert len(ready) == 1
    assert clients[0].pool(POOL) == clients[1].pool(POOL) == ready[0]
    assert (ready[0].current.images, ready[0].current.embedded) == (200, 180)
    assert ready[0].current.rejected == 20
    assert len(clients[0].packed_pool(POOL, 1, MODEL).images) == 180


# embedded, packed_pool


def test_embedded_names_the_images_that_have_that_models_embedding(catalog: Catalog) -> None:
    # More than Firestore is asked about at a time, and every other one more than it writes.
    numbers = list(range(1100))
    begin(catalog, numbers)
    record(catalog, numbers[::2])
    everything = [f"pixabay-{n}" for n in numbers]
    assert catalog.library.embedded(everything, MODEL) == set(everything[::2])
    assert catalog.library.embedded(everything, OTHER_MODEL) == set()
    assert catalog.library.embedded([], MODEL) == set()
    assert catalog.library.embedded(["", "'", "pixabay-0", "pixabay-0"], MODEL) == {"pixabay-0"}


def test_a_packed_pool_is_in_listing_order_and_has_what_is_embedded(catalog: Catalog) -> None:
    begin(catalog, [5, 3, 9, 1])
    record(catalog, [1, 5], [9])
    packed = catalog.packed_pool(POOL, 1, MODEL)
    assert packed.images == (stored(5), stored(1))
    assert packed.embeddings.dtype == np.float32
    np.testing.assert_array_equal(packed.embeddings, [embedding(5), embedding(1)])


def test_a_packed_pool_without_embeddings_is_empty(catalog: Catalog) -> None:
    begin(catalog, [1])
    record(catalog, [1])
    for pool_id, generation, model in [
        (POOL, 1, OTHER_MODEL),
        (POOL, 2, MODEL),
        ("unknown", 1, MODEL),
    ]:
        packed = catalog.packed_pool(pool_id, generation, model)
        assert packed.images == ()
        assert len(packed.embeddings) == 0


def test_the_generation_before_can_be_read_until_another_is_ready(catalog: Catalog) -> None:
    make_ready(catalog, [1, 2])
    for number in (2, 3):
        now = later(86_400 * number)
        assert catalog.request_pool(KEY, now).pool.current.number == number
        catalog.record_listing(POOL, number, listing([number, number + 1]), now)
        record(catalog, [number, number + 1], generation=number, now=now)
        before = catalog.packed_pool(POOL, number - 1, MODEL)
        ids = [each.image_id for each in before.images]
        assert ids == [image(number - 1).image_id, image(number).image_id]
    pool = known(catalog.pool(POOL))
    assert pool.ready == pool.current
    assert (pool.current.number, pool.current.embedded) == (3, 2)
    assert catalog.library.embedded(["pixabay-1"], MODEL) == {"pixabay-1"}


# reopen


def test_a_ready_pool_is_reopened_for_a_model_it_lacks(catalog: Catalog) -> None:
    begin(catalog, [1, 2, 3, 4])
    record(catalog, [1, 2, 3], [4])
    cow = PoolKey.of("cow", SourceOptions())
    begin(catalog, [2, 5], cow)
    record(catalog, [2], pool_id=cow.pool_id, model_revision=OTHER_MODEL)
    reopened = catalog.reopen(POOL, 1, OTHER_MODEL, later(100))
    assert reopened is not None
    current = reopened.current
    assert (current.number, current.state) == (1, PoolState.EMBEDDING)
    assert (current.images, current.embedded, current.rejected) == (4, 1, 1)
    assert current.lease_until == later(160)
    assert reopened.ready is None
    assert ids(pending(catalog)) == ["pixabay-1", "pixabay-3"]
    ready = known(record(catalog, [1, 3], model_revision=OTHER_MODEL, now=later(110)))
    assert ready.ready == ready.current
    assert ready.current.state is PoolState.READY
    assert len(catalog.packed_pool(POOL, 1, OTHER_MODEL).images) == 3
    assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 3


def test_a_pool_that_lacks_nothing_is_not_reopened(catalog: Catalog) -> None:
    begin(catalog, [1, 2])
    assert catalog.reopen(POOL, 1, OTHER_MODEL, NOW) is None
    record(catalog, [1], [2])
    ready = catalog.pool(POOL)
    assert catalog.reopen(POOL, 1, MODEL, NOW) is None
    assert catalog.reopen(POOL, 2, OTHER_MODEL, NOW) is None
    assert catalog.reopen("unknown", 1, OTHER_MODEL, NOW) is None
    assert catalog.pool(POOL) == ready
    catalog.request_pool(KEY, later(86_400))
    assert catalog.reopen(POOL, 1, OTHER_MODEL, later(86_400)) is None


def test_of_20_simultaneous_reopenings_exactly_one_must_publish(open_catalog: OpenCatalog) -> None:
    clients = [open_catalog(), open_catalog()]
    make_ready(clients[0], [1, 2])
    outcomes = at_once(lambda n: clients[n % 2].reopen(POOL, 1, OTHER_MODEL, NOW), 20)
    assert sum(isinstance(one, Pool) for one in outcomes) == 1


# record_error, fail


def test_the_last_error_is_kept_until_the_pool_is_ready(catalog: Catalog) -> None:
    begin(catalog, [1])
    catalog.record_error(POOL, 1, "the first")
    catalog.record_error(POOL, 1, "the second")
    pool = known(catalog.begin_fetch(POOL, 1, NOW))
    assert (pool.current.state, pool.current.reason) == (PoolState.FETCHING, "the second")
    assert known(record(catalog, [1])).current.reason is None


@pytest.mark.parametrize("recorded", [None, "429 from the source"])
def test_a_generation_that_is_given_up_says_why_and_when_to_try_again(
    catalog: Catalog, recorded: str | None
) -> None:
    begin(catalog, [1, 2])
    record(catalog, [1])
    if recorded:
        catalog.record_error(POOL, 1, recorded)
    pool = known(catalog.give_up(POOL, 1, "delivered 5 times", later(5)))
    assert pool.current.state is PoolState.FAILED
    assert pool.current.reason == (recorded or "delivered 5 times")
    assert pool.current.retry_at == later(35)
    assert pool.current.lease_until is None
    assert (pool.current.images, pool.current.embedded) == (2, 1)


def test_what_no_attempt_can_help_says_so_whatever_attempts_met(catalog: Catalog) -> None:
    begin(catalog, [1])
    catalog.record_error(POOL, 1, "the source was slow")
    assert known(catalog.fail(POOL, 1, "the key is wrong", NOW)).current.reason == (
        "the key is wrong"
    )


WELL: dict[str, Callable[[Catalog], Pool | None]] = {
    "a batch": lambda catalog: record(catalog, [1]),
    "a rejection": lambda catalog: record(catalog, [], [1]),
    "all is stored": lambda catalog: catalog.finish_fetch(POOL, 1, NOW),
}


@pytest.mark.parametrize("step", WELL.values(), ids=WELL)
def test_an_error_is_over_when_the_work_goes_on(
    catalog: Catalog, step: Callable[[Catalog], Pool | None]
) -> None:
    begin(catalog, [1, 2])
    catalog.record_error(POOL, 1, "slow")
    assert known(catalog.renew_lease(POOL, 1, NOW)).current.reason == "slow"
    pool = known(step(catalog))
    assert (pool.current.state.in_progress, pool.current.reason) == (True, None)
    assert known(catalog.give_up(POOL, 1, "delivered 5 times", NOW)).current.reason == (
        "delivered 5 times"
    )


def test_the_source_is_well_again_once_it_has_answered(catalog: Catalog) -> None:
    catalog.request_pool(KEY, NOW)
    catalog.record_error(POOL, 1, "the source is down")
    pool = known(catalog.record_listing(POOL, 1, listing([1]), NOW))
    assert pool.current.reason is None


@pytest.mark.parametrize("end", ["fail", "give_up"])
def test_a_long_reason_of_a_generation_is_cut(catalog: Catalog, end: str) -> None:
    begin(catalog, [1])
    catalog.record_error(POOL, 1, "x" * 1000)
    reason = known(catalog.pool(POOL)).current.reason
    assert reason == "x" * MAX_REJECTION_CHARACTERS
    failed = known(getattr(catalog, end)(POOL, 1, "x" * 1000, NOW))
    assert failed.current.reason == "x" * MAX_REJECTION_CHARACTERS


def test_a_pool_whose_refresh_fails_still_answers_from_the_one_before(catalog: Catalog) -> None:
    make_ready(catalog, [1, 2])
    catalog.request_pool(KEY, later(86_400))
    pool = known(catalog.fail(POOL, 2, "the source is down", later(86_401)))
    assert (pool.answering.number, pool.answering.state) == (1, PoolState.READY)


# nearest


def test_nearest_equals_the_exact_search(catalog: Catalog) -> None:
    numbers = list(range(620))  # more than Firestore and PostgreSQL read at a time
    begin(catalog, numbers)
    record_other_model(catalog)
    record(catalog, numbers[:520])
    assert len(catalog.library.nearest(embedding(9999), 5000, MODEL).hits) == 520
    record(catalog, numbers[520:])
    matrix = np.array([embedding(n) for n in numbers], np.float64)  # (620, 8)
    for seed, k in [(9000, 1), (9001, 10), (9002, 599), (9003, 600)]:
        query = embedding(seed)
        cosines = matrix @ query.astype(np.float64)
        best = sorted(numbers, key=lambda n: (-cosines[n], f"pixabay-{n}"))[:k]
        found = catalog.library.nearest(query, k, MODEL).hits
        assert [one for one, _ in found] == [stored(n) for n in best]
        np.testing.assert_allclose([cosine for _, cosine in found], cosines[best], atol=1e-6)


def record_other_model(catalog: Catalog) -> None:
    """Give image 0 a 3-dimensional embedding of another model, which no search may look at."""
    catalog.record_batch(
        POOL,
        1,
        model_revision=OTHER_MODEL,
        embeddings={"pixabay-0": embedding(0, dim=3)},
        rejections={},
        now=NOW,
    )


def test_the_k_nearest_are_k_of_that_model_however_near_another_models_are(
    catalog: Catalog,
) -> None:
    """The filter comes before the search: after it, it would leave nothing of the k."""
    begin(catalog, range(53))
    query = embedding(9)
    near = {f"pixabay-{n}": query for n in range(50)}
    catalog.record_batch(
        POOL, 1, model_revision=OTHER_MODEL, embeddings=near, rejections={}, now=NOW
    )
    record(catalog, [50, 51, 52])
    found = catalog.library.nearest(query, 3, MODEL).hits
    assert {one.image_id for one, _ in found} == {"pixabay-50", "pixabay-51", "pixabay-52"}


def test_equal_images_are_ordered_by_image_id(catalog: Catalog) -> None:
    numbers = list(range(101))
    begin(catalog, numbers)
    same = {f"pixabay-{n}": embedding(1, dim=512) for n in numbers}
    catalog.record_batch(POOL, 1, model_revision=MODEL, embeddings=same, rejections={}, now=NOW)
    found = catalog.library.nearest(embedding(2, dim=512), 37, MODEL).hits
    assert [one.image_id for one, _ in found] == sorted(same)[:37]
    assert len({cosine for _, cosine in found}) == 1


def test_nearest_finds_nothing_in_an_empty_catalog(catalog: Catalog) -> None:
    assert list(catalog.library.nearest(embedding(1), 10, MODEL).hits) == []
    make_ready(catalog, [1])
    assert list(catalog.library.nearest(embedding(1), 10, OTHER_MODEL).hits) == []
    assert list(catalog.library.nearest(embedding(1), 0, MODEL).hits) == []


def test_an_image_of_two_pools_is_found_once(catalog: Catalog) -> None:
    make_ready(catalog, [1, 2])
    cow = PoolKey.of("cow", SourceOptions())
    begin(catalog, [2, 3], cow)
    record(catalog, [2, 3], pool_id=cow.pool_id)
    found = catalog.library.nearest(embedding(2), 10, MODEL).hits
    assert sorted(one.image_id for one, _ in found) == ["pixabay-1", "pixabay-2", "pixabay-3"]
    assert found[0][0] == stored(2)
    assert found[0][1] == pytest.approx(1.0, abs=1e-6)


def test_nearest_sees_what_any_client_wrote(open_catalog: OpenCatalog) -> None:
    searcher, writer = open_catalog(), open_catalog()
    begin(writer, [1, 2, 3])
    for number in (1, 2):
        record(writer, [number])
        assert len(searcher.library.nearest(embedding(9), 10, MODEL).hits) == number
    writer.record_batch(
        POOL,
        1,
        model_revision=MODEL,
        embeddings={"pixabay-1": embedding(9)},
        rejections={},
        now=NOW,
    )
    found = searcher.library.nearest(embedding(9), 10, MODEL).hits
    assert len(found) == 2
    assert found[0][0] == stored(1)
    assert found[0][1] == pytest.approx(1.0, abs=1e-6)


ORIENTATIONS = {
    "horizontal": lambda image: 0 < image.height < image.width,
    "vertical": lambda image: image.height > image.width > 0,
    "square": lambda image: image.height == image.width > 0,
}


def test_the_nearest_under_a_filter_are_k_that_match_when_k_do(catalog: Catalog) -> None:
    """Each image of `image` is 640 wide and as high as its number; 0 is not known."""
    numbers = [0, *range(600, 720)]
    begin(catalog, numbers)
    record_other_model(catalog)
    record(catalog, numbers)
    queries = {k: embedding(9000 + k) for k in (1, 30, 1000)}
    nearest_of_all = {
        k: catalog.library.nearest(query, 1000, MODEL).hits for k, query in queries.items()
    }
    for word, k in product(ORIENTATIONS, queries):
        nearest = catalog.library.nearest(queries[k], k, MODEL, where_of({"orientation": word}))
        everything = nearest_of_all[k]
        matching = [hit for hit in everything if ORIENTATIONS[word](hit[0])]
        assert matching
        assert list(nearest.hits) == matching[:k]
        assert nearest.exhaustive


def of_its_own(n: int) -> Image:
    """Return an image of which each filter leaves another share."""
    tags = ("Wild Flower", "field") if n % 3 else ("horse", "ﬁeld")
    credit = Credit("Anna Ö." if n % 2 else "Bert", "Pixabay" if n % 5 else "Elsewhere")
    return replace(image(n), tags=tags, credit=credit, year=2010 + n % 4, month=n % 13)


FILTERED: tuple[tuple[dict[str, str], Callable[[int], object]], ...] = (
    ({"tag": "wild  FLOWER"}, lambda n: n % 3),
    ({"tag": "field"}, lambda n: True),
    ({"tag": "field, Horse"}, lambda n: n % 3 == 0),
    ({"tag": "wild"}, lambda n: False),
    ({"user": "ANNA ö."}, lambda n: n % 2),
    ({"source": "pixabay"}, lambda n: n % 5),
    ({"year": "2011"}, lambda n: n % 4 == 1),
    ({"month": "3"}, lambda n: n % 13 == 3),
    ({"year": "2011", "month": "3"}, lambda n: n % 4 == 1 and n % 13 == 3),
    ({"tag": "horse", "user": "bert", "year": "2012"}, lambda n: n % 12 == 6),
    ({"tag": "horse", "orientation": "vertical"}, lambda n: n % 3 == 0 and n > 640),
)


def test_each_filter_leaves_what_matches_of_everything(catalog: Catalog) -> None:
    images = {f"pixabay-{n}": of_its_own(n) for n in range(580, 700)}
    vectors = embeddings(range(580, 700))
    catalog.library.put(list(images.values()), vectors, MODEL)
    some = list(images.values())[:9]
    catalog.library.put(some, {each.image_id: embedding(1) for each in some}, OTHER_MODEL)
    query = embedding(9000)
    everything = catalog.library.nearest(query, 1000, MODEL).hits
    assert len(everything) == 120
    for filters, matches in FILTERED:
        expected = [
            hit for hit in everything if matches(int(hit[0].image_id.removeprefix("pixabay-")))
        ]
        for k in (3, 1000):
            nearest = catalog.library.nearest(query, k, MODEL, where_of(filters))
            assert list(nearest.hits) == expected[:k], filters
            assert nearest.exhaustive, filters


def tagged(catalog: Catalog, sentence: str, k: int = 9, near: int = 0, **filters: str) -> list[str]:
    """
    Return which images have words of *sentence* in their tags; their rows are their own.

    Of those that say the same the ones like image *near* come first.
    """
    words = words_to_look_for(sentence)
    answer = catalog.library.tagged(words, embedding(near), k, MODEL, where_of(filters))
    for (found, said), row in zip(answer.hits, answer.embeddings, strict=True):
        assert said > 0
        assert row.tolist() == embedding(int(found.image_id.removeprefix("pixabay-"))).tolist()
    return [found.image_id.removeprefix("pixabay-") for found, _ in answer.hits]


def put_tagged(catalog: Catalog, tags: dict[int, tuple[str, ...]]) -> None:
    images = [replace(image(n), tags=of) for n, of in tags.items()]
    catalog.library.put(images, embeddings(tags), MODEL)


def test_images_are_found_by_the_words_of_their_tags_the_rarer_first(catalog: Catalog) -> None:
    tags: dict[int, tuple[str, ...]] = dict.fromkeys(range(20, 40), ("common",))
    tags |= {1: ("Wild Horses", "field"), 2: ("horse", "common"), 3: ("fields",), 4: ()}
    put_tagged(catalog, tags)
    assert sorted(tagged(catalog, "a horse")) == ["1", "2"]
    assert tagged(catalog, "HORSES in a field")[0] == "1"
    assert sorted(tagged(catalog, "HORSES in a field")) == ["1", "2", "3"]
    assert tagged(catalog, "horse field common")[:2] in (["1", "2"], ["1", "3"], ["2", "1"])
    for near in (25, 31):  # of twenty that say the same
        assert tagged(catalog, "horse field common", k=4, near=near)[3:] == [str(near)]
    assert len(tagged(catalog, "horse field common", k=23)) == 23
    assert len(tagged(catalog, "horse field common", k=50)) == 23
    assert tagged(catalog, "the of a") == tagged(catalog, "zebra") == tagged(catalog, "wil") == []


def test_an_own_picture_is_found_by_the_words_of_its_title_and_folders_tags_or_none(
    catalog: Catalog,
) -> None:
    collected = Collected(
        ("P",), ("2019", "2019/Sea_side"), file="2019/Sea_side/1.jpg", title="Gulls"
    )
    images = [
        replace(image(1), tags=(), collected=collected),
        replace(image(2), tags=("storm",), collected=collected),
        replace(image(3), tags=("gull",), collected=replace(collected, title="", folders=())),
        replace(image(4), tags=()),
    ]
    catalog.library.put(images, embeddings([1, 2, 3, 4]), MODEL)
    assert sorted(tagged(catalog, "a gull")) == ["1", "2", "3"]
    assert sorted(tagged(catalog, "sea")) == sorted(tagged(catalog, "2019")) == ["1", "2"]
    assert tagged(catalog, "a storm") == ["2"]


def test_a_folder_and_a_collection_together_mean_a_folder_of_that_collection(
    catalog: Catalog,
) -> None:
    alone = Collected(("Pictures",), ("2018", "2018/Sea"), file="2018/Sea/1.jpg")
    apart = (folder_in("Pictures", "2018"), folder_in("Other", "2019"))
    shared = Collected(("Other", "Pictures"), ("2018", "2019"), file="2019/2.jpg", apart=apart)
    images = [replace(image(1), collected=alone), replace(image(2), collected=shared), image(3)]
    catalog.library.put(images, embeddings([1, 2, 3]), MODEL)

    def found(**filters: str) -> list[str]:
        hits = catalog.library.nearest(embedding(1), 5, MODEL, where_of(filters)).hits
        return sorted(each.image_id.removeprefix("pixabay-") for each, _ in hits)

    assert found(collection="pictures", folder="2018") == ["1", "2"]
    assert found(collection="Pictures", folder="2018/sea") == ["1"]
    assert found(collection="Other", folder="2019") == ["2"]
    assert found(collection="Pictures", folder="2019") == found(folder="Pictures") == []
    catalog.library.put([replace(image(2), collected=alone)], {}, MODEL)
    assert found(collection="Other", folder="2019") == []
    assert found(collection="Pictures", folder="2018/Sea") == ["1", "2"]


def test_tags_are_searched_of_one_model_under_filters_and_as_they_are_now(
    open_catalog: OpenCatalog,
) -> None:
    searcher, writer = open_catalog(), open_catalog()
    put_tagged(writer, {1: ("horse",), 2: ("horse",)})
    writer.library.put([replace(image(3), tags=("horse",))], embeddings([3]), OTHER_MODEL)
    assert sorted(tagged(searcher, "horse")) == ["1", "2"]
    assert tagged(searcher, "horse", user="USER 2") == ["2"]
    assert tagged(searcher, "horse", tag="cow") == []
    put_tagged(writer, {1: ("cow",)})
    writer.library.put([replace(image(2), tags=("pig", "cow"))], {}, MODEL)
    assert tagged(searcher, "horse") == []
    assert sorted(tagged(searcher, "cow")) == ["1", "2"]


def test_a_word_that_too_many_have_is_not_looked_for_beside_a_rarer_one(catalog: Catalog) -> None:
    """More than any adapter compares at a time."""
    put_tagged(catalog, {n: ("common", "rare") if n == 7 else ("common",) for n in range(510)})
    assert tagged(catalog, "common") == []
    assert tagged(catalog, "common and rare") == ["7"]


@pytest.mark.parametrize("tag", ['a"b', "horse*", "NEAR(a b)", "-horse", "馬", "Ünïcode", "x" * 60])
def test_a_hostile_tag_is_found_by_its_words(catalog: Catalog, tag: str) -> None:
    put_tagged(catalog, {1: (tag,), 2: ("none",)})
    words = words_to_look_for(tag)
    assert tagged(catalog, tag) == (["1"] if words else [])


def test_what_a_new_listing_says_of_an_image_is_filtered_by(open_catalog: OpenCatalog) -> None:
    """By each client, also one that has looked at what was said before."""
    searcher, writer = open_catalog(), open_catalog()
    make_ready(writer, [1, 2, 3])
    vertical, horizontal = (where_of({"orientation": each}) for each in ("vertical", "horizontal"))
    for catalog in (searcher, writer):
        assert not catalog.library.nearest(embedding(2), 5, MODEL, vertical).hits
    turned = replace(stored(2), width=427, height=640)
    writer.library.put([turned], {}, MODEL)
    for catalog in (searcher, writer):
        hits = catalog.library.nearest(embedding(2), 5, MODEL, vertical).hits
        assert [(found, round(cosine, 5)) for found, cosine in hits] == [(turned, 1.0)]
        assert len(catalog.library.nearest(embedding(2), 5, MODEL, horizontal).hits) == 2
        assert len(catalog.library.nearest(embedding(2), 5, MODEL).hits) == 3
    changes: dict[str, dict[str, Any]] = {
        "tag": {"tags": ("new",)},
        "user": {"credit": Credit("new", "Pixabay")},
        "year": {"year": 2013},
    }
    for filter_name, change in changes.items():
        where = where_of({filter_name: "2013" if filter_name == "year" else "New"})
        for catalog in (searcher, writer):
            assert not catalog.library.nearest(embedding(2), 5, MODEL, where).hits
        turned = replace(turned, **change)
        writer.library.put([turned], {}, MODEL)
        for catalog in (searcher, writer):
            hits = catalog.library.nearest(embedding(2), 5, MODEL, where).hits
            assert [found for found, _ in hits] == [turned]


def test_searches_and_writes_at_once_give_images_with_their_own_embeddings(
    catalog: Catalog,
) -> None:
    begin(catalog, range(400))
    cosine_of = {f"pixabay-{n}": float(embedding(n) @ embedding(20)) for n in range(400)}

    def work(n: int) -> None:
        if n % 2:
            record(catalog, range(20 * n, 20 * n + 20))
        hits = catalog.library.nearest(embedding(20), 400, MODEL).hits
        cosines = [cosine for _, cosine in hits]
        assert cosines == sorted(cosines, reverse=True)
        expected = [cosine_of[image.image_id] for image, _ in hits]
        assert cosines == pytest.approx(expected, abs=1e-6)

    at_once(work, 16)  # more searches at a time may be refused
    assert len(catalog.library.nearest(embedding(20), 400, MODEL).hits) == 160


# check, and a second client


def test_check_returns_when_the_catalog_answers(catalog: Catalog) -> None:
    catalog.check()


def test_another_client_sees_the_same(open_catalog: OpenCatalog, policy: PoolPolicy) -> None:
    first = open_catalog()
    make_ready(first, [2, 1])
    first.request_pool(KEY, later(policy.max_age_seconds))
    first.record_error(POOL, 2, "slow")
    second = open_catalog()
    assert second.pool(POOL) == first.pool(POOL)
    assert listing_of(second) == listing_of(first) == listing([2, 1])
    assert second.packed_pool(POOL, 1, MODEL).images == (stored(2), stored(1))


def facts(n: int, colour: str = "red") -> PixelFacts:
    return PixelFacts(-n, colour_bit(colour))


def record_pixels(catalog: Catalog, pixels: dict[str, PixelFacts]) -> None:
    """Embed images of the first generation, with what is kept of their pixels where it is."""
    numbers = [1, 2, 3]
    begin(catalog, numbers)
    catalog.record_batch(
        POOL,
        1,
        model_revision=MODEL,
        embeddings=embeddings(numbers),
        pixels=pixels,
        rejections={},
        now=NOW,
    )


def test_what_is_kept_of_pixels_comes_back_with_the_embeddings(catalog: Catalog) -> None:
    kept = {"pixabay-1": facts(2**63), "pixabay-2": facts(-(2**63) + 1, "brown")}
    record_pixels(catalog, kept)
    images = catalog.packed_pool(POOL, 1, MODEL).images
    assert {each.image_id: each.pixels for each in images} == {**kept, "pixabay-3": None}
    hits = catalog.library.nearest(embedding(1), 5, MODEL).hits
    assert {image.image_id: image.pixels for image, _ in hits} == {**kept, "pixabay-3": None}
    assert [image.colours for image, _ in sorted(hits, key=lambda hit: hit[0].image_id)] == [
        *(each.colours for each in kept.values()),
        0,
    ]


def test_an_image_of_whose_pixels_nothing_is_kept_is_to_be_embedded_again(
    catalog: Catalog,
) -> None:
    """A version before this one left it so; its pool is answered from it all the same."""
    begin(catalog, [1, 2])
    record(catalog, [1], has_pixels=False)
    ready = record(catalog, [2])
    assert ready is not None
    assert ready.current.state is PoolState.READY
    ids = ["pixabay-1", "pixabay-2"]
    assert catalog.library.embedded(ids, MODEL) == {"pixabay-2"}
    assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 2
    record(catalog, [1])
    assert catalog.library.embedded(ids, MODEL) == set(ids)


def test_a_later_listing_takes_nothing_from_what_is_kept_of_pixels(catalog: Catalog) -> None:
    kept = {f"pixabay-{n}": facts(n) for n in (1, 2, 3)}
    record_pixels(catalog, kept)
    renewed = [replace(image(n), tags=("new",), width=7) for n in (1, 2, 3)]
    catalog.library.put(renewed, {}, MODEL)
    hits = catalog.library.nearest(embedding(1), 5, MODEL, where_of({"colour": "red"})).hits
    assert sorted((each for each, _ in hits), key=lambda each: each.image_id) == [
        replace(each, pixels=kept[each.image_id]) for each in renewed
    ]


def test_what_is_kept_of_pixels_is_replaced_with_the_embedding(catalog: Catalog) -> None:
    record_pixels(catalog, {"pixabay-1": facts(1)})
    red, blue = (where_of({"colour": name}) for name in ("red", "blue"))
    assert len(catalog.library.nearest(embedding(1), 5, MODEL, red).hits) == 1
    renewed = replace(image(1), pixels=facts(7, "blue"))
    catalog.library.put([renewed], embeddings([1]), MODEL)
    assert not catalog.library.nearest(embedding(1), 5, MODEL, red).hits
    assert [each for each, _ in catalog.library.nearest(embedding(1), 5, MODEL, blue).hits] == [
        renewed
    ]


def test_a_forgotten_image_is_found_no_more_by_any_client_or_model(
    open_catalog: OpenCatalog,
) -> None:
    catalog, other = open_catalog(), open_catalog()
    begin(catalog, range(3))
    for revision in (MODEL, OTHER_MODEL):
        record(catalog, range(3), model_revision=revision)
        images = [replace(stored(n), tags=("horse",)) for n in range(3)]
        catalog.library.put(images, embeddings(range(3)), revision)
    assert len(other.library.nearest(embedding(1), 5, MODEL).hits) == 3
    catalog.library.forget(["pixabay-1", "pixabay-99"])
    catalog.library.forget([])
    for library, revision in product((catalog.library, other.library), (MODEL, OTHER_MODEL)):
        left = {"pixabay-0", "pixabay-2"}
        assert library.embedded(["pixabay-0", "pixabay-1", "pixabay-2"], revision) == left
        hits = library.nearest(embedding(1), 5, revision).hits
        assert {each.image_id for each, _ in hits} == left
        where = where_of({"tag": "horse"})
        hits = library.nearest(embedding(1), 5, revision, where).hits
        assert {each.image_id for each, _ in hits} == left
        assert "pixabay-1" not in library.vectors(["pixabay-1"], revision)[0]
        tagged = library.tagged(words_to_look_for("horse"), embedding(0), 5, revision).hits
        assert {each.image_id for each, _ in tagged} == left
        assert library.coverage(revision) == Coverage(2, 2)
        assert "pixabay-1" not in {each.image_id for each in library.waiting("none")}


def test_a_forgotten_image_that_is_stored_again_is_found_again(catalog: Catalog) -> None:
    make_ready(catalog, [0, 1])
    catalog.library.forget(["pixabay-1"])
    catalog.library.put([stored(1)], embeddings([1]), MODEL)
    hits = catalog.library.nearest(embedding(1), 1, MODEL).hits
    assert [each.image_id for each, _ in hits] == ["pixabay-1"]


def test_a_forgotten_pool_is_gone_and_none_of_its_numbers_comes_again(
    open_catalog: OpenCatalog,
) -> None:
    catalog, other = open_catalog(), open_catalog()
    begin(catalog, [1, 2])
    catalog.fail(POOL, 1, "why", NOW)
    again = later(60)
    assert catalog.request_pool(KEY, again).pool.current.number == 2
    catalog.record_listing(POOL, 2, listing([1]), again)
    catalog.pools.forget(POOL)
    catalog.pools.forget("none")
    assert list(other.pools.pool_ids()) == []
    assert (other.pool(POOL), other.members(POOL, 1), other.members(POOL, 2)) == (None,) * 3
    assert catalog.begin_fetch(POOL, 2, again) is None
    assert record(catalog, [1], generation=2, now=again) is None
    assert other.request_pool(KEY, again).pool.current.number > 2


def test_a_pool_is_named_by_what_any_of_its_listings_has(catalog: Catalog) -> None:
    other = PoolKey.of("cow", SourceOptions())
    begin(catalog, [1, 2])
    begin(catalog, [2, 3], other)
    catalog.request_pool(PoolKey.of("new", SourceOptions()), NOW)
    naming = catalog.pools.naming
    assert list(naming(["pixabay-1"])) == [POOL]
    assert set(naming(["pixabay-2", "pixabay-9"])) == {POOL, other.pool_id}
    assert list(naming(["pixabay-9", "pixabay", "1"])) == list(naming([])) == []


def test_what_was_taken_down_is_kept_with_when_and_why_until_it_is_allowed(
    open_catalog: OpenCatalog,
) -> None:
    retention, other = open_catalog().retention, open_catalog().retention
    assert (retention.withdrawn(), other.version()) == ({}, "")
    first = [Withdrawal(f"pixabay-{n}", NOW.replace(microsecond=0), f"why {n} ü") for n in (1, 2)]
    versions = [other.version()]
    retention.withdraw(first)
    versions.append(other.version())
    assert other.withdrawn() == {each.image_id: each for each in first}
    second = Withdrawal("pixabay-1", later(60).replace(microsecond=0), "")
    retention.withdraw([second])
    versions.append(other.version())
    assert other.withdrawn()["pixabay-1"] == second
    retention.allow(["pixabay-1", "pixabay-9"])
    versions.append(other.version())
    assert set(other.withdrawn()) == {"pixabay-2"}
    retention.note_forgotten()
    versions.append(other.version())
    assert len(set(versions)) == len(versions)
    assert other.version() == versions[-1]


def test_what_was_used_last_before_a_day_is_unused_the_oldest_first(
    open_catalog: OpenCatalog,
) -> None:
    retention, other = open_catalog().retention, open_catalog().retention
    retention.note_used(["c", "a"], 10)
    retention.note_used(["b", "d"], 11)
    retention.note_used(["a"], 20)
    retention.note_used(["a"], 15)  # of a clock that stepped back
    retention.note_used([], 9)
    assert other.unused(10, 9) == []
    assert other.unused(11, 9) == ["c"]
    assert other.unused(20, 9) == ["c", "b", "d"]
    assert other.unused(20, 2) == ["c", "b"]
    assert other.unused(21, 9)[-1] == "a"
    retention.drop_uses(["c", "d", "never noted"])
    assert other.unused(21, 9) == ["b", "a"]
    retention.drop_uses(["b", "a"])
    assert other.unused(99, 9) == []


def test_a_batch_that_is_embedded_is_used_that_day_and_own_pictures_never_are(
    catalog: Catalog,
) -> None:
    own = replace(image(7), image_id=f"own-{'0' * 32}", object_name=f"own-{'0' * 32}.jpg")
    catalog.request_pool(KEY, NOW)
    images = (listed(1), listed(2), ListedImage(own, ""))
    catalog.record_listing(POOL, 1, Listing(images), NOW)
    catalog.library.put([stored(2)], embeddings([2]), MODEL)
    record(catalog, [1], reused=[2])
    catalog.record_batch(
        POOL,
        1,
        model_revision=MODEL,
        embeddings={own.image_id: embedding(7)},
        rejections={},
        now=NOW,
    )
    today = int(NOW.timestamp() // 86_400)
    assert catalog.retention.unused(today, 9) == []
    assert catalog.retention.unused(today + 1, 9) == ["pixabay-1", "pixabay-2"]
