"""The benchmarks measure at tiny sizes, and the page and the README say what their JSON says."""

from __future__ import annotations

import math
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import common, costs, image_embedding, report
from benchmarks.common import Bars, Benchmark, Column, Figures, Goal, Row
from benchmarks.suite import BENCHMARKS
from imagesearch.local.emulated.emulators import MissingProgram

RESULTS = report.load()


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda one: one.name)
def test_a_benchmark_measures_at_a_tiny_size(
    benchmark: Benchmark, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures fill the columns and plots. The folder is one, as in a run."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "")  # cold_start sets it: it is put back
    figures = measured(benchmark, tmp_path_factory.getbasetemp())
    if not figures.rows:
        assert figures.notes, "no figure, and no word why"
        return
    for column in benchmark.columns:
        found = [row[column.key] for row in figures.rows if row.get(column.key) is not None]
        assert found or column.key in OFTEN_ABSENT, column
        if column.digits is not None:
            assert all(math.isfinite(one) for one in found), column
            assert column.key in DIFFERENCES or min(found, default=0) >= 0, column
    for bars in benchmark.plots:
        assert report.drawn(figures.rows, bars), bars.title


DIFFERENCES = {"more_seconds"}  # of two times on a busy machine, which may be either way round
# Without a GPU, without peers, and where a busy machine ends one push of images and no more.
OFTEN_ABSENT = {"of_card", "of_ours", "of_flat", "images_per_second"}


def measured(benchmark: Benchmark, folder: Path) -> Figures:
    try:
        return benchmark.measure(folder, True)
    except MissingProgram as error:
        if os.environ.get("REQUIRE_BACKENDS") == "1":
            raise
        pytest.skip(str(error))


def test_the_page_and_the_readme_say_what_the_json_says() -> None:
    """`python -m benchmarks --page` writes them again."""
    page, readme = report.PAGE.read_text(), report.README.read_text()
    assert report.between_marks(page) == report.page(RESULTS, BENCHMARKS)
    assert report.between_marks(readme) == report.goals(RESULTS, BENCHMARKS)


def test_each_plot_that_the_page_shows_is_there_and_no_other() -> None:
    shown = {
        picture
        for one in BENCHMARKS
        if one.name in RESULTS
        for picture, bars in zip(report.pictures(one), one.plots, strict=True)
        if report.drawn(RESULTS[one.name]["rows"], bars)
    }
    assert {path.name for path in report.RESULTS.parent.glob("*.png")} == shown


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda one: one.name)
def test_a_benchmark_says_what_is_compared(benchmark: Benchmark) -> None:
    said = benchmark.measure.__doc__ or ""
    assert len(said.split()) > 30, "a docstring is the explanation on the page"


def two_ways(folder: Path, tiny: bool) -> Figures:
    """Compare two ways."""
    return Figures([{"way": "ours", "seconds": 0.5}, {"way": "theirs", "seconds": 2.0}], ["Noted."])


SECONDS = Column("seconds", "ms", 1e3, 1)
EXAMPLE = Benchmark(
    name="example",
    title="An example",
    measure=two_ways,
    columns=(Column("way", ""), SECONDS, Column("absent", "absent", digits=0)),
    goals=(
        Goal(
            "ours",
            "≤ 1 s",
            lambda rows: rows[0]["seconds"] if rows else None,
            lambda seconds: seconds <= 1,
            "{:.1f} s",
        ),
    ),
    plots=(Bars("Two ways", SECONDS, label="way"),),
)


def result(rows: list[Row]) -> dict[str, Any]:
    return {
        "date": "2026-11-21 18:00 UTC",
        "commit": "0123456789ab",
        "took_seconds": 1.5,
        "machine": common.machine(),
        "versions": {"python": "3.11"},
        "rows": rows,
        "notes": ["Noted."],
    }


def test_the_page_shows_the_rows_the_goal_and_the_machine() -> None:
    page = report.page({"example": result(two_ways(Path(), True).rows)}, [EXAMPLE])
    assert "| ours | 500.0 |" in page
    assert "| theirs | 2,000.0 |" in page
    assert "absent" not in page, "a column without a value is left out"
    assert "| ours | ≤ 1 s | 0.5 s | yes |" in page
    assert "![Two ways](benchmarks/example.png)" in page
    assert "- Noted." in page
    assert f"{os.cpu_count()} cores" in page
    assert "commit 0123456789ab" in page


