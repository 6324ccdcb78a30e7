"""A search by one sentence: the narrow keyword's pool, and the broader one's where it has few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from imagesearch.domain.errors import Overloaded, SourceRefused
from imagesearch.domain.images import Listing
from imagesearch.domain.pools import PoolKey, PoolState
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.ports import Scorer, ScoreReply
from imagesearch.usecases.search import SearchAnswer
from tests.world import World, listed


def offer(world: World, keyword: str, numbers: Sequence[int]) -> None:
    world.source.offers[keyword] = Listing(tuple(listed(number) for number in numbers))


def ask(world: World, client: str | None = None, **changes: object) -> SearchAnswer:
    return world.ask("horse flower", client=client, broader="horse", **changes)


def ids(answer: SearchAnswer) -> set[str]:
    return {hit.image.image_id for hit in answer.hits or ()}


def keyword_of(answer: SearchAnswer) -> str | None:
    return answer.pool.keyword if answer.pool else None


def test_a_narrow_keyword_with_enough_images_is_all_that_is_searched(world: World) -> None:
    offer(world, "horse flower", range(20))
    ask(world)
    world.deliver_all()
    answer = ask(world, top_k=100)
    assert (answer.keywords, keyword_of(answer)) == (("horse flower",), "horse flower")
    assert (len(answer.hits or ()), answer.complete) == (20, True)
    assert world.outbox.messages == []
    assert world.catalog.pool(PoolKey.of("horse", world.options).pool_id) is None


def test_a_narrow_keyword_with_few_images_is_searched_with_the_broader_one(world: World) -> None:
    offer(world, "horse flower", range(15, 34))  # 19
    offer(world, "horse", range(30))
    assert ask(world).keywords == ("horse flower",)
    world.deliver_all()
    first = ask(world, top_k=100)
    assert (first.keywords, first.complete) == (("horse flower", "horse"), False)
    assert (len(first.hits or ()), keyword_of(first)) == (19, "horse")
    world.deliver_all()
    answer = ask(world, query="twin-33", top_k=100)
    assert (answer.keywords, answer.complete) == (("horse flower", "horse"), True)
    assert ids(answer) == {f"twin-{number}" for number in range(34)}, "each once"
    assert len(answer.hits or ()) == answer.matching == 34
    assert answer.hits
    assert answer.hits[0].image.image_id == "twin-33"
    assert sum(hit.relevance for hit in answer.hits) == pytest.approx(1)
    assert answer.pool
    assert answer.pool.answering.embedded == 30, "of the broader keyword's pool"


def test_filters_count_the_images_of_both_pools_once(world: World) -> None:
    offer(world, "horse flower", range(3))
    offer(world, "horse", range(2, 6))
    for _ in range(2):
        ask(world)
        world.deliver_all()
    answer = ask(world, filters={"orientation": "horizontal"}, top_k=100)
    assert answer.matching == len(answer.hits or ()) == 6
    answer = ask(world, filters={"orientation": "vertical"})
    assert (answer.matching, answer.hits, answer.complete) == (0, (), True)
    assert answer.matched is False, "as where a pool has no images"


def test_the_broader_keyword_is_waited_for_within_the_same_wait(world: World) -> None:
    offer(world, "horse flower", range(2))
    offer(world, "horse", range(30))
    world.clock.during_sleep = [world.deliver_all, lambda: None, world.deliver_all]
    answer = ask(world, wait_seconds=10, top_k=100)
    assert (len(answer.hits or ()), answer.complete) == (30, True)
    assert world.clock.monotonic() == pytest.approx(0.3)
    offer(world, "red moon", range(2))
    world.clock.during_sleep = [*[lambda: None] * 5, world.deliver_all]
    started = world.clock.monotonic()
    answer = world.ask("red moon", broader="moon", wait_seconds=2)
    assert world.clock.monotonic() - started == pytest.approx(2, abs=0.01)
    assert (len(answer.hits or ()), answer.complete) == (2, False)


def test_no_image_for_the_narrow_keyword_waits_for_the_broader_one(world: World) -> None:
    offer(world, "horse", range(5))
    ask(world)
    world.deliver_all()
    answer = ask(world)
    assert (answer.hits, answer.complete, keyword_of(answer)) == (None, False, "horse")
    assert answer.keywords == ("horse flower", "horse")
    world.deliver_all()
    answer = ask(world)
    assert (len(answer.hits or ()), answer.complete) == (5, True)


def test_no_image_for_either_keyword_is_an_answer(world: World) -> None:
    for _ in range(2):
        ask(world)
        world.deliver_all()
    answer = ask(world)
    assert (answer.hits, answer.complete, answer.matched) == ((), True, False)
    assert answer.keywords == ("horse flower", "horse")


def test_each_keyword_counts_as_new_once(world: World) -> None:
    world.new_keywords_per_minute = 2
    world.assemble()
    offer(world, "horse flower", range(2))
    offer(world, "horse", range(9))
    for _ in range(3):
        ask(world, client="a")
        world.deliver_all()
    assert len(ask(world, client="a").hits or ()) == 5
    with pytest.raises(Overloaded, match="new keywords"):
        world.ask("moon", client="a")


def test_a_client_without_new_keywords_gets_what_the_narrow_one_has(world: World) -> None:
    world.new_keywords_per_minute = 1
    world.assemble()
    offer(world, "horse flower", range(2))
    ask(world, client="a")
    world.deliver_all()
    answer = ask(world, client="a")
    assert (answer.keywords, len(answer.hits or ())) == (("horse flower",), 2)
    world.ask("red moon", broader="moon", client="b")
    world.deliver_all()
    with pytest.raises(Overloaded, match="new keywords"):
        world.ask("red moon", broader="moon", client="b")


def test_a_broader_keyword_that_fails_leaves_what_the_narrow_one_has(world: World) -> None:
    offer(world, "horse flower", range(2))
    ask(world)
    world.deliver_all()
    world.source.listing_errors.append(SourceRefused("Pixabay refused the API key"))
    ask(world)
    world.deliver_all()
    answer = ask(world)
    assert (len(answer.hits or ()), answer.complete) == (2, False)
    assert answer.pool
    assert answer.pool.answering.state is PoolState.FAILED
    assert answer.pool.answering.reason == "Pixabay refused the API key"


def test_a_new_model_embeds_both_pools_again(world: World) -> None:
    offer(world, "horse flower", range(15, 18))
    offer(world, "horse", range(4))
    for _ in range(2):
        ask(world)
        world.deliver_all()
    assert len(ask(world, top_k=100).hits or ()) == 7
    world.encoder.model_revision = "twin-2"
    for _ in range(3):
        ask(world)
        world.deliver_all()
    answer = ask(world, top_k=100)
    assert (len(answer.hits or ()), answer.complete) == (7, True)
    assert world.encoder.images == 14


@dataclass(frozen=True)
class Watched:
    """The scorer, and what it was asked."""

    scorer: Scorer
    asked: list[ScoreRequest] = field(default_factory=list)

    def score(self, request: ScoreRequest) -> ScoreReply:
        self.asked.append(request)
        return self.scorer.score(request)


def watched(world: World) -> list[ScoreRequest]:
    """Return what the scorer of *world* will be asked from now on."""
    scorer = Watched(world.score)
    world.search = replace(world.search, scorer=scorer)
    return scorer.asked


def test_each_page_of_both_pools_is_scored_once(world: World) -> None:
    offer(world, "horse flower", range(4))
    offer(world, "horse", range(2, 30))
    for _ in range(2):
        ask(world)
        world.deliver_all()
    asked = watched(world)
    first = ask(world)
    second = ask(world, cursor=first.next)
    assert not second.restarted
    assert not ids(first) & ids(second)
    pool_id = PoolKey.of("horse", world.options).pool_id
    assert [(each.pool_id, each.offset) for each in asked] == [(pool_id, 0), (pool_id, 5)]


def test_a_cursor_begins_anew_where_the_narrow_pool_has_other_images(world: World) -> None:
    offer(world, "horse flower", range(3))
    offer(world, "horse", range(10, 20))
    world.ask("horse flower")
    world.deliver_all()
    world.clock.sleep(world.policy.max_age_seconds / 2)
    ask(world)
    world.deliver_all()
    first = ask(world)
    assert first.next
    assert not ask(world, cursor=first.next).restarted
    offer(world, "horse flower", range(30, 33))  # as many
    world.clock.sleep(world.policy.max_age_seconds / 2 + 1)
    ask(world)
    world.deliver_all()
    anew = ask(world, cursor=first.next)
    assert world.source.listings == 3, "the broader one is still fresh"
    assert anew.restarted
    assert ids(anew) == ids(ask(world))


def test_the_narrow_pool_is_scored_alone_where_the_broader_one_has_nothing(world: World) -> None:
    offer(world, "horse flower", range(4))
    ask(world)
    world.deliver_all()
    asked = watched(world)
    assert len(ask(world).hits or ()) == 4
    pool_id = PoolKey.of("horse flower", world.options).pool_id
    assert [(each.pool_id, each.beside) for each in asked] == [(pool_id, None)]


def test_only_the_narrow_pool_lacks_the_new_model(world: World) -> None:
    offer(world, "horse flower", range(15, 18))
    offer(world, "horse", range(4))
    for _ in range(2):
        ask(world)
        world.deliver_all()
    world.encoder.model_revision = "twin-2"
    for _ in range(2):
        world.ask("horse")
        world.deliver_all()
    answer = ask(world, top_k=100)
    assert (len(answer.hits or ()), answer.complete) == (4, False)
    world.deliver_all()
    answer = ask(world, top_k=100)
    assert (len(answer.hits or ()), answer.complete) == (7, True)


def test_a_pool_is_scored_beside_one_of_which_the_model_has_nothing_yet(world: World) -> None:
    offer(world, "horse flower", range(2))
    for keyword in ("horse flower", "horse"):
        world.ask(keyword)
        world.deliver_all()
    offer(world, "horse", range(4, 7))
    world.encoder.model_revision = "twin-2"
    world.clock.sleep(world.policy.max_age_seconds + 1)
    for _ in range(2):
        world.ask("horse")
        world.deliver_all()
    pool_ids = [PoolKey.of(keyword, world.options).pool_id for keyword in ("horse", "horse flower")]
    asked = ScoreRequest(
        Query.of_text("twin-3"), 9, pool_id=pool_ids[0], generation=2, beside=(pool_ids[1], 1)
    )
    reply = world.score.score(asked)
    assert (reply.embedded, len(reply.hits)) == (3, 3)
