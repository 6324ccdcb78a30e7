"""A CLIP checkpoint in the format of `transformers`, read without importing it or torch.

What is computed with it is in `openvino_clip.py` and `torch_clip.py`; `clip.py` puts them together.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from tokenizers import Tokenizer

# The files of a checkpoint that decide what its embeddings are; weights come in either format.
CONFIG_FILES = ("*.json", "merges.txt")
SAFETENSORS = ("model.safetensors", "model-*-of-*.safetensors")
PICKLES = ("pytorch_model.bin", "pytorch_model-*-of-*.bin")

# What `transformers` takes for a key that config.json leaves out.
_SHARED = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_hidden_layers": 12}
_TEXT = _SHARED | {
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
_VISION = _SHARED | {"num_attention_heads": 12, "image_size": 224, "patch_size": 32}

Weights = Mapping[str, NDArray[np.float32]]
_NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class Transformer:
    """The shape of one tower's transformer; the rest of it is in its weights."""

    name: str  # what the names of its weights begin with
    layers: int
    heads: int
    activation: str
    epsilon: float


@dataclass(frozen=True)
class Config:
    """
    What config.json says.

    Attributes:
        end_token: the embedding of a text is read where it is.
        ends_at_largest: it is read at the largest token instead: a checkpoint from before
            https://github.com/huggingface/transformers/pull/24773 gives a wrong end token.
        image_side: pixels of the square that the vision tower takes.
    """

    text: Transformer
    vision: Transformer
    max_tokens: int
    end_token: int
    ends_at_largest: bool
    image_side: int
    patch_side: int

    @classmethod
    def read(cls, folder: Path) -> Config:
        """
        Read *folder*/config.json.

        Raises:
            OSError: there is none.
            ValueError: it is not the configuration of a CLIP.
        """
        config = json.loads((folder / "config.json").read_text())
        kind = config.get("model_type")
        if kind != "clip":
            raise ValueError(f"its model_type is {kind!r}, and only 'clip' is supported")
        text, vision = _part(config, "text", _TEXT), _part(config, "vision", _VISION)
        return cls(
            _transformer("text_model", text),
            _transformer("vision_model", vision),
            max_tokens=text["max_position_embeddings"],
            end_token=text["eos_token_id"],
            ends_at_largest=text["eos_token_id"] == 2,
            image_side=vision["image_size"],
            patch_side=vision["patch_size"],
        )

    def check_weights(self, names: Sequence[str] | Weights) -> None:
        """Raise ValueError when a parameter of the model is not among *names*."""
        missing = sorted(set(self._parameters()).difference(names))
        if missing:
            raise ValueError(f"its weights lack {len(missing)} parameters, among them {missing[0]}")

    def _parameters(self) -> Iterator[str]:
        yield from ("logit_scale", "text_projection.weight", "visual_projection.weight")
        text, vision = "text_model.embeddings.", "vision_model.embeddings."
        yield from (text + "token_embedding.weight", text + "position_embedding.weight")
        yield from (vision + "class_embedding", vision + "patch_embedding.weight")
        yield vision + "position_embedding.weight"
        norms = ("text_model.final_layer_norm", "vision_model.pre_layrnorm")
        for norm in (*norms, "vision_model.post_layernorm"):
            yield from (f"{norm}.weight", f"{norm}.bias")
        attention = [f"self_attn.{one}_proj" for one in ("q", "k", "v", "out")]
        parts = [*attention, "layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"]
        for tower in (self.text, self.vision):
            for layer in range(tower.layers):
                for part in parts:
                    yield f"{tower.name}.encoder.layers.{layer}.{part}.weight"
                    yield f"{tower.name}.encoder.layers.{layer}.{part}.bias"


def read_weights(folder: Path) -> Weights:
    """
    Return the weights in *folder* as float32, mapped into memory; whatever they were saved in.

    Raises:
        OSError: there are none, or they are unreadable.
        ValueError: a file is not what its name says.
    """
    if paths := matching(folder, SAFETENSORS):
        return _Safetensors(paths)
    if paths := matching(folder, PICKLES):
        return _unpickled(paths)
    raise FileNotFoundError(f"no {SAFETENSORS[0]} and no {PICKLES[0]}")


