"""The port `CollectionFolders` over this machine's folders: what is listed, and how it is read."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from imagesearch.domain.collections import (
    CollectedFile,
    ListedFile,
    Stamp,
    Unreadable,
)
from imagesearch.domain.errors import NotFound, RejectedImage
from imagesearch.domain.images import PICTURE_SUFFIXES
from imagesearch.domain.picture_facts import PictureFacts, joined
from imagesearch.folders.collected import collected, problem
from imagesearch.folders.facts import facts_of_xmp, title_of_name
from imagesearch.folders.formats import readable
from imagesearch.folders.takeout import (
    Sidecar,
    album_title,
    is_album_file,
    path_in_takeout,
    read_sidecar,
    united_sidecars,
)

MAX_FILE_BYTES = 200_000_000  # a picture that takes more is nobody's photograph
MAX_SIDECAR_BYTES = 1_000_000
# What programs keep beside pictures, and nobody looks for: thumbnails, versions, what was deleted.
# Those of hidden names are skipped, too, and folders with a file `.nomedia`, as on telephones.
SKIPPED_FOLDERS = frozenset(
    (
        *("@eaDir", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found", "node_modules", "__MACOSX"),
    )
)
NO_MEDIA = ".nomedia"
XMP = ".xmp"
NO_UTF8 = "its name is no UTF-8"


@dataclass(frozen=True)
class _Folder:
    """A folder on the way: its path within the root, with `/` at its end, "" of the root itself."""

    prefix: str
    full: Path


@dataclass(frozen=True)
class _Listed:
    """A folder with its files, by name."""

    folder: _Folder
    files: dict[str, os.DirEntry[str]]


class _ChangedError(RejectedImage):
    """A file is not as it was."""


class Folders:
    """The port `CollectionFolders` over folders."""

    def listed(self, root: str) -> Iterator[ListedFile | Unreadable]:
        """Yield the pictures of the folder and all within it, and what cannot be read."""
        top = Path(root)
        if not top.is_dir():
            raise NotFound(f"there is no folder {root}")
        seen: set[tuple[int, int]] = set()
        folders, linked = [_Folder("", top)], list[_Folder]()
        in_takeout: dict[str, list[_Listed]] = {}  # by the path that parts of a folder share
        while folders or linked:
            # What is linked comes last: it may be within the root, and is listed there then.
            folder = folders.pop() if folders else linked.pop()
            try:
                status = folder.full.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(folder.full), key=lambda entry: entry.name)
            except OSError as error:
                path = folder.prefix.removesuffix("/")
                yield Unreadable(path, _reason(error), is_folder=True)
                continue
            if any(entry.name == NO_MEDIA for entry in entries):
                continue
            if path := path_in_takeout(folder.prefix.removesuffix("/")):
                in_takeout.setdefault(path, []).append(_listed(folder, entries))
            else:
                yield from _pictures([_listed(folder, entries)])
            for entry in _folders(entries):
                path = f"{folder.prefix}{entry.name}"
                if not is_utf8(entry.name):
                    yield Unreadable(readable_name(path), NO_UTF8, is_folder=True)
                    continue
                if problem := _away(entry):
                    yield Unreadable(path, problem, is_folder=True)
                    continue
                inner = _Folder(f"{folder.prefix}{entry.name}/", Path(entry.path))
                (linked if entry.is_symlink() else folders).append(inner)
        for parts in in_takeout.values():
            yield from _pictures(parts)

    def read(
        self,
        root: str,
        listed: ListedFile,
        *,
        keeps_place: bool,
        known: CollectedFile | None = None,
    ) -> tuple[CollectedFile, bytes]:
        """Return the file as it is now, and its bytes if they are a JPEG, PNG or WebP."""
        try:
            edited = beside = PictureFacts()
            for path, _ in listed.sidecars:
                if _suffix(path) == XMP:
                    edited = joined(edited, facts_of_xmp(_sidecar_bytes(Path(root, path))))
                    continue
                if (sidecar := _sidecar(Path(root, path))) is None:
                    continue
                if sidecar.is_trashed:  # its owner threw it away: it is no image, and no problem
                    return problem(listed, "")
                beside = joined(beside, sidecar.facts)
            return collected(
                listed,
                lambda: _read(f"{root}/{listed.path}", listed.stamp),
                keeps_place=keeps_place,
                known=known,
                edited=edited,
                beside=joined(beside, PictureFacts(title=title_of_name(listed.path))),
            )
        except (OSError, RejectedImage) as error:
            return problem(listed, _reason(error))

    def picture(self, root: str, path: str, stamp: Stamp) -> bytes:
        """Return the file's picture, as a JPEG, PNG or WebP."""
        try:
            return readable(_read(f"{root}/{path}", stamp))
        except (OSError, _ChangedError) as error:
            raise NotFound(f"{path} cannot be read: {_reason(error)}") from error


def _listed(folder: _Folder, entries: list[os.DirEntry[str]]) -> _Listed:
    files = (entry for entry in entries if not entry.name.startswith(".") and _is_file(entry))
    return _Listed(folder, {entry.name: entry for entry in files})


