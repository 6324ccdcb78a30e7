"""What a client raises: each message is a sentence for a person.

SearchFailed        asking again the same way would end the same way
└── Unreached       nobody answered; later someone may
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["unreached", "late", "refused", "login", "odd", "older", "unfinished"]


class SearchFailed(Exception):
    """
    The API refused or could not answer, or what answered is none of it or of another version.

    Attributes:
        kind: `unreached`, `late` (silent for too long), `refused` (by the API), `login` (by what
            stands before it), `odd` (no answer of this API), `older` (of a version that took no
            notice of a part of the search), or `unfinished`.
        status, field, reason: of the API's refusal, as far as it has them; 0 and "" without.
        retry_seconds: after how long the same may succeed by itself, 0 where nobody says when;
            None where waiting is no help.
    """

    def __init__(
        self,
        message: str,
        kind: Kind = "odd",
        *,
        status: int = 0,
        field: str = "",
        reason: str = "",
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.field = field
        self.reason = reason
        self.retry_seconds = retry_seconds


class Unreached(SearchFailed):
    """No connection came about, or it broke before the answer had ended."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "unreached", retry_seconds=0)
