"""Many new keywords at once over the real cloud edition, more than it can work on at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from imagesearch.demo.scenes import THINGS
from tests.e2e.cloud_counts import WAIT_SECONDS, FaultyCloud, lines
from tests.effort import amount

KEYWORDS = [*THINGS][-amount(30, 60) :]  # which no other test takes
IMAGES = 3
LEASE_SECONDS = "2"  # so many jobs take many times as long
PAUSE_SECONDS = 3.0  # between two rounds of searches, which would take the cores from the work


def test_many_new_keywords_at_once_are_each_published_once_and_all_become_ready(
    faulty: FaultyCloud,
) -> None:
    began = time.monotonic()
    with faulty.pools_of(IMAGES, LEASE_SECONDS=LEASE_SECONDS):
        pools = search_until_complete(faulty)
    seconds = time.monotonic() - began
    published = of(pools, [one for one in lines(faulty.child("query")) if is_publication(one)])
    letters = of(pools, faulty.units("DeadLetter"))
    faulty.record(
        "many new keywords at once",
        f"{len(KEYWORDS)} keywords, a lease of {LEASE_SECONDS} s",
        f"{len(pools)} pools ready in {seconds:.0f} s, {len(published)} jobs published, "
        f"{len(of(pools, faulty.units('FetchJob')))} deliveries, {len(letters)} dead letters",
    )
    assert {pool["state"] for pool in pools.values()} == {"ready"}
    assert {pool["generation"] for pool in pools.values()} == {1}
    assert {pool["embedded"] for pool in pools.values()} == {IMAGES}
    assert sorted(one["pool_id"] for one in published) == sorted(pools)
    assert letters == []


def search_until_complete(faulty: FaultyCloud) -> dict[str, dict[str, Any]]:
    """Search all keywords at once, and again and again; return the pools as the last answers do."""
    pools: dict[str, dict[str, Any]] = {}
    left, give_up_at = list(KEYWORDS), time.monotonic() + WAIT_SECONDS
    while left:
        assert time.monotonic() < give_up_at, f"not complete: {left}"
        with ThreadPoolExecutor(len(left)) as callers:
            answers = [one.json() for one in callers.map(faulty.search, left)]
        pools |= {one["pool"]["pool_id"]: one["pool"] for one in answers if "pool" in one}
        left = [key for key, one in zip(left, answers, strict=True) if not one.get("complete")]
        time.sleep(PAUSE_SECONDS)
    return pools


def of(pools: Mapping[str, object], units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in units if one["pool_id"] in pools]


def is_publication(line: dict[str, Any]) -> bool:
    return line.get("kind") == "search" and "publish" in line["stages"]
