"""The captioned set that a command measures on: files, or a collection of the data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from imagesearch.domain.errors import InvalidRequest
from imagesearch.evaluation.captions import CaptionedSet
from imagesearch.evaluation.forms import read_captioned
from imagesearch.folders.formats import readable
from imagesearch.settings import Settings


@contextmanager
def opened_set(
    settings: Settings, path: Path | None, name: str | None, pictures: Path | None, split: str
) -> Iterator[CaptionedSet]:
    """
    Yield the captioned set at *path*, or the collection *name* of the data folder.

    Raises:
        InvalidRequest: neither or both are given, or it is none.
    """
    if (path is None) == (name is None):
        raise InvalidRequest("give SET or --collection NAME, and not both", field="SET")
    if path is not None:
        captioned = read_captioned(path, pictures, split)
        for_encoder = [
            replace(each, read=partial(_readable, each.read)) for each in captioned.pictures
        ]
        yield replace(captioned, pictures=for_encoder)
        return
    from imagesearch.local.embedded.services import StoredCollections  # here: it takes a second

    with closing(StoredCollections(settings)) as stored:
        every = {each.name: each for each in stored.collections.all()}
        if name not in every:
            has = ", ".join(every) or "none"
            bound = f"--collection must be one of those that there are: {has}"
            raise InvalidRequest(f"{bound}; got {name!r}", field="--collection")
        yield stored.captioned(every[name])


def _readable(read: Callable[[], bytes]) -> bytes:
    """Return what `add` would keep of a picture: of a GIF, TIFF, AVIF or HEIC a PNG."""
    return readable(read())
