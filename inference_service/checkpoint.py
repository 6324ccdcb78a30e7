"""A CLIP checkpoint in the format of `transformers`, read without importing it or torch.

Where it is found is in `model_folder.py`, what is computed with it in `openvino_clip.py` and
`torch_clip.py`; `clip.py` puts them together.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from inference_service.json_part import JsonPart
from inference_service.model_folder import PICKLES, SAFETENSORS, matching
from inference_service.torch_extra import torch_needed

ACTIVATIONS = ("quick_gelu", "gelu")
MOST_SCALE = 1000.0  # CLIP's training holds it at 100: a cosine must not outweigh all others
# What `transformers` takes for a key that config.json leaves out.
_SHARED = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_hidden_layers": 12}
_TEXT = _SHARED | {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
_VISION = _SHARED | {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
}
_MOST = 65_536  # of any width or number of patches: bounds against typing errors
_MOST_TOKENS = 10_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Number:
    """
    How a type of safetensors is read.

    Attributes:
        exponent: the bits of a number's exponent.
        most: the value of these bits from which on a number is not below `MOST_WEIGHT`.
    """

    numpy: str
    bits: str
    exponent: int
    most: int


MOST_WEIGHT = 65_536  # where half precision ends; trained weights stay below some 100
_NUMBERS = {
    "F64": _Number("<f8", "<u8", 0x7FF0_0000_0000_0000, (1023 + 16) << 52),
    "F32": _Number("<f4", "<u4", 0x7F80_0000, (127 + 16) << 23),
    "F16": _Number("<f2", "<u2", 0x7C00, 0x7C00),
    "BF16": _Number("<u2", "<u2", 0x7F80, (127 + 16) << 7),
}
_LEAST_OUTPUT = 1e-12  # the square of less is no number of float32
_LAST = (  # of each tower: its layer norm, and the projection
    ("text_model.final_layer_norm", "text_projection.weight"),
    ("vision_model.post_layernorm", "visual_projection.weight"),
)
_BLOCK = 1 << 18  # numbers that are looked at together: they fit in a core's cache


@dataclass(frozen=True)
class Transformer:
    """
    The shape of one tower's transformer; the rest of it is in its weights.

    Attributes:
        name: what the names of its weights begin with.
        width: of what its layers pass on; a multiple of `heads`.
        inner: the width inside of a layer's perceptron.
    """

    name: str
    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    epsilon: float


class Weights(Mapping[str, NDArray[np.float32]]):
    """
    Tensors as float32, whatever they were saved in.

    Those saved in float32 are views of mapped files, whose pages nothing holds.
    """

    def __init__(self, tensors: Mapping[str, tuple[str, NDArray[Any]]]) -> None:
        """Args: tensors: each with the name of its type in safetensors."""
        self._tensors = tensors

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        dtype, array = self._tensors[name]
        if dtype == "BF16":  # numpy has no such type: it is the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        return np.require(array, np.float32, ["C_CONTIGUOUS", "ALIGNED"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def kind(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Return the type and the shape of a tensor without reading it."""
        dtype, array = self._tensors[name]
        return dtype, array.shape


