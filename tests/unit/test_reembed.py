"""A change of the model: who answers meanwhile, and what becomes of all that is stored."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest

from imagesearch.cli.reembed import minutely
from imagesearch.compose.inference import encoders_before
from imagesearch.domain.errors import NotFound, Unavailable
from imagesearch.domain.images import Listing, weights_of
from imagesearch.domain.pools import PoolKey, PoolState
from imagesearch.domain.queries import ImagePart, Query, Scope, ScoreRequest, SearchRequest
from imagesearch.domain.work import EmbedBatch
from imagesearch.local.embedded.model_note import ModelNote
from imagesearch.ports import Coverage, Encoder, Library
from imagesearch.settings import load_settings
from imagesearch.usecases.reembed import Reembed, Reembedding
from imagesearch.usecases.score import Score
from imagesearch.usecases.scorers import Scorers
from imagesearch.usecases.stored_pools import StoredPools
from tests.world import TwinEncoder, World, listed

OLD, NEW = "twin-1", "twin-2"
KEYWORDS = ("horse", "star", "cow")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def score_by_of(world: World) -> Callable[[Encoder, str], Score]:
    def score_by(by: Encoder, model_revision: str) -> Score:
        return Score(world.catalog, world.cache, by, world.clock, world.policy, model_revision)

    return score_by


def change_model(world: World, encoder: TwinEncoder, *before: TwinEncoder) -> None:
    """Start *world* again with the model of *encoder*; those *before* can score still."""
    world.encoder = encoder
    world.restart()
    library = world.catalog.library
    scorers = Scorers([encoder, *before], library, world.clock, score_by_of(world))
    world.search = replace(world.search, scorer=scorers)


def stored_pools(world: World, at_once: int = 4) -> StoredPools:
    return StoredPools(world.catalog, world.outbox, world.clock, at_once)


def reembedded(
    world: World, while_waiting: Callable[[], object] | None = None, *, at_once: int = 2
) -> Reembedding:
    """Have all embedded by the model of *world*; messages are delivered one by one."""

    def step() -> None:
        if world.outbox.messages:
            world.deliver()
        if while_waiting:
            while_waiting()

    world.clock.during_sleep = [step] * 10_000
    reembed = Reembed(world.catalog, stored_pools(world, at_once), world.clock)
    try:
        return reembed(world.encoder.model_revision, lambda _: None)
    finally:
        world.clock.during_sleep = []


def changed(world: World) -> None:
    """Fill the pools of KEYWORDS by the old model, and start with the new one."""
    for number, keyword in enumerate(KEYWORDS):
        world.source.offers[keyword] = Listing(
            tuple(listed(10 * number + i) for i in range(5 + number))
        )
        world.ask(keyword)
        world.deliver_all()
    change_model(world, TwinEncoder(NEW), world.encoder)


def lose(world: World, object_name: str) -> None:
    path = world.store.path(object_name)
    assert path is not None
    path.unlink()


def hits(world: World, keyword: str) -> int:
    answer = world.ask(keyword, top_k=100, fold=False)
    assert answer.complete, answer
    return len(answer.hits or ())


def test_every_pool_has_all_its_images_at_each_step_of_a_change(world: World) -> None:
    changed(world)
    steps = []

    def look() -> None:
        steps.append([hits(world, keyword) for keyword in KEYWORDS])
        assert world.ask("", scope="catalog", top_k=100).hits

    outcome = reembedded(world, look)
    assert steps == [[5, 6, 7]] * len(steps)
    assert len(steps) >= 6  # a job and a batch of each pool
    assert outcome == Reembedding(Coverage(18, 18), {}, {}, deleted=18)
    world.clock.sleep(60)
    look()
    assert world.catalog.library.model_revisions() == [NEW]
    assert world.encoder.images == 18
    assert world.ask("", scope="catalog").covered == 1.0


def test_a_question_is_embedded_by_the_model_of_what_it_is_compared_with(world: World) -> None:
    """The image that a sentence names is the first by either, and by no mixture of them."""
    changed(world)
    for _ in range(2):
        assert (world.ask("cow", query="twin-22").hits or ())[0].image.image_id == "twin-22"
        assert (world.ask("cow", query="twin-22").hits or ())[0].score == pytest.approx(1, abs=1e-3)
        reembedded(world)


def test_it_is_found_by_an_image_whichever_model_has_it(world: World) -> None:
    changed(world)
    counts: list[int] = []

    def like(image_id: str, keyword: str) -> int:
        scope: Scope = "pool" if keyword else "catalog"
        query = Query((ImagePart(image_id),))
        request = SearchRequest(keyword, query, top_k=3, wait_seconds=0.0, scope=scope)
        return len(world.search(request).hits or ())

    def look() -> None:
        world.clock.elapsed_seconds += 6  # else who was ahead a moment ago is remembered
        pairs = product(("twin-1", "twin-11", "twin-21"), (*KEYWORDS, ""))
        counts.extend(like(*pair) for pair in pairs)

    reembedded(world, look, at_once=1)
    assert set(counts) == {3}
    with pytest.raises(NotFound, match="nobody"):
        like("nobody", "horse")


def test_a_new_keyword_is_embedded_by_the_new_model_alone(world: World) -> None:
    changed(world)
    world.offer("moon", 4)
    world.ask("moon")
    world.deliver_all()
    assert hits(world, "moon") == 4
    assert hits(world, "horse") == 5
    embedded = world.catalog.library.coverage(OLD).embedded
    assert embedded == 18, "nothing is embedded by the old model any more"


def test_what_was_broken_off_goes_on_and_embeds_nothing_twice(world: World) -> None:
    changed(world)
    world.outbox.errors = [Unavailable("the queue is down")]
    with pytest.raises(Unavailable):
        reembedded(world)
    encoder = world.encoder
    change_model(world, encoder, TwinEncoder(OLD))
    world.clock.sleep(world.policy.lease_seconds + 1)
    assert reembedded(world).deleted == 18
    assert encoder.images == 18


def test_no_more_pools_are_in_work_than_are_allowed(world: World) -> None:
    changed(world)
    in_work = []

    def count() -> None:
        pools = [world.catalog.pool(PoolKey.of(each, world.options).pool_id) for each in KEYWORDS]
        in_work.append(sum(pool.current.state.in_progress for pool in pools if pool))

    reembedded(world, count, at_once=2)
    assert max(in_work) == 2


def test_images_that_no_keyword_lists_any_more_are_embedded_too(world: World) -> None:
    world.ready_pool("horse", 5)
    world.source.offers["horse"] = Listing((listed(7),))
    world.clock.sleep(world.policy.max_age_seconds + 1)
    for _ in range(2):
        world.ask("horse")
        world.deliver_all()
    change_model(world, TwinEncoder(NEW), world.encoder)
    outcome = reembedded(world)
    assert outcome.coverage == Coverage(6, 6)
    assert world.catalog.library.embedded([f"twin-{n}" for n in (0, 1, 2, 3, 4, 7)], NEW)
    assert world.source.listings == 2, "what is stored is not asked of the source again"


def test_an_original_that_is_gone_is_fetched_again_or_counted_with_a_reason(world: World) -> None:
    world.ready_pool("horse", 5)
    world.source.offers["star"] = Listing((listed(8), listed(9)))
    world.ask("star")
    world.deliver_all()
    world.source.offers["star"] = Listing((listed(8),))
    world.clock.sleep(world.policy.max_age_seconds + 1)
    for keyword in ("star", "horse"):
        world.ask(keyword)
        world.deliver_all()
    change_model(world, TwinEncoder(NEW), world.encoder)
    world.source.downloads.clear()
    for number in (2, 9):
        lose(world, f"twin-{number}.jpg")
    outcome = reembedded(world)
    assert world.source.downloads == ["twin-2"]
    assert outcome.rejections == {"twin-9": "its original twin-9.jpg is not stored"}
    assert outcome.coverage == Coverage(6, 6)
    assert (outcome.deleted, hits(world, "horse"), hits(world, "star")) == (7, 5, 1)


def test_what_the_source_does_not_give_now_keeps_its_old_embedding(world: World) -> None:
    world.ready_pool("horse", 5)
    change_model(world, TwinEncoder(NEW), world.encoder)
    lose(world, "twin-2.jpg")
    world.source.listing_errors = [Unavailable("the source is down")]

    def give_up() -> None:
        pool = world.catalog.pool(PoolKey.of("horse", world.options).pool_id)
        if pool and pool.current.reason and pool.current.state.in_progress:
            world.give_up(pool.pool_id, pool.current.number, "gave up")

    def deliver_and_fail() -> None:
        try:
            if world.outbox.messages:
                world.deliver()
        except Unavailable:
            give_up()

    world.clock.during_sleep = [deliver_and_fail] * 100
    reembed = Reembed(world.catalog, stored_pools(world), world.clock)
    outcome = reembed(NEW, lambda _: None)
    assert outcome.failures == {"horse": "the source is down"}
    assert outcome.deleted is None
    assert hits(world, "horse") == 5
    world.clock.during_sleep = []
    world.clock.sleep(world.policy.retry_seconds + 2)
    assert reembedded(world).deleted == 5
    assert world.source.downloads[-1] == "twin-2", "it was fetched again"
    assert hits(world, "horse") == 5


@pytest.fixture
def unlisted(world: World) -> World:
    """Five images of which the keyword's newer listing has none, and the new model."""
    world.ready_pool("horse", 5)
    world.source.offers["horse"] = Listing((listed(7),))
    world.clock.sleep(world.policy.max_age_seconds + 1)
    for _ in range(2):
        world.ask("horse")
        world.deliver_all()
    change_model(world, TwinEncoder(NEW), world.encoder)
    return world


