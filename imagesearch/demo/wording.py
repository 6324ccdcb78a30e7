"""
How the demo's scenes are said, in each language of `languages`.

A language's file has the names of all things and the phrases that they are put into. What a scene
shows is in `scenes`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from imagesearch.demo.scenes import FIELD, FOLDER, POSITIONS, Group, Scene

LANGUAGES: Final = tuple(sorted(file.stem for file in (FOLDER / "languages").glob("*.toml")))
"""Codes of the languages, ISO 639: "en", "de" and so on; Pixabay takes all but "ar" and "hi"."""

Choose = Callable[[Sequence[Any]], Any]
"""Takes one of several ways to say the same."""


def usual(ways: Sequence[Any]) -> Any:
    """Choose what is usual, which is the first."""
    return ways[0]


@dataclass(frozen=True)
class Language:
    """
    The words of one language.

    `names` has for each thing its names, each a singular, a plural after two or three and a plural
    after five; a form that lacks is that before it. `wording` is explained in `languages/en.toml`.
    `counters` has for each thing the word that Chinese, Japanese and Korean count it with, else "".
    """

    code: str
    wording: dict[str, Any]
    names: dict[str, tuple[tuple[str, ...], ...]]
    counters: dict[str, str]


@cache
def language(code: str) -> Language:
    """
    Read the language with *code*.

    Raises:
        FileNotFoundError: it is none of `LANGUAGES`.
    """
    with (FOLDER / "languages" / f"{code}.toml").open("rb") as file:
        read = tomllib.load(file)
    names = {thing: tuple(map(tuple, forms)) for thing, forms in read["names"].items()}
    counters = dict.fromkeys(names, read.get("counter", ""))
    for counter, things in read.get("counters", {}).items():
        counters.update(dict.fromkeys(things, counter))
    return Language(code, read["wording"], names, counters)


_UNCOUNTED: Final = ("en", "es", "fr", "it", "pt")
"""Languages in which a name with one form takes no article: no one says "a trousers"."""

_BEFORE: Final = {
    "ar": ((r"\bال(?=ال|عدة |[0-9])", ""),),
    "en": ((r"\ba (?=(?:sun|moon)\b)", "the "), (r"\ba (?=(?!ewe)[aeio]|umb|hour)", "an ")),
    "es": ((r"\by (?=h?i(?!e))", "e "),),
    "fr": ((r"\bde (?=[aeiouéèêœ]|hélico|horlog)", "d'"),),
}
"""What little words become before what follows them."""

_COUNTED: Final = {1: "one", 2: "two", 3: "three", 5: "five", FIELD: "several"}


def counted(group: Group, spoken: Language, choose: Choose = usual) -> str:
    """Return the group with its number: "three cows", "a horse"; "flowers" for a field of them."""
    forms = choose(spoken.names[group.thing])
    ways = spoken.wording[_COUNTED[group.count]]
    if group.count == 1 and len(forms) == 1 and spoken.code in _UNCOUNTED:
        ways = ["{thing}"]
    phrase = choose(ways).format(
        thing=forms[0],
        things=forms[min(1, len(forms) - 1)],
        many=forms[-1],
        counter=spoken.counters[group.thing],
    )
    return _joined(phrase, spoken)


def _joined(phrase: str, spoken: Language) -> str:
    """Write the little words as they are before the next: "an owl", "the moon", "d'arbres"."""
    for little, written in _BEFORE.get(spoken.code, ()):
        phrase = re.sub(little, written, phrase)
    return phrase


def subject(scene: Scene, spoken: Language, choose: Choose = usual) -> str:
    """Return what the scene shows, with how it stands: "two horses amidst flowers"."""
    phrases = [counted(group, spoken, choose) for group in scene.groups]
    if len(phrases) == 1:
        return phrases[0]
    key = {"beside": "left_of"}.get(scene.arrangement, scene.arrangement)
    ways = spoken.wording[key]
    if key == "under":
        ways = [*ways, *spoken.wording["over"]]
    text = choose(ways).format(**dict(zip("abc", phrases, strict=False)))
    return _joined(text, spoken)


def parts(scene: Scene, spoken: Language, choose: Choose = usual) -> dict[str, str]:
    """Return the words for the scene's subject, position (when it has one), place and time."""
    said = {"subject": subject(scene, spoken, choose)}
    if scene.arrangement in POSITIONS:
        said["position"] = choose(spoken.wording["position"][scene.arrangement])
    said["place"] = choose(spoken.wording["place"][scene.place])
    said["time"] = choose(spoken.wording["time"][scene.time])
    return said


def sentence(said: dict[str, str], spoken: Language, choose: Choose = usual) -> str:
    """Join some of the `parts` of a scene in one of the language's orders."""
    form = spoken.wording["sentence"]
    order = choose(form["orders"])
    between: str = choose(form["between"])
    return between.join(said[name] for name in order if name in said)


def describe(scene: Scene, code: str = "en", choose: Choose = usual) -> str:
    """Say all that *scene* shows: "two horses amidst flowers in a meadow by day"."""
    spoken = language(code)
    return sentence(parts(scene, spoken, choose), spoken, choose)
