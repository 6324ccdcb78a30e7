"""The families of models that can be loaded, by the model_type of their config.json."""

from __future__ import annotations

from collections.abc import Mapping

from inference_service.families.clip import Clip
from inference_service.family import Family

FAMILIES: Mapping[str, type[Family]] = {
    "clip": Clip,
}
