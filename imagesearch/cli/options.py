"""Options that several commands have, and the settings that they win over."""

from __future__ import annotations

from typing import Annotated

import typer

from imagesearch.settings import DEFAULT_DATA_DIR, Settings, load_settings

# Text, which the settings of the same names read as they read the environment's.
DataDir = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help=f"Folder of images and catalog [{DEFAULT_DATA_DIR}]"),
]

DEMO_NOTE = (
    "Demo: pictures drawn by this program and a small CLIP trained on them.\n"
    "Set PIXABAY_API_KEY to search Pixabay's photographs with a full-size CLIP."
)


def settings_with(**options: str | None) -> Settings:
    """
    Return the settings of the environment, but for the *options* that are given.

    Raises:
        InvalidRequest: a line for each bad setting.
    """
    return load_settings(**{name: value for name, value in options.items() if value is not None})