@dataclass(frozen=True)
class Config:
    """
    What config.json says.

    Attributes:
        embedding_dim: of what both towers give.
        tokens: how many there are.
        end_token: the embedding of a text is read where it is.
        ends_at_largest: it is read at the largest token instead: a checkpoint from before
            https://github.com/huggingface/transformers/pull/24773 gives a wrong end token.
        image_side: pixels of the square that the vision tower takes.
    """

    text: Transformer
    vision: Transformer
    embedding_dim: int
    tokens: int
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
            ValueError: it is not the configuration of a CLIP, or not of one that can be.
        """
        config = JsonPart.read(folder / "config.json")
        kind = config.values.get("model_type")
        if kind != "clip":
            raise ValueError(f"its model_type is {kind!r}, and only 'clip' is supported")
        text, vision = _part(config, "text", _TEXT), _part(config, "vision", _VISION)
        vision.whole("num_channels", 3, 3)
        end_token = text.whole("eos_token_id", 0, _MOST_TOKENS)
        image_side = vision.whole("image_size", 1, 4096)
        return cls(
            _transformer("text_model", text),
            _transformer("vision_model", vision),
            embedding_dim=config.over({"projection_dim": 512}).whole("projection_dim", 1, _MOST),
            tokens=text.whole("vocab_size", 1, _MOST_TOKENS),
            max_tokens=text.whole("max_position_embeddings", 3, _MOST),
            end_token=end_token,
            ends_at_largest=end_token == 2,
            image_side=image_side,
            patch_side=vision.whole("patch_size", 1, image_side),
        )

    @property
    def patches(self) -> int:
        """How many patches lie along a side; what of the side is left over is not looked at."""
        return self.image_side // self.patch_side

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The name and the shape of each parameter of the model, but for logit_scale."""
        return dict(self._shapes())

    def check_weights(self, weights: Weights) -> None:
        """
        Raise ValueError when *weights* are not those of this model, in names or shapes.

        Those that leave nothing of any text or picture are those of no model.
        """
        shapes = self.parameters
        if missing := sorted(shapes.keys() - weights.keys()):
            raise ValueError(f"its weights lack {len(missing)} parameters, among them {missing[0]}")
        for name, shape in shapes.items():
            dtype, given = weights.kind(name)
            if dtype not in _NUMBERS:
                known = ", ".join(_NUMBERS)
                raise ValueError(f"its weights: {name} must be one of {known}, got {dtype}")
            if given != shape:
                raise ValueError(f"its weights: {name} must be {shape} by config.json, got {given}")
        for tower in (self.text, self.vision):
            layers = re.compile(rf"{tower.name}\.encoder\.layers\.(\d+)\.")
            numbers = [int(found[1]) for name in weights if (found := layers.match(name))]
            if max(numbers) >= tower.layers:
                raise ValueError(
                    f"config.json: num_hidden_layers of the {tower.name} must be "
                    f"{max(numbers) + 1} as in the weights, got {tower.layers}"
                )

        for norm, projection in _LAST:
            # What leaves a layer norm is its weight times numbers around 1, and its bias.
            most = np.abs(weights[f"{norm}.weight"]) + np.abs(weights[f"{norm}.bias"])  # (width,)
            if (np.abs(weights[projection]) @ most).max() < _LEAST_OUTPUT:
                raise ValueError(f"its weights: {norm} and {projection} leave nothing but zeros")

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        text, vision, side = self.text.width, self.vision.width, self.patch_side
        yield "text_projection.weight", (self.embedding_dim, text)
        yield "visual_projection.weight", (self.embedding_dim, vision)
        yield "text_model.embeddings.token_embedding.weight", (self.tokens, text)
        yield "text_model.embeddings.position_embedding.weight", (self.max_tokens, text)
        yield "vision_model.embeddings.class_embedding", (vision,)
        yield "vision_model.embeddings.patch_embedding.weight", (vision, 3, side, side)
        yield "vision_model.embeddings.position_embedding.weight", (1 + self.patches**2, vision)
        yield from _pair("text_model.final_layer_norm", text)
        yield from _pair("vision_model.pre_layrnorm", vision)  # the library's spelling
        yield from _pair("vision_model.post_layernorm", vision)
        for tower in (self.text, self.vision):
            for layer in range(tower.layers):
                yield from _layer(f"{tower.name}.encoder.layers.{layer}", tower)


def _layer(name: str, tower: Transformer) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner = tower.width, tower.inner
    for part in ("q", "k", "v", "out"):
        yield from _pair(f"{name}.self_attn.{part}_proj", width, width)
    yield from _pair(f"{name}.layer_norm1", width)
    yield from _pair(f"{name}.layer_norm2", width)
    yield from _pair(f"{name}.mlp.fc1", inner, width)
    yield from _pair(f"{name}.mlp.fc2", width, inner)


