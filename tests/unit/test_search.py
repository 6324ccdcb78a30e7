"""The life of a pool (design §5), seen by those who search."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from imagesearch.adapters.caches.in_process import InProcessCache
from imagesearch.domain.errors import InvalidRequest, NotFound, SourceRefused, Unavailable
from imagesearch.domain.images import Listing
from imagesearch.domain.pools import PoolKey, PoolState
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.domain.ranking import SearchHit, Thresholds
from imagesearch.domain.tag_words import said_by
from imagesearch.domain.work import EmbedBatch, FetchJob, PoolMessage
from imagesearch.ports import Scorer, ScoreReply
from imagesearch.usecases.cache_slots import POOL, STATE
from tests.world import World, listed


def advance(world: World, seconds: float) -> None:
    world.clock.time += timedelta(seconds=seconds)


def test_the_first_search_publishes_a_fetch_job_and_says_fetching(world: World) -> None:
    answer = world.ask("  Horse ")
    assert answer.hits is None
    assert not answer.complete
    assert answer.pool is not None
    assert answer.pool.current.state is PoolState.REQUESTED
    [job] = world.outbox.messages
    assert isinstance(job, FetchJob)
    assert (job.keyword, job.generation, job.options.pool_size) == ("horse", 1, 200)


def test_only_the_first_search_of_a_keyword_wakes_the_embedder(world: World) -> None:
    """Its cold start runs beside the fetch; a pool that is there needs none."""
    world.ask()
    world.ask()
    assert len(world.woken) == 1
    world.ask("another keyword")
    assert len(world.woken) == 2


def test_a_job_is_published_though_nobody_can_be_woken(world: World) -> None:
    """Else the pool would wait for its lease to end, each time."""

    def wake() -> None:
        raise Unavailable("SCORER_URL is missing")

    world.search = replace(world.search, wake=wake)
    with pytest.raises(Unavailable, match="SCORER_URL"):
        world.ask()
    assert len(world.outbox.messages) == 1


def test_a_ready_pool_wakes_nobody(world: World) -> None:
    world.ready_pool(count=1)
    world.woken.clear()
    world.ask()
    assert world.woken == []


def test_spellings_of_one_keyword_share_a_pool(world: World) -> None:
    pools = [world.ask(keyword).pool for keyword in ("Horse", " horse ", "ＨＯＲＳＥ")]
    assert len({pool.pool_id for pool in pools if pool}) == 1
    assert len(world.outbox.messages) == 1


def test_a_ready_pool_is_answered_with_the_nearest_image_first(world: World) -> None:
    world.ready_pool(count=5)
    answer = world.ask(query="twin-3", top_k=2)
    assert answer.complete
    assert answer.hits is not None
    assert answer.hits[0].image.image_id == "twin-3"
    assert len(answer.hits) == 2
    assert answer.hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert answer.hits[0].logit == pytest.approx(100.0, abs=0.1)
    assert 0.99 < answer.hits[0].relevance <= 1.0


def test_asking_for_more_than_the_pool_has_is_not_an_error(world: World) -> None:
    world.ready_pool(count=3)
    answer = world.ask(top_k=200)
    assert answer.hits is not None
    assert len(answer.hits) == 3


def test_a_pool_of_one_image_is_answered(world: World) -> None:
    world.ready_pool(count=1)
    answer = world.ask()
    assert answer.hits is not None
    assert [hit.relevance for hit in answer.hits] == [1.0]


def test_no_image_for_the_keyword_is_a_remembered_answer(world: World) -> None:
    world.ask("qwxyz")
    world.deliver_all()
    for _ in range(3):
        answer = world.ask("qwxyz")
        assert answer.hits == ()
        assert answer.complete
    assert world.source.listings == 1


def test_a_pool_whose_every_image_was_rejected_is_ready_and_empty(world: World) -> None:
    world.offer("horse", 2)
    world.source.download = lambda image: b"<html>"  # type: ignore[method-assign]
    world.ask()
    world.deliver_all()
    answer = world.ask()
    assert answer.hits == ()
    assert answer.pool is not None
    assert (answer.pool.answering.images, answer.pool.answering.rejected) == (2, 2)


def test_searches_are_answered_from_what_is_embedded_so_far(world: World) -> None:
    world.offer("horse", 20)
    world.ask()
    world.deliver()  # the fetch: two batches follow
    first, second = world.take(), world.take()
    assert isinstance(first, EmbedBatch)
    world.deliver(first)
    answer = world.ask(top_k=100)
    assert answer.hits is not None
    assert len(answer.hits) == len(first.images) < 20
    assert not answer.complete
    world.deliver(second)
    assert world.ask().complete


@dataclass
class WhileScoring:
    """A scorer before whose answer something happens."""

    scorer: Scorer
    happens: Callable[[], object]

    def score(self, request: ScoreRequest) -> ScoreReply:
        self.happens()
        return self.scorer.score(request)


def test_the_counts_of_an_answer_are_of_the_images_that_were_scored(world: World) -> None:
    """Though more were embedded after the pool was read: never "10 of 8 images"."""
    world.offer("horse", 40)
    world.ask()
    world.deliver()
    first, second, third = world.take(), world.take(), world.take()
    world.deliver(first)
    world.search = replace(
        world.search, scorer=WhileScoring(world.score, lambda: world.deliver(second))
    )
    answer = world.ask(top_k=200)
    assert answer.hits is not None
    assert answer.pool is not None
    shown = answer.pool.answering
    assert isinstance(first, EmbedBatch)
    assert isinstance(second, EmbedBatch)
    assert len(answer.hits) == shown.embedded == len(first.images) + len(second.images)
    assert (shown.images, answer.complete) == (40, False)
    world.search = replace(
        world.search, scorer=WhileScoring(world.score, lambda: world.deliver(third))
    )
    answer = world.ask(top_k=200)
    assert answer.pool is not None
    assert answer.pool.answering.embedded == len(answer.hits or ()) == 40
    assert world.ask(top_k=200).complete


def test_a_search_waits_for_its_pool_and_answers_as_soon_as_it_is_ready(world: World) -> None:
    world.offer("horse", 5)
    world.clock.during_sleep = [lambda: None, world.deliver_all]
    started = world.clock.now()
    answer = world.ask(wait_seconds=10)
    assert answer.complete
    assert answer.hits is not None
    assert world.clock.now() - started == timedelta(seconds=0.2)


def test_a_search_stops_waiting_when_its_wait_ends(world: World) -> None:
    started = world.clock.now()
    answer = world.ask(wait_seconds=2.5)
    assert answer.hits is None
    assert (world.clock.now() - started).total_seconds() == pytest.approx(2.5, abs=0.01)


def test_a_search_waits_no_more_when_its_process_is_asked_to_end(world: World) -> None:
    world.clock.during_sleep = [lambda: None, world.search.wait_no_more]
    assert world.ask(wait_seconds=25).hits is None
    assert world.clock.monotonic() < 1


def test_a_waiting_search_looks_at_the_catalog_each_second(world: World) -> None:
    """Of two notes at once the older may stay in the cache; the truth is found all the same."""
    world.offer("horse", 5)
    requested = world.ask().pool
    assert requested is not None
    world.deliver_all()
    world.cache.put(STATE, requested.pool_id, requested)  # a note that came late
    started = world.clock.now()
    assert world.ask(wait_seconds=10).complete
    assert (world.clock.now() - started).total_seconds() <= 1.2


@pytest.mark.parametrize("step_seconds", [-7200, -3600, 3600])
def test_a_search_waits_as_long_as_it_was_told_when_the_clock_steps(
    world: World, step_seconds: float
) -> None:
    world.clock.during_sleep = [lambda: None, lambda: advance(world, step_seconds)]
    assert world.ask(wait_seconds=2.5).hits is None
    assert world.clock.monotonic() == pytest.approx(2.5, abs=0.01)


def test_a_waiting_search_looks_at_the_catalog_each_second_when_the_clock_steps_back(
    world: World,
) -> None:
    world.offer("horse", 5)

    def become_ready_unnoticed() -> None:
        requested = world.cache.get(STATE, world.outbox.messages[0].pool_id)
        assert requested is not None
        world.deliver_all()
        world.cache.put(STATE, requested.pool_id, requested)  # a note that came late

    world.clock.during_sleep = [lambda: advance(world, -3600), become_ready_unnoticed]
    assert world.ask(wait_seconds=10).complete
    assert world.clock.monotonic() <= 1.2


def test_a_failed_pool_says_to_come_back_soon_when_the_clock_has_stepped_back(
    world: World,
) -> None:
    world.source.listing_errors += [SourceRefused("bad key"), SourceRefused("bad key")]
    world.ask()
    world.deliver()
    advance(world, -3600)
    world.ask()
    assert len(world.outbox.messages) == 1, "it is tried again"
    world.deliver()
    with pytest.raises(Unavailable) as caught:
        world.ask()
    assert caught.value.retry_after_seconds == pytest.approx(60)


class TimedCache(InProcessCache):
    """A cache that notes for how long it is to keep what is put for a time of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, list[float]] = {}

    def put(self, slot: Any, key: Any, value: Any, *, ttl_seconds: float | None = None) -> None:
        if ttl_seconds is not None:
            self.seconds.setdefault(slot.prefix, []).append(ttl_seconds)
        super().put(slot, key, value, ttl_seconds=ttl_seconds)


