"""A search by an uploaded picture, from the bytes of its form to those of its answer."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    Benchmark,
    Column,
    Figures,
    Goal,
    Row,
    checkpoint,
    photos,
    pixabay_image,
    timed,
)

STORED = 200
ROUNDS = 20
CAMERA, WEB = "JPEG, 4,000 x 3,000", "JPEG, 640 x 427"
ALONE, BESIDE = "nothing else", "batches of images"


class Door:
    """The query function of the embedded edition over *STORED* images, asked in this process."""

    def __init__(self, model: Path, folder: Path) -> None:
        from imagesearch.local.embedded.services import EmbeddedServices
        from imagesearch.local.embedded.stack import mount
        from imagesearch.settings import load_settings
        from inference_service.encoder import ModelEncoder

        nowhere = "http://127.0.0.1:9"  # no image is fetched
        settings = load_settings(data_dir=str(folder / "data"), source="demo", gallery_url=nowhere)
        self.encoder = ModelEncoder.load(str(model))
        self._services = EmbeddedServices(settings, self.encoder)
        self._client = mount("query", self._services.query).test_client()
        self._numbers = itertools.count()
        images = [pixabay_image(number) for number in range(STORED)]
        width = len(self.encoder.encode_text("a").vector)
        rows = np.random.default_rng(0).standard_normal((STORED, width)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        vectors = {image.image_id: row for image, row in zip(images, rows, strict=True)}
        self._services.catalog.library.put(images, vectors, self.encoder.model_revision)

    def seconds(self, picture: bytes) -> float:
        """Search by *picture*: each is another one to the process, which keeps the last ones."""
        from urllib3 import encode_multipart_formdata

        other = picture + next(self._numbers).to_bytes(4)  # after the end of a JPEG
        body, kind = encode_multipart_formdata({"picture": ("a.jpg", other)})
        return timed(lambda: self._search(body, kind))[0]

    def _search(self, body: bytes, kind: str) -> None:
        url = "/search?scope=catalog"
        with self._client.post(url, data=body, content_type=kind) as response:
            if response.status_code != 200:
                raise RuntimeError(response.get_data(as_text=True))

    def close(self) -> None:
        """Stop the encoder's threads and close the catalog."""
        self.encoder.close()
        self._services.close()


def measure(folder: Path, tiny: bool) -> Figures:
    """
    `POST /search` with a picture as a form, over everything of 200 stored images: the form is
    parsed, the picture decoded and embedded by a CLIP of full ViT-B/32 size, the images are ranked
    and the answer written. Each picture is a new one, so that no embedding is at hand. Medians of
    20, alone and while batches of images are embedded all the time. CPU is that of the whole
    process, which other programs do not change; beside batches it is theirs.
    """
    from tools.pictures import jpeg

    model = checkpoint(folder, tiny)
    pictures = {CAMERA: jpeg(1, *((400, 300) if tiny else (4000, 3000))), WEB: photos(1, tiny)[0]}
    rounds = 2 if tiny else ROUNDS
    with tempfile.TemporaryDirectory(dir=folder) as own:
        door = Door(model, Path(own))
        try:
            first = door.seconds(pictures[WEB])  # loads the vision tower
            rows = [_row(door, name, data, ALONE, rounds) for name, data in pictures.items()]
            with _batches(door.encoder, photos(8, tiny)):
                rows += [_row(door, name, data, BESIDE, rounds) for name, data in pictures.items()]
        finally:
            door.close()
    return Figures(rows, [f"The first picture, which loads the vision tower: {first:.1f} s."])


def _row(door: Door, name: str, data: bytes, beside: str, rounds: int) -> Row:
    door.seconds(data)  # does not count
    before = time.process_time()
    median = statistics.median(door.seconds(data) for _ in range(rounds))
    cpu = (time.process_time() - before) / rounds if beside == ALONE else None
    return {"picture": name, "beside": beside, "seconds": median, "cpu_seconds": cpu}


@contextmanager
def _batches(encoder: Any, images: list[bytes]) -> Iterator[None]:
    """Have *images* embedded over and over in the block."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            encoder.encode_images(images)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _camera(rows: list[Row]) -> float:
    camera = (row for row in rows if (row["picture"], row["beside"]) == (CAMERA, ALONE))
    return 1e3 * float(next(camera)["seconds"])


BENCHMARK = Benchmark(
    name="picture_query",
    title="Search by an uploaded picture",
    measure=measure,
    columns=(
        Column("picture", "picture"),
        Column("beside", "beside"),
        Column("seconds", "ms a search", 1e3, 0),
        Column("cpu_seconds", "CPU, ms", 1e3, 0),
    ),
    goals=(
        Goal(
            "search by an uploaded JPEG of 4,000 × 3,000, ViT-B/32, 2 cores",
            "≤ 300 ms",
            _camera,
            lambda value: value <= 300,
            "{:.0f} ms",
        ),
    ),
)
