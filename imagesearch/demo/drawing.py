"""
How the demo's scenes are drawn, with Pillow.

What a scene shows is in `scenes`.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from imagesearch.demo.scenes import (
    COLOURS,
    HEIGHT,
    POSITIONS,
    SETTINGS,
    WIDTH,
    Colour,
    Point,
    Scene,
    Setting,
)

_OVERSAMPLING = 3
_TRUNK: Final = (112, 74, 46)
_INK: Final = (48, 40, 52)
_SPREADS: Final[dict[int, tuple[Point, ...]]] = {
    2: ((-1.0, 0.0), (1.0, 0.0)),
    3: ((0.0, -1.0), (-1.06, 0.94), (1.06, 0.94)),
    5: ((0.0, 0.0), (-1.1, -1.1), (1.1, -1.1), (-1.1, 1.1), (1.1, 1.1)),
}
# Radius and distance from the centre, in half heights: everything stays in the central square,
# which is all that CLIP's centre crop keeps.
_MEASURES: Final[dict[tuple[int, str], tuple[float, float]]] = {
    (1, "small"): (0.23, 0.58),
    (1, "big"): (0.52, 0.42),
    (2, "small"): (0.23, 0.42),
    (2, "big"): (0.42, 0.48),
    (3, "small"): (0.22, 0.40),
    (3, "big"): (0.38, 0.46),
    (5, "small"): (0.21, 0.52),
}


@dataclass(frozen=True)
class _Piece:
    """One polygon of a shape in unit coordinates (y down), and its colour; None: the shape's."""

    outline: tuple[Point, ...]
    colour: Colour | None = None
    tone: float = 1.0


def _ellipse(x: float, y: float, rx: float, ry: float, tilt: float = 0.0) -> tuple[Point, ...]:
    steps = [2 * math.pi * step / 48 for step in range(48)]
    return tuple(
        (
            x + rx * math.cos(a) * math.cos(tilt) - ry * math.sin(a) * math.sin(tilt),
            y + rx * math.cos(a) * math.sin(tilt) + ry * math.sin(a) * math.cos(tilt),
        )
        for a in steps
    )


def _regular(corners: int, inner: float = 1.0) -> tuple[Point, ...]:
    radii = (1.0, inner) if inner < 1 else (1.0,)
    total = corners * len(radii)
    return tuple(
        (
            radii[i % len(radii)] * math.sin(2 * math.pi * i / total),
            -radii[i % len(radii)] * math.cos(2 * math.pi * i / total),
        )
        for i in range(total)
    )


def _heart() -> tuple[Point, ...]:
    # The usual parametric heart: x = 16 sin³t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t.
    steps = [2 * math.pi * step / 60 for step in range(60)]
    return tuple(
        (
            16 * math.sin(t) ** 3 / 16,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16
            - 0.1,
        )
        for t in steps
    )


def _crescent(cut: float = 0.82, shift: float = 0.5) -> tuple[Point, ...]:
    # The unit disc less a disc of radius `cut` moved right by `shift`.
    meet_x = (1 + shift**2 - cut**2) / (2 * shift)
    outer = math.acos(meet_x)
    inner = math.atan2(math.sqrt(1 - meet_x**2), meet_x - shift)
    arc = [outer + (2 * math.pi - 2 * outer) * i / 40 for i in range(41)]
    back = [2 * math.pi - inner - (2 * math.pi - 2 * inner) * i / 40 for i in range(41)]
    bow = [(math.cos(a), math.sin(a)) for a in arc]
    hollow = [(shift + cut * math.cos(a), cut * math.sin(a)) for a in back]
    return tuple((x + 0.25, y) for x, y in (*bow, *hollow))


def _flower() -> tuple[_Piece, ...]:
    petals = [
        _Piece(_ellipse(0.6 * math.sin(a), -0.6 * math.cos(a), 0.4, 0.4), tone=tone)
        for a, tone in ((math.pi * i / 3, 1.0 if i % 2 else 0.93) for i in range(6))
    ]
    heart = _ellipse(0, 0, 0.34, 0.34)
    return (*petals, _Piece(_ellipse(0, 0, 0.38, 0.38), _INK), _Piece(heart, (255, 214, 74)))


def _butterfly() -> tuple[_Piece, ...]:
    wings = [
        piece
        for side in (-1, 1)
        for piece in (
            _Piece(_ellipse(side * 0.5, 0.45, 0.36, 0.46, side * -0.5), tone=0.86),
            _Piece(_ellipse(side * 0.55, -0.3, 0.42, 0.62, side * 0.7)),
            _Piece(_ellipse(side * 0.6, -0.34, 0.16, 0.24, side * 0.7), tone=1.25),
        )
    ]
    return (*wings, _Piece(_ellipse(0, 0.05, 0.12, 0.72), _INK))


