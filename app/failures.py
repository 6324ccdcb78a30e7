"""What can go wrong with a search, as a person is told it and as the app goes on from it."""

from __future__ import annotations

from typing import Any

WORTH_WAITING = frozenset({429, 502, 503, 504})
"""Statuses of answers after which the same may succeed by itself."""
RETRY_SECONDS = 5.0  # when an answer worth waiting for does not say

_BY_STATUS = {
    400: "refused",
    404: "not_found",
    405: "not_found",
    413: "too_much",
    422: "refused",
    429: "too_often",
    502: "unavailable",
    503: "unavailable",
    504: "too_slow",
}
_LOGINS = frozenset({401, 403, 407})
_FOR_EVER = frozenset({"refused", "too_much"})  # what is asked is wrong, and stays so


class Failure(Exception):
    """
    A search has failed.

    Attributes:
        key: of its title in `words.TEXTS`; that of its text is this with `_text` behind it.
        values: what is put into the text.
        said: the server's own words, which say more than the text; "" for none.
        field: the parameter that is at fault, "" where none is.
        retry_seconds: after how long the same may succeed by itself; None where waiting is no help.
        can_retry: whether the same can succeed when a person asks again.
    """

    def __init__(
        self,
        key: str,
        *,
        said: str = "",
        field: str = "",
        retry_seconds: float | None = None,
        **values: Any,
    ) -> None:
        super().__init__(key)
        self.key = key
        self.values = values
        self.said = said
        self.field = field
        self.retry_seconds = retry_seconds
        self.can_retry = key not in _FOR_EVER


def failure_of(status: int, body: object, retry_after: float | None, asks_for_key: bool) -> Failure:
    """
    Return what an answer that is no search answer tells.

    Args:
        status: of HTTP.
        body: what its JSON is, None where it is none.
        retry_after: seconds that it names.
        asks_for_key: whether it asks for the key of an imagesearch.
    """
    if asks_for_key:
        return Failure("needs_key")
    if status in _LOGINS or 300 <= status < 400:
        return Failure("needs_login", status=status)
    key = _BY_STATUS.get(status, "broken" if status >= 500 else "senseless")
    error = body.get("error") if isinstance(body, dict) else None
    told = error if isinstance(error, dict) else {}
    return Failure(
        key,
        said=_text(told, "message") if key != "senseless" else "",
        field=_text(told, "field"),
        retry_seconds=(retry_after or RETRY_SECONDS) if status in WORTH_WAITING else None,
        status=status,
    )


def _text(told: dict[str, object], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""
