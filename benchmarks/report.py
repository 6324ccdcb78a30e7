"""Writes what people read: the figures of `results.json` as tables, on a terminal and in Markdown.

The text around the tables is each measuring function's own docstring. `docs/benchmarks.md` and the
README hold, between two marks, exactly what is made here of the JSON file: a test compares them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.table import Table

from benchmarks.common import ROOT, Benchmark, Column, Row

RESULTS = ROOT / "docs" / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
BEGIN = "<!-- written by `python -m benchmarks`: begin -->"
END = "<!-- written by `python -m benchmarks`: end -->"

Results: TypeAlias = dict[str, dict[str, Any]]  # of each benchmark, by its name


def load(path: Path = RESULTS) -> Results:
    """Return what is in the JSON file, nothing when there is none."""
    if not path.exists():
        return {}
    results: Results = json.loads(path.read_text())
    return results


def save(results: Results, path: Path = RESULTS) -> None:
    """Write the JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def text(row: Row, column: Column) -> str:
    """Return one cell."""
    value = row.get(column.key)
    if value is None:
        return ""
    if column.digits is None:
        return str(value)
    return f"{value * column.scale:,.{column.digits}f}"


def table(benchmark: Benchmark, rows: Sequence[Row], caption: str) -> Table:
    """Return *rows* for a terminal."""
    shown = Table(title=benchmark.title, caption=caption)
    for column in benchmark.columns:
        shown.add_column(column.heading, justify="left" if column.digits is None else "right")
    for row in rows:
        shown.add_row(*(text(row, column) for column in benchmark.columns))
    return shown


def where(result: Mapping[str, Any]) -> str:
    """Return on what, when and how long it was measured."""
    machine = result["machine"]
    isa = f" ({', '.join(machine['isa'])})" if machine["isa"] else ""
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    return (
        f"{machine['processor']}, {machine['cores']} cores{isa}{gpu}, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB; load average before the run: "
        f"{machine['load_average']}; {result['date']}, commit {result['commit']}, "
        f"took {result['took_seconds']:.0f} s"
    )


def pictures(benchmark: Benchmark) -> list[str]:
    """Return the file names of its plots."""
    numbers = range(1, len(benchmark.plots) + 1)
    return [f"{benchmark.name}{'' if number == 1 else f'_{number}'}.png" for number in numbers]


# Markdown


def page(results: Results, benchmarks: Sequence[Benchmark]) -> str:
    """Return what stands between the marks of `docs/benchmarks.md`."""
    measured = [benchmark for benchmark in benchmarks if benchmark.name in results]
    parts = ["## What was to be reached", goals(results, benchmarks)]
    for benchmark in measured:
        parts += _section(benchmark, results[benchmark.name])
    parts += ["## Versions", *_versions(results, measured)]
    return "\n\n".join(parts)


def goals(results: Results, benchmarks: Sequence[Benchmark]) -> str:
    """Return the table of goals that were measured."""
    lines = ["| what | goal | measured | reached |", "| --- | --- | --- | --- |"]
    for benchmark in benchmarks:
        if benchmark.name in results:
            lines += _goals_of(benchmark, results[benchmark.name]["rows"])
    return "\n".join(lines)


def _goals_of(benchmark: Benchmark, rows: list[Row]) -> Iterator[str]:
    for goal in benchmark.goals:
        reached = goal.reached(rows)
        if reached is None:
            yield f"| {goal.what} | {goal.wanted} | | not measured |"
            continue
        met = "yes" if goal.is_met(reached) else "no"
        yield f"| {goal.what} | {goal.wanted} | {goal.shown.format(reached)} | {met} |"


def _section(benchmark: Benchmark, result: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {benchmark.title}"
    yield f"`python -m benchmarks {benchmark.name}`"
    yield inspect.cleandoc(benchmark.measure.__doc__ or "")
    if result["rows"]:
        yield _markdown_table(benchmark.columns, result["rows"])
    for picture, bars in zip(pictures(benchmark), benchmark.plots, strict=True):
        if drawn(result["rows"], bars):
            yield f"![{bars.title}](benchmarks/{picture})"
    if result["notes"]:
        yield "\n".join(f"- {note}" for note in result["notes"])
    yield f"<sub>{where(result)}</sub>"


def drawn(rows: Sequence[Row], bars: Any) -> list[Row]:
    """Return the rows that have a bar in the plot *bars*."""
    return [row for row in rows if row.get(bars.value.key) is not None and bars.wanted(row)]


def _markdown_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    shown = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    lines = [[column.heading for column in shown]]
    lines += [["---" if column.digits is None else "---:" for column in shown]]
    lines += [[text(row, column) for column in shown] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _versions(results: Results, measured: Sequence[Benchmark]) -> Iterator[str]:
    by_versions: dict[str, list[str]] = {}
    for benchmark in measured:
        named = results[benchmark.name]["versions"].items()
        line = ", ".join(f"{name} {number}" for name, number in named)
        by_versions.setdefault(line, []).append(benchmark.name)
    for line, names in by_versions.items():
        yield f"{', '.join(names)}: {line}."


def between_marks(document: str) -> str:
    """Return what stands between the marks of *document*."""
    return document.partition(BEGIN)[2].partition(END)[0].strip("\n")


def put_between_marks(path: Path, content: str) -> None:
    """Replace what stands between the marks of the file at *path*."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} lacks the marks {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}")


def write(results: Results, benchmarks: Sequence[Benchmark]) -> None:
    """Write what the JSON says into `docs/benchmarks.md` and the README."""
    put_between_marks(PAGE, page(results, benchmarks))
    put_between_marks(README, goals(results, benchmarks))
