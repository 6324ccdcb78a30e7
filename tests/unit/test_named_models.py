"""`small` and `best`, wherever a model is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imagesearch.cli.options import settings_with
from imagesearch.devices import may_have_cuda
from imagesearch.domain.errors import Unavailable
from imagesearch.local.embedded.model_note import ModelNote
from imagesearch.named_models import (
    BEST_ON_CPU,
    BEST_ON_GPU,
    NAMED_MODELS,
    SMALL,
    checkpoint_of,
)
from imagesearch.settings import DEFAULT_MODEL, DEMO_MODEL
from inference_service.encoder import ModelEncoder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "device", "hub_id"),
    [
        ("small", "cpu", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("small", "cuda", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("best", "cpu", "google/siglip2-base-patch32-256"),
        ("best", "cuda", "google/siglip2-base-patch16-256"),
        ("someone/else", "cuda", "someone/else"),
        ("", "cpu", ""),
    ],
)
def test_a_name_is_a_checkpoint_for_the_device(name: str, device: str, hub_id: str) -> None:
    assert checkpoint_of(name, lambda: device) == hub_id


@pytest.mark.parametrize("model", ["small", "someone/else", "/srv/best", ""])
def test_no_device_is_looked_for_where_the_model_does_not_depend_on_it(model: str) -> None:
    asked: list[str] = []

    def device() -> str:
        asked.append(model)
        return "cpu"

    checkpoint_of(model, device)
    assert asked == []


@pytest.mark.parametrize(
    ("platform", "has_driver", "may"),
    [
        ("linux", True, True),
        ("linux", False, False),
        ("darwin", True, False),
        ("win32", False, True),
    ],
)
def test_torch_is_asked_only_where_there_may_be_cuda(
    platform: str, has_driver: bool, may: bool
) -> None:
    assert may_have_cuda(platform, has_driver=has_driver) is may


def test_the_default_is_the_small_model() -> None:
    assert SMALL.hub_id == DEFAULT_MODEL


def test_the_environment_and_an_option_take_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIP_MODEL", " small ")
    monkeypatch.setenv("PREVIOUS_CLIP_MODEL", "best")
    settings = settings_with()
    assert settings.model == SMALL.hub_id
    assert settings.previous_clip_model in {BEST_ON_CPU.hub_id, BEST_ON_GPU.hub_id}
    of_option = settings_with(clip_model="best").model
    assert of_option in {BEST_ON_CPU.hub_id, BEST_ON_GPU.hub_id}
    assert settings_with(clip_model=None).model == SMALL.hub_id


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
def test_an_empty_variable_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CLIP_MODEL", text)
    assert settings_with(data_dir=str(tmp_path), source="demo").model == str(DEMO_MODEL)


def test_a_data_folder_notes_the_checkpoint_and_not_its_name(tmp_path: Path) -> None:
    settings = settings_with(data_dir=str(tmp_path), clip_model="best")
    ModelNote(settings).keep()
    assert (tmp_path / "model").read_text() == f"{settings.model}\n"
    assert settings.model.startswith("google/")


def test_a_data_folder_stays_with_the_model_that_was_chosen_for_it(tmp_path: Path) -> None:
    own = tmp_path / "own-model"
    own.mkdir()
    for model in (str(own), SMALL.hub_id):
        ModelNote(settings_with(data_dir=str(tmp_path), clip_model=model)).keep()
        assert settings_with(data_dir=str(tmp_path), source="demo").model == model
    other = settings_with(data_dir=str(tmp_path), clip_model=str(own))
    assert other.model == str(own), "what is given counts more"


def test_the_demos_model_was_chosen_by_nobody_and_one_that_is_gone_is_not_missed(
    tmp_path: Path,
) -> None:
    for noted in ("/elsewhere/share/models/demo", str(tmp_path / "gone")):
        (tmp_path / "model").write_text(f"{noted}\n")
        assert settings_with(data_dir=str(tmp_path), source="demo").model == str(DEMO_MODEL)


def test_a_word_that_names_nothing_says_what_would() -> None:
    with pytest.raises(Unavailable) as caught:
        ModelEncoder.load("bset")
    assert str(caught.value).startswith("CLIP_MODEL=bset cannot be loaded: there is no folder ")
    assert str(caught.value).endswith("a name is small or best, and a hub id is OWNER/NAME")


def test_what_is_named_may_be_used_by_everybody_and_the_page_says_so() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    for choices in NAMED_MODELS.values():
        for model in choices.values():
            assert model.licence in {"MIT", "Apache-2.0"}
            row = next(line for line in page.splitlines() if f"`{model.hub_id}`" in line)
            assert f" {model.embedding_dimension} " in row
            assert model.licence in row


def test_terraform_says_how_long_the_embeddings_of_the_named_models_are() -> None:
    text = (ROOT / "terraform" / "variables.tf").read_text()
    [said] = re.findall(r"description = \"(Length of the model's .*)\"", text)
    of_best = {model.embedding_dimension for model in NAMED_MODELS["best"].values()}
    assert of_best == {BEST_ON_CPU.embedding_dimension}
    assert f"{SMALL.embedding_dimension} for `small`" in said
    assert f"{BEST_ON_CPU.embedding_dimension} for `best`" in said
