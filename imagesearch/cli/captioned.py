"""The captioned set that a command measures on: files, or a collection of the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from imagesearch.domain.errors import InvalidRequest
from imagesearch.evaluation.captions import CaptionedSet
from imagesearch.evaluation.forms import read_captioned
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
        yield read_captioned(path, pictures, split)
        return
    from imagesearch.local.embedded.services import StoredCollections  # here: it takes a second

    with closing(StoredCollections(settings)) as stored:
        every = {each.name: each for each in stored.collections.all()}
        if name not in every:
            has = ", ".join(every) or "none"
            bound = f"--collection must be one of those that there are: {has}"
            raise InvalidRequest(f"{bound}; got {name!r}", field="--collection")
        yield stored.captioned(every[name])
