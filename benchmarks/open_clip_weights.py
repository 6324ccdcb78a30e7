"""A checkpoint in the format of `transformers` as a model of open_clip, for the same weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

_NAMES = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_PARTS = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "logit_scale": "logit_scale",
}


def load(checkpoint: Path) -> Any:
    """Return an `open_clip.CLIP` with the weights of *checkpoint*, in evaluation mode."""
    import open_clip

    config = json.loads((checkpoint / "config.json").read_text())
    text, vision = config["text_config"], config["vision_config"]
    model = open_clip.CLIP(
        embed_dim=config["projection_dim"],
        quick_gelu=text["hidden_act"] == "quick_gelu",
        vision_cfg={
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
            "patch_size": vision["patch_size"],
            "image_size": vision["image_size"],
        },
        text_cfg={
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    )
    model.load_state_dict(dict(_renamed(load_file(checkpoint / "model.safetensors"))))
    return model.eval()


def _renamed(weights: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, new in _PARTS.items():
        yield new, weights[name]
    yield "text_projection", weights["text_projection.weight"].T
    yield "visual.proj", weights["visual_projection.weight"].T
    for tower, new in (("text_model", ""), ("vision_model", "visual.")):
        prefix = f"{tower}.encoder.layers."
        own = (name.removeprefix(prefix) for name in weights if name.startswith(prefix))
        for number in sorted({name.partition(".")[0] for name in own}):
            yield from _layer(
                weights, f"{prefix}{number}.", f"{new}transformer.resblocks.{number}."
            )


def _layer(
    weights: Mapping[str, torch.Tensor], old: str, new: str
) -> Iterator[tuple[str, torch.Tensor]]:
    for kind in ("weight", "bias"):
        for name, other in _NAMES.items():
            yield f"{new}{other}.{kind}", weights[f"{old}{name}.{kind}"]
        parts = [weights[f"{old}self_attn.{part}_proj.{kind}"] for part in "qkv"]
        yield f"{new}attn.in_proj_{kind}", torch.cat(parts)
