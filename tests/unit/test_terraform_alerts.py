"""What alerts look for in the log is what the code writes, and none pages for what is meant."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from imagesearch.domain.errors import Overloaded, SourceRefused, Unavailable
from imagesearch.domain.pools import PoolKey, SourceOptions
from imagesearch.domain.work import FetchJob
from imagesearch.doors import push
from imagesearch.settings import load_settings
from imagesearch.sources.download import Downloader
from imagesearch.sources.pace import Pace
from imagesearch.sources.pixabay import PIXABAY
from imagesearch.sources.pixabay_listing import Pixabay
from imagesearch.usecases.spending import Spending
from imagesearch.wire.messages import encode
from tests.log_lines import Log
from tests.terraform import ROOT, TERRAFORM, Applied, applied, waits_for
from tests.unit.test_functions import SEARCH, serve
from tests.world import World
from tools.cost_model import load as load_costs

_TERM = re.compile(
    r"(?P<no>NOT )?jsonPayload\.(?P<field>[\w.]+) (?P<is>=|:|>=) (?P<value>\"[^\"]*\"|[\d.]+)"
)
JOB = FetchJob(pool_id="0" * 32, generation=1, keyword="horse", options=SourceOptions())


@pytest.fixture
def full() -> Applied:
    return applied("full")


def test_no_line_that_has_the_address_of_a_search_is_kept(full: Applied) -> None:
    """Cloud Run's own and the load balancer's, of the query function and of the web app."""
    exclusion = full["google_logging_project_exclusion.searches"]
    run, balancer = exclusion["filter"].split(") OR (")
    function = full["google_cloudfunctions2_function.query"]["name"]
    backend = full["google_compute_backend_service.query[0]"]["name"]
    app = re.search(r'(?m)^  name += "\$\{local.name\}(-app)"', (TERRAFORM / "app.tf").read_text())
    assert app
    services = f'("{function}" OR "imagesearch{app[1]}")'
    assert f"resource.labels.service_name = {services}" in run
    first_made = waits_for("google_logging_project_exclusion.searches")
    assert not [one for one in first_made if "function" in one or "run_v2" in one]
    assert 'log_id("run.googleapis.com/requests")' in run
    assert f'resource.labels.backend_service_name = "{backend}"' in balancer
    assert not exclusion.get("disabled")


def test_an_alert_goes_to_every_channel_and_the_budget_by_mail_alone(full: Applied) -> None:
    (mail,) = full.of("monitoring_notification_channel")
    theirs = "projects/example-project/notificationChannels/123"
    alerts = full.of("monitoring_alert_policy")
    assert alerts
    for one in alerts:
        assert one.values["notification_channels"] == [mail.values["id"], theirs], one.address
    (budget,) = full.of("billing_budget")
    (rule,) = budget.values["all_updates_rule"]
    assert rule["monitoring_notification_channels"] == [mail.values["id"]]
    assert full.outputs["alerts_go_to"] == f"ops@example.com, {theirs}"


def matches(metric: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """True when an entry of the log has the words that *metric* counts; lines are joined by AND."""
    lines = [line.strip() for line in metric["filter"].strip().splitlines()]
    ours = [line for line in lines if "jsonPayload" in line]
    assert ours
    return all(any(holds(part, entry) for part in line.split(" OR ")) for line in ours)


def holds(term: str, entry: Mapping[str, Any]) -> bool:
    """True when *entry* is as *term* says; what it lacks equals, holds and exceeds nothing."""
    found = _TERM.search(term)
    assert found, term
    logged: Any = entry
    for name in found["field"].split("."):
        logged = logged.get(name) if isinstance(logged, Mapping) else None
    value = json.loads(found["value"])
    tests: dict[str, Callable[[], bool]] = {
        "=": lambda: bool(logged == value),
        ":": lambda: value in logged,
        ">=": lambda: bool(logged >= value),
    }
    is_so = logged is not None and tests[found["is"]]()
    return is_so is not bool(found["no"])


def delivered(log: Log, body: bytes, do: push.Do[FetchJob]) -> Mapping[str, Any]:
    push.handle(body, FetchJob, do, give_up=lambda *_: None)
    return log.only("FetchJob")


def envelope(job: FetchJob, attempt: int = 1) -> bytes:
    data = base64.b64encode(encode(job)).decode()
    return json.dumps({"message": {"data": data}, "deliveryAttempt": attempt}).encode()


def metric(full: Applied, name: str) -> Mapping[str, Any]:
    return full[f"google_logging_metric.{name}"]


def test_a_malformed_message_is_counted(full: Applied, log: Log) -> None:
    entry = delivered(log, b"no envelope", lambda *_: None)
    assert matches(metric(full, "malformed_messages"), entry)
    assert not matches(metric(full, "source_refusals"), entry)


@pytest.mark.parametrize(("attempt", "is_over"), [(4, False), (5, True)])
def test_what_failed_for_the_last_time_is_counted(
    full: Applied, log: Log, attempt: int, is_over: bool
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("the image host is down")

    entry = delivered(log, envelope(JOB, attempt), fail)
    assert matches(metric(full, "given_up"), entry) == is_over


def test_that_the_day_is_spent_is_logged_once_in_the_words_of_the_alert(
    full: Applied, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (condition,) = full["google_monitoring_alert_policy.spent"]["conditions"]
    words = re.findall(r'message : "(.*)"', condition["condition_matched_log"][0]["filter"])
    spending = Spending(world.catalog, world.clock, 0.5)
    refused = 0
    while refused < 3:
        try:
            spending.search()
        except Overloaded:
            refused += 1
    assert [words[0] in record.getMessage() for record in caplog.records] == [True]


def test_reads_are_alerted_of_at_a_quarter_of_the_day(full: Applied) -> None:
    (condition,) = full['google_monitoring_alert_policy.cost["reads"]']["conditions"]
    most = int(condition["condition_prometheus_query_language"][0]["query"].rpartition(" ")[2])
    a_day = load_costs().value("dollars_per_day")
    assert most * load_costs().price("firestore_read") == pytest.approx(a_day / 4, rel=0.001)


def test_a_fetch_that_meets_the_rate_limit_of_pixabay_is_counted(
    full: Applied, log: Log, world: World
) -> None:
    pixabay = Pixabay(
        PIXABAY,
        api_key="key",
        downloader=Downloader(PIXABAY.hosts, clock=world.clock),
        take_quota=lambda: 3600.0,
        clock=world.clock,
    )
    entry = delivered(
        log, envelope(JOB), lambda job, _: list(pixabay.pages(job.keyword, job.options))
    )
    assert matches(metric(full, "source_refusals"), entry)


def test_a_fetch_that_meets_the_limit_of_another_source_is_counted(
    full: Applied, log: Log, world: World
) -> None:
    def ask(*_: object) -> None:
        with Pace("Openverse", 1, lambda: 3600.0, world.clock).turn():
            pass

    assert matches(metric(full, "source_refusals"), delivered(log, envelope(JOB), ask))


def test_a_fetch_that_pixabay_refuses_is_counted(full: Applied, log: Log, world: World) -> None:
    key = PoolKey("horse", world.options)
    world.catalog.request_pool(key, world.clock.now())
    world.source.listing_errors.append(SourceRefused("Pixabay refused the request: invalid key"))
    job = FetchJob(pool_id=key.pool_id, generation=1, keyword="horse", options=world.options)
    entry = delivered(log, envelope(job), lambda job, _: world.fetch(job))
    assert matches(metric(full, "source_refusals"), entry)


def test_a_fetch_that_goes_well_is_not_counted(full: Applied, log: Log) -> None:
    entry = delivered(log, envelope(JOB), lambda *_: None)
    assert not matches(metric(full, "source_refusals"), entry)
    assert not matches(metric(full, "malformed_messages"), entry)
    assert not matches(metric(full, "given_up"), entry)


# A search that is slow


def searched(log: Log, world: World, **changes: str) -> Mapping[str, Any]:
    """Search once, and return what the query function logged of it."""
    query = serve("query", world, load_settings())
    before = len(log.entries("search"))
    query.get("/search", query_string={**SEARCH, **changes})
    (entry,) = log.entries("search")[before:]
    return entry


def test_a_search_on_a_ready_pool_is_timed(full: Applied, log: Log, world: World) -> None:
    world.ready_pool()
    entry = searched(log, world)
    assert matches(metric(full, "ready_search_seconds"), entry)
    assert metric(full, "ready_search_seconds")["value_extractor"] == "EXTRACT(jsonPayload.seconds)"
    assert entry["seconds"] > 0


def test_a_search_of_the_whole_catalog_is_timed(full: Applied, log: Log, world: World) -> None:
    world.ready_pool()
    assert matches(metric(full, "ready_search_seconds"), searched(log, world, scope="catalog"))


def test_a_search_that_waited_for_its_pool_is_not_timed(
    full: Applied, log: Log, world: World
) -> None:
    def fetched() -> None:
        time.sleep(0.02)  # the set clock takes no time, and the stage is of true time
        world.deliver_all()

    world.offer("horse", 5)
    world.clock.during_sleep = [fetched]
    entry = searched(log, world, wait="10")
    assert entry["status"] == 200
    assert not matches(metric(full, "ready_search_seconds"), entry)


def test_a_search_that_found_nothing_yet_is_not_timed(
    full: Applied, log: Log, world: World
) -> None:
    entry = searched(log, world)
    assert entry["status"] == 202
    assert not matches(metric(full, "ready_search_seconds"), entry)


def promql(full: Applied, key: str) -> tuple[str, float]:
    """Return an alert's query, and for how many seconds it must hold."""
    (condition,) = full[f'google_monitoring_alert_policy.query["{key}"]']["conditions"]
    (query,) = condition["condition_prometheus_query_language"]
    return query["query"], float(query["duration"].removesuffix("s"))


