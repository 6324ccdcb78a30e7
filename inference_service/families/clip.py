"""CLIP, https://github.com/openai/CLIP, in the format of `transformers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from inference_service import learned_logits
from inference_service.checkpoint import Weights, check_vocabulary, read_tokenizer
from inference_service.family import Tokenize, Tokens
from inference_service.json_part import JsonPart
from inference_service.runtimes.layers import MOST_WIDTH, Layers, Shapes, Tensor, Transformer, pair
from inference_service.text_rows import TextRows
from inference_service.typed_text import straightened

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
_MOST_TOKENS = 10_000_000
_LEAST_OUTPUT = 1e-12  # the square of less is no number of float32
_LAST = (  # of each tower: its layer norm, and the projection
    ("text_model.final_layer_norm", "text_projection"),
    ("vision_model.post_layernorm", "visual_projection"),
)
_START, _END = "<|startoftext|>", "<|endoftext|>"
# What a text is cut into before its tokens are looked for.
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Clip:
    """
    The family `Clip`, see `Family`.

    Attributes:
        embedding_dim: of what both towers give.
        tokens: how many there are.
        end_token: the embedding of a text is read where it is; None: at the largest token, as
            a checkpoint from before https://github.com/huggingface/transformers/pull/24773 gives
            a wrong end token, 2.
    """

    model_type: ClassVar[str] = "clip"
    processor_defaults: ClassVar[Mapping[str, Any]] = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_center_crop": True,
        "size": 224,
        "crop_size": 224,
        "resample": Image.Resampling.BICUBIC,
        "rescale_factor": 1 / 255,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }

    is_causal: ClassVar[bool] = True

    text_tower: Transformer
    vision_tower: Transformer
    embedding_dim: int
    tokens: int
    max_tokens: int
    end_token: int | None
    image_side: int
    patch_side: int

    @classmethod
    def read(cls, config: JsonPart) -> Clip:
        """Return what *config* says; ValueError where it says what cannot be."""
        text, vision = _part(config, "text", _TEXT), _part(config, "vision", _VISION)
        vision.whole("num_channels", 3, 3)
        end_token = text.whole("eos_token_id", 0, _MOST_TOKENS)
        image_side = vision.whole("image_size", 1, 4096)
        return cls(
            Transformer.read("text_model", text),
            Transformer.read("vision_model", vision),
            embedding_dim=config.over({"projection_dim": 512}).whole(
                "projection_dim", 1, MOST_WIDTH
            ),
            tokens=text.whole("vocab_size", 1, _MOST_TOKENS),
            max_tokens=text.whole("max_position_embeddings", 3, MOST_WIDTH),
            end_token=None if end_token == 2 else end_token,
            image_side=image_side,
            patch_side=vision.whole("patch_size", 1, image_side),
        )

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The name and the shape of each parameter of the towers."""
        return dict(self._shapes())

    def check(self, weights: Weights) -> None:
        """Raise ValueError when *weights* are of more layers, or leave nothing of any input."""
        for tower in (self.text_tower, self.vision_tower):
            tower.check_layers(weights.keys())
        for norm, projection in _LAST:
            # What leaves a layer norm is its weight times numbers around 1, and its bias.
            most = np.abs(weights[f"{norm}.weight"]) + np.abs(weights[f"{norm}.bias"])  # (width,)
            matrix = f"{projection}.weight"
            if (np.abs(weights[matrix]) @ most).max() < _LEAST_OUTPUT:
                raise ValueError(f"its weights: {norm} and {matrix} leave nothing but zeros")

    def logit_scale(self, weights: Weights) -> float:
        """Return exp of the learned logarithm; ValueError where it is none."""
        return learned_logits.logit_scale(weights)

    def logit_bias(self, weights: Weights) -> float:  # noqa: ARG002 - as a family has it
        """Return 0: its logits have no bias."""
        return 0.0

    def read_tokenizer(self, folder: Path) -> Tokenize:
        """
        Return the tokenizer in *folder*, which cuts what is past the model's last position.

        Raises:
            OSError: there is none.
            ValueError: it does not fit the model.
        """
        if (folder / "tokenizer.json").exists():
            tokenizer = read_tokenizer(folder)
        else:
            tokenizer = _old_tokenizer(folder)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        check_vocabulary(tokenizer, self.tokens)
        empty, letter = tokenizer.encode("").ids, tokenizer.encode("a").ids
        end = max(letter) if self.end_token is None else self.end_token
        if end not in letter:
            raise ValueError(f"its tokenizer gives no end token {end}, at which the model reads")
        if len(empty) != 2 or letter.index(end) != len(letter) - 1:
            raise ValueError(
                f"its tokenizer must put a start and an end token around a text, got {empty} of "
                f"an empty one and {letter} of 'a'"
            )
        return _ClipTokenizer(tokenizer, self.end_token)

    def text(self, layers: Layers, rows: TextRows) -> Tensor:
        """Return the embeddings; no token sees a later one, so that padding is unseen."""
        of_tokens = layers.weight("text_model.embeddings.token_embedding.weight")
        of_positions = layers.weight("text_model.embeddings.position_embedding.weight")
        x = layers.lookup(of_tokens, rows.ids) + layers.lookup(of_positions, rows.positions)
        x = layers.encode_at(self.text_tower, x, rows.places, rows.mask)
        x = layers.norm(x, "text_model.final_layer_norm", self.text_tower.epsilon)
        return layers.linear(x, "text_projection")

    def vision(self, layers: Layers, pixels: Tensor) -> Tensor:
        """Return the embeddings, read at the class token before the patches."""
        epsilon = self.vision_tower.epsilon
        patches = layers.patches(pixels, "vision_model.embeddings.patch_embedding")
        token = layers.weight("vision_model.embeddings.class_embedding")
        x = layers.joined(layers.repeated(token, patches), patches)
        x = x + layers.weight("vision_model.embeddings.position_embedding.weight")
        x = layers.norm(x, "vision_model.pre_layrnorm", epsilon)  # the library's spelling
        x = layers.encode_at(self.vision_tower, x, 0)
        x = layers.norm(x, "vision_model.post_layernorm", epsilon)
        return layers.linear(x, "visual_projection")

    def _shapes(self) -> Shapes:
        text, vision, side = self.text_tower.width, self.vision_tower.width, self.patch_side
        patches = (self.image_side // side) ** 2  # what is left over beside them is not looked at
        yield "text_projection.weight", (self.embedding_dim, text)
        yield "visual_projection.weight", (self.embedding_dim, vision)
        yield "text_model.embeddings.token_embedding.weight", (self.tokens, text)
        yield "text_model.embeddings.position_embedding.weight", (self.max_tokens, text)
        yield "vision_model.embeddings.class_embedding", (vision,)
        yield "vision_model.embeddings.patch_embedding.weight", (vision, 3, side, side)
        yield "vision_model.embeddings.position_embedding.weight", (1 + patches, vision)
        yield from pair("text_model.final_layer_norm", text)
        yield from pair("vision_model.pre_layrnorm", vision)
        yield from pair("vision_model.post_layernorm", vision)
        for tower in (self.text_tower, self.vision_tower):
            yield from tower.shapes()


@dataclass(frozen=True)
class _ClipTokenizer:
    tokenizer: Tokenizer
    end_token: int | None

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens up to the one at which the tower reads, then zeros, unseen."""
        encodings = [self.tokenizer.encode(straightened(text)) for text in texts]
        places = np.array([self._end(encoding.ids) for encoding in encodings], np.int32)
        ids: NDArray[np.int32] = np.zeros((len(texts), places.max() + 1), np.int32)
        for row, encoding, end in zip(ids, encodings, places, strict=True):
            row[: end + 1] = encoding.ids[: end + 1]
        return Tokens(ids, places, [bool(encoding.overflowing) for encoding in encodings])

    def _end(self, ids: Sequence[int]) -> int:
        return ids.index(max(ids) if self.end_token is None else self.end_token)


def _old_tokenizer(folder: Path) -> Tokenizer:
    """
    Return the tokenizer in vocab.json and merges.txt, as the oldest checkpoints have it.

    Source: https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py.
    """
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    for path in (vocabulary, merges):
        if not path.exists():
            raise FileNotFoundError(f"it has no tokenizer.json, and no {path.name}")
    try:
        model = BPE.from_file(
            str(vocabulary), str(merges), unk_token=_END, end_of_word_suffix="</w>"
        )
        tokenizer = Tokenizer(model)
    except Exception as error:  # its own, which is no narrower
        raise ValueError(f"vocab.json and merges.txt are no tokenizer: {error}") from error
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([_START, _END])
    tokenizer.post_processor = TemplateProcessing(
        f"{_START} $A {_END}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (_START, _END)],
    )
    return tokenizer


def _part(config: JsonPart, part: str, default: Mapping[str, Any]) -> JsonPart:
    # The oldest checkpoints say it twice; `transformers` gives the second one the last word.
    older, newer = config.part(f"{part}_config"), config.part(f"{part}_config_dict")
    return older.over(default) if not newer.values else newer.over(older.over(default).values)