def test_nothing_is_deleted_while_who_embeds_does_so_for_another_model(unlisted: World) -> None:
    world = unlisted
    world.offer("moon", 2)
    world.ask("moon")
    world.deliver_all()
    change_model(world, TwinEncoder(OLD))  # the roll-out is not over
    reembed = Reembed(world.catalog, stored_pools(world), world.clock)
    world.clock.during_sleep = [world.deliver_all] * 100
    outcome = reembed(NEW, lambda _: None)
    world.clock.during_sleep = []
    assert (outcome.failures, outcome.rejections, outcome.deleted) == ({}, {}, None)
    assert world.catalog.library.coverage(OLD).embedded >= 6
    change_model(world, TwinEncoder(NEW), TwinEncoder(OLD))
    assert reembedded(world).coverage.share == 1.0


def lost_batch(world: World) -> EmbedBatch:
    """Break a run off once it has published the images of no keyword; return what is lost."""
    reembed = Reembed(world.catalog, stored_pools(world), world.clock)
    horse = PoolKey.of("horse", world.options).pool_id

    def step() -> None:
        message = world.take()
        if isinstance(message, EmbedBatch) and message.pool_id != horse:
            lost.append(message)
            reembed.stop()
        else:
            world.deliver(message)

    lost: list[EmbedBatch] = []
    world.clock.during_sleep = [step] * 10
    reembed(NEW, lambda _: None)
    world.clock.during_sleep = []
    return lost[0]


