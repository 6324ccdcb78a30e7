"""Thresholds come from pictures with captions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Embeddings
from imagesearch.domain.ranking import References
from imagesearch.evaluation.calibration import calibrate, thresholds_of
from imagesearch.evaluation.forms import read_captioned
from imagesearch.evaluation.protocol import auroc, best_strengths
from tests.world import TwinEncoder, original

RNG = np.random.default_rng(5)


def units(rows: NDArray[np.floating[Any]]) -> Embeddings:
    unit: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_where_captions_tell_pictures_apart_all_without_an_answer_are_refused() -> None:
    images = units(RNG.normal(size=(300, 64)))
    texts = units(images + 0.05 * RNG.normal(size=images.shape))
    calibration = thresholds_of(
        images, texts, [{row} for row in range(300)], References(units(RNG.normal(size=(50, 64))))
    )
    assert calibration.searches == 300
    assert calibration.auroc > 0.999
    assert calibration.refused == 1.0
    levels = calibration.thresholds
    assert levels.strong >= levels.fair > levels.weak > 0


def side_by_side(*parts: NDArray[np.floating[Any]]) -> Embeddings:
    return units(np.concatenate(parts, axis=1))


@pytest.mark.parametrize("per_spread", [True, False])
def test_scores_are_held_against_their_querys_spread_where_that_tells_more(
    per_spread: bool,
) -> None:
    """With what is meant a query's spread grows here, and there with what no picture shows."""
    shown = units(RNG.normal(size=(300, 32)))
    said = units(shown + 0.25 * RNG.normal(size=(300, 32)))
    none, far = np.zeros((300, 32)), np.eye(32)[RNG.integers(0, 32, 300)]
    share = RNG.uniform(0.4, 0.95, (300, 1))
    rest = np.sqrt(1 - share**2)
    if per_spread:
        texts = side_by_side(share * said, none, rest)
        references = side_by_side(RNG.normal(size=(100, 32)), none[:100], none[:100, :1])
    else:
        texts = side_by_side(0.6 * said, 0.8 * share * far, 0.8 * rest)
        references = side_by_side(none[:100], RNG.normal(size=(100, 32)), none[:100, :1])
    images = side_by_side(shown, none, none[:, :1])
    truths = [{row} for row in range(300)]
    calibration = thresholds_of(images, texts, truths, References(references))
    assert calibration.thresholds.per_spread is per_spread


@pytest.mark.parametrize("is_hub", [True, False])
def test_hubness_counts_only_where_fewer_are_not_found_by_it(is_hub: bool) -> None:
    """References are near to some pictures: here those are near to all captions, there to none."""
    count = 300
    meant = units(RNG.normal(size=(count, 32)))
    nearness = RNG.uniform(0, 0.8, (count, 1))  # of pictures to the one thing of all references
    rest = np.sqrt(1 - nearness**2)
    images = side_by_side(rest * meant, nearness)
    asked = units(meant + 0.25 * RNG.normal(size=meant.shape))
    texts = side_by_side(0.8 * asked, np.full((count, 1), 0.6 if is_hub else 0.0))
    references = side_by_side(np.zeros((50, 32)), np.ones((50, 1)))
    truths = [{row} for row in range(count)]
    calibration = thresholds_of(images, texts, truths, References(references))
    without = best_strengths(
        images, texts, truths, References(references), per_spread=False, share=0.0
    )
    assert (calibration.thresholds.hubness_share > 0) is is_hub
    assert calibration.first_right >= float((without[:, 0] > without[:, 1]).mean())


@pytest.mark.parametrize("tells", [True, False])
def test_phrases_count_only_where_they_tell_more(tells: bool) -> None:
    """A picture shows two things; a sentence is near to the first, and hardly to the second."""
    count = 300
    things = units(RNG.normal(size=(40, 64)))
    first, second = RNG.integers(0, 40, count), RNG.integers(0, 40, count)
    images = units(things[first] + things[second])
    noise = RNG.normal(size=(count, 64)) / 8
    texts = units(things[first] + 0.2 * things[second] + noise)
    said = [things[[a, b]] for a, b in zip(first, second, strict=True)]
    phrases = said if tells else [units(RNG.normal(size=(2, 64))) for _ in range(count)]
    truths = [
        np.flatnonzero((first == a) & (second == b) | (first == b) & (second == a)).tolist()
        for a, b in zip(first, second, strict=True)
    ]
    references = References(units(RNG.normal(size=(50, 64))))
    whole = thresholds_of(images, texts, truths, references)
    apart = thresholds_of(images, texts, truths, references, phrases)
    assert (apart.thresholds.phrase_share > 0) is tells
    assert (apart.auroc > whole.auroc) is tells
    assert (apart.first_right > whole.first_right) is tells
    assert whole.thresholds.phrase_share == 0


def test_where_they_tell_nothing_there_are_no_thresholds() -> None:
    images, texts = units(RNG.normal(size=(300, 64))), units(RNG.normal(size=(300, 64)))
    with pytest.raises(InvalidRequest, match=r"AUROC .* must be at least 0\.6, got 0\.[45]\d\d:"):
        thresholds_of(images, texts, [{row} for row in range(300)], References(images[:0]))


def test_what_a_caption_is_true_of_counts_as_no_wrong_answer() -> None:
    images = units(RNG.normal(size=(150, 64)))
    images[100:] = images[0]
    same = {0, *range(100, 150)}
    calibration = thresholds_of(images, images[:1], [same], References(images[:0]))
    assert calibration.auroc == 1.0


def test_too_few_pictures_say_nothing() -> None:
    images = units(RNG.normal(size=(99, 8)))
    with pytest.raises(InvalidRequest, match=r"at least 100 pictures.*got 99"):
        thresholds_of(images, images, [{row} for row in range(99)], References(images[:0]))


def test_captions_that_are_true_of_all_say_nothing() -> None:
    images = units(RNG.normal(size=(100, 8)))
    with pytest.raises(InvalidRequest, match="true of every picture"):
        thresholds_of(images, images[:1], [set(range(100))], References(images[:0]))


def test_pictures_are_measured_with_the_model(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"{number}.jpg").write_bytes(original(f"twin-{number}"))
        (tmp_path / f"{number}.txt").write_text(f"twin-{number}")
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    (tmp_path / "bad.txt").write_text("an apple")
    seen: list[tuple[int, str]] = []
    encoder = TwinEncoder()
    calibration, misfits = calibrate(
        encoder, read_captioned(tmp_path), lambda *done: seen.append(done)
    )
    assert (calibration.pictures, calibration.searches) == (120, 120)
    assert (encoder.images, encoder.texts) == (121, 120)
    assert seen == [(64, "pictures"), (121, "pictures"), (100, "captions"), (120, "captions")]
    assert [*map(str, misfits)] == ["pictures that cannot be used: 1 (bad.jpg: not an image)"]


def test_of_captions_the_phrases_are_embedded_each_once(tmp_path: Path) -> None:
    for number in range(100):
        caption = f"twin-{number} in the rain"
        (tmp_path / f"{number}.jpg").write_bytes(original(caption))
        (tmp_path / f"{number}.txt").write_text(caption)
    encoder = TwinEncoder()
    calibrate(encoder, read_captioned(tmp_path), lambda *_: None)
    assert encoder.texts == 100 + 100 + 1


def test_auroc_is_how_often_one_is_above_the_other() -> None:
    positive, negative = np.array([1, 2, 3], np.float32), np.array([0, 2], np.float32)
    plain = np.mean([(p > n) + (p == n) / 2 for p in positive for n in negative])
    assert auroc(positive, negative) == pytest.approx(plain)
