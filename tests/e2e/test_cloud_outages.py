"""What the cloud edition remembers with is out for a while: Redis, Firestore, Cloud Storage."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis
import requests

from imagesearch.local.emulated.processes import HOST, Child
from tests.e2e.cloud_counts import POOL_SIZE, FaultyCloud, eventually, image_ids, lines

QUERIES = ("by the sea", "at night", "two in the snow")


def searched(faulty: FaultyCloud, keyword: str) -> tuple[list[list[str]], float]:
    """Return the ids that each of some searches of a ready pool finds, and the mean seconds."""
    answers = [faulty.search(keyword, s_query=query, k=10) for query in QUERIES]
    assert [one.status_code for one in answers] == [200] * len(QUERIES), answers[0].text
    assert all(one.json()["complete"] for one in answers)
    seconds = sum(one.elapsed.total_seconds() for one in answers) / len(answers)
    return [image_ids(one.json()) for one in answers], seconds


def work_done(faulty: FaultyCloud, keyword: str) -> tuple[int, int, int]:
    """Return the numbers of jobs, batches and listings of a whole pool."""
    jobs, batches = faulty.settled(keyword)
    return len(jobs), len(batches), faulty.gallery.listings[keyword]


def test_without_redis_searches_are_slower_and_right(faulty: FaultyCloud) -> None:
    """It refuses connections, then it lets them hang, then it is back, empty."""
    keyword = "trophy"
    faulty.complete(keyword)
    work = work_done(faulty, keyword)
    ids, usual = searched(faulty, keyword)
    child = faulty.child("redis")
    child.kill()
    try:
        refused_ids, refused = searched(faulty, keyword)
        new = faulty.complete("headphones")
    finally:
        faulty.stack.restart("redis")
    child.pause()
    try:
        hanging_ids, hanging = searched(faulty, keyword)
    finally:
        child.resume()
    back_ids, back = searched(faulty, keyword)
    assert ids == refused_ids == hanging_ids == back_ids
    assert len(set(image_ids(new))) == POOL_SIZE
    assert work_done(faulty, keyword) == work
    after = (
        f"0 errors, same ids, refusing {refused:.3f} s, hanging {hanging:.3f} s, back {back:.3f} s;"
        f" a new keyword: {len(new['results'])} results"
    )
    faulty.record("redis-server stopped during searches", f"{usual:.3f} s a search", after)


def test_a_flushed_redis_is_filled_again_from_firestore(faulty: FaultyCloud) -> None:
    """The inference service forgets, too: what it has in its memory would answer for Redis."""
    keyword = "ship"
    faulty.complete(keyword)
    ids, _ = searched(faulty, keyword)
    work = work_done(faulty, keyword)
    with closing(redis.Redis(HOST, faulty.stack.redis_port)) as client:
        keys = list(client.scan_iter(f"pool:{faulty.key(keyword).pool_id}:*"))
        assert len(keys) == 1
        faulty.child("inference").kill()
        client.flushall()
        assert client.dbsize() == 0
        faulty.stack.restart("inference")
        again, _ = searched(faulty, keyword)
        assert client.exists(keys[0])
    assert again == ids
    assert work_done(faulty, keyword) == work
    text = "{} job, {} batches, {} listing, 1 pool in redis"
    before, after = text.format(*work), text.format(*work_done(faulty, keyword))
    faulty.record("FLUSHALL, and inference killed", before, f"{after}, same ids")


def without_firestore(faulty: FaultyCloud) -> Callable[[], None]:
    faulty.firestore.cut()
    return faulty.firestore.mend


def with_firestore_hanging(faulty: FaultyCloud) -> Callable[[], None]:
    faulty.child("firestore").pause()
    return faulty.child("firestore").resume


@pytest.mark.parametrize(
    ("keyword", "break_it"),
    [("taxi", without_firestore), ("house", with_firestore_hanging)],
    ids=["refusing", "hanging"],
)
def test_work_that_finds_no_firestore_comes_again(
    faulty: FaultyCloud, keyword: str, break_it: Callable[[FaultyCloud], Callable[[], None]]
) -> None:
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    mend = break_it(faulty)
    try:
        faulty.gallery.release()
        with ThreadPoolExecutor(3) as callers:
            searches = [callers.submit(faulty.search, keyword) for _ in range(3)]
            eventually("work is nacked", lambda: nacked(faulty, keyword))
        answers = [one.result() for one in searches]
    finally:
        mend()
    for answer in answers:
        assert_asks_to_come_back(answer)
    faulty.assert_whole(keyword)
    assert_no_stack_trace(faulty)
    statuses = [one.status_code for one in answers]
    row = f"{faulty.counts(keyword)}; searches meanwhile {statuses}"
    how = "cut off" if break_it is without_firestore else "hanging"
    faulty.record(f"Firestore {how} for seconds", before, row)


def kill_between_writes(storage: Child) -> None:
    """Kill the emulator, which writes its index in place, when that can be read again."""
    (told,) = (one for one in storage.command if one.startswith("--data-dir="))
    (index,) = Path(told.partition("=")[2]).rglob(".meta")
    assert storage.process is not None
    while True:
        os.kill(storage.process.pid, signal.SIGSTOP)
        time.sleep(0.02)
        try:
            json.loads(index.read_bytes())
        except ValueError:
            os.kill(storage.process.pid, signal.SIGCONT)
        else:
            storage.kill()
            return


def test_work_that_finds_no_storage_comes_again(faulty: FaultyCloud) -> None:
    keyword = "lollipop"
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    kill_between_writes(faulty.child("storage"))
    try:
        faulty.gallery.release()
        statuses = set()
        while not nacked(faulty, keyword):
            statuses.add(faulty.search(keyword, wait=1).status_code)
    finally:
        with faulty.resting():
            faulty.stack.restart("storage")
    assert statuses == {200}  # from what was embedded before
    faulty.assert_whole(keyword)
    assert_no_stack_trace(faulty)
    row = f"{faulty.counts(keyword)}; searches meanwhile {sorted(statuses)}"
    faulty.record("storage emulator killed for seconds", before, row)


def nacked(faulty: FaultyCloud, keyword: str) -> int:
    """Return how many messages were nacked so far."""
    kinds = ("FetchJob", "EmbedBatch")
    return sum(len(faulty.units(kind, keyword, outcome="unavailable")) for kind in kinds)


def assert_asks_to_come_back(answer: requests.Response) -> None:
    assert answer.status_code in (503, 504), answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text
    assert int(answer.headers["Retry-After"]) >= 1


def assert_no_stack_trace(faulty: FaultyCloud) -> None:
    for name in ("query", "fetch", "inference"):
        traces = [line for line in lines(faulty.child(name)) if "stack_trace" in line]
        assert traces == []
