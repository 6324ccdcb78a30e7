"""What a sentence asks for, thing by thing: "two horses in the rain" gives "horses" and "rain".

Only English is taken apart, as in `sentences.py`: what is known of the demo's model is that other
languages lose by it (decision 0100).
"""

from __future__ import annotations

from typing import Final

from imagesearch.domain import english_words as lists
from imagesearch.domain.english import is_english, words_of

MAX_PHRASES: Final = 6  # of a sentence, the first: each has to be embedded

_ARTICLES: Final = frozenset(("a", "an", "the", "some"))
_PARTING: Final = lists.FUNCTION_WORDS - lists.NUMBERS - {"of"} | lists.PICTURES | lists.IMPERATIVES


def phrases_of(sentence: str) -> tuple[str, ...]:
    """
    Return the things that *sentence* asks for together, two to *MAX_PHRASES*, each once.

    Without what says how many there are or where they stand: "to the left" is nothing to be seen.
    There is none where the sentence asks for one thing alone, negates, or is not English.
    """
    words = words_of(sentence)
    if not lists.NEGATIONS.isdisjoint(map(str.casefold, words)) or not is_english(sentence):
        return ()
    phrases = [" ".join(phrase) for phrase in map(_telling, _spans(words)) if phrase]
    different = list(dict.fromkeys(phrases))[:MAX_PHRASES]
    return tuple(different) if len(different) > 1 else ()


def _spans(words: list[str]) -> list[list[str]]:
    """Return the words that stand together, but "a piece of the cake" is one span."""
    spans: list[list[str]] = [[]]
    for written in words:
        word = written.casefold()
        if word in _ARTICLES and spans[-1][-1:] == ["of"]:
            continue
        if word in _PARTING or not word[0].isalnum():
            spans.append([])
        else:
            spans[-1].append(written)
    return spans


def _telling(span: list[str]) -> list[str]:
    """Return *span* without the numbers and positions that it begins with."""
    while span and _says_nothing(*map(str.casefold, span[:2])):
        span = span[1:]
    return span[:-1] if span[-1:] == ["of"] else span


def _says_nothing(word: str, following: str = "of") -> bool:
    if word in lists.POSITIONS:
        return following == "of"  # "left of a car", but "left hand"
    return word == "of" or word in lists.NUMBERS or word.isdecimal()
