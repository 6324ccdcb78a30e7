"""Forgetting: after it no door, port or cache has what was forgotten, and all else stays."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.forgetting import TAKEN_DOWN, Forgotten, Withdrawal, object_names_of
from imagesearch.domain.images import Listing
from imagesearch.domain.pools import PoolKey, SourceOptions
from imagesearch.domain.queries import ImagePart, Query, SearchRequest
from imagesearch.domain.ranking import SearchHit
from imagesearch.domain.work import EmbedBatch, ForgetJob
from imagesearch.local.embedded.services import EmbeddedServices, StoredCollections
from imagesearch.settings import load_settings
from imagesearch.usecases.cache_slots import BYTES, POOL, STATE
from imagesearch.usecases.forget import Forget
from imagesearch.usecases.search import SearchAnswer
from imagesearch.usecases.withdrawn import FOLLOW_SECONDS, Withdrawn
from tests.world import SetClock, TwinEncoder, World, listed, original

MODEL = "twin-1"
DAY_SECONDS = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def forget_of(world: World) -> Forget:
    return Forget(world.catalog, world.store, world.cache, world.clock)


def down(*image_ids: str, reason: str = "") -> ForgetJob:
    return ForgetJob(image_ids, reason)


def shown(answer: SearchAnswer) -> set[str]:
    """Return the images that an answer has, those that are folded under others, too."""
    hits: tuple[SearchHit, ...] = answer.hits or ()
    return {each for hit in hits for each in (hit.image.image_id, *hit.similar)}


def everything(world: World) -> SearchAnswer:
    query = Query.of_text("twin-1")
    return world.search(SearchRequest("", query, top_k=50, wait_seconds=0.0, scope="catalog"))


def alike(world: World, image_id: str) -> SearchAnswer:
    query = Query((ImagePart(image_id),))
    return world.search(SearchRequest("", query, top_k=50, wait_seconds=0.0, scope="catalog"))


def assert_nothing_names(world: World, image_id: str) -> None:
    """Ask every method of every port that tells of images."""
    library, pools = world.catalog.library, world.catalog.pools
    assert library.embedded([image_id], MODEL) == set()
    assert library.vectors([image_id], MODEL)[0] == {}
    query = world.encoder.encode_text(image_id).vector
    hits = library.nearest(query, 1000, MODEL).hits
    assert image_id not in {each.image_id for each, _ in hits}
    number = image_id.removeprefix("twin-")
    tagged = library.tagged([number, "tag"], query, 1000, MODEL).hits
    assert image_id not in {each.image_id for each, _ in tagged}
    assert image_id not in {each.image_id for each in library.waiting("another")}
    assert list(pools.naming([image_id])) == []
    for pool_id in pools.pool_ids():
        for generation in range(1, 10):
            members = pools.members(pool_id, generation)
            assert members is None or image_id not in members.marks.image_ids
    assert world.store.existing(object_names_of(image_id)) == set()
    for name in object_names_of(image_id):
        with pytest.raises(NotFound):
            world.store.get(name)
    assert world.cache.get(BYTES, image_id) is None
    assert image_id not in world.catalog.retention.unused(10**6, 10**6)


def assert_nobody_is_shown(world: World, image_id: str, *keywords: str) -> None:
    """Ask whoever answers in the process, whatever it has kept."""
    for keyword in keywords:
        assert image_id not in shown(world.ask(keyword, top_k=50))
    assert image_id not in shown(everything(world))
    with pytest.raises(NotFound, match=image_id):
        alike(world, image_id)


def test_a_picture_that_is_taken_down_is_nowhere_and_does_not_come_back(world: World) -> None:
    for keyword in ("horse", "cow"):
        world.ready_pool(keyword, 5)
    everything(world)
    forgotten = forget_of(world)(down("twin-3", reason="asked for"))
    assert forgotten == Forgotten(images=1, originals=1, pools=2)
    assert_nothing_names(world, "twin-3")
    world.clock.sleep(FOLLOW_SECONDS)
    assert_nobody_is_shown(world, "twin-3")
    for keyword in ("horse", "cow"):
        world.ask(keyword)
        world.deliver_all()
        answer = world.ask(keyword, top_k=50)
        assert shown(answer) == {"twin-0", "twin-1", "twin-2", "twin-4"}
        assert answer.complete
        assert answer.pool is not None
        assert world.search.rejections(answer.pool) == {"twin-3": TAKEN_DOWN}
    assert world.source.downloads.count("twin-3") == 1
    assert world.catalog.library.embedded(["twin-3"], MODEL) == set()
    assert_nobody_is_shown(world, "twin-3", "horse", "cow")


def test_a_process_that_has_copies_shows_none_within_a_minute(world: World) -> None:
    """Of the cache and of its own memory, whatever another process could not drop."""
    pool = world.ready_pool("horse", 5)
    packed = world.cache.get(POOL, (pool.pool_id, 1, MODEL))
    assert packed is not None
    assert "twin-3" in shown(world.ask("horse"))
    forget_of(world)(down("twin-3"))
    # As a search that had read before, and writes now.
    world.cache.put(POOL, (pool.pool_id, 1, MODEL), packed)
    world.cache.put(STATE, pool.pool_id, pool)
    assert "twin-3" in shown(world.ask("horse"))
    world.clock.sleep(60)
    answer = world.ask("horse", top_k=50)
    assert shown(answer) == {"twin-0", "twin-1", "twin-2", "twin-4"}
    assert answer.matching == 4


def test_a_keyword_whose_pictures_are_all_taken_down_has_none_and_is_no_failure(
    world: World,
) -> None:
    world.ready_pool("horse", 2)
    forget_of(world)(down("twin-0", "twin-1"))
    world.ask("horse")
    world.deliver_all()
    answer = world.ask("horse")
    assert (answer.hits, answer.complete) == ((), True)


def test_a_picture_that_is_allowed_again_comes_back_with_the_next_fetch(world: World) -> None:
    world.ready_pool("horse", 3)
    forget = forget_of(world)
    forget(down("twin-1", reason="by mistake"))
    assert forget(ForgetJob(("twin-1", "twin-9"), allows=True)) == Forgotten(allowed=1)
    assert world.catalog.retention.withdrawn() == {}
    world.clock.sleep(FOLLOW_SECONDS)
    world.ask("horse")
    world.deliver_all()
    assert shown(world.ask("horse")) == {"twin-0", "twin-1", "twin-2"}


def test_a_picture_can_be_taken_down_before_it_is_ever_fetched(world: World) -> None:
    assert forget_of(world)(down("twin-1")) == Forgotten(images=1)
    world.ready_pool("horse", 3)
    assert "twin-1" not in world.source.downloads
    assert shown(world.ask("horse")) == {"twin-0", "twin-2"}


def test_what_is_on_its_way_while_it_is_taken_down_does_not_arrive(world: World) -> None:
    """Listed and not stored, and stored and not embedded."""
    world.offer("horse", 12)
    world.ask("horse")
    job = world.take()
    world.deliver(job)
    batches = [message for message in world.outbox.messages if isinstance(message, EmbedBatch)]
    retention = world.catalog.retention
    retention.withdraw([Withdrawal("twin-3", world.clock.now(), "")])
    world.cache.put(BYTES, "twin-3", original("twin-3"))
    for batch in batches:
        world.deliver(batch)
    assert world.catalog.library.embedded(["twin-3"], MODEL) == set()
    pool = world.catalog.pool(PoolKey.of("horse", world.options).pool_id)
    assert pool is not None
    assert world.search.rejections(pool) == {"twin-3": TAKEN_DOWN}
    # The sweep of the day has what was stored a moment too late.
    assert world.store.existing(["twin-3.jpg"])
    assert forget_of(world).again() == 1
    assert not world.store.existing(["twin-3.jpg"])


def test_a_fetch_that_began_before_stores_no_picture_that_is_taken_down(world: World) -> None:
    world.offer("horse", 3)
    world.ask("horse")
    pool_id = PoolKey.of("horse", world.options).pool_id
    world.catalog.begin_fetch(pool_id, 1, world.clock.now())
    world.catalog.record_listing(
        pool_id, 1, Listing(tuple(listed(n) for n in range(3))), world.clock.now()
    )
    world.catalog.retention.withdraw([Withdrawal("twin-1", world.clock.now(), "")])
    world.deliver_all()
    assert not world.store.existing(["twin-1.jpg"])
    assert shown(world.ask("horse")) == {"twin-0", "twin-2"}


def test_a_picture_that_is_taken_down_while_its_source_is_asked_is_not_listed(
    world: World,
) -> None:
    world.offer("horse", 3)
    pages = world.source.pages

    def slow(keyword: str, options: SourceOptions) -> Iterator[Listing]:
        yield from pages(keyword, options)
        forget_of(world)(down("twin-1"))

    world.source.pages = slow  # type: ignore[method-assign]
    world.ask("horse")
    world.deliver_all()
    assert shown(world.ask("horse")) == {"twin-0", "twin-2"}
    pool = world.catalog.members(PoolKey.of("horse", world.options).pool_id, 1)
    assert pool is not None
    assert "twin-1" not in pool.images


def test_a_picture_is_withdrawn_before_it_is_looked_for_where_it_is(world: World) -> None:
    """In a large catalog that takes longer than a minute."""
    world.ready_pool("horse", 3)
    naming, known = world.catalog.pools.naming, world.catalog.retention.withdrawn

    class Slow:
        def naming(self, image_ids: tuple[str, ...]) -> Iterator[str]:
            assert set(known()) == {"twin-1"}
            yield from naming(image_ids)

        def __getattr__(self, name: str) -> object:
            return getattr(world.catalog.pools, name)

    slow = replace(world.catalog, pools=Slow())  # type: ignore[arg-type]
    forget = Forget(slow, world.store, world.cache, world.clock)
    assert forget(down("twin-1")).pools == 1


def test_a_keyword_goes_with_the_images_that_no_other_one_has(world: World) -> None:
    world.ready_pool("horse", 5)
    world.source.offers["cow"] = Listing(tuple(listed(n) for n in (3, 4, 5)))
    world.ask("cow")
    world.deliver_all()
    world.options = replace(world.options, orientation="horizontal")
    world.assemble()
    world.source.offers["horse"] = Listing(tuple(listed(n) for n in (0, 7)))
    world.ask("horse")
    world.deliver_all()
    forget = forget_of(world)
    plan = forget.plan(ForgetJob(keyword="  HORSE "))
    would = Forgotten(images=4, originals=4, pools=2)
    assert forget.preview(plan) == would
    assert len(list(world.catalog.pools.pool_ids())) == 3
    assert forget.do(plan) == would
    for number in (0, 1, 2, 7):
        assert_nothing_names(world, f"twin-{number}")
    assert world.catalog.library.embedded([f"twin-{n}" for n in range(8)], MODEL) == {
        *("twin-3", "twin-4", "twin-5")
    }
    assert world.catalog.retention.withdrawn() == {}
    assert forget(ForgetJob(keyword="horse")) == Forgotten()
    answer = world.ask("horse")  # it is a new keyword again
    assert answer.pool is not None
    assert answer.pool.current.number == 2


def test_a_keyword_is_forgotten_in_a_process_that_has_it_noted(world: World) -> None:
    """Its note and its pool may be in the memory of a process that nobody else can reach."""
    pool = world.ready_pool("horse", 5)
    forget_of(world)(ForgetJob(keyword="horse"))
    world.cache.put(STATE, pool.pool_id, pool)
    world.clock.sleep(60)
    answer = world.ask("horse")
    assert not answer.hits
    assert answer.pool is not None
    assert answer.pool.current.number == 2


def test_work_on_a_pool_that_is_forgotten_is_over(world: World) -> None:
    world.offer("horse", 3)
    world.ask("horse")
    job = world.take()
    world.deliver(job)
    batch = world.take()
    forget_of(world)(ForgetJob(keyword="horse"))
    assert world.deliver(batch).outcome == "nothing to do"  # type: ignore[attr-defined]
    assert world.deliver(job).outcome == "nothing to do"  # type: ignore[attr-defined]
    assert list(world.catalog.pools.pool_ids()) == []
    assert world.catalog.library.model_revisions() == []


def test_what_nobody_used_for_long_goes_and_what_was_used_stays(world: World) -> None:
    world.ready_pool("horse", 4)
    world.source.offers["cow"] = Listing(tuple(listed(n) for n in (3, 4)))
    world.ask("cow")
    world.deliver_all()
    forget = forget_of(world)
    world.clock.sleep(60 * DAY_SECONDS)
    alike(world, "twin-0")
    world.ask("cow")
    world.deliver_all()
    assert forget(ForgetJob(unused_days=60)) == Forgotten()  # they were fresh for a day
    world.clock.sleep(2 * DAY_SECONDS)
    plan = forget.plan(ForgetJob(unused_days=60))
    # What the search showed that was like twin-0 was used by it, too.
    assert forget.do(plan) == Forgotten(images=0, originals=0, pools=1)
    world.clock.sleep(30 * DAY_SECONDS)
    world.ask("cow")
    world.deliver_all()
    world.clock.sleep(33 * DAY_SECONDS)
    assert forget(ForgetJob(unused_days=60)) == Forgotten(images=3, originals=3)
    for number in (0, 1, 2):
        assert_nothing_names(world, f"twin-{number}")
    assert world.catalog.library.embedded(["twin-3", "twin-4"], MODEL) == {"twin-3", "twin-4"}


def test_an_image_is_kept_as_long_as_a_search_over_everything_shows_it(world: World) -> None:
    world.ready_pool("horse", 3)
    for _ in range(5):
        world.clock.sleep(50 * DAY_SECONDS)
        assert len(shown(everything(world))) == 3
        assert forget_of(world)(ForgetJob(unused_days=60)).images == 0
    world.clock.sleep(62 * DAY_SECONDS)
    assert forget_of(world)(ForgetJob(unused_days=60)).images == 3


def test_a_run_forgets_no_more_than_its_budget_and_the_next_ones_the_rest(world: World) -> None:
    world.ready_pool("horse", 5)
    world.clock.sleep(100 * DAY_SECONDS)
    forget = forget_of(world)
    outcomes = [forget.do(forget.plan_unused(90, most=2)) for _ in range(4)]
    assert [each.images for each in outcomes] == [2, 2, 1, 0]
    assert [each.is_all for each in outcomes] == [False, False, True, True]
    for number in range(5):
        assert_nothing_names(world, f"twin-{number}")


@pytest.mark.parametrize("job", [down("twin-0", "twin-1"), ForgetJob(keyword="horse")])
@pytest.mark.parametrize("fails_at", range(1, 9))
def test_forgetting_that_is_broken_off_anywhere_is_done_by_the_next_run(
    world: World, job: ForgetJob, fails_at: int
) -> None:
    world.ready_pool("horse", 2)
    steps = iter(range(1, 100))

    class Failing:
        def __init__(self, port: object) -> None:
            self._port = port

        def __getattr__(self, name: str) -> object:
            method = getattr(self._port, name)
            if name in ("withdraw", "forget", "delete", "drop_uses", "note_forgotten"):

                def failing(*args: object) -> object:
                    if next(steps) == fails_at:
                        raise Unavailable("the disk is away")
                    return method(*args)

                return failing
            return method

    catalog = world.catalog
    broken = replace(
        catalog,
        pools=Failing(catalog.pools),  # type: ignore[arg-type]
        library=Failing(catalog.library),  # type: ignore[arg-type]
        retention=Failing(catalog.retention),  # type: ignore[arg-type]
    )
    store = Failing(world.store)
    try:
        Forget(broken, store, world.cache, world.clock)(job)  # type: ignore[arg-type]
    except Unavailable:
        assert fails_at < 8
    forget_of(world)(job)
    for number in range(2):
        assert_nothing_names(world, f"twin-{number}")
    assert list(catalog.pools.pool_ids()) == []


@pytest.mark.parametrize("seed", range(8))
def test_after_any_take_downs_and_fetches_nothing_names_what_is_down(
    world: World, seed: int
) -> None:
    """A property over random histories: the ports after each forgetting, the doors at the end."""
    rng = random.Random(seed)
    taken: set[str] = set()
    for keyword in ("horse", "cow", "star"):
        numbers = rng.sample(range(12), rng.randint(1, 8))
        world.source.offers[keyword] = Listing(tuple(listed(n) for n in numbers))
    for _ in range(25):
        step = rng.choice(["ask", "ask", "deliver", "deliver", "down", "restart", "day"])
        if step == "ask":
            world.ask(rng.choice(["horse", "cow", "star"]))
        elif step == "deliver":
            world.deliver_all()
        elif step == "restart":
            world.restart()
        elif step == "day":
            world.clock.sleep(1.5 * DAY_SECONDS)
        else:
            image_id = f"twin-{rng.randrange(12)}"
            forget_of(world)(down(image_id))
            taken.add(image_id)
            assert_nothing_names(world, image_id)
    world.clock.sleep(3600)
    for keyword in ("horse", "cow", "star"):
        world.ask(keyword)
        world.deliver_all()
        assert taken.isdisjoint(shown(world.ask(keyword, top_k=50)))
    assert taken.isdisjoint(shown(everything(world)))
    assert world.catalog.library.embedded(taken, MODEL) == set()
    assert world.store.existing([f"{each}.jpg" for each in taken]) == set()


def test_the_images_that_are_down_are_looked_up_seldom_and_known_while_nobody_answers(
    world: World,
) -> None:
    retention = world.catalog.retention
    calls: list[int] = []

    class Counting:
        def version(self) -> str:
            calls.append(1)
            return retention.version()

        def __getattr__(self, name: str) -> object:
            return getattr(retention, name)

    changes: list[int] = []
    withdrawn = Withdrawn(Counting(), world.clock, lambda: changes.append(1))  # type: ignore[arg-type]
    assert not withdrawn()
    forget_of(world)(down("twin-1"))
    assert not withdrawn()
    assert (len(calls), changes) == (1, [])
    assert withdrawn(at_once=True) == {"twin-1"}
    world.clock.sleep(FOLLOW_SECONDS)
    assert withdrawn() == {"twin-1"}
    assert (len(calls), len(changes)) == (3, 1)
    world.catalog.close()
    world.clock.sleep(FOLLOW_SECONDS)
    assert withdrawn() == {"twin-1"}


@pytest.mark.parametrize("image_id", ["", ".", "a/b", "pixabay-1.jpg", "x" * 196, "ü", " "])
def test_what_is_no_id_of_an_image_is_refused(world: World, image_id: str) -> None:
    with pytest.raises(InvalidRequest, match="IMAGE_ID must be"):
        forget_of(world)(down(image_id))


def test_the_numbers_of_a_forgotten_pool_are_not_those_of_the_next_one(world: World) -> None:
    """What is left of it in a cache or a queue is not taken for the new one's."""
    pool = world.ready_pool("horse", 3)
    packed = world.cache.get(POOL, (pool.pool_id, 1, MODEL))
    assert packed is not None
    forget_of(world)(ForgetJob(keyword="horse"))
    world.cache.put(POOL, (pool.pool_id, 1, MODEL), packed)
    world.source.offers["horse"] = Listing((listed(9),))
    world.ask("horse")
    world.deliver_all()
    assert shown(world.ask("horse", top_k=50)) == {"twin-9"}
    assert np.isfinite(packed.embeddings).all()


