"""The words by which tags are searched: those of tags and those of a sentence, in one form."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from imagesearch.domain.english import singular
from imagesearch.domain.english_words import FUNCTION_WORDS, IMPERATIVES, NEGATIONS, PICTURES
from imagesearch.domain.keywords import normalise_keyword

MAX_WORDS: Final = 8  # of a sentence that tags are searched by, the first
_WORD = re.compile(r"[^\W_]+")
_WITH_APOSTROPHE = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SAID_BY_NONE = FUNCTION_WORDS | NEGATIONS
# How many there are is asked for, and hardly any tag says it.
_NUMBERS = frozenset(
    "two three four five six seven eight nine ten eleven twelve twenty hundred hundreds thousand"
    " thousands dozen dozens million".split()
)
_ASKING = PICTURES | IMPERATIVES
_LIKE_A_MILLION = 1_000_000  # images, of which a word's number in a catalog is a share


def words_of_tags(tags: Iterable[str]) -> list[str]:
    """Return the words of *tags*, each once: normalised, and in the singular."""
    texts = map(normalise_keyword, tags)
    return list(dict.fromkeys(singular(word) for text in texts for word in _WORD.findall(text)))


@lru_cache(maxsize=4096)  # of images: those of the last answers are asked for again
def said_by(tags: tuple[str, ...]) -> frozenset[str]:
    """Return the words of *tags*."""
    return frozenset(words_of_tags(tags))


def words_to_look_for(sentence: str) -> list[str]:
    """Return up to *MAX_WORDS* words of *sentence* that a tag may be, in the same form."""
    words = [each for each in _WORD.findall(normalise_keyword(sentence)) if len(each) > 1]
    return words_of_tags(each for each in words if each not in _SAID_BY_NONE)[:MAX_WORDS]


@lru_cache(maxsize=1024)  # sentences
def words_that_say_all(sentence: str) -> frozenset[str]:
    """
    Return the words of *sentence* that together say what is on an image whose tags have them all.

    There are none where something is negated, or where no word says anything. "Show me a photo of a
    horse" asks for a horse: what asks, and what any image is, is left out beside what is shown.
    """
    words = set(_WITH_APOSTROPHE.findall(normalise_keyword(sentence).replace("’", "'")))
    if words & NEGATIONS:
        return frozenset()
    said = frozenset(words_of_tags(words - (FUNCTION_WORDS - _NUMBERS)))
    return said - _ASKING or said


def rarest(counts: Mapping[str, int], most: int) -> list[str]:
    """
    Return the words of *counts*, how many images have each, that *most* images have together.

    A word that more have tells little of any of them, and of those that none has nothing is read.
    """
    words: list[str] = []
    total = 0
    for word in sorted((word for word in counts if counts[word]), key=lambda each: counts[each]):
        total += counts[word]
        if total > most:
            break
        words.append(word)
    return words


def rarity(count: int) -> float:
    """Return what a word says that *count* images have: the rarer the more."""
    return math.log1p(_LIKE_A_MILLION / max(count, 1))
