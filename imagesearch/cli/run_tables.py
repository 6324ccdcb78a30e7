"""What `imagesearch eval` measured, as tables on a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from imagesearch.cli.terminal import out, shown, told_misfits
from imagesearch.evaluation.comparison import Comparison, Difference, compare
from imagesearch.evaluation.protocol import RECALL_AT
from imagesearch.evaluation.runs import FOUND, Figure, Figures, Run

HOW = (
    "R@K: the share of captions whose picture, or of pictures one of whose captions, is among the"
    " first K, in %; a tie counts against the model. picture: as a search ranks; by cosine: as"
    " the literature does. After a figure: where it lies in 95 % of 1,000 resamples of pictures."
)


def print_runs(runs: Sequence[Run]) -> None:
    """Print the figures of each run."""
    for run in runs:
        out.print(shown(f"{run.model} ({run.model_revision}) on {run.source}", "bold"))
        out.print(shown(what_was_measured(run)), soft_wrap=True)
        told_misfits(run.misfits)
        out.print(_recalls(run.figures))
        for figures in run.figures:
            out.print(shown(_no_match(figures)), soft_wrap=True)
        out.print()
    out.print(Text(HOW, "dim"))


def what_was_measured(run: Run) -> str:
    """Return in sentences how much was measured, and what to know of it."""
    captions = sum(figures.captions for figures in run.figures)
    split = f", split {run.split}" if run.split else ""
    notes = [f"{len(run.measured)} pictures, {captions} captions{split}: {run.form}."]
    if run.shared_captions:
        notes.append(f"{run.shared_captions} captions are those of several pictures.")
    if run.truncated_captions:
        notes.append(f"{run.truncated_captions} captions are cut to what the model reads.")
    return " ".join(notes)


def _no_match(figures: Figures) -> str:
    language = f" in {figures.language}" if figures.language else ""
    return f"No match{language}, AUROC: {shown_figure(figures.no_match, scale=1, digits=3)}"


def _table(languages: Sequence[str]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    if any(languages):
        table.add_column("in")
    table.add_column("found")
    for k in RECALL_AT:
        table.add_column(f"R@{k}", justify="right")
    return table


def _recalls(some: Sequence[Figures]) -> Table:
    languages = [figures.language for figures in some]
    table = _table(languages)
    for figures in some:
        for direction in FOUND:
            language = [shown(figures.language)] if any(languages) else []
            table.add_row(*language, direction, *map(shown_figure, figures.recall[direction]))
    return table


def shown_figure(figure: Figure, scale: float = 100, digits: int = 1) -> str:
    """Return a figure with its interval, in percent if not said otherwise."""
    if figure.value is None:
        return "–"
    value = f"{scale * figure.value:.{digits}f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} {scale * figure.low:.{digits}f}…{scale * figure.high:.{digits}f}"


def print_differences(runs: Sequence[Run]) -> None:
    """Print how each run but the first differs from the first; nothing of one alone."""
    for later in runs[1:]:
        _print_comparison(compare(runs[0], later))


def _print_comparison(comparison: Comparison) -> None:
    earlier, later = comparison.earlier, comparison.later
    title = f"{later.model} ({later.model_revision}) less {earlier.model}"
    out.print()
    out.print(shown(f"{title} ({earlier.model_revision})", "bold"))
    if comparison.earlier_only or comparison.later_only:
        only = f"{comparison.earlier_only} of the first run alone, {comparison.later_only} of this"
        among = f"{comparison.earlier_pictures} and {comparison.later_pictures} pictures"
        note = f"{comparison.captions} captions compared; {only}. Ranks are among {among}."
        out.print(shown(note, "yellow"), soft_wrap=True)
    out.print(_differences(comparison))
    for language, differences in comparison.by_language.items():
        where = f" in {language}" if language else ""
        line = Text.assemble(f"No match{where}, AUROC: ", _signed(differences[-1], 1, 3))
        out.print(line)
    out.print(Text("* 95 % of 1,000 resamples of the same pictures lie on one side of 0.", "dim"))


def _differences(comparison: Comparison) -> Table:
    table = _table([*comparison.by_language])
    count = len(RECALL_AT)
    for language, differences in comparison.by_language.items():
        for place, direction in enumerate(FOUND):
            named = [shown(language)] if any(comparison.by_language) else []
            some = differences[place * count : (place + 1) * count]
            table.add_row(*named, direction, *map(_signed, some))
    return table


def _signed(difference: Difference, scale: float = 100, digits: int = 1) -> Text:
    if math.isnan(difference.value):
        return Text("–")
    values = (difference.value, difference.low, difference.high)
    value, low, high = (f"{scale * each:+.{digits}f}" for each in values)
    style = ("green" if difference.value > 0 else "red") if difference.is_clear else ""
    return Text(f"{value} {low}…{high}{' *' if style else '  '}", style)
