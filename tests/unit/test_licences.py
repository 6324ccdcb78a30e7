"""What a model's card says of its licence, and when that is told."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from imagesearch.settings import DEMO_MODEL
from inference_service.encoder import ModelEncoder
from inference_service.model_folder import ModelFolder


def model_with(folder: Path, card: str) -> ModelFolder:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (folder / "README.md").write_text(card, encoding="utf-8")
    return ModelFolder.find(str(folder))


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("license: cc-by-nc-4.0", "cc-by-nc-4.0"),
        ("tags: [x]\nlicense: 'cc-by-nc-sa-4.0' ", "cc-by-nc-sa-4.0"),
        ("license: other\nlicense_name: Some-Non-Commercial-2", "Some-Non-Commercial-2"),
        ("license: other\nlicense_name: apple-amlr", "apple-amlr"),
        ('license: "research only"', "research only"),
        ("license: mit", ""),
        ("license: apache-2.0\ntags: [research, nc]", ""),
        ("license: other\nlicense_name: ncsa", ""),
        ("license:", ""),
        ("license: mit\n---\nlicense: cc-by-nc-4.0", ""),
        ("\udcff", ""),
    ],
)
def test_a_licence_is_read_of_the_front_matter_alone(
    tmp_path: Path, lines: str, licence: str
) -> None:
    card = f"---\n{lines}\n---\n# A model, not for research\n".encode("utf-8", "surrogateescape")
    model = model_with(tmp_path / "model", "")
    (tmp_path / "model" / "README.md").write_bytes(card)
    assert model.forbidding_licence == licence


@pytest.mark.parametrize("card", ["", "license: cc-by-nc-4.0\n", "# cc-by-nc-4.0\n---\n"])
def test_a_card_without_front_matter_says_nothing(tmp_path: Path, card: str) -> None:
    assert model_with(tmp_path / "model", card).forbidding_licence == ""


def test_a_model_without_a_card_says_nothing(tmp_path: Path) -> None:
    model = model_with(tmp_path / "model", "")
    (tmp_path / "model" / "README.md").unlink()
    assert model.forbidding_licence == ""


def test_a_checkpoint_inside_a_model_has_the_licence_of_that(tmp_path: Path) -> None:
    card = "---\nlicense: cc-by-nc-4.0\n---\n"
    (tmp_path / "outer").mkdir()
    model_with(tmp_path / "outer" / "0_CLIPModel", "")
    (tmp_path / "outer" / "README.md").write_text(card)
    assert ModelFolder.find(str(tmp_path / "outer")).forbidding_licence == ""
    (tmp_path / "outer" / "modules.json").write_text("[]")
    assert ModelFolder.find(str(tmp_path / "outer")).forbidding_licence == "cc-by-nc-4.0"


def test_loading_goes_on_and_tells_of_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    for file in DEMO_MODEL.iterdir():
        if file.name != "README.md":
            (folder / file.name).symlink_to(file)
    told: list[str] = []
    card = folder / "README.md"
    card.write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with closing(ModelEncoder.load(str(folder), "cpu", told.append)) as encoder:
        revision = encoder.model_revision
    of_licence = [line for line in told if "licence" in line]
    assert of_licence == [
        f"The licence of {folder} is cc-by-nc-4.0, which allows no commercial use."
    ]
    card.write_text("---\nlicense: apache-2.0\n---\n")
    with closing(ModelEncoder.load(str(folder), "cpu", told.append)) as encoder:
        assert encoder.model_revision == revision, "a card changes no embedding"
    assert [line for line in told if "licence" in line] == of_licence
