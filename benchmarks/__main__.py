"""Runs benchmarks, each in a process of its own, prints their tables and writes the page.

Usage: python -m benchmarks [NAME ...] [--full] [--page]
Figures go into docs/benchmarks/results.json by the name of their benchmark, so that those which
were not run stay; docs/benchmarks.md and the README's table are written from that file.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import plots, report
from benchmarks.common import Benchmark, commit, machine, versions
from benchmarks.suite import BENCHMARKS

console = Console()


def run(benchmark: Benchmark, folder: Path, machine_facts: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of one run of *benchmark*, in a process of its own."""
    started = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        figures = process.submit(benchmark.measure, folder, False).result()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "took_seconds": round(time.perf_counter() - started, 1),
        "machine": machine_facts,
        "versions": versions(),
        "rows": figures.rows,
        "notes": figures.notes,
    }


def keep(results: report.Results, benchmark: Benchmark, result: dict[str, Any]) -> None:
    """Take *result* into *results*, and write everything that shows it."""
    results[benchmark.name] = result
    report.save(results)
    report.write(results, BENCHMARKS)
    draw(benchmark, result["rows"])


def draw(benchmark: Benchmark, rows: list[dict[str, Any]]) -> None:
    """Draw the plots of *benchmark*, where matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        console.print("matplotlib is missing: no plots; the extra `bench` has it")
        return
    for bars, picture in zip(benchmark.plots, report.pictures(benchmark), strict=True):
        plots.draw(bars, rows, report.RESULTS.parent / picture)


def run_all(benchmarks: Sequence[Benchmark]) -> int:
    """Run *benchmarks* one after the other; return how many could not be."""
    results, failed = report.load(), 0
    machine_facts = machine()  # before the first of them: its load average is that of others
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        for benchmark in benchmarks:
            console.rule(benchmark.name)
            try:
                result = run(benchmark, Path(folder), machine_facts)
            except Exception as error:  # noqa: BLE001 - the others are run all the same
                failed += 1
                console.print(f"{benchmark.name}: {error!r}", style="red", markup=False)
                continue
            keep(results, benchmark, result)
            console.print(report.table(benchmark, result["rows"], report.where(result)))
            for note in result["notes"]:
                console.print(f"- {note}", markup=False)
    return failed


def main() -> None:
    """Do what the command line says."""
    names = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--full", action="store_true", help="those that take long, too")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page again")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    if arguments.page:
        results = report.load()
        report.write(results, BENCHMARKS)
        for name, result in results.items():
            draw(names[name], result["rows"])
        return
    chosen = [names[name] for name in arguments.names]
    chosen = chosen or [
        benchmark for benchmark in BENCHMARKS if arguments.full or not benchmark.in_full_only
    ]
    sys.exit(min(run_all(chosen), 1))


if __name__ == "__main__":
    main()