def test_images_of_no_keyword_go_on_after_a_run_whose_messages_are_lost(unlisted: World) -> None:
    assert len(lost_batch(unlisted).images) == 5
    began = unlisted.clock.monotonic()
    assert reembedded(unlisted).coverage == Coverage(6, 6)
    assert unlisted.clock.monotonic() - began < unlisted.policy.lease_seconds


def test_images_of_no_keyword_that_failed_are_begun_again(unlisted: World) -> None:
    unlisted.give_up(lost_batch(unlisted).pool_id, 1, "gave up")
    unlisted.clock.sleep(unlisted.policy.retry_seconds + 1)
    assert reembedded(unlisted) == Reembedding(Coverage(6, 6), deleted=6)


def test_a_keyword_that_never_had_an_image_does_not_keep_the_old_embeddings(world: World) -> None:
    changed(world)
    world.source.offers["dusk"] = Listing((listed(90),))
    world.source.download_errors["twin-90"] = Unavailable("the source is down")
    world.ask("dusk")
    with pytest.raises(Unavailable):
        world.deliver()
    world.give_up(PoolKey.of("dusk", world.options).pool_id, 1, "gave up")
    world.clock.sleep(world.policy.retry_seconds + 1)
    assert reembedded(world).deleted == 18


def test_another_version_of_the_preprocessing_is_scored_by_the_same_model(world: World) -> None:
    world.encoder = TwinEncoder("twin-9-p1")
    world.assemble()
    world.ready_pool("horse", 5)
    change_model(world, TwinEncoder("twin-9-p2"))
    assert hits(world, "horse") == 5
    assert world.ask("", scope="catalog").hits
    assert reembedded(world).deleted == 5
    assert world.catalog.library.model_revisions() == ["twin-9-p2"]


