"""Pictures of queries beside batches of images, over the demo model."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from imagesearch.domain.errors import RejectedImage, Unavailable
from imagesearch.domain.images import Embeddings
from imagesearch.domain.ranking import References
from imagesearch.settings import DEMO_MODEL
from inference_service.batcher import cores
from inference_service.encoder import ModelEncoder
from inference_service.images import Decoding, Pixels
from inference_service.model import Framed, Model
from tools.pictures import encoded, jpeg, picture

LARGE = encoded(Image.new("L", (3_000, 3_000)), "PNG")


@dataclass(frozen=True)
class Busy(Model):
    """The demo's model; what it decodes on `held` threads, or embeds as images, waits."""

    held: set[str] = field(default_factory=lambda: {"large image-batcher"})
    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def framed(self, decoding: Decoding) -> Framed:
        if threading.current_thread().name in self.held:
            self._wait()
        return super().framed(decoding)

    def embed_images(self, images: Sequence[Pixels]) -> Embeddings:
        self._wait()
        return super().embed_images(images)

    def _wait(self) -> None:
        self.begun.release()
        assert self.gate.wait(60)


@pytest.fixture
def busy() -> Iterator[tuple[Busy, ModelEncoder]]:
    model = Busy(**vars(Model.load(DEMO_MODEL, "cpu")))
    encoder = ModelEncoder(model, "demo-0-p1", References(np.empty((0, 0), np.float32)), None)
    try:
        yield model, encoder
    finally:
        model.gate.set()
        encoder.close()


@pytest.fixture(scope="module")
def demo() -> Iterator[ModelEncoder]:
    encoder = ModelEncoder.load(str(DEMO_MODEL))
    yield encoder
    encoder.close()


def animation(kind: str) -> bytes:
    frames = [picture(seed, 64, 48) for seed in range(3)]
    data = io.BytesIO()
    frames[0].save(data, kind, save_all=True, append_images=frames[1:])
    return data.getvalue()


def test_a_query_s_picture_has_the_embedding_of_a_stored_image(demo: ModelEncoder) -> None:
    for data in (jpeg(1), encoded(picture(2, 64, 48), "PNG"), encoded(picture(3, 64, 48), "WEBP")):
        [stored] = demo.encode_images([data])
        assert not isinstance(stored, Exception)
        assert demo.encode_picture(data) @ stored.vector > 0.9999


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_no_picture_of_a_query(demo: ModelEncoder, kind: str) -> None:
    data = animation(kind)
    [stored] = demo.encode_images([data])
    assert not isinstance(stored, Exception), "of a stored one the first frame counts"
    with pytest.raises(RejectedImage, match=f"an animated {kind}; only still pictures are read"):
        demo.encode_picture(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes that are no JPEG"),
        (b"<html>", "an HTML page"),
        (animation("GIF"), "a GIF image"),
        (jpeg()[:600], "the JPEG is truncated"),
        (encoded(Image.new("1", (8_000, 8_000)), "PNG"), "more than 50000000 pixels"),
        (encoded(Image.new("L", (7, 7)), "PNG"), "a side under 8 pixels"),
    ],
)
def test_a_picture_that_cannot_be_read_says_why(demo: ModelEncoder, data: bytes, why: str) -> None:
    with pytest.raises(RejectedImage, match=why):
        demo.encode_picture(data)


def test_a_picture_waits_for_no_batch(busy: tuple[Busy, ModelEncoder]) -> None:
    model, encoder = busy
    model.gate.set()
    encoder.warm_up()  # of the first ones one proves the model, and all others wait for it
    model.gate.clear()
    while model.begun.acquire(blocking=False):
        pass
    with ThreadPoolExecutor() as callers:
        batches = [callers.submit(encoder.encode_images, [jpeg(seed)] * 40) for seed in range(3)]
        for _ in range(model.towers.image_threads):
            assert model.begun.acquire(timeout=60)
        for seed in range(5):
            assert encoder.encode_picture(jpeg(seed)).ndim == 1
        assert not any(batch.done() for batch in batches)
        model.gate.set()
        assert sum(len(batch.result()) for batch in batches) == 120


def test_a_large_picture_waits_for_no_large_image_of_a_batch(
    busy: tuple[Busy, ModelEncoder],
) -> None:
    model, encoder = busy
    with ThreadPoolExecutor() as callers:
        batch = callers.submit(encoder.encode_images, [LARGE, LARGE])
        assert model.begun.acquire(timeout=60)
        assert encoder.encode_picture(LARGE).ndim == 1
        assert not batch.done()
        model.gate.set()
        assert len(batch.result()) == 2


def test_of_large_pictures_one_is_decoded_at_a_time_and_small_ones_wait_for_none(
    busy: tuple[Busy, ModelEncoder],
) -> None:
    model, encoder = busy
    model.held.add("large picture-batcher")
    with ThreadPoolExecutor() as callers:
        large = [callers.submit(encoder.encode_picture, LARGE) for _ in range(cores() + 1)]
        assert model.begun.acquire(timeout=60)
        assert encoder.encode_picture(jpeg()).ndim == 1
        assert not model.begun.acquire(blocking=False)
        assert not any(each.done() for each in large)
        model.gate.set()
        assert all(each.result().ndim == 1 for each in large)


def test_a_closed_encoder_takes_no_picture() -> None:
    encoder = ModelEncoder.load(str(DEMO_MODEL))
    encoder.close()
    with pytest.raises(Unavailable, match="is stopping"):
        encoder.encode_picture(jpeg())
