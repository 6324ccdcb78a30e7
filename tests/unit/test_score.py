"""The use case `score`: what hits are ranked by, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from imagesearch.domain.images import Embedding
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.domain.ranking import References, Thresholds
from imagesearch.ports import ScoreReply, TextEmbedding
from imagesearch.usecases.score import Score
from tests.world import TwinEncoder, World, listed

MODEL = "plane-1"
CAPTIONS = (-10, 0, 10)  # degrees


class PlaneEncoder(TwinEncoder):
    """A model of two dimensions: each query points to 20 degrees, captions to some 0."""

    @property
    def references(self) -> References:
        return References(np.array([at(each) for each in CAPTIONS], np.float32))

    def encode_text(self, text: str) -> TextEmbedding:
        return TextEmbedding(at(20), truncated=False)


def at(degrees: float) -> Embedding:
    radians = np.radians(degrees)
    return np.array([np.cos(radians), np.sin(radians)], np.float32)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def reply_of(
    world: World, degrees: Sequence[float], thresholds: Thresholds | None = None, k: int = 10
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
    return score.score(ScoreRequest(Query.of_text("anything"), k, scope="catalog"))


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


def test_over_everything_more_are_looked_at_than_are_wanted(world: World) -> None:
    assert ids(reply_of(world, [17, 24, -60], k=1)) == ["twin-1"]


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


def test_an_answer_is_matched_when_its_best_hit_is_fair(world: World) -> None:
    assert reply_of(world, [-30], Thresholds(99, strength(0), -9)).matched is False
    assert reply_of(world, [1], Thresholds(99, strength(0), -9)).matched is True


def test_an_uncalibrated_model_ranks_all_the_same_and_claims_nothing(world: World) -> None:
    reply = reply_of(world, [17, 24, -60])
    assert reply.matched is None
    assert {hit.match for hit in reply.hits} == {"uncalibrated"}


def test_nothing_matches_where_nothing_is(world: World) -> None:
    assert reply_of(world, [], Thresholds(3, 2, 1)).matched is False
    assert reply_of(world, []).matched is None
