"""Keywords out of a sentence: "horses amidst flowers" gives "horse flower", and "horse" beside it.

A sentence is read from left to right: what each word is, by lists (`english_words.py`), its ending
(`english.py`) and its neighbours; then the things that the words name. No dictionary tells nouns:
whatever is nothing else is one. Only English is read so; any other sentence is its own keyword.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from imagesearch.domain import english_words as lists
from imagesearch.domain.english import (
    gerund_of,
    is_english,
    is_gerund,
    is_known,
    is_past,
    singular,
    stem_of,
    verb_of,
    words_of,
)
from imagesearch.domain.keywords import (
    MAX_KEYWORD_CHARACTERS,
    is_punctuation,
    is_visible,
    normalise_keyword,
)

_MAX_THINGS = 3  # a source looks for images that have all words: of more it has next to none
_NUMBER_OR_LETTER = re.compile(r"\d+(?:s|st|nd|rd|th)?|[a-z]")
_ARTICLES = ("a", "an", "the")
_ADVERB = re.compile(r".{4,}ly")
_LONGEST_COMPOUND = max(map(len, lists.COMPOUNDS))


def keywords_of(sentence: str) -> tuple[str, ...]:
    """
    Return what to ask an image source for: the narrow keyword, and a broader one if there is any.

    Each has 1 to *MAX_KEYWORD_CHARACTERS* characters, normalised. There is none where the sentence
    leaves nothing to look for: "the", "without people", "???".

    Args:
        sentence: with something to be seen.
    """
    if is_punctuation(sentence):
        return ()
    if not is_english(sentence):
        return (_whole(sentence),)
    tokens = _tokens(sentence)
    wanted = _wanted(tokens)
    narrow, broader = _keywords(_read(wanted))
    keywords = [_bounded(words) for words in (narrow, broader)]
    if not keywords[0]:
        keywords = [_unread(sentence, wanted, is_negated=wanted != tokens) or _saying(tokens)]
    return tuple(dict.fromkeys(filter(None, keywords)))


def things_of(sentence: str) -> list[list[str]]:
    """
    Return the words of each thing that an English *sentence* names: what it is like, then its name.

    There is none where the sentence negates, leaves a choice, or is in another language.
    """
    if is_punctuation(sentence) or not is_english(sentence):
        return []
    tokens = _tokens(sentence)
    if _wanted(tokens) != tokens or any(token.text in lists.ALTERNATIVES for token in tokens):
        return []
    return [[*thing.qualities, *thing.words] for thing in _read(tokens).things]


class _Kind(Enum):
    NOUN = auto()
    QUALITY = auto()
    ACTION = auto()  # what is done: it is what the image shows where few things are named
    SILENT = auto()  # an adverb or a number, which says nothing and parts nothing
    STOP = auto()  # whatever parts two things


@dataclass(frozen=True)
class _Token:
    """A word, or several that are one, in lower case; or a punctuation mark."""

    text: str
    is_name: bool = False
    is_compound: bool = False

    @property
    def is_whole(self) -> bool:
        """True for what must not be taken apart, nor into the singular."""
        return self.is_name or self.is_compound

    @property
    def is_word(self) -> bool:
        return self.text[0].isalnum()


@dataclass
class _Thing:
    """What a sentence names: its words in the singular, with what it is like and what it is in."""

    nouns: list[_Token] = field(default_factory=list)
    qualities: list[str] = field(default_factory=list)
    holder: list[str] = field(default_factory=list)  # "cup" of a cup of coffee

    @property
    def words(self) -> list[str]:
        return [noun.text for noun in self.nouns]

    @property
    def head(self) -> list[str]:
        """Return what it is most of all: the "lake" of a mountain lake, New York of its skyline."""
        return [self.nouns[0 if self.nouns[0].is_whole else -1].text]


@dataclass
class _Reading:
    """What is read of a sentence: the things it names, and what else it says."""

    things: list[_Thing] = field(default_factory=list)
    backdrop: _Thing | None = None  # "a blue background"
    actions: list[str] = field(default_factory=list)
    qualities: list[str] = field(default_factory=list)  # of what the sentence does not name


def _unread(sentence: str, wanted: Sequence[_Token], *, is_negated: bool) -> str:
    """Return the keyword of a sentence in which nothing is named; "" where none is left."""
    words = [token.text for token in wanted if token.is_word]
    telling = set(words) - (lists.FUNCTION_WORDS - lists.SHOWN)
    if len(words) > 1:  # "show me", while "looking" alone is looked for
        telling -= lists.IMPERATIVES
    if is_negated:  # a "photo of nothing" is of nothing, while a "wallpaper" is one
        return _bounded(words) if telling - lists.MEDIA else ""
    return _whole(sentence) if telling else ""


def _saying(tokens: Sequence[_Token]) -> str:
    """
    Return the keyword of a sentence that says nothing but what is not; "" where it is none.

    "no smoking" and "do not disturb" are signs, which an image shows. "without people" is none.
    """
    at = next((i for i, token in enumerate(tokens) if token.text in lists.NEGATIONS), len(tokens))
    words = [token.text for token in tokens[at:] if token.is_word]
    if not set(words) - lists.FUNCTION_WORDS - lists.NEGATIONS or words[0] in lists.LEAVING_OUT:
        return ""
    has_verb = at > 0 and tokens[at - 1].text in lists.AUXILIARIES
    return _whole(" ".join([tokens[at - 1].text, *words] if has_verb else words))


def _whole(sentence: str) -> str:
    """Return the beginning of *sentence* that can be a keyword, up to the end of a word."""
    text = normalise_keyword(sentence)
    while text and not is_visible(text[0]):  # marks that have nothing to stand on
        text = text[1:]
    if len(text) <= MAX_KEYWORD_CHARACTERS:
        return text
    cut = text[: MAX_KEYWORD_CHARACTERS + 1].rpartition(" ")[0]
    return normalise_keyword(cut or text[:MAX_KEYWORD_CHARACTERS])


# --- words ------------------------------------------------------------------------------------


def _tokens(sentence: str) -> list[_Token]:
    """Return words and punctuation of *sentence*, with those that belong together as one token."""
    cased = words_of(sentence)
    names = _names(cased)
    lower = [word.casefold().removesuffix("'s") for word in cased]
    tokens, at = [], 0
    while at < len(lower):
        length, is_name = _compound(lower, at), False
        if not length:
            length = names.get(at, 0)
            is_name = length > 0
        text = " ".join(_compound_words(lower[at : at + length])) if length else lower[at]
        tokens.append(_Token(text, is_name, length > 0 and not is_name))
        at += max(1, length)
    return tokens


def _compound(words: Sequence[str], at: int) -> int:
    """Return how many words from *at* on are one thing by the list of compounds; 0 for none."""
    for length in range(_LONGEST_COMPOUND, 1, -1):
        span = tuple(words[at : at + length])
        if span in lists.COMPOUNDS or (*span[:-1], singular(span[-1])) in lists.COMPOUNDS:
            return length
    return 0


def _compound_words(words: Sequence[str]) -> list[str]:
    kept = [word for word in words if word != "of"]
    span = tuple(words)
    return kept if span in lists.COMPOUNDS else [*kept[:-1], singular(kept[-1])]


def _names(cased: Sequence[str]) -> dict[int, int]:
    """Return where names begin, and of how many words: capitals that the sentence doesn't need."""
    capitals = [
        len(word) > 1 and word[0].isupper() and word.casefold() not in _NO_NAMES for word in cased
    ]
    if all(word.isupper() for word in cased if len(word) > 1):  # somebody shouts
        return {}
    names, at = {}, 0
    while at < len(cased):
        length = next((n for n, is_one in enumerate(capitals[at:]) if not is_one), len(cased) - at)
        known = all(is_known(word.casefold()) for word in cased[at : at + length])
        if length > 1 - (at > 0) and not known:
            names[at] = length
        at += max(1, length)
    return names


