"""Each service of the cloud edition is killed in the middle of its work, and nothing is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e.cloud_counts import (
    EMBEDDED_IMAGES,
    HELD_IMAGES,
    POOL_SIZE,
    FaultyCloud,
    eventually,
)


def test_fetch_killed_amid_its_downloads_goes_on_where_it_was(faulty: FaultyCloud) -> None:
    keyword = "frog"
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    with faulty.resting():
        faulty.child("fetch").kill()
        assert not faulty.units("FetchJob", keyword)
        faulty.gallery.release()
        faulty.stack.restart("fetch")
    faulty.assert_whole(keyword)
    job = faulty.job(keyword)
    assert (
        job["stored"] + job["reused"] <= POOL_SIZE - EMBEDDED_IMAGES
    )  # not what was embedded already
    faulty.record("fetch killed amid its downloads", before, faulty.counts(keyword))


def test_inference_killed_with_batches_in_hand_loses_none(faulty: FaultyCloud) -> None:
    keyword = "spider"
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    inference = faulty.child("inference")
    inference.pause()  # what is delivered from now on stays in its hands
    faulty.gallery.release()
    eventually("fetch is done", lambda: faulty.units("FetchJob", keyword, outcome="fetched"))
    assert faulty.embedded(keyword) < POOL_SIZE
    with faulty.resting():
        inference.kill()
        faulty.stack.restart("inference")
    faulty.assert_whole(keyword)
    faulty.job(keyword)
    faulty.record("inference killed with batches in hand", before, faulty.counts(keyword))


def test_query_killed_amid_searches_that_wait_starts_no_second_fetch(faulty: FaultyCloud) -> None:
    keyword = "ladybird"
    with ThreadPoolExecutor(8) as callers:
        faulty.gallery.hold_after(POOL_SIZE - HELD_IMAGES)
        waiting = [callers.submit(faulty.search, keyword, wait=25) for _ in range(8)]
        eventually("it has begun", lambda: faulty.embedded(keyword) >= EMBEDDED_IMAGES)
        before = faulty.counts(keyword)
        faulty.child("query").kill()
        for one in waiting:
            with pytest.raises(requests.ConnectionError):
                one.result()
    faulty.stack.restart("query")
    assert faulty.search(keyword).status_code == 200  # from what is embedded
    faulty.gallery.release()
    faulty.assert_whole(keyword)
    faulty.job(keyword)
    assert faulty.gallery.listings[keyword] == 1
    faulty.record("query killed amid 8 waiting searches", before, faulty.counts(keyword))


def test_query_killed_before_it_published_is_made_up_for_by_the_lease(faulty: FaultyCloud) -> None:
    """The pool is in the catalog and no job in Pub/Sub: a later search publishes it."""
    keyword, query = "dolphin", faulty.child("query")
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
    faulty.job(keyword)
    faulty.record("query killed before it published", before, faulty.counts(keyword))
