"""
Which of the demo's scenes a keyword finds, in any language of `wording`.

Words that name a thing, a place or a time of day ask for it; the little words between them, such as
"in the", ask for nothing. Where there is any other word, what is known of the words is asked for,
and where no scene shows all of it, the scenes that show the most.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from imagesearch.demo import wording
from imagesearch.demo.scenes import PLACES, SCENE_COUNT, THINGS, TIMES, Scene, scene
from imagesearch.domain.english import singular

# Kana, Han and Hangul: scripts that put no space between some words, or between a word and its
# particle. Between two Han characters a word does not end where another name begins: 花火 is
# neither flower nor fire.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTERS = str.maketrans(
    {"œ": "oe", "æ": "ae", "ł": "l", "ø": "o", "ı": "i", "’": "'", "-": " ", "‐": " ", "\u0640": ""}
)
_ACCENTS = re.compile(r"[\u0300-\u036f\u064b-\u0655]")
_PIECE = re.compile(
    r"[\u3400-\u9fff]+|[\u3040-\u309f]+|[\u30a0-\u30ff]+|[\uac00-\ud7af]+"
    r"|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
# Of the letters of a text, the share that a language knows if what it knows is to be asked for:
# "quatro gatos", but not "at work", whose "at" is a Turkish horse.
_KNOWN_SHARE = 0.35
_ARTICLE = re.compile(r"(?<!\w)[وبكل]?ال(?=\w\w)")  # Arabic's, which is written with its word
_AND = "و"  # and so is its "and"

_INDEX_LOCK = threading.Lock()


def concepts(shown: Scene) -> tuple[str, ...]:
    """Return what a keyword finds *shown* by: its things, its place and its time of day."""
    return (*shown.things, shown.place, shown.time)


def tags(shown: Scene, code: str = "en") -> tuple[str, ...]:
    """Return the concepts of *shown* in words of a language of `wording.LANGUAGES`."""
    spoken = wording.language(code)
    return tuple(dict.fromkeys(_tag(concept, spoken) for concept in concepts(shown)))


def _tag(concept: str, spoken: wording.Language) -> str:
    """Return the usual name of a concept, but "scissors" for a "pair of scissors"."""
    usual = next(_names(concept, spoken))
    if concept in THINGS and THINGS[concept].measured:
        for name in spoken.names[concept][1:]:
            if any(f" {form} " in f" {usual} " for form in name):
                return name[0].lower()
    return usual.lower()


def find_scenes(text: str, code: str = "en") -> frozenset[int]:
    """
    Return the ids of the scenes that show all that *text* names; none where it names nothing.

    Where it has unknown words, it is what the others name. Where no scene shows all of it, it is
    those that show the most: of its things first, then of its places and times of day.

    Args:
        text: any number of names, in any of the languages.
        code: the language in which it is read first.
    """
    asked = read(text, code) or _read_known(text, code)
    if not asked:
        return frozenset()
    sets = [index()[concept] for concept in asked]
    return frozenset.intersection(*sets) or _most_shown(asked)


def _most_shown(asked: Iterable[str]) -> frozenset[int]:
    shown: Counter[int] = Counter()
    for concept in asked:
        weight = len(PLACES) + len(TIMES) + 1 if concept in THINGS else 1
        shown.update(dict.fromkeys(index()[concept], weight))
    most = max(shown.values())
    return frozenset(scene_id for scene_id, weight in shown.items() if weight == most)


def _read_known(text: str, code: str) -> tuple[str, ...]:
    """Return what the known words of *text* name, in the language that knows most of it."""
    folded = fold(text)
    codes = dict.fromkeys((code, "en", *wording.LANGUAGES))
    known = [_known_by(folded, _vocabulary(each)) for each in codes]
    letters, asked = max(known, key=lambda each: each[0])
    return asked if letters >= _KNOWN_SHARE * sum(map(_is_letter, folded)) else ()


def _known_by(text: str, vocabulary: _Vocabulary) -> tuple[int, tuple[str, ...]]:
    """Return how many letters of *text* are known, and what they name; 0 where that is nothing."""
    spans = _piece_spans(text, vocabulary)
    asked: list[str] = []
    letters, first = 0, 0
    while first < len(spans):
        start, length = spans[first][0], 1
        for last in range(len(spans), first, -1):
            span = text[start : spans[last - 1][1]]
            named = _read_by(span, vocabulary)
            if named or span in vocabulary.little:
                asked += named
                letters += sum(map(_is_letter, span))
                length = last - first
                break
        first += length
    return (letters, tuple(dict.fromkeys(asked))) if asked else (0, ())


def _piece_spans(text: str, vocabulary: _Vocabulary) -> list[tuple[int, int]]:
    """
    Return where the words of *text* begin and end.

    Without spaces, that is where the script changes and at little words of one Han character: no
    name is taken out of a longer word that is not known, such as 木 (tree) out of 木琴 (xylophone).
    """
    spans: list[tuple[int, int]] = []
    for piece in _PIECE.finditer(text):
        at = piece.start()
        for end in range(piece.start(), piece.end()):
            if _HAN.match(text[end]) and text[end] in vocabulary.little:
                spans += [span for span in ((at, end), (end, end + 1)) if span[0] < span[1]]
                at = end + 1
        spans += [(at, piece.end())] if at < piece.end() else []
    return spans


def read(text: str, code: str = "en") -> tuple[str, ...]:
    """
    Return what *text* names: in the language of *code*, else in the first that knows all its words.

    So "gift" is a present in English, and no word is taken from one language and the next from
    another. What is one name in any language is not read in pieces by another: Italian
    "barca a vela" as a Spanish boat and candle.
    """
    folded = fold(text)
    codes = tuple(dict.fromkeys((code, "en", *wording.LANGUAGES)))
    for each in codes:  # English names need no vocabulary but its own
        if folded in _vocabulary(each).names:
            return (_vocabulary(each).names[folded],)
    return next(filter(None, (_read_by(folded, _vocabulary(each)) for each in codes)), ())


def fold(text: str) -> str:
    """Return *text* without what people leave out or write otherwise: case, accents, hyphens."""
    text = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return " ".join(_ARTICLE.sub("", unicodedata.normalize("NFC", text)).split())


@dataclass(frozen=True)
class _Vocabulary:
    """
    The folded words of one language.

    `names` are of concepts, and so are `phrases`, such as "in the dark"; `little` words mean
    nothing here. A word that is both a little one and a name, such as Dutch "bij", is a name only
    where it stands alone.
    """

    names: dict[str, str]
    phrases: dict[str, str]
    little: frozenset[str]

    @cached_property
    def words(self) -> dict[str, str | None]:
        """What each word asks for."""
        return {**self.names, **dict.fromkeys(self.little), **self.phrases}

    @cached_property
    def longest(self) -> int:
        """How many characters the longest word has."""
        return max(map(len, self.words))


def _read_by(text: str, vocabulary: _Vocabulary) -> tuple[str, ...]:
    asked: list[str] = []
    at, name_ended_at = 0, -1
    while at < len(text):
        word = next(_words_at(text, at, vocabulary), "")
        if not word and (text[at] == _AND or not _is_letter(text[at])):
            at += 1
            continue
        is_name = word in vocabulary.names and word not in vocabulary.little
        if not word or (is_name and name_ended_at == at and _HAN.match(text[at])):
            return ()
        concept = vocabulary.words[word]
        if concept:
            asked.append(concept)
        at += len(word)
        name_ended_at = at if is_name and _HAN.match(word[-1]) else -1
    return tuple(dict.fromkeys(asked))


def _words_at(text: str, start: int, vocabulary: _Vocabulary) -> Iterator[str]:
    """Yield the words that begin at *start*, the longest first."""
    for end in range(min(len(text), start + vocabulary.longest), start, -1):
        is_end = end == len(text) or not _is_within_word(text[end - 1], text[end])
        if is_end and text[start:end] in vocabulary.words:
            yield text[start:end]


def _is_within_word(before: str, after: str) -> bool:
    if not (_is_letter(before) and _is_letter(after)):
        return False
    return not (_UNSPACED.match(before) or _UNSPACED.match(after))


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"  # letters, their marks, and digits


@cache
def _vocabulary(code: str) -> _Vocabulary:
    spoken = wording.language(code)
    names: dict[str, str] = {}
    for concept in (*spoken.names, *PLACES, *TIMES):
        for name in map(fold, _names(concept, spoken)):
            names.setdefault(name, concept)
            if code == "en":  # a sentence's keywords come in the singular: "chip"
                names.setdefault(singular(name), concept)
    said = spoken.wording
    phrases = {
        fold(phrase): concept
        for kind in ("place", "time")
        for concept, ways in said[kind].items()
        for phrase in ways
    }
    templates = [ways for ways in said.values() if isinstance(ways, list)]
    texts = _texts([templates, said["position"], spoken.counters])
    pieces = {piece for text in texts for piece in _pieces(text)}
    return _Vocabulary(names, phrases, frozenset(pieces - {""}))


def _names(concept: str, spoken: wording.Language) -> Iterator[str]:
    """Yield all forms of all names of a concept, the usual one first."""
    if concept in spoken.names:
        yield from (form for name in spoken.names[concept] for form in name)
    else:
        kind = "place_name" if concept in PLACES else "time_name"
        yield from spoken.wording[kind][concept]


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from _texts(node.values())
    elif isinstance(node, Iterable):
        for inner in node:
            yield from _texts(inner)


def _pieces(phrase: str) -> Iterator[str]:
    """Yield what stands between the placeholders of a phrase, whole and word by word."""
    for piece in re.split(r"\{\w+\}|[,،、，]", phrase):
        yield fold(piece)
        yield from fold(piece).split()


def index() -> dict[str, frozenset[int]]:
    """Return the ids of the scenes that each concept finds; the first call takes half a second."""
    with _INDEX_LOCK:
        return _index()


@cache
def _index() -> dict[str, frozenset[int]]:
    ids: dict[str, set[int]] = {}
    for scene_id in range(SCENE_COUNT):
        for concept in concepts(scene(scene_id)):
            ids.setdefault(concept, set()).add(scene_id)
    return {concept: frozenset(those) for concept, those in ids.items()}