def _pair(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def logit_scale(weights: Weights) -> float:
    """
    Return what a cosine is multiplied by to become a logit: exp of the learned parameter.

    A checkpoint may hold the scale itself in its place. In training it goes from 14 to 100 (its
    logarithm from 2.7 to 4.6), so that what is meant can be told.

    Raises:
        ValueError: it is neither.
    """
    told = weights["logit_scale"]
    value = float(told.flat[0]) if told.size == 1 else math.nan
    if 0 <= value <= math.log(MOST_SCALE):
        return math.exp(value)
    if 10 <= value <= MOST_SCALE:
        logger.warning("logit_scale is %g, which is taken for the scale, not its logarithm", value)
        return value
    raise ValueError(
        f"its weights: logit_scale must be one number, the logarithm of a scale, from 0 to "
        f"{math.log(MOST_SCALE):.2f}, got {told.tolist()}"
    )


def read_weights(folder: Path) -> Weights:
    """
    Return the weights in *folder*, mapped into memory.

    Raises:
        OSError: there are none, or they are unreadable.
        ValueError: a file is not what its name says, or has numbers that no weight is.
    """
    tensors: dict[str, tuple[str, NDArray[Any]]] = {}
    if paths := matching(folder, SAFETENSORS):
        for path in paths:
            tensors |= _mapped(path)
    elif paths := matching(folder, PICKLES):
        for path in paths:
            tensors |= _unpickled(path)
    else:
        raise FileNotFoundError(f"no {SAFETENSORS[0]} and no {PICKLES[0]}")
    if "logit_scale" not in tensors:
        raise ValueError(f"its weights lack logit_scale{_of_open_clip(tensors)}")
    return Weights(tensors)


def _mapped(path: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    """
    Return the tensors in *path* with the names of their types, as views of the file.

    Source: https://github.com/huggingface/safetensors#format. Its library copies each of them.
    """
    try:
        with safe_open(path, framework="numpy"):
            pass  # it has checked that the file is what its header says
    except SafetensorError as error:
        raise ValueError(f"{path.name} is broken or cut short: {error}") from error
    # Copied when written to, as OpenVINO takes only what is writable; nothing writes to it.
    file = np.memmap(path, np.uint8, "c")
    start = 8 + int.from_bytes(file[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(file[8:start].tobytes())
    header.pop("__metadata__", None)
    tensors: dict[str, tuple[str, NDArray[Any]]] = {}
    for name, told in header.items():
        begin, end = (start + offset for offset in told["data_offsets"])
        number = _NUMBERS.get(told["dtype"])  # others are no parameters of a CLIP
        view = np.asarray(file)[begin:end]
        if number is not None:
            _check_numbers(path, name, number, begin, end)
            view = view.view(number.numpy).reshape(told["shape"])
        tensors[name] = (told["dtype"], view)
    return tensors


def _check_numbers(path: Path, name: str, number: _Number, begin: int, end: int) -> None:
    """Raise ValueError for a number that no weight is; read, not mapped, to hold none of them."""
    bits = np.dtype(number.bits)
    exponent = bits.type(number.exponent)
    with path.open("rb") as file:
        file.seek(begin)
        for left in range((end - begin) // bits.itemsize, 0, -_BLOCK):
            block = np.fromfile(file, bits, min(left, _BLOCK))
            if (largest := (block & exponent).max()) >= number.most:
                raise _no_weight(path, name, is_finite=bool(largest < exponent))


def _no_weight(path: Path, name: str, *, is_finite: bool) -> ValueError:
    why = f"of {MOST_WEIGHT} and more, which no trained weight is" if is_finite else "not finite"
    return ValueError(f"{path.name}: {name} has numbers that are {why}")


def _unpickled(path: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    with torch_needed(f"{path.name} is a pickle, which torch reads"):
        import torch  # here: it takes a second, and newer checkpoints do not need it

    tensors: dict[str, tuple[str, NDArray[Any]]] = {}
    loaded: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    for name, tensor in loaded.items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{path.name}: {name} must be a tensor, got {type(tensor).__name__}")
        is_finite = bool(tensor.isfinite().all())
        if not is_finite or (tensor >= MOST_WEIGHT).any() or (tensor <= -MOST_WEIGHT).any():
            raise _no_weight(path, name, is_finite=is_finite)
        tensors[name] = ("F32", tensor.float().numpy())
    return tensors


def _of_open_clip(names: Mapping[str, object]) -> str:
    is_it = any(name.startswith("visual.") for name in names)
    return ": they are named as in open_clip, not as in transformers" if is_it else ""


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
    token, number = max(tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda one: one[1])
    if number >= config.tokens:
        raise ValueError(
            f"its tokenizer's numbers must be below config.json's text_config.vocab_size, "
            f"{config.tokens}, got {number} of {token!r}"
        )
    around, one = tokenizer.encode("").ids, tokenizer.encode("a").ids
    end = max(one) if config.ends_at_largest else config.end_token
    if end not in one:
        raise ValueError(f"its tokenizer gives no end token {end}, at which the model reads")
    if len(around) != 2 or one.index(end) != len(one) - 1:
        raise ValueError(
            f"its tokenizer must put a start and an end token around a text, got {around} of "
            f"an empty one and {one} of 'a'"
        )
    return tokenizer


def _tokenizer(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        try:
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # its own, which is no narrower
            raise ValueError(f"tokenizer.json is no tokenizer: {error}") from error
    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).exists():
            raise FileNotFoundError(f"it has no tokenizer.json, and no {name}")
    with torch_needed("it has no tokenizer.json, and older tokenizers are read by transformers"):
        from transformers import AutoTokenizer  # here: it takes seconds

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    return tokenizer


def _part(config: JsonPart, part: str, default: Mapping[str, Any]) -> JsonPart:
    # The oldest checkpoints say it twice; `transformers` gives the second one the last word.
    older, newer = config.part(f"{part}_config"), config.part(f"{part}_config_dict")
    return older.over(default) if not newer.values else newer.over(older.over(default).values)


def _transformer(name: str, told: JsonPart) -> Transformer:
    width = told.whole("hidden_size", 1, _MOST)
    heads = told.whole("num_attention_heads", 1, width)
    if width % heads:
        raise told.wrong("num_attention_heads", f"a divisor of hidden_size, {width}")
    if told.values["hidden_act"] not in ACTIVATIONS:
        raise told.wrong("hidden_act", f"one of {', '.join(ACTIVATIONS)}")
    return Transformer(
        name,
        layers=told.whole("num_hidden_layers", 1, 1000),
        heads=heads,
        width=width,
        inner=told.whole("intermediate_size", 1, _MOST),
        activation=told.values["hidden_act"],
        epsilon=told.number("layer_norm_eps", 1e-12, 1.0),
    )