def test_until_it_is_followed_the_clock_alone_decides(world: World) -> None:
    world.ready_pool("horse", 3)
    forget_of(world)(down("twin-1"))
    world.clock.time -= timedelta(days=1)  # it steps back: it is the other clock that counts
    world.clock.sleep(FOLLOW_SECONDS)
    assert "twin-1" not in shown(everything(world))


def test_a_process_lets_go_of_what_another_one_forgets_and_once_more_a_search_later(
    tmp_path: Path,
) -> None:
    """In its cache and its memory, whether anybody asks it or not."""
    settings = load_settings(
        data_dir=str(tmp_path), source="demo", gallery_url="http://127.0.0.1:1"
    )
    services = EmbeddedServices(settings, TwinEncoder())
    clock = SetClock()
    services.clock = clock  # type: ignore[assignment]
    pool_id = PoolKey.of("horse", services.settings.source_options).pool_id
    pool = services.catalog.request_pool(
        PoolKey.of("horse", services.settings.source_options), clock.now()
    ).pool
    with closing(services):
        services.follow_forgotten()
        for _ in range(2):
            services.cache.put(STATE, pool_id, pool)
            services.follow_forgotten()
            assert services.cache.get(STATE, pool_id)
        with closing(StoredCollections(settings)) as other:
            other.forgetting(ForgetJob(keyword="horse"))
        services.follow_forgotten()
        assert services.cache.get(STATE, pool_id) is None
        services.cache.put(STATE, pool_id, pool)  # by a search that had read it before
        clock.sleep(29)
        services.follow_forgotten()
        assert services.cache.get(STATE, pool_id)
        clock.sleep(1)
        services.follow_forgotten()
        assert services.cache.get(STATE, pool_id) is None
        services.cache.put(STATE, pool_id, pool)
        clock.sleep(100)
        services.follow_forgotten()
        assert services.cache.get(STATE, pool_id)


@pytest.mark.parametrize(("days", "left"), [("90", set()), ("0", {"horse"})])
def test_the_sweep_of_one_machine_goes_by_the_setting(
    tmp_path: Path, days: str, left: set[str]
) -> None:
    settings = load_settings(
        data_dir=str(tmp_path),
        source="demo",
        gallery_url="http://127.0.0.1:1",
        retention_days=days,
    )
    services = EmbeddedServices(settings, TwinEncoder())
    long_ago = datetime.now(UTC) - timedelta(days=92)
    with closing(services):
        services.catalog.request_pool(PoolKey.of("horse", SourceOptions()), long_ago)
        services.store.put("demo-1.jpg", original("1"))
        services.catalog.retention.withdraw([Withdrawal("demo-1", long_ago, "")])
        services.sweep_unused()
        pools = map(services.catalog.pool, services.catalog.pools.pool_ids())
        assert {pool.keyword for pool in pools if pool} == left
        assert services.store.existing(["demo-1.jpg"]) == set()
