"""The search of tags: its words, how it is joined with what is near, and the reasons it gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagesearch.domain.images import Image
from imagesearch.domain.queries import ImagePart, Query, SearchRequest, TextPart
from imagesearch.domain.ranking import SearchHit, Thresholds, fused
from imagesearch.domain.tag_words import (
    MAX_WORDS,
    rarest,
    rarity,
    words_of_tags,
    words_that_say_all,
    words_to_look_for,
)
from tests.world import World


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Horses amidst the flowers", ["horse", "flower"]),
        ("three ＲＥＤ buses, not blue", ["red", "bus", "blue"]),
        ("a x", []),
        ("the of and", []),
        ("Pferde auf einer Wiese", ["pferde", "auf", "einer", "wiese"]),
        ("馬", []),
        ("馬場 🐎", ["馬場"]),
        (" ".join(f"word{n}" for n in range(50)), [f"word{n}" for n in range(MAX_WORDS)]),
    ],
)
def test_a_sentence_is_looked_for_by_the_words_that_a_tag_may_be(
    sentence: str, words: list[str]
) -> None:
    assert words_to_look_for(sentence) == words


def test_tags_have_their_words_in_the_same_form() -> None:
    tags = ("Wild Horses", "horse", "red-brown", "")
    assert words_of_tags(tags) == ["wild", "horse", "red", "brown"]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Stars", {"star"}),
        ("the red hearts in a meadow", {"red", "heart", "meadow"}),
        ("three stars", {"three", "star"}),
        ("a star without red", set()),
        ("it isn’t red", set()),
        ("the of a", set()),
        ("a photo of a horse", {"horse"}),
        ("Show me pictures of two horses", {"two", "horse"}),
        ("a picture", {"picture"}),
        ("a macro photo of a bee", {"macro", "bee"}),
        (" ".join(f"word{n}" for n in range(20)), {f"word{n}" for n in range(20)}),
    ],
)
def test_all_is_said_by_the_words_that_say_anything(sentence: str, words: set[str]) -> None:
    assert words_that_say_all(sentence) == words


def test_the_rarest_words_are_looked_for_as_far_as_few_have_them() -> None:
    counts = {"a": 50, "b": 3, "none": 0, "c": 40, "d": 101}
    assert rarest(counts, 100) == ["b", "c", "a"]
    assert rarest(counts, 90) == ["b", "c"]
    assert rarest(counts, 2) == []
    assert rarity(1) > rarity(2) > rarity(10**6) > 0


def test_nothing_is_before_the_nearest_for_its_tags_alone() -> None:
    none = np.inf
    near = np.array([1, 2, 20, none, none, 30], np.float32)
    words = np.array([none, none, none, 1, 5, 2], np.float32)
    scores = fused(near, words, np.array([False, False, True, True, False, False]))
    assert scores == pytest.approx([1 / 61, 1 / 62, 1 / 80 + 0.25 / 61, 1 / 61, 1 / 65, 1 / 62])


SENTENCE = "a lighthouse"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A catalog of 100 images, of which the furthest from SENTENCE alone has its word as a tag."""
    world = World(tmp_path)
    world.ready_pool(count=100)
    put_tag(world, ranked(world)[-1].image)
    return world


def put_tag(world: World, image: Image) -> None:
    tagged = replace(image, tags=("lighthouse",))
    world.catalog.library.put([tagged], {}, world.encoder.model_revision)


def ranked(world: World, sentence: str = SENTENCE) -> tuple[SearchHit, ...]:
    """Return all images by how near they are to *sentence*, the nearest first."""
    hits = world.ask(query=sentence, top_k=100, fold=False).hits
    assert hits is not None
    return hits


def over_everything(world: World, **changes: Any) -> tuple[SearchHit, ...]:
    hits = world.ask("", scope="catalog", **{"query": SENTENCE, **changes}).hits
    assert hits is not None
    return hits


def test_over_everything_what_tags_say_is_joined_with_a_reason_for_each(world: World) -> None:
    furthest, nearest = ranked(world)[-1].image.image_id, ranked(world)[0].image.image_id
    hits = over_everything(world, top_k=3)
    reasons = {hit.image.image_id: hit.reasons for hit in hits}
    assert set(list(reasons)[:2]) == {furthest, nearest}
    assert reasons.pop(furthest) == ("tags",)
    assert set(reasons.values()) == {("picture",)}


