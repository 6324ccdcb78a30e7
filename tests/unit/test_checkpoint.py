"""A checkpoint that would fail on every image, or answer nonsense, is mended or refused at load."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import CLIPModel
from transformers.models.clip import CLIPImageProcessorPil

from inference_service.checkpoint import read_weights
from inference_service.families.clip import Clip
from inference_service.model import Model, Parts, read_family
from inference_service.model_folder import ModelFolder
from inference_service.processor_config import read_framing
from inference_service.runtimes.layers import ACTIVATIONS
from inference_service.runtimes.torch import TorchTowers
from tests.precision import computing_in_float32  # noqa: F401 - a fixture
from tools.checkpoints import age, byte_tokenizer, save, save_tiny, tiny_config
from tools.pictures import jpeg


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_tiny(folder)
    return folder


@pytest.fixture
def checkpoint(tiny: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def edited(path: Path, changes: dict[str, Any]) -> None:
    """Set values in a JSON file, each under its path of names with dots between."""
    content = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split(".")
        inner = content
        for one in outer:
            inner = inner[one]
        inner[last] = value
    path.write_text(json.dumps(content))


# --- config.json ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("text_config.num_attention_heads", 5, "a divisor of hidden_size, 32, got 5"),
        ("vision_config.num_attention_heads", 0, "a whole number from 1 to 32, got 0"),
        ("text_config.num_hidden_layers", "2", 'a whole number from 1 to 1000, got "2"'),
        (
            "vision_config.hidden_act",
            "relu",
            'one of quick_gelu, gelu, gelu_pytorch_tanh, got "relu"',
        ),
        ("text_config.layer_norm_eps", 0, "a number from 1e-12 to 1, got 0"),
        ("text_config.layer_norm_eps", math.nan, "a number from 1e-12 to 1, got NaN"),
        ("text_config.max_position_embeddings", -77, "a whole number from 3 to 65536, got -77"),
        ("text_config.eos_token_id", None, "a whole number from 0 to 10000000, got null"),
        ("vision_config.patch_size", 64, "a whole number from 1 to 32, got 64"),
        ("vision_config.image_size", [32, 32], "a whole number from 1 to 4096, got [32, 32]"),
        ("vision_config.num_channels", 1, "a whole number from 3 to 3, got 1"),
        ("projection_dim", True, "a whole number from 1 to 65536, got true"),
        ("text_config", [], None),
        ("text_config", "CLIP", 'an object, got "CLIP"'),
    ],
)
def test_a_value_of_config_json_out_of_its_bounds_is_named_with_them(
    checkpoint: Path, name: str, value: object, reason: str | None
) -> None:
    edited(checkpoint / "config.json", {name: value})
    if reason is None:  # nothing told: the library's own defaults
        family = read_family(checkpoint)
        assert isinstance(family, Clip)
        assert family.text_tower.width == 512
        return
    with pytest.raises(ValueError, match="must be") as caught:
        read_family(checkpoint)
    assert str(caught.value) == f"config.json: {name} must be {reason}"


@pytest.mark.parametrize(
    "content", ["", "[]", "<html>", '{"model_type": ', '{"a": ' + "[" * 100_000]
)
def test_a_config_that_is_no_json_object_is_named(checkpoint: Path, content: str) -> None:
    (checkpoint / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"^config.json "):
        read_family(ModelFolder.find(str(checkpoint)).path)


# --- the image processor -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("do_resize", False, "do_resize must be true, got false"),
        ("do_rescale", False, "do_rescale must be true, got false"),
        ("do_normalize", False, "do_normalize must be true, got false"),
        ("do_center_crop", "no", 'do_center_crop must be true or false, got "no"'),
        ("size", {"shortest_edge": 30}, "crop_size must be no larger than what size leaves, 30 x"),
        ("size", {"height": 32, "width": 31}, "no larger than what size leaves, 31 x 32"),
        ("size", {"longest_edge": 32}, "size must be a number, or an object with height and width"),
        ("size", {"shortest_edge": 32, "longest_edge": 64}, "size must be without a longest_edge"),
        ("size", {"shortest_edge": 0}, "size.shortest_edge must be a whole number from 1 to 4096"),
        ("size", -1, "size must be a whole number from 1 to 4096, got -1"),
        ("size", "224", 'size must be a whole number from 1 to 4096, got "224"'),
        ("crop_size", {"height": 32}, "crop_size must be a number, or an object with height and"),
        ("crop_size", {"height": 32, "width": 32.5}, "crop_size.width must be a whole number"),
        ("crop_size", 33, "crop_size must be no larger than what size leaves, 32 x 32, got 33"),
        ("resample", 99, "resample must be a whole number from 0 to "),
        ("rescale_factor", 0, "rescale_factor must be a number from 1e-06 to 1, got 0"),
        ("rescale_factor", 1.0, "must leave colours from -20 to 20, got"),
        ("image_mean", [124, 116, 104], "must leave colours from -20 to 20, got"),
        ("image_mean", [0.5, 0.5], "image_mean must be three numbers, of red, green and blue"),
        ("image_mean", ["0.5"] * 3, "image_mean[0] must be a number from -256 to 256"),
        ("image_std", [0.2, 0, 0.2], "image_std[1] must be a number from 1e-06 to 256, got 0"),
        ("image_std", [0.2, 0.2, math.nan], "image_std[2] must be a number from 1e-06 to 256"),
    ],
)
def test_an_image_processor_that_cannot_be_is_named_by_its_value(
    checkpoint: Path, name: str, value: object, reason: str
) -> None:
    edited(checkpoint / "processor_config.json", {f"image_processor.{name}": value})
    with pytest.raises(ValueError, match="must") as caught:
        read_framing(checkpoint, Clip.processor_defaults)
    assert str(caught.value).startswith("processor_config.json: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 32, "crop_size": 32},
        {"size": {"shortest_edge": 32.0}, "crop_size": [32, 32]},
        {"size": [32, 32], "crop_size": {"height": 32.0, "width": 32}},
        {"do_center_crop": False, "size": {"height": 32, "width": 32}},
        {"image_mean": 0.5, "image_std": 0.5},
    ],
)
def test_a_size_and_a_colour_may_be_told_in_every_usual_way(
    checkpoint: Path, changes: dict[str, Any]
) -> None:
    told = {f"image_processor.{name}": value for name, value in changes.items()}
    edited(checkpoint / "processor_config.json", told)
    framing = read_framing(checkpoint, Clip.processor_defaults)
    assert framing.shape == (32, 32)
    assert len(framing.scale) == len(framing.offset) == 3


def test_a_folder_without_an_image_processor_says_so(checkpoint: Path) -> None:
    (checkpoint / "processor_config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no preprocessor_config.json"):
        read_framing(checkpoint, Clip.processor_defaults)


# --- the tokenizer -------------------------------------------------------------------------------


def with_tokenizer(folder: Path, change: Callable[[Tokenizer], None]) -> None:
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    change(tokenizer)
    tokenizer.save(path)


def without_ends(tokenizer: Tokenizer) -> None:
    tokenizer.post_processor = TemplateProcessing("$A")


def without_start(tokenizer: Tokenizer) -> None:
    end = "<|endoftext|>"
    tokenizer.post_processor = TemplateProcessing(f"$A {end}", special_tokens=[(end, 513)])


def larger(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens(["<pad>"])


@pytest.mark.parametrize("eos_token_id", [513, 2])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (larger, r"must be below config.json's text_config.vocab_size, 514, got 514 of '<pad>'"),
        (without_ends, r"no end token 513|must put a start and an end token around a text"),
        (without_start, r"must put a start and an end token around a text, got \[513\]"),
    ],
)
def test_a_tokenizer_that_does_not_fit_its_model_is_refused(
    checkpoint: Path, eos_token_id: int, change: Callable[[Tokenizer], None], reason: str
) -> None:
    edited(checkpoint / "config.json", {"text_config.eos_token_id": eos_token_id})
    read_family(checkpoint).read_tokenizer(checkpoint)
    with_tokenizer(checkpoint, change)
    with pytest.raises(ValueError, match=reason):
        read_family(checkpoint).read_tokenizer(checkpoint)


def test_a_tokenizer_that_is_broken_or_half_there_is_named(checkpoint: Path) -> None:
    family = read_family(checkpoint)
    (checkpoint / "tokenizer.json").write_text("<html>")
    with pytest.raises(ValueError, match=r"tokenizer.json is no tokenizer"):
        family.read_tokenizer(checkpoint)
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no tokenizer.json, and no vocab.json"):
        family.read_tokenizer(checkpoint)
    (checkpoint / "vocab.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"no tokenizer.json, and no merges.txt"):
        family.read_tokenizer(checkpoint)


# --- the weights ---------------------------------------------------------------------------------


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path, {"format": "pt"})


VISUAL = "visual_projection.weight"
NORM = "vision_model.post_layernorm.weight"
LAYER = "vision_model.encoder.layers.1.mlp.fc1.weight"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state[LAYER][3, 5].fill_(math.nan), f"{LAYER} has numbers that are not fin"),
        (lambda state: state[VISUAL][-1, -1].fill_(-math.inf), f"{VISUAL} has numbers that are n"),
        (
            lambda state: state.update({LAYER: state[LAYER].half().fill_(math.inf)}),
            f"{LAYER} has numbers that are not finite",
        ),
        (
            lambda state: state.update({LAYER: state[LAYER].bfloat16().fill_(math.nan)}),
            f"{LAYER} has numbers that are not finite",
        ),
        (
            lambda state: state.update({VISUAL: torch.ones(12, 32)}),
            f"{VISUAL} must be (24, 32) by config.json, got (12, 32)",
        ),
        (
            lambda state: state.update({LAYER: torch.ones(64, 32, dtype=torch.int8)}),
            f"{LAYER} must be one of F64, F32, F16, BF16, got I8",
        ),
        (lambda state: state.pop(VISUAL), f"lack 1 parameters, among them {VISUAL}"),
        (lambda state: state.update({"logit_scale": torch.tensor(math.nan)}), "logit_scale has"),
        (
            lambda state: state.update({"logit_scale": torch.tensor(-2.66)}),
            "logit_scale must be one number, the logarithm of a scale, from 0 to 6.91, got -2.66",
        ),
        (
            lambda state: state.update({"logit_scale": torch.ones(2)}),
            "logit_scale must be one numb",
        ),
        (lambda state: state.update({"logit_scale": torch.tensor(8.0)}), "from 0 to 6.91, got 8.0"),
        (
            lambda state: state.update({"logit_scale": torch.tensor(2e4)}),
            "from 0 to 6.91, got 2000",
        ),
        (lambda state: state[VISUAL].mul_(1e30), f"{VISUAL} has numbers that are of 65536 and mo"),
        (
            lambda state: state.update({NORM: state[NORM].double() * -1e30}),
            f"{NORM} has numbers that are of 65536 and more, which no trained weight is",
        ),
        (lambda state: state[VISUAL].zero_(), f"post_layernorm and {VISUAL} leave nothing but z"),
        (lambda state: state[VISUAL].mul_(1e-38), "leave nothing but zeros"),
        (
            lambda state: (state[NORM].zero_(), state[NORM.replace("weight", "bias")].zero_()),
            "leave nothing but zeros",
        ),
        (lambda state: state["text_projection.weight"].zero_(), "text_projection.weight leave n"),
    ],
)
def test_weights_that_are_not_those_of_the_model_are_refused(
    checkpoint: Path,
    change: Callable[[dict[str, torch.Tensor]], object],
    reason: str,
) -> None:
    with_weights(checkpoint, change)
    with pytest.raises(ValueError, match=r"logit_scale|parameters|weight") as caught:
        Parts.read(checkpoint)
    assert reason in str(caught.value)


def load(folder: Path, device: str) -> Model:
    if device == "cpu":
        return Model.load(folder, "cpu")
    parts = Parts.read(folder)
    return parts.model(TorchTowers(parts.family, parts.weights, parts.framing, "cpu"))


def test_a_layer_that_config_json_does_not_count_is_missed(checkpoint: Path) -> None:
    edited(checkpoint / "config.json", {"vision_config.num_hidden_layers": 1})
    reason = "config.json: num_hidden_layers of the vision_model must be 2 as in the weights, got 1"
    with pytest.raises(ValueError, match=reason):
        load(checkpoint, "cpu")


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_weights_that_are_cut_short_are_named(checkpoint: Path, kept: int) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"model.safetensors is broken or cut short"):
        read_weights(checkpoint)


def test_a_shard_that_is_missing_leaves_parameters_out(checkpoint: Path) -> None:
    CLIPModel.from_pretrained(checkpoint).save_pretrained(checkpoint, max_shard_size="150KB")
    (checkpoint / "model.safetensors").unlink(missing_ok=True)
    shards = sorted(checkpoint.glob("model-*-of-*.safetensors"))
    assert len(shards) > 1
    Parts.read(checkpoint)
    shards[-1].unlink()
    with pytest.raises(ValueError, match="its weights lack"):
        Parts.read(checkpoint)


def test_a_pickle_with_numbers_that_are_not_finite_is_refused(checkpoint: Path) -> None:
    with_weights(checkpoint, lambda state: state[VISUAL][0, 0].fill_(1))
    age(checkpoint)
    state = torch.load(checkpoint / "pytorch_model.bin")
    state[VISUAL][0, 0] = math.nan
    torch.save(state, checkpoint / "pytorch_model.bin")
    with pytest.raises(ValueError, match=rf"pytorch_model.bin: {VISUAL} has numbers that are not"):
        read_weights(checkpoint)


@pytest.mark.parametrize(
    ("told", "meant"),
    [(math.log(100), 100.0), (2.6593, 14.29), (0.0, 1.0), (100.0, 100.0), (14.2857, 14.29)],
)
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_logit_scale_is_told_from_its_logarithm(
    checkpoint: Path, told: float, meant: float, shape: tuple[int, ...]
) -> None:
    with_weights(checkpoint, lambda state: state.update({"logit_scale": torch.full(shape, told)}))
    assert Parts.read(checkpoint).logit_scale == pytest.approx(meant, rel=1e-3)


def test_both_runtimes_take_a_scale_in_the_place_of_its_logarithm(checkpoint: Path) -> None:
    with_weights(checkpoint, lambda state: state.update({"logit_scale": torch.tensor([100.0])}))
    clips = [load(checkpoint, device) for device in ("cpu", "torch")]
    assert [clip.logit_scale for clip in clips] == [100.0, 100.0]
    pixels = [clips[0].preprocess(jpeg())]
    openvino, library = (clip.embed_images(pixels) for clip in clips)
    np.testing.assert_allclose(openvino, library, atol=1e-2)


def test_an_image_side_that_is_no_multiple_of_the_patch_leaves_its_edge_unseen(
    tmp_path: Path,
) -> None:
    """As a convolution does that has the patch for its stride, in the library and in training."""
    config: Any = tiny_config()
    config.vision_config.image_size = 37
    processor = CLIPImageProcessorPil(size={"shortest_edge": 37}, crop_size=37)
    save(tmp_path, config, byte_tokenizer(), processor)
    openvino, library = load(tmp_path, "cpu"), load(tmp_path, "torch")
    pixels = [openvino.preprocess(jpeg(seed)) for seed in range(3)]
    ours, theirs = openvino.embed_images(pixels), library.embed_images(pixels)
    assert (ours * theirs).sum(axis=1).min() > 0.999
    blank = [np.pad(one[:32, :32], ((0, 5), (0, 5), (0, 0))) for one in pixels]
    assert (ours * openvino.embed_images(blank)).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_is_computed_as_transformers_does(tmp_path: Path, activation: str) -> None:
    config: Any = tiny_config()
    config.text_config.hidden_act = config.vision_config.hidden_act = activation
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    save(tmp_path, config, byte_tokenizer(), processor)
    library = CLIPModel.from_pretrained(tmp_path)
    for model in (load(tmp_path, "cpu"), load(tmp_path, "torch")):
        pixels = [model.preprocess(jpeg(seed)) for seed in range(3)]
        normal = np.stack(pixels) * model.framing.scale + model.framing.offset
        with torch.inference_mode():
            inputs = torch.from_numpy(normal).float().permute(0, 3, 1, 2)
            theirs = np.asarray(library.get_image_features(inputs).pooler_output)
        cosines = (model.embed_images(pixels) * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)
        assert cosines.min() > 0.999


# --- where it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        "./none",
        "../none",
        "/none/such",
        "~/none-such",
        "models/none",
        "other/none/such",
        "none/",
        "",
        ".",
    ],
)
def test_what_can_only_be_a_folder_is_never_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(FileNotFoundError, match=r"^(there is no folder /|it has no config.json)"):
        ModelFolder.find(model)


@pytest.mark.parametrize("model", ["someone/tiny-clip", "./tiny", "~/tiny", "tiny", "tiny/"])
def test_a_folder_that_is_there_is_taken_whatever_its_name_looks_like(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / model.removeprefix("~/")
    shutil.copytree(tiny, place)
    found = ModelFolder.find(model)
    assert found.path == place.resolve()
    assert found.commit is None
    assert found.revision.startswith(f"{place.name}-")


def test_a_file_is_no_checkpoint(tiny: Path) -> None:
    with pytest.raises(ValueError, match=r"it is a file, where a folder with a config.json is"):
        ModelFolder.find(str(tiny / "model.safetensors"))


@pytest.mark.parametrize("inner", ["0_CLIPModel", "snapshots/0123456789abcdef", "any name"])
def test_a_checkpoint_inside_of_the_folder_is_found(tiny: Path, tmp_path: Path, inner: str) -> None:
    shutil.copytree(tiny, tmp_path / "outer" / inner)
    (tmp_path / "outer" / "modules.json").write_text("[]")
    found = ModelFolder.find(str(tmp_path / "outer"))
    assert found.path == tmp_path / "outer" / inner
    assert found.name == "outer"
    assert found.revision == ModelFolder.find(str(found.path)).revision


def test_a_folder_around_a_checkpoint_gives_no_other_revision(tiny: Path) -> None:
    assert ModelFolder.find(str(tiny.parent)).revision == ModelFolder.find(str(tiny)).revision


def test_one_of_several_checkpoints_must_be_named(tiny: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(tiny, tmp_path / name)
    with pytest.raises(ValueError, match=r"one must be named: first, second$"):
        ModelFolder.find(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (
            "open_clip_config.json",
            "it is a checkpoint of open_clip, and a checkpoint in the format",
        ),
        ("open_clip_pytorch_model.bin", "it is a checkpoint of open_clip"),
        ("modules.json", "it is a model of sentence-transformers without a checkpoint inside"),
        ("README.md", "it has no config.json"),
    ],
)
def test_the_layout_of_another_library_is_named(tmp_path: Path, file: str, reason: str) -> None:
    (tmp_path / file).write_text("{}")
    with pytest.raises(FileNotFoundError, match=reason):
        ModelFolder.find(str(tmp_path))
