"""Writes a Google Takeout of drawn scenes, of which the pictures of the page are taken.

Usage: python -m tools.drawn_takeout FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imagesearch.demo import drawing
from imagesearch.demo.scenes import scene

FIRST = 20_000  # of the scenes, which no keyword of the page's examples has
ALBUMS = {"Summer": range(20), "Anna's birthday": range(20, 30)}
OTHERS = range(30, 60)
TAKEN = 1_558_569_600  # seconds since 1970: in May 2019
DAY_SECONDS = 86_400


def write(folder: Path) -> None:
    """Write 60 pictures with their sidecars: of two albums, and of the year."""
    root = folder / "Takeout" / "Google Photos"
    for title, numbers in {**ALBUMS, "Photos from 2019": OTHERS}.items():
        place = root / title
        place.mkdir(parents=True, exist_ok=True)
        if title in ALBUMS:
            (place / "metadata.json").write_text(
                json.dumps({"title": title, "access": "protected"})
            )
        for number in numbers:
            picture = place / f"IMG_{2000 + number}.jpg"
            picture.write_bytes(drawing.jpeg(scene(FIRST + number)))
            sidecar = {
                "title": picture.name,
                "photoTakenTime": {"timestamp": str(TAKEN + 3 * number * DAY_SECONDS)},
            }
            picture.with_name(f"{picture.name}.supplemental-metadata.json").write_text(
                json.dumps(sidecar)
            )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
