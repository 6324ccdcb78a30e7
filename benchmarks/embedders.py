"""
Embeds JPEGs by one of the ways that `image_embedding.py` compares, in a process of its own.

Usage: python -m benchmarks.embedders WAY CHECKPOINT PHOTOS DEVICE, by the Python of the environment
that has the way's library. It prints a line of JSON when it is loaded, and one for each line that
it reads: the seconds that all photos took. The embeddings of the first time go to PHOTOS/WAY.npy.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

BATCH = 32  # images that a peer is given at a time; what a push of ours holds at most
PUSHES = {"cpu": 4, "cuda": 16}  # of ours at a time, and requests to infinity
START_SECONDS = 240.0
_servers: list[subprocess.Popen[bytes]] = []  # that this process has started, and ends

Vectors: TypeAlias = Any  # (n, embedding_dim) of any norm
Embed: TypeAlias = Callable[[Sequence[bytes]], Vectors]


def ours(checkpoint: Path, device: str) -> Embed:
    """Return the service's own encoder, asked as pushes ask it: a batch each, several at a time."""
    from inference_service.encoder import ModelEncoder

    encoder = ModelEncoder.load(str(checkpoint), device)
    pushes = ThreadPoolExecutor(PUSHES[device])

    def embed(photos: Sequence[bytes]) -> Vectors:
        embedded = pushes.map(encoder.encode_images, _batches(photos, BATCH))
        return np.stack([each.vector for batch in embedded for each in batch])  # type: ignore[union-attr]

    return embed


def model_alone(checkpoint: Path, device: str) -> Embed:
    """
    Return the model of our encoder on pixels that are decoded, in the encoder's batches and
    threads, which have their priority.
    """
    from inference_service.batcher import go_last
    from inference_service.model import Model

    clip = Model.load(checkpoint, device)
    threads = ThreadPoolExecutor(clip.towers.image_threads, initializer=go_last)
    decoded: list[Any] = []

    def embed(photos: Sequence[bytes]) -> Vectors:
        if not decoded:  # the first time, which does not count
            decoded.extend(clip.preprocess(photo) for photo in photos)
        batches = _batches(decoded, clip.towers.image_batch)
        return np.concatenate(list(threads.map(clip.embed_images, batches)))

    return embed


def transformers(checkpoint: Path, device: str, dtype: str = "") -> Embed:
    """Return `CLIPProcessor` and `CLIPModel`."""
    _import_torchvision()
    import torch
    from transformers import CLIPModel, CLIPProcessor

    precision = getattr(torch, dtype or _dtype(device))
    model: Any = CLIPModel.from_pretrained(checkpoint, dtype=precision).to(device)
    processor: Any = CLIPProcessor.from_pretrained(checkpoint)

    @torch.inference_mode()
    def embed(photos: Sequence[bytes]) -> Vectors:
        vectors = []
        for batch in _batches(photos, BATCH):
            inputs = processor(images=list(_pictures(batch)), return_tensors="pt")
            pixels = inputs["pixel_values"].to(device, precision)
            vectors.append(model.get_image_features(pixels).pooler_output.float().cpu().numpy())
        return np.concatenate(vectors)

    return embed


def transformers_bfloat16(checkpoint: Path, device: str) -> Embed:
    """Return the same in bfloat16, for a processor that has it."""
    return transformers(checkpoint, device, "bfloat16")


def open_clip(checkpoint: Path, device: str) -> Embed:
    """Return open_clip's model and transform, as its README uses them."""
    _import_torchvision()
    import torch
    from open_clip import image_transform

    from benchmarks.open_clip_weights import load

    precision = getattr(torch, _dtype(device))
    model = load(checkpoint).to(device, precision)
    transform = image_transform(model.visual.image_size, is_train=False)

    @torch.inference_mode()
    def embed(photos: Sequence[bytes]) -> Vectors:
        vectors = []
        for batch in _batches(photos, BATCH):
            pixels = torch.stack([transform(picture) for picture in _pictures(batch)])
            vectors.append(model.encode_image(pixels.to(device, precision)).float().cpu().numpy())
        return np.concatenate(vectors)

    return embed


def sentence_transformers(checkpoint: Path, device: str) -> Embed:
    """Return `SentenceTransformer` over the module that its own `clip-ViT-B-32` is made of."""
    _import_torchvision()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import CLIPModel

    model: Any = SentenceTransformer(modules=[CLIPModel(str(checkpoint))], device=device)
    if _dtype(device) != "float32":
        model = model.to(getattr(__import__("torch"), _dtype(device)))
    return lambda photos: model.encode(
        list(_pictures(photos)), batch_size=BATCH, show_progress_bar=False
    )


