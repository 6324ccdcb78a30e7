"""What an error looks like to a caller: the one place that renders it, for every door.

{"error": {"code": "invalid_request", "message": "k must be ...", "field": "k"}}
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from imagesearch.domain.errors import ImageSearchError

BUG_MESSAGE = "something went wrong in here; it is logged"  # of what nobody expected

NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
"""Of every answer: a browser takes it for what its Content-Type says, and for nothing else."""

# The words of refusals that come from a framework, or from a door before it, by HTTP status.
_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    414: "too_large",
    421: "unknown_host",
    431: "too_large",
    500: "internal",
    503: "unavailable",
}


@dataclass(frozen=True)
class ErrorAnswer:
    """
    The answer that tells of an error.

    Attributes:
        status: the HTTP status.
        code: the machine-readable word.
        field: the parameter that is at fault, if one is.
        retry_after_seconds: when to come back; None when coming back does not help.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    retry_after_seconds: float | None = None

    @property
    def body(self) -> bytes:
        """The JSON."""
        error = {"code": self.code, "message": self.message}
        if self.field:
            error["field"] = self.field
        return json.dumps({"error": error}).encode()

    @property
    def headers(self) -> dict[str, str]:
        """Its headers; `Retry-After` is in whole seconds, one at least."""
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            **NO_SNIFFING,
        }
        if self.status == 401:  # which is to name a scheme, RFC 9110 11.6.1
            headers["WWW-Authenticate"] = "ApiKey"
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_seconds)))
        return headers


def answer_of(error: ImageSearchError) -> ErrorAnswer:
    """Return what a caller is told of *error*."""
    retry_after_seconds = error.retry_after_seconds
    return ErrorAnswer(error.status, error.code, str(error), error.field, retry_after_seconds)


def refusal(status: int, message: str, field: str | None = None) -> ErrorAnswer:
    """Return what a caller is told whom no use case has heard: a *status*, and why."""
    retry_after_seconds = 1.0 if status == 503 else None
    code = _CODES.get(status, "http_error")
    return ErrorAnswer(status, code, message, field, retry_after_seconds)
