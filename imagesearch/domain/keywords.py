"""What a person types for a keyword, in one spelling."""

from __future__ import annotations

import re
import unicodedata

MAX_KEYWORD_CHARACTERS = 100  # Pixabay's bound on `q`

# What nobody sees: control characters that are no white space, separators of
# records among them, Unicode's default ignorables but for the joiners below, and the anchors of
# annotations.
# https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b"
    r"\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


# What nobody sees either, but shapes or joins what it stands between: Mongolian, Persian, Indic
# and emoji, Egyptian hieroglyphs, Duployan shorthand. Of several the first is enough.
_JOINER = r"[\u180b-\u180f\u200c\u200d\U00013430-\U0001343f\U0001bca0-\U0001bca3]"


_JOINERS = re.compile(f"({_JOINER}){_JOINER}*")


_JOINERS_AT_AN_END = re.compile(f"^{_JOINER}+|{_JOINER}+$")


_BLANK = "\u2800"  # Braille without a dot, which separates words as a space does


def normalise_keyword(keyword: str) -> str:
    """
    Return *keyword* in Unicode NFKC, case-folded, trimmed, with single spaces.

    Characters that nobody sees are left out; of those that join, one within a word stays.
    """
    if keyword.isascii() and keyword.isprintable():  # most are, and every search comes by here
        return " ".join(keyword.casefold().split())
    seen = _INVISIBLE.sub("", keyword).replace(_BLANK, " ")
    # Case-folding can undo the normal form ("ǰ"), so it is normalised once more.
    folded = unicodedata.normalize("NFKC", seen).casefold()
    words = unicodedata.normalize("NFKC", _JOINERS.sub(r"\1", folded)).split()
    return " ".join(filter(None, (_JOINERS_AT_AN_END.sub("", word) for word in words)))


def is_punctuation(text: str) -> bool:
    """Return whether *text* has no letter, digit or symbol, of which an emoji is one."""
    return all(unicodedata.category(character)[0] in "PMZC" for character in text)


def is_visible(text: str) -> bool:
    """Return whether there is anything to see in *text*; marks alone have nothing to stand on."""
    return any(
        unicodedata.category(character)[0] not in "MZ" for character in normalise_keyword(text)
    )