def test_a_pool_from_before_the_clock_stepped_back_is_cached_for_a_day_at_most(
    world: World,
) -> None:
    world.cache = cache = TimedCache()
    world.assemble()
    world.offer("horse", 5)
    world.ask()
    world.deliver_all()
    advance(world, -7200)
    world.ask()
    assert cache.seconds[POOL.prefix] == [86_400.0]


def test_a_search_over_the_number_that_may_wait_answers_at_once(world: World) -> None:
    places = [world.search._places.acquire(blocking=False) for _ in range(64)]
    assert all(places)
    started = world.clock.now()
    assert world.ask(wait_seconds=10).hits is None
    assert world.clock.now() == started


def test_fifty_simultaneous_first_searches_publish_one_job(world: World) -> None:
    barrier = threading.Barrier(50)

    def ask() -> None:
        barrier.wait()
        world.ask()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.outbox.messages) == 1


def test_a_warm_search_encodes_one_text_and_no_image(world: World) -> None:
    world.ready_pool(count=5)
    images, texts = world.encoder.images, world.encoder.texts
    world.ask(query="a new sentence")
    assert (world.encoder.images - images, world.encoder.texts - texts) == (0, 1)


def test_a_query_seen_before_is_not_encoded_again(world: World) -> None:
    world.ready_pool(count=5)
    world.ask(query="a sentence")
    texts = world.encoder.texts
    world.ask(query="a sentence")
    assert world.encoder.texts == texts


