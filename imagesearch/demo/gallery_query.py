"""
What a request to the demo gallery asks for, and which scenes satisfy it.

Parameters, bounds and words are Pixabay's (https://pixabay.com/api/docs/); the server is in
`gallery`, the scenes are in `scenes`, and which of them a word finds in `keywords`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from imagesearch.demo import drawing, keywords, scenes, wording
from imagesearch.demo.scenes import THINGS, Scene
from imagesearch.sources.pixabay import CATEGORIES, COLORS, LANGUAGES, ORIENTATIONS


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
_PLACE_COLOURS: Final[dict[str, tuple[str, ...]]] = {
    "sea": ("turquoise", "blue"),
    "meadow": ("green",),
    "snow": ("white", "gray"),
    "desert": ("brown", "yellow"),
}
_TIME_COLOURS: Final[dict[str, tuple[str, ...]]] = {
    "day": ("blue",),
    "sunset": ("orange", "lilac"),
    "night": ("blue", "black"),
}
"""Pixabay's names for the colours of each landscape and sky."""


class BadParameter(ValueError):
    """A query parameter is out of bounds; the message is the body of Pixabay's answer."""

    def __init__(self, name: str) -> None:
        super().__init__(f'[ERROR 400] "{name}" is out of valid range.')


@dataclass(frozen=True)
class Query:
    """The parameters of one search, checked."""

    text: str
    page: int
    per_page: int
    min_width: int
    min_height: int
    colours: frozenset[str]
    choices: Mapping[str, str]

    @property
    def language(self) -> str:
        """The language that is asked for; English where the demo does not speak it."""
        asked = self.choices["lang"]
        return asked if asked in wording.LANGUAGES else "en"

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
            text=text,
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


def find(query: Query) -> list[int]:
    """Return the ids of all scenes that satisfy *query*, in its order: "popular" is by id."""
    if not _possible(query):
        return []
    ids: Iterable[int] = range(scenes.SCENE_COUNT)
    if query.text.strip():
        ids = keywords.find_scenes(query.text, query.language)
    passed = (scene_id for scene_id in ids if _passes(scene_id, query))
    return sorted(passed, reverse=query.choices["order"] == "latest")


def _possible(query: Query) -> bool:
    """Say whether any picture of ours can pass: all are horizontal illustrations of one size."""
    return (
        query.min_width <= drawing.WIDTH
        and query.min_height <= drawing.HEIGHT
        and query.choices["orientation"] != "vertical"
        and query.choices["image_type"] in ("all", "illustration")
        and query.choices["editors_choice"] == "false"
    )


def _passes(scene_id: int, query: Query) -> bool:
    category = query.choices["category"]
    if not query.colours and not category:
        return True
    shown = scenes.scene(scene_id)
    return (not query.colours or bool(query.colours & _colours_of(shown))) and (
        not category or category in _categories(shown)
    )


def _colours_of(shown: Scene) -> frozenset[str]:
    things = (colour for group in shown.groups for colour in THINGS[group.thing].colours)
    return frozenset((*things, *_PLACE_COLOURS[shown.place], *_TIME_COLOURS[shown.time]))


def _categories(shown: Scene) -> frozenset[str]:
    return frozenset(("nature", *(THINGS[group.thing].category for group in shown.groups)))