def test_queries_are_of_one_line_and_each_metric_names_its_resource(full: Applied) -> None:
    charts = json.loads(full["google_monitoring_dashboard.overview"]["dashboard_json"])
    shown = [
        data["timeSeriesQuery"]["prometheusQuery"]
        for widget in charts["gridLayout"]["widgets"]
        for data in widget["xyChart"]["dataSets"]
    ]
    policies = [one.values for one in full.of("monitoring_alert_policy")]
    asked = [
        condition["condition_prometheus_query_language"][0]["query"]
        for policy in policies
        for condition in policy["conditions"]
        if condition.get("condition_prometheus_query_language")
    ]
    assert len(asked) >= 7
    assert len(shown) >= 7
    for query in [*asked, *shown]:
        assert "\n" not in query
        assert "  " not in query
        for metric in re.findall(r"googleapis_com:\w+(?:\{[^}]*\})?", query):
            assert "monitored_resource=" in metric


@pytest.mark.parametrize("key", ["latency", "full"])
def test_what_a_burst_brings_is_gone_before_it_pages(full: Applied, key: str) -> None:
    """One cold start, or one burst, leaves the window sooner than the alert's duration ends."""
    query, duration_seconds = promql(full, key)
    # Whether an instance ran may be looked at for longer.
    refusals = re.split(r"\sand on ", query)[0]
    windows = [60 * int(minutes) for minutes in re.findall(r"\[(\d+)m\]", refusals)]
    assert windows
    assert max(windows) < duration_seconds


