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
from tools.train_demo_model import Caption, facts, group_facts, is_held_out

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


def captions(scene: Scene) -> Iterator[Caption]:
    """Yield what a person may ask for, in English, and *scene* shows: from all of it to little."""
    english = wording.language("en")
    said = wording.parts(scene, english)
    true = facts(scene)
    times = {fact for fact in true if fact.startswith("time ")}
    places = {fact for fact in true if fact.startswith("place ")}
    yield Caption(wording.describe(scene), true)
    yield Caption(f"{said['subject']} {said['place']}", true - times)
    yield Caption(said["subject"], true - times - places)
    for group in scene.groups:
        yield Caption(wording.counted(group, english), frozenset(group_facts(group)))
        yield Caption(english.names[group.thing][0][0], frozenset({f"thing {group.thing}"}))


def write_captioned(folder: Path, pictures: int = PICTURES) -> None:
    """Draw held-out scenes into *folder*, with all captions that are true of each."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out = list(filter(is_held_out, range(scenes.SCENE_COUNT)))
    ids = random.Random(_SEED).sample(held_out, pictures)
    shown = [scenes.scene(scene_id) for scene_id in sorted(ids)]
    wanted = {caption.text: caption.wanted for scene in shown for caption in captions(scene)}
    with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "caption"))
        for scene in shown:
            name, true = f"{scene.id}.jpg", facts(scene)
            (folder / name).write_bytes(drawing.jpeg(scene))
            rows.writerows((name, text) for text, those in wanted.items() if those <= true)


def main() -> None:
    """Write both."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text("\n".join([*references(), ""]), encoding="utf-8")
    write_captioned(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
