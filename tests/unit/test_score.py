"""The use case `score`: what hits are ranked by, and what is said of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesearch.domain.forgetting import Withdrawal
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.queries import ImagePart, Query, ScoreRequest, TextPart
from imagesearch.domain.ranking import References, Thresholds
from imagesearch.ports import ScoreReply, TextEmbedding
from imagesearch.usecases.score import Score
from imagesearch.usecases.withdrawn import FOLLOW_SECONDS
from imagesearch.wire.scoring import decode, encode
from tests.world import TwinEncoder, World, listed

MODEL = "plane-1"
CAPTIONS = (-10, 0, 10)  # degrees


class PlaneEncoder(TwinEncoder):
    """
    A model of two dimensions: each query points to 20 degrees, captions to some 0.

    But for "rain", which points to -60.
    """

    @property
    def references(self) -> References:
        return References(np.array([at(each) for each in CAPTIONS], np.float32))

    def encode_text(self, text: str) -> TextEmbedding:
        return TextEmbedding(at(-60 if text == "rain" else 20), truncated=False)


@dataclass(frozen=True)
class CountedReferences(References):
    """References that count of how many images the hubness is computed, at each time."""

    counts: list[int] = field(default_factory=list)

    def hubness(self, images: Embeddings) -> NDArray[np.float32]:
        self.counts.append(len(images))
        return super().hubness(images)


class CountingEncoder(TwinEncoder):
    """An encoder with one such bank for all its life."""

    @cached_property
    def references(self) -> CountedReferences:
        return CountedReferences(super().references.embeddings)


def at(degrees: float) -> Embedding:
    radians = np.radians(degrees)
    return np.array([np.cos(radians), np.sin(radians)], np.float32)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def reply_of(
    world: World,
    degrees: Sequence[float],
    thresholds: Thresholds | None = None,
    k: int = 10,
    text: str = "anything",
) -> ScoreReply:
    """Return what a search of everything finds of images that point to *degrees*."""
    images = [listed(number).image for number in range(len(degrees))]
    vectors = {image.image_id: at(each) for image, each in zip(images, degrees, strict=True)}
    world.catalog.library.put(images, vectors, MODEL)
    score = Score(
        catalog=world.catalog,
        cache=world.cache,
        encoder=PlaneEncoder(MODEL, thresholds=thresholds),
        clock=world.clock,
        policy=world.policy,
    )
    return score.score(ScoreRequest(Query.of_text(text), k, scope="catalog"))


def ids(reply: ScoreReply) -> list[str]:
    return [hit.image.image_id for hit in reply.hits]


def expected_score(degrees: float) -> float:
    hubness = np.mean([float(at(degrees) @ at(each)) for each in CAPTIONS])
    return float(at(degrees) @ at(20) - 0.5 * hubness)


def test_an_image_that_is_near_to_every_caption_falls_behind_one_that_is_not(
    world: World,
) -> None:
    # By cosine the first; 17 degrees are nearer to all captions than 24 are.
    degrees = [17, 24, -60]
    assert expected_score(24) > expected_score(17)
    reply = reply_of(world, degrees)
    assert ids(reply) == ["twin-1", "twin-0", "twin-2"]
    assert reply.hits[0].score < reply.hits[1].score == pytest.approx(np.cos(np.radians(3)))


def test_of_hubness_as_much_is_taken_as_calibration_found(world: World) -> None:
    levels = Thresholds(0.3, 0.2, 0.1, hubness_share=0.0)
    assert ids(reply_of(world, [17, 24, -60], levels)) == ["twin-0", "twin-1", "twin-2"]
    half = replace(levels, hubness_share=0.5)
    assert ids(reply_of(world, [17, 24, -60], half)) == ["twin-1", "twin-0", "twin-2"]


def test_over_everything_more_are_looked_at_than_are_wanted(world: World) -> None:
    assert ids(reply_of(world, [17, 24, -60], k=1)) == ["twin-1"]


def test_a_logit_is_a_scaled_cosine_and_the_models_bias(world: World) -> None:
    images = [listed(0).image]
    world.catalog.library.put(images, {images[0].image_id: at(24)}, MODEL)
    encoder = PlaneEncoder(MODEL, logit_scale=110.0, logit_bias=-16.5)
    score = Score(
        catalog=world.catalog,
        cache=world.cache,
        encoder=encoder,
        clock=world.clock,
        policy=world.policy,
    )
    [hit] = score.score(ScoreRequest(Query.of_text("anything"), 1, scope="catalog")).hits
    assert hit.logit == pytest.approx(110.0 * np.cos(np.radians(4)) - 16.5, abs=1e-4)
    assert hit.relevance == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "is_judged"), [("-", False), (" ?! ", False), ("5", True), ("🐎", True)]
)
def test_a_sentence_of_punctuation_alone_claims_nothing(
    world: World, text: str, is_judged: bool
) -> None:
    reply = reply_of(world, [20], Thresholds(0.3, 0.2, 0.1, per_spread=False), text=text)
    claimed = (True, "strong") if is_judged else (None, "uncalibrated")
    assert (reply.matched, reply.hits[0].match) == claimed


def test_relevance_is_shared_by_the_hits_of_everything(world: World) -> None:
    reply = reply_of(world, [17, 24, -60], k=2)
    assert sum(hit.relevance for hit in reply.hits) == pytest.approx(1.0)


def strength(degrees: float) -> float:
    spread = np.std([float(at(20) @ at(each)) for each in CAPTIONS])
    return expected_score(degrees) / float(spread)


def test_a_hit_is_called_what_its_strength_says(world: World) -> None:
    levels = Thresholds(strength(25), strength(0), strength(-40))
    reply = reply_of(world, [24.5, 10, -30, -80, 30], levels)
    by_id = {hit.image.image_id: hit.match for hit in reply.hits}
    assert by_id == {
        "twin-4": "strong",
        "twin-0": "fair",
        "twin-1": "fair",
        "twin-2": "weak",
        "twin-3": "none",
    }
    assert reply.matched is True


def test_a_hit_is_called_what_its_score_says_where_scores_compare_as_they_are(
    world: World,
) -> None:
    strong, fair, weak = map(expected_score, (25, 0, -40))
    levels = Thresholds(strong, fair, weak, per_spread=False)
    reply = reply_of(world, [30, 10, -30], levels)
    assert [hit.match for hit in reply.hits] == ["strong", "fair", "weak"]


@pytest.mark.parametrize(
    ("text", "share", "matches"),
    [
        ("a horse in the rain", 0.5, ["weak", "fair"]),
        ("a horse in the rain", 0.0, ["fair", "fair"]),
        ("a horse", 0.5, ["fair", "fair"]),
        ("a horse without rain", 0.5, ["fair", "fair"]),
    ],
)
def test_a_match_has_to_show_each_phrase(
    world: World, text: str, share: float, matches: list[str]
) -> None:
    """Cosines with the sentence are 1 and 0.87, with "rain" 0.17 and 0.64."""
    levels = Thresholds(9, 0.6, 0, per_spread=False, hubness_share=0.0, phrase_share=share)
    reply = reply_of(world, [20, -10], levels, text=text)
    by_id = {hit.image.image_id: hit.match for hit in reply.hits}
    assert [by_id["twin-0"], by_id["twin-1"]] == matches


def test_of_a_sentence_beside_an_image_no_phrase_is_asked_for(world: World) -> None:
    class Counting(PlaneEncoder):
        def encode_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
            asked.append([*texts])
            return super().encode_texts(texts)

    asked: list[list[str]] = []
    images = [listed(number).image for number in range(2)]
    vectors = {image.image_id: at(20) for image in images}
    world.catalog.library.put(images, vectors, MODEL)
    levels = Thresholds(3, 2, 1, phrase_share=0.25)
    encoder = Counting(MODEL, thresholds=levels)
    score = Score(world.catalog, world.cache, encoder, world.clock, world.policy)
    sentence = TextPart("a horse in the rain")
    for parts, texts in (
        ((sentence, ImagePart(images[0].image_id)), ["a horse in the rain"]),
        ((sentence,), ["horse", "rain"]),  # at once; the sentence is known by then
    ):
        asked.clear()
        score.score(ScoreRequest(Query(parts), 2, scope="catalog"))
        assert asked == [texts]
    asked.clear()
    score.score(ScoreRequest(Query((sentence,)), 2, scope="catalog"))
    assert not asked


def test_an_answer_is_matched_when_its_best_hit_is_fair(world: World) -> None:
    assert reply_of(world, [-30], Thresholds(99, strength(0), -9)).matched is False
    assert reply_of(world, [1], Thresholds(99, strength(0), -9)).matched is True


def test_an_uncalibrated_model_ranks_all_the_same_and_claims_nothing(world: World) -> None:
    reply = reply_of(world, [17, 24, -60])
    assert reply.matched is None
    assert {hit.match for hit in reply.hits} == {"uncalibrated"}


def test_nothing_matches_where_nothing_is(world: World) -> None:
    assert reply_of(world, [], Thresholds(3, 2, 1)).matched is False
    assert reply_of(world, []).matched is False, "which takes no thresholds to say"


# --- folding -------------------------------------------------------------------------------------


def looking(number: int, shape: int) -> Image:
    """Return an image whose pixels make one of some shapes, which have nothing in common."""
    bits = int.from_bytes(hashlib.sha256(str(shape).encode()).digest()[:8])
    return replace(listed(number).image, pixels=PixelFacts.of_bits(bits, 1))


def folded(world: World, shapes: Sequence[int], **changes: Any) -> ScoreReply:
    """Search everything for images of these shapes, one a little further off than the other."""
    images = [looking(number, shape) for number, shape in enumerate(shapes)]
    vectors = {image.image_id: at(20.01 + 0.01 * n) for n, image in enumerate(images)}
    world.catalog.library.put(images, vectors, MODEL)
    score = Score(
        catalog=world.catalog,
        cache=world.cache,
        encoder=PlaneEncoder(MODEL),
        clock=world.clock,
        policy=world.policy,
    )
    asked = ScoreRequest(Query.of_text("anything"), 10, scope="catalog", fold=True)
    return score.score(replace(asked, **changes))


def test_what_looks_the_same_is_one_hit_and_k_counts_those(world: World) -> None:
    shapes = [1, 1, 2, 1, 3, 2]
    order = ids(folded(world, shapes, fold=False))
    assert len(order) == 6
    reply = folded(world, shapes)
    leaders: dict[int, list[str]] = {}
    for image_id in order:
        leaders.setdefault(shapes[int(image_id.removeprefix("twin-"))], []).append(image_id)
    assert [(hit.image.image_id, *hit.similar) for hit in reply.hits] == [
        tuple(group) for group in leaders.values()
    ]
    two = folded(world, shapes, top_k=2)
    assert [(hit.image, hit.similar) for hit in two.hits] == [
        (hit.image, hit.similar) for hit in reply.hits[:2]
    ]
    assert two.more
    rest = folded(world, shapes, top_k=2, offset=2)
    assert ids(rest) == ids(reply)[2:]
    assert not rest.more


def test_over_everything_as_many_are_looked_at_as_it_takes(world: World) -> None:
    shapes = [1] * 300 + [2]
    reply = folded(world, shapes, top_k=2)
    assert [len(hit.similar) for hit in reply.hits] == [299, 0]
    assert not reply.more
    assert len(ids(folded(world, shapes, top_k=2, fold=False))) == 2


def test_not_all_were_seen_where_as_many_as_can_be_looked_at_look_the_same(world: World) -> None:
    reply = folded(world, [1] * 1001, top_k=2)
    assert [len(hit.similar) for hit in reply.hits] == [999]
    assert not reply.exhaustive
    assert folded(world, [], top_k=1).exhaustive, "as many hits as are wanted"
    assert not folded(world, [], top_k=10, offset=995, fold=False).exhaustive


def test_all_were_seen_where_fewer_are_stored_than_can_be_looked_at(world: World) -> None:
    assert folded(world, [1] * 999, top_k=2).exhaustive


def test_who_does_not_ask_for_folding_gets_every_image(world: World) -> None:
    reply = folded(world, [1, 1, 1], fold=False)
    assert len(reply.hits) == 3
    assert all(not hit.similar for hit in reply.hits)
    old = decode(b'{"query": "x", "top_k": 1}')
    assert not old.fold, "it knows nothing of `similar`"
    assert decode(encode(replace(old, fold=True))).fold


def test_a_poll_of_a_pool_that_fills_costs_the_hubness_of_what_is_new(world: World) -> None:
    world.encoder = encoder = CountingEncoder()
    world.assemble()
    world.offer("horse", 20)
    world.ask()
    world.deliver()  # the fetch: two batches follow, of 8 and of 12
    world.deliver()
    for _ in range(3):
        world.ask()
    world.deliver()
    filled = world.ask(top_k=20)
    assert filled.complete
    assert encoder.references.counts == [8, 0, 0, 12]
    world.assemble()  # nothing is kept in process
    assert world.ask(top_k=20).hits == filled.hits
    assert encoder.references.counts[4:] == [20]


# Answers that are kept


class Counting:
    """Counts how often everything is looked at."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        library = world.catalog.library
        nearest = library.nearest

        def counted(*arguments: Any) -> Any:
            self.times += 1
            return nearest(*arguments)

        monkeypatch.setattr(library, "nearest", counted)


