"""SigLIP of both generations agrees with `transformers`; what gives plausible rubbish is noticed.

Random weights of base size take some 700 MB for each generation: a vocabulary of 8,192 tokens
stands for 256,000. The other tests use checkpoints of 0.2 MB.
"""

from __future__ import annotations

import copy
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import SiglipModel
from transformers.models.siglip import SiglipImageProcessorPil

from imagesearch.domain.errors import Unavailable
from imagesearch.domain.images import Embedding, Embeddings
from inference_service.encoder import ModelEncoder
from inference_service.images import plan
from inference_service.model import Model, Parts, read_family
from inference_service.processor_config import read_framing
from inference_service.runtimes.torch import TorchTowers
from tests.effort import amount
from tests.precision import computing_in_float32  # noqa: F401 - a fixture
from tools.pictures import encoded, jpeg, picture
from tools.siglip_checkpoints import (
    LOG_SCALE,
    LOGIT_BIAS,
    TEXT_LENGTH,
    base_config,
    reference_tokenizer,
    save_siglip_1,
    save_siglip_2,
    tiny_config,
)

RUNTIMES = ("by_openvino", "by_torch")
LEAST_COSINE = 0.9999
SIZES = [(640, 427), (427, 640), (60, 50), (2000, 10), (1100, 1650)]
TEXTS = [
    "a",
    "a horse in the snow",
    "The HORSE in the Snow!",
    "horses amidst flowers",
    "Ein Hund, der schläft",
    "一匹马在花丛中",
    "🐎🌸 it's 100%",
    "very " * 80 + "last",
    "  spaces\n and  newlines ",
]
LAYERS = amount(2, 12)  # each is computed alike
BASE = {
    "SigLIP B/16-224": (save_siglip_1, base_config(224, 16, 8192, LAYERS)),
    "SigLIP 2 B/32-256": (save_siglip_2, base_config(256, 32, 8192, LAYERS)),
}


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in both runtimes, and `transformers`' own model of it."""

    folder: Path

    @cached_property
    def parts(self) -> Parts:
        return Parts.read(self.folder)

    @cached_property
    def by_openvino(self) -> Model:
        return Model.load(self.folder, "cpu")

    @cached_property
    def by_torch(self) -> Model:
        parts = self.parts
        return parts.model(TorchTowers(parts.family, parts.weights, parts.framing, "cpu"))

    @cached_property
    def reference(self) -> SiglipModel:
        return SiglipModel.from_pretrained(self.folder)

    @torch.inference_mode()
    def expected_images(self, images: Sequence[bytes]) -> Embeddings:
        features: Any = self.reference.get_image_features(self.pixels(images))
        return unit(features.pooler_output)

    def pixels(self, images: Sequence[bytes]) -> torch.Tensor:
        processor: Any = SiglipImageProcessorPil.from_pretrained(self.folder)
        pictures = [Image.open(io.BytesIO(data)) for data in images]
        pixels: torch.Tensor = processor(pictures, return_tensors="pt")["pixel_values"]
        return pixels

    @torch.inference_mode()
    def expected_texts(self, texts: Sequence[str], padding: str = "max_length") -> Embeddings:
        features: Any = self.reference.get_text_features(self.ids(texts, padding))
        return unit(features.pooler_output)

    def ids(self, texts: Sequence[str], padding: str = "max_length") -> torch.Tensor:
        options: Any = {"max_length": TEXT_LENGTH, "truncation": True, "padding": padding}
        tokens = reference_tokenizer(self.folder)(list(texts), return_tensors="pt", **options)
        ids: torch.Tensor = tokens["input_ids"]
        return ids


def unit(features: torch.Tensor) -> Embeddings:
    return np.asarray(features / features.norm(dim=-1, keepdim=True))


def cosines(ours: Embeddings, theirs: Embeddings) -> Embedding:
    return np.asarray((ours * theirs).sum(-1), np.float32)


def embedded_images(model: Model, images: Sequence[bytes]) -> Embeddings:
    return model.embed_images([model.preprocess(data) for data in images])


def embedded_texts(model: Model, texts: Sequence[str]) -> Embeddings:
    return np.stack([embedding.vector for embedding in model.embed_texts(texts)])