class _Safetensors(Mapping[str, NDArray[np.float32]]):
    """The tensors of mapped files: those saved in float32 are views, whose pages nothing holds."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._tensors: dict[str, tuple[str, NDArray[Any]]] = {}
        for path in paths:
            self._tensors |= _mapped(path)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        dtype, array = self._tensors[name]
        if dtype == "BF16":  # numpy has no such type: it is the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        return np.require(array, np.float32, ["C_CONTIGUOUS", "ALIGNED"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _mapped(path: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    """
    Return the tensors in *path* with the names of their types, as views of the file.

    Source: https://github.com/huggingface/safetensors#format. Its library copies each of them.
    """
    with safe_open(path, framework="numpy"):
        pass  # it has checked that the file is what its header says
    # Copied when written to, as OpenVINO takes only what is writable; nothing writes to it.
    file = np.memmap(path, np.uint8, "c")
    start = 8 + int.from_bytes(file[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(file[8:start].tobytes())
    header.pop("__metadata__", None)
    tensors = {}
    for name, told in header.items():
        begin, end = (start + offset for offset in told["data_offsets"])
        dtype = _NUMPY_TYPES.get(told["dtype"], "V1")  # others are no parameters of a CLIP
        shape = told["shape"] if dtype != "V1" else [end - begin]
        tensors[name] = (told["dtype"], np.asarray(file)[begin:end].view(dtype).reshape(shape))
    return tensors


def _unpickled(paths: Sequence[Path]) -> Weights:
    import torch  # here: it takes a second, and newer checkpoints do not need it

    tensors: dict[str, torch.Tensor] = {}
    for path in paths:
        tensors |= torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}


def read_tokenizer(folder: Path, config: Config) -> Tokenizer:
    """
    Return the tokenizer in *folder*, which cuts what is past the model's last position.

    Raises:
        OSError: there is none.
        ValueError: it does not fit the model.
    """
    tokenizer = _tokenizer(folder)
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.max_tokens)
    if not config.ends_at_largest and config.end_token not in tokenizer.encode("a").ids:
        raise ValueError(
            f"its tokenizer gives no end token {config.end_token}, at which the model reads"
        )
    return tokenizer


def _tokenizer(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer  # here: it takes seconds; it puts the old layouts right

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    return tokenizer


def matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files in *folder* that match one of *patterns*."""
    return [path for pattern in patterns for path in folder.glob(pattern)]


def revision_of(model: str, folder: Path) -> str:
    """Return the name of the checkpoint *model* in *folder*, and its weights revision."""
    local = Path(model).is_dir()
    name = folder.name if local else model.rpartition("/")[2]
    revision = _digest(folder) if local else folder.name
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:48]}-{revision[:12]}"


def download(model: str) -> Path:
    """Return the snapshot of *model* in the hub's cache; its last part is the commit."""
    from huggingface_hub import snapshot_download  # here: a folder needs none
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    folder = Path(snapshot_download(model, allow_patterns=[*CONFIG_FILES, *SAFETENSORS]))
    if not matching(folder, SAFETENSORS):
        snapshot_download(model, allow_patterns=list(PICKLES))
    return folder


def _digest(folder: Path) -> str:
    weights = matching(folder, SAFETENSORS) or matching(folder, PICKLES)
    digest = hashlib.sha256()
    for path in sorted(matching(folder, CONFIG_FILES)) + sorted(weights):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _part(config: Mapping[str, Any], part: str, default: Mapping[str, Any]) -> dict[str, Any]:
    # The oldest checkpoints say it twice; `transformers` gives the second one the last word.
    told = (config.get(f"{part}_config"), config.get(f"{part}_config_dict"))
    return dict(default) | (told[0] or {}) | (told[1] or {})


def _transformer(name: str, config: Mapping[str, Any]) -> Transformer:
    return Transformer(
        name,
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        activation=config["hidden_act"],
        epsilon=config["layer_norm_eps"],
    )
