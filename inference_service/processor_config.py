"""How a checkpoint's image processor frames its pictures, read from its JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inference_service.images import Framing
from inference_service.json_part import JsonPart

MOST_SIDE = 4096  # pixels; the largest models take 512
MOST_INPUT = 20.0  # of a normalised colour, which OpenAI's mean and deviation put from -1.8 to 2.2


def read_framing(folder: Path, defaults: Mapping[str, Any]) -> Framing:
    """
    Read processor_config.json or preprocessor_config.json of the checkpoint in *folder*.

    Args:
        defaults: what the checkpoint's family takes for a key that the file leaves out: do_resize,
            do_rescale, do_normalize, do_center_crop, size, crop_size, resample, rescale_factor,
            image_mean, image_std.

    Raises:
        OSError: there is neither.
        ValueError: it asks for what `Framing` does not do, or for what cannot be.
    """
    part = _told(folder, defaults)
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if part.values[step] is not True:
            raise part.wrong(step, "true")
    scale, offset = _normalisation(part)
    framing = Framing(
        _size(part),
        _crop(part) if part.flag("do_center_crop") else None,
        Image.Resampling(part.whole("resample", 0, max(Image.Resampling))),
        tuple(scale),
        tuple(offset),
    )
    sides = framing.short_side
    shortest = (sides, sides) if isinstance(sides, int) else sides
    crop = framing.crop or (0, 0)
    if crop[0] > shortest[0] or crop[1] > shortest[1]:  # each picture would get a black edge
        bound = f"no larger than what size leaves, {shortest[0]} x {shortest[1]}"
        raise part.wrong("crop_size", bound)
    return framing


def _told(folder: Path, defaults: Mapping[str, Any]) -> JsonPart:
    whole = folder / "processor_config.json"
    part = JsonPart.read(whole).part("image_processor") if whole.exists() else None
    if part is None or not part.values:
        path = folder / "preprocessor_config.json"
        if not path.exists():
            raise FileNotFoundError("it has no preprocessor_config.json and no image processor")
        part = JsonPart.read(path)
    given = {name: value for name, value in part.values.items() if value is not None}
    return JsonPart(part.file, part.name, {**defaults, **given})


def _normalisation(part: JsonPart) -> tuple[list[float], list[float]]:
    """Return by what each colour of a pixel is multiplied, and what is added then."""
    factor = part.number("rescale_factor", 1e-6, 1.0)
    mean, deviation = _colours(part, "image_mean", -256.0), _colours(part, "image_std", 1e-6)
    scale, offset = factor / deviation, -mean / deviation
    if max(np.abs(offset).max(), np.abs(255 * scale + offset).max()) > MOST_INPUT:
        raise ValueError(
            f"{part.file}: rescale_factor, image_mean and image_std must leave colours from "
            f"{-MOST_INPUT:g} to {MOST_INPUT:g}, got {offset.min():.4g} to "
            f"{(255 * scale + offset).max():.4g}"
        )
    return scale.tolist(), offset.tolist()


def _colours(part: JsonPart, name: str, least: float) -> Any:
    given = part.values[name]
    three = given if isinstance(given, list) else [given] * 3
    if len(three) != 3:
        raise part.wrong(name, "three numbers, of red, green and blue")
    each = JsonPart(
        part.file, part.name, {f"{name}[{i}]": number for i, number in enumerate(three)}
    )
    return np.array([each.number(number, least, 256.0) for number in each.values])


def _size(part: JsonPart) -> int | tuple[int, int]:
    """Return what the shorter side becomes, or width and height."""
    size = part.values["size"]
    if not isinstance(size, dict | list):  # a number, as the oldest checkpoints have it
        return part.whole("size", 1, MOST_SIDE)
    if isinstance(size, dict) and "shortest_edge" in size:
        if size.get("longest_edge") is not None:
            raise part.wrong("size", "without a longest_edge")
        return part.part("size").whole("shortest_edge", 1, MOST_SIDE)
    return _both(part, "size")


def _crop(part: JsonPart) -> tuple[int, int]:
    if isinstance(part.values["crop_size"], dict | list):
        return _both(part, "crop_size")
    return (part.whole("crop_size", 1, MOST_SIDE),) * 2


def _both(part: JsonPart, name: str) -> tuple[int, int]:
    """Return width and height of an object, or of a list, which has the height first."""
    given = part.values[name]
    if isinstance(given, list) and len(given) == 2:
        given = {"height": given[0], "width": given[1]}
    if not isinstance(given, dict) or not {"height", "width"} <= given.keys():
        raise part.wrong(name, "a number, or an object with height and width")
    sides = JsonPart(part.file, f"{part.name}{name}.", given)
    return sides.whole("width", 1, MOST_SIDE), sides.whole("height", 1, MOST_SIDE)