# --- agreement at base size ----------------------------------------------------------------------


@pytest.fixture(scope="module", params=BASE)
def base(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loaded]:
    save, config = BASE[request.param]
    folder = tmp_path_factory.mktemp("siglip")
    save(folder, config)
    yield Loaded(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    return [jpeg(seed, *size) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def expected_images(base: Loaded, photos: list[bytes]) -> Embeddings:
    return base.expected_images(photos)


@pytest.fixture(scope="module")
def expected_texts(base: Loaded) -> Embeddings:
    return base.expected_texts(TEXTS)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_images_of_base_size_agree_from_jpeg_bytes_on(
    base: Loaded, runtime: str, photos: list[bytes], expected_images: Embeddings
) -> None:
    model = getattr(base, runtime)
    ours = embedded_images(model, photos)
    assert cosines(ours, expected_images).min() >= LEAST_COSINE
    picture = model.embed_pictures([model.preprocess(photos[0])])
    assert cosines(picture, expected_images[:1]).min() >= LEAST_COSINE
    assert most_alike(expected_images) < 0.99


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_texts_of_base_size_agree_in_any_script_and_length(
    base: Loaded, runtime: str, expected_texts: Embeddings
) -> None:
    ours = embedded_texts(getattr(base, runtime), TEXTS)
    assert cosines(ours, expected_texts).min() >= LEAST_COSINE
    assert most_alike(np.delete(expected_texts, 2, axis=0)) < 0.99


@torch.inference_mode()
def test_a_large_photo_is_decoded_at_a_fraction_and_embeds_as_from_all_its_pixels(
    base: Loaded,
) -> None:
    """In one tower: what the runtimes do with the same pixels is tested above."""
    photos = large_photos()
    framing, tower = base.parts.framing, calm_vision(base.reference)

    def embedded(pixels: torch.Tensor) -> Embeddings:
        return unit(tower(pixel_values=pixels).pooler_output)

    def drafted(side: int) -> Embeddings:
        decodings = [plan(data, draft_side=side) for data in photos]
        assert all(decoding.scale > 1 for decoding in decodings)
        frames = np.stack([framing.frame(decoding.picture()) for decoding in decodings])
        normal = (frames * np.array(framing.scale) + np.array(framing.offset)).astype(np.float32)
        return embedded(torch.from_numpy(normal).permute(0, 3, 1, 2))

    whole = embedded(base.pixels(photos))
    assert cosines(drafted(framing.draft_side), whole).min() >= 0.9999
    assert cosines(drafted(framing.draft_side // 2), whole).max() < 0.9999, "half would not do"


@cache
def large_photos() -> list[bytes]:
    return [striped(*size) for size in [(3072, 2048), (2048, 3072)][: amount(1, 2)]]


def striped(width: int, height: int) -> bytes:
    """Return a JPEG of colours under faint stripes, finer than the model's pixels can show."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    stripes = 20 * np.sin(1.4 * x + 3 * np.sin(y / 60)) + 20 * np.sin(1.8 * (x + y))
    colours = picture(width, 12, 8).resize((width, height), Image.Resampling.BICUBIC)
    striped = np.asarray(colours, np.float32) / 2 + 64 + stripes[..., None]
    return encoded(Image.fromarray(np.clip(striped, 0, 255).astype(np.uint8)), quality=90)


def calm_vision(model: SiglipModel) -> Any:
    """Return the vision tower with attention as it begins a training.

    With `siglip_checkpoints`' own, a rounded pixel makes another picture: cosines of 0.88.
    """
    tower = copy.deepcopy(model.vision_model)
    for name, parameter in tower.named_parameters():
        if any(part in name for part in ("q_proj.weight", "k_proj.weight", "in_proj_weight")):
            parameter.mul_(1 / 3)
    return tower


def most_alike(embeddings: Embeddings) -> float:
    """Return the highest cosine of two; were all on one vector, agreement would say nothing."""
    return float((embeddings @ embeddings.T - np.eye(len(embeddings))).max())


# --- what gives plausible rubbish ----------------------------------------------------------------


SAVE = {"1": save_siglip_1, "2": save_siglip_2}


@pytest.fixture(scope="module", params=SAVE)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("siglip") / "tiny"
    SAVE[request.param](folder, tiny_config())
    return Loaded(folder)


@pytest.fixture
def checkpoint(tiny: Loaded, tmp_path: Path) -> Path:
    """Return a copy that a test may spoil."""
    return Path(shutil.copytree(tiny.folder, tmp_path / "model"))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_text_is_padded_to_64_tokens_and_not_to_the_longest(tiny: Loaded, runtime: str) -> None:
    model, texts = getattr(tiny, runtime), ["a horse", "the very last flower in the snow"]
    alone, beside = embedded_texts(model, texts[:1]), embedded_texts(model, texts)
    assert cosines(alone, beside[:1]).min() > 0.99999
    assert cosines(beside, tiny.expected_texts(texts)).min() > 0.9999
    assert cosines(beside, tiny.expected_texts(texts, "longest")).max() < 0.99


def test_the_padding_is_the_tokenizers_own_and_at_the_right(tiny: Loaded) -> None:
    ids = tiny.by_openvino.tokenize(["a horse"]).ids
    np.testing.assert_array_equal(ids, tiny.ids(["a horse"]).numpy())
    end = ids[0].tolist().index(1)
    padding = 0 if "Siglip2" in (tiny.folder / "tokenizer_config.json").read_text() else 1
    assert ids.shape == (1, TEXT_LENGTH)
    assert ids[0, end + 1 :].tolist() == [padding] * (TEXT_LENGTH - end - 1)


@pytest.mark.parametrize("template", ["$A", "{end} $A {end}"])
def test_how_the_tokenizers_file_frames_and_pads_a_text_changes_nothing(
    checkpoint: Path, tiny: Loaded, template: str
) -> None:
    path = str(checkpoint / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    end = tokenizer.id_to_token(1)
    tokenizer.post_processor = TemplateProcessing(template.format(end=end), None, [(end, 1)])
    tokenizer.enable_padding(direction="left", length=20)
    tokenizer.enable_truncation(20)
    tokenizer.save(path)
    tokens = Parts.read(checkpoint).tokenize(TEXTS)
    np.testing.assert_array_equal(tokens.ids, tiny.by_openvino.tokenize(TEXTS).ids)


def test_capitals_change_nothing(tiny: Loaded) -> None:
    """The file of SigLIP 2 itself would make other tokens of them."""
    capital, small = tiny.by_openvino.tokenize(["The HORSE", "the horse"]).ids
    np.testing.assert_array_equal(capital, small)
    if "Siglip2" in (tiny.folder / "tokenizer_config.json").read_text():
        file = Tokenizer.from_file(str(tiny.folder / "tokenizer.json"))
        assert file.encode("The HORSE").ids != file.encode("the horse").ids


def test_a_text_is_read_at_its_last_position_and_not_at_its_end_token(tiny: Loaded) -> None:
    tokens = tiny.by_openvino.tokenize(["a horse", "flower"])
    assert tokens.places.tolist() == [TEXT_LENGTH - 1] * 2
    ends = np.array([row.tolist().index(1) for row in tokens.ids], np.int32)
    right, wrong = (
        tiny.by_openvino.towers.embed_tokens(tokens.ids, places) for places in (tokens.places, ends)
    )
    assert cosines(right, tiny.expected_texts(["a horse", "flower"])).min() > 0.9999
    assert cosines(right, wrong).max() < 0.99


@pytest.mark.parametrize(("words", "truncated"), [(1, False), (63, False), (64, True), (200, True)])
def test_a_query_is_called_truncated_when_its_64_tokens_do_not_hold_it(
    tiny: Loaded, words: int, truncated: bool
) -> None:
    tokens = tiny.by_openvino.tokenize([" ".join(["a"] * words)])
    assert list(tokens.truncated) == [truncated]
    assert 1 in tokens.ids[0, 1:]  # the end token stays


@pytest.mark.parametrize("side", [224, 256])
def test_a_picture_is_squashed_and_nothing_is_cropped(tmp_path: Path, side: int) -> None:
    """At 224 the crop that CLIP's processor takes where its file is silent would be harmless."""
    save_siglip_2(tmp_path, tiny_config(side))
    loaded = Loaded(tmp_path)
    edged = Image.new("RGB", (640, 427), "white")
    edged.paste("black", (30, 20, 610, 407))
    for data in (encoded(edged, "PNG"), jpeg(1, 300, 200), jpeg(2, 90, 400)):
        ours = loaded.parts.framing
        pixels = loaded.by_openvino.preprocess(data)
        assert pixels.shape == (side, side, 3)
        normal = pixels * np.array(ours.scale) + np.array(ours.offset)
        theirs = loaded.pixels([data])[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(normal, theirs, atol=1e-5)


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_the_file_says_how_a_picture_is_resampled(checkpoint: Path, resample: int) -> None:
    edited(checkpoint / "preprocessor_config.json", {"resample": resample})
    assert Parts.read(checkpoint).framing.resample == resample


def test_a_silent_image_processor_is_that_of_its_family(checkpoint: Path) -> None:
    path = checkpoint / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": "SiglipImageProcessor"}))
    framing = read_framing(checkpoint, read_family(checkpoint).processor_defaults)
    library = SiglipImageProcessorPil.from_pretrained(checkpoint)
    assert (framing.short_side, framing.crop) == ((224, 224), None)
    assert framing.resample == library.resample
    black = -np.array(library.image_mean) / library.image_std
    np.testing.assert_allclose(framing.offset, black)


@pytest.mark.parametrize(
    ("name", "tower"),
    [
        ("text_model.head.bias", "text"),
        ("text_model.final_layer_norm.bias", "text"),
        ("vision_model.embeddings.patch_embedding.bias", "vision"),
        ("vision_model.head.attention.in_proj_bias", "vision"),
        ("vision_model.head.attention.out_proj.bias", "vision"),
        ("vision_model.head.mlp.fc2.bias", "vision"),
    ],
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_bias_counts(
    checkpoint: Path, tiny: Loaded, name: str, tower: str, runtime: str
) -> None:
    with_weights(checkpoint, lambda state: state[name].zero_())
    models = [getattr(loaded, runtime) for loaded in (tiny, Loaded(checkpoint))]
    photos = [jpeg(seed, 60, 50) for seed in range(3)]
    with_bias, without = (
        embedded_texts(model, TEXTS[:3]) if tower == "text" else embedded_images(model, photos)
        for model in models
    )
    assert cosines(with_bias, without).max() < 0.9999


@torch.inference_mode()
def test_a_logit_is_scaled_and_has_its_bias(tiny: Loaded) -> None:
    photos = [jpeg(seed, 60, 50) for seed in range(3)]
    output = tiny.reference(input_ids=tiny.ids(TEXTS), pixel_values=tiny.pixels(photos))
    model = tiny.by_openvino
    ours = embedded_images(model, photos) @ embedded_texts(model, TEXTS).T
    logits = model.logit_scale * ours + model.logit_bias
    np.testing.assert_allclose(logits, output.logits_per_image, atol=100 * (1 - LEAST_COSINE))
    assert model.logit_scale == pytest.approx(np.exp(LOG_SCALE))
    assert model.logit_bias == LOGIT_BIAS


# --- what a checkpoint may be --------------------------------------------------------------------


def edited(path: Path, changes: dict[str, Any], part: str | None = None) -> None:
    content = json.loads(path.read_text())
    (content if part is None else content[part]).update(changes)
    path.write_text(json.dumps(content))


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("part", "name", "value", "reason"),
    [
        ("text_config", "projection_size", 16, "the hidden_size of pictures, 32, got 16"),
        ("text_config", "max_position_embeddings", 1, "a whole number from 2 to 65536, got 1"),
        ("vision_config", "vision_use_head", False, "true: patches are pooled by it, got false"),
        ("vision_config", "num_channels", 1, "a whole number from 3 to 3, got 1"),
        ("vision_config", "patch_size", 64, "a whole number from 1 to 32, got 64"),
    ],
)
def test_a_value_of_config_json_out_of_its_bounds_is_named_with_them(
    checkpoint: Path, part: str, name: str, value: object, reason: str
) -> None:
    edited(checkpoint / "config.json", {name: value}, part)
    with pytest.raises(ValueError, match="must be") as caught:
        read_family(checkpoint)
    assert str(caught.value) == f"config.json: {part}.{name} must be {reason}"


def without_bias(folder: Path) -> None:
    with_weights(folder, lambda state: state.pop("logit_bias"))


def two_biases(folder: Path) -> None:
    with_weights(folder, lambda state: state.update(logit_bias=torch.zeros(2)))


def without_a_layer(folder: Path) -> None:
    edited(folder / "config.json", {"num_hidden_layers": 1}, "text_config")


def of_clip(folder: Path) -> None:
    with_weights(folder, lambda state: state.pop("vision_model.head.probe"))


def without_padding(folder: Path) -> None:
    edited(folder / "tokenizer_config.json", {"pad_token": None})


def with_other_padding(folder: Path) -> None:
    edited(folder / "tokenizer_config.json", {"pad_token": {"content": "[PAD]"}})


def with_other_end(folder: Path) -> None:
    edited(folder / "tokenizer_config.json", {"eos_token": "<|endoftext|>"})


def fewer_tokens(folder: Path) -> None:
    edited(folder / "config.json", {"vocab_size": 20}, "text_config")


def sentencepiece_alone(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "spiece.model")


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def centre_crop(folder: Path) -> None:
    edited(folder / "preprocessor_config.json", {"do_center_crop": True})


def short_side(folder: Path) -> None:
    edited(folder / "preprocessor_config.json", {"size": {"shortest_edge": 32}})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_bias, "its weights lack logit_bias"),
        (two_biases, "logit_bias must be one number from -1000 to 1000, got [0.0, 0.0]"),
        (without_a_layer, "num_hidden_layers of the text_model must be 2 as in the weights, got 1"),
        (of_clip, "its weights lack 1 parameters, among them vision_model.head.probe"),
        (without_padding, "pad_token must be a token of the tokenizer, got null"),
        (
            with_other_padding,
            'pad_token must be a token of the tokenizer, got {"content": "[PAD]"}',
        ),
        (with_other_end, 'eos_token must be a token of the tokenizer, got "<|endoftext|>"'),
        (
            fewer_tokens,
            "its tokenizer's numbers must be below config.json's text_config.vocab_size",
        ),
        (
            sentencepiece_alone,
            "it has spiece.model alone for a tokenizer, and a tokenizer.json is needed",
        ),
        (without_tokenizer, "it has no tokenizer.json"),
        (centre_crop, "crop_size must be a whole number from 1 to 4096, got null"),
        (short_side, "its image processor gives images of many sizes"),
    ],
)
def test_a_folder_that_is_no_whole_siglip_says_what_is_wrong(
    checkpoint: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(checkpoint)
    with pytest.raises((ValueError, OSError)) as caught:
        Parts.read(checkpoint)
    assert reason in str(caught.value)


def test_siglip_2_of_many_resolutions_is_not_taken_for_one_of_one(checkpoint: Path) -> None:
    edited(checkpoint / "config.json", {"model_type": "siglip2"})
    reason = (
        "its model_type is 'siglip2', and only 'clip' or 'siglip' is supported: "
        "a SigLIP 2 of one resolution, such as google/siglip2-base-patch32-256, would do$"
    )
    with pytest.raises(Unavailable, match=reason):
        ModelEncoder.load(str(checkpoint))


def test_the_encoder_has_references_and_no_thresholds_until_it_is_calibrated(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (checkpoint / "references.txt").write_text("a horse\na dog\n")
    encoder = ModelEncoder.load(str(checkpoint))
    try:
        assert encoder.references.embeddings.shape == (2, 32)
        assert encoder.thresholds is None
        assert encoder.logit_bias == LOGIT_BIAS
        [embedding] = encoder.encode_images([jpeg()])
        assert embedding.vector @ embedding.vector == pytest.approx(1, abs=1e-5)  # type: ignore[union-attr]
    finally:
        encoder.close()
