"""
How the demo's scenes are drawn, with Pillow, from Microsoft's Fluent 3D emoji (`pictures`, MIT).

What a scene shows is in `scenes`.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from imagesearch.demo.scenes import FOLDER, THINGS, Scene

Colour = tuple[int, int, int]

WIDTH: Final = 640
HEIGHT: Final = 427
_SHADOW: Final = (10, 10, 30)


@dataclass(frozen=True)
class _Ground:
    """Hills from back to front, each with how far down it starts, and how many specks lie on it."""

    hills: tuple[tuple[float, Colour], ...]
    specks: Colour | None = None


@dataclass(frozen=True)
class _Light:
    """A sky's colours from top to bottom, what it makes of the ground's, and its stars."""

    sky: tuple[Colour, ...]
    tint: tuple[float, float, float]
    stars: Colour | None = None


_GROUNDS: Final[dict[str, _Ground]] = {
    "sea": _Ground(((0.42, (70, 170, 200)), (0.58, (40, 142, 184)), (0.80, (238, 218, 172)))),
    "meadow": _Ground(
        ((0.44, (156, 206, 106)), (0.60, (122, 188, 80)), (0.78, (92, 164, 62))), (252, 248, 214)
    ),
    "snow": _Ground(
        ((0.44, (212, 222, 236)), (0.60, (230, 237, 246)), (0.78, (246, 249, 253))), (255, 255, 255)
    ),
    "desert": _Ground(((0.46, (232, 188, 118)), (0.62, (218, 166, 94)), (0.80, (202, 146, 76)))),
}
_LIGHTS: Final[dict[str, _Light]] = {
    "day": _Light(((112, 184, 240), (176, 218, 248), (222, 240, 250)), (1.0, 1.0, 1.0)),
    "sunset": _Light(
        ((92, 52, 120), (214, 92, 110), (250, 152, 84), (253, 206, 122)), (0.92, 0.70, 0.62)
    ),
    "night": _Light(
        ((10, 14, 42), (22, 30, 82), (48, 56, 124)), (0.34, 0.38, 0.56), (214, 222, 255)
    ),
}

Spot = tuple[float, float, float]
"""x, y and radius in half heights, from the picture's middle, y down: the central square is -1..1,
which is all that CLIP's centre crop keeps."""

_SINGLE: Final[dict[str, Spot]] = {
    "left": (-0.46, 0.24, 0.48),
    "centre": (0.0, 0.24, 0.48),
    "right": (0.46, 0.24, 0.48),
    "top": (0.0, -0.48, 0.46),
}
_SPREAD: Final[dict[int, tuple[Spot, ...]]] = {
    2: ((-0.46, 0.30, 0.40), (0.46, 0.30, 0.40)),
    3: ((-0.64, 0.28, 0.31), (0.64, 0.28, 0.31), (0.0, 0.42, 0.31)),
    5: (
        (-0.36, -0.04, 0.27),
        (0.36, -0.04, 0.27),
        (-0.68, 0.52, 0.27),
        (0.0, 0.56, 0.27),
        (0.68, 0.52, 0.27),
    ),
}
_LEFT_GROUP: Final[dict[int, tuple[Spot, ...]]] = {
    1: ((-0.48, 0.30, 0.40),),
    2: ((-0.68, 0.14, 0.27), (-0.38, 0.52, 0.27)),
    3: ((-0.72, 0.08, 0.24), (-0.26, 0.14, 0.24), (-0.50, 0.56, 0.24)),
}
_BELOW: Final[dict[int, tuple[Spot, ...]]] = {
    1: ((0.0, 0.44, 0.40),),
    2: ((-0.42, 0.48, 0.36), (0.42, 0.48, 0.36)),
    3: ((-0.64, 0.46, 0.30), (0.64, 0.46, 0.30), (0.0, 0.56, 0.30)),
}
_AMID: Final[dict[int, tuple[Spot, ...]]] = {
    1: ((0.0, 0.10, 0.38),),
    2: ((-0.33, 0.08, 0.31), (0.33, 0.08, 0.31)),
    3: ((-0.56, 0.04, 0.26), (0.0, 0.08, 0.26), (0.56, 0.04, 0.26)),
}
_FIELD: Final[tuple[Spot, ...]] = (
    (-0.82, 0.46, 0.18),
    (0.82, 0.46, 0.18),
    (-0.56, 0.72, 0.20),
    (0.56, 0.72, 0.20),
    (-0.19, 0.76, 0.20),
    (0.19, 0.68, 0.20),
)
_RIGHT: Final[Spot] = (0.48, 0.30, 0.40)
_ABOVE: Final[Spot] = (0.0, -0.56, 0.34)
_TRIO: Final[tuple[Spot, ...]] = ((-0.48, 0.42, 0.37), (0.48, 0.42, 0.37), (0.0, -0.56, 0.32))
_RAISED = 0.34
"""How much higher things of the sky are, which stand alone."""


