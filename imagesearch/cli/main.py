"""The command line `imagesearch`: `serve` the page and the API, or `search` from a terminal.

What runs behind it is `stack.py`, or `cloud_stack.py` for `emulators`; asking again until an answer
is complete is `client.py`; what a terminal is shown goes through `terminal.py`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from imagesearch import logs
from imagesearch.cli import terminal
from imagesearch.cli.client import SearchClient, http_client, stack_client
from imagesearch.cli.terminal import err, link, out, shown
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.printable import printable
from imagesearch.doors.http_api import parse_search
from imagesearch.settings import Settings, load_settings

if TYPE_CHECKING:
    from imagesearch.local.embedded.stack import Stack
    from imagesearch.local.emulated.cloud_stack import CloudStack

DEMO_NOTE = (
    "Demo: pictures drawn by this program and a small CLIP trained on them.\n"
    "Set PIXABAY_API_KEY to search Pixabay's photographs with a full-size CLIP."
)
SERVE_EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch serve\n"
    "  PORT=9000 imagesearch serve --data-dir ~/imagesearch\n"
    "  PIXABAY_API_KEY=... imagesearch serve\n"
)
SEARCH_EXAMPLES = (
    "Examples:\n\n\b\n"
    '  imagesearch search circle "a red circle on a blue background" -k 3\n'
    '  imagesearch search star "three yellow stars at night" --contact-sheet stars.png\n'
    '  imagesearch search night "a big heart" --json | jq .top_urls\n'
)

EMULATORS_EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch emulators\n"
    "  PORT=9000 imagesearch emulators\n"
    "  PIXABAY_API_KEY=... imagesearch emulators\n"
)

CLOUD_PARTS = {
    "query": "API: functions/query",
    "fetch": "functions/fetch",
    "inference": "inference_service",
    "pubsub": "Pub/Sub emulator",
    "firestore": "Firestore emulator",
    "storage": "Cloud Storage emulator",
    "redis": "redis-server",
}

TURN_SECONDS = 120.0  # how long a search waits for another that has the data folder

cli = typer.Typer(
    help="Search images by a keyword and a sentence, on this machine.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Text, which the settings of the same names read as they read the environment's.
DataDir = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Folder of images and catalog [.data]")
]


@cli.command(epilog=SERVE_EXAMPLES)
def serve(
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address [127.0.0.1]")] = None,
    port: Annotated[
        str | None, typer.Option(metavar="PORT", help="Port; 0 takes a free one [8080]")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the page and the API until Ctrl-C."""
    # Only here, as they import uvicorn: a search starts faster without it.
    from imagesearch.doors.uvicorn_protocol import raise_descriptor_limit
    from imagesearch.local.server import Server, known_hosts, server_config

    raise_descriptor_limit()
    settings = _settings(bind_address=host, port=port, data_dir=data_dir)
    logs.configure(settings.log_level)
    with _listening(settings) as listener:
        url = _reachable(settings.bind_address, listener.getsockname()[1])
        with _stack(settings) as stack:
            stack.announce(url)
            out.print(_greeting(settings, url))
            config = server_config(
                stack.app,
                known_hosts(settings),
                timeout_graceful_shutdown=10,
                # Else uvicorn believes whoever is on this machine.
                proxy_headers=settings.trusted_proxies > 0,
            )
            # uvicorn ends its requests, then raises the signal again: here it is heeded.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with suppress(KeyboardInterrupt):
                Server(config).run(sockets=[listener])


