"""English words: their forms, and whether a sentence is made of them.

By lists (`english_words.py`) and endings; good enough for what people search for.
"""

from __future__ import annotations

import re
from typing import Final

from imagesearch.domain import english_words as lists

_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[,;:.!?()]")
_GERUND = re.compile(r".*[aeiouy].*ing")
_PAST = re.compile(r".{2,}ed")
_ABBREVIATION = re.compile(r"\b([A-Z][a-z]?)\.(?= [A-Z])")  # "St. Patrick"
_ARTICLES = frozenset(("a", "an"))
# Letters that hardly any English word has; "é" and "ï" are in too many that English took over.
_FOREIGN_LETTER = re.compile(r"[äöüßñãõåøæąęłżźćńśčřžšěůőűğışçìòù\u1e00-\u1eff]")
_OTHER_SCRIPT = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")
_ENGLISH: Final = (
    (lists.FUNCTION_WORDS | lists.VERBS | lists.QUALITIES | lists.COMMON_NOUNS)
    | (lists.MEDIA | lists.PAST_FORMS | lists.ACTIVITIES | lists.NO_GERUNDS | lists.PEOPLE)
    | (lists.TIMES | lists.IRREGULAR_PLURALS.keys() | lists.NEGATIONS)
)
# What is a word of both tells neither.
_EITHER: Final = lists.EITHER | (_ENGLISH & lists.FOREIGN_WORDS)


def words_of(sentence: str) -> list[str]:
    """Return the words of *sentence* as they are written, and its punctuation marks."""
    return _TOKEN.findall(_ABBREVIATION.sub(r"\1", sentence.replace("’", "'")))


def is_english(sentence: str) -> bool:
    """
    Return whether more words of *sentence* are known to be English than to be of others.

    Where none is known to be of either, an article tells.
    """
    if _OTHER_SCRIPT.search(sentence):
        return False
    words = [word.casefold() for word in words_of(sentence)]
    telling = [word for word in words if word not in _EITHER]
    english = sum(is_known(word) for word in telling)
    foreign = sum(_is_foreign(word) for word in telling)
    if not english and not foreign:  # "a sapling in a pot": nouns are in no list
        return len(words) > 1 and not _ARTICLES.isdisjoint(words)
    return english > foreign or (english == foreign and not _is_foreign(words[0]))


def _is_foreign(word: str) -> bool:
    return word in lists.FOREIGN_WORDS or bool(_FOREIGN_LETTER.search(word))


def is_known(word: str) -> bool:
    """Return whether *word*, in lower case, or what it is a form of is in the lists."""
    forms = (word, singular(word), verb_of(word))
    return any(form in _ENGLISH for form in forms) or stem_of(word) in lists.VERBS


def singular(noun: str) -> str:
    """Return *noun*, in lower case, in the singular; one that is none stays as it is."""
    if noun in lists.IRREGULAR_PLURALS:
        return lists.IRREGULAR_PLURALS[noun]
    if noun in lists.UNCHANGED or noun.endswith(("ss", "us", "is", "'s")) or len(noun) < 4:
        return noun
    if noun.endswith("men"):
        return f"{noun[:-2]}an"
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    if noun.endswith(("xes", "ches", "shes", "sses", "zzes", "oes")):
        return noun[:-2]
    return noun.removesuffix("s")


def is_gerund(word: str) -> bool:
    """Return whether *word* is what is done: "running", but not "building"."""
    return bool(_GERUND.fullmatch(word)) and word not in lists.NO_GERUNDS


def is_past(word: str) -> bool:
    """Return whether *word* is what was done: "parked", "worn", but not "bed"."""
    return word in lists.PAST_FORMS or (
        bool(_PAST.fullmatch(word)) and word not in lists.NO_PAST_FORMS
    )


def verb_of(word: str) -> str:
    """Return the verb whose form *word* may be: "fly" of "flies"."""
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "sses", "xes", "oes")):
        return word[:-2]
    return word if word.endswith("ss") else word.removesuffix("s")


def stem_of(gerund: str) -> str:
    """Return the verb whose gerund this may be, "swim" of "swimming"; "" for what is none."""
    stem = gerund.removesuffix("ing")
    if stem == gerund:
        return ""
    verbs = (stem, f"{stem}e", stem[:-1])
    return next((verb for verb in verbs if verb in lists.VERBS), "")


def gerund_of(word: str) -> str:
    """Return the form in which images are tagged with what is done: "sleeping" of "sleeps"."""
    verb = verb_of(word)
    if is_gerund(word):
        return word
    if re.fullmatch(r"[^aeiou]*[aeiou][bgmnpt]", verb):
        return f"{verb}{verb[-1]}ing"
    return f"{verb.removesuffix('e')}ing"
