"""
Writes what the demo's model is calibrated with: its reference captions, and captioned pictures.

    python -m tools.demo_captions REFERENCES FOLDER
    CLIP_MODEL=models/demo imagesearch calibrate FOLDER

REFERENCES is models/demo/references.txt. The pictures are some that the model was not trained on.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from imagesearch.demo import drawing, scenes, wording
from imagesearch.demo.scenes import Scene
from tools.train_demo_model import is_held_out

REFERENCES = 400
PICTURES = 1000
_SEED = 1


def references() -> list[str]:
    """Return descriptions of scenes drawn from all of them: half English, half other languages."""
    rng = random.Random(_SEED)
    ids = rng.sample(range(scenes.SCENE_COUNT), REFERENCES)
    others = [code for code in wording.LANGUAGES if code != "en"]
    codes = [others[row // 2 % len(others)] if row % 2 else "en" for row in range(REFERENCES)]
    return [
        wording.describe(scenes.scene(scene_id), code)
        for scene_id, code in zip(ids, codes, strict=True)
    ]


def captions(scene: Scene) -> Iterator[str]:
    """
    Yield what a person may ask for, and *scene* shows: from all of it to little.

    In one language: a caption has to stand beside every picture that it is true of.
    """
    english = wording.language("en")
    said = wording.parts(scene, english)
    yield wording.describe(scene)
    yield f"{said['subject']} {said['place']}"
    yield said["subject"]
    for group in scene.groups:
        yield wording.counted(group, english)
        yield english.names[group.thing][0][0]


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
            rows.writerows((name, caption) for caption in captions(scene))


def main() -> None:
    """Write both."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text("\n".join([*references(), ""]), encoding="utf-8")
    write_captioned(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