@pytest.mark.parametrize(
    ("model_revision", "weights"),
    [("CLIP-abc-p3", "CLIP-abc"), ("CLIP-abc-p12", "CLIP-abc"), ("CLIP-p3-abc", "CLIP-p3-abc")],
)
def test_the_weights_of_a_model_revision(model_revision: str, weights: str) -> None:
    assert weights_of(model_revision) == weights


def test_a_pool_that_nobody_can_score_is_waited_for(world: World) -> None:
    world.ready_pool("horse", 5)
    change_model(world, TwinEncoder(NEW))
    scorers = cast(Scorers, world.search.scorer)
    seen: list[PoolState] = []

    def look() -> None:
        pool = world.ask("horse").pool
        assert pool is not None
        seen.append(pool.answering.state)
        world.deliver()

    world.clock.during_sleep = [look] * 2
    pools = stored_pools(world)
    Reembed(world.catalog, pools, world.clock, has_before=scorers.has_before)(NEW, print)
    assert seen == [PoolState.EMBEDDING] * 2
    assert hits(world, "horse") == 5


def test_without_the_model_before_a_pool_is_embedded_when_it_is_asked_for(world: World) -> None:
    world.ready_pool("horse", 5)
    change_model(world, TwinEncoder(NEW))
    assert world.ask("horse").hits is None
    world.deliver_all()
    assert hits(world, "horse") == 5


def test_a_damaged_embedding_of_the_old_model_is_made_anew_by_the_new_one(world: World) -> None:
    changed(world)
    with world.file.writing() as connection:
        connection.execute("UPDATE embeddings SET vector = x'00' WHERE image_id = 'twin-1'")
    answer = world.ask("horse", top_k=100)
    assert (len(answer.hits or ()), answer.complete) == (4, False)
    world.deliver_all()
    world.clock.sleep(6)
    assert hits(world, "horse") == 5
    pool = world.catalog.pool(PoolKey.of("horse", world.options).pool_id)
    assert pool is not None
    assert pool.current.state is PoolState.READY


class LostLibrary:
    """A library whose database does not answer."""

    def model_revisions(self) -> list[str]:
        raise Unavailable("the catalog is down")

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} is not asked for")


def test_what_is_in_memory_is_scored_while_the_catalog_is_down(world: World) -> None:
    pool = world.ready_pool("horse", 5)
    scorers = Scorers(
        [world.encoder], cast(Library, LostLibrary()), world.clock, score_by_of(world)
    )
    request = ScoreRequest(Query.of_text("x"), 9, pool_id=pool.pool_id, generation=1, fold=False)
    assert len(scorers.score(request).hits) == 5
    everything = ScoreRequest(Query.of_text("x"), 9, scope="catalog", fold=False)
    assert len(scorers.score(everything).hits) == 5


