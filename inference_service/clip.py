"""CLIP: loads a Hugging Face checkpoint and turns images and texts into embeddings.

Decoding and preprocessing are in `images.py`, queues and threads in `batcher.py`, HTTP in `app.py`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.utils.tqdm import disable_progress_bars
from numpy.typing import NDArray
from transformers import AutoConfig, AutoTokenizer, CLIPModel, PreTrainedTokenizerBase
from transformers.models.clip import CLIPImageProcessorPil
from transformers.utils.logging import disable_progress_bar

from imagesearch.errors import DeadlineExceeded, Overloaded, RejectedImage, Unavailable
from imagesearch.model import Embedding, Embeddings
from imagesearch.ports import TextEmbedding
from inference_service.batcher import Batcher
from inference_service.images import MIN_SIDE, PREPROCESSING_VERSION, decode

TEXT_BATCH = 32
IMAGE_BATCH = 16
MAX_WAITING_TEXTS = 64
MAX_WAITING_IMAGES = 256
TEXT_LIMIT_SECONDS = 10.0
IMAGE_LIMIT_SECONDS = 120.0
CHECK_LIMIT_SECONDS = 5.0
CHECK_AFTER_SECONDS = 60.0  # an encoder that worked within the last minute is not tried again

# The files of a checkpoint that decide what its embeddings are; weights come in either format.
_CONFIG_FILES = ("*.json", "merges.txt")
_SAFETENSORS = ("model.safetensors", "model-*-of-*.safetensors")
_PICKLES = ("pytorch_model.bin", "pytorch_model-*-of-*.bin")

Pixels = NDArray[np.float32]  # (3, height, width), preprocessed


class ClipEncoder:
    """
    The port `Encoder` over a CLIP model in this process; any number of threads may call it.

    Texts and images have a queue and a thread each, so a search never queues behind a batch of
    images, and on Linux it goes first where they share cores. A pool of threads decodes images
    while the model works on the batch before.
    """

    def __init__(self, clip: Clip, model_revision: str) -> None:
        self._clip = clip
        self._model_revision = model_revision
        self._decoders = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decoder")
        self._texts = Batcher(
            "text", clip.embed_texts, max_batch=TEXT_BATCH, max_queue=MAX_WAITING_TEXTS
        )
        self._images = Batcher(
            "image",
            self._embed_decoded,
            max_batch=IMAGE_BATCH,
            max_queue=MAX_WAITING_IMAGES,
            background=True,
        )

    @classmethod
    def load(cls, model: str, device: str | None = None) -> ClipEncoder:
        """
        Return the encoder of a CLIPModel checkpoint of `transformers`, loaded and warm.

        Args:
            model: a folder, or a model id of the Hugging Face hub, which is downloaded once.
            device: where it runs; by default CUDA when there is one, else the CPU.

        Raises:
            Unavailable: there is no such checkpoint, the hub does not answer, or it is not a
                whole CLIPModel; the message names the setting CLIP_MODEL and its value.
        """
        _silence_libraries()
        try:
            folder, name, revision = _locate(model)
            clip = Clip.load(folder, device or ("cuda" if torch.cuda.is_available() else "cpu"))
            encoder = cls(clip, f"{name}-{revision}-p{PREPROCESSING_VERSION}")
            encoder._warm_up_or_close()
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
        return float(self._clip.model.logit_scale.detach().exp())

    def encode_images(
        self, images: Sequence[bytes], time_limit_seconds: float = IMAGE_LIMIT_SECONDS
    ) -> list[Embedding | RejectedImage]:
        """
        Embed encoded images (JPEG, PNG or WebP bytes), each one on its own merits.

        Returns:
            For each image its (embedding_dim,) embedding, or the RejectedImage that says why
            there is none. What shares its batch does not change it (cosine > 0.999).

        Raises:
            Overloaded: the queue is full.
            DeadlineExceeded: the time limit passed.
            Unavailable: the model failed, or the encoder is closed.
        """
        decoding = self._start_decoding(images)
        try:
            return self._images.ask(decoding, time_limit_seconds)
        except (Overloaded, Unavailable):
            for future in decoding:
                future.cancel()
            raise

    def encode_text(
        self, text: str, time_limit_seconds: float = TEXT_LIMIT_SECONDS
    ) -> TextEmbedding:
        """
        Embed one query; tokens past the model's last position are cut, the end token is kept.

        Raises:
            Overloaded, DeadlineExceeded, Unavailable: as in `encode_images`.

        Source: Radford et al. 2021, figure 3.
        """
        embedding = self._texts.ask([text], time_limit_seconds)[0]
        if not np.isfinite(embedding.vector).all():
            raise Unavailable("the model gave an embedding that is not finite")
        return embedding

    def check(self, time_limit_seconds: float = CHECK_LIMIT_SECONDS) -> None:
        """
        Return when both encoders work; one that has not worked for a minute is tried.

        Raises:
            Unavailable: one fails, or takes more than *time_limit_seconds*.
        """
        try:
            if self._texts.idle_seconds > CHECK_AFTER_SECONDS:
                self.encode_text("a", time_limit_seconds)
            if self._images.idle_seconds > CHECK_AFTER_SECONDS:
                self._encode_probe(time_limit_seconds)
        except (Overloaded, DeadlineExceeded) as error:
            raise Unavailable(f"the model is stuck: {error}") from error

    def warm_up(self) -> None:
        """Run both encoders, so that no caller pays for a first use; `load` has done it already.

        Raises:
            Unavailable: one of them fails.
        """
        self.encode_text("a", IMAGE_LIMIT_SECONDS)
        self._encode_probe(IMAGE_LIMIT_SECONDS)

    def close(self) -> None:
        """Fail what waits with Unavailable, and stop the threads."""
        self._texts.close()
        self._images.close()
        self._decoders.shutdown(cancel_futures=True)

    def _warm_up_or_close(self) -> None:
        try:
            self.warm_up()
        except Unavailable:
            self.close()
            raise

    def _encode_probe(self, time_limit_seconds: float) -> None:
        outcome = self.encode_images([_probe()], time_limit_seconds)[0]
        if isinstance(outcome, RejectedImage):
            raise Unavailable(f"the model rejects a plain black image: {outcome}")

    def _start_decoding(self, images: Sequence[bytes]) -> list[Future[Pixels | RejectedImage]]:
        try:
            return [self._decoders.submit(self._decode, data) for data in images]
        except RuntimeError as error:  # the pool is shut down
            raise Unavailable("the image encoder is stopping") from error

    def _decode(self, data: bytes) -> Pixels | RejectedImage:
        try:
            return self._clip.preprocess(decode(data))
        except RejectedImage as rejection:
            return rejection

    def _embed_decoded(
        self, decoding: Sequence[Future[Pixels | RejectedImage]]
    ) -> list[Embedding | RejectedImage]:
        decoded = [future.result() for future in decoding]
        pixels = [one for one in decoded if not isinstance(one, RejectedImage)]
        embeddings = iter(self._clip.embed_images(pixels) if pixels else ())
        return [
            one if isinstance(one, RejectedImage) else _finite(next(embeddings)) for one in decoded
        ]


@dataclass(frozen=True)
class Clip:
    """
    A model with its tokenizer and image processor.

    Any thread may call `preprocess`, one at a time each of the others.
    """

    model: CLIPModel
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    processor: CLIPImageProcessorPil

    @classmethod
    def load(cls, folder: Path, device: str) -> Clip:
        """
        Load the checkpoint in *folder*, in float32 whatever it was saved in.

        Raises:
            ValueError: another architecture, or a part that is missing or does not fit.
            OSError: a file is missing or unreadable.
        """
        model = _load_model(folder).to(device)  # type: ignore[arg-type] # its stub lost self
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
        text: Any = model.config.text_config
        _check_end_token(tokenizer, text.eos_token_id)
        # Named, so that a machine with torchvision gives the same embeddings as one without.
        processor = CLIPImageProcessorPil.from_pretrained(folder)
        return cls(model, tokenizer, text.max_position_embeddings, processor)

    def preprocess(self, image: PIL.Image.Image) -> Pixels:
        """Return *image*, in mode RGB, resized, cropped and normalised as the checkpoint says."""
        pixels: Pixels = self.processor(image, return_tensors="np")["pixel_values"][0]
        return pixels

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Pixels]) -> Embeddings:
        """Return (len(images), embedding_dim), rows of unit L2 norm."""
        pixels = torch.from_numpy(np.stack(images)).to(self.model.device)  # (B, 3, H, W)
        return _unit(self.model.get_image_features(pixels).pooler_output)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """Return for each text its embedding, of unit L2 norm."""
        inputs = self.tokenizer(
            # A lone surrogate, which JSON can carry, is no text that a tokenizer takes.
            [text.encode(errors="replace").decode() for text in texts],
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        ).to(self.model.device)
        features = self.model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
        vectors = _unit(features.pooler_output)
        truncated = [bool(encoding.overflowing) for encoding in inputs.encodings]
        return [TextEmbedding(*pair) for pair in zip(vectors, truncated, strict=True)]


def _unit(features: torch.Tensor) -> Embeddings:
    unit: Embeddings = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()  # (B, D)
    return unit


def _finite(embedding: Embedding) -> Embedding | RejectedImage:
    if np.isfinite(embedding).all():
        return embedding
    return RejectedImage("the model gave an embedding that is not finite")


def _probe() -> bytes:
    """Return a small black image as PNG, not square lest a missing crop go unnoticed."""
    data = io.BytesIO()
    PIL.Image.new("RGB", (2 * MIN_SIDE, MIN_SIDE)).save(data, "PNG")
    return data.getvalue()


def _load_model(folder: Path) -> CLIPModel:
    kind = AutoConfig.from_pretrained(folder).model_type
    if kind != "clip":
        raise ValueError(f"its model_type is {kind!r}, and only 'clip' is supported")
    loaded: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model: CLIPModel = loaded[0]  # in evaluation mode
    missing = sorted(loaded[1]["missing_keys"])
    if missing:
        # The library would go on with random weights in their place.
        raise ValueError(f"its weights lack {len(missing)} parameters, among them {missing[0]}")
    return model


def _check_end_token(tokenizer: PreTrainedTokenizerBase, end: int) -> None:
    # Models from before transformers pull request 24773 say 2 and read at the largest id.
    if end != 2 and end not in tokenizer("a")["input_ids"]:
        raise ValueError(f"its tokenizer gives no end token {end}, at which the model reads")


def _locate(model: str) -> tuple[Path, str, str]:
    """Return the folder of the checkpoint *model*, its name and its weights revision."""
    local = Path(model).is_dir()
    folder = Path(model).resolve() if local else _download(model)
    revision = _digest(folder) if local else folder.name
    name = folder.name if local else model.rpartition("/")[2]
    return folder, re.sub(r"[^A-Za-z0-9._-]", "_", name)[:48], revision[:12]


def _download(model: str) -> Path:
    """Return the snapshot of *model* in the hub's cache; its last part is the commit."""
    patterns = [*_CONFIG_FILES, *_SAFETENSORS]
    folder = Path(snapshot_download(model, allow_patterns=patterns))
    if not _matching(folder, _SAFETENSORS):
        snapshot_download(model, allow_patterns=list(_PICKLES))
    return folder


def _digest(folder: Path) -> str:
    weights = _matching(folder, _SAFETENSORS) or _matching(folder, _PICKLES)
    digest = hashlib.sha256()
    for path in sorted(_matching(folder, _CONFIG_FILES)) + sorted(weights):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern)]


def _silence_libraries() -> None:
    """Keep progress bars and advice off stderr; what goes wrong is raised."""
    for library in ("transformers", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    disable_progress_bars()
