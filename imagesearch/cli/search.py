"""`imagesearch search`: a search from a terminal, of a stack in this process or of a server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from imagesearch.cli import terminal
from imagesearch.cli.client import SearchClient, SearchFailed, http_client, stack_client
from imagesearch.cli.local_stack import opened_stack, reachable_url
from imagesearch.cli.options import DEMO_NOTE, DataDir, settings_with, with_filters
from imagesearch.cli.terminal import err, link, out, shown
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.printable import printable
from imagesearch.domain.queries import MAX_PICTURE_BYTES, Cursor, SearchRequest
from imagesearch.doors.http_api import parse_search
from imagesearch.settings import Settings

if TYPE_CHECKING:
    from imagesearch.local.embedded.stack import Stack

EXAMPLES = (
    "Examples:\n\n\b\n"
    '  imagesearch search "three yellow stars at night"\n'
    '  imagesearch search circle "a red circle on a blue background" -k 3\n'
    '  imagesearch search star "three yellow stars at night" --contact-sheet stars.png\n'
    '  imagesearch search night "a big heart" --json | jq .top_urls\n'
    '  imagesearch search circle "a red circle" --minus "a blue background"\n'
    "  imagesearch search circle --like photo.jpg\n"
    "  imagesearch search --like photo.jpg\n"
    '  imagesearch search "a red circle" --everywhere --colour red\n'
    '  imagesearch search star "at night" --like photo.jpg --like-weight 0.5 --unlike dull.jpg\n'
)
# An uncalibrated model claims nothing.
_MATCHES = {
    "strong": Text("strong", "green"),
    "fair": Text("fair", "cyan"),
    "weak": Text("weak", "yellow"),
    "none": Text("none", "dim"),
}
# What this program calls the parameters of the API that have another name here than their own.
_ARGUMENTS = {
    "t": "KEYWORD",
    "s_query": "QUERY",
    "s_query_weight": "--query-weight",
    "picture_weight": "--like-weight",
    "picture": "--like",
    "unlike_picture": "--unlike",
    "cursor": "--more",
    "k": "-k",
}
TURN_SECONDS = 120.0  # how long a search waits for another that has the data folder


@with_filters
def search(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="QUERY, what the picture should show, or KEYWORD and QUERY, each in quotes."
            " One TEXT beside --like is KEYWORD. --like alone searches all that is stored",
        ),
    ] = None,
    k: Annotated[str, typer.Option("-k", metavar="NUMBER", help="How many images")] = "10",
    minus: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="What it should not show; repeatable")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|FILE", help="An image or a picture to be like; repeatable"),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|FILE", help="An image or a picture not to be like; repeatable"),
    ] = None,
    query_weight: Annotated[
        str, typer.Option(metavar="NUMBER", help="How far QUERY counts, 0.01 to 100 [1]")
    ] = "",
    like_weight: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER", help="How far a --like counts; one for each, in order [1]"),
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Search all that is stored, and fetch nothing")
    ] = False,
    more: Annotated[
        str, typer.Option(metavar="CURSOR", help="Go on with the search that ended with this")
    ] = "",
    fold: Annotated[
        bool, typer.Option("--fold/--no-fold", help="Show one of those that look the same")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON")] = False,
    contact_sheet: Annotated[
        Path | None, typer.Option(help="Write the images found as one PNG")
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask the imagesearch at this URL")
    ] = None,
    data_dir: DataDir = None,
    *,
    filters: dict[str, str],
) -> None:
    """Print the images of KEYWORD that show QUERY best; without KEYWORD, of what QUERY names."""
    terminal.check_stdout()
    like, unlike = like or [], unlike or []
    pictures = {**_picture("picture", "like", like), **_picture("unlike_picture", "unlike", unlike)}
    params: dict[str, Any] = {
        **_aim(texts or [], is_likened=bool(like), everywhere=everywhere),
        "k": _decoded("-k", k),
        "minus": [_decoded("--minus", text).strip() for text in minus or []],
        "like": _image_ids("--like", like),
        "unlike": _image_ids("--unlike", unlike),
        **_weights(query_weight, like, like_weight or []),
        "cursor": _decoded("--more", more),
        "fold": str(fold).lower(),
        **{name: _decoded(f"--{name}", text) for name, text in filters.items()},
    }
    # A mistake is told before the model is loaded.
    request = _checked(params, pictures)
    with _client(url, data_dir) as client:
        with _progress() as progress, _blamed({"like": like, "unlike": unlike}):
            task = progress.add_task("asking", total=None, count="")
            answer = client.search(
                params, lambda pool: progress.update(task, **_stand(pool)), pictures
            )
        first = _first(request.cursor, answer)
        if as_json:
            terminal.print_json(answer)
        else:
            _print_table(answer, client.schemes, first, is_keyword_given="t" in params)
        if contact_sheet:
            _write_sheet(contact_sheet, answer, first, client.image)


def _aim(texts: list[str], *, is_likened: bool, everywhere: bool) -> dict[str, str]:
    """Return scope, keyword and sentence; a text alone is the sentence, and beside --like not."""
    if len(texts) > 2:
        bound = "[KEYWORD] QUERY must be one text or two, each in quotes"
        raise InvalidRequest(f"{bound}, got {len(texts)}", field="QUERY")
    if not texts and not is_likened:
        raise InvalidRequest("QUERY or --like must be given, got neither", field="QUERY")
    if everywhere and len(texts) == 2:
        bound = "--everywhere must come without KEYWORD"
        raise InvalidRequest(f"{bound}, got {texts[0][:100]!r}", field="everywhere")
    is_keyword = len(texts) == 1 and is_likened and not everywhere
    aim = {"scope": "catalog"} if everywhere or not texts else {}
    if len(texts) == 2 or is_keyword:
        aim["t"] = _text("KEYWORD", texts[0])
    if texts and not is_keyword:
        aim["s_query"] = _text("QUERY", texts[-1])
    return aim


def _text(name: str, text: str) -> str:
    """Return an argument that must say something: where the door has neither it names both."""
    decoded = _decoded(name, text)
    if not decoded.strip():
        raise InvalidRequest(f"{name} must have at least 1 character, got 0", field=name)
    return decoded


def _checked(params: dict[str, Any], pictures: dict[str, bytes]) -> SearchRequest:
    """Return the search as the door reads it, or raise InvalidRequest in this program's words."""
    try:
        return parse_search(params, params, pictures)
    except InvalidRequest as error:
        field, message = error.field or "", str(error)
        if not message.startswith(f"{field} "):
            raise
        argument = _ARGUMENTS.get(field, f"--{field.replace('_', '-')}")
        rest = message.removeprefix(field).replace(
            "must come with s_query,", "must come with QUERY,"
        )
        raise InvalidRequest(argument + rest, field=field) from None


