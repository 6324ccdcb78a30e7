"""The images of collections in the catalog, as their files have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from imagesearch.domain.collections import Collection, downloaded_name, image_of, url_of_path
from imagesearch.ports import Collections, KnownFile, Library

PAGE = 200  # files that are read at a time, and images that are a pool
_Item = TypeVar("_Item")


def renew(library: Library, collections: Collections, image_ids: Sequence[str]) -> list[str]:
    """Have *library* say of images what their files do; return those that had none and went."""
    gone: list[str] = []
    for some in parts([each for each in dict.fromkeys(image_ids) if each]):
        files = collections.files_of(some)
        for revision in library.model_revisions() if files else ():
            stored = library.embedded(files.keys(), revision)
            library.put([image_of(each, files[each]) for each in sorted(stored)], {}, revision)
        without = [each for each in some if each not in files]
        library.forget(without)
        collections.renewed(some)
        gone += without
    return gone


def forget(library: Library, collections: Collections, collection: Collection) -> list[str]:
    """Forget *collection*, and the images that no other one has; return those that went."""
    files = collections.known_files(collection.name)
    collections.forget(collection.name)
    return renew(library, collections, [file.image_id for file in files.values()])


def unlisted_downloads(collections: Collections, known: Mapping[str, KnownFile]) -> list[str]:
    """Return the names of what was downloaded for those of *known* that no list has any more."""
    listed: set[str] = set()
    for some in parts(sorted({file.image_id for file in known.values()} - {""})):
        files = collections.files_of(some).values()
        listed |= {file.path for its in files for _, file in its}
    return [downloaded_name(url_of_path(path)) for path in known if path not in listed]


def parts(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Yield *items*, some at a time."""
    for start in range(0, len(items), PAGE):
        yield items[start : start + PAGE]
