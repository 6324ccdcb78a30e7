"""Collections: folders of own pictures and data sets, their files, and the images these are.

An image is its bytes: a file that is renamed or moved stays the same image, and copies share one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import PurePosixPath

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters.declaration import alike, folder_in
from imagesearch.domain.images import Collected, Credit, Image
from imagesearch.domain.keywords import is_visible
from imagesearch.domain.picture_facts import PictureFacts, tags_of

OWN = "own"
"""The source of the images of collections, and of the pools in which they are embedded."""

DOWNLOADED = "url"
"""What names begin with of pictures that a list has, which are stored as they were downloaded."""

CREDIT_SOURCE = "Your pictures"
MAX_NAME_CHARACTERS = 100
_DIGEST_CHARACTERS = 32  # 128 bits of SHA-256: no two pictures of anybody share them
_OBJECT_NAME = re.compile(rf"{OWN}-[0-9a-f]{{{_DIGEST_CHARACTERS}}}\.jpg")
_MOST_TEXTS = 50  # tags, albums or folders of an image: a picture in more files has the first ones


@dataclass(frozen=True)
class Collection:
    """
    A folder, or a list of URLs, whose pictures are searched.

    Attributes:
        name: which people and the filter `collection` know it by.
        root: the absolute path of the folder, or of the list's file.
        keeps_place: whether it is kept where pictures were taken.
    """

    name: str
    root: str
    keeps_place: bool = False


@dataclass(frozen=True)
class CollectionCount:
    """
    What is there of a collection.

    Attributes:
        pictures: its files that are images, of which copies are several.
        images: the different ones.
        problems: files that are none, and should be.
        is_updating: whether it is being brought up to date, or is to be.
        taken_down: files whose image was taken down, which are no problems.
    """

    name: str
    pictures: int
    images: int
    problems: int
    is_updating: bool
    taken_down: int = 0


@dataclass(frozen=True)
class Stamp:
    """
    By which a file is seen to be as it was.

    Attributes:
        size: in bytes.
        modified_ns: when it was modified, in nanoseconds since 1970.
    """

    size: int
    modified_ns: int


@dataclass(frozen=True)
class ListedFile:
    """
    A file that a collection has now.

    Attributes:
        path: within its folder, with `/` between; of a list, the URL without its `https://`.
        sidecars: the paths of the files that say more of it, each with its stamp.
        facts: what the list or the captions of a data set say of it.
    """

    path: str
    stamp: Stamp
    albums: tuple[str, ...] = ()
    sidecars: tuple[tuple[str, Stamp], ...] = ()
    facts: PictureFacts = field(default_factory=PictureFacts)


@dataclass(frozen=True)
class Unreadable:
    """
    What cannot be listed of a collection's folder, and why.

    Attributes:
        path: of a file, or of a folder whose files stay as they are known.
        is_note: it costs no picture, and is told without being a problem.
    """

    path: str
    problem: str
    is_folder: bool = False
    is_note: bool = False


@dataclass(frozen=True)
class CollectedFile:
    """
    A file of a collection as it was read.

    Attributes:
        stamp: of the file itself.
        known_by: of the file and of what is said of it, see `stamp_of`.
        image_id: of its bytes; "" where they could not be read.
        size: width and height in pixels, upright.
        facts: what is said of it in its file, beside it, and by its data set.
        problem: why there is no image of it; "" where there is one, or will be.
        own: what its file alone says; None where that is not known.
        passes: whether the problem may be none later, though the file stays as it is.
    """

    path: str
    stamp: Stamp
    known_by: Stamp
    image_id: str = ""
    size: tuple[int, int] = (0, 0)
    facts: PictureFacts = field(default_factory=PictureFacts)
    albums: tuple[str, ...] = ()
    problem: str = ""
    own: PictureFacts | None = None
    passes: bool = False


@dataclass(frozen=True)
class Update:
    """
    How far an update of a collection is, or what came of it.

    Attributes:
        found: pictures that the folder has.
        unchanged: those that are as they were.
        reused: those that are new or changed, whose bytes were known.
        embedded: images that were embedded.
        waiting: images that are still to be embedded.
        gone: files that are there no more.
        problems: files of which there is no image.
        taken_down: those of them whose image was taken down, and which are left as they are.
        passing: those of them that may be none at a later update, though nothing changes.
        unreadable: some of what could not be listed, which but for notes is among the problems.
        seconds: since it began.
        is_over: it ended, and was not broken off.
        error: why it ended early; "" where it did not.
    """

    found: int = 0
    unchanged: int = 0
    reused: int = 0
    embedded: int = 0
    waiting: int = 0
    gone: int = 0
    problems: int = 0
    taken_down: int = 0
    passing: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    seconds: float = 0.0
    is_over: bool = False
    error: str = ""


def stamp_of(listed: ListedFile) -> Stamp:
    """Return the stamp that changes with the file, its sidecars, albums, and what is said of it."""
    stamp = listed.stamp
    if not listed.sidecars and not listed.albums and listed.facts == PictureFacts():
        return stamp
    said = repr((listed.facts, listed.albums, listed.sidecars))
    digest = hashlib.sha256(said.encode("utf-8", "replace")).digest()
    return Stamp(stamp.size + int.from_bytes(digest[:6], "big"), stamp.modified_ns)


def own_image_id(digest: str) -> str:
    """Return the image_id of bytes whose SHA-256 is *digest*, in hexadecimal digits."""
    return f"{OWN}-{digest[:_DIGEST_CHARACTERS]}"


def downloaded_name(url: str) -> str:
    """Return the name in the image store of what was downloaded from *url*."""
    return f"{DOWNLOADED}-{hashlib.sha256(url.encode()).hexdigest()[:_DIGEST_CHARACTERS]}.jpg"


def path_of(url: str) -> str:
    """Return the path of a picture within its list, of which hosts are the folders."""
    return url.removeprefix("https://")


def url_of_path(path: str) -> str:
    """Return the URL of the picture of this path."""
    return path if re.match("[a-z]+:/", path, re.IGNORECASE) else f"https://{path}"


def is_downloaded(object_name: str) -> bool:
    """Return whether *object_name* is that of what was downloaded for a list."""
    return object_name.startswith(f"{DOWNLOADED}-")


def is_own_id(image_id: str) -> bool:
    """Return whether *image_id* is that of an image of a collection."""
    return image_id.startswith(f"{OWN}-")


def is_own(object_name: str) -> bool:
    """Return whether *object_name* is that of an image of a collection."""
    return _OBJECT_NAME.fullmatch(object_name) is not None


def image_of(image_id: str, files: Sequence[tuple[str, CollectedFile]]) -> Image:
    """
    Return the image that all of *files* are, each with the name of its collection.

    What several say of it is joined; of a single fact the first says it.
    """
    facts = [file.facts for _, file in files]
    dated = next((each for each in facts if each.year), PictureFacts())
    licensed = next((each for each in facts if each.licence), PictureFacts())
    width, height = files[0][1].size
    return Image(
        image_id=image_id,
        object_name=f"{image_id}.jpg",
        page_url=_first(each.page_url for each in facts) or f"/originals/{image_id}",
        width=width,
        height=height,
        credit=Credit(
            _first(each.user for each in facts),
            _first(each.source for each in facts) or CREDIT_SOURCE,
            licensed.licence,
            licensed.licence_url,
        ),
        # An album is what its pictures show, too: "Anna's wedding".
        tags=_different(
            tag for _, file in files for tag in tags_of((*file.facts.tags, *file.albums))
        ),
        year=dated.year,
        month=dated.month,
        collected=Collected(
            collections=_different(name for name, _ in files),
            folders=_different(folder for _, file in files for folder in folders_of(file.path)),
            albums=_different(album for _, file in files for album in file.albums),
            file=files[0][1].path,
            title=_first(each.title for each in facts),
            camera=_first(each.camera for each in facts),
            rating=next((each.rating for each in facts if each.rating), 0),
            place=next((each.place for each in facts if each.place), None),
            apart=_apart(files),
        ),
    )


def _apart(files: Sequence[tuple[str, CollectedFile]]) -> tuple[str, ...]:
    """Return which folders are in which collection; nothing where all are in one."""
    if len({name for name, _ in files}) < 2:
        return ()
    texts = (folder_in(name, folder) for name, file in files for folder in folders_of(file.path))
    return tuple(dict.fromkeys(texts))[:_MOST_TEXTS]


def folders_of(path: str) -> tuple[str, ...]:
    """Return the folders that *path* lies in: of `2019/Italy/1.jpg` `2019` and `2019/Italy`."""
    parents = PurePosixPath(path).parts[:-1]
    return tuple(accumulate(parents, lambda outer, inner: f"{outer}/{inner}"))


def checked_name(name: str) -> str:
    """Return the *name* of a collection, trimmed; InvalidRequest where it is none."""
    trimmed = name.strip()
    if not (1 <= len(trimmed) <= MAX_NAME_CHARACTERS and is_visible(trimmed)):
        bound = f"--name must have 1 to {MAX_NAME_CHARACTERS} characters that can be seen"
        raise InvalidRequest(f"{bound}, got {name[:64]!r}", field="--name")
    return trimmed


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    """Return *texts* in their order, of those that are alike the first."""
    texts = dict.fromkeys(texts)
    if len(texts) < 2:
        return tuple(texts)
    by_form: dict[str, str] = {}
    for text in texts:
        by_form.setdefault(alike(text), text)
    return tuple(by_form.values())[:_MOST_TEXTS]
