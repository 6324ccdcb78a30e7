"""The encoder agrees with `transformers` at full size, and bears whatever it is given.

The tests on `full_size` build and run a CLIP as wide as ViT-B/32, with `make test FULL=1` also as
deep: 605 MB. All others use one of 0.5 MB.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPProcessor

from imagesearch.demo import drawing, scenes
from imagesearch.domain.errors import (
    DeadlineExceeded,
    ImageSearchError,
    Overloaded,
    RejectedImage,
    Unavailable,
)
from imagesearch.domain.images import Embedding, Embeddings
from imagesearch.domain.ranking import References
from imagesearch.ports import Encoder, ImageEmbedding, TextEmbedding
from inference_service.batcher import cores
from inference_service.callers import Caller, working_for
from inference_service.checkpoint import read_weights
from inference_service.encoder import (
    LARGE_BYTES,
    LARGE_WORK,
    MAX_WAITING_TEXTS,
    TEXT_BATCH,
    ModelEncoder,
)
from inference_service.images import Decoding, Pixels
from inference_service.model import Framed, Model, Parts
from inference_service.picture_files import MAX_SCANS
from inference_service.runtimes.torch import TorchTowers
from inference_service.typed_text import straightened
from tests.effort import amount
from tests.precision import computing_in_float32, has_bfloat16  # noqa: F401 - a fixture
from tests.unit.test_batcher import until
from tools.checkpoints import NoVocabulary, age, save_full_size, save_tiny, save_vision
from tools.pictures import encoded, jpeg, run_jpeg

load_model = Model.load  # as it is, whatever fixtures make of it
LAYERS = amount(2, 12)  # each is computed alike
VISION_LAYERS = amount(4, 12)  # what a process holds of them is measured
NO_REFERENCES = References(np.empty((0, 16), np.float32))
DEMO_MODEL = Path(__file__).resolve().parents[2] / "models" / "demo"
SIZES = [
    (640, 427), (427, 640), (640, 427), (300, 300), (224, 224), (60, 50), (50, 60), (2000, 10),
    (10, 2000), (1280, 400), (333, 1001), (9, 9),
]  # fmt: skip
TEXTS = [
    "a",
    "horses amidst flowers",
    "A photo of TWO dogs, playing in the snow!",
    "一匹马在花丛中",
    "حصان بين الزهور",
    "फूलों के बीच घोड़े",
    "🐎🌸 👨‍👩‍👧‍👦 🏳️‍🌈",
    "Z̷̢͝a̶l̸g̵o e\u0301 n\u0303",
    "  \t spaces\n and  newlines  ",
    "   ",
    "it's 100% <b>&amp;</b> \x00 \u200b",
    "horse " * 300,
    "馬" * 200,
    "very " * 75 + "last",
]


# --- agreement at full ViT-B/32 size -------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """`transformers`' own CLIP on the same checkpoint."""

    model: CLIPModel
    processor: CLIPProcessor

    @torch.inference_mode()
    def images(self, images: Sequence[bytes]) -> Embeddings:
        inputs = self.processor(images=[pil(data) for data in images], return_tensors="pt")
        return unit(self.model.get_image_features(**inputs).pooler_output)

    @torch.inference_mode()
    def text(self, text: str) -> Embedding:
        embeddings = unit(self.model.get_text_features(**self._tokens([text])).pooler_output)
        return np.asarray(embeddings[0], np.float32)

    @torch.inference_mode()
    def logits(self, texts: list[str], images: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the logits, (images, texts)."""
        inputs = self.processor(images=[pil(data) for data in images], return_tensors="pt")
        output = self.model(**inputs, **self._tokens(texts))
        return np.asarray(output.logits_per_image)

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        options = {"truncation": True, "max_length": 77, "padding": True}
        return dict(self.processor(text=texts, return_tensors="pt", **options))


def pil(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def unit(features: torch.Tensor) -> Embeddings:
    return np.asarray(features / features.norm(dim=-1, keepdim=True))


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("checkpoint") / "ViT-B-32"
    try:
        save_full_size(folder, LAYERS)
    except NoVocabulary as error:
        if os.environ.get("REQUIRE_BACKENDS") == "1":
            raise
        pytest.skip(str(error))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def encoder(full_size: Path) -> Iterator[ModelEncoder]:
    encoder = ModelEncoder.load(str(full_size))
    yield encoder
    encoder.close()


@pytest.fixture(scope="module")
def reference(full_size: Path) -> Reference:
    return Reference(CLIPModel.from_pretrained(full_size), CLIPProcessor.from_pretrained(full_size))


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    return [jpeg(seed, *size) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def embedded(encoder: ModelEncoder, photos: list[bytes]) -> Embeddings:
    return stacked(encoder.encode_images(photos))


@pytest.fixture(scope="module")
def expected(reference: Reference, photos: list[bytes]) -> Embeddings:
    return reference.images(photos)


def stacked(outcomes: Sequence[ImageEmbedding | ImageSearchError]) -> Embeddings:
    return np.stack([each.vector for each in outcomes if isinstance(each, ImageEmbedding)])


def cosines(ours: Embeddings, theirs: Embeddings) -> Embedding:
    """Return the cosine of each row of *ours* with the same row of *theirs*."""
    norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    return np.asarray((ours * theirs).sum(-1) / norms, np.float32)


def test_image_embeddings_agree_from_jpeg_bytes_on(
    embedded: Embeddings, expected: Embeddings
) -> None:
    assert cosines(embedded, expected).min() > 0.999


def test_pictures_of_queries_agree_too(
    encoder: ModelEncoder, photos: list[bytes], expected: Embeddings
) -> None:
    pictures = np.stack([encoder.encode_picture(data) for data in photos[:4]])
    assert cosines(pictures, expected[:4]).min() > 0.999


def test_the_differences_between_images_agree_too(
    embedded: Embeddings, expected: Embeddings
) -> None:
    """Else all images on one vector, as random weights tend to give, would look like agreement."""
    centre = expected.mean(axis=0)
    assert cosines(embedded - centre, expected - centre).min() > 0.999
    pairs = expected @ expected.T - np.eye(len(expected))
    assert pairs.max() < 0.99


def test_the_agreement_notices_another_preprocessing(
    encoder: ModelEncoder, photos: list[bytes], expected: Embeddings
) -> None:
    squashed = [pil(data).resize((224, 224)) for data in photos[:3]]
    others = stacked(encoder.encode_images([encoded(image, "PNG") for image in squashed]))
    assert cosines(others, expected[:3]).max() < 0.999


def test_embeddings_are_float32_of_unit_norm(embedded: Embeddings, encoder: ModelEncoder) -> None:
    assert embedded.dtype == np.float32
    assert embedded.shape == (len(SIZES), 512)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    vector = encoder.encode_text("horse").vector
    assert vector.dtype == np.float32
    assert vector.shape == (512,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_embeddings_agree_in_any_script_and_length(
    encoder: ModelEncoder, reference: Reference, text: str
) -> None:
    """`transformers` does not straighten what is typed."""
    assert encoder.encode_text(text).vector @ reference.text(straightened(text)) > 0.999


def test_the_texts_are_told_apart(encoder: ModelEncoder) -> None:
    vectors = np.stack([encoder.encode_text(text).vector for text in TEXTS])
    assert (vectors @ vectors.T - np.eye(len(TEXTS))).max() < 0.99


def test_logits_agree_within_a_hundredth(
    encoder: ModelEncoder, reference: Reference, photos: list[bytes], embedded: Embeddings
) -> None:
    texts = vectors([encoder.encode_text(text) for text in TEXTS])
    ours = encoder.logit_scale * embedded[:4] @ texts.T
    theirs = reference.logits([straightened(text) for text in TEXTS], photos[:4])
    np.testing.assert_allclose(ours, theirs, atol=1e-2)
    assert np.ptp(theirs, axis=0).min() > 1.0
    assert encoder.logit_scale == pytest.approx(100)


@pytest.mark.parametrize(("words", "truncated"), [(1, False), (75, False), (76, True), (400, True)])
def test_a_query_is_called_truncated_when_its_77_tokens_do_not_hold_it(
    encoder: ModelEncoder, words: int, truncated: bool
) -> None:
    assert encoder.encode_text(" ".join(["horse"] * words)).truncated is truncated


def test_what_is_past_the_77th_token_changes_nothing(encoder: ModelEncoder) -> None:
    start = "horse " * 75
    ends = [encoder.encode_text(start + end).vector for end in ("cat", "dogs in the snow")]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)


def test_an_image_alone_and_in_a_batch_gives_one_embedding(
    encoder: ModelEncoder, photos: list[bytes], embedded: Embeddings
) -> None:
    alone = stacked([encoder.encode_images([data])[0] for data in photos[:4]])
    assert cosines(alone, embedded[:4]).min() > 0.99999


def test_a_text_alone_and_in_a_batch_gives_one_embedding(encoder: ModelEncoder) -> None:
    batch = encoder._model.embed_texts(TEXTS)
    alone = [encoder.encode_text(text) for text in TEXTS]
    assert cosines(vectors(batch), vectors(alone)).min() > 0.99999
    assert [one.truncated for one in batch] == [one.truncated for one in alone]


def on_torch(folder: Path, precision: Literal["float32", "bfloat16"] = "float32") -> Model:
    parts = Parts.read(folder)
    return parts.model(TorchTowers(parts.family, parts.weights, parts.framing, "cpu", precision))


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.9999), ("bfloat16", 0.999)])
def test_torch_where_there_is_no_openvino_gives_the_same_embeddings(
    precision: Literal["float32", "bfloat16"], least: float
) -> None:
    """On trained weights: random ones of this spread enlarge whatever is rounded."""
    clip = Model.load(DEMO_MODEL, "cpu")
    theirs = on_torch(DEMO_MODEL, precision)
    pixels = [clip.preprocess(jpeg(seed)) for seed in range(4)]
    assert cosines(clip.embed_images(pixels), theirs.embed_images(pixels)).min() > least
    assert cosines(clip.embed_pictures(pixels), theirs.embed_pictures(pixels)).min() > least
    texts = [vectors(one.embed_texts(TEXTS)) for one in (clip, theirs)]
    assert cosines(*texts).min() > least


def test_where_the_processor_has_bfloat16_embeddings_are_near_those_of_float32() -> None:
    if not has_bfloat16():
        pytest.skip("the processor computes in float32 alone")
    pictures = [jpeg(seed) for seed in range(4)]

    def embedded(*, in_float32: bool) -> tuple[Embeddings, Embeddings, Embeddings]:
        clip = load_model(DEMO_MODEL, "cpu", in_float32=in_float32)
        pixels = [clip.preprocess(data) for data in pictures]
        texts = vectors(clip.embed_texts(TEXTS))
        return texts, clip.embed_images(pixels), clip.embed_pictures(pixels)

    exact, fast = embedded(in_float32=True), embedded(in_float32=False)
    texts, images, pictures_of_queries = map(cosines, fast, exact)
    assert 0.999 < min(texts) < 0.9999999
    assert 0.999 < min(images) < 0.9999999
    assert min(pictures_of_queries) > 0.9999999, "they are in float32 on every processor"


def test_torch_gives_several_threads_at_once_their_own_embeddings() -> None:
    clip = on_torch(DEMO_MODEL)
    towers = clip.towers
    batches = [np.stack([clip.preprocess(jpeg(4 * n + i)) for i in range(4)]) for n in range(4)]
    alone = [towers.embed_pixels(batch) for batch in batches]
    with ThreadPoolExecutor(4) as callers:
        together = list(callers.map(towers.embed_pixels, batches))
    assert cosines(np.concatenate(together), np.concatenate(alone)).min() > 0.99999


@pytest.fixture(scope="module")
def calm_vision(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    A CLIP with the vision tower of a ViT-B/32 and hardly a text tower.

    Its attention is as it begins a training; see `calm_vision` of test_siglip.py.
    """
    folder = tmp_path_factory.mktemp("checkpoint") / "calm"
    save_vision(folder, VISION_LAYERS)
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if name.startswith("vision") and name.endswith(("q_proj.weight", "k_proj.weight")):
            weight.mul_(1 / 3)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def calm(calm_vision: Path) -> Iterator[ModelEncoder]:
    with loaded(calm_vision) as encoder:
        yield encoder


@pytest.mark.parametrize("size", [(1280, 960), (1281, 957)])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_and_embeds_the_same(
    calm: ModelEncoder, size: tuple[int, int]
) -> None:
    """The same picture as PNG is decoded whole."""
    data = jpeg(7, *size)
    whole = encoded(Image.open(io.BytesIO(data)), "PNG")
    too_small = Image.open(io.BytesIO(data))
    too_small.draft("RGB", (size[0] // 8, size[1] // 8))
    images = [data, whole, encoded(too_small, "PNG")]
    drafted, full, smaller = stacked(calm.encode_images(images))
    assert 0.9999 < drafted @ full < 1 - 1e-6
    assert smaller @ full < 0.9999, "an eighth would not do"


def test_the_demo_model_embeds_the_pictures_of_its_gallery_the_same_at_a_fraction() -> None:
    """Its pictures are smaller than those of other models, and clearer."""
    clip = Model.load(DEMO_MODEL, "cpu")
    photos = [drawing.jpeg(scenes.scene(number)) for number in range(0, 480, 480 // amount(8, 24))]
    drafted = [clip.preprocess(data) for data in photos]
    assert clip.plan(photos[0]).scale == 2
    whole = [clip.preprocess(encoded(Image.open(io.BytesIO(data)), "PNG")) for data in photos]
    assert cosines(clip.embed_images(drafted), clip.embed_images(whole)).min() > 0.9998


def test_openvino_leaves_nothing_in_the_home(tmp_path: Path) -> None:
    """Its reports' own library would make a folder there, and an id of whoever runs it."""
    code = "import inference_service.runtimes.openvino"
    subprocess.run([sys.executable, "-c", code], env={"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


PER_THREAD = """
import os, sys
from pathlib import Path
from inference_service.encoder import ModelEncoder

def spent():
    '''Return the seconds of CPU that the threads of each niceness took.'''
    taken = {}
    for thread in Path("/proc/self/task").iterdir():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        nice, ticks = int(fields[16]), int(fields[11]) + int(fields[12])
        taken[nice] = taken.get(nice, 0) + ticks / os.sysconf("SC_CLK_TCK")
    return taken

def spent_by(work, number):
    work(2)
    before = spent()
    work(number)
    after = spent()
    return {nice: round(after[nice] - before.get(nice, 0), 2) for nice in after}

encoder = ModelEncoder.load(sys.argv[1])
photo = Path(sys.argv[2]).read_bytes()
works = {
    "images": lambda number: encoder.encode_images([photo] * number),
    "picture": lambda number: [encoder.encode_picture(photo) for _ in range(number)],
}
print({name: spent_by(works[name], 24) for name in sys.argv[3:]})
encoder.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness on Linux only")
@pytest.mark.parametrize("order", [("images", "picture"), ("picture", "images")], ids=str)
def test_the_arithmetic_of_images_is_done_by_threads_that_let_a_search_go_first(
    calm_vision: Path, tmp_path: Path, order: tuple[str, str]
) -> None:
    """CPU time of each thread, not of the clock: what else the machine does is not in it."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(0, 510, 340))
    command = [sys.executable, "-c", PER_THREAD, str(calm_vision), str(photo), *order]
    taken = ast.literal_eval(subprocess.check_output(command, text=True))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    behind, ahead = (
        {name: sum(of[nice] for nice in of if (nice > own) is later) for name, of in taken.items()}
        for later in (True, False)
    )
    assert behind["images"] > 0.2
    ticks = 0.03  # it is told in hundredths of a second
    assert ahead["images"] < max(ticks, behind["images"] / 20)
    assert ahead["picture"] > 0.1
    assert behind["picture"] < max(ticks, ahead["picture"] / 20)


PICTURE_ALONE = """
import sys
from pathlib import Path
from inference_service.encoder import ModelEncoder

def own():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) // 1024

encoder = ModelEncoder.load(sys.argv[1])
before = own()
encoder.encode_picture(Path(sys.argv[2]).read_bytes())
print(own() - before)
encoder.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_query_s_picture_takes_no_copy_of_the_vision_tower_s_weights(
    calm_vision: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(0, 510, 340))
    command = [sys.executable, "-c", PICTURE_ALONE, str(calm_vision), str(photo)]
    # What the picture itself takes is some 60 MB, however few layers the tower has.
    assert int(subprocess.check_output(command, text=True)) < 0.8 * vision_megabytes(calm_vision)


def vision_megabytes(folder: Path) -> float:
    """Return how large the weights of the vision tower are."""
    weights = read_weights(folder)
    return sum(weights[name].nbytes for name in weights if name.startswith("vision")) / 2**20


TEXT_ALONE = """
import sys
from pathlib import Path
from inference_service.encoder import ModelEncoder

def peak():
    status = Path("/proc/self/status").read_text()  # what getrusage says may be the parent's
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024

encoder = ModelEncoder.load(sys.argv[1])
encoder.encode_text("horse")
encoder.check()
before = peak()
encoder.warm_up()
print(before, peak())
encoder.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_process_that_has_embedded_no_image_has_not_loaded_the_vision_tower(
    calm_vision: Path,
) -> None:
    command = [sys.executable, "-c", TEXT_ALONE, str(calm_vision)]
    texts, both = map(int, subprocess.check_output(command, text=True).split())
    assert both - texts > 0.7 * vision_megabytes(calm_vision)


def vectors(texts: Sequence[TextEmbedding]) -> Embeddings:
    return np.stack([text.vector for text in texts])


# --- what images may do --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> Iterator[ModelEncoder]:
    encoder = ModelEncoder.load(str(tiny_folder))
    yield encoder
    encoder.close()


def test_bad_images_are_rejected_in_place_and_cost_the_others_nothing(tiny: ModelEncoder) -> None:
    good = [jpeg(seed) for seed in range(16)]
    bad = [b"", b"<html>", good[0][:200], encoded(Image.new("RGB", (1, 1)))]
    mixed = [data for pair in zip(good, bad * 4, strict=True) for data in pair]
    outcomes = tiny.encode_images(mixed)
    assert [isinstance(outcome, RejectedImage) for outcome in outcomes] == [False, True] * 16
    assert all(str(outcome) for outcome in outcomes[1::2])
    assert cosines(stacked(outcomes), stacked(tiny.encode_images(good))).min() > 0.9999


def test_a_batch_of_bad_images_alone_is_rejected(tiny: ModelEncoder) -> None:
    assert all(isinstance(one, RejectedImage) for one in tiny.encode_images([b"", b"text"]))


def test_no_images_give_no_embeddings(tiny: ModelEncoder) -> None:
    assert tiny.encode_images([]) == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("a dog’s tail", "a dog's tail"),
        ("ａ　ＤＯＧ", "a dog"),
        ("ﬁsh &amp;amp; chips", "fish & chips"),
        ("horse \ud800", "horse \ufffd"),
        ("\ud83d\udc0e", "🐎"),
    ],
)
def test_a_text_is_embedded_as_its_straightened_form(
    tiny: ModelEncoder, typed: str, meant: str
) -> None:
    ours = tiny.encode_text(typed).vector
    np.testing.assert_allclose(ours, tiny.encode_text(meant).vector, atol=1e-6)


def test_many_threads_get_their_own_embeddings(tiny: ModelEncoder) -> None:
    texts = [f"{i} horses" for i in range(48)]
    images = [jpeg(seed) for seed in range(48)]
    alone_texts = [tiny.encode_text(text).vector for text in texts]
    alone_images = stacked([tiny.encode_images([data])[0] for data in images])
    with ThreadPoolExecutor(16) as callers:
        text_answers = callers.map(tiny.encode_text, texts)
        image_answers = callers.map(lambda data: tiny.encode_images([data])[0], images)
        together = vectors(list(text_answers))
        assert cosines(stacked(list(image_answers)), alone_images).min() > 0.9999
    assert cosines(together, np.stack(alone_texts)).min() > 0.9999


# --- what a model may do -------------------------------------------------------------------------


def open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


@dataclass(frozen=True)
class Moody(Model):
    """A real CLIP that waits at its gates, and raises what it is told to."""

    image_gate: threading.Event = field(default_factory=open_gate)
    text_gate: threading.Event = field(default_factory=open_gate)
    errors: list[Exception] = field(default_factory=list)
    white: float = 1.0  # by which the embedding of what is white is multiplied

    def embed_images(self, images: Sequence[Pixels]) -> Embeddings:
        self._pass(self.image_gate)
        embeddings = super().embed_images(images)
        embeddings[[image.min() == 255 for image in images]] *= self.white
        return embeddings

    def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        self._pass(self.text_gate)
        return super().embed_texts(texts)

    def _pass(self, gate: threading.Event) -> None:
        assert gate.wait(60)
        if self.errors:
            raise self.errors[0]


@contextmanager
def moody_encoder(folder: Path, **mood: Any) -> Iterator[tuple[Moody, ModelEncoder]]:
    moody = Moody(**vars(Model.load(folder, "cpu")), **mood)
    encoder = ModelEncoder(moody, "moody-0-p1", NO_REFERENCES, None)
    try:
        yield moody, encoder
    finally:
        moody.text_gate.set()
        moody.image_gate.set()
        encoder.close()


@pytest.mark.parametrize("factor", [np.nan, np.inf, 0.0, 0.99, 1e30])
def test_an_embedding_that_is_no_unit_vector_rejects_its_image_alone(
    tiny_folder: Path, factor: float
) -> None:
    white = encoded(Image.new("RGB", (32, 32), "white"))
    with moody_encoder(tiny_folder, white=factor) as (_, encoder):
        outcomes = encoder.encode_images([jpeg(1), white, jpeg(2)])
    assert "not finite" in str(outcomes[1])
    assert np.isfinite(stacked([outcomes[0], outcomes[2]])).all()


def test_a_search_does_not_wait_for_images(tiny_folder: Path) -> None:
    with moody_encoder(tiny_folder) as (moody, encoder), ThreadPoolExecutor() as callers:
        moody.image_gate.clear()
        images = callers.submit(encoder.encode_images, [jpeg()])
        assert encoder.encode_text("horse").vector.shape == (24,)
        assert not images.done()
        moody.image_gate.set()
        assert len(images.result()) == 1


def test_more_texts_than_may_wait_are_refused_at_once(tiny_folder: Path) -> None:
    with moody_encoder(tiny_folder) as (moody, encoder):
        moody.text_gate.clear()
        refusals = []
        with ThreadPoolExecutor(100) as callers:
            asked = [callers.submit(encoder.encode_text, "horse") for _ in range(100)]
            for one in as_completed(asked, timeout=60):
                if isinstance(one.exception(), Overloaded):
                    refusals.append(one)
                # The texts that were taken are the queue's, and at most a batch of early ones.
                if len(refusals) >= 100 - MAX_WAITING_TEXTS - TEXT_BATCH:
                    moody.text_gate.set()
        assert len(refusals) >= 100 - MAX_WAITING_TEXTS - TEXT_BATCH
        assert encoder.encode_text("horse").vector.shape == (24,)


def test_a_failing_model_fails_the_call_and_the_next_one_works(tiny_folder: Path) -> None:
    with moody_encoder(tiny_folder) as (moody, encoder):
        moody.errors.append(RuntimeError("CUDA error: out of memory"))
        with pytest.raises(Unavailable, match=r"the image encoder failed \(RuntimeError\)"):
            encoder.encode_images([jpeg()])
        with pytest.raises(Unavailable, match=r"the text encoder failed \(RuntimeError\)"):
            encoder.encode_text("horse")
        moody.errors.clear()
        assert len(stacked(encoder.encode_images([jpeg()]))) == 1


def test_a_call_past_its_time_limit_ends(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("TEXT_LIMIT_SECONDS", "IMAGE_LIMIT_SECONDS", "PICTURE_LIMIT_SECONDS"):
        monkeypatch.setattr(f"inference_service.encoder.{limit}", 0.01)
    with moody_encoder(tiny_folder) as (moody, encoder):
        moody.text_gate.clear()
        moody.image_gate.clear()
        with pytest.raises(DeadlineExceeded):
            encoder.encode_text("horse")
        with pytest.raises(DeadlineExceeded):
            encoder.encode_images([jpeg()])
        with pytest.raises(DeadlineExceeded):
            encoder.encode_picture(jpeg())


def test_a_model_that_never_ran_or_fails_is_tried_and_told(tiny_folder: Path) -> None:
    with moody_encoder(tiny_folder) as (moody, encoder):
        moody.errors.append(RuntimeError("CUDA error"))
        with pytest.raises(Unavailable, match="RuntimeError"):
            encoder.check()
        moody.errors.clear()
        encoder.check()
        moody.text_gate.clear()
        moody.image_gate.clear()
        encoder.check()  # it ran just now, so it is not tried again


@pytest.mark.parametrize("gate", ["text_gate", "image_gate"])
def test_a_stuck_model_is_not_ready(
    tiny_folder: Path, gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_service.encoder.CHECK_LIMIT_SECONDS", 0.5)
    with moody_encoder(tiny_folder) as (moody, encoder):
        getattr(moody, gate).clear()
        if gate == "image_gate":
            # The picture is decoded by then.
            monkeypatch.setattr("inference_service.encoder.IMAGE_LIMIT_SECONDS", 0.5)
            with pytest.raises(DeadlineExceeded):
                encoder.encode_images([jpeg()])
        with pytest.raises(Unavailable, match=f"stuck: the {gate[:-5]} encoder took more than"):
            encoder.check()
        getattr(moody, gate).set()
        monkeypatch.undo()  # a busy machine takes its time
        encoder.check()


def test_a_process_that_was_asked_for_texts_alone_is_ready_without_images(
    tiny_folder: Path,
) -> None:
    with moody_encoder(tiny_folder) as (moody, encoder):
        moody.image_gate.clear()
        encoder.check()


def test_a_vision_tower_that_is_broken_rejects_no_image(checkpoint: Path) -> None:
    """It is the model's fault: the batch is delivered again, and the process is not ready."""
    model = CLIPModel.from_pretrained(checkpoint)
    norm = model.vision_model.post_layernorm
    norm.weight.data[:] = model.visual_projection.weight.data[:] = 0
    norm.bias.data[:2] = 1
    model.visual_projection.weight.data[:, :2] = torch.tensor([1.0, -1.0])  # all of length 0
    model.save_pretrained(checkpoint)
    with loaded(checkpoint) as encoder:
        encoder.check()
        for _ in range(2):
            with pytest.raises(Unavailable, match="not finite"):
                encoder.encode_images([jpeg()])
            with pytest.raises(Unavailable, match="not finite"):
                encoder.encode_picture(jpeg())
        with pytest.raises(Unavailable, match="not finite"):
            encoder.check()
        assert encoder.encode_text("horse").vector.shape == (24,)


def test_images_whose_caller_gave_up_do_not_fail_those_of_another(tiny_folder: Path) -> None:
    """Both are in one batch when the first caller goes."""
    with moody_encoder(tiny_folder) as (moody, encoder), ThreadPoolExecutor() as callers:
        moody.image_gate.clear()
        caller = Caller()

        def give_up() -> None:
            with working_for(caller), pytest.raises(DeadlineExceeded):
                encoder.encode_images([jpeg(seed) for seed in range(40)])

        given_up = callers.submit(give_up)
        until(lambda: encoder._images.was_asked)
        wanted = callers.submit(encoder.encode_images, [jpeg(seed) for seed in range(3)])
        caller.go()
        moody.image_gate.set()
        given_up.result()
        assert len(stacked(wanted.result())) == 3


@dataclass(frozen=True)
class Slow(Model):
    """A real CLIP whose decoding of images of *slow* pixels waits at a gate."""

    slow: tuple[int, int] = (0, 0)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: list[Decoding] = field(default_factory=list)

    def framed(self, decoding: Decoding) -> Framed:
        if decoding.file.size == self.slow:
            self.entered.append(decoding)
            assert self.gate.wait(60)
        return super().framed(decoding)


@contextmanager
def slow_encoder(folder: Path, slow: tuple[int, int]) -> Iterator[tuple[Slow, ModelEncoder]]:
    watched = Slow(**vars(Model.load(folder, "cpu")), slow=slow)
    encoder = ModelEncoder(watched, "slow-0-p1", NO_REFERENCES, None)
    try:
        yield watched, encoder
    finally:
        watched.gate.set()
        encoder.close()


def test_images_that_are_slow_to_decode_do_not_keep_the_model_from_working(
    tiny_folder: Path,
) -> None:
    """It is ready while every thread that decodes is busy, and for more batches than it takes."""
    with slow_encoder(tiny_folder, (40, 40)) as (clip, encoder), ThreadPoolExecutor() as callers:
        slow = callers.submit(encoder.encode_images, [jpeg(0, 40, 40)] * 40)
        until(lambda: len(clip.entered) == cores())
        encoder.warm_up()
        encoder.check()
        clip.gate.set()
        assert len(stacked(slow.result())) == 40


@pytest.mark.parametrize(
    ("size", "large"),
    [
        ((3_000, 3_000), encoded(Image.new("L", (3_000, 3_000)), "PNG")),
        ((1_800, 1_800), run_jpeg(1_800, MAX_SCANS)),
    ],
    ids=["large", "slow"],
)
def test_large_or_slow_images_are_decoded_one_at_a_time_and_others_meanwhile(
    tiny_folder: Path, size: tuple[int, int], large: bytes
) -> None:
    with slow_encoder(tiny_folder, size) as (clip, encoder), ThreadPoolExecutor() as callers:
        decoding = clip.plan(large)
        assert (decoding.memory_bytes > LARGE_BYTES) != (decoding.work > LARGE_WORK)
        answers = [callers.submit(encoder.encode_images, [large, jpeg()]) for _ in range(3)]
        until(lambda: encoder._large_decoder.waiting == 2)
        assert len(stacked(encoder.encode_images([jpeg()] * 8))) == 8
        assert len(clip.entered) == 1
        clip.gate.set()
        assert all(len(stacked(answer.result())) == 2 for answer in answers)


def test_what_is_embedded_when_the_encoder_gives_up_is_returned_with_the_errors_of_the_rest(
    tiny_folder: Path,
) -> None:
    size = (3_000, 3_000)
    large, slow = (encoded(Image.new("L", (3_000, side)), "PNG") for side in (2_900, 3_000))
    with slow_encoder(tiny_folder, size) as (clip, encoder), ThreadPoolExecutor() as callers:
        answer = callers.submit(encoder.encode_images, [slow, large, large, b"", jpeg()])
        until(lambda: len(clip.entered) == 1)
        encoder._large_decoder.stop()
        clip.gate.set()
        done, *late, bad, ordinary = answer.result()
        assert len(stacked([done, ordinary])) == 2
        assert isinstance(bad, RejectedImage)
        assert [type(one) for one in late] == [Unavailable] * 2


def test_a_closed_encoder_is_unavailable(tiny_folder: Path) -> None:
    encoder: Encoder = (closed := ModelEncoder.load(str(tiny_folder)))
    closed.close()
    with pytest.raises(Unavailable, match="is stopping"):
        encoder.encode_texts(["horse"])
    with pytest.raises(Unavailable, match="is stopping"):
        encoder.encode_images([jpeg()])


# --- what a checkpoint may be --------------------------------------------------------------------


@pytest.fixture
def checkpoint(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny checkpoint that a test may spoil."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "my model"))


@contextmanager
def loaded(folder: Path) -> Iterator[ModelEncoder]:
    encoder = ModelEncoder.load(str(folder))
    try:
        yield encoder
    finally:
        encoder.close()


def test_the_oldest_layout_of_the_hub_gives_the_same_embeddings(
    checkpoint: Path, tiny: ModelEncoder
) -> None:
    """With a pickle, vocab.json and merges.txt, sizes as numbers and 2 as the end token."""
    age(checkpoint)
    assert not {"model.safetensors", "tokenizer.json"} & {
        path.name for path in checkpoint.iterdir()
    }
    with loaded(checkpoint) as old:
        texts = ["a horse", "flowers " * 30]
        theirs, ours = ([one.encode_text(text) for text in texts] for one in (tiny, old))
        assert cosines(vectors(ours), vectors(theirs)).min() > 0.99999
        assert [one.truncated for one in ours] == [False, True]
        photos = [jpeg(seed) for seed in range(3)]
        images = [stacked(one.encode_images(photos)) for one in (old, tiny)]
        assert cosines(*images).min() > 0.99999


def test_bfloat16_weights_are_read_without_torch_and_as_torch_reads_them(checkpoint: Path) -> None:
    CLIPModel.from_pretrained(checkpoint, dtype=torch.bfloat16).save_pretrained(checkpoint)
    weights = read_weights(checkpoint)
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        np.testing.assert_array_equal(weights[name], tensor.float().numpy())


def test_weights_in_float32_are_views_of_the_file_and_no_copies(checkpoint: Path) -> None:
    weights = read_weights(checkpoint)
    name = "text_model.embeddings.token_embedding.weight"
    assert np.shares_memory(weights[name], weights[name])


def test_half_precision_weights_run_in_float32(checkpoint: Path, tiny: ModelEncoder) -> None:
    CLIPModel.from_pretrained(checkpoint, dtype=torch.float16).save_pretrained(checkpoint)
    with loaded(checkpoint) as half:
        vector = half.encode_text("horse").vector
        assert vector.dtype == np.float32
        assert vector @ tiny.encode_text("horse").vector > 0.999


def test_a_revision_names_the_folder_and_changes_with_what_decides_an_embedding(
    checkpoint: Path,
) -> None:
    def revision() -> str:
        with loaded(checkpoint) as encoder:
            return encoder.model_revision

    before = revision()
    assert re.fullmatch(r"my_model-[0-9a-f]{12}-p\d+", before)
    (checkpoint / "README.md").write_text("about it")
    assert revision() == before
    edit(checkpoint / "processor_config.json", ["image_processor", "image_mean"], [0.5, 0.5, 0.5])
    changed = revision()
    assert changed != before
    model = CLIPModel.from_pretrained(checkpoint)
    model.text_projection.weight.data *= 2
    model.save_pretrained(checkpoint)
    assert revision() not in (before, changed)


def edit(path: Path, keys: list[str], value: object) -> None:
    """Set the value at *keys* in a JSON file."""
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content))


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def garbage_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")


def text_half_only(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    save_file({name: state[name] for name in state if "vision" not in name}, path, {"format": "pt"})


def not_a_number(folder: Path) -> None:
    model = CLIPModel.from_pretrained(folder)
    model.text_projection.weight.data[:] = float("nan")
    model.save_pretrained(folder)


def other_architecture(folder: Path) -> None:
    edit(folder / "config.json", ["model_type"], "blip")


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def other_end_token(folder: Path) -> None:
    edit(folder / "config.json", ["text_config", "eos_token_id"], 77)


def other_image_size(folder: Path) -> None:
    crop = {"height": 16, "width": 16}
    edit(folder / "processor_config.json", ["image_processor", "crop_size"], crop)


def no_crop(folder: Path) -> None:
    edit(folder / "processor_config.json", ["image_processor", "do_center_crop"], False)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_weights, "cannot be loaded: .*(safetensors|pytorch_model)"),
        (garbage_weights, "cannot be loaded: "),
        (text_half_only, "its weights lack .* parameters, among them vis"),
        (not_a_number, "not finite"),
        (other_architecture, "its model_type is 'blip', and only 'clip' or 'siglip' is supported"),
        (no_tokenizer, "cannot be loaded: "),
        (other_end_token, "no end token 77"),
        (other_image_size, "gives images of 16 x 16, and its model takes 32 x 32"),
        (no_crop, "gives images of many sizes, and its model takes 32 x 32"),
        (empty, "cannot be loaded: "),
    ],
)
def test_a_folder_that_is_no_whole_clip_says_what_is_wrong(
    checkpoint: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(checkpoint)
    with pytest.raises(Unavailable, match=reason) as caught:
        ModelEncoder.load(str(checkpoint))
    assert f"CLIP_MODEL={checkpoint} cannot be loaded" in str(caught.value)


def test_the_checkpoint_inside_of_a_sentence_transformers_folder_is_found(
    checkpoint: Path, tmp_path: Path, tiny: ModelEncoder
) -> None:
    outer = tmp_path / "clip-ViT"
    shutil.copytree(checkpoint, outer / "0_CLIPModel")
    (outer / "modules.json").write_text('[{"idx": 0, "path": "0_CLIPModel"}]')
    with loaded(outer) as encoder:
        assert encoder.model_revision.startswith("clip-ViT-")
        assert encoder.encode_text("horse").vector @ tiny.encode_text("horse").vector > 0.9999


# --- the hub -------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_CLIENT = """
import sys
from imagesearch.domain.errors import Unavailable
from inference_service.encoder import ModelEncoder

def show(model):
    try:
        encoder = ModelEncoder.load(model)
    except Unavailable as error:
        print("|".join(str(error).splitlines()), flush=True)
    else:
        print(encoder.model_revision, len(encoder.encode_text("horse").vector), flush=True)
        encoder.close()

show("someone/tiny-clip")
show("someone/nothing")
show("someone/inner-clip")
sys.stdin.readline()
show("someone/tiny-clip")
show("someone/else")
"""


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """
    Serve *folder* as someone/tiny-clip, as the hub does, and in 0_CLIPModel as someone/inner-clip.

    Yields the URL and what was read.
    """
    downloads: list[str] = []
    address = re.compile(r"(?:/api/models)?/someone/(tiny|inner)-clip/(\w+)/(.*)")

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked = address.fullmatch(self.path.partition("?")[0])
            name, verb, path = asked.groups() if asked else ("", "", "")
            place = "0_CLIPModel/" if name == "inner" else ""
            files = {place + file.name: file.read_bytes() for file in folder.iterdir()}
            if verb == "revision":
                self._answer(json.dumps({"id": f"someone/{name}-clip", "sha": COMMIT}).encode())
            elif verb == "tree":
                listed = [
                    {"type": "file", "path": name, "size": len(data), "oid": f"{len(data):040x}"}
                    for name, data in files.items()
                ]
                self._answer(json.dumps(listed).encode())
            elif verb == "resolve":
                file = path.removeprefix(f"{COMMIT}/")
                downloads.append(file)
                self._answer(files[file])
            else:
                self._answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

        def _answer(self, body: bytes, status: int = 200, headers: Any = None) -> None:
            self.send_response(status)
            shared = {"X-Repo-Commit": COMMIT, "ETag": f'"{len(body):040x}"'}
            shared |= {"Content-Length": str(len(body)), "Content-Type": "application/json"}
            for name, value in {**shared, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", downloads
    finally:
        server.shutdown()
        server.server_close()


def test_a_model_of_the_hub_is_downloaded_once_and_used_without_a_network_later(
    checkpoint: Path, tmp_path: Path
) -> None:
    """In a process of its own: the library reads where the hub is when it is imported."""
    (checkpoint / "flax_model.msgpack").write_bytes(b"not needed")
    (checkpoint / "pytorch_model.bin").write_bytes(b"not needed beside safetensors")
    with hub(checkpoint) as (url, downloads):
        places = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
        client = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", HUB_CLIENT],
            env=os.environ | places,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert client.stdout is not None
        online = [client.stdout.readline().strip() for _ in range(3)]
    offline, errors = client.communicate("\n", timeout=120)
    assert errors == ""
    assert client.returncode == 0
    assert online[0] == "tiny-clip-0123456789ab-p3 24"
    assert online[1] == (
        f"CLIP_MODEL=someone/nothing cannot be loaded: there is no folder {Path.cwd()}"
        "/someone/nothing, and the hub shows nobody such a model without a login"
    )
    assert online[2] == "inner-clip-0123456789ab-p3 24"
    assert offline.splitlines()[0] == online[0]
    assert offline.splitlines()[1] == (
        f"CLIP_MODEL=someone/else cannot be loaded: there is no folder {Path.cwd()}/someone/else,"
        " the hub cannot be reached, and its cache here lacks the model or a part of it: a"
        " network for its first use, or a folder that holds it, would do"
    )
    assert "model.safetensors" in downloads
    assert not {"pytorch_model.bin", "flax_model.msgpack"} & {Path(one).name for one in downloads}
