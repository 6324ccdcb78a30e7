"""A captioned set as `imagesearch eval` reads it, a picture at a time: PNGs and a captions.csv."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import resvg_py
from PIL import Image

SIDE = 512  # pixels of a drawing's longer side; models take 64 to 384
_DOTS = 96  # an inch, as CSS has it

Caption = tuple[str, str]
"""A language, empty where none is said, and what is true of the picture."""


@dataclass
class Captioned:
    """
    A set that is being written.

    Attributes:
        rows: of captions.csv.
        left_out: how many of what.
    """

    folder: Path
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, picture: Path, captions: Iterable[Caption]) -> bool:
        """
        Take the file *picture*, a PNG or an SVG, as *name*; say whether it could be.

        A picture that an earlier run made stays.
        """
        path = self.folder / f"{name}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            try:
                _write_png(picture, part)
            except ValueError:
                self.left_out["drawings that cannot be drawn or show nothing"] += 1
                return False
            part.replace(path)
        self.rows += [(f"{name}.png", text, language) for language, text in captions]
        return True

    def write(self) -> str:
        """Write captions.csv, and return in a line what is in the set and what is not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("image", "caption", "language"))
            rows.writerows(self.rows)
        pictures = len({name for name, _, _ in self.rows})
        left_out = "".join(f"; left out: {n} {what}" for what, n in self.left_out.items() if n)
        return f"{self.folder}: {pictures} pictures, {len(self.rows)} captions{left_out}"


def _write_png(picture: Path, path: Path) -> None:
    if picture.suffix == ".png":
        shutil.copyfile(picture, path)
    else:
        path.write_bytes(drawn(picture))


def drawn(svg: Path) -> bytes:
    """
    Return a drawing as a PNG of *SIDE* pixels, transparent where nothing is drawn.

    Without this machine's fonts, so that all machines measure the same: text is left out.

    Raises:
        ValueError: it is no SVG, or shows nothing.
    """
    data: bytes = resvg_py.svg_to_bytes(
        svg_path=str(svg), width=SIDE, height=SIDE, dpi=_DOTS, skip_system_fonts=True
    )
    with Image.open(io.BytesIO(data)) as image:
        if not image.getchannel("A").getbbox():
            raise ValueError(f"{svg} shows nothing")
    return data
