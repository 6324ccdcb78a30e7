"""What a sentence asks for, thing by thing: "two horses in the rain" gives "horse" and "rain".

It is read as for keywords (`sentences.py`), of which an image source gets the first ones alone.
Only English is: what is known of the demo's model is that other languages lose by it (decision
0100).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from imagesearch.domain.english_words import EMPTY_NOUNS, TIMES
from imagesearch.domain.sentences import things_of

MAX_PHRASES: Final = 6  # of a sentence, the first: each has to be embedded


@lru_cache(maxsize=1024)  # sentences: further pages and other filters ask for the same one
def phrases_of(sentence: str) -> tuple[str, ...]:
    """
    Return the things that *sentence* asks for together, two to *MAX_PHRASES*, each once.

    Each is in the singular, with what it is like; how many there are, where they stand and what
    they do is left out: by themselves "three" and "to the left" are nothing to be seen. There is
    none where the sentence names one thing alone, leaves a choice, negates, or is not English.
    """
    telling = [words for words in things_of(sentence) if words[-1] not in EMPTY_NOUNS - TIMES]
    phrases = list(dict.fromkeys(" ".join(words) for words in telling))[:MAX_PHRASES]
    return tuple(phrases) if len(phrases) > 1 else ()
