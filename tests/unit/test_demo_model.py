"""The shipped demo model, measured anew as `tools/train_demo_model.py --eval-only` measures it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel

from imagesearch.demo import gallery_query, scenes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models" / "demo"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The training tool as a module: a script is not importable by name."""
    spec = importlib.util.spec_from_file_location(
        "train_demo_model", ROOT / "tools" / "train_demo_model.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures(tool: ModuleType) -> Any:
    return tool.evaluate(FOLDER, count=200, seed=7)


@pytest.fixture(scope="module")
def searcher(tool: ModuleType) -> Any:
    return tool.Searcher(FOLDER)


def best(searcher: Any, query: str, shown: list[scenes.Scene], k: int) -> list[scenes.Scene]:
    """Return the *k* of *shown* that the model ranks first for *query*."""
    scores = (searcher.texts([query]) @ searcher.images(shown).T)[0]
    return [shown[i] for i in scores.topk(k).indices.tolist()]


def test_the_evaluation_uses_200_unseen_scenes_that_all_differ(tool: ModuleType) -> None:
    shown = tool.unseen_scenes(200, 7)
    assert len({scene.attributes for scene in shown}) == 200
    assert all(tool.is_held_out(scene.id) for scene in shown)


def test_no_training_scene_shows_what_a_held_out_scene_shows(tool: ModuleType) -> None:
    trained: set[object] = set()
    held_out: set[object] = set()
    for scene_id in range(2 * scenes.SCENE_COUNT):
        shown = scenes.scene(scene_id).attributes
        (held_out if tool.is_held_out(scene_id) else trained).add(shown)
    assert held_out
    assert not held_out & trained


def test_a_complete_description_finds_its_scene_first(figures: Any) -> None:
    assert figures.description_first >= 0.9


def test_one_attribute_queries_are_precise(figures: Any) -> None:
    assert figures.queries >= 40
    assert figures.precision_at_5 >= 0.9


def test_the_weights_fit_in_8_megabytes() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 8_000_000


def test_the_auto_classes_load_the_folder() -> None:
    model = AutoModel.from_pretrained(FOLDER)
    assert isinstance(model, CLIPModel)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert type(AutoTokenizer.from_pretrained(FOLDER)).__name__ == "CLIPTokenizer"
    processor: Any = AutoImageProcessor.from_pretrained(FOLDER)
    assert processor.crop_size == {"height": 64, "width": 64}


def test_the_folder_uses_the_usual_77_tokens_and_a_usual_logit_scale() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["text_config"]["max_position_embeddings"] == 77
    assert AutoTokenizer.from_pretrained(FOLDER).model_max_length == 77
    assert 1 < AutoModel.from_pretrained(FOLDER).logit_scale.exp().item() <= 100


@pytest.mark.parametrize("text", ["", "红色的圆", "ein Kreis 🔴", "a\x00b", "word " * 200, "ﷺ"])
def test_any_text_becomes_between_2_and_77_known_tokens(searcher: Any, text: str) -> None:
    tokens = searcher.tokenizer(text, truncation=True)["input_ids"]
    assert 2 <= len(tokens) <= 77
    assert tokens.count(searcher.tokenizer.eos_token_id) == 1
    assert tokens[-1] == searcher.tokenizer.eos_token_id
    assert torch.isfinite(searcher.texts([text])).all()


@pytest.mark.parametrize(
    ("keyword", "query", "answer"),
    [
        ("circle", "a red circle on a blue background", {"colour": "red", "background": "blue"}),
        ("triangle", "green triangles", {"colour": "green"}),
        ("heart", "a big heart at sunset", {"size": "big", "background": "sunset"}),
        ("red", "something red", {"colour": "red"}),
        (
            "star",
            "three small yellow stars in the night sky",
            {"count": 3, "size": "small", "colour": "yellow", "background": "night"},
        ),
    ],
)
def test_the_examples_of_the_documentation_find_what_they_say_in_their_pool(
    searcher: Any, keyword: str, query: str, answer: dict[str, object]
) -> None:
    found = gallery_query.find(gallery_query.Query.parse({"q": keyword}))[:200]
    first = best(searcher, query, [scenes.scene(scene_id) for scene_id in found], 1)[0]
    assert {name: getattr(first, name) for name in answer} == answer


def test_the_model_card_tells_the_figures_that_are_measured(figures: Any) -> None:
    """To within a few queries: another JPEG library may turn a close ranking round."""
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for line, measured in (
        ("complete description finds its own scene first", figures.description_first),
        ('"something red"', figures.precision_at_5),
    ):
        told = re.search(rf"{line} \| ([01]\.\d{{3}}) \|", card)
        assert told is not None
        assert float(told[1]) == pytest.approx(measured, abs=0.02)
