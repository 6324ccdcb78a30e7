"""The pure parts of the domain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagesearch.model import PoolKey, SourceOptions, normalise_keyword, top_k
from tests.world import listed

IMAGES = [listed(i).image for i in range(4)]


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("Horse", "horse"),
        ("  wild\t horse \n", "wild horse"),
        ("ＨＯＲＳＥ", "horse"),
        ("Straße", "strasse"),
        ("e\u0301te\u0301", "été"),
        ("马", "马"),
        ("", ""),
    ],
)
def test_keywords_are_normalised(typed: str, normal: str) -> None:
    assert normalise_keyword(typed) == normal


def test_every_option_is_part_of_the_pools_identity() -> None:
    options = SourceOptions()
    changed = [
        replace(options, source="demo"),
        replace(options, language="de"),
        replace(options, orientation="vertical"),
        replace(options, category="animals"),
        replace(options, colors="red"),
        replace(options, safesearch=False),
        replace(options, pool_size=30),
    ]
    ids = {PoolKey.of("horse", each).pool_id for each in [options, *changed]}
    assert len(ids) == 8
    assert PoolKey.of(" HORSE", options).pool_id in ids


def test_top_k_puts_the_best_first_and_breaks_ties_by_image_id() -> None:
    cosines = np.array([0.1, 0.3, 0.3, 0.2], np.float32)
    hits = top_k(IMAGES[::-1], cosines, 3, 100.0)
    assert [hit.image.image_id for hit in hits] == ["twin-1", "twin-2", "twin-0"]


def test_relevance_is_the_softmax_over_the_whole_pool_not_over_the_hits() -> None:
    cosines = np.array([0.25, 0.24, 0.23, 0.22], np.float32)
    hits = top_k(IMAGES, cosines, 2, 100.0)
    weights = np.exp(100 * cosines.astype(float))
    assert [hit.relevance for hit in hits] == pytest.approx(list(weights[:2] / weights.sum()))
    assert hits[0].logit == pytest.approx(25.0, abs=1e-4)


def test_extreme_logits_do_not_overflow() -> None:
    hits = top_k(IMAGES, np.array([1, -1, 0, 1], np.float32), 4, 10_000.0)
    assert [hit.relevance for hit in hits] == pytest.approx([0.5, 0.5, 0, 0])


def test_top_k_of_nothing_is_nothing() -> None:
    assert top_k([], np.zeros(0, np.float32), 5, 100.0) == []
