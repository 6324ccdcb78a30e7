"""The shipped demo model, measured anew as `tools.train_demo_model --eval-only` measures it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel

from imagesearch.demo import scenes, wording
from tests.effort import amount
from tools.train_demo_model import (
    Figures,
    Searcher,
    evaluate,
    held_out,
    is_held_out,
    neighbour,
    new_scene,
    unseen_scenes,
)

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models" / "demo"


@pytest.fixture(scope="module")
def figures() -> Figures:
    return evaluate(FOLDER, described=amount(40, 300), named=amount(200, 1000))


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    return Searcher(FOLDER)


def test_the_evaluation_uses_unseen_scenes_that_all_differ() -> None:
    shown = unseen_scenes(1000, 7)
    assert len({scene.shown for scene in shown}) == 1000
    assert all(is_held_out(scene.id) for scene in shown)


def test_no_training_scene_shows_what_a_held_out_scene_shows() -> None:
    rng = random.Random(3)
    trained = [new_scene(rng) for _ in range(500)]
    trained += [neighbour(scene, rng) for scene in trained]
    assert not held_out() & {scene.shown for scene in trained}
    assert {scene.shown for scene in scenes.FEATURED} <= held_out()


def test_a_complete_description_finds_its_scene_first(figures: Figures) -> None:
    assert figures.first["en"] >= 0.90
    assert min(figures.first.values()) >= 0.80, figures.first


def test_a_word_finds_what_it_names(figures: Figures) -> None:
    assert min(figures.precision.values()) >= 0.95, figures.precision
    assert figures.precision.keys() == set(wording.LANGUAGES)


def test_the_folder_fits_in_8_megabytes_and_the_demo_in_12() -> None:
    model = sum(file.stat().st_size for file in FOLDER.iterdir())
    pictures = sum(file.stat().st_size for file in (scenes.FOLDER / "pictures").iterdir())
    assert model <= 8_000_000
    assert model + pictures <= 12_000_000


def test_the_auto_classes_load_the_folder() -> None:
    assert isinstance(AutoModel.from_pretrained(FOLDER), CLIPModel)
    assert type(AutoTokenizer.from_pretrained(FOLDER)).__name__ == "CLIPTokenizer"
    processor: Any = AutoImageProcessor.from_pretrained(FOLDER)
    assert processor.crop_size == {"height": 96, "width": 96}


def test_the_folder_uses_the_usual_77_tokens_and_a_usual_logit_scale() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["text_config"]["max_position_embeddings"] == 77
    assert AutoTokenizer.from_pretrained(FOLDER).model_max_length == 77
    assert 1 < AutoModel.from_pretrained(FOLDER).logit_scale.exp().item() <= 100


@pytest.mark.parametrize("text", ["", "红色的圆", "ein Kreis 🔴", "a\x00b", "word " * 200, "ﷺ"])
def test_any_text_becomes_between_2_and_77_known_tokens(searcher: Searcher, text: str) -> None:
    tokens = searcher.tokenizer(text, truncation=True)["input_ids"]
    assert 2 <= len(tokens) <= 77
    assert tokens.count(searcher.tokenizer.eos_token_id) == 1
    assert tokens[-1] == searcher.tokenizer.eos_token_id
    assert torch.isfinite(searcher.texts([text])).all()


def test_the_model_card_tells_the_figures_that_are_measured(figures: Figures) -> None:
    """To within a few queries: of a sample, and another JPEG library may turn a close ranking."""
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for code in wording.LANGUAGES:
        row = re.search(rf"^\| {code} \| (\S+) \| (\S+) \| (\S+) \|$", card, re.MULTILINE)
        assert row is not None
        measured = (figures.first[code], figures.first_free[code], figures.precision[code])
        few = amount(5, 2) / 100
        assert [float(value) for value in row.groups()] == pytest.approx(measured, abs=few)