_PIECES: Final[dict[str, tuple[_Piece, ...]]] = {
    "circle": (_Piece(_ellipse(0, 0, 0.95, 0.95)),),
    "square": (_Piece(((-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84))),),
    "triangle": (_Piece(((0, -0.95), (1.0, 0.8), (-1.0, 0.8))),),
    "diamond": (
        _Piece(((0, -1.0), (0.72, 0), (0, 1.0), (-0.72, 0))),
        _Piece(((0, -1.0), (0.72, 0), (0, 0)), tone=1.12),
        _Piece(((0, 1.0), (-0.72, 0), (0, 0)), tone=0.84),
    ),
    "star": (_Piece(_regular(5, 0.45)),),
    "heart": (_Piece(_heart()),),
    "moon": (_Piece(_crescent()),),
    "flower": _flower(),
    "tree": (
        _Piece(((-0.14, 0.2), (0.14, 0.2), (0.2, 1.0), (-0.2, 1.0)), _TRUNK),
        _Piece(_ellipse(-0.42, 0.05, 0.44, 0.4), tone=0.88),
        _Piece(_ellipse(0.42, 0.05, 0.44, 0.4), tone=0.94),
        _Piece(_ellipse(0, -0.4, 0.6, 0.58)),
    ),
    "fish": (
        _Piece(((0.4, 0), (1.0, -0.52), (0.86, 0), (1.0, 0.52)), tone=0.85),
        _Piece(((-0.25, -0.4), (0.3, -0.72), (0.3, -0.2)), tone=0.85),
        _Piece(_ellipse(-0.2, 0, 0.78, 0.52)),
        _Piece(_ellipse(-0.58, -0.12, 0.14, 0.14), (255, 255, 255)),
        _Piece(_ellipse(-0.6, -0.12, 0.07, 0.07), _INK),
    ),
    "house": (
        _Piece(((-0.68, -0.1), (0.68, -0.1), (0.68, 0.92), (-0.68, 0.92))),
        _Piece(((0, -1.0), (1.0, -0.05), (-1.0, -0.05)), tone=0.66),
        _Piece(((-0.18, 0.35), (0.18, 0.35), (0.18, 0.92), (-0.18, 0.92)), (92, 60, 44)),
        _Piece(((-0.54, 0.12), (-0.28, 0.12), (-0.28, 0.4), (-0.54, 0.4)), (255, 240, 190)),
        _Piece(((0.28, 0.12), (0.54, 0.12), (0.54, 0.4), (0.28, 0.4)), (255, 240, 190)),
    ),
    "butterfly": _butterfly(),
}


def _toned(colour: Colour, tone: float) -> Colour:
    red, green, blue = (max(0, min(255, round(part * tone))) for part in colour)
    return red, green, blue


def _jittered(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, part + rng.randint(-9, 9))) for part in colour)
    return red, green, blue


def _sprite(
    shape: str, colour: Colour, radius: int, turn: float
) -> tuple[Image.Image, Image.Image]:
    """Return the shape as an RGB picture and its L mask, both square with a margin."""
    half = round(radius * 1.2)
    scale = radius * _OVERSAMPLING
    side = 2 * half * _OVERSAMPLING
    picture, mask = Image.new("RGB", (side, side), colour), Image.new("L", (side, side), 0)
    brushes = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    cos, sin, middle = math.cos(turn), math.sin(turn), side / 2
    for piece in _PIECES[shape]:
        outline = [
            (middle + scale * (x * cos - y * sin), middle + scale * (x * sin + y * cos))
            for x, y in piece.outline
        ]
        brushes[0].polygon(outline, fill=_toned(piece.colour or colour, piece.tone))
        brushes[1].polygon(outline, fill=255)
    return _lit(picture.reduce(_OVERSAMPLING)), mask.reduce(_OVERSAMPLING)


def _lit(picture: Image.Image) -> Image.Image:
    """Return *picture* a little darker towards its foot, as under a light from above."""
    return ImageChops.multiply(picture, _fade([(255, 255, 255), (214, 214, 214)], picture.size))


def _fade(colours: Sequence[Colour], size: tuple[int, int]) -> Image.Image:
    """Return *colours*, which go over into each other from the top down."""
    strip = Image.new("RGB", (1, len(colours)))
    strip.putdata(colours)
    # One column is computed and the others are copied, which is the same and takes a tenth.
    column = strip.resize((1, size[1]), Image.Resampling.BILINEAR)
    return column.resize(size, Image.Resampling.NEAREST)


