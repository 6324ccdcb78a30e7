"""What is shown of a search and its answer, in words: pure functions of both and a language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from app import words
from app.api import Countdown, SoFar
from app.failures import FOR_EVER, key_of
from app.search import FILTERS, MOST_CHARACTERS, MOST_MINUS, OF_OWN, Search, longest
from app.words import Say
from imagesearch.client import Fetching, Hit, Pool, SearchFailed
from imagesearch.client.searching import GIVE_UP_SECONDS, LONGEST_PAUSE_SECONDS

MOST_PICTURE_BYTES = 10_000_000  # that the API takes
MOST_VALUES = 12  # of a filter
CLAIMED = ("strong", "fair", "weak", "none")
"""Matches that have words; of another, as `uncalibrated`, nothing is claimed."""


@dataclass(frozen=True)
class Notice:
    """
    What a person is told beside the pictures.

    Attributes:
        call: the key of what its button says, "" where there is none.
        is_calm: whether nothing went wrong.
        countdown: what changes each second, and so is not read aloud by itself; "" for nothing.
    """

    title: str
    text: str
    call: str = ""
    is_calm: bool = False
    countdown: str = ""


@dataclass(frozen=True)
class Facet:
    """A filter with the values that it can have, and the one that it has, "" for none."""

    name: str
    values: tuple[str, ...]
    chosen: str


# -- names


def name_of(search: Search, language: str) -> str:
    """Return what *search* asks for, as a heading."""
    say = words.speaker(language)
    parts = [
        search.s_query and words.quoted(search.s_query, language),
        say("like_this") if search.like else "",
        say("like_yours") if search.picture else "",
    ]
    asked = say("and").join(filter(None, parts))
    things = say("or").join(words.quoted(thing, language) for thing in search.minus)
    name = say("but_without", name=asked, things=things) if things else asked
    return name[:1].upper() + name[1:]


def place_of(search: Search, keywords: Iterable[str], language: str) -> str:
    """Return where *search* looks; *keywords* are those that the server took from its sentence."""
    say = words.speaker(language)
    if search.collection:
        return say("of_collection", name=words.quoted(search.collection, language))
    if search.everywhere:
        return say("of_everything")
    given = [search.t] if search.t else keywords
    return say("and").join(words.quoted(keyword, language) for keyword in given)


def title_of(hit: Hit, say: Say) -> str:
    """Return what a picture is called that has no other description."""
    own = hit.own
    file = own.file.rpartition("/")[2] if own else ""
    return (own.title if own else "") or ", ".join(hit.tags) or file or say("undescribed")


def credit_of(hit: Hit) -> str:
    """Return whose picture it is and where from, as its source asks; of an own one its album."""
    if hit.own:
        return " · ".join(hit.own.albums[:1])
    credit = hit.credit
    return " · ".join(filter(None, (credit.user, credit.source, credit.licence)))


def match_of(hit: Hit, say: Say) -> str:
    """Return how well *hit* matches, in words; "" where nothing is claimed."""
    return say(hit.match) if hit.match in CLAIMED else ""


def label_of(hit: Hit, at: int, count: int, say: Say) -> str:
    """Return what a picture is called to those who do not see it; *at* counts from 1."""
    place = say("picture_of", at=at, count=count)
    parts = (place, title_of(hit, say), match_of(hit, say), credit_of(hit))
    return ". ".join(filter(None, parts))


def facts_of(hit: Hit, say: Say) -> list[tuple[str, str]]:
    """Return what is known of *hit*, each with its name."""
    own = hit.own
    size = say("size", width=hit.width, height=hit.height) if hit.width and hit.height else ""
    facts = [
        ("fact_user", hit.credit.user),
        ("fact_source", "" if own else hit.credit.source),
        ("fact_licence", hit.credit.licence),
        ("fact_shows", ", ".join(hit.tags)),
        ("fact_file", own.file if own else ""),
        ("fact_albums", ", ".join(own.albums) if own else ""),
        ("fact_camera", own.camera if own else ""),
        ("fact_year", str(hit.year) if own and hit.year else ""),
        ("fact_size", size),
    ]
    return [(say(key), text) for key, text in facts if text]


def web_link(url: str) -> str:
    """Return *url* if a click on it is one on a web page; what a server writes may be anything."""
    try:
        return url if urlsplit(url).scheme in ("http", "https") else ""
    except ValueError:
        return ""


# -- what is wrong with a search before it is sent


def complaints(search: Search, say: Say) -> dict[str, str]:
    """Return what is wrong with *search*, by the field of the form."""
    wrong = {} if search.can_be_asked else {"s_query": say("needs_words")}
    if len(search.minus) > MOST_MINUS:
        wrong["minus"] = say("too_many_minus", most=MOST_MINUS, count=len(search.minus))
    texts: dict[str, Sequence[str]] = {
        "s_query": (search.s_query,),
        "t": (search.t,),
        "minus": search.minus,
    }
    for field, most in MOST_CHARACTERS.items():
        count = longest(texts[field])
        if count > most:
            wrong[field] = say("too_long", count=count, most=most)
    return wrong


def too_large(count: int, say: Say) -> dict[str, str]:
    """Return what is wrong with a picture of *count* bytes."""
    return {"s_query": say("too_large_picture", megabytes=f"{count / 1e6:.1f}")}


# -- an answer


def progress_of(search: Search, answer: SoFar | None, language: str) -> str:
    """Return what *search* is at, whose *answer* so far is not whole."""
    say = words.speaker(language)
    pool = answer.pool if answer else None
    if answer is None or pool is None:
        return say("searching")
    place = place_of(search, answer.keywords, language)
    if pool.state == "requested" or not pool.images:
        return say("fetching", place=place)
    return say("looking", place=place)


def readiness_of(answer: SoFar | None, say: Say) -> str:
    """Return how many pictures of a pool are ready; "" where none are known."""
    pool = answer.pool if answer else None
    return say("ready", ready=pool.embedded, all=pool.images) if pool and pool.images else ""


def share_of(pool: Pool | None) -> float | None:
    """Return how much of a pool is ready, 0 to 1; None where that is not known."""
    return pool.embedded / pool.images if pool and pool.images else None


def summary_of(search: Search, answer: SoFar, language: str) -> str:
    """Return how many pictures are shown, of how many; "" for none."""
    say = words.speaker(language)
    shown = len(answer.results)
    if isinstance(answer, Fetching) or not shown:
        return ""
    place = place_of(search, answer.keywords, language)
    compared = answer.matching
    if compared is None and answer.pool:
        compared = answer.pool.embedded
    if not place:
        return words.pictures(shown, say)
    if compared is None or compared < 2:
        return say("summary_alone", pictures=words.pictures(shown, say), place=place)
    return say("summary", shown=shown, compared=max(shown, compared), place=place)


def remarks_of(answer: SoFar, say: Say) -> list[str]:
    """Return what a person should know of an answer that is none the worse for it."""
    if isinstance(answer, Fetching):
        return []
    remarks = [say("cut")] if answer.query_truncated else []
    if answer.covered is not None and answer.covered < 1:
        remarks.append(say("partly_covered", percent=int(100 * answer.covered)))
    return remarks


def outcome_of(search: Search, answer: SoFar, language: str) -> Notice | None:
    """Return what is to be said of the last answer; None where its pictures say all."""
    say = words.speaker(language)
    pool = answer.pool
    if pool and pool.state == "failed" and not (answer.complete and answer.results):
        text = " ".join(filter(None, (sentence(pool.reason or ""), say("pool_failed_text"))))
        return Notice(say("pool_failed"), text, "try_again")
    if not answer.results:
        return _nothing(search, answer, language)
    if answer.matched is False:
        return Notice(say("no_match"), say("nearest"), is_calm=True)
    return None


def _nothing(search: Search, answer: SoFar, language: str) -> Notice:
    say = words.speaker(language)
    if search.filters:
        return Notice(say("filtered_out"), say("filtered_out_text"), is_calm=True)
    if search.everywhere:
        return Notice(say("nothing_stored"), say("nothing_stored_text"), is_calm=True)
    place = place_of(search, answer.keywords, language)
    return Notice(say("no_pictures", place=place), say("no_pictures_text"), is_calm=True)


# -- failures


def countdown_notice(countdown: Countdown, language: str) -> Notice:
    """Return what is said while a failure is waited out."""
    say, failure = words.speaker(language), countdown.failure
    seconds = say("retry_in", seconds=countdown.seconds)
    return Notice(say(key_of(failure)), _text_of(failure, say), "stop", countdown=seconds)


def failure_notice(failure: SearchFailed, language: str, *, has_key: bool = False) -> Notice:
    """Return what is said of a search that failed, *has_key* with a key, and what can be done."""
    say, key = words.speaker(language), key_of(failure)
    if key == "needs_key" and has_key:
        return Notice(say("refused_key"), say("refused_key_text"), "give_key")
    texts = [_text_of(failure, say)]
    if failure.retry_seconds and failure.retry_seconds > LONGEST_PAUSE_SECONDS:
        texts.append(say("come_back", minutes=max(1, round(failure.retry_seconds / 60))))
    call = "give_key" if key == "needs_key" else "" if key in FOR_EVER else "try_again"
    return Notice(say(key), " ".join(texts), call)


def _text_of(failure: SearchFailed, say: Say) -> str:
    key, minutes = key_of(failure), round(GIVE_UP_SECONDS / 60)
    reason = "" if key in ("needs_key", "senseless") else failure.reason
    return sentence(reason) or say(f"{key}_text", status=failure.status, minutes=minutes)


def simple_notice(key: str, language: str, *, call: str = "", is_calm: bool = True) -> Notice:
    """Return what `words.TEXTS` says under *key*, and under that with `_text` behind it."""
    say = words.speaker(language)
    return Notice(say(key), say(f"{key}_text"), call, is_calm)


def sentence(text: str) -> str:
    """Return *text* with a capital and a full stop; "" stays so."""
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if re.search(r"[.!?]$", text) else ".")


# -- filters


def value_name(name: str, value: str, language: str) -> str:
    """Return what the *value* of the filter *name* is called."""
    if name == "month":
        return words.month_name(value, language)
    if name in ("orientation", "colour") and value in words.TEXTS:
        return words.TEXTS[value][language]
    return value


def facets_of(search: Search, hits: Sequence[Hit], before: Mapping[str, Facet]) -> dict[str, Facet]:
    """
    Return what *hits* can be narrowed down by, in the order in which filters are offered.

    Args:
        before: what was on offer for the same search; a filter that is set has one value left, and
            the others stay on offer.
    """
    facets = {}
    for name in FILTERS:
        chosen = search.filters.get(name, "")
        values = _values_of(name, hits)
        if chosen:
            earlier = before[name].values if name in before else ()
            values = tuple(dict.fromkeys((*earlier, chosen)))
        least = 1 if name in OF_OWN else 2  # one is a choice where other pictures have none
        if chosen or len(values) >= least:
            facets[name] = Facet(name, values, chosen)
    return facets


def _values_of(name: str, hits: Sequence[Hit]) -> tuple[str, ...]:
    """Return the values by how many have them, without those that all have."""
    counts = Counter(value for hit in hits for value in dict.fromkeys(_VALUES[name](hit)) if value)
    telling = [value for value, count in counts.most_common() if count < len(hits)]
    return tuple(telling[:MOST_VALUES])


def _shape(hit: Hit) -> str:
    if not (hit.width and hit.height):
        return ""
    if hit.width == hit.height:
        return "square"
    return "horizontal" if hit.width > hit.height else "vertical"


def _folders(hit: Hit) -> list[str]:
    parts = hit.own.file.split("/")[:-1] if hit.own else []
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


_VALUES: dict[str, Callable[[Hit], Iterable[str]]] = {
    "collection": lambda hit: hit.own.collections if hit.own else (),
    "folder": _folders,
    "album": lambda hit: hit.own.albums if hit.own else (),
    "camera": lambda hit: [hit.own.camera] if hit.own else (),
    "year": lambda hit: [str(hit.year)] if hit.year else (),
    # Of pictures that are not own ones it is when they came to their source.
    "month": lambda hit: [str(hit.month)] if hit.own and hit.month else (),
    "orientation": lambda hit: [_shape(hit)],
    "colour": lambda hit: hit.colours,
    "tag": lambda hit: hit.tags,
    "user": lambda hit: [hit.credit.user],
    "source": lambda hit: [hit.credit.source],
}
