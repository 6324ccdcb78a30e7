"""The models that have a name of ours; what they are good for is in docs/models.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class NamedModel:
    """
    A checkpoint of the Hugging Face hub.

    Attributes:
        hub_id: its OWNER/NAME there.
        embedding_dimension: the length of its embeddings.
        licence: its SPDX identifier, by its card on the hub.
    """

    hub_id: str
    embedding_dimension: int
    licence: str


SMALL = NamedModel("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 512, "MIT")
BEST_ON_CPU = NamedModel("google/siglip2-base-patch32-256", 768, "Apache-2.0")
BEST_ON_GPU = NamedModel("google/siglip2-base-patch16-256", 768, "Apache-2.0")

NAMED_MODELS: dict[str, dict[str, NamedModel]] = {
    "small": {"cpu": SMALL, "cuda": SMALL},
    "best": {"cpu": BEST_ON_CPU, "cuda": BEST_ON_GPU},
}
"""By name, the model for each device."""


def checkpoint_of(model: str, device: Callable[[], str]) -> str:
    """
    Return the hub id of a model that has a name, and any other *model* as it is.

    Args:
        device: says cpu or cuda; it is asked only where the model depends on it.
    """
    choices = NAMED_MODELS.get(model)
    if choices is None:
        return model
    if len(set(choices.values())) == 1:
        return choices["cpu"].hub_id
    return choices[device()].hub_id
