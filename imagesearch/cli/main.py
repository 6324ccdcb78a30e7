"""The command line `imagesearch`, put together of its commands, each in a file beside this one.

Asking again until an answer is complete is `client.py`; what a terminal is shown goes through
`terminal.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

import typer

from imagesearch.cli import terminal

# Each command by its name, in the order of the help: its function, and the examples in its help.
# A file is imported when its command is asked for: all of them take half a second more.
COMMANDS = {
    "serve": ("serve.serve", "EXAMPLES"),
    "search": ("search.search", "EXAMPLES"),
    "mcp": ("mcp.mcp", "EXAMPLES"),
    "add": ("collections.add", "ADD_EXAMPLES"),
    "update": ("collections.update", ""),
    "watch": ("watch.watch", ""),
    "remove": ("collections.remove", ""),
    "collections": ("collections.collections", ""),
    "info": ("collections.info", ""),
    "forget": ("forget.forget", "EXAMPLES"),
    "reembed": ("reembed.reembed", "EXAMPLES"),
    "eval": ("evaluate.evaluate", "EXAMPLES"),
    "compare": ("compare.compare", "EXAMPLES"),
    "calibrate": ("calibrate.calibrate", "EXAMPLES"),
    "app": ("app.app", "EXAMPLES"),
    "emulators": ("emulators.emulators", "EXAMPLES"),
}


def cli(args: Sequence[str]) -> int | None:
    """Run the command that *args* begin with, or say which there are; return its exit status."""
    wanted = args[:1] if args and args[0] in COMMANDS else COMMANDS
    status: int | None = program(wanted)(args=list(args), standalone_mode=False)
    return status


def main() -> None:
    """Run the command line; whatever fails is told on one line, and by the exit status."""
    terminal.prepare()
    status: int | None = 1
    try:
        status = cli(sys.argv[1:] or ["--help"])
    except Exception as error:  # noqa: BLE001 - the door: it is told, and at DEBUG with its place
        terminal.tell(error)
        status = getattr(error, "exit_code", 1)  # 2 for what typer cannot read
    finally:
        terminal.leave_stdout()
    sys.exit(status)


def program(names: Iterable[str]) -> typer.Typer:
    """Return a program that has the commands of these *names*."""
    app = typer.Typer(
        help="Search images by a keyword and a sentence, on this machine.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(lambda: None)  # else the only command would go without its name
    for name in names:
        place, examples = COMMANDS[name]
        file, _, function = place.partition(".")
        module = import_module(f"imagesearch.cli.{file}")
        epilog = getattr(module, examples) if examples else None
        app.command(name, epilog=epilog)(getattr(module, function))
    return app
