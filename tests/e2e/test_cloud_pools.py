"""Pools of 200 images over the real cloud edition: many callers at once, and crashes."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.e2e.cloud_counts import EMBEDDED_IMAGES, FaultyCloud, eventually, image_ids

POOL = 200
CALLERS = 100


def the_job(faulty: FaultyCloud, keyword: str) -> dict[str, Any]:
    """Return the one run that fetched the pool, once it is over; all runs were of one message."""
    # The pool is whole before its run is: the line comes last.
    eventually("the job is done", lambda: faulty.units("FetchJob", keyword, outcome="fetched"))
    runs = faulty.units("FetchJob", keyword)
    assert len({run["message_id"] for run in runs}) == 1
    (done,) = [run for run in runs if run["outcome"] == "fetched"]
    return done


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
    assert len(set(image_ids(answer))) == POOL
    assert answer["pool"]["generation"] == 1
    _, batches = faulty.settled(keyword)
    assert sum(batch["embedded"] for batch in batches) == POOL
    job = the_job(faulty, keyword)
    assert faulty.gallery.listings[keyword] == 1
    downloads = Counter(faulty.gallery.images) - images_before
    assert len(downloads) == POOL
    assert set(downloads.values()) == {1}
    row = f"1 listing, {POOL} downloads in {job['seconds']:.1f} s, answers {dict(statuses)}"
    after = f"{faulty.counts(keyword)}; {row}"
    faulty.record(f"{CALLERS} concurrent first searches", before, after)


def test_fetch_killed_amid_its_downloads_goes_on_where_it_was(faulty: FaultyCloud) -> None:
    keyword = "small flower"
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    with faulty.resting():
        faulty.child("fetch").kill()
        assert not faulty.units("FetchJob", keyword)
        faulty.gallery.release()
        faulty.stack.restart("fetch")
    faulty.assert_whole(keyword)
    job = the_job(faulty, keyword)
    assert job["stored"] + job["reused"] <= POOL - EMBEDDED_IMAGES  # not what was embedded already
    faulty.record("fetch killed amid its downloads", before, faulty.counts(keyword))


def test_inference_killed_with_batches_in_hand_loses_none(faulty: FaultyCloud) -> None:
    keyword = "big flower"
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    inference = faulty.child("inference")
    inference.pause()  # what is delivered from now on stays in its hands
    faulty.gallery.release()
    eventually("fetch is done", lambda: faulty.units("FetchJob", keyword, outcome="fetched"))
    assert faulty.embedded(keyword) < POOL
    with faulty.resting():
        inference.kill()
        faulty.stack.restart("inference")
    faulty.assert_whole(keyword)
    the_job(faulty, keyword)
    faulty.record("inference killed with batches in hand", before, faulty.counts(keyword))


def test_query_killed_amid_searches_that_wait_starts_no_second_fetch(faulty: FaultyCloud) -> None:
    keyword = "small tree"
    with ThreadPoolExecutor(8) as callers:
        faulty.gallery.hold_after(POOL // 2)
        waiting = [callers.submit(faulty.search, keyword, wait=25) for _ in range(8)]
        eventually("a batch is embedded", lambda: faulty.embedded(keyword) >= 32)
        before = faulty.counts(keyword)
        faulty.child("query").kill()
        for one in waiting:
            with pytest.raises(requests.ConnectionError):
                one.result()
    faulty.stack.restart("query")
    assert faulty.search(keyword).status_code == 200  # from what is embedded
    faulty.gallery.release()
    faulty.assert_whole(keyword)
    the_job(faulty, keyword)
    assert faulty.gallery.listings[keyword] == 1
    faulty.record("query killed amid 8 waiting searches", before, faulty.counts(keyword))


def test_query_killed_before_it_published_is_made_up_for_by_the_lease(faulty: FaultyCloud) -> None:
    """The pool is in the catalog and no job in Pub/Sub: a later search publishes it."""
    keyword, query = "big tree", faulty.child("query")
    told = query.environment
    faulty.begin_query({**told, "LEASE_SECONDS": "3"})
    with ThreadPoolExecutor(1) as callers:
        faulty.pubsub.cut()
        search = callers.submit(faulty.search, keyword)
        eventually("the pool is requested", lambda: faulty.pool(keyword))
        query.kill()
        with pytest.raises(requests.ConnectionError):
            search.result()
    faulty.pubsub.mend()
    before = faulty.counts(keyword)
    faulty.begin_query(told)
    faulty.assert_whole(keyword)
    the_job(faulty, keyword)
    faulty.record("query killed before it published", before, faulty.counts(keyword))
