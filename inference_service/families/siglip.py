"""SigLIP, and SigLIP 2 of one resolution, in the format of `transformers`.

Sources: https://arxiv.org/abs/2303.15343 and https://arxiv.org/abs/2502.14786. The parameters of
SigLIP 2 of one resolution are those of SigLIP, and its config.json says "siglip", too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from inference_service import learned_logits
from inference_service.checkpoint import Weights, check_vocabulary, read_tokenizer
from inference_service.family import Tokenize, Tokens
from inference_service.json_part import JsonPart
from inference_service.runtimes.layers import MOST_WIDTH, Layers, Shapes, Tensor, Transformer, pair
from inference_service.text_rows import TextRows
from inference_service.typed_text import of_whole_characters

# What `transformers` takes for a key that config.json leaves out.
_SHARED = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_TEXT = _SHARED | {"vocab_size": 32000, "max_position_embeddings": 64, "projection_size": None}
_VISION = _SHARED | {
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "vision_use_head": True,
}
_MOST_TOKENS = 10_000_000
_POOL = "vision_model.head"


@dataclass(frozen=True)
class Siglip:
    """
    The family `Siglip`, see `Family`.

    Attributes:
        tokens: how many there are.
        text_length: tokens of every text, with its padding.
    """

    model_type: ClassVar[str] = "siglip"
    processor_defaults: ClassVar[Mapping[str, Any]] = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_center_crop": False,  # a picture is squashed, and all of it is seen
        "size": {"height": 224, "width": 224},
        "crop_size": None,
        "resample": Image.Resampling.BICUBIC,
        "rescale_factor": 1 / 255,
        "image_mean": 0.5,
        "image_std": 0.5,
    }

    is_causal: ClassVar[bool] = False  # each token sees all others, its padding, too

    text_tower: Transformer
    vision_tower: Transformer
    tokens: int
    text_length: int
    image_side: int
    patch_side: int

    @classmethod
    def read(cls, config: JsonPart) -> Siglip:
        """Return what *config* says; ValueError where it says what cannot be."""
        text = config.part("text_config").over(_TEXT)
        vision = config.part("vision_config").over(_VISION)
        vision.whole("num_channels", 3, 3)
        if not vision.flag("vision_use_head"):
            raise vision.wrong("vision_use_head", "true: patches are pooled by it")
        image_side = vision.whole("image_size", 1, 4096)
        family = cls(
            Transformer.read("text_model", text),
            Transformer.read("vision_model", vision),
            tokens=text.whole("vocab_size", 1, _MOST_TOKENS),
            text_length=text.whole("max_position_embeddings", 2, MOST_WIDTH),
            image_side=image_side,
            patch_side=vision.whole("patch_size", 1, image_side),
        )
        given, width = text.values["projection_size"], family.vision_tower.width
        if (family.text_tower.width if given is None else given) != width:
            raise text.wrong("projection_size", f"the hidden_size of pictures, {width}")
        return family

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The name and the shape of each parameter of the towers."""
        return dict(self._shapes())

    def check(self, weights: Weights) -> None:
        """Raise ValueError when *weights* are of more layers."""
        for tower in (self.text_tower, self.vision_tower):
            tower.check_layers(weights.keys())

    def logit_scale(self, weights: Weights) -> float:
        """Return exp of the learned logarithm; ValueError where it is none."""
        return learned_logits.logit_scale(weights)

    def logit_bias(self, weights: Weights) -> float:
        """Return the learned bias; ValueError where there is none."""
        return learned_logits.logit_bias(weights)

    def read_tokenizer(self, folder: Path) -> Tokenize:
        """
        Return the tokenizer in *folder*, all of whose texts are of `text_length` tokens.

        Raises:
            OSError: there is none.
            ValueError: it does not fit the model.
        """
        if not (folder / "tokenizer.json").exists():
            raise FileNotFoundError(_without_tokenizer(folder))
        tokenizer = read_tokenizer(folder)
        check_vocabulary(tokenizer, self.tokens)
        names = JsonPart.read(folder / "tokenizer_config.json")
        end, padding = (_special(names, each, tokenizer) for each in ("eos_token", "pad_token"))
        # Whatever the files say: so each text was in training, cut before its end token and filled
        # up at the right (https://github.com/google-research/big_vision, pp/ops_text.py).
        tokenizer.post_processor = TemplateProcessing(["$A", end[0]], special_tokens=[end])
        tokenizer.enable_truncation(self.text_length)
        tokenizer.enable_padding(
            direction="right", length=self.text_length, pad_token=padding[0], pad_id=padding[1]
        )
        return _SiglipTokenizer(tokenizer)

    def text(self, layers: Layers, rows: TextRows) -> Tensor:
        """Return the embeddings; each token sees all others, and the padding, as in training."""
        of_tokens = layers.weight("text_model.embeddings.token_embedding.weight")
        of_positions = layers.weight("text_model.embeddings.position_embedding.weight")
        x = layers.lookup(of_tokens, rows.ids) + layers.lookup(of_positions, rows.positions)
        x = layers.encode_at(self.text_tower, x, rows.places)
        x = layers.norm(x, "text_model.final_layer_norm", self.text_tower.epsilon)
        return layers.linear(x, "text_model.head")

    def vision(self, layers: Layers, pixels: Tensor) -> Tensor:
        """Return the embeddings, pooled from all patches."""
        tower = self.vision_tower
        x = layers.patches(pixels, "vision_model.embeddings.patch_embedding")
        x = x + layers.weight("vision_model.embeddings.position_embedding.weight")
        x = layers.norm(layers.encode(tower, x), "vision_model.post_layernorm", tower.epsilon)
        x = self._attended_by_the_probe(layers, x)
        y = layers.norm(x, f"{_POOL}.layernorm", tower.epsilon)
        return x + layers.perceptron(y, f"{_POOL}.mlp", tower.activation)

    def _attended_by_the_probe(self, layers: Layers, x: Tensor) -> Tensor:
        """Return (B, 1, D): what a learned query, the same for all, sees of *x*, (B, T, D)."""
        width = self.vision_tower.width
        weight = layers.weight(f"{_POOL}.attention.in_proj_weight")
        bias = layers.weight(f"{_POOL}.attention.in_proj_bias")

        def projected(source: Tensor, place: int) -> Tensor:  # 0: queries, 1: keys, 2: values
            begin, end = place * width, (place + 1) * width
            return layers.affine(
                source, layers.rows(weight, begin, end), layers.rows(bias, begin, end)
            )

        query = layers.repeated(projected(layers.weight(f"{_POOL}.probe"), 0), x)
        keys, values = projected(x, 1), projected(x, 2)
        attended = layers.attention(query, keys, values, self.vision_tower.heads, None)
        return layers.linear(attended, f"{_POOL}.attention.out_proj")

    def _shapes(self) -> Shapes:
        text, vision, side = self.text_tower.width, self.vision_tower.width, self.patch_side
        patches = (self.image_side // side) ** 2  # what is left over beside them is not looked at
        yield "text_model.embeddings.token_embedding.weight", (self.tokens, text)
        yield "text_model.embeddings.position_embedding.weight", (self.text_length, text)
        yield from pair("text_model.final_layer_norm", text)
        yield from pair("text_model.head", vision, text)
        yield from pair("vision_model.embeddings.patch_embedding", vision, 3, side, side)
        yield "vision_model.embeddings.position_embedding.weight", (patches, vision)
        yield from pair("vision_model.post_layernorm", vision)
        yield f"{_POOL}.probe", (1, 1, vision)
        yield f"{_POOL}.attention.in_proj_weight", (3 * vision, vision)
        yield f"{_POOL}.attention.in_proj_bias", (3 * vision,)
        yield from pair(f"{_POOL}.attention.out_proj", vision, vision)
        yield from pair(f"{_POOL}.layernorm", vision)
        yield from pair(f"{_POOL}.mlp.fc1", self.vision_tower.inner, vision)
        yield from pair(f"{_POOL}.mlp.fc2", vision, self.vision_tower.inner)
        for tower in (self.text_tower, self.vision_tower):
            yield from tower.shapes()


@dataclass(frozen=True)
class _SiglipTokenizer:
    tokenizer: Tokenizer

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of each text and its padding; it is read at the last, whatever it is.

        The file of SigLIP 2 leaves capitals, of which its training had none:
        https://github.com/huggingface/transformers/pull/43101.
        """
        encodings = [self.tokenizer.encode(of_whole_characters(text).lower()) for text in texts]
        ids = np.array([encoding.ids for encoding in encodings], np.int32)
        places = np.full(len(texts), ids.shape[1] - 1, np.int32)
        return Tokens(ids, places, [bool(encoding.overflowing) for encoding in encodings])


def _without_tokenizer(folder: Path) -> str:
    if (folder / "spiece.model").exists():
        return "it has spiece.model alone for a tokenizer, and a tokenizer.json is needed"
    return "it has no tokenizer.json"


def _special(names: JsonPart, name: str, tokenizer: Tokenizer) -> tuple[str, int]:
    """
    Return the token that tokenizer_config.json calls *name*, and its number.

    config.json does not know: without a word its pad_token_id is 1, and that of SigLIP 2 is 0.
    """
    given = names.values.get(name)
    token = given.get("content") if isinstance(given, dict) else given
    if not isinstance(token, str) or (number := tokenizer.token_to_id(token)) is None:
        raise names.wrong(name, "a token of the tokenizer")
    return token, number
