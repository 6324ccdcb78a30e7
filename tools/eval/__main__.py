"""Measures a model on pictures that nobody here made, and counts the figures anew: `make eval`.

Usage: python -m tools.eval [--model MODEL] [--sets NAME ...] [--languages LANGUAGE ...]

Of each set the table, the JSON and the page of `imagesearch eval` come into the folder, beside
what Debian's packages hold. Nothing of it is for publishing: the stamps are under the GPL.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

from imagesearch.cli.run_tables import print_runs
from imagesearch.evaluation.runs import read_runs
from tools.eval import clipart, stamps
from tools.eval.debian import CannotFetch, unpacked

SETS = {"stamps": stamps, "clipart": clipart}


def measure(name: str, folder: Path, model: str | None, languages: list[str]) -> None:
    """
    Measure *model* on the set *name*, and end the program where a figure is wrong.

    Raises:
        CannotFetch: there is no such package here.
        CalledProcessError: `imagesearch eval` failed, and said why.
    """
    package = SETS[name]
    root = unpacked(package.PACKAGE, folder / "packages")
    captioned, kept = folder / name, folder / f"{name}.json"
    print(package.write(root, captioned, languages), flush=True)
    page, table = (str(kept.with_suffix(end)) for end in (".html", ".txt"))
    of_model = ["--model", model] if model else []
    program = [sys.executable, "-m", "imagesearch", "eval"]
    draft = kept.with_suffix(".part")  # a run that fails leaves the last one as it was
    with draft.open("w", encoding="utf-8") as file:
        subprocess.run(  # noqa: S603 - no shell
            [*program, str(captioned), "--json", "--html", page, *of_model], stdout=file, check=True
        )
    draft.replace(kept)
    with open(table, "w", encoding="utf-8") as file, redirect_stdout(file):
        print_runs(read_runs(kept))
    print(Path(table).read_text(encoding="utf-8"), flush=True)
    from tools.eval import recount  # here: it imports torch, which takes seconds

    recount.main([str(kept), str(captioned)])
    print(f"{kept}, {table}, {page}")


def main() -> None:
    """Measure on each set that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.eval")
    parser.add_argument("--model", help="as `imagesearch eval` takes it; the demo's by default")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument(
        "--languages",
        nargs="+",
        default=[*stamps.LANGUAGES],
        metavar="LANGUAGE",
        help=f"of the stamps, such as de pt-BR, or {stamps.ALL} for all 77; "
        f"by default {' '.join(stamps.LANGUAGES)}",
    )
    parser.add_argument("--folder", type=Path, default=Path("build/eval"))
    arguments = parser.parse_args()
    for name in arguments.sets:
        try:
            measure(name, arguments.folder, arguments.model, arguments.languages)
        except CannotFetch as error:
            sys.exit(f"error: {error}")
        except subprocess.CalledProcessError as error:
            sys.exit(error.returncode)


if __name__ == "__main__":
    main()
