"""A pool of 200 images over the real cloud edition, for which many callers ask at once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.cloud_counts import POOL_SIZE, FaultyCloud, image_ids

CALLERS = 100


def test_a_hundred_concurrent_first_searches_make_one_fetch(faulty: FaultyCloud) -> None:
    keyword = "small circle"
    before, images_before = faulty.counts(keyword), Counter(faulty.gallery.images)
    start = threading.Barrier(CALLERS)

    def search(_: int) -> int:
        start.wait()
        return faulty.search(keyword, wait=10).status_code

    with ThreadPoolExecutor(CALLERS) as callers:
        statuses = Counter(callers.map(search, range(CALLERS)))
    assert set(statuses) <= {200, 202}
    answer = faulty.complete(keyword)
    assert len(set(image_ids(answer))) == POOL_SIZE
    assert answer["pool"]["generation"] == 1
    _, batches = faulty.settled(keyword)
    job = faulty.job(keyword)
    new = job["stored"]  # the others are in the pools of tests before this one
    assert new + job["reused"] == POOL_SIZE
    assert new > POOL_SIZE / 2
    assert sum(batch["embedded"] for batch in batches) == new
    assert faulty.gallery.listings[keyword] == 1
    downloads = Counter(faulty.gallery.images) - images_before
    assert len(downloads) == new
    assert set(downloads.values()) == {1}
    row = f"1 listing, {new} downloads in {job['seconds']:.1f} s, answers {dict(statuses)}"
    after = f"{faulty.counts(keyword)}; {row}"
    faulty.record(f"{CALLERS} concurrent first searches", before, after)
