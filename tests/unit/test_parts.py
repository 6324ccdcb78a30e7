"""Queries of several parts, what they are not about, and their further pages, over `World`."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from imagesearch.domain.errors import InvalidRequest, NotFound, Overloaded
from imagesearch.domain.queries import (
    Cursor,
    ImagePart,
    Part,
    PicturePart,
    Query,
    ScoreRequest,
    SearchRequest,
    TextPart,
)
from imagesearch.domain.ranking import (
    References,
    Thresholds,
    corrected,
    direction,
    picture_demotion,
)
from imagesearch.ports import ImageEmbedding, ScoreReply
from imagesearch.usecases.search import SearchAnswer
from tests.world import World, original


def request(*parts: Part, minus: tuple[Part, ...] = (), **changes: object) -> SearchRequest:
    wanted = SearchRequest("horse", Query(parts, minus), top_k=4, wait_seconds=0.0)
    return replace(wanted, **changes)  # type: ignore[arg-type]


def ids(answer: SearchAnswer) -> list[str]:
    assert answer.hits is not None
    return [hit.image.image_id for hit in answer.hits]


def all_pages(world: World, asked: SearchRequest) -> list[list[str]]:
    """Return the ids of each page, from the first to the one that says there is no other."""
    pages, cursor = list[list[str]](), None
    while True:
        answer = world.search(replace(asked, cursor=cursor))
        assert not answer.restarted
        pages.append(ids(answer))
        cursor = answer.next
        if cursor is None:
            return pages


def test_a_stored_image_finds_what_is_like_it_and_not_itself(world: World) -> None:
    world.ready_pool(count=9)
    alone = world.search(request(ImagePart("twin-3"), top_k=9))
    assert len(ids(alone)) == 8
    assert "twin-3" not in ids(alone)
    rows = world.encoder.encode_images([original(f"twin-{number}") for number in range(9)])
    vectors = [row.vector for row in rows if isinstance(row, ImageEmbedding)]
    cosines = {f"twin-{number}": row @ vectors[3] for number, row in enumerate(vectors)}
    assert ids(alone) == sorted(set(cosines) - {"twin-3"}, key=lambda each: -cosines[each])


def test_an_image_that_is_not_stored_is_named(world: World) -> None:
    world.ready_pool(count=2)
    with pytest.raises(NotFound, match="there is no 'twin-7'") as caught:
        world.search(request(ImagePart("twin-1"), ImagePart("twin-7")))
    assert caught.value.field == "like"


@pytest.mark.parametrize("count", [0, 3])
def test_what_cannot_be_searched_by_is_refused_before_anything_is_embedded(
    world: World, count: int
) -> None:
    world.offer("horse", count)
    asked = request(TextPart("anything"), ImagePart("twin-7"), wait_seconds=10.0)
    picture = replace(asked, query=Query((PicturePart(b"GIF89a"),)))
    minus = replace(asked, query=Query((TextPart("anything"),), (ImagePart("twin-7"),)))
    for _ in range(2):
        with pytest.raises(NotFound, match=r"like must name stored images, and .* no 'twin-7'"):
            world.search(asked)
        with pytest.raises(InvalidRequest, match="picture cannot be searched by"):
            world.search(picture)
        with pytest.raises(NotFound, match=r"unlike must name stored images, and .* no 'twin-7'"):
            world.search(minus)
        assert world.clock.monotonic() == 0, "none of them waits for the pool"
        world.deliver_all()


def test_an_image_is_not_wanted_and_unwanted_at_once(world: World) -> None:
    world.ready_pool(count=3)
    query = Query((TextPart("anything"), ImagePart("twin-1")), (ImagePart("twin-1"),))
    for scope in ("pool", "catalog"):
        with pytest.raises(InvalidRequest, match=r"like and unlike .* 'twin-1' in both") as caught:
            world.search(request(query=query, scope=scope))
        assert caught.value.field == "unlike"


def test_an_image_that_is_named_twice_weighs_as_much_as_both(world: World) -> None:
    world.ready_pool(count=9)
    twice = ImagePart("twin-1"), ImagePart("twin-1"), ImagePart("twin-2")
    once = ImagePart("twin-1", 2.0), ImagePart("twin-2")
    assert ids(world.search(request(*twice))) == ids(world.search(request(*once)))
    unlike = Query((TextPart("anything"),), (ImagePart("twin-1"), ImagePart("twin-1")))
    assert len(ids(world.search(request(query=unlike, top_k=9)))) == 8


def test_an_id_that_is_not_stored_costs_no_fetch(world: World) -> None:
    world.ready_pool("cow", count=2)
    world.offer("horse", 3)
    for query in (
        Query((ImagePart("twin-7"),)),
        Query((TextPart("anything"),), (ImagePart("twin-7"),)),
    ):
        with pytest.raises(NotFound, match="there is no 'twin-7'"):
            world.search(request(query=query))
    assert not world.outbox.messages
    world.search(request(ImagePart("twin-1")))
    assert len(world.outbox.messages) == 1, "one that is stored has the pool fetched"


def test_a_picture_waits_for_its_pool_while_the_scorer_has_no_time_for_it(world: World) -> None:
    class Busy:
        def score(self, request: ScoreRequest) -> ScoreReply:
            raise Overloaded("128 are being scored", retry_after_seconds=1.0)

    world.offer("horse", 3)
    asked = request(PicturePart(original("twin-1")))
    assert replace(world.search, scorer=Busy())(asked).hits is None
    world.deliver_all()
    assert ids(world.search(asked))[0] == "twin-1"


def test_a_picture_is_embedded_once_and_stored_nowhere(world: World, tmp_path: Path) -> None:
    world.ready_pool(count=9)
    before = world.encoder.images
    picture = PicturePart(original("twin-5"))
    pages = all_pages(world, request(picture))
    assert pages[0][0] == "twin-5"
    assert sorted(chain(*pages)) == sorted(f"twin-{number}" for number in range(9))
    assert (world.encoder.pictures, world.encoder.images) == (1, before)
    assert world.catalog.library.embedded([picture.digest], "twin-1") == set()
    assert sum(path.is_file() for path in (tmp_path / "images").rglob("*")) == 9


def test_a_picture_that_is_none_says_why(world: World) -> None:
    world.ready_pool(count=2)
    with pytest.raises(InvalidRequest, match="picture cannot be searched by: not an") as caught:
        world.search(request(PicturePart(b"GIF89a")))
    assert caught.value.field == "picture"


def test_words_and_a_picture_together_find_what_both_are_about(world: World) -> None:
    world.ready_pool(count=40)
    both = world.search(request(TextPart("twin-3"), PicturePart(original("twin-5")), top_k=2))
    assert sorted(ids(both)) == ["twin-3", "twin-5"]
    heavy = TextPart("twin-3", weight=3.0)
    assert ids(world.search(request(heavy, ImagePart("twin-5"), top_k=1))) == ["twin-3"]


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_what_is_not_wanted_goes_back_behind_the_others(world: World, scope: str) -> None:
    world.ready_pool(count=40)
    asked = request(TextPart("anything"), scope=scope)
    best = ids(world.search(asked))[0]
    for part in (TextPart(best), ImagePart(best), PicturePart(original(best))):
        without = replace(asked, query=replace(asked.query, minus=(part,)))
        assert best not in ids(world.search(without))


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_an_image_that_is_not_wanted_is_no_hit_itself(world: World, scope: str) -> None:
    world.ready_pool(count=9)
    query = Query((TextPart("anything"),), (ImagePart("twin-3"),))
    hits = list(chain(*all_pages(world, request(query=query, scope=scope))))
    assert sorted(hits) == sorted({f"twin-{number}" for number in range(9)} - {"twin-3"})


@pytest.mark.parametrize("scope", ["pool", "catalog"])
@pytest.mark.parametrize("unwanted", ["words", "picture"])
def test_what_is_not_wanted_changes_order_and_no_match(
    world: World, scope: str, unwanted: str
) -> None:
    world.encoder.thresholds = Thresholds(0.1, 0.0, -0.1)
    world.ready_pool(count=9)
    asked = request(TextPart("anything"), top_k=9, scope=scope)
    before = world.search(asked)
    best = ids(before)[0]
    part = TextPart(best) if unwanted == "words" else PicturePart(original(best))
    after = world.search(replace(asked, query=replace(asked.query, minus=(part,))))
    assert ids(after) != ids(before)
    assert {hit.image.image_id: hit.match for hit in after.hits or ()} == {
        hit.image.image_id: hit.match for hit in before.hits or ()
    }


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_an_answer_is_matched_on_whichever_page_its_match_is(world: World, scope: str) -> None:
    world.ready_pool(count=9)
    asked = request(TextPart("anything"), top_k=9, scope=scope)
    best = world.search(asked).hits or ()
    strengths = world.encoder.references.strengths(
        world.encoder.encode_text("anything").vector,
        np.array([_corrected(world, best[0].image.image_id)]),
        per_spread=True,
    )
    fair = float(strengths[0]) - 0.01  # the cache rounds
    world.encoder.thresholds = Thresholds(fair, fair, fair)
    minus = (PicturePart(original(best[0].image.image_id)),)
    unlike = replace(asked, query=replace(asked.query, minus=minus))
    matched = {k: world.search(replace(unlike, top_k=k)).matched for k in (1, 3, 9)}
    assert matched == {1: True, 3: True, 9: True}
    assert [hit.match for hit in world.search(replace(unlike, top_k=1)).hits or ()] == ["none"]


def _corrected(world: World, image_id: str) -> float:
    (outcome,) = world.encoder.encode_images([original(image_id)])
    assert isinstance(outcome, ImageEmbedding)
    rows = outcome.vector[None]
    cosines = rows @ world.encoder.encode_text("anything").vector
    return float(corrected(cosines, world.encoder.references.hubness(rows))[0])


def test_a_spread_of_nearness_counts_as_one_of_scores_from_the_middle_on() -> None:
    images = np.array([[0.6, 0.8], [0.8, 0.6], [1, 0], [0, 1]], np.float32)
    scores = np.array([0.1, 0.3, 0, 0], np.float32)  # a spread of 0.1 among the first two
    unwanted = np.array([0, 1], np.float32)
    # Their middle is .7, .7; (image - middle) @ (unwanted - middle): .1, -.1, -.42, .58
    expected = pytest.approx([0.1, 0, 0, 0.58], abs=1e-6)
    assert picture_demotion(images, scores, [(unwanted, 1.0)], 2) == expected
    assert picture_demotion(images, scores, [(unwanted, 1.0)] * 2, 2) == expected, (
        "the nearest one counts"
    )
    assert picture_demotion(images, scores, [(unwanted, 0.5)], 2) == pytest.approx(
        [0.05, 0, 0, 0.29]
    )
    assert picture_demotion(images, scores, [], 2).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("count", [1, 3])
def test_images_that_are_all_alike_are_not_put_back(count: int) -> None:
    images = np.array([[0.6, 0.8]] * count, np.float32)
    scores = np.zeros(count, np.float32)
    unwanted = np.array([0, 1], np.float32)
    assert picture_demotion(images, scores, [(unwanted, 1.0)], count).tolist() == [0] * count


def test_what_shows_nothing_of_it_is_not_touched() -> None:
    images = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    unwanted = np.array([0, 1], np.float32)
    references = References(np.array([[0.6, 0.8], [0.8, 0.6]], np.float32))  # their middle: .7, .7
    # (image - middle) @ (unwanted - middle): -.3, .1, .58
    demoted = references.demotion(images, [(unwanted, 0.5)])
    assert demoted == pytest.approx([0, 0.05, 0.29])
    assert references.demotion(images, []).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dim", [0, 2])
def test_without_references_nothing_is_put_back(dim: int) -> None:
    images = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    references = References(np.empty((0, dim), np.float32))
    unwanted = np.array([0, 1], np.float32)
    assert references.demotion(images, [(unwanted, 1.0)]).tolist() == [0, 0, 0]


def test_parts_that_cancel_out_point_nowhere() -> None:
    there = np.array([0.6, 0.8], np.float32)
    with pytest.raises(InvalidRequest, match=r"by at least 0\.001, got 0\.000000") as caught:
        direction([(there, 1.0), (-there, 1.0)])
    assert caught.value.field == "like"
    assert direction([(there, 1.0), (-there, 0.5)]) == pytest.approx(there)


@pytest.mark.parametrize(
    ("scope", "query"),
    [
        (scope, query)
        for scope in ("pool", "catalog")
        for query in (
            Query.of_text("anything"),
            Query((ImagePart("twin-1"), ImagePart("twin-2"))),
            Query((TextPart("anything"),), (TextPart("twin-1"), TextPart("twin-2"))),
            Query((TextPart("anything"),), (PicturePart(original("twin-1")),)),
        )
    ],
)
def test_pages_give_every_image_once(world: World, scope: str, query: Query) -> None:
    world.ready_pool(count=97)
    pages = all_pages(world, request(scope=scope, query=query))
    hits = list(chain(*pages))
    expected = {f"twin-{number}" for number in range(97)} - set(query.like)
    assert len(hits) == len(set(hits))
    assert set(hits) == expected
    assert all(len(page) == 4 for page in pages[:-1])


def test_the_pages_of_a_pool_are_its_ranking_cut_up(world: World) -> None:
    world.ready_pool(count=11)
    asked = request(TextPart("anything"))
    whole = world.search(replace(asked, top_k=11))
    assert whole.next is None
    assert all_pages(world, asked) == [ids(whole)[:4], ids(whole)[4:8], ids(whole)[8:]]


def test_processes_that_read_the_cache_and_the_catalog_rank_alike(world: World) -> None:
    world.ready_pool(count=60)
    asked = request(TextPart("anything"), top_k=60)
    world.assemble()  # and the pool is in the cache, in fewer digits
    cached = world.search(asked)
    world.restart()
    stored = world.search(asked)
    assert [hit.score for hit in stored.hits or ()] == [hit.score for hit in cached.hits or ()]


def test_a_cursor_of_the_generation_before_begins_anew_and_says_so(world: World) -> None:
    world.ready_pool(count=9)
    asked = request(TextPart("anything"))
    first = world.search(asked)
    second = replace(asked, cursor=first.next)
    assert not world.search(second).restarted
    world.offer("horse", 12)
    world.clock.sleep(world.policy.max_age_seconds + 1)
    world.search(asked)
    world.deliver_all()
    anew = world.search(second)
    assert anew.restarted
    assert ids(anew) == ids(world.search(asked))
    assert not world.search(replace(asked, cursor=anew.next)).restarted


def test_a_pool_that_has_grown_begins_anew_too(world: World) -> None:
    world.offer("horse", 30)
    asked = request(TextPart("anything"))
    world.search(asked)
    world.deliver()
    world.deliver()  # the first batch
    first = world.search(asked)
    assert first.next is not None
    assert not first.complete
    world.deliver_all()
    assert world.search(replace(asked, cursor=first.next)).restarted


def test_nothing_follows_the_last_hit_that_a_library_looks_at(world: World) -> None:
    class Endless:
        def score(self, request: ScoreRequest) -> ScoreReply:
            return replace(world.score.score(replace(request, offset=0)), more=True)

    world.ready_pool(count=9)
    search = replace(world.search, scorer=Endless())
    asked = request(TextPart("anything"), scope="catalog")
    cursor = search(asked).next
    assert cursor is not None
    assert search(replace(asked, cursor=replace(cursor, offset=996))).next is not None
    assert search(replace(asked, cursor=replace(cursor, offset=997))).next is None


def test_a_search_is_told_from_others_by_all_that_changes_its_hits() -> None:
    asked = request(TextPart("a"))
    others = [
        replace(asked, keyword="cow"),
        replace(asked, scope="catalog"),
        replace(asked, top_k=5),
        replace(asked, filters={"orientation": "square"}),
        request(TextPart("b")),
        request(TextPart("a", 2.0)),
        request(ImagePart("a")),
        request(PicturePart(b"a")),
        request(TextPart("a"), TextPart("a")),
        request(TextPart("a"), minus=(TextPart("a"),)),
        request(TextPart("a"), minus=(ImagePart("a"),)),
        request(TextPart("a"), minus=(PicturePart(b"a"),)),
    ]
    assert len({each.digest for each in (asked, *others)}) == len(others) + 1
    same = replace(asked, wait_seconds=5.0, cursor=Cursor(1, asked.digest, "0" * 16))
    assert same.digest == asked.digest
