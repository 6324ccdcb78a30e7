"""What the pictures of the demo's gallery show, told by their ids: what answers are held to."""

from __future__ import annotations

from typing import Any

from imagesearch.demo import scenes
from imagesearch.demo.gallery import FIRST_ID
from imagesearch.demo.scenes import Scene


def shown(result: dict[str, Any]) -> Scene:
    """Return the scene that a result of an answer is a picture of."""
    return scenes.scene(int(result["image_id"].removeprefix("demo-")) - FIRST_ID)
