"""Properties of the catalog over any order of deliveries, doubled ones included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.domain.images import Credit, Image, ListedImage, Listing
from imagesearch.domain.pools import Generation, PoolKey, PoolPolicy, PoolState, SourceOptions
from imagesearch.usecases.pools import Catalog
from tools.catalogs import sqlite_catalog

NOW = datetime(2026, 3, 4, tzinfo=UTC)
IMAGES = 6
Numbers = frozenset[int]

pool_numbers = itertools.count()  # every delivery has a pool and images of its own


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    path: Path = tmp_path_factory.mktemp("catalog") / "catalog.sqlite"
    with closing(sqlite_catalog(SqliteFile(path), PoolPolicy())) as opened:
        yield opened


def split(numbers: Numbers) -> tuple[Numbers, Numbers]:
    """Return those that are embedded and those that are rejected, every third of all."""
    rejected = frozenset(number for number in numbers if number % 3 == 0)
    return numbers - rejected, rejected


def deliver(catalog: Catalog, batches: Sequence[Numbers]) -> Generation:
    """Return what becomes of a pool of IMAGES images that is sent *batches*."""
    name = f"p{next(pool_numbers)}"
    key = PoolKey.of(name, SourceOptions())
    images = [Image(f"{name}-{n}", f"{n}.jpg", "", 1, 1, Credit("", "")) for n in range(IMAGES)]
    listing = Listing(tuple(ListedImage(image, "u") for image in images))
    catalog.request_pool(key, NOW)
    catalog.begin_fetch(key.pool_id, 1, NOW)
    catalog.record_listing(key.pool_id, 1, listing, NOW)
    for numbers in batches:
        embedded, rejected = split(numbers)
        catalog.record_batch(
            key.pool_id,
            1,
            model_revision="m",
            embeddings={f"{name}-{n}": np.eye(8, dtype=np.float32)[n] for n in embedded},
            rejections={f"{name}-{n}": "why" for n in rejected},
            now=NOW,
        )
    pool = catalog.pool(key.pool_id)
    assert pool is not None
    assert len(catalog.packed_pool(key.pool_id, 1, "m").images) == pool.current.embedded
    members = catalog.members(key.pool_id, 1)
    assert members is not None
    assert len(members.pending) == IMAGES - len(_done(batches))
    return pool.current


def _done(batches: Sequence[Numbers]) -> Numbers:
    return frozenset().union(*batches) & frozenset(range(IMAGES))


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.frozensets(st.integers(0, IMAGES + 1)), max_size=5),
    data=st.data(),
)
def test_delivering_twice_in_any_order_equals_delivering_once(
    catalog: Catalog, batches: list[Numbers], data: st.DataObject
) -> None:
    once = deliver(catalog, batches)
    assert deliver(catalog, data.draw(st.permutations(batches * 2))) == once
    embedded, rejected = split(_done(batches))
    assert (once.embedded, once.rejected) == (len(embedded), len(rejected))
    assert (once.state is PoolState.READY) == (len(embedded | rejected) == IMAGES)