def test_a_stale_pool_answers_at_once_while_its_next_generation_is_fetched(world: World) -> None:
    world.ready_pool(count=5)
    advance(world, 86_401)
    world.offer("horse", 7)
    answer = world.ask(top_k=100, wait_seconds=10)
    assert answer.hits is not None
    assert len(answer.hits) == 5
    [job] = world.outbox.messages
    assert isinstance(job, FetchJob)
    assert job.generation == 2
    world.ask()
    assert len(world.outbox.messages) == 1, "one refresh at a time"
    world.deliver_all()
    refreshed = world.ask(top_k=100)
    assert refreshed.hits is not None
    assert len(refreshed.hits) == 7
    assert world.encoder.images == 7, "the five known images were not embedded again"
    assert sorted(world.source.downloads) == sorted(f"twin-{i}" for i in range(7))


def test_lost_work_is_published_again_when_its_lease_ends(world: World) -> None:
    world.offer("horse", 5)
    world.ask()
    world.outbox.messages.clear()  # as a subscription that is made anew does
    advance(world, 3599)
    world.ask()
    assert world.outbox.messages == []
    advance(world, 2)
    world.ask()
    [job] = world.outbox.messages
    assert isinstance(job, FetchJob)
    assert job.generation == 1
    world.deliver_all()
    assert world.ask().complete


