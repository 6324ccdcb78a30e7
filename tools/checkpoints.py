"""Builds CLIP checkpoints with seeded random weights; pictures to try them on: `pictures.py`.

What is tested with them is in `tests/unit/test_clip.py` and `benchmarks/warm_search.py`.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer
from transformers.models.clip import CLIPImageProcessorPil
from transformers.utils.logging import disable_progress_bar

START, END = "<|startoftext|>", "<|endoftext|>"
# With the usual factor of 1 a random model maps all images to nearly one vector, and a test of
# agreement could not fail; real models have a logit_scale of 100.
SPREAD: dict[str, Any] = {"initializer_factor": 6.0}
CLIP_SCALE = math.log(100)

disable_progress_bar()


class NoVocabulary(RuntimeError):
    """CLIP's vocabulary is not at hand: `pip install --no-deps open_clip_torch` brings it."""


def clip_tokenizer() -> CLIPTokenizer:
    """
    Return CLIP's own tokenizer of 49,408 tokens, or raise NoVocabulary.

    The vocabulary is 256 bytes, the same at the end of a word, 48,894 merges and 2 special tokens;
    source: https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py.
    """
    package = importlib.util.find_spec("open_clip")  # found, not imported: it needs torchvision
    if package is None or not package.submodule_search_locations:
        raise NoVocabulary(NoVocabulary.__doc__)
    file = Path(package.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        merges = [tuple(line.split()) for line in lines][1 : 1 + 48_894]
    return _tokenizer(merges)


def byte_tokenizer() -> CLIPTokenizer:
    """Return a tokenizer of 514 tokens that knows no merge: a token for each byte."""
    return _tokenizer([])


def _tokenizer(merges: list[Any]) -> CLIPTokenizer:  # pairs, where the stub says strings
    letters = _byte_letters()
    ends = [letter + "</w>" for letter in letters]
    tokens = [*letters, *ends, *("".join(pair) for pair in merges), START, END]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)


def _byte_letters() -> list[str]:
    """Return a visible letter for each byte in the order of CLIP's vocabulary."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = sorted(set(range(256)) - set(visible))
    return [chr(byte) for byte in visible] + [chr(256 + i) for i in range(len(hidden))]


def save_full_size(folder: Path, layers: int = 12) -> None:
    """
    Save a random CLIP of full ViT-B/32 size (151 million parameters, 605 MB) in *folder*.

    Fewer *layers*, in each tower, make one that is as wide and less deep.
    """
    tower = {**SPREAD, "num_hidden_layers": layers}
    config = CLIPConfig(
        text_config=dict(tower),
        vision_config=dict(tower),
        logit_scale_init_value=CLIP_SCALE,
        **SPREAD,
    )
    save(folder, config, clip_tokenizer(), CLIPImageProcessorPil())


def save_vision(folder: Path, layers: int) -> None:
    """Save a random CLIP in *folder*, of full ViT-B/32 size for pictures, and tiny for texts."""
    vision = {**SPREAD, "num_hidden_layers": layers}
    config = CLIPConfig(
        text_config=tiny_config().text_config.to_dict(),
        vision_config=vision,
        logit_scale_init_value=CLIP_SCALE,
        **SPREAD,
    )
    save(folder, config, byte_tokenizer(), CLIPImageProcessorPil())


def tiny_config(**changes: Any) -> CLIPConfig:
    """Return the configuration of a CLIP that loads and runs in milliseconds."""
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text = {**shape, "num_attention_heads": 2, "vocab_size": 514, "eos_token_id": 513} | SPREAD
    vision = {**shape, "num_attention_heads": 2, "image_size": 32, "patch_size": 8} | SPREAD
    return CLIPConfig(
        text_config=text | {"bos_token_id": 512, "max_position_embeddings": 20} | changes,
        vision_config=vision,
        projection_dim=24,
        **SPREAD,
    )


def save_tiny(folder: Path, **text_changes: Any) -> None:
    """Save a random CLIP of 32 x 32 pixels, 20 tokens and 24 dimensions in *folder*."""
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    save(folder, tiny_config(**text_changes), byte_tokenizer(), processor)


def save(
    folder: Path,
    config: CLIPConfig,
    tokenizer: CLIPTokenizer,
    image_processor: CLIPImageProcessorPil,
) -> None:
    """Save a CLIP of seeded random weights the way `transformers` saves one now."""
    torch.manual_seed(0)
    with torch.device("meta"):  # else torch fills it first, which the library does anew
        model = CLIPModel(config)
    model.to_empty(device="cpu")
    model.init_weights()
    model.logit_scale.data.fill_(config.logit_scale_init_value)
    model.save_pretrained(folder)
    processor: Any = CLIPProcessor
    processor(image_processor, tokenizer).save_pretrained(folder)


def age(folder: Path) -> None:
    """Turn the checkpoint in *folder* into the layout of the hub's oldest ones, OpenAI's own."""
    model = CLIPModel.from_pretrained(folder)
    state = model.state_dict()
    for part in ("text_model", "vision_model"):
        positions = len(state[f"{part}.embeddings.position_embedding.weight"])
        state[f"{part}.embeddings.position_ids"] = torch.arange(positions)[None]
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    _rewrite(folder / "config.json", lambda config: config["text_config"].update(eos_token_id=2))
    processor = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    side = processor["size"]["shortest_edge"]
    old = processor | {"size": side, "crop_size": side, "image_processor_type": None}
    old["feature_extractor_type"] = "CLIPFeatureExtractor"
    (folder / "preprocessor_config.json").write_text(json.dumps(old))
    (folder / "processor_config.json").unlink()
    CLIPTokenizer.from_pretrained(folder).backend_tokenizer.model.save(str(folder))
    (folder / "tokenizer.json").unlink()


def _rewrite(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