def test_the_api_is_slow_only_when_there_are_many_searches(full: Applied) -> None:
    """Of fewer than 20, the slowest one alone is more than 5 %."""
    query, _ = promql(full, "latency")
    floor = re.search(r"_count\{[^}]*\}\[\d+m\]\)\) >= (\d+)", query)
    assert floor
    assert int(floor[1]) >= 20


def test_the_api_is_slow_by_the_searches_that_had_nothing_to_wait_for(full: Applied) -> None:
    query, _ = promql(full, "latency")
    assert "request_latencies" not in query
    name = metric(full, "ready_search_seconds")["name"]
    assert set(re.findall(r"logging_googleapis_com:user_(\w+?)_(?:bucket|count)\{", query)) == {
        name
    }


@pytest.mark.parametrize(
    "key",
    [
        *("errors", "latency", "source", "malformed", "given-up", "no-instance", "full"),
        *("availability-objective", "latency-objective"),
    ],
)
def test_a_query_has_each_bracket_that_it_needs_and_one_resource_for_each_metric(
    full: Applied, key: str
) -> None:
    """A metric of several resources is refused without it: cloud.google.com/monitoring/promql."""
    query, _ = promql(full, key)
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing)
    labels = re.findall(r"_com:\w+\{([^}]*)\}", query)
    assert len(labels) == len(re.findall(r"_com:", query))
    assert all('monitored_resource="cloud_run_revision"' in one for one in labels)


