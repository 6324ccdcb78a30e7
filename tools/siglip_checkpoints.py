"""Builds SigLIP checkpoints with seeded random weights, as the hub has those of both generations.

What is tested with them is in `tests/unit/test_siglip.py` and `benchmarks/siglip.py`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipModel
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

TEXT_LENGTH = 64
LOGIT_BIAS = -16.5
LOG_SCALE = 4.7
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = [*_LETTERS, *_LETTERS.upper(), *"0123456789.,'!?-"]
_WORDS = ("horse", "flower", "dog", "a", "snow", "the", "very", "last")
_BILINEAR, _BICUBIC = 2, 3  # as both libraries number them
_QUIET = {"bos_token_id": None, "eos_token_id": 1}  # else numbers above ours, and a warning


def save_siglip_2(folder: Path, config: SiglipConfig) -> None:
    """Save a random SigLIP 2 in *folder*: Gemma's special tokens, capitals kept, bilinear."""
    _save(folder, config, _BILINEAR)
    _save_tokenizer_2(folder)


def save_siglip_1(folder: Path, config: SiglipConfig) -> None:
    """Save a random SigLIP 1 in *folder*: `</s>` for end and padding, bicubic."""
    _save(folder, config, _BICUBIC)
    _save_tokenizer_1(folder)


def base_config(side: int, patch: int, tokens: int, layers: int = 12) -> SiglipConfig:
    """Return the configuration of a SigLIP of base size, B/*patch*-*side*: layers of 768."""
    shape = {"num_hidden_layers": layers}
    return SiglipConfig(
        text_config={"vocab_size": tokens, **_QUIET, **shape},
        vision_config={"image_size": side, "patch_size": patch, **shape},
    )


def tiny_config(side: int = 32, **text: Any) -> SiglipConfig:
    """Return the configuration of a SigLIP that loads and runs in milliseconds."""
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    shape["num_attention_heads"] = 2
    return SiglipConfig(
        text_config={**shape, "vocab_size": 512, **_QUIET, **text},
        vision_config={**shape, "image_size": side, "patch_size": 8},
    )


def reference_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of `transformers` for *folder*; that of SigLIP 1 by its file."""
    if "Siglip2" in (folder / "tokenizer_config.json").read_text():
        return Siglip2Tokenizer.from_pretrained(folder, padding_side="right")
    file = str(folder / "tokenizer.json")
    of_file: Any = PreTrainedTokenizerFast
    return of_file(tokenizer_file=file, pad_token="</s>", padding_side="right")  # noqa: S106


def _save(folder: Path, config: SiglipConfig, resample: int) -> None:
    torch.manual_seed(1)
    with torch.device("meta"):  # what the library fills a model of base size with takes 10 s
        model = SiglipModel(config)
    model.to_empty(device="cpu")
    _fill(model)
    model.save_pretrained(folder)
    vision: Any = config.vision_config
    side = vision.image_size
    processor = {
        "do_convert_rgb": None,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "SiglipProcessor",
        "resample": resample,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": side, "width": side},
    }
    _write(folder / "preprocessor_config.json", processor)


@torch.no_grad()
def _fill(model: SiglipModel) -> None:
    """
    Have every parameter matter, and inputs give embeddings that differ.

    The library begins all biases with zero, and attends to all places alike: a bias or a padding
    that is left out would not be seen.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(0, 0.1)
        elif "norm" in name:
            parameter.normal_(1, 0.1)
        elif parameter.ndim > 1:
            parameter.normal_(0, _stretch(name) * math.prod(parameter.shape[1:]) ** -0.5)
    model.logit_scale.fill_(LOG_SCALE)
    model.logit_bias.fill_(LOGIT_BIAS)


def _stretch(name: str) -> float:
    """Return how many times as large as in the library the values of a weight are."""
    if any(part in name for part in ("q_proj", "k_proj", "in_proj", "patch_embedding")):
        return 3
    return 2 if "v_proj" in name or "out_proj" in name else 1


def _save_tokenizer_2(folder: Path) -> None:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    merges = _merges()
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *_SIGNS]
    tokens += [first + second for first, second in merges]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Siglip2Tokenizer(vocab=numbers, merges=merges, add_eos_token=True)
    tokenizer.save_pretrained(folder)
    # The hub's files leave capitals as they are; the class, which lowers them, came later.
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    _write(path, content)


def _merges() -> Any:  # pairs, where the stub says strings
    pairs: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        begun = "▁"
        for letter in word:
            pairs[begun, letter] = None
            begun += letter
    return list(pairs)


def _save_tokenizer_1(folder: Path) -> None:
    pieces = ["<pad>", "</s>", "<unk>", "▁", *_LETTERS, *"0123456789"]
    pieces += [f"▁{word}" for word in _WORDS]
    scores = [(piece, -1.0 if len(piece) > 1 else -5.0) for piece in pieces]
    tokenizer = Tokenizer(Unigram(scores, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["</s>", "<unk>"])
    tokenizer.post_processor = TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "SiglipTokenizer", "model_max_length": TEXT_LENGTH, **names}
    _write(folder / "tokenizer_config.json", config)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))
