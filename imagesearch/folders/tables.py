"""Lists as tables: the rows of a CSV, a TSV or a Parquet file as texts, and what its columns say.

Columns are told by the names that they usually have, whatever is between the words of a name.
Sources: the files of Unsplash's data set, of img2dataset, LAION, COCO and Flickr.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.foreign_text import one_line
from imagesearch.domain.picture_facts import (
    MAX_CAMERA_CHARACTERS,
    MAX_LICENCE_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    MAX_USER_CHARACTERS,
    Caption,
    PictureFacts,
    date_within_bounds,
    place_within_bounds,
    tags_of,
)
from imagesearch.installation import pip_install

# Of each kind the first that a table has; a picture's captions are in all of theirs.
URLS = ("url", "image_url", "photo_image_url", "coco_url", "img_url", "picture_url")
_CAPTIONS = (
    *("caption", "text", "title", "photo_description", "description", "ai_description"),
    *("alt_text", "alt", "comment"),
)
_LANGUAGES = ("language", "lang")
_CAPTION_OF_LANGUAGE = re.compile(r"caption_([a-z]{2,3})")
_USERS = ("photographer", "author", "artist", "creator", "credit", "user", "photographer_username")
_LICENCES = ("licence", "license", "rights")
_LICENCE_URLS = ("licence_url", "license_url")
_PAGES = ("page_url", "photo_url", "flickr_url", "source_url", "page", "link")
_TAGS = ("tags", "keywords")
_DATES = ("date", "taken_at", "date_captured", "photo_submitted_at", "created_at")
_PLACES = (("latitude", "longitude"), ("photo_location_latitude", "photo_location_longitude"))
IDS = ("photo_id", "id", "key")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")

MAX_CELL_CHARACTERS = 1_000_000
MAX_CAPTION_CHARACTERS = 2_000  # no search takes so many: that is said where they are measured
MAX_URL_CHARACTERS = 2_000
_ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Table:
    """
    A table.

    Attributes:
        columns: its names, as they are to be compared.
        rows: what each row says, by column, with where it is; None of one that cannot be read.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[str, dict[str, str] | None]]


def is_table(path: Path) -> bool:
    """Return whether *path* is called as a table is: `.csv`, `.tsv` or `.tsv000`, `.parquet`."""
    return re.fullmatch(r"\.(csv|tsv[0-9]*|parquet)", path.suffix.lower()) is not None


def table_of(path: Path) -> Table:
    """
    Return the table in a file.

    Raises:
        InvalidRequest: it cannot be read, or what reads it is not installed; of the rows, too.
    """
    return _parquet(path) if path.suffix.lower() == ".parquet" else _separated(path)


def _separated(path: Path) -> Table:
    is_tabbed = path.suffix.lower().startswith(".tsv")
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    lines = _lines(path)
    first = next(lines, "")
    semicolons = not is_tabbed and ";" in first and "," not in first
    rows = csv.reader(
        _all_of(first, lines), delimiter="\t" if is_tabbed else ";" if semicolons else ","
    )

    def told() -> Iterator[tuple[str, dict[str, str] | None]]:
        while True:
            try:
                cells = next(rows, None)
            except csv.Error as error:
                raise _unreadable(path, f"line {rows.line_num}: {error}") from error
            if cells is None:
                return
            if cells:
                is_row = len(cells) <= len(columns)
                row = dict(zip(columns, cells, strict=False)) if is_row else None
                yield f"line {rows.line_num}", row

    try:
        columns = tuple(map(_plain, next(rows, [])))
    except csv.Error as error:
        raise _unreadable(path, f"line 1: {error}") from error
    return Table(columns, told())


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from file
    except OSError as error:
        raise _unreadable(path, (error.strerror or "").lower()) from error
    except UnicodeError as error:
        raise _unreadable(path, "it is no UTF-8") from error


