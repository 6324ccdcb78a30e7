"""The public HTTP API's words (design §6): parameters into requests, answers into JSON.

No web framework here: `functions/query/main.py` is the door, `search.py` does the work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args
from urllib.parse import urljoin

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters import chosen
from imagesearch.domain.keywords import is_visible, normalise_keyword
from imagesearch.domain.pools import Pool, PoolPolicy, PoolState
from imagesearch.domain.queries import MAX_QUERY_CHARACTERS, MAX_TOP_K, Query, Scope, SearchRequest
from imagesearch.domain.ranking import SearchHit
from imagesearch.usecases.search import SearchAnswer

PATHS = ("/search", "/pools/{pool_id}", "/alive", "/ready")
MAX_KEYWORD_CHARACTERS = 100  # Pixabay's bound on `q`
MAX_WAIT_SECONDS = 25.0
_POOL_ID = re.compile(r"[0-9a-f]{32}")


def parse_search(args: Mapping[str, str]) -> SearchRequest:
    """Return the search that the query string *args* asks for, or raise InvalidRequest."""
    scope = _scope(args)
    return SearchRequest(
        keyword=_keyword(args, required=scope == "pool"),
        query=Query.of_text(_text(args, "s_query", MAX_QUERY_CHARACTERS)),
        top_k=int(_number(args, "k", 1, MAX_TOP_K, default=10, whole=True)),
        wait_seconds=_number(args, "wait", 0, MAX_WAIT_SECONDS, default=10),
        scope=scope,
        filters=chosen(args),
    )


def parse_pool_id(text: str) -> str:
    """Return *text* when it is a pool_id, or raise InvalidRequest."""
    if not _POOL_ID.fullmatch(text):
        raise InvalidRequest(
            f"pool_id must be 32 hexadecimal digits, got {text[:64]!r}", field="pool_id"
        )
    return text


def _scope(args: Mapping[str, str]) -> Scope:
    scope = args.get("scope", "pool")
    for known in get_args(Scope):
        if scope == known:
            return known  # type: ignore[no-any-return]  # get_args is untyped
    raise InvalidRequest(f"scope must be pool or catalog, got {scope[:64]!r}", field="scope")


def _keyword(args: Mapping[str, str], *, required: bool) -> str:
    if not required and not is_visible(args.get("t", "")):
        return ""
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
    results = [_hit_json(hit, host_url, images_url) for hit in hits]
    return {
        "top_urls": [result["url"] for result in results],
        "top_scores": [round(hit.logit, 3) for hit in hits],
        "results": results,
        "keyword": answer.request.keyword or None,
        "query": answer.request.query.text,
        "scope": answer.request.scope,
        "filters": dict(answer.request.filters),
        "matching": answer.matching,
        "exhaustive": answer.exhaustive,
        "query_truncated": answer.query_truncated,
        "matched": answer.matched,
        "complete": answer.complete,
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
        "credit": {"user": image.credit.user, "source": image.credit.source},
        "tags": list(image.tags),
        "score": round(hit.score, 6),
        "relevance": round(hit.relevance, 6),
        "match": hit.match,
    }


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