def test_work_that_advances_keeps_its_lease(world: World) -> None:
    world.offer("horse", 40)
    world.ask()
    world.deliver()
    batches = [world.take() for _ in range(3)]
    for batch in batches:
        advance(world, 50)
        world.ask()
        assert world.outbox.messages == []
        world.deliver(batch)
    assert world.ask().complete


def test_a_winner_that_died_before_it_published_is_soon_made_up_for(world: World) -> None:
    world.offer("horse", 5)
    key = PoolKey.of("horse", world.options)
    assert world.catalog.request_pool(key, world.clock.now()).created
    world.ask()
    assert world.outbox.messages == []
    advance(world, 61)
    world.ask()
    assert len(world.outbox.messages) == 1


@pytest.mark.slow
def test_no_job_is_published_again_while_it_waits_behind_others(world: World) -> None:
    """Each job, and then each batch, waits for many minutes, and all are searched meanwhile."""
    keywords = [f"keyword {n}" for n in range(20)]
    for keyword in keywords:
        world.offer(keyword, 10)
        world.ask(keyword)
    published: list[PoolMessage] = []
    while world.outbox.messages:
        published.append(world.take())
        assert len(published) <= 60, "something is published again and again"
        advance(world, 60)
        world.deliver(published[-1])
        for keyword in keywords:
            world.ask(keyword)
    jobs = [one.pool_id for one in published if isinstance(one, FetchJob)]
    batches = [one for one in published if isinstance(one, EmbedBatch)]
    assert len(jobs) == len(set(jobs)) == 20
    assert len(batches) == len({(one.pool_id, one.images) for one in batches}) == 40
    assert all(world.ask(keyword).complete for keyword in keywords)


def test_a_failed_publish_surfaces_and_the_next_lease_tries_again(world: World) -> None:
    world.outbox.errors.append(Unavailable("the topic is down"))
    with pytest.raises(Unavailable, match="the topic is down"):
        world.ask()
    advance(world, 61)
    world.ask()
    assert len(world.outbox.messages) == 1


def test_a_failed_pool_says_why_and_is_tried_again_after_its_rest(world: World) -> None:
    world.source.listing_errors.append(SourceRefused("Pixabay refused the API key"))
    world.ask()
    world.deliver()
    with pytest.raises(Unavailable, match="Pixabay refused the API key") as caught:
        world.ask()
    assert caught.value.retry_after_seconds == pytest.approx(60)
    assert world.outbox.messages == []
    advance(world, 61)
    world.offer("horse", 5)
    assert world.ask().hits is None
    world.deliver_all()
    answer = world.ask()
    assert answer.complete
    assert answer.pool is not None
    assert answer.pool.current.number == 2
    assert answer.pool.current.reason is None


def test_a_failed_pool_with_images_is_answered_from_them(world: World) -> None:
    world.offer("horse", 20)
    world.ask()
    world.deliver()
    batch, lost = world.take(), world.take()
    assert isinstance(batch, EmbedBatch)
    world.deliver(batch)
    world.give_up(lost.pool_id, lost.generation, "gave up after 5 attempts")
    answer = world.ask(top_k=100)
    assert answer.hits is not None
    assert len(answer.hits) == len(batch.images) < 20
    assert not answer.complete
    assert answer.pool is not None
    assert answer.pool.current.state is PoolState.FAILED


