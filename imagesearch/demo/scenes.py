"""
The demo's pictures: scenes of shapes on backgrounds, each a deterministic function of an integer.

What a scene shows and how it is worded live here, how it is drawn in `drawing`; serving the
pictures over HTTP lives in `gallery`, and learning from them in `tools/train_demo_model.py`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Final

Colour = tuple[int, int, int]
Point = tuple[float, float]

WIDTH: Final = 640
HEIGHT: Final = 427

COLOURS: Final[dict[str, Colour]] = {
    "red": (222, 48, 48),
    "orange": (247, 140, 38),
    "yellow": (250, 212, 56),
    "green": (66, 168, 84),
    "blue": (54, 108, 226),
    "purple": (132, 68, 186),
    "pink": (246, 130, 180),
    "white": (246, 246, 244),
}


@dataclass(frozen=True)
class Layout:
    """How many shapes, how big and where; `position` is "spread" when there are several."""

    count: int
    size: str
    position: str


@dataclass(frozen=True)
class Setting:
    """A landscape: sky colours from top to bottom, hills from back to front, and specks."""

    phrase: str
    tags: tuple[str, ...]
    sky: tuple[Colour, ...]
    hills: tuple[tuple[float, Colour], ...]
    specks: Colour | None
    specks_in_sky: bool
    hides: str


SETTINGS: Final[dict[str, Setting]] = {
    "night": Setting(
        "in the night sky",
        ("night", "sky"),
        ((10, 14, 42), (22, 30, 82), (48, 56, 124)),
        ((0.86, (16, 20, 48)), (0.92, (8, 10, 28))),
        (214, 222, 255),
        specks_in_sky=True,
        hides="",
    ),
    "sea": Setting(
        "over the sea",
        ("sea", "water"),
        ((190, 228, 240), (222, 242, 244)),
        ((0.46, (60, 160, 186)), (0.62, (36, 136, 170)), (0.80, (20, 110, 150))),
        None,
        specks_in_sky=False,
        hides="blue",
    ),
    "meadow": Setting(
        "in a meadow",
        ("meadow", "grass"),
        ((132, 200, 240), (206, 234, 246)),
        ((0.48, (150, 200, 100)), (0.62, (118, 182, 78)), (0.80, (90, 158, 62))),
        (250, 246, 220),
        specks_in_sky=False,
        hides="green",
    ),
    "sunset": Setting(
        "at sunset",
        ("sunset", "evening"),
        ((92, 52, 120), (214, 92, 110), (250, 152, 84), (253, 206, 122)),
        ((0.82, (84, 44, 84)), (0.90, (52, 28, 60))),
        None,
        specks_in_sky=False,
        hides="orange",
    ),
    "snow": Setting(
        "in the snow",
        ("snow", "winter"),
        ((150, 172, 200), (198, 212, 228)),
        ((0.52, (222, 230, 240)), (0.66, (234, 240, 247)), (0.82, (246, 249, 252))),
        (255, 255, 255),
        specks_in_sky=True,
        hides="white",
    ),
    "desert": Setting(
        "in the desert",
        ("desert", "sand"),
        ((244, 214, 170), (250, 232, 196)),
        ((0.54, (226, 180, 110)), (0.68, (212, 160, 90)), (0.84, (196, 140, 74))),
        None,
        specks_in_sky=False,
        hides="yellow",
    ),
}

POSITIONS: Final[dict[str, Point]] = {
    "centre": (0.0, 0.0),
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "top": (0.0, -1.0),
    "bottom": (0.0, 1.0),
}
SIZES: Final = ("small", "big")
COUNTS: Final[dict[int, str]] = {1: "a", 2: "two", 3: "three", 5: "five"}
PLURALS: Final[dict[str, str]] = {
    "circle": "circles",
    "square": "squares",
    "triangle": "triangles",
    "diamond": "diamonds",
    "star": "stars",
    "heart": "hearts",
    "moon": "moons",
    "flower": "flowers",
    "tree": "trees",
    "fish": "fish",
    "house": "houses",
    "butterfly": "butterflies",
}
SHAPES: Final = tuple(PLURALS)
BACKGROUNDS: Final = (*COLOURS, *SETTINGS)
LAYOUTS: Final = (
    *(Layout(1, size, position) for size in SIZES for position in POSITIONS),
    *(Layout(count, size, "spread") for count in (2, 3) for size in SIZES),
    Layout(5, "small", "spread"),
)
POSITION_PHRASES: Final[dict[str, str]] = {
    "centre": "in the middle",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}


def _hidden(colour: str, background: str) -> bool:
    setting = SETTINGS.get(background)
    return colour == (setting.hides if setting else background)


_SUBJECTS: Final = tuple(
    (shape, colour, background)
    for shape in SHAPES
    for colour in COLOURS
    for background in BACKGROUNDS
    if not _hidden(colour, background)
)
ROUND: Final = len(_SUBJECTS)
"""How many consecutive ids, from a multiple of this on, show each subject exactly once."""

SCENE_COUNT: Final = len(_SUBJECTS) * len(LAYOUTS)
"""How many scenes differ in what they show; ids from here on repeat them, drawn anew."""


@dataclass(frozen=True)
class Scene:
    """
    What one picture shows.

    `background` is a colour of `COLOURS` or a setting of `SETTINGS`; `size` is "small" or "big";
    `position` is a key of `POSITIONS`, or "spread" when `count` is more than one.
    """

    id: int
    shape: str
    colour: str
    count: int
    size: str
    position: str
    background: str

    @property
    def attributes(self) -> tuple[str, str, int, str, str, str]:
        """All that is seen, without the id: scenes with equal attributes look alike."""
        return (self.shape, self.colour, self.count, self.size, self.position, self.background)

    @property
    def tags(self) -> tuple[str, ...]:
        """Distinct words naming what the picture shows, the subject first."""
        setting = SETTINGS.get(self.background)
        behind = setting.tags if setting else (self.background, "background")
        return (self.shape, self.colour, *behind, self.size)

    @property
    def place(self) -> str:
        """The background in words, such as "on a blue background" or "in the night sky"."""
        setting = SETTINGS.get(self.background)
        return setting.phrase if setting else f"on {article(self.background)} background"

    @property
    def description(self) -> str:
        """Every attribute in one phrase: "three small yellow stars in the night sky"."""
        noun = self.shape if self.count == 1 else PLURALS[self.shape]
        phrase = f"{COUNTS[self.count]} {self.size} {self.colour} {noun} {self.place}"
        where = POSITION_PHRASES.get(self.position)
        return f"{phrase}, {where}" if where else phrase


def article(noun: str) -> str:
    """Return *noun* after "a" or "an"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


@cache
def _round_order(round_index: int) -> tuple[int, ...]:
    order = list(range(len(_SUBJECTS)))
    random.Random(round_index).shuffle(order)
    return tuple(order)


def scene(scene_id: int) -> Scene:
    """
    Return the scene with *scene_id*; the same id is the same scene for ever.

    Ids below `SCENE_COUNT` all differ in `attributes`; each further block of that many shows them
    again, drawn with another jitter. Any run of consecutive ids mixes all attributes well: each
    `ROUND` holds every shape, colour and background together once, shuffled, with a layout that
    moves on from round to round.

    Raises:
        ValueError: *scene_id* is negative.
    """
    if scene_id < 0:
        raise ValueError(f"scene_id must be at least 0, got {scene_id}")
    round_index, place = divmod(scene_id % SCENE_COUNT, ROUND)
    subject = _round_order(round_index)[place]
    layout = LAYOUTS[(round_index + 7 * subject + subject // len(LAYOUTS)) % len(LAYOUTS)]
    shape, colour, background = _SUBJECTS[subject]
    return Scene(scene_id, shape, colour, layout.count, layout.size, layout.position, background)
