"""
The demo's pictures: scenes of emoji in landscapes, each a deterministic function of an integer.

What a scene shows lives here, how it is drawn in `drawing`, how it is said in `wording`, and which
scenes a keyword finds in `keywords`.
"""

from __future__ import annotations

import hashlib
import random
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

FOLDER: Final = Path(__file__).resolve().parent
"""Where the pictures and words of the scenes are."""

PLACES: Final = ("sea", "meadow", "snow", "desert")
TIMES: Final = ("day", "sunset", "night")
POSITIONS: Final = ("left", "centre", "right", "top")
COUNTS: Final = (1, 2, 3, 5)
FIELD: Final = 6
"""How many there are of what others stand amidst."""

ROUNDS: Final = 200


@dataclass(frozen=True)
class Thing:
    """
    One emoji: its file in `pictures`, Pixabay's category and colours, and where it may be.

    What is `measured` has names such as "pair of scissors".
    """

    picture: str
    category: str
    colours: tuple[str, ...]
    sky: bool = False
    field: bool = False
    measured: bool = False


def _things() -> dict[str, Thing]:
    with (FOLDER / "things.toml").open("rb") as file:
        rows = tomllib.load(file)
    return {name: Thing(**{**row, "colours": tuple(row["colours"])}) for name, row in rows.items()}


THINGS: Final = _things()
"""What scenes show, by English name."""

_NAMES: Final = tuple(THINGS)
_SKY: Final = tuple(name for name in _NAMES if THINGS[name].sky)
_GROUND: Final = tuple(name for name in _NAMES if not THINGS[name].sky)
_FIELDS: Final = tuple(name for name in _NAMES if THINGS[name].field)


@dataclass(frozen=True)
class Group:
    """One of a kind of thing, or several."""

    thing: str
    count: int = 1


@dataclass(frozen=True)
class Scene:
    """
    What one picture shows.

    `arrangement` says how the one to three `groups` stand:

    - one of `POSITIONS`: a single thing there;
    - "spread": two, three or five of one kind;
    - "beside": the first group left of the second;
    - "under": the first group below the second, which is in the sky;
    - "amidst": the first group within a field of the second;
    - "trio": the first left of the second, and the third above both, in the sky.
    """

    id: int
    groups: tuple[Group, ...]
    arrangement: str
    place: str
    time: str

    @property
    def shown(self) -> tuple[tuple[Group, ...], str, str, str]:
        """All that is seen, without the id: scenes that show the same look alike."""
        return (self.groups, self.arrangement, self.place, self.time)

    @property
    def things(self) -> tuple[str, ...]:
        """The names of what is shown, in the order of the groups."""
        return tuple(group.thing for group in self.groups)


def _featured(*rows: str) -> tuple[Scene, ...]:
    """Read scenes from lines such as "amidst, meadow, day: 2 horse, 6 flower"."""
    scenes = []
    for scene_id, row in enumerate(rows):
        where, what = row.split(": ")
        arrangement, place, time = where.split(", ")
        groups = (part.split(" ", 1) for part in what.split(", "))
        counted = tuple(Group(thing, int(count)) for count, thing in groups)
        scenes.append(Scene(scene_id, counted, arrangement, place, time))
    return tuple(scenes)


FEATURED: Final = _featured(
    "amidst, meadow, day: 2 horse, 6 flower",
    "trio, meadow, night: 1 dog, 1 guitar, 1 moon",
    "spread, meadow, day: 3 cow",
    "beside, sea, sunset: 1 cat, 1 pizza",
    "under, snow, night: 3 penguin, 1 star",
    "amidst, desert, sunset: 1 camel, 6 cactus",
    "spread, sea, sunset: 5 flamingo",
    "under, meadow, day: 1 elephant, 1 balloon",
    "trio, sea, night: 1 owl, 1 book, 1 moon",
    "beside, snow, day: 1 fox, 1 coffee",
    "spread, snow, night: 2 wolf",
    "under, sea, day: 1 sailing boat, 1 rainbow",
    "amidst, meadow, sunset: 3 rabbit, 6 tulip",
    "beside, meadow, day: 2 monkey, 1 banana",
    "centre, snow, day: 1 snowman",
    "under, meadow, night: 1 castle, 1 moon",
    "trio, desert, day: 1 robot, 1 piano, 1 sun",
    "amidst, sea, day: 1 giraffe, 6 palm",
    "under, desert, night: 1 tent, 1 star",
    "beside, sea, day: 1 crab, 1 ice cream",
    "spread, meadow, sunset: 3 sheep",
    "amidst, meadow, day: 1 bear, 6 sunflower",
    "top, desert, night: 1 rocket",
    "left, sea, sunset: 1 ship",
)
"""The scenes with the first ids: what the documentation and the page give as examples."""

