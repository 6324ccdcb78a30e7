"""Several sources as one: what they find is merged, and each picture of theirs is there once.

Each keeps its own quota, hosts and credit. One that fails costs its own pictures alone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import replace
from itertools import chain
from typing import Any

from pydantic import BaseModel

from imagesearch.domain.errors import (
    ImageSearchError,
    InvalidRequest,
    RejectedImage,
    SourceRefused,
)
from imagesearch.domain.images import Entry, ListedImage, Listing
from imagesearch.domain.pools import SourceOptions
from imagesearch.ports import ImageSource
from imagesearch.sources.declaration import Declaration, Tools

_TURN = 20  # entries of a source, before it is the next one's turn to fill what another lacks
_logger = logging.getLogger(__name__)


class Several:
    """
    The images of all *sources*, by name; for many threads at once.

    All are asked at once, and each has the same share of a keyword's pool; what one lacks, the
    others fill. A picture that two of them have is whose it was found first.
    """

    def __init__(self, sources: Mapping[str, ImageSource]) -> None:
        self._sources = sources

    def close(self) -> None:
        """Close the connections of all."""
        for source in self._sources.values():
            source.close()

    def download(self, image: ListedImage) -> bytes:
        """Return the bytes of *image* from the source that listed it: see the port."""
        name = image.image.image_id.partition("-")[0]
        if name not in self._sources:
            raise RejectedImage(f"it is of {name}, which is none of {' '.join(self._sources)}")
        return self._sources[name].download(image)

    def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
        """
        Yield what the sources find for *keyword*, merged: see the port.

        Raises:
            ImageSearchError: all have failed, or one has and the others found nothing.
        """
        all_finds = [
            _Finds(name, source, keyword, options) for name, source in self._sources.items()
        ]
        seen: set[str] = set()
        share, left = options.pool_size // len(all_finds), options.pool_size
        for entries in chain(_shares(all_finds, share, seen), _the_rest(all_finds, seen)):
            new = entries[:left]
            left -= len(new)
            yield Listing.of(new)
            if not left:
                return
        failures = [finds.failure for finds in all_finds if finds.failure]
        if failures and (len(failures) == len(all_finds) or left == options.pool_size):
            raise min(failures, key=_is_final)


class _Finds:
    """
    What a source finds, asked for as far as it is wanted.

    Attributes:
        taken: how many entries were taken.
        failure: why it finds no more, if it failed.
    """

    def __init__(
        self, name: str, source: ImageSource, keyword: str, options: SourceOptions
    ) -> None:
        self.taken = 0
        self.failure: ImageSearchError | None = None
        self._name = name
        self._entries: deque[Entry] = deque()
        self._pages = self._asked(source, keyword, replace(options, source=name))

    def fill(self) -> bool:
        """Ask for a page, where nothing is left of the one before; return whether there is more."""
        while not self._entries and (page := next(self._pages, None)):
            self._entries.extend(page.entries)
        return bool(self._entries)

    def take(self, most: int, seen: set[str]) -> list[Entry]:
        """Return those at hand that were not *seen*, *most* of them, and have them seen."""
        new: list[Entry] = []
        while self._entries and len(new) < most:
            image_id, entry = self._entries.popleft()
            origin = entry.origin if isinstance(entry, ListedImage) else None
            names = {image_id, origin or image_id}
            if not names & seen:
                seen |= names
                new.append((image_id, entry))
        self.taken += len(new)
        return new

    def _asked(
        self, source: ImageSource, keyword: str, options: SourceOptions
    ) -> Iterator[Listing]:
        try:
            yield from source.pages(keyword, options)
        except ImageSearchError as error:
            _logger.warning("%s finds no more for this keyword: %s", self._name, error)
            self.failure = error


def _shares(all_finds: Sequence[_Finds], share: int, seen: set[str]) -> Iterator[list[Entry]]:
    """Yield what each source finds, as soon as it does and up to its *share*."""
    with ThreadPoolExecutor(len(all_finds)) as threads:
        asked = {threads.submit(copy_context().run, finds.fill): finds for finds in all_finds}
        while asked:
            for future in wait(asked, return_when=FIRST_COMPLETED).done:
                finds = asked.pop(future)
                if future.result():
                    yield finds.take(share - finds.taken, seen)
                    if finds.taken < share:
                        asked[threads.submit(copy_context().run, finds.fill)] = finds


def _the_rest(all_finds: Sequence[_Finds], seen: set[str]) -> Iterator[list[Entry]]:
    """Yield what is beyond their shares, by turns."""
    while more := [finds for finds in all_finds if finds.fill()]:
        for finds in more:
            yield finds.take(_TURN, seen)


def _is_final(error: ImageSearchError) -> bool:
    """Return whether no retry can help."""
    return isinstance(error, SourceRefused | InvalidRequest)


def several(parts: Sequence[Declaration]) -> Declaration:
    """Return the source that is made of *parts*."""

    def connect(settings: Any, tools: Tools) -> Several:
        return Several({part.name: part.connect(settings, tools.of(part)) for part in parts})

    def options(settings: Any) -> dict[str, Any]:
        return {name: value for part in parts for name, value in part.options(settings).items()}

    return Declaration(
        name=",".join(part.name for part in parts),
        credit=" and ".join(part.credit for part in parts),
        hosts=tuple(host for part in parts for host in part.hosts),
        quota=None,
        max_age_seconds=min(part.max_age_seconds for part in parts),
        settings=BaseModel,  # those of each are among all sources' already
        needs=tuple(dict.fromkeys(name for part in parts for name in part.needs)),
        connect=connect,
        options=options,
        made_of=tuple(parts),
    )