def test_a_failed_refresh_keeps_the_stale_images_on_show(world: World) -> None:
    world.ready_pool(count=5)
    advance(world, 86_401)
    world.ask()
    job = world.take()
    world.give_up(job.pool_id, job.generation, "Pixabay is down")
    answer = world.ask()
    assert answer.hits is not None
    assert len(answer.hits) == 5


def test_losing_the_cache_loses_nothing(world: World) -> None:
    world.ready_pool(count=5)
    images, listings = world.encoder.images, world.source.listings
    world.restart()
    answer = world.ask(query="twin-2")
    assert answer.hits is not None
    assert answer.hits[0].image.image_id == "twin-2"
    assert (world.encoder.images, world.source.listings) == (images, listings)
    assert world.outbox.messages == []


def test_a_warm_search_asks_only_the_cache_for_the_pools_state(world: World) -> None:
    pool = world.ready_pool(count=5)
    world.restart()
    world.ask()
    assert world.cache.get(STATE, pool.pool_id) == pool


def test_a_new_model_embeds_the_stored_originals_again_without_a_fetch(world: World) -> None:
    world.ready_pool(count=40)
    downloads = len(world.source.downloads)
    world.encoder.model_revision = "twin-2"
    world.restart()
    assert world.ask().hits is None
    assert world.ask().hits is None
    assert len(world.outbox.messages) == 1, "one re-embedding at a time"
    world.deliver_all()
    answer = world.ask(query="twin-7")
    assert answer.complete
    assert answer.hits is not None
    assert answer.hits[0].image.image_id == "twin-7"
    assert answer.hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert (len(world.source.downloads), world.source.listings) == (downloads, 1)


def test_a_search_that_lost_the_race_to_embed_again_waits_like_the_winner(world: World) -> None:
    ready = world.ready_pool(count=5)
    world.encoder.model_revision = "twin-2"
    world.restart()
    world.ask()
    world.cache.put(STATE, ready.pool_id, ready)  # what the loser read before the winner wrote
    answer = world.ask()
    assert (answer.hits, answer.complete) == (None, False)
    assert len(world.outbox.messages) == 1


def test_a_stale_pool_of_another_model_says_fetching_until_its_refresh(world: World) -> None:
    world.ready_pool(count=5)
    advance(world, 86_401)
    world.encoder.model_revision = "twin-2"
    world.restart()
    answer = world.ask()
    assert (answer.hits, answer.complete) == (None, False)
    world.deliver_all()
    assert world.ask().complete
    assert world.source.listings == 2


def test_a_generation_that_was_just_replaced_can_still_be_scored(world: World) -> None:
    old = world.ready_pool(count=5)
    advance(world, 86_401)
    world.ask()
    world.deliver_all()
    world.assemble()  # nothing is kept in process
    request = ScoreRequest(
        pool_id=old.pool_id, generation=1, query=Query.of_text("twin-2"), top_k=1
    )
    assert world.score.score(request).hits[0].image.image_id == "twin-2"
    with pytest.raises(NotFound, match="there is no generation 7"):
        world.score.score(replace(request, generation=7))


def test_pools_kept_in_process_are_counted_in_bytes(world: World) -> None:
    """A matrix of 16 dimensions in float32, and what Python needs for an image."""
    world.ready_pool("horse", 5)
    world.ready_pool("star", 8)
    assert world.score._pools.currsize == (5 + 8) * (16 * 4 + 2900)


def test_the_tags_of_a_pool_are_read_once_for_all_searches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.encoder.thresholds = Thresholds(0.3, 0.2, 0.1)
    world.ready_pool(count=5)
    world.ask(query="a horse")
    read: list[tuple[str, ...]] = []

    def reading(tags: tuple[str, ...]) -> frozenset[str]:
        read.append(tags)
        return said_by(tags)

    monkeypatch.setattr("imagesearch.usecases.candidates.said_by", reading)
    assert world.ask(query="a dog").complete
    assert read == []


