"""What a client raises: each message is a sentence for a person.

SearchFailed        asking again the same way would end the same way
└── Unreached       nobody answered; later someone may
"""

from __future__ import annotations


class SearchFailed(Exception):
    """
    The API refused or could not answer, or what answered is none of it or of another version.

    Attributes:
        status, field: of the API's refusal, as far as it has them; 0 and "" without.
    """

    def __init__(self, message: str, *, status: int = 0, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class Unreached(SearchFailed):
    """No connection came about, or it broke before the answer had ended."""
