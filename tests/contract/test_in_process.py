"""What only the cache and the rate limiter in a process's memory do."""

from __future__ import annotations

import time

import numpy as np

from imagesearch.adapters.caches.in_process import (
    MAX_BYTES,
    SWEEP_AT,
    InProcessCache,
    InProcessLimiter,
)
from imagesearch.ports import TextEmbedding
from imagesearch.usecases.cache_slots import BYTES, TEXT

OFTEN = ("m", "a query that is asked again and again")


def test_what_has_expired_is_not_kept() -> None:
    cache = InProcessCache()
    for n in range(100):
        cache.put(BYTES, f"{n}", b"x", ttl_seconds=0.02)
    time.sleep(0.03)
    cache.put(BYTES, "later", b"x")
    assert len(cache) == 1


def test_caches_share_nothing() -> None:
    InProcessCache().put(BYTES, "key", b"value")
    assert InProcessCache().get(BYTES, "key") is None


def test_it_keeps_to_its_bytes_and_what_was_used_last() -> None:
    cache = InProcessCache()
    cache.put(TEXT, OFTEN, TextEmbedding(np.zeros(8, np.float32), truncated=False))
    for number in range(100):
        cache.put(BYTES, f"image-{number}", bytes(MAX_BYTES // 40))
        cache.get(TEXT, OFTEN)
    assert 30 < len(cache) <= 40
    assert cache.get(TEXT, OFTEN) is not None
    assert cache.get_many(BYTES, ["image-0", "image-99"]).keys() == {"image-99"}


def test_what_is_dropped_makes_room() -> None:
    cache = InProcessCache()
    cache.put(BYTES, "early", bytes(MAX_BYTES // 4))
    for number in range(20):
        cache.put(BYTES, f"image-{number}", bytes(MAX_BYTES // 4))
        cache.drop(BYTES, [f"image-{number}"])
    assert cache.get_many(BYTES, ["early"]).keys() == {"early"}


def test_a_value_larger_than_the_cache_is_not_kept_and_the_one_before_is_gone() -> None:
    cache = InProcessCache()
    cache.put(BYTES, "a", b"small")
    cache.put(BYTES, "a", bytes(MAX_BYTES))
    assert len(cache) == 0


def test_a_cache_that_is_cleared_is_empty() -> None:
    cache = InProcessCache()
    cache.put(BYTES, "a", b"data")
    cache.clear()
    assert cache.get(BYTES, "a") is None


def test_buckets_that_are_full_again_are_forgotten_and_others_are_not() -> None:
    limiter = InProcessLimiter()
    assert limiter.take_token("spent", limit=1, period_seconds=600.0) == 0.0
    for number in range(SWEEP_AT - 1):
        limiter.take_token(f"rate:{number}", limit=1, period_seconds=0.001)
    time.sleep(0.002)
    limiter.take_token("one more", limit=1, period_seconds=600.0)
    assert len(limiter) == 2
    assert limiter.take_token("spent", limit=1, period_seconds=600.0) > 590.0
