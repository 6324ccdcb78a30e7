"""The image store of the one-machine edition: a folder of files.

Google Cloud Storage, the same port in the cloud, has a file of its own beside this one.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from imagesearch.adapters.object_names import checked_object_name
from imagesearch.errors import NotFound, Unavailable


class FolderStore:
    """
    The port `ImageStore` over *folder*, which is made when it is absent.

    No name leads out of the folder or to a temporary file.

    Raises:
        InvalidRequest: a name is none, see `checked_object_name`; from every method.
        Unavailable: the folder cannot be made; later, it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _translated(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, data: bytes) -> None:
        """Store *data* as *name*, whole or not at all; it outlives a loss of power."""
        path = self._path(name)
        temporary = self._folder / f".{uuid.uuid4().hex}.tmp"
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
        """Return those of *names* that are stored."""
        with _translated(self._folder):
            return {name for name in names if _is_file(self._path(name))}

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


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False
