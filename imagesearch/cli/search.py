"""`imagesearch search`: a search from a terminal, of a stack in this process or of a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from imagesearch.cli import search_arguments as given
from imagesearch.cli import terminal
from imagesearch.cli.client import SearchClient, http_client, stack_client
from imagesearch.cli.local_stack import opened_stack, reachable_url
from imagesearch.cli.options import (
    DEMO_NOTE,
    DataDir,
    FromName,
    ModelName,
    settings_with,
    with_filters,
)
from imagesearch.cli.search_table import name_of, print_table
from imagesearch.cli.terminal import err, shown
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.printable import printable
from imagesearch.domain.queries import Cursor
from imagesearch.settings import Settings

if TYPE_CHECKING:
    from imagesearch.local.embedded.stack import Stack

EXAMPLES = (
    "Examples:\n\n\b\n"
    '  imagesearch search "a dog with a guitar under the moon"\n'
    '  imagesearch search horse "two horses amidst flowers" -k 3\n'
    '  imagesearch search penguin "three penguins" --contact-sheet penguins.png\n'
    '  imagesearch search night "a castle under the moon" --json | jq .top_urls\n'
    '  imagesearch search cow "three cows" --minus night\n'
    "  imagesearch search horse --like photo.jpg\n"
    "  imagesearch search --like photo.jpg\n"
    '  imagesearch search "horses at sunset" --everywhere --colour orange\n'
    '  imagesearch search lighthouse "a lighthouse in a storm" --from openverse\n'
    '  imagesearch search "a dog in the snow" --collection Pictures --year 2019\n'
    '  imagesearch search cow "at night" --like photo.jpg --like-weight 0.5 --unlike dull.jpg\n'
)
_SERVERS_OWN = "--{option} {value}: with --url none is chosen, as the server at {url} has its own"
TURN_SECONDS = 120.0  # how long a search waits for another that has the data folder


@with_filters
def search(
    texts: given.Texts = None,
    k: given.Count = "10",
    minus: given.Minus = None,
    like: given.Like = None,
    unlike: given.Unlike = None,
    query_weight: given.QueryWeight = "",
    like_weight: given.LikeWeight = None,
    everywhere: given.Everywhere = False,
    more: given.More = "",
    fold: given.Fold = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON")] = False,
    contact_sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the images found as one PNG")
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask the imagesearch at this URL")
    ] = None,
    data_dir: DataDir = None,
    model: ModelName = None,
    from_source: FromName = None,
    *,
    filters: dict[str, str],
) -> None:
    """Print the images of KEYWORD that show QUERY best; without KEYWORD, of what QUERY names."""
    terminal.check_stdout()
    arguments = given.Arguments(
        texts=texts or [],
        k=k,
        minus=minus or [],
        like=like or [],
        unlike=unlike or [],
        query_weight=query_weight,
        like_weight=like_weight or [],
        everywhere=everywhere,
        more=more,
        fold=fold,
        filters=filters,
    )
    pictures, params = arguments.pictures(), arguments.params()
    # A mistake is told before the model is loaded.
    request = given.checked(params, pictures)
    with _client(url, data_dir, model=model, source=from_source) as client:
        with arguments.blamed():
            answer = _ask(client, params, pictures)
        first = _first(request.cursor, answer)
        if as_json:
            terminal.print_json(answer)
        else:
            collection = client.collection(answer.get("filters", {}).get("collection", ""))
            print_table(
                answer, client.schemes, first, is_keyword_given="t" in params, collection=collection
            )
        if contact_sheet:
            _write_sheet(contact_sheet, answer, first, client.image)


@contextmanager
def _client(
    url: str | None, data_dir: str | None, *, model: str | None, source: str | None
) -> Iterator[SearchClient]:
    """Yield a client of *url*, of a stack of our own, or of the one that has the folder."""
    if url is not None:
        for option, value in {"model": model, "from": source}.items():
            if value is not None:
                message = _SERVERS_OWN.format(option=option, value=value, url=url)
                raise InvalidRequest(message, field=f"--{option}")
        yield http_client(url)
        return
    settings = settings_with(data_dir=data_dir, clip_model=model, source=source)
    # Nobody serves the images of a stack of our own: the answer points at the files.
    files = (settings.data_dir / "images").resolve().as_uri()
    settings = settings.model_copy(update={"image_base_url": settings.image_base_url or files})
    from imagesearch.local.embedded.stack import FolderInUse

    try:
        with _stack_in_turn(settings) as stack:
            if settings.is_demo:
                err.print(DEMO_NOTE, f"Its keywords: {', '.join(stack.demo_keywords)}.", sep="\n")
            yield stack_client(stack, reachable_url(settings.bind_address, settings.port))
    except FolderInUse as busy:
        if busy.url is None:
            raise
        own = " and ".join(filter(None, (model and "model", source and "source")))
        of_its = f": its {own} counts" if own else ""
        where = printable(f"{busy.url}, which has {settings.data_dir} open{of_its}")
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
                stack = opened.enter_context(opened_stack(settings))
                break
            except FolderInUse as busy:
                if busy.url is not None or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.5)
        yield stack


def _ask(
    client: SearchClient, params: dict[str, Any], pictures: dict[str, bytes]
) -> dict[str, Any]:
    with _progress() as progress:
        task = progress.add_task("asking", total=None, count="")
        return client.search(params, lambda pool: progress.update(task, **_stand(pool)), pictures)


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


def _first(cursor: Cursor | None, answer: dict[str, Any]) -> int:
    """Return the rank of the first result of *answer*, from 1."""
    return 1 if cursor is None or answer.get("restarted") else cursor.offset + 1


def _write_sheet(
    path: Path, answer: dict[str, Any], first: int, image: Callable[[str], bytes]
) -> None:
    from imagesearch.cli.contact_sheet import write_contact_sheet

    write_contact_sheet(
        path,
        [
            (
                image(result["url"]),
                f"{rank}. {str(shown(name_of(result)))[:40]}  {result['score']:.3f}",
            )
            for rank, result in enumerate(answer["results"], start=first)
        ],
    )
    err.print(Text(f"Wrote {printable(str(path))}"))
