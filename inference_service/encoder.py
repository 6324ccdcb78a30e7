"""The port `Encoder` over a Hugging Face checkpoint: a model behind queues.

The model is in `model.py`, its files in `checkpoint.py`, decoding and framing in `images.py`, a
queue and its threads in `batcher.py`, HTTP in `app.py`.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image

from imagesearch.devices import fastest_device
from imagesearch.domain.errors import (
    DeadlineExceeded,
    ImageSearchError,
    Overloaded,
    RejectedImage,
    Unavailable,
)
from imagesearch.domain.images import Embedding, Embeddings
from imagesearch.domain.ranking import References, Thresholds
from imagesearch.ports import ImageEmbedding, TextEmbedding
from inference_service.batcher import Batcher, close, cores
from inference_service.calibration import read_thresholds
from inference_service.images import MIN_SIDE, PREPROCESSING_VERSION, Decoding, Pixels
from inference_service.model import Framed, Model
from inference_service.model_folder import ModelFolder
from inference_service.references import ReferenceCaptions, Tell

TEXT_BATCH = 8  # on a CPU each costs half as much as alone; of 16 no less, and others wait longer
MAX_WAITING_TEXTS = 64
MAX_WAITING_IMAGES = 512  # more than the pushes hold that `app.py` has at work
MAX_WAITING_PICTURES = 16  # of queries, each of up to 10 MB; they are a second of work
TEXT_LIMIT_SECONDS = 10.0
PICTURE_LIMIT_SECONDS = 20.0  # for one, with the loading of a full-size vision tower
IMAGE_LIMIT_SECONDS = 150.0  # of the 180 that a push has left when it has waited for its turn
LARGE_BYTES = 64_000_000  # of memory to decode an image; one of 640 x 427 pixels takes 2 million
LARGE_WORK = 200_000_000  # coefficients that a JPEG's scans go over: 0.2 s; of 12 megapixels 180
CHECK_LIMIT_SECONDS = 5.0
NORM_ERROR = 1e-3
_NO_UNIT = "the model gave an embedding that is not finite and of length 1"
CHECK_AFTER_SECONDS = 60.0  # an encoder that worked within the last minute is not tried again

logger = logging.getLogger(__name__)


class ModelEncoder:
    """
    The port `Encoder` over a model in this process; any number of threads may call it.

    Texts, images and the pictures of queries have a queue and threads each, so a search never
    queues behind a batch of images, and on Linux it goes first where they share cores. Images are
    decoded by threads of their own, before they queue for the model: what is slow to decode keeps
    it from nothing. Large or slow ones are decoded beside the others, one image at a time and one
    picture of a query: all take little more memory than the largest two, and no picture waits for
    a batch. The vision tower is loaded by the first image.
    """

    def __init__(
        self,
        model: Model,
        model_revision: str,
        references: References,
        thresholds: Thresholds | None,
    ) -> None:
        self._model = model
        self._model_revision = model_revision
        self._references = references
        self._thresholds = thresholds
        self._texts = Batcher(
            "text", model.embed_texts, max_batch=TEXT_BATCH, max_queue=MAX_WAITING_TEXTS
        )
        self._images = Batcher(
            "image",
            _Proved(model.embed_images, self._black),
            max_batch=model.towers.image_batch,
            max_queue=MAX_WAITING_IMAGES,
            threads=model.towers.image_threads,
            background=True,
        )
        self._decoders, self._large_decoder = (
            Batcher(
                name,
                self._decode,
                max_batch=1,
                max_queue=MAX_WAITING_IMAGES,
                threads=threads,
                background=True,
            )
            for name, threads in (("image", cores()), ("large image", 1))
        )
        self._pictures = Batcher(
            "picture",
            _Proved(model.embed_pictures, self._black),
            max_batch=1,
            max_queue=MAX_WAITING_PICTURES,
        )
        self._picture_decoder, self._large_picture_decoder = (
            Batcher(
                name, self._decode, max_batch=1, max_queue=MAX_WAITING_PICTURES, threads=threads
            )
            for name, threads in (("picture", cores()), ("large picture", 1))
        )

    @classmethod
    def load(
        cls,
        model: str,
        device: str | None = None,
        tell: Tell = logger.info,
        *,
        in_float32: bool = False,
    ) -> ModelEncoder:
        """
        Return the encoder of a checkpoint of one of the `FAMILIES`, warm for texts.

        Args:
            model: a folder, or a model id of the Hugging Face hub, which is downloaded once; what
                is a folder here, or would lie in one, is never taken for an id.
            device: where it runs; by default CUDA when there is one, else the CPU.
            tell: is told of a licence that allows no commercial use, and of what only the first
                start takes long for, see `references.py`.
            in_float32: see `Model.load`; what is measured of a model is to be the same anywhere.

        Raises:
            Unavailable: there is no such checkpoint, the hub does not answer, or it is not a
                whole model; the message names the setting CLIP_MODEL and its value.
        """
        _silence_libraries()
        try:
            folder = ModelFolder.find(model)
            if licence := folder.forbidding_licence:
                tell(f"The licence of {model} is {licence}, which allows no commercial use.")
            with ThreadPoolExecutor(1, thread_name_prefix="revision") as aside:
                revision = aside.submit(lambda: folder.revision)  # reads the weights as we do
                on = device or fastest_device()
                loaded = Model.load(folder.path, on, in_float32=in_float32)
            model_revision = f"{revision.result()}-p{PREPROCESSING_VERSION}"
            captions = ReferenceCaptions.of(folder.path)
            embedded = captions.embedded(
                model_revision, loaded.embed_texts, tell, in_float32=in_float32
            )
            references = References(embedded)
            thresholds = read_thresholds(folder.path, model_revision, captions.digest)
            encoder = cls(loaded, model_revision, references, thresholds)
            encoder._try_text_or_close()
        except Exception as error:
            raise Unavailable(f"CLIP_MODEL={model} cannot be loaded: {error}") from error
        return encoder

    @property
    def model_revision(self) -> str:
        """
        Name, weights revision and preprocessing version; letters, digits and `.-_` only.

        The weights revision is the first 12 digits of the hub's commit or, for a folder, of the
        sha256 of its weights, configuration and tokenizer.
        """
        return self._model_revision

    @property
    def logit_scale(self) -> float:
        """What a cosine is multiplied by to become a logit: exp of the learned temperature."""
        return self._model.logit_scale

    @property
    def logit_bias(self) -> float:
        """What is added to that then: 0, unless the model's family learns one."""
        return self._model.logit_bias

    @property
    def references(self) -> References:
        """Captions about anything, embedded when the model was loaded, or before."""
        return self._references

    @property
    def thresholds(self) -> Thresholds | None:
        """What `imagesearch calibrate` left beside the model, if it did."""
        return self._thresholds

    def encode_images(self, images: Sequence[bytes]) -> list[ImageEmbedding | ImageSearchError]:
        """
        Embed encoded images (JPEG, PNG or WebP bytes), each one on its own merits.

        Those that are large or slow to decode come last and one by one, so that what is done
        when the time is over is kept, and several batches of them take turns.

        Returns:
            For each image its (embedding_dim,) embedding with its pixel facts, the RejectedImage
            that says why there is none, or, where it was not done before one of the errors below,
            that error. What shares its batch does not change it (cosine > 0.999).

        Raises:
            Overloaded: the queue is full.
            DeadlineExceeded: it took longer than *IMAGE_LIMIT_SECONDS*.
            Unavailable: the model failed, or the encoder is closed.
        """
        ends = time.monotonic() + IMAGE_LIMIT_SECONDS
        self._images.check_room(len(images))
        outcomes: dict[int, ImageEmbedding | ImageSearchError] = {}
        small, large = dict[int, Decoding](), dict[int, Decoding]()
        for number, data in enumerate(images):
            try:
                decoding = self._model.plan(data)
            except RejectedImage as rejection:
                outcomes[number] = rejection
                continue
            (large if _is_large(decoding) else small)[number] = decoding
        embedded = self._embedded(self._decoders, self._images, [*small.values()], ends)
        outcomes |= zip(small, embedded, strict=True)
        outcomes |= zip(large, self._one_by_one([*large.values()], ends), strict=True)
        return [outcomes[number] for number in range(len(images))]

    def encode_picture(self, data: bytes) -> Embedding:
        """
        Embed the picture of a query, before all images; a large one waits for large ones alone.

        Raises:
            RejectedImage: as for images, and of an animation, which shows more than one thing.
            Overloaded, DeadlineExceeded, Unavailable: as in `encode_images`, sooner.
        """
        ends = time.monotonic() + PICTURE_LIMIT_SECONDS
        decoding = self._model.plan(data)
        if decoding.file.is_animated:
            raise RejectedImage(f"an animated {decoding.file.format}; only still pictures are read")
        decoder = self._large_picture_decoder if _is_large(decoding) else self._picture_decoder
        [outcome] = self._embedded(decoder, self._pictures, [decoding], ends)
        if isinstance(outcome, RejectedImage):
            raise outcome
        return outcome.vector

    def encode_text(self, text: str) -> TextEmbedding:
        """Embed one text, see `encode_texts`."""
        return self.encode_texts([text])[0]

    def encode_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """
        Embed the texts of one query; tokens past the model's last position are cut, the end token
        is kept.

        Raises:
            Overloaded, DeadlineExceeded, Unavailable: as in `encode_images`, sooner.

        Source: Radford et al. 2021, figure 3.
        """
        return self._embedded_texts(texts, TEXT_LIMIT_SECONDS)

    def check(self) -> None:
        """
        Return when the model works; what has not worked for a minute is tried.

        Images are tried only where some were asked for: a process that scores never loads the
        tower for them.

        Raises:
            Unavailable: it fails, or takes more than *CHECK_LIMIT_SECONDS*.
        """
        try:
            if self._texts.idle_seconds > CHECK_AFTER_SECONDS:
                self._embedded_texts(["a"], CHECK_LIMIT_SECONDS)
            for embedder in (self._images, self._pictures):
                if embedder.was_asked and embedder.idle_seconds > CHECK_AFTER_SECONDS:
                    self._encode_probe(embedder, CHECK_LIMIT_SECONDS)
        except (Overloaded, DeadlineExceeded) as error:
            raise Unavailable(f"the model is stuck: {error}") from error

    def warm_up(self) -> None:
        """Run both encoders, so that no caller pays for a first use; texts `load` has done.

        Raises:
            Unavailable: one of them fails.
        """
        self._embedded_texts(["a"], IMAGE_LIMIT_SECONDS)
        self._encode_probe(self._images, IMAGE_LIMIT_SECONDS)

    def close(self) -> None:
        """Fail what waits with Unavailable, and stop the threads."""
        decoders = (self._decoders, self._large_decoder)
        picture_decoders = (self._picture_decoder, self._large_picture_decoder)
        close(self._texts, *decoders, *picture_decoders, self._images, self._pictures)

    def _try_text_or_close(self) -> None:
        try:
            self._embedded_texts(["a"], IMAGE_LIMIT_SECONDS)
        except Unavailable:
            self.close()
            raise

    def _embedded_texts(
        self, texts: Sequence[str], time_limit_seconds: float
    ) -> list[TextEmbedding]:
        embeddings = self._texts.ask(texts, time_limit_seconds)
        if not all(_is_unit(embedding.vector) for embedding in embeddings):
            raise Unavailable(_NO_UNIT)
        return embeddings

    def _encode_probe(
        self, embedder: Batcher[Pixels, Embedding | RejectedImage], time_limit_seconds: float
    ) -> None:
        """Run the model on an image that waits for no other to be decoded."""
        outcome = embedder.ask([self._black()], time_limit_seconds)[0]
        if isinstance(outcome, RejectedImage):
            raise Unavailable(f"the model rejects a plain black image: {outcome}")

    def _one_by_one(
        self, decodings: Sequence[Decoding], ends: float
    ) -> Iterator[ImageEmbedding | ImageSearchError]:
        """Yield the outcome of each; from the first that is not done on, the error."""
        late: ImageSearchError | None = None
        for decoding in decodings:
            if late is None:
                try:
                    yield from self._embedded(self._large_decoder, self._images, [decoding], ends)
                    continue
                except (DeadlineExceeded, Overloaded, Unavailable) as error:
                    late = error
            yield late

    def _embedded(
        self,
        decoder: Batcher[Decoding, Framed | RejectedImage],
        embedder: Batcher[Pixels, Embedding | RejectedImage],
        some: list[Decoding],
        ends: float,
    ) -> list[ImageEmbedding | RejectedImage]:
        """Return for each its embedding or why there is none, by *ends* of monotonic time."""
        outcomes = decoder.ask(some, _seconds_until(ends))
        framed = [outcome for outcome in outcomes if not isinstance(outcome, RejectedImage)]
        vectors = embedder.ask([outcome.pixels for outcome in framed], _seconds_until(ends))
        embedded = map(_with_facts, vectors, framed)
        return [
            outcome if isinstance(outcome, RejectedImage) else next(embedded)
            for outcome in outcomes
        ]

    def _decode(self, decodings: Sequence[Decoding]) -> list[Framed | RejectedImage]:
        return [self._framed(decoding) for decoding in decodings]

    def _framed(self, decoding: Decoding) -> Framed | RejectedImage:
        try:
            return self._model.framed(decoding)
        except RejectedImage as rejection:
            return rejection

    def _black(self) -> Pixels:
        return self._model.preprocess(_probe())