def infinity(checkpoint: Path, device: str) -> Embed:
    """Return infinity's server, asked over HTTP with the photos in base64, as it wants them."""
    _write_old_processor(checkpoint)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    server = _infinity_server(checkpoint, device, url)
    requests = ThreadPoolExecutor(PUSHES[device])
    _wait_for(url, server)

    def ask(batch: Sequence[bytes]) -> list[Any]:
        photos = [f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}" for photo in batch]
        body = {"model": "clip", "input": photos, "modality": "image", "encoding_format": "base64"}
        answer = _post(f"{url}/embeddings", body)
        coded = [base64.b64decode(item["embedding"]) for item in answer["data"]]
        return [np.frombuffer(vector, np.float32) for vector in coded]

    def embed(photos: Sequence[bytes]) -> Vectors:
        answers = requests.map(ask, _batches(photos, BATCH))
        return np.stack([vector for batch in answers for vector in batch])

    return embed


WAYS: dict[str, tuple[str, Callable[[Path, str], Embed]]] = {  # with the package that it is of
    "ours": ("openvino", ours),
    "model alone": ("openvino", model_alone),
    "transformers": ("transformers", transformers),
    "transformers, bfloat16": ("transformers", transformers_bfloat16),
    "open_clip": ("open_clip_torch", open_clip),
    "sentence-transformers": ("sentence-transformers", sentence_transformers),
    "infinity-emb over HTTP": ("infinity-emb", infinity),
}


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _pictures(photos: Iterable[bytes]) -> Iterator[Any]:
    import PIL.Image

    return (PIL.Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos)


def _dtype(device: str) -> str:
    """Return the precision of a peer: bfloat16 on a GPU, as ours; what is usual on a CPU."""
    return "bfloat16" if device.startswith("cuda") else "float32"


def _import_torchvision() -> None:
    """
    Import torchvision, where it is installed, also when it was built for another torch.

    Its wheel for CUDA cannot load its operators beside a torch for CPUs. What is used here of it,
    resizing and cropping, needs none of them; they only have to be declared.
    """
    import importlib.util

    import torch

    if importlib.util.find_spec("torchvision") is None:
        return
    while "torchvision" not in sys.modules:
        try:
            import torchvision  # noqa: F401 - for those that use it
        except RuntimeError as error:
            missing = re.search(r"operator (torchvision::\w+) does not exist", str(error))
            if missing is None:
                raise
            torch.library.define(missing[1], "(Tensor x) -> Tensor")


# infinity's server


def serve_infinity() -> None:
    """Run infinity's command line in this process."""
    _import_torchvision()
    from infinity_emb.cli import cli

    cli()


def _infinity_server(checkpoint: Path, device: str, url: str) -> subprocess.Popen[bytes]:
    code = "from benchmarks.embedders import serve_infinity; serve_infinity()"
    arguments = [
        "v2",
        "--model-id",
        str(checkpoint),
        "--served-model-name",
        "clip",
        "--device",
        device,
    ]
    arguments += [
        "--batch-size",
        str(BATCH),
        "--port",
        url.rpartition(":")[2],
        "--host",
        "127.0.0.1",
    ]
    arguments += ["--engine", "torch", "--no-bettertransformer", "--no-model-warmup"]
    arguments += ["--log-level", "warning"]
    arguments += [
        "--dtype",
        "float16" if device.startswith("cuda") else "float32",
    ]  # its own default
    server = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", code, *arguments],
        stdout=sys.stderr,
        env={**os.environ, "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"},
    )
    _servers.append(server)
    return server


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()  # noqa: S310 - http
            return
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"infinity's server did not start: {server.poll()}") from None
            time.sleep(0.2)


def _post(url: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - http
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - http
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error}: {error.read()[:1000]!r}") from error


def _write_old_processor(checkpoint: Path) -> None:
    """Write the file in which an older transformers looks for the image processor."""
    path = checkpoint / "preprocessor_config.json"
    if not path.exists():
        whole = json.loads((checkpoint / "processor_config.json").read_text())
        processor = {**whole["image_processor"], "image_processor_type": "CLIPImageProcessorFast"}
        path.write_text(json.dumps(processor))


# The process


def main() -> None:
    """Embed, and end what was started for it."""
    try:
        serve()
    finally:
        for server in _servers:
            server.kill()
            server.wait()
    os._exit(0)  # threads of pools and of libraries


def serve() -> None:
    """Load the way, then embed once for each line that is read."""
    way, checkpoint, folder, device = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    package, make = WAYS[way]
    embed = make(Path(checkpoint), device)
    photos = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    np.save(Path(folder) / f"{way}.npy", embed(photos))
    print(json.dumps({"version": f"{package} {version(package)}"}), file=out, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        embed(photos)
        print(json.dumps({"seconds": time.perf_counter() - started}), file=out, flush=True)


if __name__ == "__main__":
    main()
