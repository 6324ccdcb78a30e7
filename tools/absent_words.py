"""
Writes `absent_words.toml`: words, in each of the demo's languages, for what no scene shows.

    python -m tools.absent_words ANNOTATIONS

ANNOTATIONS is the folder `annotations` of the npm package cldr-annotations-full 48.2.0.
`train_demo_model` asks for these words, so that the model learns what it cannot show.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.no_match import ABSENT_PLACES, FAR_OFF
from imagesearch.demo import wording

FILE: Final = Path(__file__).with_suffix(".toml")
MOST: Final = 800
MAY_BE_TRUE: Final = (
    "between",
    "mammal",
    "stack",
    "emoji",
    "group",
    "herd",
    "image",
    "picture",
    "standing",
)
"""English words of such emoji that a scene may show all the same."""
_HEAD: Final = """\
# Words for what no scene of the demo shows; written by `python -m tools.absent_words` from
# CLDR 48.2, whose licence is in imagesearch/demo/languages/LICENSE-cldr.
"""


def words_of(text: str) -> list[str]:
    """Return the words of *text* in lower case; Hindi's vowel signs are part of theirs."""
    return re.findall(r"[\w\u0900-\u0963]+", text.lower())


@functools.cache
def known_words(codes: tuple[str, ...] = wording.LANGUAGES) -> frozenset[str]:
    """Return every word of the names and phrases of the languages with *codes*."""
    spoken = map(wording.language, codes)
    texts = (text for each in spoken for text in _texts((each.names, each.wording)))
    return frozenset(word for text in texts for word in words_of(text))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _texts(inner)


def emoji_words(folder: Path, code: str) -> dict[str, list[str]]:
    """Return the words of each emoji in one language: of its name, and of its keywords."""
    read = json.loads((folder / code / "annotations.json").read_text(encoding="utf-8"))
    return {
        emoji: words_of(" ".join([*said.get("tts", []), *said.get("default", [])]))
        for emoji, said in read["annotations"]["annotations"].items()
    }


def absent(folder: Path) -> set[str]:
    """Return the emoji that no English word of the demo is said of, not even as a keyword."""
    known = known_words(("en",)) - set(wording.language("en").wording["little"])
    return {emoji for emoji, words in emoji_words(folder, "en").items() if known.isdisjoint(words)}


def words(folder: Path, code: str, emoji: set[str]) -> list[str]:
    """
    Return `MOST` of the words of *emoji* in one language.

    None is said of another emoji, too ("animal"), or is like a word of the demo, of which it may be
    another form, or like one that the benchmark of what nothing matches asks for, which is to show
    what the model makes of words that it was not taught.
    """
    asked = {word for text in (*ABSENT_PLACES, *FAR_OFF) for word in words_of(text)}
    taken = known_words() | asked | set(MAY_BE_TRUE)
    stems = {word[:4] for word in taken if len(word) >= 4}
    said = emoji_words(folder, code)
    taken |= {word for sign in said.keys() - emoji for word in said[sign]}
    chosen = {
        word
        for sign in emoji
        for word in said.get(sign, ())
        if is_word(word, code) and word not in taken and word[:4] not in stems
    }
    return sorted(sorted(chosen, key=_shuffled)[: 3 * MOST if code == "en" else MOST])


def is_word(word: str, code: str) -> bool:
    """Return whether *word* has letters alone, as many as a name has."""
    shortest = 1 if code in ("ja", "ko", "zh") else 3
    return shortest <= len(word) <= 14 and not re.search(r"[\d_]", word)


def _shuffled(word: str) -> bytes:
    return hashlib.blake2b(word.encode()).digest()


def main() -> None:
    """Write the file."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    emoji = absent(folder)
    lines = [
        f"{code} = {json.dumps(words(folder, code, emoji), ensure_ascii=False)}"
        for code in wording.LANGUAGES
    ]
    FILE.write_text("\n".join([_HEAD, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
