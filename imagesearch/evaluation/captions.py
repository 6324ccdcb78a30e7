"""Captioned pictures of a folder: a CSV in it, or a text file beside each picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagesearch.domain.errors import InvalidRequest

CAPTIONS_FILE = "captions.csv"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_COLUMNS = ("image", "caption")


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture's file, and sentences that are true of it."""

    path: Path
    captions: tuple[str, ...]


def read_captioned(folder: Path) -> Sequence[CaptionedPicture]:
    """
    Return the captioned pictures in *folder*, in the order of their names.

    They are told by `captions.csv`, with a row of `image,caption` for each caption, or by a text
    file of a picture's name (`beach.jpg`, `beach.txt`), a caption a line.

    Raises:
        InvalidRequest: there is none, or a file cannot be read, naming it and the line.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"there is no folder {folder}", field="FOLDER")
    listed = folder / CAPTIONS_FILE
    captions = _of_csv(listed) if listed.exists() else _of_text_files(folder)
    if not captions:
        raise InvalidRequest(
            f"{folder} holds neither {CAPTIONS_FILE} nor a picture with a .txt of its name",
            field="FOLDER",
        )
    return [
        CaptionedPicture(path, tuple(dict.fromkeys(captions[path]))) for path in sorted(captions)
    ]


def _of_csv(file: Path) -> dict[Path, list[str]]:
    captions: dict[Path, list[str]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, strict=True)
            if not set(_COLUMNS) <= set(rows.fieldnames or ()):
                header = ",".join(_COLUMNS)
                raise InvalidRequest(f"{file}: its first line must be {header}", field="FOLDER")
            for row in rows:
                name, caption = ((row[column] or "").strip() for column in _COLUMNS)
                picture = file.parent / name
                if not caption or not name or not picture.is_file():
                    what = f"no file {name!r}" if caption else "no caption"
                    raise InvalidRequest(f"{file}, line {rows.line_num}: {what}", field="FOLDER")
                captions.setdefault(picture, []).append(caption)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}", field="FOLDER") from error
    return captions


def _of_text_files(folder: Path) -> dict[Path, list[str]]:
    captions = {}
    for picture in folder.iterdir():
        words = picture.with_suffix(".txt")
        if picture.suffix.lower() in SUFFIXES and words.is_file():
            try:
                lines = words.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeError) as error:
                raise InvalidRequest(f"{words} cannot be read: {error}", field="FOLDER") from error
            if some := [line.strip() for line in lines if line.strip()]:
                captions[picture] = some
    return captions