class CountingLibrary:
    """A library that counts what it is asked."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._library, name)


@pytest.mark.parametrize(
    ("is_in_change", "calls"),
    [(False, {"model_revisions": 1, "coverage": 0}), (True, {"coverage": 3})],
)
def test_many_searches_of_everything_count_what_is_stored_once(
    world: World, is_in_change: bool, calls: dict[str, int]
) -> None:
    world.ready_pool("horse", 5)
    if is_in_change:  # the new model is ahead, and lacks some
        change_model(world, TwinEncoder(NEW), world.encoder)
        world.source.offers["cow"] = Listing(tuple(listed(10 + i) for i in range(9)))
        world.ask("cow")
        world.deliver_all()
    library = CountingLibrary(world.catalog.library)
    world.catalog = replace(world.catalog, library=cast(Library, library))
    encoders = [world.encoder, *([TwinEncoder(OLD)] if is_in_change else [])]
    scorers = Scorers(encoders, cast(Library, library), world.clock, score_by_of(world))
    for number in range(9):
        request = ScoreRequest(Query.of_text(f"x {number}"), 9, scope="catalog", fold=False)
        assert scorers.score(request).covered == pytest.approx(9 / 14 if is_in_change else 1.0)
    assert {name: library.calls[name] for name in calls} == calls


@pytest.mark.parametrize(
    ("noted", "model", "before"),
    [(None, "b", ""), ("a\n", "a", ""), ("a\n", "b", "a"), ("\xff", "b", "\xff"), ("", "b", "")],
)
def test_a_data_folder_says_which_model_embedded_it(
    tmp_path: Path, noted: str | None, model: str, before: str
) -> None:
    settings = load_settings(data_dir=tmp_path, clip_model=model)
    if noted is not None:
        (tmp_path / "model").write_text(noted)
    note = ModelNote(settings)
    assert note.before == before
    note.keep()
    assert note.before == ""
    assert (tmp_path / "model").read_text() == f"{model}\n"


def test_a_previous_model_that_is_none_is_named_by_its_setting() -> None:
    def load(model: str) -> Encoder:
        raise Unavailable(f"CLIP_MODEL={model} cannot be loaded: there is no folder")

    settings = load_settings(previous_clip_model="gone")
    with pytest.raises(Unavailable, match=r"^PREVIOUS_CLIP_MODEL=gone cannot be loaded"):
        encoders_before(settings, load)
    assert encoders_before(load_settings(), load) == []


def test_a_start_without_anything_to_do_deletes_nothing(world: World) -> None:
    world.ready_pool("horse", 5)
    outcome = reembedded(world)
    assert outcome == Reembedding(Coverage(5, 5), {}, {}, deleted=0)
    assert world.encoder.images == 5


@pytest.mark.slow
def test_many_searches_at_once_are_answered_in_full_throughout_a_change(world: World) -> None:
    """Over 50 pools and real servers it is done in `tests/e2e/test_model_change.py`."""
    keywords = [f"word {number}" for number in range(8)]
    for number, keyword in enumerate(keywords):
        # Neighbours share an image: what one brings the other has.
        images = tuple(listed(3 * number + i) for i in range(4))
        world.source.offers[keyword] = Listing(images)
        world.ask(keyword)
        world.deliver_all()
    change_model(world, TwinEncoder(NEW), world.encoder)
    is_over = threading.Event()
    answers: list[tuple[int, bool]] = []

    def search(chosen: random.Random) -> None:
        while not is_over.is_set():
            keyword = chosen.choice(keywords)
            answer = world.ask(keyword, query=f"a {chosen.random()}", top_k=100, fold=False)
            answers.append((len(answer.hits or ()), answer.complete))
            assert world.ask("", scope="catalog", query=keyword).hits

    with ThreadPoolExecutor(2) as threads:
        searching = [threads.submit(search, random.Random(seed)) for seed in range(2)]
        try:
            outcome = reembedded(world, at_once=4)
        finally:
            is_over.set()
        for each in searching:
            each.result()
    assert outcome == Reembedding(Coverage(25, 25), deleted=25)
    assert len(answers) > 8
    assert set(answers) == {(4, True)}


def test_it_tells_how_much_there_is_to_do_before_it_waits_and_goes_on_telling(world: World) -> None:
    changed(world)
    told: list[int] = []

    def deliver() -> None:
        if world.outbox.messages:
            world.deliver()

    world.clock.during_sleep = [*[lambda: None] * 20, *[deliver] * 100]
    reembed = Reembed(world.catalog, stored_pools(world), world.clock)
    reembed(NEW, lambda stand: told.append(stand.coverage.embedded))
    assert told[:4] == [0, 0, 0, 0], "each five seconds, while the first pools wait"
    assert told == sorted(told)


def test_without_a_terminal_a_line_is_said_at_first_and_each_minute() -> None:
    said: list[str] = []
    seconds = iter(range(0, 1_000, 25))
    tell = minutely(said.append, lambda: next(seconds))
    for done in range(4, 10):
        tell(Reembedding(Coverage(done, 10)))
    assert said == [
        "6 of 10 images are to be embedded by this model.",
        "7 of 10 images are embedded by this model.",
    ]
