"""The command line `imagesearch`, put together of its commands, each a file beside this one.

Asking again until an answer is complete is `client.py`; what a terminal is shown goes through
`terminal.py`.
"""

from __future__ import annotations

import sys

import typer

from imagesearch.cli import (
    calibrate,
    collections,
    compare,
    emulators,
    evaluate,
    forget,
    reembed,
    search,
    serve,
    terminal,
)

cli = typer.Typer(
    help="Search images by a keyword and a sentence, on this machine.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli.command(epilog=serve.EXAMPLES)(serve.serve)
cli.command(epilog=search.EXAMPLES)(search.search)
cli.command(epilog=collections.ADD_EXAMPLES)(collections.add)
cli.command()(collections.update)
cli.command()(collections.watch)
cli.command()(collections.remove)
cli.command()(collections.collections)
cli.command()(collections.info)
cli.command(epilog=forget.EXAMPLES)(forget.forget)
cli.command(epilog=reembed.EXAMPLES)(reembed.reembed)
cli.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
cli.command(epilog=compare.EXAMPLES)(compare.compare)
cli.command(epilog=calibrate.EXAMPLES)(calibrate.calibrate)
cli.command(epilog=emulators.EXAMPLES)(emulators.emulators)


def main() -> None:
    """Run the command line; whatever fails is told on one line, and by the exit status."""
    terminal.prepare()
    status: int | None = 1
    try:
        status = cli(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the door: it is told, and at DEBUG with its place
        terminal.tell(error)
        status = getattr(error, "exit_code", 1)  # 2 for what typer cannot read
    finally:
        terminal.leave_stdout()
    sys.exit(status)
