"""The command line `imagesearch`: `serve` the page and the API, or `search` from a terminal.

What runs behind it is `stack.py`; asking again until an answer is complete is `client.py`.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from imagesearch.config import Settings, load_settings
from imagesearch.errors import ImageSearchError, InvalidRequest
from imagesearch.http_api import parse_search
from imagesearch.local.client import (
    SearchClient,
    SearchFailed,
    http_client,
    image_bytes,
    stack_client,
)

if TYPE_CHECKING:
    from imagesearch.local.stack import Stack

DEMO_NOTE = (
    "[b]Demo[/b]: pictures drawn by this program and a small CLIP trained on them.\n"
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

cli = typer.Typer(
    help="Search images by a keyword and a sentence, on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console()
err = Console(stderr=True)

DataDir = Annotated[Path | None, typer.Option(help="Folder of images and catalog [.data]")]


@cli.command(epilog=SERVE_EXAMPLES)
def serve(
    host: Annotated[str | None, typer.Option(help="Address [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one [8080]")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the page and the API until Ctrl-C."""
    import uvicorn  # only here: a search starts faster without it

    with _told_plainly():
        settings = _settings(host=host, port=port, data_dir=data_dir)
        _log(settings.log_level)
        with _listening(settings) as listener:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            url = f"http://{host}:{listener.getsockname()[1]}"
            with _stack(settings, url) as stack:
                out.print(_greeting(settings, url))
                config = uvicorn.Config(
                    stack.app, log_config=None, timeout_graceful_shutdown=30, server_header=False
                )
                # uvicorn ends its requests, then raises the signal again: here it is heeded.
                signal.signal(signal.SIGTERM, signal.default_int_handler)
                with suppress(KeyboardInterrupt):
                    uvicorn.Server(config).run(sockets=[listener])


@cli.command(epilog=SEARCH_EXAMPLES)
def search(
    keyword: Annotated[str, typer.Argument(help="Whose images are searched: circle")],
    query: Annotated[str, typer.Argument(help="What the picture should show: a red circle")],
    k: Annotated[int, typer.Option("-k", help="How many images")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON")] = False,
    contact_sheet: Annotated[
        Path | None, typer.Option(help="Write the images found as one PNG")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Ask the imagesearch at this URL")] = None,
    data_dir: DataDir = None,
) -> None:
    """Search KEYWORD's images for QUERY and print the best."""
    params = {"t": keyword, "s_query": query, "k": str(k)}
    with _told_plainly(), _client(params, url, data_dir) as client:
        with _progress() as progress:
            task = progress.add_task("asking", total=None, count="")
            answer = client.search(params, lambda pool: progress.update(task, **_stand(pool)))
        if as_json:
            out.print_json(json.dumps(answer))
        else:
            _print_table(answer)
        if contact_sheet:
            _write_sheet(contact_sheet, answer)


@contextmanager
def _client(
    params: dict[str, str], url: str | None, data_dir: Path | None
) -> Iterator[SearchClient]:
    """Yield a client of *url*, of a stack of our own, or of the one that has the folder."""
    parse_search(params)  # a mistake is told before the model is loaded
    if url is not None:
        yield http_client(url)
        return
    settings = _settings(data_dir=data_dir)
    _log("WARNING")
    # Nobody serves the images of a stack of our own: the answer points at the files.
    files = (settings.data_dir / "images").resolve().as_uri()
    settings = settings.model_copy(update={"image_base_url": settings.image_base_url or files})
    served_at = f"http://{settings.host}:{settings.port}"
    from imagesearch.local.stack import FolderInUse

    try:
        with _stack(settings, served_at) as stack:
            if settings.is_demo:
                err.print(DEMO_NOTE, f"Its keywords: {', '.join(stack.demo_keywords)}.", sep="\n")
            yield stack_client(stack)
    except FolderInUse as busy:
        err.print(f"Asking the imagesearch at {busy.url}, which has {settings.data_dir} open.")
        yield http_client(busy.url)


@contextmanager
def _stack(settings: Settings, url: str) -> Iterator[Stack]:
    with err.status(f"Loading the model {escape(settings.model)}") as status:
        from imagesearch.local.stack import running_stack  # takes seconds: it imports torch

        with running_stack(settings, url) as stack:
            status.stop()
            yield stack


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only for sockets that name
    # it; without, an answer waits 40 ms for a delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        where = f"HOST {settings.host} and PORT {settings.port}"
        message = f"cannot listen on {where}: {error.strerror}; try PORT=0"
        raise InvalidRequest(message, field="PORT") from None
    with listener:
        yield listener


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn what a person can mend into one line and exit status 1."""
    try:
        yield
    except (ImageSearchError, SearchFailed, OSError) as error:
        err.print(f"[red]error:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None


def _settings(**given: object) -> Settings:
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def _log(level: str) -> None:
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    for chatty in ("httpx", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _greeting(settings: Settings, url: str) -> Panel:
    lines = [f"Open [link={url}]{url}[/link] in a browser; Ctrl-C ends it."]
    if settings.is_demo:
        lines.append(DEMO_NOTE)
    lines.append(f"[dim]model {escape(settings.model)}\ndata  {settings.data_dir.resolve()}[/dim]")
    return Panel("\n\n".join(lines), title="imagesearch", expand=False, padding=(1, 2))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"))
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def _stand(pool: dict[str, Any]) -> dict[str, Any]:
    done = pool["embedded"] + pool["rejected"]
    count = f"{done} of {pool['images']}" if pool["images"] else ""
    return {
        "description": pool["state"],
        "total": pool["images"] or None,
        "completed": done,
        "count": count,
    }


def _print_table(answer: dict[str, Any]) -> None:
    if not answer["results"]:
        out.print(f"Nothing found for {escape(repr(answer['keyword']))}.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "relevance", "score", "image", "shows", "by"):
        table.add_column(name, justify="right" if name in ("", "score") else "left")
    for rank, result in enumerate(answer["results"], start=1):
        table.add_row(*_row(rank, result))
    out.print(table)
    out.print(_summary(answer), style="dim")


def _row(rank: int, result: dict[str, Any]) -> tuple[str, ...]:
    share = result["relevance"]
    bar = "█" * round(share * 12) or "▏"
    return (
        str(rank),
        f"[cyan]{bar}[/cyan] {share:.0%}",
        f"{result['score']:.3f}",
        f"[link={result['url']}]{escape(result['image_id'])}[/link]",
        escape(", ".join(result["tags"])),
        f"[link={result['page_url']}]{escape(result['credit']['user'])}[/link]",
    )


def _summary(answer: dict[str, Any]) -> str:
    pool, seconds = answer["pool"], answer["timings"]["total_seconds"]
    cut = " The query was cut to what the model reads." if answer["query_truncated"] else ""
    source = answer["results"][0]["credit"]["source"]
    return f"{pool['embedded']} images from {source} searched in {seconds * 1000:.0f} ms.{cut}"


def _write_sheet(path: Path, answer: dict[str, Any]) -> None:
    from imagesearch.local.contact_sheet import write_contact_sheet

    write_contact_sheet(
        path,
        [
            (image_bytes(result["url"]), f"{rank}. {result['image_id']}  {result['score']:.3f}")
            for rank, result in enumerate(answer["results"], start=1)
        ],
    )
    err.print(f"Wrote {escape(str(path))}")


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
