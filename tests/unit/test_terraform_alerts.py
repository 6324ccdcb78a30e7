"""What alerts look for in the log is what the code writes there."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import pytest

from imagesearch import push
from imagesearch.adapters.download import Downloader
from imagesearch.adapters.pixabay import Pixabay
from imagesearch.errors import SourceRefused
from imagesearch.messages import FetchJob
from imagesearch.model import PoolKey, SourceOptions
from tests.log_lines import Log
from tests.terraform import Applied, applied
from tests.world import World

_TERM = re.compile(r'(?P<field>(jsonPayload|resource)[\w.]*) (?P<is>=~?|:) (?P<value>"[^"]*")')
JOB = FetchJob(pool_id="0" * 32, generation=1, keyword="horse", options=SourceOptions())


@pytest.fixture
def full() -> Applied:
    return applied("full")


def matches(metric: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """True when an entry of the log has the words that *metric* counts; lines are joined by AND."""
    lines = [line.strip() for line in metric["filter"].strip().splitlines()]
    ours = [line for line in lines if "jsonPayload" in line]
    assert ours
    return all(any(holds(part, entry) for part in line.split(" OR ")) for line in ours)


def holds(term: str, entry: Mapping[str, Any]) -> bool:
    found = _TERM.search(term)
    assert found, term
    value, logged = found["value"].strip('"'), entry.get(found["field"].split(".")[1], "")
    return value in logged if found["is"] == ":" else logged == value


def delivered(log: Log, body: bytes, do: push.Do[FetchJob]) -> Mapping[str, Any]:
    push.handle(body, FetchJob, do)
    return log.only("FetchJob")


def envelope(job: FetchJob) -> bytes:
    data = base64.b64encode(job.model_dump_json().encode()).decode()
    return json.dumps({"message": {"data": data}}).encode()


def metric(full: Applied, name: str) -> Mapping[str, Any]:
    return full[f"google_logging_metric.{name}"]


def test_a_malformed_message_is_counted(full: Applied, log: Log) -> None:
    entry = delivered(log, b"no envelope", lambda *_: None)
    assert matches(metric(full, "malformed_messages"), entry)
    assert not matches(metric(full, "pixabay_refusals"), entry)


def test_a_fetch_that_meets_the_rate_limit_of_pixabay_is_counted(
    full: Applied, log: Log, world: World
) -> None:
    pixabay = Pixabay(
        api_key="key",
        downloader=cast(Downloader, None),  # nothing is listed that could be downloaded
        take_quota=lambda: 3600.0,
        clock=world.clock,
    )
    entry = delivered(
        log, envelope(JOB), lambda job, _: pixabay.list_images(job.keyword, job.options)
    )
    assert matches(metric(full, "pixabay_refusals"), entry)


def test_a_fetch_that_pixabay_refuses_is_counted(full: Applied, log: Log, world: World) -> None:
    key = PoolKey("horse", world.options)
    world.catalog.request_pool(key, world.clock.now())
    world.source.listing_errors.append(SourceRefused("Pixabay refused the request: invalid key"))
    job = FetchJob(pool_id=key.pool_id, generation=1, keyword="horse", options=world.options)
    entry = delivered(log, envelope(job), lambda job, _: world.fetch(job))
    assert matches(metric(full, "pixabay_refusals"), entry)


def test_a_fetch_that_goes_well_is_not_counted(full: Applied, log: Log) -> None:
    entry = delivered(log, envelope(JOB), lambda *_: None)
    assert not matches(metric(full, "pixabay_refusals"), entry)
    assert not matches(metric(full, "malformed_messages"), entry)
