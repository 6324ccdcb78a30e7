"""The port `CollectionFolders` over whatever a root is: the one place that says which is what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from imagesearch.domain.collections import CollectedFile, ListedFile, Stamp, Unreadable
from imagesearch.domain.errors import InvalidRequest
from imagesearch.evaluation.tar_shards import is_shards
from imagesearch.folders.captioned import CaptionedFolders
from imagesearch.folders.shards import TarShards
from imagesearch.folders.url_lists import UrlLists, check_list, is_list
from imagesearch.ports import Clock, CollectionFolders, ImageStore


class CollectionRoots:
    """
    The port `CollectionFolders` over folders of pictures and data sets of all forms.

    Args:
        store: keeps what is downloaded.
        user_agent: what hosts are told of who asks.
        max_bytes: of a picture that is downloaded.
    """

    def __init__(self, store: ImageStore, clock: Clock, user_agent: str, max_bytes: int) -> None:
        # The first that a root is.
        self._kinds: tuple[tuple[Callable[[Path], bool], CollectionFolders], ...] = (
            (is_list, UrlLists(store, clock, user_agent, max_bytes)),
            (is_shards, TarShards()),
            # With captions or without: that takes a look at all of it, and is seen when it is
            # listed, and not when a picture is asked for.
            (lambda _: True, CaptionedFolders()),
        )
        self._known: dict[str, CollectionFolders] = {}

    def listed(self, root: str) -> Iterator[ListedFile | Unreadable]:
        """Yield what the collection has now; see its kind for what it raises."""
        self._known.pop(root, None)  # it may have become another one
        return self._of(root).listed(root)

    def read(
        self,
        root: str,
        listed: ListedFile,
        *,
        keeps_place: bool,
        known: CollectedFile | None = None,
    ) -> tuple[CollectedFile, bytes]:
        """Return the file as it is now, and its bytes if they are a JPEG, PNG or WebP."""
        return self._of(root).read(root, listed, keeps_place=keeps_place, known=known)

    def picture(self, root: str, path: str, stamp: Stamp) -> bytes:
        """Return the file's picture, as a JPEG, PNG or WebP."""
        return self._of(root).picture(root, path, stamp)

    def _of(self, root: str) -> CollectionFolders:
        if root not in self._known:
            self._known[root] = next(kind for is_of, kind in self._kinds if is_of(Path(root)))
        return self._known[root]


def check_root(root: Path) -> None:
    """Return when *root* may be a collection, else raise InvalidRequest: a list is looked into."""
    if is_list(root) and root.exists():
        check_list(root)
    elif not (root.is_dir() or (root.is_file() and is_shards(root))):
        bound = "SET must be a folder, or a .csv, .tsv, .txt, .parquet or .tar file"
        raise InvalidRequest(f"{bound}, got {str(root)!r}", field="SET")
