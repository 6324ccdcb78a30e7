"""The image store of who embeds: pictures of collections where they lie, and all others stored."""

from __future__ import annotations

from collections.abc import Collection as AnyOf
from contextlib import suppress
from pathlib import Path

from imagesearch.domain.collections import CollectedFile, Stamp, is_own
from imagesearch.domain.errors import NotFound, RejectedImage
from imagesearch.domain.object_names import image_id_of
from imagesearch.ports import CollectionFolders, Collections, ImageStore


class CollectionStore:
    """
    The port `ImageStore` over *others* and the files of collections, of which it writes none.

    The name of an image of a collection stands for the picture of the first of its files that is
    as it was.
    """

    def __init__(
        self, others: ImageStore, collections: Collections, folders: CollectionFolders
    ) -> None:
        self._others, self._collections, self._folders = others, collections, folders

    def put(self, name: str, data: bytes) -> None:
        """Store *data* among the others."""
        self._others.put(name, data)

    def get(self, name: str) -> bytes:
        """
        Return the bytes of *name*; NotFound when there is none.

        Raises:
            RejectedImage: no file of a collection's image is as it was, or it is no picture.
        """
        if not is_own(name):
            return self._others.get(name)
        files = self._files(image_id_of(name))
        if not files:
            raise NotFound(f"no collection has {name}")
        for root, file in files:
            try:
                return self._folders.picture(root, file.path, file.stamp)
            except NotFound:
                continue
        raise RejectedImage("it was changed or removed since it was read")

    def existing(self, names: AnyOf[str]) -> set[str]:
        """Return those of *names* that are stored."""
        own = {name for name in names if is_own(name)}
        files = self._collections.files_of([image_id_of(name) for name in own])
        there = {name for name in own if image_id_of(name) in files}
        return there | self._others.existing([name for name in names if name not in own])

    def delete(self, names: AnyOf[str]) -> int:
        """Delete *names* among the others, previews too; a collection's files stay."""
        return self._others.delete(names)

    def path(self, image_id: str) -> Path | None:
        """Return where a file of the image lies that is as it was, or None when there is none."""
        for root, file in self._files(image_id):
            path = Path(root, file.path)
            with suppress(OSError):
                status = path.stat()
                stamp = Stamp(status.st_size, status.st_mtime_ns)
                if path.is_file() and stamp == file.stamp:
                    return path
        return None

    def _files(self, image_id: str) -> list[tuple[str, CollectedFile]]:
        """Return the image's files, each with its collection's root."""
        roots = {collection.name: collection.root for collection in self._collections.all()}
        files = self._collections.files_of([image_id]).get(image_id, ())
        return [(roots[name], file) for name, file in files if name in roots]