@cli.command(epilog=SEARCH_EXAMPLES)
def search(
    keyword: Annotated[str, typer.Argument(help="Whose images are searched: circle")],
    query: Annotated[str, typer.Argument(help="What the picture should show: a red circle")],
    k: Annotated[str, typer.Option("-k", metavar="NUMBER", help="How many images")] = "10",
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON")] = False,
    contact_sheet: Annotated[
        Path | None, typer.Option(help="Write the images found as one PNG")
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask the imagesearch at this URL")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Search KEYWORD's images for QUERY and print the best."""
    terminal.check_stdout()
    params = {
        "t": _decoded("KEYWORD", keyword),
        "s_query": _decoded("QUERY", query),
        "k": _decoded("-k", k),
    }
    with _client(params, url, data_dir) as client:
        with _progress() as progress:
            task = progress.add_task("asking", total=None, count="")
            answer = client.search(params, lambda pool: progress.update(task, **_stand(pool)))
        if as_json:
            terminal.print_json(answer)
        else:
            _print_table(answer, client.schemes)
        if contact_sheet:
            _write_sheet(contact_sheet, answer, client.image)


@cli.command(epilog=EMULATORS_EXAMPLES)
def emulators(
    port: Annotated[
        str | None,
        typer.Option(
            metavar="PORT", help="The API's port, the page's is the next; 0: free ones [8080]"
        ),
    ] = None,
) -> None:
    """Run the cloud edition on this machine, over emulators, until Ctrl-C; it keeps nothing."""
    from imagesearch.local.emulated.cloud_stack import cloud_stack

    settings = _settings(port=port)
    logs.configure(settings.log_level)
    with cloud_stack(settings, service_output=sys.stderr) as stack:
        status = err.status("Starting the emulators and the services")
        status.start()

        def greet() -> None:
            status.stop()
            out.print(_cloud_greeting(settings, stack))

        try:
            stack.run(greet)
        finally:
            status.stop()


def _decoded(name: str, text: str) -> str:
    """Return an argument whose bytes are text in this terminal's encoding, or in UTF-8."""
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        raise InvalidRequest(f"{name} must be text in UTF-8, got {text[:100]!r}") from None


@contextmanager
def _client(
    params: dict[str, str], url: str | None, data_dir: str | None
) -> Iterator[SearchClient]:
    """Yield a client of *url*, of a stack of our own, or of the one that has the folder."""
    parse_search(params)  # a mistake is told before the model is loaded
    if url is not None:
        yield http_client(url)
        return
    settings = _settings(data_dir=data_dir)
    # Nobody serves the images of a stack of our own: the answer points at the files.
    files = (settings.data_dir / "images").resolve().as_uri()
    settings = settings.model_copy(update={"image_base_url": settings.image_base_url or files})
    from imagesearch.local.embedded.stack import FolderInUse

    try:
        with _stack_in_turn(settings) as stack:
            if settings.is_demo:
                err.print(DEMO_NOTE, f"Its keywords: {', '.join(stack.demo_keywords)}.", sep="\n")
            yield stack_client(stack, _reachable(settings.bind_address, settings.port))
    except FolderInUse as busy:
        if busy.url is None:
            raise
        where = printable(f"{busy.url}, which has {settings.data_dir} open")
        err.print(Text(f"Asking the imagesearch at {where}."))
        yield http_client(busy.url)


@contextmanager
def _stack_in_turn(settings: Settings) -> Iterator[Stack]:
    """Yield a stack, after the search or the start-up of another process that has the folder."""
    from imagesearch.local.embedded.stack import FolderInUse

    give_up_at = time.monotonic() + TURN_SECONDS
    with ExitStack() as opened:
        while True:
            try:
                stack = opened.enter_context(_stack(settings))
                break
            except FolderInUse as busy:
                if busy.url is not None or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.5)
        yield stack


@contextmanager
def _stack(settings: Settings) -> Iterator[Stack]:
    with err.status(f"Loading the model {escape(printable(settings.model))}") as status:
        from imagesearch.local.embedded.stack import running_stack  # it imports the model's code

        with running_stack(settings) as stack:
            status.stop()
            yield stack


def _reachable(address: str, port: int) -> str:
    """Return the URL by which this machine reaches a server that listens on *address*."""
    any_address = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
    host = any_address.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    from imagesearch.local.in_thread import listen  # only here, as it imports uvicorn

    try:
        listener = listen(settings.port, settings.bind_address)
    except OSError as error:
        where = f"BIND_ADDRESS {settings.bind_address} and PORT {settings.port}"
        message = f"cannot listen on {where}: {error.strerror}; try PORT=0"
        raise InvalidRequest(message, field="PORT") from None
    with listener:
        yield listener


def _settings(**given: object) -> Settings:
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def _greeting(settings: Settings, url: str) -> Panel:
    opening = Text.assemble("Open ", link(url, url), " in a browser; Ctrl-C ends it.")
    where = (
        f"model {printable(settings.model)}\ndata  {printable(str(settings.data_dir.resolve()))}"
    )
    demo = [DEMO_NOTE, ""] if settings.is_demo else []
    return Panel(
        Group(opening, "", *demo, Text(where, "dim")),
        title="imagesearch",
        expand=False,
        padding=(1, 2),
    )


def _cloud_greeting(settings: Settings, stack: CloudStack) -> Panel:
    opening = Text.assemble(
        "Open ", link(stack.page_url, stack.page_url), " in a browser; Ctrl-C ends it all."
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("what", "where", "process"):
        table.add_column(name, justify="right" if name == "process" else "left")
    for name, child in stack.children.items():
        table.add_row(CLOUD_PARTS[name], link(child.url, child.url), str(child.pid))
    if stack.gallery_url:
        table.add_row("demo gallery", link(stack.gallery_url, stack.gallery_url), str(os.getpid()))
    demo = [DEMO_NOTE, ""] if settings.pixabay_api_key is None else []
    where = Text(f"The emulators' logs are in {stack.folder}", "dim")
    return Panel(
        Group(opening, "", *demo, table, "", where),
        title="imagesearch on emulators",
        expand=False,
        padding=(1, 2),
    )


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
    )
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def _stand(pool: dict[str, Any]) -> dict[str, Any]:
    done = pool["embedded"] + pool["rejected"]
    count = f"{done} of {pool['images']}" if pool["images"] else ""
    return {
        "description": str(shown(pool["state"])),
        "total": pool["images"] or None,
        "completed": done,
        "count": count,
    }


def _print_table(answer: dict[str, Any], schemes: tuple[str, ...]) -> None:
    if not answer["results"]:
        out.print(shown(f"Nothing found for {answer['keyword']!r}."))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "relevance", "score", "image", "shows", "by"):
        table.add_column(name, justify="right" if name in ("", "score") else "left")
    for rank, result in enumerate(answer["results"], start=1):
        table.add_row(*_row(rank, result, schemes))
    out.print(table)
    out.print(_summary(answer))