_NO_NAMES: Final = lists.FUNCTION_WORDS | lists.MEDIA | lists.IMPERATIVES


def _wanted(tokens: Iterable[_Token]) -> list[_Token]:
    """Return *tokens* without what the sentence says is not to be seen."""
    wanted: list[_Token] = []
    negated = skipped = False
    before = ""
    for token in tokens:
        word = token.text
        if word in lists.NEGATIONS:
            negated, skipped = True, False
        elif negated and _ends_a_negation(token, before, skipped=skipped):
            negated = False
        skipped |= negated and word not in lists.FUNCTION_WORDS
        wanted.append(_Token(",") if negated else token)
        before = word
    return wanted


def _ends_a_negation(token: _Token, before: str, *, skipped: bool) -> bool:
    if token.text in lists.AFTER_A_NEGATION or not token.is_word:
        return True
    if token.text in _ARTICLES:  # "without clouds a blue sky", but "without cars and a bus"
        return skipped and before not in lists.FUNCTION_WORDS | lists.NEGATIONS
    return skipped and token.text in lists.PREPOSITIONS


# --- what each word is ------------------------------------------------------------------------


def _kinds(tokens: Sequence[_Token]) -> list[_Kind]:
    kinds: list[_Kind] = []
    for at in range(len(tokens)):
        kinds.append(_kind(tokens, at, kinds))
    return kinds