ROUND: Final = len(_NAMES)
"""How many consecutive ids, after those of `FEATURED`, show each thing exactly once as subject."""

SCENE_COUNT: Final = len(FEATURED) + ROUNDS * ROUND
"""How many scenes there are; ids begin at 0."""


class _Draw:
    """Choices that follow from an integer: a hash of it, read digit by digit."""

    def __init__(self, seed: int) -> None:
        digest = hashlib.blake2b(str(seed).encode(), digest_size=24).digest()
        self._number = int.from_bytes(digest, "big")

    def below(self, limit: int) -> int:
        self._number, digit = divmod(self._number, limit)
        return digit

    def choice(self, options: tuple[T, ...]) -> T:
        return options[self.below(len(options))]


@cache
def _round_order(round_index: int) -> tuple[str, ...]:
    order = list(_NAMES)
    random.Random(round_index).shuffle(order)
    return tuple(order)


_KINDS: Final = (
    *("single",) * 4,
    *("spread",) * 4,
    *("beside",) * 4,
    *("under",) * 3,
    *("amidst",) * 3,
    *("trio",) * 2,
)


def _subject(scene_id: int) -> str:
    round_index, place = divmod(scene_id - len(FEATURED), ROUND)
    return _round_order(round_index)[place]


def scene(scene_id: int) -> Scene:
    """
    Return the scene with *scene_id*; the same id is the same scene for ever.

    The first are `FEATURED`; of the others each `ROUND` shows every thing once as its subject,
    shuffled, with all else drawn by the id.

    Raises:
        ValueError: *scene_id* is not in 0..`SCENE_COUNT` - 1.
    """
    if not 0 <= scene_id < SCENE_COUNT:
        raise ValueError(f"scene_id must be in 0..{SCENE_COUNT - 1}, got {scene_id}")
    if scene_id < len(FEATURED):
        return FEATURED[scene_id]
    return compose(scene_id, _subject(scene_id))


def compose(scene_id: int, subject: str) -> Scene:
    """Return the scene in which all but the subject follows from *scene_id*, of any size."""
    draw = _Draw(scene_id)
    groups, arrangement = _composition(subject, draw)
    return Scene(scene_id, groups, arrangement, draw.choice(PLACES), draw.choice(TIMES))


_group: Final = cache(Group)  # the index of all scenes has each some hundred times


def _composition(subject: str, draw: _Draw) -> tuple[tuple[Group, ...], str]:
    kind = draw.choice(_KINDS)
    sky = THINGS[subject].sky
    if kind == "single":
        return (_group(subject),), draw.choice(POSITIONS if sky else POSITIONS[:3])
    if kind == "spread":
        return (_group(subject, draw.choice(COUNTS[1:])),), "spread"
    some = 1 + draw.below(3)
    if sky:
        return (_group(draw.choice(_GROUND), some), _group(subject)), "under"
    if kind == "beside":
        return (_group(subject, some), _group(_other(_GROUND, subject, draw))), "beside"
    if kind == "under":
        return (_group(subject, some), _group(draw.choice(_SKY))), "under"
    if kind == "amidst":
        return (_group(subject, some), _group(_other(_FIELDS, subject, draw), FIELD)), "amidst"
    beside = _other(_GROUND, subject, draw)
    return (_group(subject), _group(beside), _group(draw.choice(_SKY))), "trio"


def _other(options: tuple[str, ...], subject: str, draw: _Draw) -> str:
    index = draw.below(len(options))
    return options[index] if options[index] != subject else options[index - 1]
