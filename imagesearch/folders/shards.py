"""The port `CollectionFolders` over tar shards, as webdataset and img2dataset write them.

A picture is told by its shard and its key in it. Of a shard that was changed all is read again,
and what has the same bytes is the same image.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from imagesearch.domain.collections import (
    CollectedFile,
    ListedFile,
    Stamp,
    Unreadable,
)
from imagesearch.domain.errors import NotFound, RejectedImage
from imagesearch.domain.picture_facts import PictureFacts
from imagesearch.evaluation.tar_shards import (
    SUFFIX,
    picture_of,
    read_member,
    sample_captions,
    sample_json,
    samples,
    shards_of,
)
from imagesearch.folders.collected import collected, problem
from imagesearch.folders.folder import NO_UTF8, is_utf8, readable_name
from imagesearch.folders.formats import readable
from imagesearch.folders.tables import facts_of_row, row_of

_INDEXES = 32  # shards whose members' places are known at a time: some 2 MB each


class TarShards:
    """The port `CollectionFolders` over a tar file, or a folder of them."""

    def listed(self, root: str) -> Iterator[ListedFile | Unreadable]:
        """Yield the pictures of all shards, and what cannot be read; NotFound: there is none."""
        shards = shards_of(Path(root))
        if not shards:
            raise NotFound(f"there is no tar shard at {root}")
        for name, shard in shards:
            try:
                stamp = _stamp(shard)
                for key, members in samples(shard):
                    yield from _listed(name, shard, stamp, key, members)
            except (OSError, tarfile.TarError) as error:
                # A folder: what is known of its other pictures stays.
                yield Unreadable(name, _reason(error), is_folder=True)

    def read(
        self,
        root: str,
        listed: ListedFile,
        *,
        keeps_place: bool,
        known: CollectedFile | None = None,
    ) -> tuple[CollectedFile, bytes]:
        """Return the picture as it is now, and its bytes if they are a JPEG, PNG or WebP."""
        try:
            return collected(
                listed,
                lambda: _read(Path(root), listed.path, listed.stamp),
                keeps_place=keeps_place,
                known=known,
            )
        except (OSError, NotFound, RejectedImage) as error:
            return problem(listed, _reason(error))

    def picture(self, root: str, path: str, stamp: Stamp) -> bytes:
        """Return the picture of a shard that is as *stamp* says, as a JPEG, PNG or WebP."""
        try:
            return readable(_read(Path(root), path, stamp))
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {_reason(error)}") from error


def _listed(
    name: str, shard: Path, stamp: Stamp, key: str, members: dict[str, tarfile.TarInfo]
) -> Iterator[ListedFile | Unreadable]:
    if picture_of(members) is None:  # a sample without its picture is no picture
        return
    path, facts = f"{name}/{key}", PictureFacts(source=_source(shard))
    if not is_utf8(path):
        yield Unreadable(readable_name(path), NO_UTF8)
        return
    try:
        row = row_of(sample_json(shard, members))
        facts = replace(facts_of_row(row, sample_captions(shard, members)), source=facts.source)
    except (ValueError, RecursionError, RejectedImage, OSError) as error:
        yield Unreadable(path, f"what is said of it cannot be read: {_reason(error)}")
    yield ListedFile(path, stamp, facts=facts)


def _source(shard: Path) -> str:
    return shard.parent.name or shard.name


def _read(root: Path, path: str, stamp: Stamp) -> bytes:
    shard, key = _parted(root, path)
    if _stamp(shard) != stamp:
        raise NotFound(f"{shard.name} was changed; the next update reads it anew")
    place = _places(shard, stamp).get(key)
    if place is None:
        raise NotFound(f"{shard.name} has no picture {key}")
    return read_member(shard, *place)


def _parted(root: Path, path: str) -> tuple[Path, str]:
    """Return the shard of a picture, and its key there; both may have a `/` in them."""
    if not root.is_dir():
        return root, path.partition("/")[2]
    for end in re.finditer(rf"{re.escape(SUFFIX)}(?=/)", path, re.IGNORECASE):
        shard = root / path[: end.end()]
        if shard.is_file():
            return shard, path[end.end() + 1 :]
    raise NotFound(f"there is no tar shard of {path} in {root}")


@lru_cache(maxsize=_INDEXES)
def _places(shard: Path, stamp: Stamp) -> dict[str, tuple[int, int]]:  # noqa: ARG001 - a key
    """Return where the pictures of a shard begin, and how many bytes they have, by key."""
    places: dict[str, tuple[int, int]] = {}
    try:
        for key, members in samples(shard):
            if picture := picture_of(members):
                places[key] = picture.offset_data, picture.size
    except tarfile.TarError:  # it breaks off, which is said where it is listed
        pass
    return places


def _stamp(shard: Path) -> Stamp:
    status = shard.stat()
    return Stamp(status.st_size, status.st_mtime_ns)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, tarfile.TarError):
        return (error.strerror or type(error).__name__).lower()
    return str(error)
