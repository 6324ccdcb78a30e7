"""`imagesearch search`: a search from a terminal, of a stack in this process or of a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from imagesearch.cli import search_arguments as given
from imagesearch.cli import terminal
from imagesearch.cli.client import opened_server
from imagesearch.cli.options import DataDir, FromName, ModelName, with_filters
from imagesearch.cli.search_table import name_of, print_table
from imagesearch.cli.terminal import err, shown
from imagesearch.client import Answer, Client, Collection, SearchFailed
from imagesearch.client.searching import Pause
from imagesearch.domain.filters.declaration import alike
from imagesearch.domain.printable import printable
from imagesearch.domain.queries import Cursor

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
    with opened_server(url, data_dir, model=model, source=from_source) as server:
        client = Client(server)
        with arguments.blamed():
            answer = _ask(client, {**params, **pictures})
        first = _first(request.cursor, answer)
        if as_json:
            terminal.print_json(answer.as_it_came())
        else:
            collection = collection_named(client, answer.filters.get("collection", ""))
            print_table(
                answer, server.schemes, first, is_keyword_given="t" in params, collection=collection
            )
        if contact_sheet:
            _write_sheet(contact_sheet, answer, first, client.image)


def _ask(client: Client, search: dict[str, Any]) -> Answer:
    with _progress() as progress:
        task = progress.add_task("asking", total=None, count="")
        return client.page(on_wait=lambda pause: progress.update(task, **_stand(pause)), **search)


def collection_named(client: Client, name: str) -> Collection | None:
    """Return what the server tells of the collection *name*; None where it tells nothing."""
    if not name:
        return None
    try:
        collections = client.collections()
    except (SearchFailed, OSError):  # what was found is worth more
        return None
    return next((each for each in collections if alike(each.name) == alike(name)), None)


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
    )
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def _stand(pause: Pause) -> dict[str, Any]:
    pool = pause.pool
    if pool is None:
        return {"description": str(shown(f"{pause.reason}; asking again"))}
    done = pool.embedded + pool.rejected
    count = f"{done} of {pool.images}" if pool.images else ""
    return {
        "description": str(shown(pool.state)),
        "total": pool.images or None,
        "completed": done,
        "count": count,
    }


def _first(cursor: Cursor | None, answer: Answer) -> int:
    """Return the rank of the first result of *answer*, from 1."""
    return 1 if cursor is None or answer.restarted else cursor.offset + 1


def _write_sheet(path: Path, answer: Answer, first: int, image: Callable[[str], bytes]) -> None:
    from imagesearch.cli.contact_sheet import write_contact_sheet

    write_contact_sheet(
        path,
        [
            (
                image(hit.url),
                f"{rank}. {str(shown(name_of(hit)))[:40]}  {hit.score:.3f}",
            )
            for rank, hit in enumerate(answer.results, start=first)
        ],
    )
    err.print(Text(f"Wrote {printable(str(path))}"))
