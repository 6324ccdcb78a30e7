"""The costs: the page is what the script prints, and the script's tables are what is deployed.

What a search makes the services do is counted in `tests/contract/test_costs_counts.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import USUAL_BATCH_IMAGES, BatchImage, EmbedBatch, FetchJob
from imagesearch.doors import http_api
from imagesearch.settings import load_settings
from imagesearch.wire.messages import attributes_of, encode
from tests.terraform import ROOT, TERRAFORM, applied
from tools import costs
from tools.cost_model import MONTH_HOURS, PROFILES, Case, Costs, load

COSTS = load()
KINDS = ("warm", "new", "renewed")


def changed(table: str, name: str, **values: Any) -> Costs:
    """Return the costs with *values* in an entry of a table."""
    tables = {key: dict(value) for key, value in COSTS.tables.items()}
    tables[table][name] = {**tables[table][name], **values}
    return Costs(tables)


# The page


def test_the_page_holds_what_is_printed() -> None:
    """`python -m tools.costs --write` renews it."""
    text = costs.PAGE.read_text()
    assert costs.written(text, costs.page(COSTS)) == text


def test_writing_replaces_what_is_between_the_marks_and_nothing_else() -> None:
    text = f"before\n{costs.BEGIN}\nold\n{costs.END}\nafter\n"
    assert costs.written(text, "new") == f"before\n{costs.BEGIN}\n\nnew\n\n{costs.END}\nafter\n"


def test_the_command_prints_the_page() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tools.costs"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == costs.page(COSTS) + "\n"


def test_a_price_that_is_not_known_is_said_to_be_and_enters_no_sum() -> None:
    unknown = [name for name, one in COSTS.tables["prices"].items() if "usd" not in one]
    assert unknown
    for name in unknown:
        with pytest.raises(KeyError):
            COSTS.price(name)
        assert f"| `{name}` | unknown |" in costs.page(COSTS)


def test_every_price_has_a_unit_a_source_and_a_date() -> None:
    for name, one in COSTS.tables["prices"].items():
        assert one["unit"], name
        assert one["source"], name
        assert re.fullmatch(r"\d{4}-\d{2}", one["read"]), name


@pytest.mark.parametrize("table", ["prices", "assumptions", "free"])
def test_every_entry_is_used(table: str) -> None:
    """But for the prices that are not known, and quotas that nothing can be taken off."""
    code = "".join((ROOT / "tools" / name).read_text() for name in ("cost_model.py", "costs.py"))
    told_only = {"log", "pubsub", "firestore_write", "firestore_storage"}
    for name, one in COSTS.tables[table].items():
        if (table == "prices" and "usd" not in one) or name in told_only:
            continue
        assert f'"{name}"' in code, name


# What is deployed


def memory_gib(text: str) -> float:
    """Return GiB of what Terraform writes as 512M, 512Mi, 1G or 16Gi."""
    number = float(re.sub(r"\D", "", text))
    return number / 1024 if "M" in text else number


@pytest.mark.parametrize("name", ["query", "fetch"])
def test_a_function_has_the_size_that_is_billed(name: str) -> None:
    # Without collections: their pages have the fetch function twice the memory while they are read.
    (config,) = applied("default")[f"google_cloudfunctions2_function.{name}"]["service_config"]
    size = COSTS.tables["services"][name]
    # Google's M and G are MiB and GiB: cloud.google.com/functions/docs/configuring/memory
    assert size["cpus"] == float(config["available_cpu"])
    assert size["memory_gib"] == pytest.approx(memory_gib(config["available_memory"]))


@pytest.mark.parametrize(("service", "size"), [("inference", "gpu"), ("scorer", "scorer")])
def test_an_inference_service_has_the_size_that_is_billed(service: str, size: str) -> None:
    (template,) = applied("full")[f'google_cloud_run_v2_service.inference["{service}"]']["template"]
    limits = template["containers"][0]["resources"][0]["limits"]
    assert COSTS.tables["services"][size] == {
        "cpus": float(limits["cpu"]),
        "memory_gib": memory_gib(limits["memory"]),
    }


def test_the_web_app_has_the_size_that_is_billed_while_a_window_is_open() -> None:
    text = (TERRAFORM / "app.tf").read_text()
    (limits,) = re.findall(r'limits += { cpu = "(\d+)", memory = "(\w+)" }', text)
    expected = {"cpus": float(limits[0]), "memory_gib": memory_gib(limits[1])}
    assert COSTS.tables["services"]["app"] == expected
    assert re.search(r"cpu_idle += true", text), "else it is billed without a window, too"
    # 3600 s of a vCPU and of half a GiB, billed by the request.
    assert COSTS.hour_of_window() == pytest.approx(0.0864 + 0.0045, abs=1e-4)


def test_the_profile_cpu_has_the_size_that_is_billed() -> None:
    text = (TERRAFORM / "inference_service.tf").read_text()
    (limits,) = re.findall(r'nvidia\.com/gpu" = "1" } : { cpu = "(\d+)", memory = "(\w+)" }', text)
    expected = {"cpus": float(limits[0]), "memory_gib": memory_gib(limits[1])}
    assert COSTS.tables["services"]["cpu"] == expected


def test_the_alerts_and_checks_are_as_many_as_terraform_makes() -> None:
    full = applied("full")
    conditions = [
        one for two in full.of("monitoring_alert_policy") for one in two.values["conditions"]
    ]
    assert COSTS.value("alert_conditions") == len(conditions)
    (check,) = full.of("monitoring_uptime_check_config")
    period_seconds = float(check.values["period"].removesuffix("s"))
    places = len(check.values["selected_regions"])
    assert COSTS.value("uptime_checks_a_month") == places * MONTH_HOURS * 3600 / period_seconds


def test_the_registry_keeps_as_many_versions_as_are_billed() -> None:
    registry = applied("full")["google_artifact_registry_repository.images"]
    kept = [one["most_recent_versions"] for one in registry["cleanup_policies"]]
    assert [one[0]["keep_count"] for one in kept if one] == [COSTS.value("registry_versions")]


def test_what_the_code_does_is_what_is_assumed() -> None:
    search = http_api.parse_search({"t": "horse", "s_query": "horses"})
    assert COSTS.value("images_per_pool") == load_settings().pool_size
    assert COSTS.value("new_keywords_per_day") == load_settings().new_keywords_per_day
    query = applied("full")["google_cloudfunctions2_function.query"]
    environment = query["service_config"][0]["environment_variables"]
    for name in ("new_keywords_per_day", "catalog_searches_per_day", "dollars_per_day"):
        assert COSTS.value(name) == float(environment[name.upper()])
    per_minute = float(environment["RATE_LIMIT_PER_MINUTE"])
    assert COSTS.value("requests_per_minute") == per_minute
    assert COSTS.value("query_instances") == query["service_config"][0]["max_instance_count"]
    assert COSTS.value("images_shown") == search.top_k
    assert COSTS.value("wait_seconds") == search.wait_seconds


def test_no_message_is_larger_than_is_billed() -> None:
    pool_id, trace = "0" * 32, "0" * 32
    image = BatchImage(image_id="pixabay-12345678", object_name="pixabay-12345678-preview.jpg")
    batch = EmbedBatch(pool_id=pool_id, generation=999, images=(image,) * USUAL_BATCH_IMAGES)
    job = FetchJob(pool_id=pool_id, generation=999, keyword="ü" * 100, options=SourceOptions())
    for message in (batch, job):
        attributes = attributes_of(message, trace).items()
        beside = sum(len(name) + len(value) for name, value in attributes) + 20 + 20
        assert len(encode(message)) + beside <= COSTS.value("message_bytes")


# The formulas


def test_a_search_over_everything_reads_a_hundredth_of_it() -> None:
    writes = 1000 * COSTS.price("firestore_write")
    assert COSTS.searches_over_everything(0) == pytest.approx(writes)
    reads = COSTS.searches_over_everything(1_000_000) - writes
    assert reads == pytest.approx(1000 * 10_000 * COSTS.price("firestore_read"))


def test_a_day_at_the_limit_is_its_keywords_and_a_gpu_that_never_sleeps() -> None:
    keywords = {one: COSTS.total(Case(one, "new")) for one in PROFILES}
    assert COSTS.day_at_the_limit("cpu") == pytest.approx(keywords["cpu"])
    few = changed("assumptions", "new_keywords_per_day", value=1)
    for profile in ("split", "gpu"):
        assert few.day_at_the_limit(profile) == pytest.approx(24 * COSTS.hour_of_gpu(), rel=0.02)
        assert COSTS.day_at_the_limit(profile) > few.day_at_the_limit(profile)
    assert few.day_at_the_limit("cpu") == pytest.approx(keywords["cpu"] / 1000)


def test_an_hour_of_a_gpu_costs_what_others_computed() -> None:
    """0.672 + 0.2592 + 0.1152, for the L4, 4 vCPUs and 16 GiB."""
    assert COSTS.hour_of_gpu() == pytest.approx(1.0464, abs=1e-3)


def test_a_month_of_what_is_rented_costs_what_others_pay() -> None:
    idle = COSTS.idle(memorystore=True, domain=True, profile="cpu")
    assert idle["Memorystore"] == pytest.approx(35.77, abs=0.01)
    assert idle["load balancer"] == pytest.approx(18.25, abs=0.01)


def test_private_images_cost_a_request_each_and_their_bytes_from_no_cdn() -> None:
    case = Case("cpu", "warm")
    private = COSTS.total(replace(case, private_images=True)) - COSTS.total(case)
    assert private == pytest.approx(10_000 * COSTS.request("query", 0.1))
    balanced = replace(case, domain=True)
    more = COSTS.total(replace(balanced, private_images=True)) - COSTS.total(balanced)
    assert more > private, "as they leave at the dearer price"


def test_nothing_is_rented_without_memorystore_and_a_domain() -> None:
    idle = COSTS.idle(memorystore=False, domain=False, profile="cpu")
    assert [name for name, usd in idle.items() if usd] == ["Artifact Registry, at most"]


def test_checks_beyond_the_free_quota_are_paid_for() -> None:
    often = changed("assumptions", "uptime_checks_a_month", value=10_000_000)
    paid = often.idle(memorystore=False, domain=False, profile="cpu")["uptime check's requests"]
    request = 0.0000004 + 0.1 * (0.000024 + 0.5 * 0.0000025)
    assert paid == pytest.approx(10_000_000 * (request + 0.0000003))


def test_a_warm_search_is_a_tenth_of_a_second_of_each_service() -> None:
    parts = COSTS.searches(Case("split", "warm"))
    query, scorer = 0.000024 + 0.5 * 0.0000025, 2 * 0.000024 + 4 * 0.0000025
    start = COSTS.value("function_start_seconds") * query
    assert parts["query function"] == pytest.approx(1000 * (0.0000004 + 0.1 * query) + start)
    start = COSTS.value("service_start_seconds") * scorer
    assert parts["scorer"] == pytest.approx(1000 * (0.0000004 + 0.1 * scorer) + start)
    assert parts["inference service"] == 0


@pytest.mark.parametrize(("seconds", "billed"), [(0.0, 0.0), (0.02, 0.1), (0.1, 0.1), (0.31, 0.4)])
def test_a_request_is_billed_by_the_tenth_of_a_second(seconds: float, billed: float) -> None:
    cpu_only = replace_price(COSTS, "request_memory", 0.0)
    paid = cpu_only.request("query", seconds) - cpu_only.price("request")
    assert paid == pytest.approx(billed * cpu_only.price("request_cpu"))


def replace_price(before: Costs, name: str, usd: float) -> Costs:
    prices = before.tables["prices"]
    return Costs({**before.tables, "prices": {**prices, name: {**prices[name], "usd": usd}}})


def test_an_awake_gpu_is_paid_for_by_the_hour_however_few_the_searches() -> None:
    together, apart = Case("gpu", "warm"), Case("gpu", "warm", apart=True)
    hours = 1 + (COSTS.value("linger_seconds") + COSTS.value("service_start_seconds")) / 3600
    assert COSTS.searches(together)["inference service"] == pytest.approx(
        hours * COSTS.hour_of_gpu()
    )
    assert COSTS.searches(apart)["inference service"] == pytest.approx(
        1000 * (hours - 1) * COSTS.hour_of_gpu()
    )


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", KINDS)
def test_searches_that_each_find_all_asleep_never_cost_less(profile: str, kind: str) -> None:
    case = Case(profile, kind)
    assert COSTS.total(replace(case, apart=True)) > COSTS.total(case)


@pytest.mark.parametrize("kind", KINDS)
def test_no_part_is_paid_back(kind: str) -> None:
    for profile in PROFILES:
        assert min(COSTS.searches(Case(profile, kind)).values()) >= 0


def test_the_total_is_the_sum_of_the_parts_that_are_shown() -> None:
    page = costs.page(COSTS)
    for heading, kind in (("on ready pools", "warm"), ("of new keywords", "new")):
        section = page.partition(f"## 1,000 searches {heading}")[2].partition("##")[0]
        assert f"**{COSTS.total(Case('gpu', kind)):.3f}**" in section


def test_what_a_profile_is_chosen_by_is_what_the_page_says() -> None:
    header, idle, cached, *each = costs.by_profile(COSTS).splitlines()
    assert header.split()[-3:] == list(PROFILES)
    assert PROFILES[0] == applied("default").outputs["inference_profile"], "the default first"
    page = costs.page(COSTS)
    for month, column in ((idle, 2), (cached, 3)):
        (total,) = re.findall(r"(?m)^\| \*\*together, but for.*$", page)
        assert month.split()[-3] == total.split("|")[column].strip(" *")
    spread = page.partition("## By how they are spread")[2]
    for said, line in (
        ("on a ready pool, each finds all asleep", each[0]),
        ("on a ready pool, within an hour", each[1]),
        ("of a new keyword, each finds all asleep", each[2]),
        ("of a new keyword, within an hour", each[3]),
    ):
        (row,) = re.findall(rf"(?m)^\| {said} \|(.*)\|$", spread)
        thousand = [float(usd) for usd in row.split("|")]
        assert [float(usd) for usd in line.split()[-3:]] == [
            pytest.approx(usd / 1000, abs=1e-4) for usd in thousand
        ]


def test_the_page_is_where_people_look_for_it() -> None:
    for page in ("README.md", "terraform/README.md", "docs/deploy.md"):
        assert "costs.md" in Path(ROOT / page).read_text(), page
