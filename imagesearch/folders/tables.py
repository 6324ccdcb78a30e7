"""Lists as tables: the rows of a CSV, a TSV or a Parquet file as texts, and what its columns say.

Columns are told by the names that they usually have, whatever is between the words of a name; where
no name tells the one of URLs, and in a list without a header, by their first cells.
Sources: the files of Unsplash's data set, of img2dataset, LAION, COCO, Flickr, Conceptual Captions.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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
# What may be URLs, or something else: names of files, a page.
_MAYBE_URLS = ("image_link", "original_url", "image", "src", "img", "image_src", "uri", "link")
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
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'" r'|"((?:[^"\\]|\\.)*)"')
_DATES = ("date", "taken_at", "date_captured", "photo_submitted_at", "created_at")
_PLACES = (("latitude", "longitude"), ("photo_location_latitude", "photo_location_longitude"))
IDS = ("photo_id", "id", "key")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")

MAX_CELL_CHARACTERS = 1_000_000
MAX_CAPTION_CHARACTERS = 2_000  # no search takes so many: that is said where they are measured
MAX_URL_CHARACTERS = 2_000
_ROWS_AT_ONCE = 1_000
_LOOKED_AT = 100  # rows, by which columns are told
_MOST_LINES = 50  # of one row of a TSV
_URL = re.compile(r"https?://[^\s]+", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+|.*\S\s+\S.*", re.DOTALL)  # no number, code or name of a file

_Cells = tuple[str, Sequence[str]]  # of a row, with where it is


@dataclass(frozen=True)
class Table:
    """
    A table.

    Attributes:
        columns: its names, as they are to be compared.
        rows: what each row says, by column, with where it is; None of one that cannot be read.
            The column `url` has the picture's URL, whatever it is called in the file.
        has_urls: whether one of its columns has URLs.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[str, dict[str, str] | None]]
    has_urls: bool


def is_table(path: Path) -> bool:
    """Return whether *path* is called as one: `.csv`, `.tsv` or `.tsv000`, `.txt`, `.parquet`."""
    return re.fullmatch(r"\.(csv|tsv[0-9]*|txt|parquet)", path.suffix.lower()) is not None


def table_of(path: Path) -> Table:
    """
    Return the table in a file.

    Raises:
        InvalidRequest: it cannot be read, or what reads it is not installed; of the rows, too.
    """
    return _parquet(path) if path.suffix.lower() == ".parquet" else _separated(path)


def _separated(path: Path) -> Table:
    lines = _lines(path)
    first = next(lines, "")
    lines = _all_of(first, lines)
    # A .txt has a URL a line, in which commas and semicolons are letters like others.
    is_tabbed = path.suffix.lower().startswith((".tsv", ".txt"))
    semicolons = ";" in first and "," not in first
    rows = _tabbed(lines) if is_tabbed else _quoted(path, lines, ";" if semicolons else ",")
    head = next(rows, ("line 1", ()))
    if any(map(_is_url, head[1])):
        rows = chain([head], rows)
        sample = [*islice(rows, _LOOKED_AT)]
        names = _told_names([cells for _, cells in sample])
        return _table(names, chain(sample, rows), sample)
    sample = [*islice(rows, _LOOKED_AT)]
    return _table(tuple(map(_plain, head[1])), chain(sample, rows), sample)


def _table(columns: tuple[str, ...], rows: Iterator[_Cells], sample: Sequence[_Cells]) -> Table:
    urls = _url_columns(columns, [cells for _, cells in sample])

    def told() -> Iterator[tuple[str, dict[str, str] | None]]:
        for where, cells in rows:
            if len(cells) > len(columns):
                yield where, None
                continue
            row = dict(zip(columns, cells, strict=False))
            if url := _first(row, urls):
                row["url"] = url
            yield where, row

    return Table(columns, told(), bool(urls))


