"""What is typed after `imagesearch search`: its options, and the search that they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from imagesearch.client import SearchFailed
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters import OF_OWN
from imagesearch.domain.queries import MAX_PICTURE_BYTES, SearchRequest
from imagesearch.doors.http_api import parse_search

Texts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        help="QUERY, what the picture should show, or KEYWORD and QUERY, each in quotes."
        " One TEXT beside --like is KEYWORD. --like alone searches all that is stored, and"
        " own pictures, which --collection and the like name, have no KEYWORD",
    ),
]
Count = Annotated[str, typer.Option("-k", metavar="NUMBER", help="How many images")]
Minus = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="What it should not show; repeatable")
]
Like = Annotated[
    list[str] | None,
    typer.Option(metavar="ID|FILE", help="An image or a picture to be like; repeatable"),
]
Unlike = Annotated[
    list[str] | None,
    typer.Option(metavar="ID|FILE", help="An image or a picture not to be like; repeatable"),
]
QueryWeight = Annotated[
    str, typer.Option(metavar="NUMBER", help="How far QUERY counts, 0.01 to 100 [1]")
]
LikeWeight = Annotated[
    list[str] | None,
    typer.Option(metavar="NUMBER", help="How far a --like counts; one for each, in order [1]"),
]
Everywhere = Annotated[
    bool, typer.Option("--everywhere", help="Search all that is stored, and fetch nothing")
]
More = Annotated[
    str, typer.Option(metavar="CURSOR", help="Go on with the search that ended with this")
]
Fold = Annotated[
    bool, typer.Option("--fold/--no-fold", help="Show one of those that look the same")
]

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


@dataclass(frozen=True)
class Arguments:
    """A search as it is typed; `filters` by name, the others as the options above say."""

    texts: list[str]
    k: str
    minus: list[str]
    like: list[str]
    unlike: list[str]
    query_weight: str
    like_weight: list[str]
    everywhere: bool
    more: str
    fold: bool
    filters: dict[str, str]

    def params(self) -> dict[str, Any]:
        """Return the parameters of the API, or raise InvalidRequest."""
        return {
            **_aim(self.texts, is_likened=bool(self.like), unkeyed=self._unkeyed()),
            "k": _decoded("-k", self.k),
            "minus": [_decoded("--minus", text).strip() for text in self.minus],
            "like": _image_ids("--like", self.like),
            "unlike": _image_ids("--unlike", self.unlike),
            **_weights(self.query_weight, self.like, self.like_weight),
            "cursor": _decoded("--more", self.more),
            "fold": str(self.fold).lower(),
            **{name: _decoded(f"--{name}", text) for name, text in self.filters.items()},
        }

    def _unkeyed(self) -> str:
        """Return the option that means images of no keyword; "" where none does."""
        own = (name for name, text in self.filters.items() if name in OF_OWN and text.strip())
        return "everywhere" if self.everywhere else next(own, "")

    def pictures(self) -> dict[str, bytes]:
        """Return the files to search by, by their names at the door, or raise InvalidRequest."""
        return {
            **_picture("picture", "like", self.like),
            **_picture("unlike_picture", "unlike", self.unlike),
        }

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Name, by its option, the text that the server cannot search by."""
        try:
            yield
        except SearchFailed as error:
            raise self._named(error) from None

    def _named(self, error: SearchFailed) -> Exception:
        option = "unlike" if error.field.startswith("unlike") else "like"
        texts = self.unlike if option == "unlike" else self.like
        if error.field in ("picture", "unlike_picture"):
            file = next(filter(_is_file, texts), "")
            message = f"--{option} {file} {str(error).removeprefix(f'{error.field} ')}"
            return InvalidRequest(message, field=option)
        if error.field == option and error.status == HTTPStatus.NOT_FOUND:
            ids = _image_ids(option, texts)
            image_id = next((each for each in ids if repr(each[:100]) in str(error)), ids[0])
            message = f"--{option} {image_id}: there is no such file, nor such a stored image"
            return InvalidRequest(message, field=option)
        return error


def checked(params: dict[str, Any], pictures: dict[str, bytes]) -> SearchRequest:
    """Return the search as the door reads it, or raise InvalidRequest in this program's words."""
    try:
        return parse_search(params, params, pictures)
    except InvalidRequest as error:
        field, message = error.field or "", str(error)
        if not message.startswith(f"{field} "):
            raise
        argument = _ARGUMENTS.get(field, f"--{field.replace('_', '-')}")
        rest = message.removeprefix(field)
        for name, own in (("with s_query,", "with QUERY,"), (" unlike_picture ", " --unlike ")):
            rest = rest.replace(name, own)
        raise InvalidRequest(argument + rest, field=field) from None


def _aim(texts: list[str], *, is_likened: bool, unkeyed: str) -> dict[str, str]:
    """Return scope, keyword and sentence; a text alone is the sentence, and beside --like not."""
    if len(texts) > 2:
        bound = "[KEYWORD] QUERY must be one text or two, each in quotes"
        raise InvalidRequest(f"{bound}, got {len(texts)}", field="QUERY")
    if not texts and not is_likened:
        raise InvalidRequest("QUERY or --like must be given, got neither", field="QUERY")
    if unkeyed and len(texts) == 2:
        bound = f"--{unkeyed} must come without KEYWORD"
        raise InvalidRequest(f"{bound}, got {texts[0][:100]!r}", field=unkeyed)
    is_keyword = len(texts) == 1 and is_likened and not unkeyed
    aim = {"scope": "catalog"} if unkeyed or not texts else {}
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
