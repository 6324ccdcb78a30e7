"""An hour of new keywords, each another, over the real cloud edition: no more than the day has."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, permutations

import pytest
import requests

from imagesearch.demo.scenes import THINGS
from imagesearch.domain.pools import PoolState
from tests.e2e.cloud import require_programs
from tests.e2e.cloud_counts import FaultyCloud, eventually, faulty_cloud
from tests.effort import amount

KEYWORDS = [" ".join(two) for two in islice(permutations(THINGS, 2), amount(60, 10_000))]
A_DAY = amount(20, 1_000)
HOUR_SECONDS = 3600.0
CALLERS = 8


@pytest.fixture
def limited() -> Iterator[FaultyCloud]:
    """A stack with a day of its own: the others' keywords are not counted in it."""
    require_programs()
    settings = {
        "POOL_SIZE": "3",
        "RATE_LIMIT_PER_MINUTE": "1000000",
        "NEW_KEYWORDS_PER_MINUTE": "10000",
        "NEW_KEYWORDS_PER_DAY": str(A_DAY),
    }
    with faulty_cloud(**settings) as cloud:
        yield cloud


def test_of_very_many_new_keywords_as_many_are_begun_as_a_day_has(limited: FaultyCloud) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as callers:
        answers = list(callers.map(limited.search, KEYWORDS))
    seconds = time.monotonic() - began
    said = Counter(answer.status_code for answer in answers)
    print(f"{len(answers)} keywords in {seconds:.0f} s: {dict(said)}")
    assert set(said) <= {200, 202, 429}
    assert said[200] + said[202] == A_DAY
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(is_told_when(answer) for answer in refused)
    assert seconds < HOUR_SECONDS
    pools = limited.services.catalog.pools
    pool_ids = list(pools.pool_ids())
    assert len(pool_ids) == A_DAY
    waiting = set(pool_ids)

    def is_done() -> bool:
        for pool_id in list(waiting):
            pool = pools.get(pool_id)
            if pool is not None and pool.current.state is PoolState.READY:
                waiting.discard(pool_id)
        return not waiting

    eventually("each pool is ready", is_done, HOUR_SECONDS)
    fetched = {one["pool_id"] for one in limited.units("FetchJob", outcome="fetched")}
    assert fetched <= set(pool_ids)
    assert limited.units("DeadLetter") == []


def is_told_when(answer: requests.Response) -> bool:
    """Whether the refusal is the day's, and says when the next one begins."""
    message = answer.json()["error"]["message"]
    return int(answer.headers["Retry-After"]) > 0 and f"the {A_DAY} new keywords" in message
