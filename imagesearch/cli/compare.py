"""`imagesearch compare`: what changed from one run of `imagesearch eval` to the next ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imagesearch.cli import terminal
from imagesearch.cli.options import filled_path

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch eval ~/captioned --json > before.json\n"
    "  imagesearch eval ~/captioned --json --model ~/models/new > after.json\n"
    "  imagesearch compare before.json after.json\n"
)


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", parser=filled_path, help="Files that eval --json printed"),
    ],
) -> None:
    """Print runs of eval, and how each differs from the first, picture by picture."""
    terminal.check_stdout()
    from imagesearch.cli.run_tables import print_differences, print_runs  # here: it imports numpy
    from imagesearch.evaluation.runs import read_runs

    runs = [run for file in files for run in read_runs(file)]
    if len(runs) < 2:
        message = f"two runs are needed to compare, and {files[0]} has one"
        raise typer.BadParameter(message, param_hint="RUN")
    print_runs(runs)
    print_differences(runs)