@pytest.mark.parametrize(
    ("key", "goal"), [("availability-objective", 0.995), ("latency-objective", 0.95)]
)
def test_an_objective_alerts_when_its_four_weeks_are_used_up_too_fast(
    full: Applied, key: str, goal: float
) -> None:
    """The windows and rates of the Site Reliability Workbook: each with one that ends it soon."""
    query, _ = promql(full, key)
    told = re.findall(r"\[(\w+)\]\)\) > (0\.\d+)", query)
    rates = {window: float(share) / (1 - goal) for window, share in told}
    assert rates == pytest.approx({"1h": 14.4, "5m": 14.4, "6h": 6, "30m": 6})
    assert re.search(r"\[6h\]\)\) >= \d+$", query), "of few requests one is a large share"


def test_the_objective_of_availability_is_of_the_query_functions_requests(full: Applied) -> None:
    slo = full["google_monitoring_slo.availability"]
    (ratio,) = slo["request_based_sli"][0]["good_total_ratio"]
    total, bad = ratio["total_service_filter"], ratio["bad_service_filter"]
    assert 'resource.labels.service_name = "imagesearch-query"' in total
    assert bad == f'{total} AND metric.labels.response_code_class = "5xx"'


def test_a_search_within_the_objective_has_a_bucket_of_its_own(full: Applied) -> None:
    """What is counted as fast enough is a bucket: 2 s must be a bound."""
    (options,) = metric(full, "ready_search_seconds")["bucket_options"]
    assert 2 in options["explicit_buckets"][0]["bounds"]
    query, _ = promql(full, "latency-objective")
    assert set(re.findall(r'le=~"([^"]*)"', query)) == {"2|2.0"}


def test_the_objective_of_latency_counts_what_its_alert_counts(full: Applied) -> None:
    slo = full["google_monitoring_slo.latency"]
    (cut,) = slo["request_based_sli"][0]["distribution_cut"]
    assert (slo["goal"], slo["rolling_period_days"]) == (0.95, 28)
    (within,) = cut["range"]
    assert (within["min"], within["max"]) == (0, 2)
    name = metric(full, "ready_search_seconds")["name"]
    assert f'metric.type = "logging.googleapis.com/user/{name}" AND' in cut["distribution_filter"]
    assert f"user_{name}_bucket" in promql(full, "latency-objective")[0]


def test_the_metric_of_the_objective_is_made_long_before_it(full: Applied) -> None:
    """Of one that was made a minute ago Google knows nothing."""
    waited_for = waits_for("google_logging_metric.ready_search_seconds")
    assert not [one for one in waited_for if "function" in one or "run_v2" in one]
    assert "google_cloudfunctions2_function.query" in waits_for("google_monitoring_slo.latency")
    script = (ROOT / "tools" / "first_deployment.sh").read_text()
    assert "-target=module.imagesearch.google_logging_metric.ready_search_seconds" in script


def test_what_drifts_is_told_by_the_words_of_the_build(full: Applied) -> None:
    (condition,) = full["google_monitoring_alert_policy.drift[0]"]["conditions"]
    (matched,) = condition["condition_matched_log"]
    said = re.search(r'textPayload : "(.*)"', matched["filter"])
    assert said
    words = said[1].replace("example-project-imagesearch-state", "$STATE_BUCKET")
    build = (ROOT / "drift.yaml").read_text()
    unpacked, unknown, as_it_is, drifted = re.findall(r'(?:unknown=|echo )"(\w[^"]*)"', build)
    assert unpacked == unknown, "also where it ends before the plan"
    assert [words in one for one in (unknown, as_it_is, drifted)] == [True, False, True]
    assert build.count('echo "$unknown"') == 2
