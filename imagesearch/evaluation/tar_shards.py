"""Tar shards, as webdataset and img2dataset write them: which files they are, and their samples."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.picture_facts import Caption
from imagesearch.evaluation.captions import MAX_PICTURE_BYTES, bounded, is_picture

SUFFIX = ".tar"
_COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
_GZIP = b"\x1f\x8b"  # how it begins; the first bytes of a tar are a name
_COMPRESSED = (
    "it is compressed, so that no picture of it can be found alone: decompress it to a .tar"
)
_BESIDE = (".json", ".parquet", ".txt", ".md", ".idx", ".csv")  # what is written with shards


def is_shards(root: Path) -> bool:
    """
    Return whether *root* is a tar file, or has such files and what is with them alone in it.

    One that has an archive among its pictures is a folder of pictures.
    """
    if not root.is_dir():
        return _is_shard(root)
    has_shard = False
    for file in _files(root):
        if _is_shard(file):
            has_shard = True
        elif file.suffix.lower() not in _BESIDE:
            return False
    return has_shard


def shards_of(root: Path) -> list[tuple[str, Path]]:
    """Return the shards in order, each with its path within *root*, which may be one itself."""
    if root.is_file():
        return [(root.name, root)]
    return [(file.relative_to(root).as_posix(), file) for file in _files(root) if _is_shard(file)]


def samples(shard: Path) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """
    Yield of each sample its key, up to a name's first dot, and by what follows its members.

    Raises:
        TarError: it is compressed or no archive, or breaks off; what comes before is yielded first.
        OSError: it cannot be read.
    """
    if _is_compressed(shard):
        raise tarfile.ReadError(_COMPRESSED)
    with tarfile.open(shard, "r:") as archive:
        yield from _samples(archive)


def _samples(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    broken: tarfile.TarError | None = None
    try:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            stem, _, extension = name.partition(".")
            if member.isreg() and stem and extension:
                key = f"{folder}/{stem}".lstrip("./")
                samples.setdefault(key, {})[extension.lower()] = member
    except tarfile.TarError as error:
        broken = error
    yield from samples.items()
    if broken is not None:
        raise broken


def picture_of(members: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """Return the picture of a sample, if it has one."""
    return next((each for end, each in members.items() if is_picture(f".{end}")), None)


def sample_captions(shard: Path, members: dict[str, tarfile.TarInfo]) -> Iterator[Caption]:
    """
    Yield those of `txt` and of `de.txt`, and without any that of `json`.

    Raises:
        ValueError, RecursionError, RejectedImage: they cannot be read.
    """
    texts = {end: each for end, each in members.items() if end == "txt" or end.endswith(".txt")}
    for end, member in texts.items():
        text = read_member(shard, member.offset_data, member.size).decode("utf-8-sig")
        language = end.removesuffix("txt").strip(".")
        language = "" if is_picture(f".{language}") else language  # 1.jpg.txt is of 1.jpg
        yield from (Caption(line, language) for line in text.splitlines() if line.strip())
    if not texts and "json" in members:
        caption = sample_json(shard, members).get("caption")
        if isinstance(caption, str) and caption.strip():
            yield Caption(caption)


def sample_json(shard: Path, members: dict[str, tarfile.TarInfo]) -> dict[str, Any]:
    """Return what a sample's `json` says, {} where it has none; ValueError, RecursionError."""
    if "json" not in members:
        return {}
    member = members["json"]
    said = json.loads(read_member(shard, member.offset_data, member.size))
    return said if isinstance(said, dict) else {}


def read_member(shard: Path, offset: int, size: int) -> bytes:
    """Return a member's bytes; RejectedImage where they are cut, or more than a picture has."""
    with shard.open("rb") as file:
        file.seek(offset)
        data = bounded(file.read(min(size, MAX_PICTURE_BYTES + 1)))
    if len(data) != size:
        raise RejectedImage(f"it has {len(data)} of its {size} bytes")
    return data


def _files(root: Path) -> Iterator[Path]:
    """Yield the files of a folder and of all within it, but hidden ones; in order."""
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _is_shard(file: Path) -> bool:
    return file.name.lower().endswith((SUFFIX, *_COMPRESSED_SUFFIXES))


def _is_compressed(shard: Path) -> bool:
    with shard.open("rb") as file:
        has_head = file.read(len(_GZIP)) == _GZIP
    return has_head or shard.name.lower().endswith(_COMPRESSED_SUFFIXES)