def spots(picture: Scene) -> list[tuple[str, Spot]]:
    """Return each drawn thing with its place before jitter, from back to front."""
    first = picture.groups[0].thing
    stands_alone = len(picture.groups) == 1 and picture.arrangement != "top"
    rise = _RAISED if stands_alone and THINGS[first].sky else 0.0
    return [
        (group.thing, (x, y - rise, radius))
        for group, places in zip(picture.groups, _places(picture), strict=True)
        for x, y, radius in places
    ]


def _places(picture: Scene) -> list[tuple[Spot, ...]]:
    """Return the spots of each group."""
    count = picture.groups[0].count
    match picture.arrangement:
        case "spread":
            return [_SPREAD[count]]
        case "beside":
            return [_LEFT_GROUP[count], (_RIGHT,)]
        case "under":
            return [_BELOW[count], (_ABOVE,)]
        case "amidst":
            return [_AMID[count], _FIELD]
        case "trio":
            return [(spot,) for spot in _TRIO]
        case position:
            return [(_SINGLE[position],)]


def _toned(colour: Colour, tones: Sequence[float]) -> Colour:
    red, green, blue = (
        max(0, min(255, round(part * tone))) for part, tone in zip(colour, tones, strict=True)
    )
    return red, green, blue


def _jittered(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, part + rng.randint(-9, 9))) for part in colour)
    return red, green, blue


def _fade(colours: Sequence[Colour], size: tuple[int, int]) -> Image.Image:
    """Return *colours*, which go over into each other from the top down."""
    strip = Image.new("RGB", (1, len(colours)))
    strip.putdata(colours)
    # One column is computed and the others are copied, which is the same and takes a tenth.
    column = strip.resize((1, size[1]), Image.Resampling.BILINEAR)
    return column.resize(size, Image.Resampling.NEAREST)