@contextmanager
def _blamed(given: dict[str, list[str]]) -> Iterator[None]:
    """Name of what is *given*, by its option, the text that the server cannot search by."""
    try:
        yield
    except SearchFailed as error:
        option = "unlike" if error.field.startswith("unlike") else "like"
        if error.field in ("picture", "unlike_picture"):
            file = next(filter(_is_file, given[option]), "")
            message = f"--{option} {file} {str(error).removeprefix(f'{error.field} ')}"
            raise InvalidRequest(message, field=option) from None
        if error.field == option and error.status == HTTPStatus.NOT_FOUND:
            ids = _image_ids(option, given[option])
            image_id = next((each for each in ids if repr(each[:100]) in str(error)), ids[0])
            message = f"--{option} {image_id}: there is no such file, nor such a stored image"
            raise InvalidRequest(message, field=option) from None
        raise


def _decoded(name: str, text: str) -> str:
    """Return an argument whose bytes are text in this terminal's encoding, or in UTF-8."""
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        raise InvalidRequest(f"{name} must be text in UTF-8, got {text[:100]!r}") from None


def _is_file(text: str) -> bool:
    """Return whether what is given as ID|FILE is a file."""
    return Path(text).is_file()


def _image_ids(option: str, texts: list[str]) -> list[str]:
    for text in texts:
        if not text.strip() or Path(text).is_dir():
            bound = f"{option} must be a file or the id of a stored image"
            got = f"the folder {text}" if text.strip() else "none"
            raise InvalidRequest(f"{bound}, got {got}", field=option)
    return [_decoded(option, text).strip() for text in texts if not _is_file(text)]


def _picture(name: str, option: str, texts: list[str]) -> dict[str, bytes]:
    """Return by its *name* at the door the picture that one of *texts* may be the file of."""
    files = [text for text in texts if _is_file(text)]
    if len(files) > 1:
        bound = f"--{option} must name at most one file"
        raise InvalidRequest(f"{bound}, got {len(files)}", field=option)
    if not files:
        return {}
    try:
        with Path(files[0]).open("rb") as file:
            return {name: file.read(MAX_PICTURE_BYTES + 1)}
    except OSError as error:
        raise InvalidRequest(f"--{option}: {files[0]}: {error.strerror}", field=option) from None


def _weights(query_weight: str, like: list[str], like_weight: list[str]) -> dict[str, Any]:
    """Return the weights as the door has them, those that are given."""
    if like_weight and len(like_weight) != len(like):
        bound = f"--like-weight must be given once for each --like, {len(like)} times, or never"
        raise InvalidRequest(f"{bound}, got {len(like_weight)} times", field="like_weight")
    pairs = list(zip(like, like_weight, strict=False))
    weights: dict[str, Any] = {
        "s_query_weight": _decoded("--query-weight", query_weight),
        "like_weight": [
            _decoded("--like-weight", each) for text, each in pairs if not _is_file(text)
        ],
        "picture_weight": _decoded(
            "--like-weight", "".join(each for text, each in pairs if _is_file(text))
        ),
    }
    return {name: given for name, given in weights.items() if given}