def test_what_is_near_and_has_the_word_has_both_reasons_and_comes_first(world: World) -> None:
    third = ranked(world)[2].image
    put_tag(world, third)
    hits = over_everything(world, top_k=3)
    assert hits[0].image.image_id == third.image_id
    assert hits[0].reasons == ("picture", "tags")


def test_what_has_a_part_of_the_words_is_not_before_the_nearest(world: World) -> None:
    sentence = "a lighthouse at night"
    nearest, *others = (hit.image for hit in ranked(world, sentence))
    for image in others[:30]:
        put_tag(world, image)
    hits = over_everything(world, query=sentence, top_k=3)
    assert hits[0].image.image_id == nearest.image_id


def test_what_has_all_the_words_is_before_what_is_a_little_nearer(world: World) -> None:
    tenth, last = ranked(world)[9].image, ranked(world)[30].image
    for image in (tenth, last):
        put_tag(world, image)
    hits = [hit.image.image_id for hit in over_everything(world, top_k=40)]
    assert hits[0] == tenth.image_id
    assert hits.index(last.image_id) > 1, "and not before what is a lot nearer"


@pytest.mark.parametrize(("fair", "is_first"), [(8.0, True), (-8.0, False)])
def test_where_the_nearest_are_no_match_what_has_all_the_words_is_before_them(
    world: World, fair: float, *, is_first: bool
) -> None:
    furthest = ranked(world)[-1].image.image_id
    world.encoder.thresholds = Thresholds(9, fair, -9)
    hits = over_everything(world, top_k=20)
    assert (hits[0].image.image_id == furthest) is is_first
    unwanted = Query((TextPart(SENTENCE),), minus=(TextPart("lighthouse"),))
    answer = world.search(SearchRequest("", unwanted, scope="catalog", wait_seconds=0.0))
    assert answer.hits
    assert answer.hits[0].image.image_id != furthest


def test_the_first_hits_are_the_same_however_many_are_asked_for(world: World) -> None:
    for image in (hit.image for hit in ranked(world)[20:60]):
        put_tag(world, image)
    first, *others = (
        [hit.image.image_id for hit in over_everything(world, top_k=k, fold=False)]
        for k in (80, 1, 5, 20)
    )
    assert [first[: len(hits)] for hits in others] == others


def test_all_pages_together_have_each_image_once(world: World) -> None:
    hits = over_everything(world, top_k=100, fold=False)
    assert len({hit.image.image_id for hit in hits}) == len(hits) == 100


def test_a_filter_holds_for_what_tags_say_too(world: World) -> None:
    filters = {"tag": "none"}
    assert over_everything(world, filters=filters) == ()
    hits = over_everything(world, filters={"tag": "Lighthouse"})
    assert [hit.image.image_id for hit in hits] == [ranked(world)[-1].image.image_id]


def test_in_a_pool_all_are_there_because_they_are_near(world: World) -> None:
    assert {hit.reasons for hit in ranked(world)} == {("picture",)}


@pytest.mark.parametrize("scope", ["pool", "catalog"])
def test_what_tags_say_is_a_match_of_words_alone(world: World, scope: str) -> None:
    world.encoder.thresholds = Thresholds(9, 8, 7)
    named = ranked(world)[0].image.image_id
    number = named.removeprefix("twin-")  # its tags are "tag" and this
    for sentence, matched in (
        (f"Tags {number}", True),
        (f"two tags {number}", False),
        (f"tag {number} without colours", False),
        (f"a tag {number} at night", False),
    ):
        answer = world.ask(scope=scope, query=sentence, top_k=100, fold=False)
        assert answer.matched is matched, sentence
        matches = {hit.image.image_id: hit.match for hit in answer.hits or ()}
        assert matches.pop(named) == ("fair" if matched else "none")
        assert set(matches.values()) == {"none"}
    picture = Query((TextPart("lighthouse"), ImagePart("twin-1")))
    request = SearchRequest("horse", picture, wait_seconds=0.0)
    assert world.search(request).matched is None