class Painter:
    """
    Draws scenes at one size.

    Args:
        height: of the pictures, in pixels; they are as wide as `WIDTH` is to `HEIGHT`.
        sprites: how many emoji are kept in memory at the size at which they were drawn.
    """

    def __init__(self, height: int = HEIGHT, sprites: int = 64) -> None:
        self.width, self.height = round(height * WIDTH / HEIGHT), height
        self._sprite = lru_cache(sprites)(_sprite)

    def paint(self, picture: Scene) -> Image.Image:
        """Return *picture* as an RGB image, the same for the same scene."""
        rng = random.Random(picture.id)
        canvas = self.landscape(picture.place, picture.time, rng)
        self.put(canvas, picture, rng)
        return canvas

    def put(self, canvas: Image.Image, picture: Scene, rng: random.Random) -> None:
        """Draw what stands in the landscape."""
        half = self.height / 2
        for thing, (x, y, radius) in spots(picture):
            x, y = x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03)
            sprite = self._sprite(thing, round(2 * half * radius))
            left = self.width / 2 + half * x - sprite.width / 2
            canvas.paste(sprite, (round(left), round(half + half * y - sprite.height / 2)), sprite)

    def landscape(self, place: str, time: str, rng: random.Random) -> Image.Image:
        """Return the empty landscape."""
        ground, light = _GROUNDS[place], _LIGHTS[time]
        canvas = _fade([_jittered(colour, rng) for colour in light.sky], (self.width, self.height))
        if light.stars:
            self._speckle(canvas, light.stars, (0.0, 0.44), rng)
        for level, colour in ground.hills:
            self._ridge(canvas, level, _toned(_jittered(colour, rng), light.tint), rng)
        if ground.specks:
            self._speckle(canvas, _toned(ground.specks, light.tint), (0.62, 1.0), rng)
        return canvas

    def _ridge(self, canvas: Image.Image, level: float, colour: Colour, rng: random.Random) -> None:
        """Paint a rolling hill (or a swell of the sea) that starts *level* of the height down."""
        width, height = self.width, self.height
        swing, phase, waves = height * 0.025, rng.uniform(0, 6.28), rng.uniform(0.8, 1.8)
        top = int(height * level - swing) - 2
        waved = int(2 * swing) + 6  # as many rows hold the crest; those below are all ground
        mask = Image.new("L", (width * 2, waved * 2), 0)
        crest = [
            (2 * x, 2 * (height * level - top + swing * math.sin(phase + waves * 6.28 * x / width)))
            for x in range(0, width + 9, 8)
        ]
        ImageDraw.Draw(mask).polygon(
            [*crest, (2 * width + 20, 2 * height), (0, 2 * height)], fill=255
        )
        tones = _toned(colour, (1.06,) * 3), _toned(colour, (0.9,) * 3)
        ground = _fade(tones, (width, height - top))
        canvas.paste(ground.crop((0, 0, width, waved)), (0, top), mask.reduce(2))
        canvas.paste(ground.crop((0, waved, *ground.size)), (0, top + waved))

    def _speckle(
        self, canvas: Image.Image, colour: Colour, rows: tuple[float, float], rng: random.Random
    ) -> None:
        """Scatter small dots: stars, snow, or the daisies of a meadow."""
        brush = ImageDraw.Draw(canvas)
        for _ in range(70):
            x, y = rng.uniform(0, self.width), self.height * rng.uniform(*rows)
            size = rng.choice((0.4, 0.6, 1.1)) * self.height / HEIGHT
            brush.ellipse((x - size, y - size, x + size, y + size), fill=colour)


def _sprite(thing: str, pixels: int) -> Image.Image:
    """Return the emoji in RGBA, *pixels* wide, with a soft shadow and room for it."""
    emoji = _emoji(thing).resize((pixels, pixels), Image.Resampling.BOX)
    margin = max(1, pixels // 12)
    room = Image.new("RGBA", (pixels + 2 * margin, pixels + 2 * margin), (*_SHADOW, 0))
    shadow = Image.new("L", room.size, 0)
    alpha = emoji.getchannel("A").point([value * 80 // 255 for value in range(256)])
    shadow.paste(alpha, (margin + pixels // 40, margin + pixels // 20))
    room.putalpha(shadow.filter(ImageFilter.GaussianBlur(max(0.5, pixels * 0.03))))
    room.alpha_composite(emoji, (margin, margin))
    return room


@lru_cache(64)
def _emoji(thing: str) -> Image.Image:
    with Image.open(FOLDER / "pictures" / THINGS[thing].picture) as file:
        return file.convert("RGBA")


_painter: Final = Painter()


def render(picture: Scene) -> Image.Image:
    """
    Draw *picture*: an RGB image of `WIDTH` by `HEIGHT` pixels, the same for the same scene.

    All that its description names lies in the central square.
    """
    return _painter.paint(picture)


def jpeg(picture: Scene) -> bytes:
    """Return *picture* drawn and encoded as a JPEG of 30 kB or so."""
    buffer = io.BytesIO()
    render(picture).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
