"""An hour of new keywords, each another, over the real cloud edition: no more than the day has."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice, permutations

import requests

from imagesearch.demo.scenes import THINGS
from imagesearch.domain.pools import PoolState
from imagesearch.local.emulated.cloud_stack import PROJECT
from imagesearch.local.emulated.environment import environment_of
from tests.e2e.cloud_counts import FaultyCloud, eventually
from tests.effort import amount

KEYWORDS = [" ".join(two) for two in islice(permutations(THINGS, 2), amount(40, 10_000))]
A_DAY = amount(12, 1_000)
IMAGES = 3
HOUR_SECONDS = 3600.0
CALLERS = 8


def test_of_very_many_new_keywords_as_many_are_begun_as_a_day_has(faulty: FaultyCloud) -> None:
    """Besides those that other tests have begun that day."""
    pools = faulty.services.catalog.pools
    before, most = set(pools.pool_ids()), counted_today(faulty) + A_DAY
    with faulty.pools_of(IMAGES, NEW_KEYWORDS_PER_DAY=str(most)):
        began = time.monotonic()
        with ThreadPoolExecutor(CALLERS) as callers:
            answers = list(callers.map(faulty.search, KEYWORDS))
        seconds = time.monotonic() - began
    said = Counter(answer.status_code for answer in answers)
    print(f"{len(answers)} keywords in {seconds:.0f} s: {dict(said)}")
    assert set(said) <= {200, 202, 429}
    assert said[200] + said[202] == A_DAY
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(is_told_when(answer, most) for answer in refused)
    assert seconds < HOUR_SECONDS
    pool_ids = set(pools.pool_ids()) - before
    assert len(pool_ids) == A_DAY
    waiting = set(pool_ids)

    def is_done() -> bool:
        for pool_id in list(waiting):
            pool = pools.get(pool_id)
            if pool is not None and pool.current.state is PoolState.READY:
                waiting.discard(pool_id)
        return not waiting

    eventually("each pool is ready", is_done, HOUR_SECONDS)
    fetched = {one["pool_id"] for one in faulty.units("FetchJob", outcome="fetched")}
    assert fetched - before <= pool_ids
    letters = faulty.units("DeadLetter")
    assert not [one for one in letters if one.get("pool_id") in pool_ids]


def counted_today(faulty: FaultyCloud) -> int:
    """Return how many new keywords the stack has begun on this day."""
    from google.cloud.firestore import Client

    with environment_of(faulty.stack.emulator_environment), closing(Client(PROJECT)) as client:
        days = client.collection("days").document("new").get().to_dict() or {}
    return int(days.get(str(int(time.time() // 86_400)), 0))


def is_told_when(answer: requests.Response, most: int) -> bool:
    """Whether the refusal is the day's, and says when the next one begins."""
    message = answer.json()["error"]["message"]
    return int(answer.headers["Retry-After"]) > 0 and f"the {most} new keywords" in message
