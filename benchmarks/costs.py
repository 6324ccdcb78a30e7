"""What 1,000 searches cost, with the times that the other benchmarks measured."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from benchmarks import image_embedding, load, report, warm_search
from benchmarks.common import Bars, Benchmark, Column, Figures, Row
from tools.cost_model import PROFILES, SEARCHES, Case, Costs
from tools.cost_model import load as load_costs

KINDS = {"warm": "ready pools", "new": "new keywords"}


def measure(folder: Path, tiny: bool) -> Figures:  # noqa: ARG001 - nothing is run
    """
    What 1,000 searches within an hour cost on Google Cloud: the prices, counts and assumptions of
    `tools/costs.toml`, in which the time of a warm search and the rate of embedding on a CPU are
    those measured here (`load`, one client, 95th percentile; `image_embedding`). The other times
    are that file's. Nothing is run; list prices, before free quotas.

    Beside it what the first version's search alone would cost on the same instances, each second
    that it computes billed at the same price, for its pool of 30 and for ours of 200; its fetches,
    which it repeated for every search, are left out in its favour. Its time is taken to shrink with
    the cores of an instance, which is in its favour, too.
    """
    return rows_of(report.load())


def rows_of(results: report.Results) -> Figures:
    """Return what `measure` does of *results*."""
    costs, notes = with_measured(load_costs(), results)
    rows: list[Row] = [
        {
            "kind": f"1,000 searches, {said}",
            "way": f"ours, profile {profile}",
            "usd": costs.total(Case(profile, kind)),
        }
        for kind, said in KINDS.items()
        for profile in PROFILES
    ]
    return Figures(rows + _first_version(costs, results), notes)


def with_measured(costs: Costs, results: report.Results) -> tuple[Costs, list[str]]:
    """Return *costs* with what *results* say in place of assumptions, and what was replaced."""
    tables: dict[str, Any] = copy.deepcopy(dict(costs.tables))
    notes = []
    for name, benchmark, value in (
        ("search_seconds", load.BENCHMARK.name, _search_seconds),
        ("cpu_images_per_second", image_embedding.BENCHMARK.name, _images_per_second_and_core),
    ):
        measured = value(results.get(benchmark))
        if measured is None:
            notes.append(f"`{name}` is the assumption of costs.toml: {benchmark} was not measured.")
            continue
        tables["assumptions"][name]["value"] = measured
        notes.append(f"`{name}`: {measured:.3g}, from {benchmark}.")
    return Costs(tables), notes


def _search_seconds(result: dict[str, Any] | None) -> float | None:
    wanted = (1, "new queries")
    rows = result["rows"] if result else []
    return next((r["p95_seconds"] for r in rows if (r["clients"], r["kind"]) == wanted), None)


def _images_per_second_and_core(result: dict[str, Any] | None) -> float | None:
    for row in result["rows"] if result else []:
        if row["way"] == image_embedding.OURS and result:
            return float(row["images_per_second"] / result["machine"]["cores"])
    return None


def _first_version(costs: Costs, results: report.Results) -> list[Row]:
    result = results.get(warm_search.BENCHMARK.name)
    if result is None:
        return []
    cores = result["machine"]["cores"] / costs.tables["services"]["cpu"]["cpus"]
    return [
        {
            "kind": f"1,000 searches, {KINDS['warm']}",
            "way": f"first version, pool of {row['pool']}",
            "usd": SEARCHES * costs.request("cpu", row["seconds"] * cores),
        }
        for row in result["rows"]
        if row["way"] == warm_search.FIRST and row["pool"] in (30, 200)
    ]


DOLLARS = Column("usd", "US dollars", digits=3)
BENCHMARK = Benchmark(
    name="costs",
    title="Cost of 1,000 searches",
    measure=measure,
    columns=(Column("kind", ""), Column("way", ""), DOLLARS),
    plots=(Bars("What 1,000 searches within an hour cost", DOLLARS, label="way", group="kind"),),
)