def _put(
    canvas: Image.Image, shape: str, colour: Colour, at: Point, radius: int, turn: float
) -> None:
    picture, mask = _sprite(shape, colour, radius, turn)
    left, top = round(at[0] - mask.width / 2), round(at[1] - mask.height / 2)
    blur = ImageFilter.GaussianBlur(max(2.0, radius * 0.06))
    shadow = mask.filter(blur).point([value * 80 // 255 for value in range(256)])
    canvas.paste((10, 10, 30), (left + radius // 22, top + radius // 11), shadow)
    canvas.paste(picture, (left, top), mask)


def _plain(colour: Colour) -> Image.Image:
    """Return one colour, brighter around the middle and a little darker in the corners."""
    levels = Image.frombytes("L", (256, 1), bytes(range(256)))
    colours = ImageOps.colorize(levels, black=_toned(colour, 1.06), white=_toned(colour, 0.82))
    picture = Image.frombytes("P", (WIDTH, HEIGHT), _far_from_middle())
    picture.putpalette(colours.tobytes())
    return picture.convert("RGB")


@cache
def _far_from_middle() -> bytes:
    """Return how far each pixel is from the middle, 0..255."""
    gradient = Image.radial_gradient("L")
    return gradient.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR).tobytes()


def _ridge(canvas: Image.Image, level: float, colour: Colour, rng: random.Random) -> None:
    """Paint a rolling hill (or a swell of the sea) that starts *level* of the height down."""
    swing, phase, waves = HEIGHT * 0.025, rng.uniform(0, 6.28), rng.uniform(0.8, 1.8)
    top = int(HEIGHT * level - swing) - 2
    waved = int(2 * swing) + 6  # as many rows hold the crest, and those below are all ground
    mask = Image.new("L", (WIDTH * 2, waved * 2), 0)
    crest = [
        (2 * x, 2 * (HEIGHT * level - top + swing * math.sin(phase + waves * 6.28 * x / WIDTH)))
        for x in range(0, WIDTH + 9, 8)
    ]
    ImageDraw.Draw(mask).polygon([*crest, (2 * WIDTH + 20, 2 * HEIGHT), (0, 2 * HEIGHT)], fill=255)
    ground = _fade([_toned(colour, 1.06), _toned(colour, 0.9)], (WIDTH, HEIGHT - top))
    canvas.paste(ground.crop((0, 0, WIDTH, waved)), (0, top), mask.reduce(2))
    canvas.paste(ground.crop((0, waved, *ground.size)), (0, top + waved))


def _speckle(canvas: Image.Image, setting: Setting, rng: random.Random) -> None:
    """Scatter small dots: stars, snowflakes, or the daisies of a meadow."""
    if setting.specks is None:
        return
    brush = ImageDraw.Draw(canvas)
    top, foot = (0.0, 0.84) if setting.specks_in_sky else (0.66, 1.0)
    for _ in range(90):
        x, y = rng.uniform(0, WIDTH), HEIGHT * rng.uniform(top, foot)
        size = rng.choice((0.4, 0.6, 1.1))
        brush.ellipse((x - size, y - size, x + size, y + size), fill=setting.specks)


def _background(name: str, rng: random.Random) -> Image.Image:
    setting = SETTINGS.get(name)
    if setting is None:
        return _plain(_jittered(COLOURS[name], rng))
    canvas = _fade([_jittered(colour, rng) for colour in setting.sky], (WIDTH, HEIGHT))
    for level, colour in setting.hills:
        _ridge(canvas, level, _jittered(colour, rng), rng)
    _speckle(canvas, setting, rng)
    return canvas


def discs(picture: Scene) -> tuple[tuple[float, float, float], ...]:
    """
    Return (x, y, radius) of each shape's disc before jitter.

    In half heights, from the picture's middle, y down: the central square is -1..1.
    """
    radius, distance = _MEASURES[picture.count, picture.size]
    lone = picture.count == 1
    centres = (POSITIONS[picture.position],) if lone else _SPREADS[picture.count]
    return tuple((x * distance, y * distance, radius) for x, y in centres)


def render(picture: Scene) -> Image.Image:
    """
    Draw *picture*: an RGB image of `WIDTH` by `HEIGHT` pixels, the same for the same scene.

    All that the description names lies in the central square.
    """
    rng = random.Random(picture.id)
    canvas = _background(picture.background, rng)
    half = HEIGHT / 2
    colour = _jittered(COLOURS[picture.colour], rng)
    for x, y, radius in discs(picture):
        at = (
            WIDTH / 2 + half * (x + rng.uniform(-0.03, 0.03)),
            half + half * (y + rng.uniform(-0.03, 0.03)),
        )
        pixels = round(half * radius * rng.uniform(0.94, 1.06))
        _put(canvas, picture.shape, colour, at, pixels, rng.uniform(-0.12, 0.12))
    return canvas


def jpeg(picture: Scene) -> bytes:
    """Return *picture* drawn and encoded as a JPEG of 30 kB or so."""
    buffer = io.BytesIO()
    render(picture).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