def keeping(world: World, seconds: float = 300.0, image_ids: Sequence[str] = ()) -> Score:
    """Return a scorer that keeps answers, over three images."""
    images = [listed(number).image for number in range(3)]
    named = zip(images, image_ids or [image.image_id for image in images], strict=True)
    images = [replace(image, image_id=image_id) for image, image_id in named]
    vectors = {image.image_id: at(20 + n) for n, image in enumerate(images)}
    world.catalog.library.put(images, vectors, MODEL)
    encoder = PlaneEncoder(MODEL)
    return Score(
        world.catalog, world.cache, encoder, world.clock, world.policy, kept_seconds=seconds
    )


EVERYTHING = ScoreRequest(Query.of_text("anything"), 2, scope="catalog")


def test_an_answer_over_everything_serves_who_asks_the_same_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, looked = keeping(world), Counting(world, monkeypatch)
    first = score.score(EVERYTHING)
    assert score.score(EVERYTHING).hits == first.hits
    assert looked.times == 1
    other = Query.of_text("another")
    others = [
        replace(EVERYTHING, query=other),
        replace(EVERYTHING, top_k=1),
        replace(EVERYTHING, offset=1),
        replace(EVERYTHING, fold=True),
        replace(EVERYTHING, filters={"orientation": "horizontal"}),
    ]
    for number, each in enumerate(others):
        score.score(each)
        assert looked.times == 2 + number
    world.clock.elapsed_seconds += 301
    score.score(EVERYTHING)
    assert looked.times == 2 + len(others)


