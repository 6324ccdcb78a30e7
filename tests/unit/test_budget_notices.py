"""The door for what a billing budget says, as Cloud Billing does, and what that stops."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient

from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.local.embedded.stack import mount
from imagesearch.usecases.spending import HeedBudget, Spending
from tests.log_lines import Log
from tests.world import World

DAY_SECONDS = 86_400


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.file.close()


@pytest.fixture
def fetch(world: World) -> FlaskClient:
    process = SimpleNamespace(heed_budget=HeedBudget(world.catalog, world.clock))
    client: FlaskClient = mount("fetch", process).test_client()
    return client


def noticed(fetch: FlaskClient, **changes: object) -> int:
    """Have a notice delivered, of which some fields are others; return the status."""
    notice = {
        "budgetDisplayName": "imagesearch in my-project",
        "alertThresholdExceeded": 1.0,
        "costAmount": 50.01,
        "costIntervalStart": "2026-11-01T08:00:00Z",
        "budgetAmount": 50.0,
        "budgetAmountType": "SPECIFIED_AMOUNT",
        "currencyCode": "USD",
        **changes,
    }
    data = base64.b64encode(json.dumps(notice).encode()).decode()
    attributes = {"billingAccountId": "012345-6789AB-CDEF01", "schemaVersion": "1.0"}
    body = {"message": {"data": data, "messageId": "7", "attributes": attributes}}
    return int(fetch.post("/budget", data=json.dumps(body)).status_code)


def spending(world: World) -> Spending:
    """Return what a process counts, of which there may be several."""
    return Spending(world.catalog, world.clock, 4.0)


def test_a_budget_that_is_spent_stops_new_work_in_every_process_until_midnight(
    world: World, fetch: FlaskClient
) -> None:
    assert noticed(fetch) == 204
    for process in (spending(world), spending(world)):
        for begin in (process.new_keyword, process.everything):
            with pytest.raises(Overloaded, match="searches of known keywords go on") as refused:
                begin()
            assert 0 < (refused.value.retry_after_seconds or 0) <= DAY_SECONDS
        process.search()
    world.clock.time += timedelta(days=1)
    spending(world).new_keyword()
    assert noticed(fetch) == 204
    with pytest.raises(Overloaded):
        spending(world).new_keyword()


def test_each_notice_of_a_day_may_come_again_and_again(world: World, fetch: FlaskClient) -> None:
    assert {noticed(fetch) for _ in range(50)} == {204}
    with pytest.raises(Overloaded):
        spending(world).new_keyword()


@pytest.mark.parametrize("cost", [0, 49.99])
def test_a_budget_that_is_not_spent_stops_nothing(
    world: World, fetch: FlaskClient, log: Log, cost: float
) -> None:
    assert noticed(fetch, costAmount=cost) == 204
    spending(world).new_keyword()
    assert log.entries()[-1]["outcome"] == "not spent"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"costAmount": "much"}, "costAmount"),
        ({"costAmount": -1}, "costAmount"),
        ({"budgetAmount": 0}, "budgetAmount"),
        ({"budgetAmount": None}, "budgetAmount"),
    ],
)
def test_what_is_no_notice_is_said_and_stops_nothing(
    world: World, fetch: FlaskClient, log: Log, changes: dict[str, object], field: str
) -> None:
    assert noticed(fetch, **changes) == 204
    [entry] = [entry for entry in log.entries() if entry.get("kind") == "BudgetNotice"]
    assert entry["outcome"] == "malformed"
    assert field in entry["error"]
    spending(world).new_keyword()


def test_a_catalog_that_does_not_answer_is_a_nack(
    world: World, fetch: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> bool:
        raise Unavailable("Firestore does not answer")

    monkeypatch.setattr(type(world.catalog), "count", away)
    assert noticed(fetch) == 503
