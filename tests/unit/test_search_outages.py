"""What is there is answered, whatever keeps a pool's next work from being begun (design §5)."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from imagesearch.domain.errors import Bug, ImageSearchError, Overloaded, Unavailable
from imagesearch.domain.pools import Pool
from imagesearch.domain.work import EmbedBatch, FetchJob, Message, PoolMessage
from imagesearch.usecases.cache_slots import STATE
from imagesearch.usecases.search import SearchAnswer
from tests.world import World

DAY = timedelta(days=1, seconds=1)


@dataclass
class Silent:
    """A publisher that does not answer until it is told to."""

    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    speaks: threading.Event = field(default_factory=threading.Event)
    published: queue.Queue[PoolMessage] = field(default_factory=queue.Queue)

    def publish(self, message: Message) -> None:
        assert isinstance(message, PoolMessage)
        self.asked.release()
        self.speaks.wait(60)
        self.published.put(message)


@contextmanager
def without_writes(world: World) -> Iterator[None]:
    """Have SQLite refuse every write, as it does on a full disk, and answer every read."""
    world.file._connection.execute("PRAGMA query_only = 1")
    yield
    world.file._connection.execute("PRAGMA query_only = 0")


def stale_pool(world: World) -> Pool:
    pool = world.ready_pool(count=5)
    world.clock.time += DAY
    return pool


def partial_pool(world: World) -> int:
    """Leave a pool with some of 20 images embedded, and nobody at work; return how many."""
    world.offer("horse", 20)
    world.ask()
    world.deliver()
    batch = world.take()
    assert isinstance(batch, EmbedBatch)
    world.deliver(batch)
    world.outbox.messages.clear()
    world.clock.time += timedelta(seconds=world.policy.queue_seconds + 1)
    return len(batch.images)


def assert_shows(answer: SearchAnswer, images: int, *, complete: bool = True) -> None:
    assert answer.hits is not None
    assert (len(answer.hits), answer.complete) == (images, complete)


def test_a_stale_pool_is_answered_when_the_catalog_takes_no_write(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    pool = stale_pool(world)
    with without_writes(world):
        for _ in range(2):
            assert_shows(world.ask(), 5)
    assert f"pool {pool.pool_id} is answered from what is there" in caplog.text
    assert "readonly" in caplog.text
    assert world.outbox.messages == []
    world.ask()
    [job] = world.outbox.messages
    assert job.generation == 2, "the next search begins it, once that can be done"


def test_a_fresh_pool_that_nobody_noted_is_answered_when_the_catalog_takes_no_write(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ready_pool(count=5)
    world.restart()
    with without_writes(world):
        assert_shows(world.ask(), 5)
    assert caplog.text == ""


def test_the_news_that_there_is_no_image_is_kept_when_the_catalog_takes_no_write(
    world: World,
) -> None:
    world.ask("qwxyz")
    world.deliver_all()
    world.clock.time += DAY
    with without_writes(world):
        assert_shows(world.ask("qwxyz"), 0)


def test_a_new_keyword_is_unavailable_when_the_catalog_takes_no_write(world: World) -> None:
    """There is nothing to show, and nothing was begun."""
    with without_writes(world), pytest.raises(Unavailable, match="readonly"):
        world.ask()


ERRORS = [Unavailable("the topic is down"), Overloaded("a quota is used up"), Bug("too large")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_stale_pool_is_answered_when_its_job_is_not_taken(
    world: World, error: ImageSearchError, caplog: pytest.LogCaptureFixture
) -> None:
    stale_pool(world)
    world.outbox.errors.append(error)
    assert_shows(world.ask(), 5)
    assert str(error) in caplog.text
    assert_shows(world.ask(), 5)
    assert world.outbox.messages == [], "the generation has a lease"
    world.clock.time += timedelta(seconds=61)
    assert_shows(world.ask(), 5)
    [job] = world.outbox.messages
    assert job.generation == 2


def test_a_bug_of_what_begins_the_next_generation_is_logged_and_answered_around(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    stale_pool(world)
    world.outbox.errors.append(ZeroDivisionError())
    assert_shows(world.ask(), 5)
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.exc_info is not None


def test_a_stale_pool_is_answered_when_nobody_can_be_woken(world: World) -> None:
    def wake() -> None:
        raise Unavailable("SCORER_URL is missing")

    stale_pool(world)
    world.search = replace(world.search, wake=wake)
    assert_shows(world.ask(), 5)
    assert len(world.outbox.messages) == 1


def test_a_stale_pool_is_answered_before_a_silent_publisher_gives_up(world: World) -> None:
    pool = stale_pool(world)
    silent = Silent()
    world.search = replace(world.search, publisher=silent, patience_seconds=0.0)
    answers = [world.ask() for _ in range(20)]
    for answer in answers:
        assert_shows(answer, 5)
    assert silent.asked.acquire(timeout=60)
    assert not silent.asked.acquire(blocking=False), "one at a time asks it"
    silent.speaks.set()
    job = silent.published.get(timeout=60)
    assert (job.pool_id, job.generation) == (pool.pool_id, 2)


def test_a_new_keyword_waits_for_its_publisher(world: World) -> None:
    """It has nothing else to answer, and says when the job was not taken."""
    silent = Silent()
    silent.speaks.set()
    world.search = replace(world.search, publisher=silent, patience_seconds=0.0)
    assert world.ask().hits is None
    assert isinstance(silent.published.get(timeout=60), FetchJob)


def test_a_stale_pool_is_answered_from_its_note_when_the_catalog_is_silent(world: World) -> None:
    stale_pool(world)
    stale = known(world.ask().pool)
    world.cache.put(STATE, stale.pool_id, stale)
    world.catalog.close()
    assert_shows(world.ask(), 5)
    assert world.ask().pool == stale
    with pytest.raises(Unavailable):
        world.ask("another keyword")


def known(pool: Pool | None) -> Pool:
    assert pool is not None
    return pool


def fail_the_write(world: World) -> None:
    world.file._connection.execute("PRAGMA query_only = 1")


def fail_the_publish(world: World) -> None:
    world.outbox.errors.append(Unavailable("the topic is down"))


FAILURES = [fail_the_write, fail_the_publish]


@pytest.mark.parametrize("fail", FAILURES)
def test_lost_work_that_cannot_be_taken_up_is_answered_from_what_is_embedded(
    world: World, fail: Callable[[World], None]
) -> None:
    embedded = partial_pool(world)
    fail(world)
    assert_shows(world.ask(top_k=100), embedded, complete=False)


def test_a_failed_pool_that_cannot_be_tried_again_is_answered_from_what_it_has(
    world: World,
) -> None:
    embedded = partial_pool(world)
    pool = known(world.ask().pool)
    world.give_up(pool.pool_id, 1, "gave up")
    world.clock.time += timedelta(seconds=61)
    with without_writes(world):
        assert_shows(world.ask(top_k=100), embedded, complete=False)


def change_the_model_of_half(world: World) -> None:
    """Leave a ready pool of another model, 5 of whose 10 images have the new one's embedding."""
    world.ready_pool("horse", 10)
    world.encoder.model_revision = "twin-2"
    world.restart()
    world.ready_pool("star", 5)  # images 0 to 4 of both


