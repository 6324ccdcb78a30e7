"""The port `PictureReader`: pictures of a bucket, whose bytes somebody else reads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from imagesearch.domain.collections import CollectedFile, ListedFile
from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.images import PICTURE_SUFFIXES
from imagesearch.domain.picture_facts import PictureFacts, joined
from imagesearch.folders.collected import collected, problem
from imagesearch.folders.facts import facts_of_xmp
from imagesearch.folders.folder import SKIPPED_FOLDERS, XMP, documents_of
from imagesearch.folders.formats import PREVIEW_SIDE, preview


class BucketPictures:
    """
    The port `PictureReader`; one picture is decoded at a time.

    Args:
        max_bytes: of an object that is read as a picture.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._decoding = threading.Lock()  # of as many pixels as the memory of an instance holds

    def is_picture(self, path: str) -> bool:
        """Return whether an object of this path may be one, as in a folder: see the port."""
        *folders, name = path.split("/")
        _, dot, suffix = name.rpartition(".")
        if f"{dot}{suffix.lower()}" not in PICTURE_SUFFIXES or name.startswith("."):
            return False
        return not any(each.startswith(".") or each in SKIPPED_FOLDERS for each in folders)

    def is_sidecar(self, path: str) -> bool:
        """Return whether it is an XMP file."""
        return path.lower().endswith(XMP)

    def sidecars(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Return by picture its XMP files among *paths*, as in a folder: see the port."""
        folders: dict[str, list[str]] = {}
        for path in paths:
            folder, slash, name = path.rpartition("/")
            folders.setdefault(folder + slash, []).append(name)
        return {
            folder + picture: [folder + name for name in its]
            for folder, names in folders.items()
            for picture, its in documents_of(names).items()
        }

    def read(
        self,
        listed: ListedFile,
        data: bytes,
        *,
        keeps_place: bool,
        documents: Sequence[bytes] = (),
    ) -> tuple[CollectedFile, bytes]:
        """Return the file of a picture's bytes, and its preview: see the port."""
        try:
            if listed.stamp.size > self.max_bytes:
                more = " or more" if listed.stamp.size == len(data) else ""  # read no further
                bound = f"of at most {self.max_bytes}"
                raise RejectedImage(f"it has {listed.stamp.size} bytes{more}, {bound}")
            if not data:
                raise RejectedImage("it has 0 bytes")
            edited = PictureFacts()
            for document in documents:
                edited = joined(edited, facts_of_xmp(document))
            with self._decoding:
                file, _ = collected(listed, lambda: data, keeps_place=keeps_place, edited=edited)
                return file, preview(data, PREVIEW_SIDE)
        except RejectedImage as error:
            return problem(listed, str(error))
