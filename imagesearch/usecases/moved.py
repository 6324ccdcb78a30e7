"""Whether a folder, list or shard is a collection that was elsewhere before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

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
        files = _some_files(collections, candidate.name)
        if not files:
            continue
        if listed is None:
            entries = folders.listed(root)
            listed = {each.path: each for each in entries if isinstance(each, ListedFile)}
        here = (_here(file.path, candidate.root, root) for file in files)
        pairs = zip(map(listed.get, here), files, strict=True)
        there = sum(
            _is_as_it_was(folders, root, candidate_file, file) for candidate_file, file in pairs
        )
        if there > len(files) / 2:
            return candidate
    return None


def _some_files(collections: Collections, name: str) -> list[CollectedFile]:
    """Return some of the collection's files that are pictures, from its first to its last."""
    known = [each.image_id for each in collections.known_files(name).values() if each.image_id]
    some = known[:: len(known) // _LOOKED_FOR + 1]
    files = collections.files_of(some).values()
    return [file for its in files for of, file in its if of == name]


def _here(path: str, before: str, root: str) -> str:
    """Return *path* as it is within *root*: what is in a shard has the name of that before it."""
    shard, _, key = path.partition("/")
    if shard != PurePosixPath(before).name or not shard.lower().endswith(".tar"):
        return path
    return f"{PurePosixPath(root).name}/{key}"


def _is_as_it_was(
    folders: CollectionFolders, root: str, candidate: ListedFile | None, file: CollectedFile
) -> bool:
    if candidate is None or candidate.stamp.size != file.stamp.size:
        return False
    if candidate.stamp == file.stamp:
        return True
    # Copied, perhaps, by what does not keep times.
    return folders.read(root, candidate, keeps_place=False)[0].image_id == file.image_id