def test_equal_images_of_a_pool_are_ordered_by_image_id(world: World) -> None:
    pool = world.ready_pool(count=61)
    same = world.encoder.encode_text("the same").vector
    world.catalog.record_batch(
        pool.pool_id,
        1,
        model_revision=world.encoder.model_revision,
        embeddings={f"twin-{n}": same for n in range(61)},
        rejections={},
        now=world.clock.now(),
    )
    world.cache = InProcessCache()
    world.assemble()
    for k in (1, 7, 61):
        hits = world.ask(query=f"another {k}", top_k=k, fold=False).hits or ()
        assert [hit.image.image_id for hit in hits] == sorted(f"twin-{n}" for n in range(61))[:k]


def test_searching_the_catalog_needs_no_keyword_and_sees_every_pool(world: World) -> None:
    world.ready_pool("horse", 5)
    world.ready_pool("star", 8)
    answer = world.ask("", scope="catalog", query="twin-7", top_k=3)
    assert answer.pool is None
    assert answer.complete
    assert answer.hits is not None
    assert answer.hits[0].image.image_id == "twin-7"
    assert len(answer.hits) == 3


def test_searching_the_catalog_tells_that_images_await_a_new_model(world: World) -> None:
    world.ready_pool("horse", 5)
    world.ready_pool("star", 8)  # 0 to 4 are in both
    world.encoder.model_revision = "twin-2"
    world.restart()
    answer = world.ask("", scope="catalog")
    assert (answer.hits, answer.complete, answer.pool) == ((), False, None)
    world.ask("horse")
    world.deliver_all()
    world.clock.sleep(6)  # they are counted now and then
    answer = world.ask("", scope="catalog", top_k=200)
    assert (len(answer.hits or ()), answer.complete) == (5, False)
    assert answer.covered == 5 / 8
    world.ask("star")
    world.deliver_all()
    world.clock.sleep(6)  # they are counted now and then
    answer = world.ask("", scope="catalog", top_k=200)
    assert (len(answer.hits or ()), answer.complete) == (8, True)


def test_searching_an_empty_catalog_finds_nothing(world: World) -> None:
    assert world.ask("", scope="catalog").hits == ()


def test_a_long_query_says_that_it_was_cut(world: World) -> None:
    world.ready_pool()
    assert world.ask(query="x" * 400).query_truncated
    assert not world.ask(query="x").query_truncated


def test_a_pool_can_be_looked_at(world: World) -> None:
    pool = world.ready_pool()
    assert world.search.pool(pool.pool_id).current.state is PoolState.READY
    with pytest.raises(NotFound, match="there is no pool"):
        world.search.pool("0" * 32)


def test_every_listed_image_is_embedded_once_in_batches_of_at_most_32(world: World) -> None:
    world.offer("horse", 100)
    world.ask()
    world.deliver()
    batches = [message for message in world.outbox.messages if isinstance(message, EmbedBatch)]
    ids = [image.image_id for batch in batches for image in batch.images]
    assert sorted(ids) == sorted(f"twin-{i}" for i in range(100))
    assert max(len(batch.images) for batch in batches) == 32
    world.deliver_all()
    assert world.encoder.images == 100


# Filters


def offer_sides(world: World, keyword: str = "horse") -> None:
    """Have a ready pool of horizontal, vertical and square images in turn, and 8 of no size."""
    sides = [(640, 427), (427, 640), (500, 500)] * 3
    sides[8] = (0, 0)
    images = [
        replace(each, image=replace(each.image, width=width, height=height))
        for each, (width, height) in zip(map(listed, range(9)), sides, strict=True)
    ]
    world.source.offers[keyword] = Listing(tuple(images))
    world.ask(keyword)
    world.deliver_all()


