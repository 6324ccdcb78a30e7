"""`imagesearch eval`: how well a model searches pictures that somebody has captions for."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from imagesearch.cli import terminal
from imagesearch.cli.captioned import opened_set
from imagesearch.cli.options import (
    CaptionedPath,
    CollectionName,
    DataDir,
    PicturesFolder,
    Split,
    filled,
    settings_with,
)
from imagesearch.cli.terminal import err, note, told_misfits
from imagesearch.domain.printable import printable
from imagesearch.evaluation.captions import CaptionedSet

if TYPE_CHECKING:
    from imagesearch.evaluation.runs import Run

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch eval ~/captioned\n"
    "  imagesearch eval dataset_flickr8k.json --pictures Images --html flickr8k.html\n"
    "  imagesearch eval ~/captioned --model small --model best\n"
    "  imagesearch eval --collection Flickr8k\n"
    "  imagesearch eval ~/captioned --json > today.json\n"
)


def evaluate(
    captioned_set: CaptionedPath = None,
    collection: CollectionName = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="small|best|ID|FOLDER",
            parser=filled,
            help="What to measure; repeatable [as CLIP_MODEL says]",
        ),
    ] = None,
    pictures: PicturesFolder = None,
    split: Split = "test",
    as_json_text: Annotated[
        bool, typer.Option("--json", help="Print what was measured as JSON, for compare")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the figures and the worst misses")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Measure how well captions find their pictures and pictures their captions: recall@1/5/10."""
    terminal.check_stdout()
    of_models = [settings_with(clip_model=each, data_dir=data_dir) for each in model or (None,)]
    with opened_set(of_models[0], captioned_set, collection, pictures, split) as captioned:
        if html:
            _check_writable(html)
        source = str(captioned_set or collection)
        runs = [_run(each.model, captioned, source) for each in of_models]
        if html:
            from imagesearch.cli.run_page import write_page

            write_page(html, runs, captioned)
    if as_json_text:
        from imagesearch.evaluation.runs import as_json

        for run in runs:
            told_misfits(run.misfits)
        terminal.print_json(as_json(runs))
        return
    from imagesearch.cli.run_tables import print_differences, print_runs

    print_runs(runs)
    print_differences(runs)


def _check_writable(path: Path) -> None:
    """Raise OSError before hours of work rather than after."""
    existed = path.exists()
    path.open("ab").close()
    if not existed:
        path.unlink()


def _run(model: str, captioned: CaptionedSet, source: str) -> Run:
    from imagesearch.evaluation.measuring import measure  # only here: they import numpy
    from inference_service.encoder import ModelEncoder  # and load a model

    name = escape(printable(model))
    total = len(captioned.pictures)
    with err.status(f"Loading the model {name}") as status:

        def told(done: int, what: str) -> None:
            of = f" of {total}" if what == "pictures" else ""
            status.update(f"{name}: {done}{of} {what} embedded")

        with closing(ModelEncoder.load(model, tell=note, in_float32=True)) as encoder:
            return measure(encoder, captioned, source, model, told)
