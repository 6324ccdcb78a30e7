"""The public HTTP API's words (design §6): parameters into requests, answers into JSON.

No web framework here: `functions/query/main.py` is the door, `search.py` does the work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, get_args
from urllib.parse import urljoin

from imagesearch.domain.collections import CollectionCount
from imagesearch.domain.errors import InvalidRequest, TooLarge
from imagesearch.domain.filters import FILTERS, OF_OWN, chosen
from imagesearch.domain.images import Collected
from imagesearch.domain.keywords import MAX_KEYWORD_CHARACTERS, is_visible, normalise_keyword
from imagesearch.domain.pixels import colour_names
from imagesearch.domain.pools import Pool, PoolPolicy, PoolState
from imagesearch.domain.queries import (
    LEAST_WEIGHT,
    MAX_IMAGE_ID_CHARACTERS,
    MAX_LIKE,
    MAX_MINUS,
    MAX_PICTURE_BYTES,
    MAX_QUERY_CHARACTERS,
    MAX_TOP_K,
    MAX_UNLIKE,
    MOST_WEIGHT,
    ImagePart,
    Part,
    PicturePart,
    Query,
    Scope,
    SearchRequest,
    TextPart,
)
from imagesearch.domain.ranking import SearchHit
from imagesearch.doors import cursors
from imagesearch.usecases.search import SearchAnswer

PATHS = ("/search", "/pools/{pool_id}", "/collections", "/alive", "/ready")
MAX_WAIT_SECONDS = 25.0
_POOL_ID = re.compile(r"[0-9a-f]{32}")


WEIGHTS = frozenset(("s_query_weight", "like_weight", "picture_weight"))
"""The parameters that say how far another one counts."""
NUMBERS = WEIGHTS | {"k", "wait", *(each.name for each in FILTERS.values() if each.is_number)}
"""The parameters that are numbers in JSON."""
FLAGS = frozenset(("fold",))
"""Those that are true or false; all others are texts."""
REPEATABLE: Mapping[str, int] = {
    "like": MAX_LIKE,
    "like_weight": MAX_LIKE,
    "minus": MAX_MINUS,
    "unlike": MAX_UNLIKE,
}
"""The parameters that may be given more than once, and how often."""
NAMES = frozenset(("t", "s_query", "scope", "cursor", *NUMBERS, *FLAGS, *REPEATABLE, *FILTERS))
"""All parameters of a search but its files."""
PICTURES = ("picture", "unlike_picture")
"""The files of a search: what it is to be like, and what it is not to be like."""


def parse_search(
    args: Mapping[str, str],
    repeated: Mapping[str, Sequence[str]] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> SearchRequest:
    """
    Return the search that is asked for, or raise InvalidRequest.

    Args:
        args: the parameters by name, of those given more than once the first.
        repeated: all values of those that are `REPEATABLE`.
        pictures: the files that came with them, by their names, see `PICTURES`.
    """
    filters = chosen(args)
    query = _query(args, repeated or {}, pictures or {})
    scope = _scope(args, filters, query)
    keyword, *broader = _keywords(args, scope)
    request = SearchRequest(
        keyword=keyword,
        query=query,
        top_k=int(_number(args, "k", 1, MAX_TOP_K, default=10, whole=True)),
        wait_seconds=_number(args, "wait", 0, MAX_WAIT_SECONDS, default=10),
        scope=scope,
        filters=filters,
        broader="".join(broader),
        fold=_flag(args, "fold", default=True),
    )
    text = args.get("cursor", "").strip()
    if not text:
        return request
    cursor = cursors.decode(text)
    if cursor.digest != request.digest:
        bound = "cursor must be of the same search, with the same k"
        raise InvalidRequest(f"{bound}, got one of another", field="cursor")
    return replace(request, cursor=cursor)


def _query(
    args: Mapping[str, str], repeated: Mapping[str, Sequence[str]], pictures: Mapping[str, bytes]
) -> Query:
    _check_sizes(pictures)
    parts: list[Part] = [*_likenesses(repeated), *_picture(args, pictures)]
    minus = _minus(repeated, pictures)
    parts = [*_sentence(args), *parts]
    if not parts:
        bound = f"s_query, like or {PICTURES[0]} must be given"
        got = "only what is not wanted" if minus else "none of them"
        raise InvalidRequest(f"{bound}, got {got}", field="s_query")
    return Query(tuple(parts), tuple(minus))


def _sentence(args: Mapping[str, str]) -> list[TextPart]:
    is_given = bool(args.get("s_query", "").strip())
    weight = _weight(args, "s_query", is_given=is_given)
    if not is_given:
        return []
    return [TextPart(_text(args, "s_query", MAX_QUERY_CHARACTERS), weight)]


def _picture(args: Mapping[str, str], pictures: Mapping[str, bytes]) -> list[PicturePart]:
    weight = _weight(args, "picture", is_given="picture" in pictures)
    return [PicturePart(pictures["picture"], weight)] if "picture" in pictures else []


def _likenesses(repeated: Mapping[str, Sequence[str]]) -> list[ImagePart]:
    """Return the stored images to be like, each once, with its weight."""
    like = _texts(repeated, "like", MAX_IMAGE_ID_CHARACTERS)
    weights = [_bounded_weight(text, "like_weight") for text in _given(repeated, "like_weight")]
    if weights and not like:
        bound = "like_weight must come with like"
        raise InvalidRequest(f"{bound}, got {weights[0]:g} without", field="like_weight")
    if len(weights) not in (0, len(like)):
        bound = f"like_weight must be given once for each like, {len(like)} times, or not at all"
        raise InvalidRequest(f"{bound}, got {len(weights)} times", field="like_weight")
    parts = dict[str, ImagePart]()
    for image_id, weight in zip(like, weights or [1.0] * len(like), strict=True):
        first = parts.setdefault(image_id, ImagePart(image_id, weight))
        if first.weight != weight:
            bound = f"like_weight must be one number for like {image_id[:64]!r}"
            both = f"{first.weight:g} and {weight:g}"
            raise InvalidRequest(f"{bound}, got {both}", field="like_weight")
    return list(parts.values())


def _minus(repeated: Mapping[str, Sequence[str]], pictures: Mapping[str, bytes]) -> list[Part]:
    """Return what is not wanted, each once: words, stored images, a picture."""
    texts = dict.fromkeys(_texts(repeated, "minus", MAX_QUERY_CHARACTERS))
    image_ids = dict.fromkeys(_texts(repeated, "unlike", MAX_IMAGE_ID_CHARACTERS))
    minus: list[Part] = [*map(TextPart, texts), *map(ImagePart, image_ids)]
    if "unlike_picture" in pictures:
        minus.append(PicturePart(pictures["unlike_picture"]))
    return minus


def _weight(args: Mapping[str, str], part: str, *, is_given: bool) -> float:
    """Return the weight of what is given as *part*; one of nothing is refused."""
    name = f"{part}_weight"
    text = args.get(name, "").strip()
    if not text:
        return 1.0
    if not is_given:
        bound = f"{name} must come with {part}"
        raise InvalidRequest(f"{bound}, got {text[:64]} without", field=name)
    return _bounded_weight(text, name)


def _bounded_weight(text: str, name: str) -> float:
    return _number({name: text}, name, LEAST_WEIGHT, MOST_WEIGHT, default=1)


def _texts(repeated: Mapping[str, Sequence[str]], name: str, longest: int) -> list[str]:
    return [_text({name: text}, name, longest) for text in _given(repeated, name)]


def _given(repeated: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """Return the values of a parameter that may be repeated; those without text are none."""
    texts = repeated.get(name, ())
    if len(texts) > REPEATABLE[name]:
        bound = f"{name} must be given at most {REPEATABLE[name]} times"
        raise InvalidRequest(f"{bound}, got {len(texts)}", field=name)
    return [text for text in texts if text.strip()]


def _check_sizes(pictures: Mapping[str, bytes]) -> None:
    for name, data in pictures.items():
        if not data:
            raise InvalidRequest(f"{name} must have at least 1 byte, got 0", field=name)
        if len(data) > MAX_PICTURE_BYTES:
            bound = f"{name} must have at most {MAX_PICTURE_BYTES} bytes"
            raise TooLarge(f"{bound}, got {len(data)}", field=name)
    total = sum(map(len, pictures.values()))
    if total > MAX_PICTURE_BYTES:
        bound = f"{' and '.join(PICTURES)} must have at most {MAX_PICTURE_BYTES} bytes together"
        raise TooLarge(f"{bound}, got {total}", field="picture")


def parse_pool_id(text: str) -> str:
    """Return *text* when it is a pool_id, or raise InvalidRequest."""
    if not _POOL_ID.fullmatch(text):
        raise InvalidRequest(
            f"pool_id must be 32 hexadecimal digits, got {text[:64]!r}", field="pool_id"
        )
    return text


def _scope(args: Mapping[str, str], filters: Mapping[str, str], query: Query) -> Scope:
    own = next((name for name in filters if name in OF_OWN), "")
    keyword = args.get("t", "").strip()
    # Own pictures are of no keyword, and a picture alone tells none.
    usual: Scope = "pool" if not own and (keyword or query.text) else "catalog"
    given = args.get("scope", usual)
    if given not in get_args(Scope):
        raise InvalidRequest(f"scope must be pool or catalog, got {given[:64]!r}", field="scope")
    scope: Scope = "catalog" if given == "catalog" else "pool"
    if own and (keyword or scope == "pool"):
        _refuse_own(own, filters[own], keyword)
    return scope


def _refuse_own(own: str, value: str, keyword: str) -> None:
    """Refuse the filter *own* in the pool of a keyword, which has no own picture to pass it."""
    bound = f"{own} must come without t and in scope catalog, as own pictures are of no keyword"
    beside = f"t {keyword[:64]!r}" if keyword else "scope 'pool'"
    raise InvalidRequest(f"{bound}, got {own} {value[:64]!r} with {beside}", field=own)


def _keywords(args: Mapping[str, str], scope: Scope) -> tuple[str, ...]:
    """Return the keyword that was given, or in scope `pool` those of the sentence."""
    if args.get("t", "").strip() and (scope == "pool" or is_visible(args["t"])):
        return (_keyword(args),)
    if scope == "catalog":
        return ("",)
    if not args.get("s_query", "").strip():
        bound = "t or s_query must be given in scope pool, which is the images of a keyword"
        raise InvalidRequest(f"{bound}, got neither", field="t")
    # Here, as its lists of words are of no use to who gives a keyword.
    from imagesearch.domain.sentences import keywords_of

    sentence = _text(args, "s_query", MAX_QUERY_CHARACTERS)
    keywords = keywords_of(sentence)
    if not keywords:
        bound = "s_query must have a word for what is to be seen, as no keyword is given"
        raise InvalidRequest(f"{bound}, got {sentence[:64]!r}", field="s_query")
    return keywords


def _keyword(args: Mapping[str, str]) -> str:
    keyword = _text(args, "t", MAX_KEYWORD_CHARACTERS)
    # "ﷺ" is one character as typed and 18 as normalised, which is what the source is asked.
    length = len(normalise_keyword(keyword))
    if not 1 <= length <= MAX_KEYWORD_CHARACTERS:
        bound = f"t must have 1 to {MAX_KEYWORD_CHARACTERS} characters once normalised"
        raise InvalidRequest(f"{bound}, got {length}", field="t")
    return keyword


def _text(args: Mapping[str, str], name: str, longest: int) -> str:
    value = args.get(name, "").strip()
    if not 1 <= len(value) <= longest:
        bound = f"{name} must have 1 to {longest} characters"
        raise InvalidRequest(f"{bound}, got {len(value)}", field=name)
    if not is_visible(value):
        bound = f"{name} must have a character that can be seen"
        raise InvalidRequest(f"{bound}, got {value[:16]!a}", field=name)
    return value


def _number(
    args: Mapping[str, str],
    name: str,
    least: float,
    most: float,
    *,
    default: float,
    whole: bool = False,
) -> float:
    text = args.get(name, "").strip()
    if not text:
        return default
    try:
        # Python alone would take "1_0" and digits of every script.
        if "_" in text or not text.isascii():
            raise ValueError(text)
        value = int(text) if whole else float(text)
    except ValueError:
        value, kind = math.nan, "a whole number " if whole else "a number "
    else:
        kind = ""
    if not least <= value <= most:
        bound = f"{name} must be {kind}between {least:g} and {most:g}"
        raise InvalidRequest(f"{bound}, got {text[:64]}", field=name)
    return value


def _flag(args: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = args.get(name, "").strip()
    if text not in ("", "true", "false"):
        raise InvalidRequest(f"{name} must be true or false, got {text[:64]!r}", field=name)
    return text == "true" if text else default


def answer_json(
    answer: SearchAnswer, *, host_url: str, images_url: str, now: datetime, policy: PoolPolicy
) -> dict[str, Any]:
    """
    Return the 200 body for *answer*, whose hits are known.

    Args:
        host_url: what page links without a host are relative to: the demo gallery's.
        images_url: where the stored images are.
    """
    hits = answer.hits or ()
    query = answer.request.query
    results = [_hit_json(hit, host_url, images_url) for hit in hits]
    return {
        "top_urls": [result["url"] for result in results],
        "top_scores": [round(hit.logit, 3) for hit in hits],
        "results": results,
        "keyword": answer.request.keyword or None,
        "keywords": list(answer.keywords),
        "query": query.text or None,
        "minus": [part.text for part in query.minus if isinstance(part, TextPart)],
        "like": list(query.like),
        "picture": query.picture is not None,
        "unlike": list(query.unlike),
        "unlike_picture": query.unlike_picture is not None,
        "scope": answer.request.scope,
        "filters": dict(answer.request.filters),
        "fold": answer.request.fold,
        "matching": answer.matching,
        "exhaustive": answer.exhaustive,
        "query_truncated": answer.query_truncated,
        "matched": answer.matched,
        "complete": answer.complete,
        "covered": answer.covered and math.floor(1e4 * answer.covered) / 1e4,  # 1 is all of it
        "next": cursors.encode(answer.next) if answer.next else None,
        "restarted": answer.restarted,
        "pool": pool_json(answer.pool, now, policy) if answer.pool else None,
        "timings": timings(answer),
    }


def timings(answer: SearchAnswer) -> dict[str, float]:
    """Return the seconds that *answer* took, to the microsecond."""
    return {
        "total_seconds": round(answer.total_seconds, 6),
        "encode_seconds": round(answer.encode_seconds, 6),
        "score_seconds": round(answer.score_seconds, 6),
    }


def _hit_json(hit: SearchHit, host_url: str, images_url: str) -> dict[str, Any]:
    image = hit.image
    return {
        "image_id": image.image_id,
        "url": f"{images_url}/{image.object_name}",
        "page_url": _page_url(host_url, image.page_url),
        "width": image.width,
        "height": image.height,
        "credit": {
            "user": image.credit.user,
            "source": image.credit.source,
            "licence": image.credit.licence,
            "licence_url": image.credit.licence_url,
        },
        "tags": list(image.tags),
        "colours": list(colour_names(image.colours)),
        "year": image.year or None,
        "month": image.month or None,
        "own": own_json(image.collected) if image.collected else None,
        "score": round(hit.score, 6),
        "relevance": round(hit.relevance, 6),
        "match": hit.match,
        "reasons": list(hit.reasons),
        "similar": list(hit.similar),
    }


def own_json(collected: Collected) -> dict[str, Any]:
    """Return what is known of a picture of a collection alone."""
    place = collected.place
    return {
        "file": collected.file,
        "title": collected.title,
        "collections": list(collected.collections),
        "albums": list(collected.albums),
        "camera": collected.camera,
        "rating": collected.rating or None,
        "place": {"latitude": place[0], "longitude": place[1]} if place else None,
    }


def collections_json(collections: Iterable[CollectionCount]) -> dict[str, Any]:
    """Return the collections that can be searched."""
    return {
        "collections": [
            {
                "name": each.name,
                "pictures": each.pictures,
                "images": each.images,
                "problems": each.problems,
                "updating": each.is_updating,
            }
            for each in collections
        ]
    }


@lru_cache(maxsize=4096)  # links: reading one anew takes longer than all else of its hit
def _page_url(host_url: str, stored: str) -> str:
    """Return the link to an image's page; "" for what is stored and cannot be read as one."""
    try:
        return urljoin(host_url, stored) if stored else ""
    except ValueError:  # an earlier version stored links as they came
        return ""


def pool_json(pool: Pool, now: datetime, policy: PoolPolicy) -> dict[str, Any]:
    """Return how *pool* stands: the generation that searches are answered from."""
    generation = pool.answering
    since = generation.ready_at or generation.requested_at
    fresh = pool.is_fresh(now, policy.max_age_seconds)
    stale = generation.state is PoolState.READY and not fresh
    return {
        "pool_id": pool.pool_id,
        "keyword": pool.keyword,
        "state": "stale" if stale else generation.state.value,
        "generation": generation.number,
        "images": generation.images,
        "embedded": generation.embedded,
        "rejected": generation.rejected,
        "age_seconds": round(max(0.0, (now - since).total_seconds())),
        "reason": generation.reason,
    }