def _url_columns(columns: Sequence[str], sample: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the columns that have the pictures' URLs, of a row the first that says one."""
    cells = {name: [row[n] for row in sample if n < len(row)] for n, name in enumerate(columns)}
    known = [name for name in URLS if name in cells]
    known += [name for name in _MAYBE_URLS if any(map(_is_url, cells.get(name, ())))]
    if known:
        return tuple(known)
    others = [name for name in cells if name not in (*_PAGES, *_LICENCE_URLS)]
    with_urls = [name for name in others if _are_urls(cells[name])]
    return tuple(with_urls) if len(with_urls) == 1 else ()


def _told_names(sample: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return names for the columns of a list without a header: `url`, `caption`, others none."""
    columns = [[row[n] for row in sample if n < len(row)] for n in range(max(map(len, sample)))]
    names = [""] * len(columns)
    url = next((n for n, cells in enumerate(columns) if _are_urls(cells)), None)
    if url is None:
        return tuple(names)
    names[url] = "url"
    lengths = {
        n: sum(map(len, cells))
        for n, cells in enumerate(columns)
        if not any(map(_is_url, cells)) and any(map(_WORDS.fullmatch, cells))
    }
    if lengths:
        names[max(lengths, key=lengths.__getitem__)] = "caption"
    return tuple(names)


def _are_urls(cells: Iterable[str]) -> bool:
    """Return whether *cells* are URLs, as far as there is something in them."""
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and all(map(_is_url, filled))


def _is_url(cell: str) -> bool:
    return _URL.fullmatch(cell.strip()) is not None


def _quoted(path: Path, lines: Iterator[str], delimiter: str) -> Iterator[_Cells]:
    """
    Yield the rows of a CSV, each with its last line's number.

    Where quotes are broken a line is a row of its own: after a quotation mark that has no second
    one all other rows would be within the cell.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    ahead: deque[str] = deque()
    width = number = 0
    while True:
        taken: list[str] = []
        of_row = _of_row(lines, ahead, taken, delimiter, width)
        try:
            cells = next(csv.reader(of_row, delimiter=delimiter, strict=True), None)
        except csv.Error:
            ahead.extendleft(reversed(taken[1:]))
            del taken[1:]
            cells = _loosely(path, number + 1, taken[0].rstrip("\r\n"), delimiter, width)
        if cells is None:
            return
        number += len(taken)
        width = width or len(cells)
        if cells:
            yield f"line {number}", cells


def _of_row(
    lines: Iterator[str], ahead: deque[str], taken: list[str], delimiter: str, width: int
) -> Iterator[str]:
    """Yield lines, which are *taken* then, up to one that is a row with a URL of its own."""
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        taken.append(line)
        cells = line.split(delimiter)
        if len(taken) > 1 and len(cells) >= width and any(map(_is_url, cells)):
            return
        yield line


def _loosely(path: Path, number: int, line: str, delimiter: str, width: int) -> list[str]:
    """Return the cells of a *line* with broken quotes: what of them is none is text."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise _unreadable(path, f"line {number}: {error}") from error
    return cells if len(cells) == width else line.split(delimiter)


def _tabbed(lines: Iterator[str]) -> Iterator[_Cells]:
    """
    Yield the rows of a TSV, each with its last line's number.

    Cells may be quoted as in a CSV, with line breaks in them. But many a TSV knows no quoting, and
    a quotation mark is what a caption has: where quoting makes no row, it is text.
    """
    ahead: deque[str] = deque()
    width = number = 0
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        number += 1
        line = line.rstrip("\r\n")
        width = width or line.count("\t") + 1
        if not line:
            continue
        cells, more = _unquoted(line, lines, ahead, width) if '"' in line else (None, 0)
        for _ in range(more):
            ahead.popleft()
        number += more
        yield f"line {number}", cells or line.split("\t")


def _unquoted(
    line: str, lines: Iterator[str], ahead: deque[str], width: int
) -> tuple[list[str] | None, int]:
    """
    Return the cells of the row that begins with *line*, and how many lines *ahead* it goes on.

    None and 0 where that is no row of *width* quoted cells.
    """
    for more in range(_MOST_LINES):
        if line.count('"') % 2 == 0:
            return _strictly(line), more
        if len(ahead) == more:
            ahead.extend(islice(lines, 1))
        if len(ahead) == more:
            break
        line += "\n" + ahead[more].rstrip("\r\n")
        if line.count("\t") >= width:  # two rows
            break
    return None, 0


def _strictly(text: str) -> list[str] | None:
    try:
        return next(csv.reader([text], delimiter="\t", strict=True), None)
    except csv.Error:
        return None


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

    def read() -> Iterator[_Cells]:
        number = 0
        with file:
            try:
                for batch in file.iter_batches(_ROWS_AT_ONCE):
                    cells = [column.to_pylist() for column in batch.columns]
                    for row in zip(*cells, strict=True):
                        number += 1
                        yield f"row {number}", [*map(_text, row)]
            except (ArrowException, OSError, ValueError) as error:
                raise _unreadable(path, f"row {number}: {one_line(str(error), 200)}") from error

    rows = read()
    sample = [*islice(rows, _LOOKED_AT)]
    return _table(tuple(map(_plain, file.schema_arrow.names)), chain(sample, rows), sample)


def _unreadable(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"{path} cannot be read: {why}")


def _plain(name: str) -> str:
    """Return a column's name in lower case, with `_` between its words."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)  # imageURL
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
        tags=tags_of(text for name in _TAGS for text in _tags(row.get(name, ""))),
        user=one_line(" ".join(names), MAX_USER_CHARACTERS)
        or one_line(_first(row, _USERS), MAX_USER_CHARACTERS),
        licence=one_line(_first(row, _LICENCES), MAX_LICENCE_CHARACTERS),
        licence_url=_link(_first(row, _LICENCE_URLS)),
        place=next(filter(None, (_place(row, *names) for names in _PLACES)), None),
        page_url=_link(_first(row, _PAGES)) or _link(url_of(row)),
        captions=captions,
    )


def _tags(text: str) -> list[str]:
    """Return the texts of tags that are a list of JSON or Python, or have bars between them."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [text.replace("|", ",")]
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        quoted = [first or second for first, second in _QUOTED.findall(text)]
        return quoted or [text[1:-1]]
    return [each for each in said if isinstance(each, str)]


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
