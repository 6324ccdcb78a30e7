"""`imagesearch emulators`: the cloud edition on this machine, over emulators."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from imagesearch import logs
from imagesearch.cli.options import DEMO_NOTE, settings_with
from imagesearch.cli.terminal import err, link, out

if TYPE_CHECKING:
    from imagesearch.local.emulated.cloud_stack import CloudStack

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch emulators\n"
    "  PORT=9000 imagesearch emulators\n"
    "  PIXABAY_API_KEY=... imagesearch emulators\n"
)
PARTS = {
    "query": "page and API: functions/query",
    "fetch": "functions/fetch",
    "inference": "inference_service",
    "pubsub": "Pub/Sub emulator",
    "firestore": "Firestore emulator",
    "storage": "Cloud Storage emulator",
    "redis": "redis-server",
}


def emulators(
    port: Annotated[
        str | None,
        typer.Option(
            metavar="PORT", help="The page's port, the images' is the next; 0: free ones [8080]"
        ),
    ] = None,
) -> None:
    """Run the cloud edition on this machine, over emulators, until Ctrl-C; it keeps nothing."""
    from imagesearch.local.emulated.cloud_stack import cloud_stack

    # The stack tells its services EDITION=cloud; without a key the demo stands in for Pixabay.
    settings = settings_with(port=port, edition="embedded")
    logs.configure(settings.log_level)
    with cloud_stack(settings, service_output=sys.stderr) as stack:
        status = err.status("Starting the emulators and the services")
        status.start()

        def greet() -> None:
            status.stop()
            out.print(_greeting(stack))

        try:
            stack.run(greet)
        finally:
            status.stop()


def _greeting(stack: CloudStack) -> Panel:
    opening = Text.assemble(
        "Open ", link(stack.query_url, stack.query_url), " in a browser; Ctrl-C ends it all."
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("what", "where", "process"):
        table.add_column(name, justify="right" if name == "process" else "left")
    for name, child in stack.children.items():
        table.add_row(PARTS[name], link(child.url, child.url), str(child.pid))
    if stack.gallery_url:
        table.add_row("demo gallery", link(stack.gallery_url, stack.gallery_url), str(os.getpid()))
    demo = [DEMO_NOTE, ""] if stack.gallery_url else []
    where = Text(f"The emulators' logs are in {stack.folder}", "dim")
    return Panel(
        Group(opening, "", *demo, table, "", where),
        title="imagesearch on emulators",
        expand=False,
        padding=(1, 2),
    )
