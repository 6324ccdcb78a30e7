"""
What a request to the demo gallery asks for, and which scenes satisfy it.

Parameters, bounds and words are Pixabay's (https://pixabay.com/api/docs/); the server is in
`gallery`, the scenes are in `scenes`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from imagesearch.demo import scenes
from imagesearch.demo.scenes import Scene
from imagesearch.sources.pixabay import CATEGORIES, COLORS, LANGUAGES, ORIENTATIONS

FIRST_SHOWN: Final = 3 * scenes.ROUND
"""The scene with which the order "popular" begins: near it lie exact answers to the examples of
the documentation, such as "three small yellow stars in the night sky"."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CHOICES: Final[dict[str, frozenset[str]]] = {
    "lang": frozenset(LANGUAGES),
    "image_type": _names("all photo illustration vector"),
    "orientation": frozenset(ORIENTATIONS),
    "category": frozenset({"", *CATEGORIES}),
    "editors_choice": _names("true false"),
    "safesearch": _names("true false"),
    "order": _names("popular latest"),
}
_DEFAULTS: Final[dict[str, str]] = {
    "lang": "en",
    "image_type": "all",
    "orientation": "all",
    "category": "",
    "editors_choice": "false",
    "safesearch": "false",
    "order": "popular",
}
# Pixabay's names for the colours that a scene shows where ours differ or a setting has several.
_PIXABAY_COLOURS: Final[dict[str, tuple[str, ...]]] = {
    "purple": ("lilac",),
    "night": ("blue", "black"),
    "sea": ("turquoise", "blue"),
    "meadow": ("green",),
    "sunset": ("orange", "lilac"),
    "snow": ("white", "gray"),
    "desert": ("brown", "yellow"),
}
_SUBJECT_CATEGORIES: Final[dict[str, str]] = {
    "fish": "animals",
    "butterfly": "animals",
    "flower": "nature",
    "tree": "nature",
    "house": "buildings",
    "heart": "feelings",
}
_SINGULARS: Final = {plural: shape for shape, plural in scenes.PLURALS.items()}


class BadParameter(ValueError):
    """A query parameter is out of bounds; the message is the body of Pixabay's answer."""

    def __init__(self, name: str) -> None:
        super().__init__(f'[ERROR 400] "{name}" is out of valid range.')


@dataclass(frozen=True)
class Query:
    """The parameters of one search, checked."""

    words: frozenset[str]
    page: int
    per_page: int
    min_width: int
    min_height: int
    colours: frozenset[str]
    choices: Mapping[str, str]

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Query:
        """
        Read a query string's parameters; unknown ones are ignored, as Pixabay does.

        Raises:
            BadParameter: one is out of the bounds of Pixabay's documentation.
        """
        text = given.get("q", "")
        if len(text) > 100:
            raise BadParameter("q")
        return cls(
            words=_words(text),
            page=_integer(given, "page", 1, low=1),
            per_page=_integer(given, "per_page", 20, low=3, high=200),
            min_width=_integer(given, "min_width", 0),
            min_height=_integer(given, "min_height", 0),
            colours=_colours(given.get("colors", "")),
            choices={name: _choice(given, name) for name in _CHOICES},
        )


def _integer(
    given: Mapping[str, str], name: str, default: int, low: int = 0, high: int = 10**9
) -> int:
    text = given.get(name, "") or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 11 and low <= int(text) <= high):
        raise BadParameter(name)
    return int(text)


def _choice(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "") or _DEFAULTS[name]
    if value not in _CHOICES[name]:
        raise BadParameter(name)
    return value


def _colours(text: str) -> frozenset[str]:
    colours = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not colours <= frozenset(COLORS):
        raise BadParameter("colors")
    return colours


def _words(text: str) -> frozenset[str]:
    """Return the words of *text* in lower case, plurals of shapes turned to their singular."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return frozenset(_SINGULARS.get(word, word) for word in words)


@cache
def _index() -> dict[str, frozenset[int]]:
    """Return the ids of the scenes that carry each tag."""
    found: dict[str, set[int]] = {}
    for scene_id in range(scenes.SCENE_COUNT):
        for tag in scenes.scene(scene_id).tags:
            found.setdefault(tag, set()).add(scene_id)
    return {tag: frozenset(ids) for tag, ids in found.items()}


def find(query: Query) -> list[int]:
    """Return the ids of all scenes that satisfy *query*, in its order."""
    if not _possible(query):
        return []
    ids = frozenset(range(scenes.SCENE_COUNT))
    for word in query.words:
        ids &= _index().get(word, frozenset())
    passed = (scene_id for scene_id in ids if _passes(scenes.scene(scene_id), query))
    return sorted(passed, key=_rank, reverse=query.choices["order"] == "latest")


def _rank(scene_id: int) -> int:
    return (scene_id - FIRST_SHOWN) % scenes.SCENE_COUNT


def _possible(query: Query) -> bool:
    """Say whether any picture of ours can pass: all are horizontal illustrations of one size."""
    return (
        query.min_width <= scenes.WIDTH
        and query.min_height <= scenes.HEIGHT
        and query.choices["orientation"] != "vertical"
        and query.choices["image_type"] in ("all", "illustration")
        and query.choices["editors_choice"] == "false"
    )


def _passes(scene: Scene, query: Query) -> bool:
    category = query.choices["category"]
    return (not query.colours or bool(query.colours & _shown_colours(scene))) and (
        not category or category in _categories(scene)
    )


def _shown_colours(scene: Scene) -> frozenset[str]:
    names = (scene.colour, scene.background)
    return frozenset(shown for name in names for shown in _PIXABAY_COLOURS.get(name, (name,)))


def _categories(scene: Scene) -> frozenset[str]:
    behind = "nature" if scene.background in scenes.SETTINGS else "backgrounds"
    return frozenset((behind, _SUBJECT_CATEGORIES.get(scene.shape, behind)))