def _kind(tokens: Sequence[_Token], at: int, before: Sequence[_Kind]) -> _Kind:
    """Return what the token *at* is, the kinds *before* it being known."""
    token, word = tokens[at], tokens[at].text
    if token.is_whole and word not in lists.MEDIA:
        return _Kind.NOUN
    if word in lists.FUNCTION_WORDS or word in lists.NEGATIONS or not token.is_word:
        return _Kind.STOP
    if _is_asking(tokens, at, before):
        return _Kind.STOP
    if _is_silent(tokens, at, before):
        return _Kind.SILENT
    if _is_action(tokens, at, before):
        return _Kind.ACTION
    return _Kind.QUALITY if _is_quality(tokens, at, before) else _Kind.NOUN


def _is_asking(tokens: Sequence[_Token], at: int, before: Sequence[_Kind]) -> bool:
    """True for the "show" of "show me horses", and for "pictures"."""
    word = tokens[at].text
    if word in lists.MEDIA or singular(word) in lists.MEDIA:
        return True
    is_first = all(kind is _Kind.STOP for kind in before)
    return is_first and word in lists.IMPERATIVES and _next(tokens, at) not in ("", "and", "in")


def _is_silent(tokens: Sequence[_Token], at: int, before: Sequence[_Kind]) -> bool:
    word = tokens[at].text
    if _NUMBER_OR_LETTER.fullmatch(word):  # "5 apples", "B&W", but "route 66", "vitamin C"
        return not before or before[-1] is not _Kind.NOUN or _noun_follows(tokens, at)
    return bool(_ADVERB.fullmatch(word)) and word not in lists.NO_ADVERBS


def _is_action(tokens: Sequence[_Token], at: int, before: Sequence[_Kind]) -> bool:
    word = tokens[at].text
    after_noun = bool(before) and before[-1] is _Kind.NOUN
    if is_gerund(word) or is_past(word):
        is_quality = _noun_follows(tokens, at) and not after_noun
        return not is_quality and word not in lists.ACTIVITIES
    if word in lists.NO_GERUNDS and stem_of(word) in lists.VERBS:  # "a boy building a house"
        return after_noun and _next(tokens, at) in lists.DETERMINERS
    if verb_of(word) not in lists.VERBS or not before:
        return False
    if tokens[at - 1].text in lists.BEFORE_A_VERB:
        return True
    return after_noun and _agrees(tokens, at, before)


def _agrees(tokens: Sequence[_Token], at: int, before: Sequence[_Kind]) -> bool:
    """True for a verb of the noun before it: "dogs play", "a dog plays", "does a dog play"."""
    noun, word = tokens[at - 1].text, tokens[at].text
    if _Kind.ACTION in before:  # "a girl blowing soap bubbles": its verb has been
        return False
    if any(token.text in lists.BEFORE_AN_INFINITIVE for token in tokens[:at]):
        return True
    is_plural = singular(noun) != noun
    return word != verb_of(word) or is_plural


def _is_quality(tokens: Sequence[_Token], at: int, before: Sequence[_Kind]) -> bool:
    word = tokens[at].text
    if is_gerund(word) or is_past(word):
        after_noun = bool(before) and before[-1] is _Kind.NOUN
        return _noun_follows(tokens, at) and not after_noun
    if word in lists.QUALITIES:
        # "an orange on a table", "the dark": there it is a thing.
        return (
            _next(tokens, at) == "and"
            or _noun_follows(tokens, at)
            or not _after_article(tokens, at)
        )
    has_ending = word.endswith(lists.QUALITY_ENDINGS) and word not in lists.NO_QUALITIES
    return has_ending and _noun_follows(tokens, at)


def _after_article(tokens: Sequence[_Token], at: int) -> bool:
    return at > 0 and tokens[at - 1].text in _ARTICLES


def _next(tokens: Sequence[_Token], at: int) -> str:
    return tokens[at + 1].text if at + 1 < len(tokens) else ""


def _noun_follows(tokens: Sequence[_Token], at: int) -> bool:
    word = _next(tokens, at)
    return bool(word) and word[0].isalnum() and word not in lists.FUNCTION_WORDS


def _is_faint(tokens: Sequence[_Token], at: int) -> bool:
    """True for what an image shows little of: "to be", what was done, what is only asked for."""
    word = tokens[at].text
    if verb_of(word) in lists.FAINT_VERBS or stem_of(word) in lists.FAINT_VERBS or is_past(word):
        return True
    asked = any(token.text in lists.BEFORE_AN_INFINITIVE for token in tokens[:at])
    return asked and word == verb_of(word) and not is_gerund(word)


# --- what they say together -------------------------------------------------------------------


def _read(tokens: Sequence[_Token]) -> _Reading:
    """Return what *tokens* say."""
    reader = _Reader(tokens)
    for at, kind in enumerate(_kinds(tokens)):
        reader.take(at, kind)
    reader.let_go()
    return reader.reading