def test_without_a_time_none_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    score, looked = keeping(world, 0.0), Counting(world, monkeypatch)
    for _ in range(2):
        score.score(EVERYTHING)
    assert looked.times == 2


def test_a_picture_that_is_taken_down_is_in_no_answer_that_was_kept(world: World) -> None:
    score = keeping(world)
    gone = ids(score.score(EVERYTHING))[0]
    # The catalog has it still, as a crash half way leaves it: the answer alone is looked at.
    world.catalog.retention.withdraw([Withdrawal(gone, world.clock.now(), "it is asked for")])
    world.clock.elapsed_seconds += FOLLOW_SECONDS
    assert gone not in ids(score.score(EVERYTHING))


def test_nor_in_one_that_was_on_its_way_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, nearest = keeping(world), world.catalog.library.nearest
    gone = ids(keeping(world, 0.0).score(EVERYTHING))[0]

    def slow(*arguments: Any) -> Any:
        monkeypatch.undo()
        world.catalog.retention.withdraw([Withdrawal(gone, world.clock.now(), "asked for")])
        world.clock.elapsed_seconds += FOLLOW_SECONDS
        score.score(replace(EVERYTHING, top_k=1))  # which is when the process follows
        return nearest(*arguments)

    monkeypatch.setattr(world.catalog.library, "nearest", slow)
    score.score(EVERYTHING)
    assert gone not in ids(score.score(EVERYTHING))


def test_that_there_is_nothing_is_not_kept(world: World) -> None:
    encoder = PlaneEncoder(MODEL)
    score = Score(
        world.catalog, world.cache, encoder, world.clock, world.policy, kept_seconds=300.0
    )
    assert ids(score.score(EVERYTHING)) == []
    keeping(world)
    assert len(ids(score.score(EVERYTHING))) == 2


def test_own_pictures_are_in_no_answer_that_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = keeping(world, image_ids=["own-0", "own-1", "twin-2"])
    looked = Counting(world, monkeypatch)
    for _ in range(2):
        score.score(EVERYTHING)
    assert looked.times == 2