def _all_of(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    # A byte 0 is no text; `csv` of Python 3.11 takes it, and no catalog does.
    yield from (line.replace("\0", "") for line in rest)


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        command = pip_install("imagesearch[parquet]")
        raise InvalidRequest(f"{path} is Parquet, which needs: {command}") from error

    try:
        file = ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise _unreadable(path, one_line(str(error), 200)) from error
    columns = tuple(map(_plain, file.schema_arrow.names))

    def told() -> Iterator[tuple[str, dict[str, str] | None]]:
        number = 0
        with file:
            try:
                for batch in file.iter_batches(_ROWS_AT_ONCE):
                    cells = [column.to_pylist() for column in batch.columns]
                    for row in zip(*cells, strict=True):
                        number += 1
                        yield f"row {number}", dict(zip(columns, map(_text, row), strict=True))
            except (ArrowException, OSError, ValueError) as error:
                raise _unreadable(path, f"row {number}: {one_line(str(error), 200)}") from error

    return Table(columns, told())


def _unreadable(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"{path} cannot be read: {why}")


def _plain(name: str) -> str:
    """Return a column's name in lower case, with `_` between its words."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)


def row_of(values: Mapping[str, object]) -> dict[str, str]:
    """Return as a row what the JSON of a picture says."""
    return {_plain(name): _text(value) for name, value in values.items()}


def url_of(row: Mapping[str, str]) -> str:
    """Return the URL of the row's picture, over https where it is http; "" where there is none."""
    return over_https(_first(row, URLS))


def over_https(url: str) -> str:
    """Return *url*, over https where it is http of no port of its own: nothing else is asked."""
    is_plain = re.match(r"http://[^/:?#@]+(?:[/?#]|$)", url, re.IGNORECASE)
    return f"https{url[4:]}" if is_plain else url


def facts_of_row(row: Mapping[str, str], captions: Iterable[Caption] = ()) -> PictureFacts:
    """
    Return what a row says of its picture.

    Args:
        captions: what is known besides; they come first.
    """
    captions = tuple(dict.fromkeys((*captions, *_captions(row))))
    names = (row.get("photographer_first_name", ""), row.get("photographer_last_name", ""))
    cameras = (row.get("exif_camera_make", ""), row.get("exif_camera_model", ""))
    date = _DATE.match(_first(row, _DATES))
    return PictureFacts(
        *(date_within_bounds(int(date[1]), int(date[2] or 0)) if date else (0, 0)),
        camera=one_line(" ".join(cameras), MAX_CAMERA_CHARACTERS),
        title=one_line(captions[0].text, MAX_TITLE_CHARACTERS) if captions else "",
        tags=tags_of(row.get(name, "") for name in _TAGS),
        user=one_line(" ".join(names), MAX_USER_CHARACTERS)
        or one_line(_first(row, _USERS), MAX_USER_CHARACTERS),
        licence=one_line(_first(row, _LICENCES), MAX_LICENCE_CHARACTERS),
        licence_url=_link(_first(row, _LICENCE_URLS)),
        place=next(filter(None, (_place(row, *names) for names in _PLACES)), None),
        page_url=_link(_first(row, _PAGES)) or _link(url_of(row)),
        captions=captions,
    )


def _captions(row: Mapping[str, str]) -> Iterator[Caption]:
    language = one_line(_first(row, _LANGUAGES), 20)
    for name in _CAPTIONS:
        if text := one_line(row.get(name, ""), MAX_CAPTION_CHARACTERS):
            yield Caption(text, language)
    for name, said in row.items():
        match = _CAPTION_OF_LANGUAGE.fullmatch(name)
        if match and (text := one_line(said, MAX_CAPTION_CHARACTERS)):
            yield Caption(text, match[1])


def _first(row: Mapping[str, str], names: Iterable[str]) -> str:
    return next(filter(None, (row.get(name, "").strip() for name in names)), "")


def _link(url: str) -> str:
    """Return *url* if it is one that a page may link to, else ""."""
    url = over_https(url)
    is_link = re.fullmatch(r"https://[!-~]+", url) and len(url) <= MAX_URL_CHARACTERS
    return url if is_link else ""


def _place(row: Mapping[str, str], latitude: str, longitude: str) -> tuple[float, float] | None:
    try:
        return place_within_bounds(float(row[latitude]), float(row[longitude]))
    except (KeyError, ValueError):
        return None