def _row(rank: int, result: dict[str, Any], schemes: tuple[str, ...]) -> tuple[str | Text, ...]:
    share = result["relevance"]
    return (
        str(rank),
        Text.assemble((terminal.bar(share), "cyan"), f" {share:.0%}"),
        f"{result['score']:.3f}",
        link(result["image_id"], result["url"], schemes),
        shown(", ".join(result["tags"])),
        link(result["credit"]["user"], result["page_url"]),
    )


def _summary(answer: dict[str, Any]) -> Text:
    pool, seconds = answer["pool"], answer["timings"]["total_seconds"]
    source = shown(answer["results"][0]["credit"]["source"])
    lines = [f"{pool['embedded']} images from {source} searched in {seconds * 1000:.0f} ms."]
    if not answer["complete"]:
        missing = max(0, pool["images"] - pool["embedded"] - pool["rejected"])
        lines.append(
            f"{missing} more could not be fetched: {shown(pool['reason'] or 'no reason')}."
        )
    if answer["query_truncated"]:
        lines.append("The query was cut to what the model reads.")
    return Text("\n".join(lines), "dim")


def _write_sheet(path: Path, answer: dict[str, Any], image: Callable[[str], bytes]) -> None:
    from imagesearch.cli.contact_sheet import write_contact_sheet

    write_contact_sheet(
        path,
        [
            (image(one["url"]), f"{rank}. {str(shown(one['image_id']))[:40]}  {one['score']:.3f}")
            for rank, one in enumerate(answer["results"], start=1)
        ],
    )
    err.print(Text(f"Wrote {printable(str(path))}"))


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


if __name__ == "__main__":
    main()
