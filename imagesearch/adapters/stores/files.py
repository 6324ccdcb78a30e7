"""The image store of the one-machine edition: a folder of files.

Google Cloud Storage, the same port in the cloud, has a file of its own beside this one.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from imagesearch.domain.errors import NotFound, Unavailable
from imagesearch.domain.object_names import checked_object_name, is_object_name
from imagesearch.domain.signatures import HEAD_BYTES, TAIL_BYTES, is_image, is_whole

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
_PROBE_BYTES = 4096  # a block: a disk that is full takes an empty file
_NAMES_AT_ONCE = 1000


class FolderStore:
    """
    The port `ImageStore` over *folder*, which is made when it is absent, and made again when it
    is gone.

    No name leads out of the folder or to a temporary file.

    Raises:
        InvalidRequest: a name is none, see `checked_object_name`; from every method.
        Unavailable: the folder cannot be made; later, it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._make_folder()

    def put(self, name: str, data: bytes) -> None:
        """Store *data* as *name*, whole or not at all; it outlives a loss of power."""
        path, temporary = self._path(name), self._temporary()
        with _translated(path):
            try:
                _write(temporary, data)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(self._folder)

    def get(self, name: str) -> bytes:
        """Return the bytes of *name*; NotFound when there is none."""
        path = self._path(name)
        with _translated(path):
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                raise NotFound(f"no image is stored as {name}") from error

    def existing(self, names: Collection[str]) -> set[str]:
        """Return those of *names* that are stored, as whole images."""
        return {name for name in names if self.is_sound(name)}

    def delete(self, names: Collection[str]) -> int:
        """Delete *names*, of which any may be absent, and return how many were there."""
        gone = 0
        for path in {self._path(name) for name in names}:
            with _translated(path):
                try:
                    path.unlink()
                except FileNotFoundError:
                    continue
                gone += 1
        if gone:
            with _translated(self._folder):
                _sync_folder(self._folder)
        return gone

    def is_sound(self, name: str) -> bool:
        """
        Return whether *name* is stored, and is an image from its beginning to its end.

        A file of this folder can be emptied, cut or written over by anybody; an object of Cloud
        Storage comes whole, with its checksum.
        """
        path = self._path(name)
        with _translated(path):
            return is_whole(*_ends(path))

    def path(self, name: str) -> Path | None:
        """Return where *name* is stored, or None when it is missing or no image."""
        path = self._path(name)
        with _translated(path):
            return path if is_image(_ends(path)[0]) else None

    def check(self) -> None:
        """Return when the folder takes a file, else raise Unavailable; it is made if it is gone."""
        temporary = self._temporary()
        with _translated(temporary):
            try:
                _write(temporary, bytes(_PROBE_BYTES))
            finally:
                temporary.unlink(missing_ok=True)

    def sweep(self, is_unused: Callable[[Collection[str]], Collection[str]]) -> int:
        """
        Delete what killed processes left half written, and the files that *is_unused* names.

        Nobody may write meanwhile. Files whose names are no objects' names stay.

        Args:
            is_unused: returns those of a thousand names or fewer that nobody needs.

        Returns:
            How many files went.
        """
        gone = 0
        with _translated(self._folder), os.scandir(self._folder) as entries:
            while names := [entry.name for entry in islice(entries, _NAMES_AT_ONCE)]:
                objects = [name for name in names if is_object_name(name)]
                unused = {*is_unused(objects), *filter(_TEMPORARY.fullmatch, names)}
                for name in unused:
                    (self._folder / name).unlink(missing_ok=True)
                gone += len(unused)
        return gone

    def _temporary(self) -> Path:
        """Return the path of a new temporary file, in a folder that is there."""
        self._make_folder()
        return self._folder / f".{uuid.uuid4().hex}.tmp"

    def _make_folder(self) -> None:
        with _translated(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / checked_object_name(name)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the image store failed at {path.name}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: it is an entry of the folder, not of the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ends(path: Path) -> tuple[bytes, bytes, int]:
    """Return how the file begins and ends, and its size; nothing when it is missing or no file."""
    try:
        if not path.is_file():
            return b"", b"", 0
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return head, file.read(), size
    except FileNotFoundError:
        return b"", b"", 0