class _Proved:
    """Runs *embed* once on *probe* before it is used: if it is broken, no image is to blame."""

    def __init__(
        self, embed: Callable[[Sequence[Pixels]], Embeddings], probe: Callable[[], Pixels]
    ) -> None:
        self._embed = embed
        self._probe = probe
        self._proving = threading.Lock()
        self._is_proved = False

    def __call__(self, pixels: Sequence[Pixels]) -> list[Embedding | RejectedImage]:
        """Return for each its embedding, or why there is none; Unavailable where it is broken."""
        self._prove()
        return [
            embedding if _is_unit(embedding) else RejectedImage(_NO_UNIT)
            for embedding in self._embed(pixels)
        ]

    def _prove(self) -> None:
        with self._proving:
            if not self._is_proved:
                [embedding] = self._embed([self._probe()])
                if not _is_unit(embedding):
                    raise Unavailable(_NO_UNIT)
                self._is_proved = True


def _with_facts(
    vector: Embedding | RejectedImage, framed: Framed
) -> ImageEmbedding | RejectedImage:
    return vector if isinstance(vector, RejectedImage) else ImageEmbedding(vector, framed.facts)


def _is_large(decoding: Decoding) -> bool:
    return decoding.memory_bytes > LARGE_BYTES or decoding.work > LARGE_WORK


def _seconds_until(ends: float) -> float:
    return max(0.0, ends - time.monotonic())


def _is_unit(embedding: Embedding) -> bool:
    """Say whether it is what a catalog stores, see `vectors.py`; no direction has no cosine."""
    with np.errstate(all="ignore"):  # what overflows is no unit vector
        return bool(abs(np.linalg.norm(embedding) - 1.0) < NORM_ERROR)


def _probe() -> bytes:
    """Return a small black image as PNG, not square lest a missing crop go unnoticed."""
    data = io.BytesIO()
    PIL.Image.new("RGB", (2 * MIN_SIDE, MIN_SIDE)).save(data, "PNG")
    return data.getvalue()


def _silence_libraries() -> None:
    """Keep advice off stderr; what goes wrong is raised."""
    for library in ("transformers", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
