"""An empty text on the command line, as of a shell's variable that is not set, is refused."""

from __future__ import annotations

import pytest
import typer

from imagesearch.cli.main import cli


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", ""],
        ["add", "Pictures", "--name", " "],
        ["update", ""],
        ["watch", "Pictures", ""],
        ["remove", ""],
        ["info", ""],
        ["forget", "--collection", ""],
        ["eval", ""],
        ["eval", "--model", "", "Pictures"],
        ["search", "a dog", "--model", "\u200b"],
        ["calibrate", "--collection", ""],
        ["search", "a dog", "--collection", ""],
        ["search", "a dog", "--data-dir", ""],
    ],
)
def test_an_empty_text_stands_for_nothing_else(arguments: list[str]) -> None:
    with pytest.raises(typer.BadParameter, match="must not be empty"):
        cli(arguments)