@contextmanager
def _client(url: str | None, data_dir: str | None) -> Iterator[SearchClient]:
    """Yield a client of *url*, of a stack of our own, or of the one that has the folder."""
    if url is not None:
        yield http_client(url)
        return
    settings = settings_with(data_dir=data_dir)
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
                stack = opened.enter_context(opened_stack(settings))
                break
            except FolderInUse as busy:
                if busy.url is not None or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.5)
        yield stack


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


def _print_table(
    answer: dict[str, Any], schemes: tuple[str, ...], first: int, *, is_keyword_given: bool
) -> None:
    if answer["pool"] and not is_keyword_given:
        keywords = " and ".join(repr(keyword) for keyword in answer.get("keywords", ()))
        err.print(shown(f"Keywords taken from the sentence: {keywords}."))
    if not answer["results"]:
        out.print(shown(_nothing(answer)))
        return
    if answer.get("matched") is False:
        what = repr(answer["query"]) if answer["query"] else "that"
        out.print(shown(f"Nothing here shows {what}. The nearest are these:"))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "match", "score", "image", "shows", "by"):
        table.add_column(name, justify="right" if name in ("", "score") else "left")
    for rank, result in enumerate(answer["results"], start=first):
        table.add_row(*_row(rank, result, schemes))
    out.print(table)
    out.print(_summary(answer))


def _nothing(answer: dict[str, Any]) -> str:
    filters = " and ".join(f"{name} {value}" for name, value in answer.get("filters", {}).items())
    if not answer["pool"]:
        return f"Nothing that is stored has {filters}." if filters else "Nothing is stored so far."
    keywords = [repr(keyword) for keyword in answer.get("keywords") or [answer["keyword"]]]
    if filters and answer["pool"]["embedded"]:
        # The pool is the last keyword's.
        count = f"{answer['pool']['embedded']} images" if len(keywords) == 1 else "images"
        return f"None of the {count} for {' and '.join(keywords)} has {filters}."
    return f"Nothing found for {', nor for '.join(keywords)}."


def _row(rank: int, result: dict[str, Any], schemes: tuple[str, ...]) -> tuple[str | Text, ...]:
    return (
        str(rank),
        _MATCHES.get(result.get("match", ""), Text("")),
        f"{result['score']:.3f}",
        _image(result, schemes),
        shown(", ".join(result["tags"])),
        link(result["credit"]["user"], result["page_url"]),
    )


def _image(result: dict[str, Any], schemes: tuple[str, ...]) -> Text:
    """Return the link to an image, and how many more look the same; an older server says none."""
    similar = len(result.get("similar", ()))
    more = f"  +{similar} similar" if similar else ""
    return Text.assemble(link(result["image_id"], result["url"], schemes), (more, "dim"))


def _summary(answer: dict[str, Any]) -> Text:
    milliseconds = answer["timings"]["total_seconds"] * 1000
    lines = [f"{_searched(answer)} searched in {milliseconds:.0f} ms."]
    if not answer["complete"]:
        lines.append(_missing(answer["pool"]))
    if answer.get("restarted"):
        lines.append("The images have changed since: these are the first again.")
    if answer.get("next"):
        lines.append(f"The next ones: --more {answer['next']}")
    if answer["query_truncated"]:
        lines.append("The query was cut to what the model reads.")
    return Text("\n".join(lines), "dim")


def _searched(answer: dict[str, Any]) -> str:
    if not answer["pool"]:
        return "All that is stored was"
    source = shown(answer["results"][0]["credit"]["source"])
    if len(answer.get("keywords", ())) > 1:  # the pool is one of two
        return f"{answer['matching']} images from {source}"
    images = f"{answer['pool']['embedded']} images from {source}"
    return f"{answer['matching']} of {images} match and were" if answer.get("filters") else images


def _missing(pool: dict[str, Any] | None) -> str:
    if pool is None:
        return "Some of it is still to be embedded."
    missing = max(0, pool["images"] - pool["embedded"] - pool["rejected"])
    return f"{missing} more could not be fetched: {shown(pool['reason'] or 'no reason')}."


def _write_sheet(
    path: Path, answer: dict[str, Any], first: int, image: Callable[[str], bytes]
) -> None:
    from imagesearch.cli.contact_sheet import write_contact_sheet

    write_contact_sheet(
        path,
        [
            (
                image(result["url"]),
                f"{rank}. {str(shown(result['image_id']))[:40]}  {result['score']:.3f}",
            )
            for rank, result in enumerate(answer["results"], start=first)
        ],
    )
    err.print(Text(f"Wrote {printable(str(path))}"))