def _pictures(parts: Sequence[_Listed]) -> Iterator[ListedFile | Unreadable]:
    """
    Yield the pictures of a folder, each with what lies beside it.

    Args:
        parts: of which one folder is made that several archives have, as a rule one.
    """
    has_sidecars = any(name.lower().endswith(".json") for part in parts for name in part.files)
    sidecars_of_parts = (
        united_sidecars([part.files for part in parts]) if has_sidecars else [{} for _ in parts]
    )
    albums = [_albums(part) for part in parts]
    of_others = next(filter(None, albums), ())
    for part, sidecars, its_albums in zip(parts, sidecars_of_parts, albums, strict=True):
        documents = documents_of(part.files)
        for name, entry in part.files.items():
            if _suffix(name) not in PICTURE_SUFFIXES:
                continue
            path = f"{part.folder.prefix}{name}"
            if not is_utf8(name):
                yield Unreadable(readable_name(path), NO_UTF8)
                continue
            try:
                stamp = _stamp(entry.stat())
                beside = [(part, each) for each in documents.get(name, ())]
                if name in sidecars:
                    n, sidecar = sidecars[name]
                    beside.append((parts[n], sidecar))
                yield ListedFile(path, stamp, its_albums or of_others, _stamped(beside))
            except OSError as error:  # it vanished, or is a link to nowhere
                yield Unreadable(path, _reason(error))


def documents_of(names: Iterable[str]) -> dict[str, list[str]]:
    """
    Return by picture the XMP files that are its own by their names: `a.jpg.xmp`, and `a.xmp`.

    The latter is of no picture where several have that name, as a.jpg and a.png.
    """
    documents: dict[str, list[str]] = {}
    for name in names:
        if _suffix(name) == XMP:
            documents.setdefault(name[: -len(XMP)].casefold(), []).append(name)
    if not documents:
        return {}
    pictures = [name for name in names if _suffix(name) in PICTURE_SUFFIXES]
    stems = Counter(PurePath(name).stem.casefold() for name in pictures)
    documents_of_pictures: dict[str, list[str]] = {}
    for name in pictures:
        stem = PurePath(name).stem.casefold()
        its = [*documents.get(name.casefold(), ())]
        if stems[stem] == 1:
            its += documents.get(stem, ())
        if its:
            documents_of_pictures[name] = its
    return documents_of_pictures


def _stamped(sidecars: Iterable[tuple[_Listed, str]]) -> tuple[tuple[str, Stamp], ...]:
    """Return the paths of *sidecars*, each with its stamp."""
    return tuple(
        (f"{part.folder.prefix}{name}", _stamp(part.files[name].stat())) for part, name in sidecars
    )


def _folders(entries: list[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for entry in reversed(entries):  # the last that is put on a stack is the first to be taken
        if entry.name in SKIPPED_FOLDERS or entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder, or may be one that is away: a link to a disk, say."""
    try:
        if entry.is_dir():
            return True
    except OSError as error:
        return error.errno != errno.ELOOP  # of a link to itself it is said where files are
    return entry.is_symlink() and "." not in entry.name and not os.path.exists(entry.path)


def _away(entry: os.DirEntry[str]) -> str:
    """Return why what should be a folder is none now; "" where it is one."""
    try:
        os.stat(entry.path)
    except OSError as error:
        return _reason(error)
    return ""


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a file, or a link to nowhere, of which that is said; no pipe, say."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:  # a loop of links: what is wrong with it is said when it is looked at
        return True


def _albums(listed: _Listed) -> tuple[str, ...]:
    """Return what the folder is called as an album, if it is one."""
    for name, entry in listed.files.items():
        if is_album_file(name):
            title = album_title(_sidecar_bytes(Path(entry.path)))
            if title:
                return (title,)
    return ()


def _sidecar(path: Path) -> Sidecar | None:
    return read_sidecar(_sidecar_bytes(path))


def _sidecar_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SIDECAR_BYTES)
    except OSError:
        return b""


def _read(path: str, stamp: Stamp) -> bytes:
    """Return the bytes of a file that is, before and after, as *stamp* says."""
    with open(path, "rb", buffering=0) as file:
        if stamp.size > MAX_FILE_BYTES:
            raise RejectedImage(f"it has {stamp.size} bytes, of at most {MAX_FILE_BYTES}")
        data = file.read(stamp.size + 1) or b""
        if _stamp(os.fstat(file.fileno())) != stamp or len(data) != stamp.size:
            raise _ChangedError("it was changed while it was read; the next update reads it anew")
    if not data:
        raise RejectedImage("it has 0 bytes")
    return data


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2].lower()}" if "." in name else ""


def readable_name(path: str) -> str:
    """Return *path* with `?` for what is no UTF-8."""
    return path.encode("utf-8", "replace").decode()


def is_utf8(name: str) -> bool:
    """Return whether *name*, as the system has it, is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return str(error)
