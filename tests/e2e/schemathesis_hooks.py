"""What schemathesis is told beside the document: what a schema cannot say, and what there is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import hypothesis
import schemathesis
from PIL import Image
from schemathesis import Case, HookContext

from imagesearch.domain.filters import OF_OWN
from imagesearch.domain.keywords import MAX_KEYWORD_CHARACTERS, is_visible
from imagesearch.domain.sentences import keywords_of
from imagesearch.doors.http_api import NUMBERS, PICTURES, REPEATABLE


def _heedless(observation: float, *, label: str = "") -> float:
    """Take note of nothing that hypothesis is told to climb to."""
    return observation


# Schemathesis has hypothesis climb to what is accepted, whatever its options. That was half of all
# CPU, and what was asked hung on how fast the server answered: no two runs asked the same.
hypothesis.target = _heedless

READY_KEYWORD = "horse"  # its pool is ready before the run, see `test_schemathesis.py`


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "PNG")
    return file.getvalue()


PICTURE = _picture()


def _asked(case: Case[Any]) -> Mapping[str, Any] | None:
    """Return what a search asks; None of any other case."""
    if case.path != "/search" or case.meta is None:
        return None
    values = case.body if case.method == "POST" else case.query
    return values if isinstance(values, dict) else None


def _values(case: Case[Any]) -> Mapping[str, Any] | None:
    """Return what a search that claims to be valid asks; None of any other case."""
    claims = case.meta is not None and case.meta.generation.mode.is_positive
    return _asked(case) if claims else None


def _has_long_text_in_blanks(case: Case[Any]) -> bool:
    """Return whether a text may be too long only with the blanks around it, which do not count."""
    texts: list[Any] = []
    for value in (_asked(case) or {}).values():
        texts += value if isinstance(value, list) else [value]
    return any(
        isinstance(text, str) and text != text.strip() and len(text) > MAX_KEYWORD_CHARACTERS
        for text in texts
    )


def _has_list_in_form(case: Case[Any]) -> bool:
    """Return whether a form is to have a list where one value is due: of one it is that value."""
    if case.media_type != "multipart/form-data" or not isinstance(case.body, dict):
        return False
    singles = (value for name, value in case.body.items() if name not in REPEATABLE)
    return any(isinstance(value, list) for value in singles)


def _has_blank_number(case: Case[Any]) -> bool:
    """Return whether a number is a text without text: outside JSON it is as if not given."""
    values = {} if case.media_type == "application/json" else _asked(case) or {}
    return any(isinstance(each, str) and not each.strip() for each in map(values.get, NUMBERS))


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Leave out what the document forbids in words alone, and what a form cannot say."""
    if _has_list_in_form(case) or _has_long_text_in_blanks(case) or _has_blank_number(case):
        return False
    values = _values(case)
    if values is None:
        return True
    named = [values.get("t", ""), values.get("s_query", ""), values.get("user", "")]
    named.append(values.get("source", ""))
    tags = values.get("tag", "").split(",") if values.get("tag", "").strip() else []
    own = [values.get(name, "") for name in OF_OWN]
    repeated = [text for name in ("minus", "like", "unlike") for text in values.get(name, ())]
    texts = [str(text) for text in (*named, *own, *repeated) if str(text).strip()]
    if not all(map(is_visible, [*texts, *tags])):
        return False
    is_asked = named[1].strip() or any(text.strip() for text in values.get("like", ()))
    has_keyword = named[0].strip() or (named[1].strip() and keywords_of(named[1]))
    is_own = any(text.strip() for text in own)
    usual = "pool" if not is_own and (named[0].strip() or named[1].strip()) else "catalog"
    scope = values.get("scope", usual)
    if is_own and (named[0].strip() or scope == "pool"):
        return False
    return bool(is_asked or "picture" in values) and bool(has_keyword or scope == "catalog")


def _mend_images(values: dict[str, Any]) -> None:
    """Have no image twice, which a schema cannot say: blanks around an id are none of it."""
    like = {text.strip(): text for text in values.get("like", ())}
    if "like" in values:
        values["like"] = [*like.values()]
    if "unlike" in values:
        values["unlike"] = [text for text in values["unlike"] if text.strip() not in like]


def _mend_weights(values: dict[str, Any]) -> None:
    """Have as many weights as there is to weigh, which a schema cannot say."""
    like = [text for text in values.get("like", ()) if text.strip()]
    if "like_weight" in values:
        values["like_weight"] = [*values["like_weight"], *[1] * len(like)][: len(like)]
    if not values.get("s_query", "").strip():
        values.pop("s_query_weight", None)
    if "picture" not in values:
        values.pop("picture_weight", None)


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
    """Ask for what is there more often than for what is not, which is fetched first."""
    values = _values(case)
    if values is None:
        return case
    known = {key: value for key, value in values.items() if key != "cursor"}  # none is invented
    if len(str(known.get("t", ""))) > 1:
        known["t"] = READY_KEYWORD
    for name in PICTURES:
        if name in known:
            known[name] = PICTURE
    _mend_images(known)
    _mend_weights(known)
    if case.method == "POST":
        case.body = known
    else:
        case.query = known
    return case
