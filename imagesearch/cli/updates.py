"""Updates of collections as they are shown, of folders and of buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from imagesearch.cli.terminal import err, out, shown
from imagesearch.domain.collections import Collection, Update
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.ports import Collections

_MOST_READ = 10_000  # problems, among which those that were taken down are counted
SHOWN = 20  # problems that are named after an update


def named(collections: Collections, names: list[str] | None) -> list[Collection]:
    """Return the collections of *names*, or all; InvalidRequest where one is none."""
    every = {each.name: each for each in collections.all()}
    if not every:
        raise InvalidRequest("there is no collection yet: imagesearch add SET makes one")
    for name in names or ():
        if name not in every:
            bound = f"NAME must be one of {', '.join(every)}"
            raise InvalidRequest(f"{bound}, got {name!r}", field="NAME")
    return [every[name] for name in names] if names else list(every.values())


@contextmanager
def progress(collection: Collection) -> Iterator[Callable[[Update], None]]:
    """Yield what shows on stderr how far an update is."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown_by:
        task = shown_by.add_task(str(shown(collection.name)), total=None, count="")

        def tell(stand: Update) -> None:
            done = stand.embedded + stand.reused
            total = done + stand.waiting
            rate = stand.embedded / stand.seconds if stand.seconds else 0.0
            count = f"{done:,} of {total:,}, {rate:,.0f} a second"
            shown_by.update(task, completed=done, total=total or None, count=count)

        yield tell


def changes(collection: Collection, outcome: Update) -> str:
    """Return a line that says what came of an update."""
    counts = [
        (outcome.embedded, "embedded"),
        (outcome.reused, "known already"),
        (outcome.unchanged, "as they were"),
        (outcome.gone, "gone"),
        (outcome.taken_down, "taken down"),
    ]
    counted = ", ".join(f"{number:,} {what}" for number, what in counts if number) or "no change"
    took = _duration(outcome.seconds)
    return f"{collection.name}: {outcome.found:,} pictures, {counted}, in {took}."


def stand_of(last: Update) -> str:
    """Return a line that says how the last update stands."""
    if last == Update():
        return "It was not brought up to date yet."
    if last.error:
        return f"The last update ended early: {last.error}"
    if not last.is_over:
        return f"An update is under way, or was broken off: {last.waiting:,} are to be embedded."
    return (
        f"The last update: {last.found:,} pictures, {last.embedded:,} embedded, {last.gone:,} gone."
    )


def print_problems(
    collections: Collections, collection: Collection, last: Update, *, most: int
) -> None:
    """Print notes, up to *most* of what could not be read, how much that is, and what is down."""
    problems, total = collections.problems(collection.name, _MOST_READ)
    others = [each for each in problems if each[1] != TAKEN_DOWN]
    for each in (each for each in last.unreadable if each.is_note):
        out.print(shown(f"Note: {each.path}: {each.problem}"), soft_wrap=True)
    if taken_down := len(problems) - len(others):
        out.print(f"{taken_down:,} taken down: imagesearch forget --list says when and why")
    unlisted = [each for each in last.unreadable if not each.is_note]
    lines = [(each.path or ".", each.problem) for each in unlisted] + others
    total += len(unlisted) - taken_down
    if not total:
        return
    out.print(f"{total:,} could not be read:")
    for path, problem in lines[:most]:
        out.print(shown(f"  {path}: {problem}"), soft_wrap=True)
    if total > most:
        out.print(shown(f"  and {total - most:,} more: imagesearch info {collection.name!r}"))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
