"""Whether a folder, list or shard is a collection that was elsewhere before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imagesearch.domain.collections import CollectedFile, Collection, ListedFile
from imagesearch.ports import CollectionFolders, Collections

_LOOKED_FOR = 20  # files of a collection, by which it is known again; some may have to be read


def moved_to(
    root: str,
    candidates: Iterable[Collection],
    collections: Collections,
    folders: CollectionFolders,
) -> Collection | None:
    """
    Return the first of *candidates*, which are not where they were, that *root* is now, or None.

    It is where most of its files are there as they were: one name alone, such as each camera gives
    its first picture, says nothing.

    Raises:
        NotFound, InvalidRequest: *root* cannot be listed.
    """
    listed: dict[str, ListedFile] | None = None
    for candidate in candidates:
        if listed is None:
            found = folders.listed(root)
            listed = {each.path: each for each in found if isinstance(each, ListedFile)}
        files = _some_files(collections, candidate.name)
        there = sum(_is_there(folders, root, listed, file) for file in files)
        if there > len(files) / 2:
            return candidate
    return None


def _some_files(collections: Collections, name: str) -> list[CollectedFile]:
    """Return some of the collection's files that are pictures, from its first to its last."""
    known = [each.image_id for each in collections.known_files(name).values() if each.image_id]
    some = known[:: len(known) // _LOOKED_FOR + 1]
    files = collections.files_of(some).values()
    return [file for its in files for of, file in its if of == name]


def _is_there(
    folders: CollectionFolders, root: str, listed: Mapping[str, ListedFile], file: CollectedFile
) -> bool:
    found = listed.get(file.path)
    if found is None or found.stamp.size != file.stamp.size:
        return False
    if found.stamp == file.stamp:
        return True
    # Copied, perhaps, by what does not keep times.
    return folders.read(root, found, keeps_place=False)[0].image_id == file.image_id
