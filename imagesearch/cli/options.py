"""Options that several commands have, and the settings that they win over."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from imagesearch.devices import checkpoint_here
from imagesearch.domain.filters import FILTERS
from imagesearch.domain.filters.declaration import Filter
from imagesearch.local.embedded.model_note import ModelNote
from imagesearch.setting_types import trimmed
from imagesearch.settings import DEFAULT_DATA_DIR, Settings, load_settings
from imagesearch.sources import SOURCES


def filled(text: str) -> str:
    """
    Return *text*, as what a command is given.

    Raises:
        BadParameter: it is empty, as where a variable of the shell is not set.
    """
    if not trimmed(text):
        raise typer.BadParameter(f"must not be empty, got {text!r}")
    return text


def filled_path(text: str) -> Path:
    """Return the path *text*; BadParameter where it is empty, which Path takes for this folder."""
    return Path(filled(text))


# Text, which the settings of the same names read as they read the environment's.
DataDir = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        parser=filled,
        help=f"Folder of images and catalog [{DEFAULT_DATA_DIR}]",
    ),
]

_SOURCES = "|".join(SOURCES)
_FROM = "Where images come from, several with commas; commons needs SOURCE_CONTACT [as SOURCE says]"
SourceName = Annotated[
    str | None, typer.Option("--source", "--from", metavar=_SOURCES, parser=filled, help=_FROM)
]
# Of `search`, where `--source` is the filter of that name.
FromName = Annotated[
    str | None, typer.Option("--from", metavar=_SOURCES, parser=filled, help=_FROM)
]

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="small|best|ID|FOLDER",
        parser=filled,
        help="Model: a name, or a checkpoint's hub id or folder [as CLIP_MODEL says]",
    ),
]

CaptionedPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="SET",
        parser=filled_path,
        help="Captioned pictures: a folder with a .txt beside each, a captions.csv"
        " (image,caption,language), Flickr8k's or 30k's captions, Karpathy's or COCO's JSON, tar"
        " shards",
    ),
]
CollectionName = Annotated[
    str | None,
    typer.Option(
        "--collection",
        metavar="NAME",
        parser=filled,
        help="Instead of SET a collection: its captions, and the embeddings that it has",
    ),
]
PicturesFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        parser=filled_path,
        help="Where the pictures are, if not beside the captions",
    ),
]
Split = Annotated[
    str, typer.Option(metavar="NAME", help="Of a set with splits the one to use, or all")
]


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Return *command* with an option for each of FILTERS; those given come as `filters`."""

    @functools.wraps(command)
    def filtered(**given: Any) -> None:
        texts = {name: given.pop(name) for name in FILTERS}
        filters = {name: text for name, text in texts.items() if text is not None}
        command(**given, filters=filters)

    # What Typer makes options of.
    signature = inspect.signature(command, eval_str=True)
    own = [each for name, each in signature.parameters.items() if name != "filters"]
    parameters = [*own, *map(_option, FILTERS.values())]
    filtered.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    filtered.__annotations__ = {each.name: each.annotation for each in parameters}
    return filtered


def _option(each: Filter) -> inspect.Parameter:
    """Return the parameter that Typer makes `--{name}` of."""
    name = f"--{each.name.replace('_', '-')}"
    option = typer.Option(name, metavar=each.values, parser=filled, help=each.help)
    kind = inspect.Parameter.KEYWORD_ONLY
    annotation = Annotated[str | None, option]
    return inspect.Parameter(each.name, kind, default=None, annotation=annotation)


DEMO_NOTE = (
    "Demo: pictures drawn by this program and a small CLIP trained on them.\n"
    "Set PIXABAY_API_KEY to search Pixabay's photographs with a full-size CLIP, or without an\n"
    "account those of Openverse: imagesearch serve --source openverse"
)


DEMO_MODEL_NOTE = (
    "The model is the demo's, which knows drawn scenes alone. For photographs:\n"
    "--model small, which downloads 600 MB once and keeps to this data folder."
)


def settings_with(**options: str | None) -> Settings:
    """
    Return the settings of the environment, but for the *options* that are given.

    Their models are checkpoints: what a name means may be another on another machine. Where none is
    given, it is the one that was chosen for the data folder last.

    Raises:
        InvalidRequest: a line for each bad setting.
    """
    settings = load_settings(**{name: text for name, text in options.items() if text is not None})
    models = ("clip_model", "previous_clip_model")
    checkpoints = {name: checkpoint_here(getattr(settings, name)) for name in models}
    if settings.edition == "embedded" and not settings.clip_model:
        checkpoints["clip_model"] = ModelNote(settings).chosen
    return settings.model_copy(update=checkpoints)
