"""A checkpoint in the format of `transformers`, read without importing it or torch.

Where it is found is in `model_folder.py`, what its family makes of it in `families/`, what is
computed with it in `runtimes/`; `model.py` puts them together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from inference_service.checkpoint_files import PICKLES, SAFETENSORS, matching
from inference_service.torch_extra import torch_needed


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
_BLOCK = 1 << 18  # numbers that are looked at together: they fit in a core's cache


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


def check_weights(weights: Weights, parameters: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError when *weights* lack one of *parameters*, or have it in another shape."""
    if missing := sorted(parameters.keys() - weights.keys()):
        raise ValueError(
            f"its weights lack {len(missing)} parameters, among them {missing[0]}"
            f"{_of_open_clip(weights)}"
        )
    for name, shape in parameters.items():
        dtype, given = weights.kind(name)
        if dtype not in _NUMBERS:
            types = ", ".join(_NUMBERS)
            raise ValueError(f"its weights: {name} must be one of {types}, got {dtype}")
        if given != shape:
            raise ValueError(f"its weights: {name} must be {shape} by config.json, got {given}")


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
    for name, facts in header.items():
        begin, end = (start + offset for offset in facts["data_offsets"])
        number = _NUMBERS.get(facts["dtype"])  # others are no parameters of a model
        view = np.asarray(file)[begin:end]
        if number is not None:
            _check_numbers(path, name, number, begin, end)
            view = view.view(number.numpy).reshape(facts["shape"])
        tensors[name] = (facts["dtype"], view)
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


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer in *folder*/tokenizer.json; ValueError where it is none."""
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # its own, which is no narrower
        raise ValueError(f"tokenizer.json is no tokenizer: {error}") from error


def check_vocabulary(tokenizer: Tokenizer, tokens: int) -> None:
    """Raise ValueError when *tokenizer* gives numbers for which the model has no row."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    token, number = max(vocabulary.items(), key=lambda entry: entry[1])
    if number >= tokens:
        raise ValueError(
            f"its tokenizer's numbers must be below config.json's text_config.vocab_size, "
            f"{tokens}, got {number} of {token!r}"
        )
