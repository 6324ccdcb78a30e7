"""What can go wrong with a search, as the app has words for it."""

from __future__ import annotations

from imagesearch.client import SearchFailed

_BY_KIND = {
    "unreached": "unreached",
    "late": "silent",
    "login": "needs_login",
    "older": "older",
    "unfinished": "unfinished",
}
_BY_STATUS = {
    400: "refused",
    401: "needs_key",
    404: "not_found",
    405: "not_found",
    413: "too_much",
    422: "refused",
    429: "too_often",
    502: "unavailable",
    503: "unavailable",
    504: "too_slow",
}
FOR_EVER = frozenset({"refused", "too_much"})
"""What is asked is wrong, and stays so."""


def key_of(failure: SearchFailed) -> str:
    """Return the key of its title in `words.TEXTS`; that of its text has `_text` behind it."""
    if failure.kind in _BY_KIND:
        return _BY_KIND[failure.kind]
    if failure.kind == "odd":
        return "senseless"
    return _BY_STATUS.get(failure.status, "broken" if failure.status >= 500 else "senseless")