@pytest.mark.parametrize("fail", FAILURES)
def test_a_pool_that_cannot_be_embedded_again_is_answered_from_what_the_new_model_knows(
    world: World, fail: Callable[[World], None]
) -> None:
    change_the_model_of_half(world)
    fail(world)
    assert_shows(world.ask(top_k=100), 5, complete=False)


def test_a_pool_of_which_the_new_model_knows_nothing_is_unavailable_when_it_cannot_be_embedded(
    world: World,
) -> None:
    world.ready_pool(count=5)
    world.encoder.model_revision = "twin-2"
    world.restart()
    with without_writes(world), pytest.raises(Unavailable):
        world.ask()
    world.ask()
    world.deliver_all()
    assert_shows(world.ask(), 5)


def test_what_is_begun_aside_is_fetched_and_shown(world: World) -> None:
    stale_pool(world)
    world.offer("horse", 7)
    world.ask()
    world.deliver()
    assert isinstance(world.outbox.messages[0], EmbedBatch)
    world.deliver_all()
    assert_shows(world.ask(top_k=100), 7)


def test_a_catalog_that_fails_once_a_job_is_published_fails_no_search(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def publish(message: Message) -> None:
        world.file._connection.execute("PRAGMA query_only = 1")
        world.outbox.publish(message)

    world.offer("horse", 3)
    world.search = replace(world.search, publisher=Publishing(publish))
    assert world.ask().hits is None
    world.file._connection.execute("PRAGMA query_only = 0")
    assert "keeps its short lease" in caplog.text
    world.deliver_all()
    assert_shows(world.ask(), 3)


@dataclass
class Publishing:
    """A publisher that is a function."""

    publish: Callable[[Message], None]
