"""Hits are ranked by their corrected scores, and called matches by their strengths."""

from __future__ import annotations

import time

import numpy as np
import pytest

from imagesearch.domain.images import Embeddings
from imagesearch.domain.ranking import (
    References,
    Thresholds,
    best,
    corrected,
    match_of,
    relevances,
)
from tests.world import listed

IMAGES = [listed(i).image for i in range(4)]


def unit_rows(number: int, seed: int = 0, dim: int = 32) -> Embeddings:
    rows = np.random.default_rng(seed).normal(size=(number, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def test_the_best_come_first_and_ties_are_broken_by_image_id() -> None:
    rows = best(IMAGES[::-1], np.array([0.1, 0.3, 0.3, 0.2], np.float32), 3)
    assert [IMAGES[::-1][row].image_id for row in rows] == ["twin-1", "twin-2", "twin-0"]


def test_the_best_of_nothing_are_none() -> None:
    assert best([], np.zeros(0, np.float32), 5) == []


def test_relevance_is_the_softmax_over_all() -> None:
    cosines = np.array([0.25, 0.24, 0.23, 0.22], np.float32)
    weights = np.exp(100 * cosines.astype(float))
    assert relevances(cosines, 100.0) == pytest.approx(weights / weights.sum())


def test_extreme_logits_do_not_overflow() -> None:
    shares = relevances(np.array([1, -1, 0, 1], np.float32), 10_000.0)
    assert shares == pytest.approx([0.5, 0, 0, 0.5])


def test_hubness_is_the_mean_of_the_sixteen_highest_reference_cosines() -> None:
    images, references = unit_rows(5, seed=1), unit_rows(400, seed=2)
    plain = [sorted((references @ image).tolist())[-16:] for image in images]
    expected = [sum(each) / 16 for each in plain]
    assert References(references).hubness(images) == pytest.approx(expected, abs=1e-6)


def test_with_fewer_references_hubness_is_their_mean_and_with_none_it_is_nothing() -> None:
    images, references = unit_rows(5, seed=1), unit_rows(3, seed=2)
    means = (images @ references.T).mean(axis=1)
    assert References(references).hubness(images) == pytest.approx(means, abs=1e-6)
    assert References(references[:0]).hubness(images).tolist() == [0.0] * 5
    assert References(references).hubness(images[:0]).tolist() == []


def test_equal_images_have_the_same_hubness_wherever_they_stand() -> None:
    references = References(unit_rows(400, seed=2, dim=512))
    for number in range(2, 40):
        images = unit_rows(number, seed=number, dim=512)
        images[-1] = images[0]
        hubness = references.hubness(images)
        assert hubness[0] == hubness[-1]


def test_no_core_is_busy_once_hubness_is_computed() -> None:
    """Threads of a large matrix product look out for more work for a tenth of a second."""
    references, images = References(unit_rows(400, dim=512)), unit_rows(200, seed=1, dim=512)
    time.sleep(0.3)  # whatever came before is over
    references.hubness(images)
    began = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - began < 0.05


def test_half_of_its_hubness_is_taken_from_a_cosine() -> None:
    cosines, hubnesses = np.array([0.3, 0.3], np.float32), np.array([0.1, 0.5], np.float32)
    assert corrected(cosines, hubnesses) == pytest.approx([0.25, 0.05])


def test_a_score_is_as_strong_as_it_stands_out_of_what_its_query_gives_anything() -> None:
    references = unit_rows(400, seed=2)
    query, scores = unit_rows(1, seed=9)[0], np.array([0.5, -0.1], np.float32)
    spread = np.std([float(reference @ query) for reference in references])
    strengths = References(references).strengths(query, scores, per_spread=True)
    assert strengths == pytest.approx(scores / spread)


def test_scores_that_compare_as_they_are_stay_so() -> None:
    scores = np.array([0.5, -0.1], np.float32)
    strengths = References(unit_rows(9)).strengths(unit_rows(1)[0], scores, per_spread=False)
    assert strengths.tolist() == scores.tolist()


def test_words_that_mean_nothing_to_the_model_are_no_strong_match() -> None:
    references = unit_rows(400, seed=2)
    references[:, -1] = 0
    references /= np.linalg.norm(references, axis=1, keepdims=True)
    nothing = np.eye(32, dtype=np.float32)[-1]  # as far from each reference as from the next
    usual = np.median((references @ references.T).std(axis=1))
    strengths = References(references).strengths(
        nothing, np.array([0.5], np.float32), per_spread=True
    )
    assert strengths == pytest.approx([0.5 / (0.5 * usual)])


def test_without_references_a_score_is_its_strength() -> None:
    scores = np.array([0.5, -0.1], np.float32)
    strengths = References(unit_rows(0)).strengths(unit_rows(1)[0], scores, per_spread=True)
    assert strengths.tolist() == scores.tolist()


@pytest.mark.parametrize(
    ("strength", "match"),
    [(3.0, "strong"), (2.99, "fair"), (2.0, "fair"), (1.99, "weak"), (1.0, "weak"), (0.99, "none")],
)
def test_a_threshold_belongs_to_the_match_that_it_begins(strength: float, match: str) -> None:
    assert match_of(strength, Thresholds(3.0, 2.0, 1.0)) == match


@pytest.mark.parametrize(
    "levels", [(1.0, 2.0, 0.5), (2.0, 1.0, 1.5), (float("nan"), 1.0, 0.0), (float("inf"), 1.0, 0.0)]
)
def test_thresholds_fall_from_strong_to_weak(levels: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="fall from strong"):
        Thresholds(*levels)
