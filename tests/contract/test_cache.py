"""What every `Cache` and every `RateLimiter` does; only Redis is in `test_memorystore.py`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest

from imagesearch.domain.errors import Bug
from imagesearch.domain.images import Credit, Image, PackedPool
from imagesearch.domain.pools import Generation, Pool, PoolState, SourceOptions
from imagesearch.ports import Cache, RateLimiter, TextEmbedding
from imagesearch.usecases.cache_slots import BYTES, POOL, STATE, TEXT

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
MODEL = "laion/CLIP-ViT-B-32@main:1"
HOSTILE_TEXTS = ["", " ", "馬 🐎", "a:b\r\nSET x 1", "\x00", "\ud800", "x" * 100_000]


def packed_pool(n: int, dim: int = 512) -> PackedPool:
    vectors = np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    credit = Credit("馬 '\"", "Pixabay")
    images = (
        Image(f"p-{i}", f"p-{i}.jpg", "https://x", 640, i, credit, ("a,b", "")) for i in range(n)
    )
    return PackedPool(tuple(images), vectors)


def pool(keyword: str = "horse") -> Pool:
    ready = Generation(1, PoolState.READY, NOW, 200, 199, 1, None, NOW, None, None)
    current = Generation(
        2, PoolState.FETCHING, NOW, 200, 32, 0, NOW, None, None, "429 from the source"
    )
    return Pool("0123abcd", keyword, SourceOptions(colors="red"), current, ready)


# pools


@pytest.mark.parametrize("n", [0, 1, 200])
def test_a_packed_pool_comes_back_through_float16(cache: Cache, n: int) -> None:
    packed = packed_pool(n)
    cache.put(POOL, ("id", 3, MODEL), packed, ttl_seconds=60.0)
    found = cache.get(POOL, ("id", 3, MODEL))
    assert found is not None
    assert found.images == packed.images
    assert found.embeddings.dtype == np.float32
    assert found.embeddings.shape == (n, 512)
    np.testing.assert_array_equal(found.embeddings, packed.embeddings.astype(np.float16))


def test_a_pool_is_found_by_pool_generation_and_model_alone(cache: Cache) -> None:
    cache.put(POOL, ("id", 3, MODEL), packed_pool(2), ttl_seconds=60.0)
    assert cache.get(POOL, ("id", 2, MODEL)) is None
    assert cache.get(POOL, ("id", 3, "other")) is None
    assert cache.get(POOL, ("other", 3, MODEL)) is None


def test_dropped_bytes_are_gone_and_the_others_stay(cache: Cache) -> None:
    for image_id in ("a", "b", "c"):
        cache.put(BYTES, image_id, b"data")
    cache.drop(BYTES, ["a", "c", "never there"])
    cache.drop(BYTES, [])
    assert cache.get_many(BYTES, ["a", "b", "c"]) == {"b": b"data"}


def test_a_pool_is_gone_when_its_time_is_over(cache: Cache) -> None:
    cache.put(POOL, ("id", 1, MODEL), packed_pool(2), ttl_seconds=1.0)
    assert cache.get(POOL, ("id", 1, MODEL)) is not None
    time.sleep(1.05)
    assert cache.get(POOL, ("id", 1, MODEL)) is None


@pytest.mark.parametrize("ttl_seconds", [0.0, -5.0, 0.0001])
def test_a_pool_without_time_is_not_kept(cache: Cache, ttl_seconds: float) -> None:
    cache.put(POOL, ("id", 1, MODEL), packed_pool(2), ttl_seconds=ttl_seconds)
    assert cache.get(POOL, ("id", 1, MODEL)) is None


# states


@pytest.mark.parametrize("keyword", ["horse", "", "馬 🐎", "a\x00b", "'\"\\"])
def test_a_state_comes_back_as_it_was_noted(cache: Cache, keyword: str) -> None:
    assert cache.get(STATE, "0123abcd") is None
    cache.put(STATE, "0123abcd", pool(keyword))
    assert cache.get(STATE, "0123abcd") == pool(keyword)


def test_a_later_state_replaces_an_earlier_one(cache: Cache) -> None:
    cache.put(STATE, "0123abcd", pool("first"))
    cache.put(STATE, "0123abcd", pool("second"))
    assert cache.get(STATE, "0123abcd") == pool("second")


# bytes


def test_the_bytes_at_hand_come_back_by_image_id(cache: Cache) -> None:
    assert cache.get_many(BYTES, []) == {}
    assert cache.get_many(BYTES, ["a", "b"]) == {}
    cache.put(BYTES, "a", b"\x00\xff" * 100_000)
    cache.put(BYTES, "empty", b"")
    found = cache.get_many(BYTES, ["a", "missing", "empty", "a"])
    assert found == {"a": b"\x00\xff" * 100_000, "empty": b""}


@pytest.mark.parametrize("image_id", HOSTILE_TEXTS)
def test_a_hostile_image_id_is_an_image_id(cache: Cache, image_id: str) -> None:
    cache.put(BYTES, image_id, b"data")
    assert cache.get_many(BYTES, [image_id]) == {image_id: b"data"}


# texts


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize("truncated", [False, True])
def test_a_querys_embedding_comes_back(cache: Cache, text: str, truncated: bool) -> None:
    vector = packed_pool(1).embeddings[0]
    cache.put(TEXT, (MODEL, text), TextEmbedding(vector, truncated))
    found = cache.get(TEXT, (MODEL, text))
    assert found is not None
    assert found.truncated is truncated
    assert found.vector.dtype == np.float32
    np.testing.assert_array_equal(found.vector, vector)
    assert cache.get(TEXT, ("other", text)) is None
    assert cache.get(TEXT, (MODEL, text + " ")) is None


# tokens


def test_a_bucket_grants_its_limit_and_then_says_when(limiter: RateLimiter) -> None:
    waits = [limiter.take_token("quota", limit=3, period_seconds=30.0) for _ in range(5)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert 9.5 < waits[3] <= 10.0  # a token comes back every 30 s / 3
    assert 9.5 < waits[4] <= waits[3]  # a refused call takes none


def test_a_token_comes_back_after_the_time_that_was_said(limiter: RateLimiter) -> None:
    def take() -> float:
        return limiter.take_token("quota", limit=2, period_seconds=2.0)

    assert [take(), take()] == [0.0, 0.0]
    wait = take()
    assert 0 < wait <= 1.0
    time.sleep(wait + 0.001)
    assert take() == 0.0
    assert take() > 0
    time.sleep(2.05)
    assert [take(), take()] == [0.0, 0.0]
    assert take() > 0


def test_buckets_do_not_share_tokens(limiter: RateLimiter) -> None:
    for bucket in ["rate:1.2.3.4", "rate:::1", "rate:", "rate:\ud800"]:
        assert limiter.take_token(bucket, limit=1, period_seconds=60.0) == 0.0
        assert limiter.take_token(bucket, limit=1, period_seconds=60.0) > 59.0


def test_a_bucket_whose_limit_does_not_divide_its_period_grants_its_limit(
    limiter: RateLimiter,
) -> None:
    waits = [limiter.take_token("quota", limit=7, period_seconds=60.0) for _ in range(8)]
    assert waits[:7] == [0.0] * 7
    assert 8.0 < waits[7] < 60.0 / 7


@pytest.mark.parametrize(("limit", "period_seconds"), [(0, 60.0), (-1, 60.0), (1, 0.0), (1, -1.0)])
def test_a_bucket_that_holds_nothing_is_a_bug(
    limiter: RateLimiter, limit: int, period_seconds: float
) -> None:
    with pytest.raises(Bug, match="limit >= 1"):
        limiter.take_token("quota", limit=limit, period_seconds=period_seconds)


def test_of_50_simultaneous_takers_exactly_the_limit_is_granted(limiter: RateLimiter) -> None:
    together = threading.Barrier(50)

    def take(_: int) -> float:
        together.wait()
        return limiter.take_token("quota", limit=20, period_seconds=600.0)

    with ThreadPoolExecutor(50) as threads:
        waits = list(threads.map(take, range(50)))
    assert waits.count(0.0) == 20
    assert all(0 < wait <= 30.0 for wait in waits if wait)