def test_a_goal_that_is_missed_or_not_measured_says_so() -> None:
    slow = report.goals({"example": result([{"way": "ours", "seconds": 3.0}])}, [EXAMPLE])
    assert "| ours | ≤ 1 s | 3.0 s | no |" in slow
    assert "not measured" in report.goals({"example": result([])}, [EXAMPLE])


def test_a_benchmark_that_was_not_run_is_not_on_the_page() -> None:
    page = report.page({"example": result(two_ways(Path(), True).rows)}, [*BENCHMARKS, EXAMPLE])
    assert page.count("\n## ") == 2, "the example and the versions"


def test_costs_take_the_measured_rate_and_the_first_versions_seconds() -> None:
    slow = costs_at(images_per_second=10.0)
    fast = costs_at(images_per_second=40.0)
    new = "1,000 searches, new keywords", "ours, profile cpu"
    assert fast[new] < slow[new]
    warm = "1,000 searches, ready pools"
    assert fast[warm, "first version, pool of 200"] > fast[warm, "ours, profile cpu"]


def costs_at(images_per_second: float) -> dict[tuple[str, str], float]:
    first = {"way": "first version", "pool": 200, "seconds": 8.0}
    embedded = {"way": "ours", "images_per_second": images_per_second}
    asked = {"clients": 1, "kind": "new queries", "p95_seconds": 0.01}
    named = {"warm_search": first, "image_embedding": embedded, "load": asked}
    rows = costs.rows_of({name: result([row]) for name, row in named.items()}).rows
    return {(row["kind"], row["way"]): row["usd"] for row in rows}


def test_what_is_around_the_marks_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    report.put_between_marks(page, "new")
    report.put_between_marks(page, "newer")
    text = page.read_text()
    assert report.between_marks(text) == "newer"
    assert text.startswith("before\n\n<!--")
    assert text.endswith("-->\n\nafter\n")


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("by hand\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        report.put_between_marks(page, "new")
    assert page.read_text() == "by hand\n"


def test_the_fastest_peer_is_unknown_where_one_of_the_four_did_not_run() -> None:
    goal = next(one for one in image_embedding.BENCHMARK.goals if "fastest peer" in one.what)
    ours = [{"way": way, "of_ours": None} for way in (image_embedding.OURS, image_embedding.ALONE)]
    peers = [{"way": way, "of_ours": 1.5} for way in sorted(image_embedding.PEERS)]
    assert goal.reached([*ours, *peers]) == 1.5
    assert goal.reached([*ours, *peers[1:]]) is None


def test_the_peers_are_among_the_ways() -> None:
    assert image_embedding.WAYS.keys() > image_embedding.PEERS


def test_a_commit_is_marked_only_when_files_differ_that_no_run_writes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    (tmp_path / "docs/benchmarks").mkdir(parents=True)
    written = ("README.md", "docs/benchmarks.md", "docs/benchmarks/results.json")
    for path in (*written, "code.py"):
        (tmp_path / path).write_text("before")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "Begin")
    for path in (*written, "docs/benchmarks/new.png"):
        (tmp_path / path).write_text("of a run")
    assert re.fullmatch("[0-9a-f]{12}", common.commit(tmp_path))
    (tmp_path / "code.py").write_text("after")
    assert re.fullmatch(r"[0-9a-f]{12}\+", common.commit(tmp_path))


def test_turns_alternate_and_the_first_does_not_count() -> None:
    calls: list[str] = []

    def way(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    taken = common.in_turns({"a": lambda: way("a"), "b": lambda: way("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert taken == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


@pytest.mark.parametrize("is_logarithmic", [False, True])
def test_a_plot_is_drawn(is_logarithmic: bool, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `bench` has it")
    from PIL import Image

    from benchmarks import plots

    bars = EXAMPLE.plots[0]
    assert isinstance(bars, Bars)
    bars = replace(bars, is_logarithmic=is_logarithmic, group="way")
    plots.draw(bars, two_ways(Path(), True).rows, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 600
        colours = image.convert("RGB").getcolors(1 << 20) or []
    assert (37, 99, 235) in {colour for _, colour in colours}, "ours has its own colour"
