"""
Which of the demo's scenes a keyword finds, in any language of `wording`.

Words that name a thing, a place or a time of day ask for it; the little words between them, such as
"in the", ask for nothing; any other word finds nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

from imagesearch.demo import wording
from imagesearch.demo.scenes import PLACES, SCENE_COUNT, TIMES, Scene, scene
from imagesearch.domain.english import singular

_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
"""Kana and Han: scripts that put no space between words."""


def concepts(shown: Scene) -> tuple[str, ...]:
    """Return what a keyword finds *shown* by: its things, the subject first, place and time."""
    return (*dict.fromkeys(group.thing for group in shown.groups), shown.place, shown.time)


def tags(shown: Scene, code: str = "en") -> tuple[str, ...]:
    """Return the concepts of *shown* in words of a language of `wording.LANGUAGES`."""
    names = (next(_names(concept, wording.language(code))) for concept in concepts(shown))
    return tuple(dict.fromkeys(map(_folded, names)))


def find_scenes(text: str, code: str = "en") -> frozenset[int]:
    """
    Return the ids of the scenes that show all that *text* names; none where it names nothing.

    Args:
        text: any number of names, in any of the languages.
        code: the language in which a word is looked up first.
    """
    asked = read(text, code)
    if not asked:
        return frozenset()
    return frozenset.intersection(
        *(frozenset().union(*(_index()[concept] for concept in word)) for word in asked)
    )


def read(text: str, code: str = "en") -> list[frozenset[str]]:
    """
    Return for each name in *text* the concepts that it may mean; [] when a word is unknown.

    Where a word means one thing in the language of *code* and others elsewhere, such as "gift", it
    means that one thing.
    """
    text, at, asked = _folded(text), 0, []
    meanings, little = _dictionary()
    while at < len(text):
        end = next((end for end in _ends(text, at) if text[at:end] in meanings), None)
        if end is not None:
            means = meanings[text[at:end]]
            asked.append(frozenset((means[code],) if code in means else means.values()))
        elif _is_letter(text[at]):
            end = next((end for end in _ends(text, at) if text[at:end] in little), None)
            if end is None:
                return []
        at = end or at + 1
    return asked


def _ends(text: str, start: int) -> Iterator[int]:
    """Yield where a word or several that begin at *start* may end, the furthest first."""
    for end in range(min(len(text), start + _longest()), start, -1):
        if end == len(text) or not _is_within_word(text[end - 1], text[end]):
            yield end


def _is_within_word(before: str, after: str) -> bool:
    if not (_is_letter(before) and _is_letter(after)):
        return False
    return not (_UNSPACED.match(before) or _UNSPACED.match(after))


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"  # letters, their marks, and digits


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@cache
def _dictionary() -> tuple[dict[str, dict[str, str]], frozenset[str]]:
    """Return what each name means in each language that has it, and the little words."""
    meanings: dict[str, dict[str, str]] = {}
    little: set[str] = set()
    for spoken in map(wording.language, wording.LANGUAGES):
        for concept in (*spoken.names, *PLACES, *TIMES):
            for name in _names(concept, spoken):
                meanings.setdefault(_folded(name), {}).setdefault(spoken.code, concept)
                if spoken.code == "en":  # a sentence's keywords come in the singular: "chip"
                    meanings.setdefault(singular(_folded(name)), {}).setdefault("en", concept)
        for phrase in _phrases(spoken.wording.values()):
            little.update(re.sub(r"\{\w+\}", " ", _folded(phrase)).replace(",", " ").split())
    return meanings, frozenset(little)


@cache
def _longest() -> int:
    return max(map(len, _dictionary()[0]))


def _names(concept: str, spoken: wording.Language) -> Iterator[str]:
    """Yield all forms of all names of a concept, the usual one first."""
    if concept in spoken.names:
        yield from (form for name in spoken.names[concept] for form in name)
    else:
        kind = "place_name" if concept in PLACES else "time_name"
        yield from spoken.wording[kind][concept]


def _phrases(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from _phrases(node.values())
    elif isinstance(node, Iterable):
        for inner in node:
            yield from _phrases(inner)


@cache
def _index() -> dict[str, frozenset[int]]:
    """Return the ids of the scenes that each concept finds."""
    ids: dict[str, set[int]] = {}
    for scene_id in range(SCENE_COUNT):
        for concept in concepts(scene(scene_id)):
            ids.setdefault(concept, set()).add(scene_id)
    return {concept: frozenset(found) for concept, found in ids.items()}
