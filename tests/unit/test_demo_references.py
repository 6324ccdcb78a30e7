"""What the demo's model is corrected and calibrated with fits it."""

from __future__ import annotations

from pathlib import Path

from imagesearch.demo import scenes, wording
from imagesearch.demo.scenes import Group
from imagesearch.evaluation.forms import read_captioned
from inference_service.encoder import ModelEncoder
from tools.demo_captions import captions, references, write_captioned

MODEL = Path(__file__).resolve().parents[2] / "models" / "demo"


def test_the_references_are_those_that_the_tool_writes() -> None:
    assert (MODEL / "references.txt").read_text(encoding="utf-8").splitlines() == references()


def test_the_demo_is_calibrated() -> None:
    encoder = ModelEncoder.load(str(MODEL))
    try:
        assert encoder.thresholds is not None
        assert len(encoder.references.embeddings) == len(references())
    finally:
        encoder.close()


def test_its_captions_are_true_of_the_scene() -> None:
    assert [caption.text for caption in captions(scenes.FEATURED[0])] == [
        "two horses amidst flowers in a meadow by day",
        "two horses amidst flowers in a meadow",
        "two horses amidst flowers",
        "two horses",
        "horse",
        "flowers",
        "flower",
    ]


def test_what_it_is_calibrated_with_can_be_read(tmp_path: Path) -> None:
    write_captioned(tmp_path, pictures=3)
    pictures = read_captioned(tmp_path).pictures
    assert len(pictures) == 3
    for each in pictures:
        scene = scenes.scene(int(Path(each.name).stem))
        assert {caption.text for caption in each.captions} >= {
            caption.text for caption in captions(scene)
        }


def test_each_caption_stands_beside_all_pictures_that_it_is_true_of(tmp_path: Path) -> None:
    write_captioned(tmp_path, pictures=120)
    shown = {}
    for each in read_captioned(tmp_path).pictures:
        scene = scenes.scene(int(Path(each.name).stem))
        shown[scene] = {caption.text for caption in each.captions}
    alone = {scene.things[0] for scene in shown if scene.groups[0].count == 1}
    several = [scene for scene in shown if scene.groups[0].count > 1 and scene.things[0] in alone]
    assert several
    for scene in several:
        [thing] = wording.language("en").names[scene.things[0]][0][:1]
        assert {thing, wording.counted(Group(scene.things[0]), wording.language("en"))} <= shown[
            scene
        ]