@pytest.mark.parametrize("scope", ["pool", "catalog"])
@pytest.mark.parametrize(
    ("word", "numbers"),
    [
        ("all", range(9)),
        ("horizontal", (0, 3, 6)),
        ("vertical", (1, 4, 7)),
        ("square", (2, 5)),
    ],
)
def test_as_many_hits_come_back_as_match(
    world: World, scope: str, word: str, numbers: Sequence[int]
) -> None:
    offer_sides(world)
    everything = world.ask(scope=scope, top_k=9)
    filtered = world.ask(scope=scope, top_k=9, filters={"orientation": word})
    assert everything.hits
    assert filtered.hits
    ids = {f"twin-{number}" for number in numbers}
    assert [(hit.image, hit.score) for hit in filtered.hits] == [
        (hit.image, hit.score) for hit in everything.hits if hit.image.image_id in ids
    ]
    assert len(filtered.hits) == len(numbers)
    assert sum(hit.relevance for hit in filtered.hits) == pytest.approx(1.0)
    assert filtered.exhaustive
    assert filtered.complete
    first = world.ask(scope=scope, top_k=1, filters={"orientation": word}).hits
    assert first
    assert [hit.image for hit in first] == [filtered.hits[0].image]


def test_a_pool_is_counted_whole_and_what_matches_beside_it(world: World) -> None:
    offer_sides(world)
    answer = world.ask(filters={"orientation": "square"}, top_k=1)
    assert answer.pool is not None
    assert (answer.pool.answering.images, answer.pool.answering.embedded) == (9, 9)
    assert (answer.matching, world.ask().matching) == (2, 9)
    assert world.ask(scope="catalog", filters={"orientation": "square"}).matching is None


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_where_nothing_matches_the_answer_is_empty_and_complete(world: World, scope: str) -> None:
    """Nor is the pool taken for one that another model embedded, and embedded again."""
    world.ready_pool(count=3)
    answer = world.ask(scope=scope, filters={"orientation": "vertical"})
    assert (answer.hits, answer.complete) == ((), True)
    assert answer.matching == (0 if scope == "pool" else None)
    assert world.outbox.messages == []


def test_no_copy_of_one_filter_answers_another(world: World) -> None:
    """What is cached is of the pool and of the words, whatever leaves some of it out."""
    offer_sides(world)
    words = ["vertical", "all", "square", "horizontal", "vertical", "all"]
    first = [world.ask(top_k=9, filters={"orientation": word}).hits for word in words]
    world.restart()
    again = [world.ask(top_k=9, filters={"orientation": word}).hits for word in words[::-1]]
    assert [list(map(_id, hits or ())) for hits in first] == [
        list(map(_id, hits or ())) for hits in again[::-1]
    ]
    assert [len(hits or ()) for hits in first] == [3, 9, 2, 3, 3, 9]
    assert world.encoder.texts == 2, "one for each process"


def _id(hit: SearchHit) -> str:
    return hit.image.image_id


def test_what_is_embedded_so_far_is_filtered(world: World) -> None:
    world.source.offers["horse"] = Listing(tuple(listed(n) for n in range(10)))
    world.ask()
    world.deliver()  # the fetch job, of which two batches come
    world.deliver()
    none = world.ask(filters={"orientation": "vertical"})
    some = world.ask(filters={"orientation": "horizontal"}, top_k=10)
    assert (none.hits, none.complete, none.matching) == ((), False, 0)
    assert none.pool
    assert 0 < none.pool.answering.embedded < 10
    assert len(some.hits or ()) == some.matching == none.pool.answering.embedded
    assert not some.complete


def test_the_scorer_refuses_a_filter_that_it_does_not_know(world: World) -> None:
    pool = world.ready_pool(count=1)
    for filters in ({"shape": "round"}, {"orientation": "diagonal"}):
        request = ScoreRequest(
            pool_id=pool.pool_id, generation=1, query=Query.of_text("x"), top_k=1, filters=filters
        )
        with pytest.raises(InvalidRequest, match="must be one of"):
            world.score.score(request)
