"""A pool over the real cloud edition, for which many callers ask at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.e2e.cloud_counts import POOL_SIZE, FaultyCloud, image_ids

CALLERS = 100


def test_a_hundred_concurrent_first_searches_make_one_fetch(faulty: FaultyCloud) -> None:
    keyword = "dartboard"
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


def test_64_waiting_searches_leave_the_api_alive(faulty: FaultyCloud) -> None:
    """Each holds a thread of the one process until its pool is there, or its wait is over."""
    keyword, query_url = "chilli", faulty.stack.query_url
    faulty.child("fetch").pause()
    try:
        with ThreadPoolExecutor(64) as callers:
            searches = [callers.submit(faulty.search, keyword, wait=8) for _ in range(64)]
            time.sleep(4)
            began = time.monotonic()
            assert requests.get(f"{query_url}/alive", timeout=10).status_code == 200
            assert time.monotonic() - began < 2
            assert not any(search.done() for search in searches)
            assert {search.result().status_code for search in searches} == {202}
    finally:
        faulty.child("fetch").resume()
    assert faulty.complete(keyword)["pool"]["generation"] == 1
