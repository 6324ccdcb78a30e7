"""
Writes what the demo's model is calibrated with: its reference captions, and captioned pictures.

    python -m tools.demo_captions REFERENCES FOLDER
    CLIP_MODEL=models/demo imagesearch calibrate FOLDER

REFERENCES is models/demo/references.txt. The pictures are some that the model was not trained on.
"""

from __future__ import annotations

import csv
import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from imagesearch.demo import drawing, scenes
from imagesearch.demo.scenes import Scene
from tools.train_demo_model import is_held_out

REFERENCES = 400
PICTURES = 1000
_SEED = 1


def references() -> list[str]:
    """Return descriptions of scenes that differ, drawn from all of them."""
    rng = random.Random(_SEED)
    ids = rng.sample(range(scenes.SCENE_COUNT), REFERENCES)
    return [scenes.scene(scene_id).description for scene_id in ids]


def captions(scene: Scene) -> Iterator[str]:
    """Yield what a person may ask for, and *scene* shows: from all of it to little."""
    subject = f"{scenes.article(scene.colour)} {scene.shape}"
    yield scene.description
    yield f"{subject} {scene.place}"
    yield f"{scenes.article(scene.shape)} {scene.place}"
    yield subject


def write_captioned(folder: Path, pictures: int = PICTURES) -> None:
    """Draw held-out scenes into *folder*, with the captions that are true of each."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out = list(filter(is_held_out, range(scenes.SCENE_COUNT)))
    ids = random.Random(_SEED).sample(held_out, pictures)
    with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "caption"))
        for scene in map(scenes.scene, sorted(ids)):
            name = f"{scene.id}.jpg"
            (folder / name).write_bytes(drawing.jpeg(scene))
            rows.writerows(zip(itertools.repeat(name), captions(scene), strict=False))


def main() -> None:
    """Write both."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text("\n".join([*references(), ""]), encoding="utf-8")
    write_captioned(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
