"""The port `CollectionFolders` over lists of URLs: a table of them, or Unsplash's data set.

A picture is told by its URL. What is downloaded is kept in the image store by that, as nothing
else of it is on this machine: it is read from there ever after, and after an update that was
broken off, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from imagesearch.domain.collections import (
    CollectedFile,
    ListedFile,
    Stamp,
    Unreadable,
    downloaded_name,
    path_of,
    url_of_path,
)
from imagesearch.domain.errors import (
    InvalidRequest,
    NotFound,
    Overloaded,
    RejectedImage,
    Unavailable,
)
from imagesearch.domain.picture_facts import PictureFacts, joined, tags_of
from imagesearch.domain.signatures import is_image
from imagesearch.folders.blocks import format_of
from imagesearch.folders.collected import collected, problem
from imagesearch.folders.formats import readable
from imagesearch.folders.tables import (
    IDS,
    MAX_URL_CHARACTERS,
    URLS,
    Table,
    facts_of_row,
    is_table,
    table_of,
    url_of,
)
from imagesearch.ports import Clock, ImageStore
from imagesearch.sources.exchange import Limits
from imagesearch.sources.polite import PoliteDownloads, host_of

_PHOTOS = "photos.tsv*"  # of Unsplash's data set, `.tsv` or `.tsv000`, …
_KEYWORDS = "keywords.tsv*"
_UNSPLASH_HOST = "images.unsplash.com"
# What Unsplash's image host is asked for: what the page shows, and more than any model sees.
_UNSPLASH_SIZE = "?w=960&q=80&fm=jpg"
_LEAST_CONFIDENCE = 50.0  # of a service that named a keyword, in percent


class _NotNowError(RejectedImage):
    """A host does not answer, or has too much to do."""


class UrlLists:
    """
    The port `CollectionFolders` over lists of URLs.

    Args:
        store: keeps what is downloaded.
        user_agent: what hosts are told of who asks.
        max_bytes: of one picture.
    """

    def __init__(self, store: ImageStore, clock: Clock, user_agent: str, max_bytes: int) -> None:
        self._store, self._clock, self._user_agent = store, clock, user_agent
        self._limits = Limits(max_bytes=max_bytes)
        self._downloads: dict[str, PoliteDownloads] = {}

    def listed(self, root: str) -> Iterator[ListedFile | Unreadable]:
        """
        Yield the pictures of the list, each URL once, and the rows that name none.

        Raises:
            NotFound: it is not there.
            InvalidRequest: it cannot be read, has no column of URLs, or no row.
        """
        facts_by_url: dict[str, PictureFacts] = {}
        files = list_files(Path(root))
        for file in files:
            yield from _gathered(file, facts_by_url)
        if not facts_by_url:
            raise InvalidRequest(f"{root} has no row with a URL")
        if root in self._downloads:
            self._downloads.pop(root).close()
        # Of each update anew: what a host was, and who may be asked, may have changed.
        hosts = frozenset(filter(None, map(host_of, facts_by_url)))
        self._downloads[root] = PoliteDownloads(
            hosts, self._clock, self._user_agent, limits=self._limits, takes=_is_read
        )
        for url, facts in facts_by_url.items():
            yield ListedFile(path_of(url), Stamp(0, 0), facts=facts)

    def read(
        self,
        root: str,
        listed: ListedFile,
        *,
        keeps_place: bool,
        known: CollectedFile | None = None,
    ) -> tuple[CollectedFile, bytes]:
        """Return the picture, which is downloaded if it is not stored, and its bytes."""
        try:
            return collected(
                listed,
                lambda: self._picture(root, url_of_path(listed.path)),
                keeps_place=keeps_place,
                known=known,
            )
        except _NotNowError as error:
            return problem(listed, str(error), passes=True)
        except RejectedImage as error:
            return problem(listed, str(error))

    def picture(self, root: str, path: str, stamp: Stamp) -> bytes:  # noqa: ARG002 - the port's
        """Return the picture as it was downloaded, as a JPEG, PNG or WebP."""
        return readable(self._store.get(downloaded_name(url_of_path(path))))

    def _picture(self, root: str, url: str) -> bytes:
        name = downloaded_name(url)
        if data := self._stored(name):
            return data
        try:
            data = self._downloads[root].get(url)
        except (Overloaded, Unavailable) as error:  # of the host; the store's end the update
            raise _NotNowError(f"{error}; the next update tries it again") from error
        self._store.put(name, data)
        return data

    def _stored(self, name: str) -> bytes:
        """Return what was downloaded, b"" where it was not or is damaged."""
        if self._store.existing([name]):
            return self._store.get(name)
        try:
            data = self._store.get(name)
        except NotFound:
            return b""
        # Of other formats the store does not see whether they are whole; it wrote them whole.
        return data if _is_read(data) and not is_image(data) else b""


def list_files(root: Path) -> Sequence[Path]:
    """
    Return the tables of a list: itself, or those in a folder that is Unsplash's data set.

    Raises:
        NotFound: there is none.
    """
    files = [root] if root.is_file() else sorted(root.glob(_PHOTOS))
    if not files:
        raise NotFound(f"there is no list {root}")
    return files


def is_list(root: Path) -> bool:
    """Return whether *root* is a list of URLs, or was one."""
    if root.is_dir():
        return any(root.glob(_PHOTOS))
    return is_table(root)


def check_list(root: Path) -> None:
    """Return when the tables of a list have URLs, by their columns; else raise InvalidRequest."""
    for file in list_files(root):
        _table(file)


def _gathered(file: Path, facts_by_url: dict[str, PictureFacts]) -> Iterator[Unreadable]:
    """Take in what the rows of *file* say by URL; yield those that name none."""
    table = _table(file)
    is_unsplash = "photo_image_url" in table.columns
    tags = _keywords(file) if is_unsplash else {}
    source = "Unsplash" if is_unsplash else file.name
    for where, row in table.rows:
        url = url_of(row) if row else ""
        problem = _why_none(row, url)
        if row is None or problem:
            yield Unreadable(f"{file.name}, {where}", problem)
            continue
        facts = replace(facts_of_row(row), source=source)
        if is_unsplash:
            of_photo = tags.get(next((row[name] for name in IDS if name in row), ""), ())
            facts = replace(facts, tags=tags_of((*facts.tags, *of_photo)))
            if host_of(url) == _UNSPLASH_HOST and "?" not in url:
                url += _UNSPLASH_SIZE
        facts_by_url[url] = joined(facts_by_url[url], facts) if url in facts_by_url else facts


def _table(file: Path) -> Table:
    """Return the table in *file*, which has a column of URLs."""
    table = table_of(file)
    if not table.has_urls:
        has = ", ".join(filter(None, table.columns[:30])) or "none"
        raise InvalidRequest(
            f"{file} has no column of URLs, which is one of {', '.join(URLS)}, or the only one"
            f" whose cells are http(s) URLs; it has: {has}"
        )
    return table


def _why_none(row: dict[str, str] | None, url: str) -> str:
    if row is None:
        return "it has more cells than there are columns"
    if not url:
        return "it has no URL"
    if len(url) > MAX_URL_CHARACTERS:
        return f"its URL has {len(url)} characters, of at most {MAX_URL_CHARACTERS}"
    if not url.isprintable() or not url.isascii() or " " in url:
        return "its URL has a character that is not to be in one"
    return ""


def _is_read(data: bytes) -> bool:
    return format_of(data) is not None


def _keywords(photos: Path) -> dict[str, list[str]]:
    """Return by photo_id what a person or a service called a picture of Unsplash's data set."""
    tags: dict[str, list[str]] = {}
    for file in sorted(photos.parent.glob(_KEYWORDS)):
        for _, row in table_of(file).rows:
            if row and row.get("keyword") and _is_sure(row):
                tags.setdefault(row.get("photo_id", ""), []).append(sys.intern(row["keyword"]))
    return tags


def _is_sure(row: dict[str, str]) -> bool:
    if row.get("suggested_by_user", "").lower() in ("t", "true", "1"):
        return True
    return any(
        _number(row.get(f"ai_service_{each}_confidence", "")) >= _LEAST_CONFIDENCE
        for each in (1, 2)
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