class _Reader:
    """Makes a reading, token by token."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.reading = _Reading()
        self._tokens = tokens
        self._thing: _Thing | None = None  # that a next noun belongs to: "fire" of "fire truck"
        self._qualities: list[str] = []  # of the thing that comes next
        self._holder: list[str] = []  # which the thing that comes next is in

    def take(self, at: int, kind: _Kind) -> None:
        """Read the token *at*, which is a *kind*."""
        if kind is _Kind.NOUN:
            self._take_noun(self._tokens[at])
        elif kind is not _Kind.SILENT:
            before, self._thing = self._thing, None
            if kind is _Kind.QUALITY:
                self._take_quality(at)
            elif kind is _Kind.STOP:
                self._stop(at, before)
            elif not _is_faint(self._tokens, at):
                self.reading.actions.append(gerund_of(self._tokens[at].text))

    def let_go(self) -> None:
        """Leave the qualities at hand to a thing that the sentence does not name."""
        self.reading.qualities += self._qualities
        self._qualities = []

    def _take_noun(self, token: _Token) -> None:
        is_activity = token.text in lists.ACTIVITIES
        if self._thing is None or is_activity:
            self._thing = _Thing(qualities=self._qualities, holder=self._holder)
            self._qualities, self._holder = [], []
            self.reading.things.append(self._thing)
        noun = token if token.is_whole else _Token(singular(token.text))
        self._thing.nouns.append(noun)
        if is_activity:
            self._thing = None

    def _take_quality(self, at: int) -> None:
        """Keep the quality that is nearest to its thing, but both of "black and white"."""
        word = self._tokens[at].text
        if word in lists.VAGUE_QUALITIES:
            return
        is_joined = at > 0 and self._tokens[at - 1].text == "and"
        self._qualities = [*self._qualities, word] if is_joined else [word]

    def _stop(self, at: int, before: _Thing | None) -> None:
        word = self._tokens[at].text
        if word == "of" and before is not None:
            self._holder = self._taken_back(before, self._tokens[at - 1].text)
        if word in lists.BACKDROPS:
            self.reading.backdrop = _Thing([self._tokens[at]], self._qualities)
        if word not in ("and", ","):
            self.let_go()

    def _taken_back(self, thing: _Thing, noun: str) -> list[str]:
        """Take *thing* back if it only counts or holds what comes after "of"; return the holder."""
        if noun in lists.COLLECTIVES or singular(noun) in lists.COLLECTIVES:
            self.reading.things.remove(thing)
            return []
        if singular(noun) in lists.HOLDERS:
            self.reading.things.remove(thing)
            return thing.words
        return []


def _keywords(reading: _Reading) -> tuple[list[str], list[str]]:
    """Return the words of the narrow keyword and of the broader one; none where there is none."""
    things = _telling(reading)[:_MAX_THINGS]
    if not things:
        return (reading.actions or reading.qualities)[:_MAX_THINGS], []
    subject = things[0]
    quality, action = _said_of(subject, things, reading)
    nouns = [word for thing in things for word in (*thing.words, *thing.holder)]
    narrow = [*quality, *nouns, *action]
    doing = [*(word for word in nouns if word in lists.ACTIVITIES), *action]
    if subject.words[-1] in lists.PEOPLE and doing:
        return narrow, doing[:1]
    return narrow, subject.words if narrow != subject.words else subject.head


def _telling(reading: _Reading) -> list[_Thing]:
    """Return the things that tell something of the image, where there are any, else all."""
    if not reading.things and reading.backdrop:
        return [reading.backdrop]
    telling = [thing for thing in reading.things if thing.words[-1] not in lists.EMPTY_NOUNS]
    if telling and not telling[0].qualities:  # "rainy day in London": it is London that is rainy
        said = [
            word for thing in reading.things for word in thing.qualities if thing not in telling
        ]
        telling[0].qualities = said[-1:]
    return telling or reading.things


def _said_of(
    subject: _Thing, things: Sequence[_Thing], reading: _Reading
) -> tuple[list[str], list[str]]:
    """Return what is said of a *subject* that is alone: what it is like, or else what it does."""
    others = [thing for thing in things[1:] if thing.words[-1] not in lists.TIMES]
    if others or subject.holder or subject.words[-1] in lists.ACTIVITIES:
        return [], []
    qualities = subject.qualities or reading.qualities
    action = reading.actions[:1]
    if qualities and not (action and subject.words[-1] in lists.PEOPLE):
        return qualities, []
    return [], action


def _bounded(words: Iterable[str]) -> str:
    """Return *words*, each once, as a keyword: as many as have room in one."""
    keyword = ""
    for word in dict.fromkeys(words):
        longer = normalise_keyword(f"{keyword} {word}")
        if len(longer) > MAX_KEYWORD_CHARACTERS:
            break
        keyword = longer
    return keyword
