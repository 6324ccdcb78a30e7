"""What the command line shows, on streams that may be closed, broken or of few characters.

Text of others is printed by way of `shown`, whatever it holds.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from io import TextIOWrapper

import typer
from rich.console import Console, ConsoleDimensions
from rich.highlighter import JSONHighlighter
from rich.style import Style
from rich.text import Text

from imagesearch import logs
from imagesearch.domain.errors import ImageSearchError
from imagesearch.domain.printable import printable
from imagesearch.setting_types import trimmed

_PIPED_COLUMNS = 10_000
LONGEST = 200  # characters of one value in a table or a line
_URL = re.compile(r"([a-z]+)://[!-~]+")
# typer brings a click of its own; this is its error of a command that cannot be read.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_TOLD_AS_THEY_ARE = (ImageSearchError, OSError, _UsageError)

logger = logging.getLogger(__name__)


class _Answer(Console):
    """What was asked for: a file or a program that takes it gets every row on one line."""

    @property  # type: ignore[misc]  # nothing here sets it
    def size(self) -> ConsoleDimensions:
        """The terminal's columns and lines; without a terminal, more columns than a row has."""
        return super().size if self.is_terminal else ConsoleDimensions(_PIPED_COLUMNS, 25)


class _Notes(Console):
    """What stands beside the answer: who reads it no longer does not end the program."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on."""
        self.quiet = True


out = _Answer()
err = _Notes(stderr=True)


def prepare() -> None:
    """
    Make this process's streams fit for any text, and its log silent but for DEBUG.

    A stream that was closed is /dev/null from now on: else the next file that is opened, a
    database perhaps, would take its place and be printed into.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    logs.configure("DEBUG" if is_debug() else "CRITICAL")


def is_debug() -> bool:
    """True when the log is to say everything, whatever the other settings are."""
    return str(trimmed(os.environ.get("LOG_LEVEL", ""))).upper() == "DEBUG"


def check_stdout() -> None:
    """Raise OSError when there is nowhere to print an answer to."""
    if sys.__stdout__ is None:
        raise OSError("stdout is closed: there is nowhere to print to")


def leave_stdout() -> None:
    """Give up what stdout does not take: Python would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(error: BaseException) -> None:
    """Print *error* on a line of its own; where it was raised is logged at DEBUG."""
    logger.debug("the command failed", exc_info=error)
    lines = "\n".join(printable(line) for line in _message(error).split("\n"))
    with suppress(OSError):
        err.print(Text.assemble(("error:", "red"), " ", lines), soft_wrap=True)


def _message(error: BaseException) -> str:
    from imagesearch.client import SearchFailed  # here: `serve` starts faster without the client

    # What typer cannot read it tells in two forms, of which this one names the parameter.
    message = getattr(error, "format_message", error.__str__)() or type(error).__name__
    if isinstance(error, (*_TOLD_AS_THEY_ARE, SearchFailed)):
        return message
    return f"{type(error).__name__}: {message[:LONGEST]}; LOG_LEVEL=DEBUG shows where"


def shown(text: str, style: str | Style = "") -> Text:
    """Return *text* of whatever origin, on one line and not too long, for a console to print."""
    clean = printable(text)
    return Text(clean if len(clean) <= LONGEST else f"{clean[:LONGEST]}…", style)


def note(line: str) -> None:
    """Tell whoever waits: by the log where it is written, else plainly."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(line)
    else:
        err.print(Text(printable(line)), soft_wrap=True)


def link(text: str, url: str, schemes: tuple[str, ...] = ("http", "https")) -> Text:
    """Return *text* as a link to *url*, or as it is when that is no such URL."""
    match = _URL.fullmatch(url)
    # A style, not markup: Rich would read the brackets of an IPv6 address as markup.
    return shown(text, Style(link=url) if match and match[1] in schemes else "")


def told_misfits(misfits: Iterable[object]) -> None:
    """Say beside the answer what of a captioned set was left out."""
    for misfit in misfits:
        err.print(shown(f"Left out: {misfit}"), soft_wrap=True)


def print_json(value: object) -> None:
    """Print *value* as JSON in which nothing but line breaks is unprintable."""
    text = json.dumps(value, indent=2, ensure_ascii=out.options.ascii_only)
    # Within strings alone, where JSON escapes what it likes.
    clean = "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in text
    )
    # To colour 10 MB for a file that takes no colours takes half a minute.
    out.print(JSONHighlighter()(clean) if out.is_terminal else Text(clean), soft_wrap=True)
