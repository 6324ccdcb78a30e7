"""What can go wrong, each branch saying what the caller should do next.

Adapters translate the exceptions of their SDK into this tree and nobody else does; what a status
means at an HTTP door and at a push door is the table of `docs/design.md` §8.

A message may be shown to anyone, in an answer or as a pool's reason: it names no folder, host or
account of ours. What it leaves out is in the log, where the adapter puts it.

    ImageSearchError
    ├── InvalidRequest       mend the request: it names the field, the bound and the value
    │   ├── MalformedMessage mend the publisher: a retry of the same message cannot help
    │   └── TooLarge         send less
    ├── RejectedImage        use the other images: this one cannot be used, and says why
    ├── Unauthorized         send the key that is asked for
    ├── NotFound             ask for something that exists
    ├── SourceRefused        mend the configuration: the image source will never answer this
    ├── Overloaded           come back after `retry_after_seconds`
    ├── Unavailable          come back after `retry_after_seconds`: something we need is down
    ├── DeadlineExceeded     come back after `retry_after_seconds`: it may go faster then
    └── Bug                  report it: the program broke its own rules
"""

from __future__ import annotations

from typing import ClassVar

from imagesearch.domain.printable import printable


class ImageSearchError(Exception):
    """
    The root of the tree.

    Attributes:
        status: the HTTP status a caller sees.
        code: the machine-readable word for `error.code`.
        retry_after_seconds: when to come back, or None when coming back does not help.
        field: the value of the request that is at fault, if one is.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    field: str | None = None
    retry_after_seconds: float | None = None


class InvalidRequest(ImageSearchError):
    """A value is out of its bounds; *field* names it and the message has bound and value."""

    status = 400
    code = "invalid_request"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MalformedMessage(InvalidRequest):
    """A pushed message that cannot be read: it is recorded and acked."""

    code = "malformed_message"


MAX_REASON_CHARACTERS = 200


class RejectedImage(ImageSearchError):
    """
    One image cannot be used; the message is the reason that is recorded on it.

    It may quote what a stranger wrote: on one line, printable, and at most
    `MAX_REASON_CHARACTERS` long, whoever raises it.
    """

    status = 422
    code = "rejected_image"

    def __init__(self, reason: str) -> None:
        shown = printable(reason[: MAX_REASON_CHARACTERS + 1])
        is_long = len(shown) > MAX_REASON_CHARACTERS
        super().__init__(shown[: MAX_REASON_CHARACTERS - 1] + "…" if is_long else shown)


class TooLarge(InvalidRequest):
    """A value has more bytes than its bound."""

    status = 413
    code = "too_large"


class Unauthorized(ImageSearchError):
    """The key that the door asks for is missing, or another one."""

    status = 401
    code = "unauthorized"


class NotFound(ImageSearchError):
    """What was asked for does not exist; *field* names the value that asks for it, if one does."""

    status = 404
    code = "not_found"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class SourceRefused(ImageSearchError):
    """The image source refused for good (a bad key, a bad parameter): no retry can help."""

    status = 503
    code = "source_refused"


class _Retryable(ImageSearchError):
    def __init__(self, message: str, *, retry_after_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Overloaded(_Retryable):
    """There is more work than the queue, the quota or the rate limit takes."""

    status = 429
    code = "overloaded"


class Unavailable(_Retryable):
    """Something this program depends on does not answer."""

    status = 503
    code = "unavailable"


class DeadlineExceeded(_Retryable):
    """The work did not end within its time; what was waited for may have started meanwhile."""

    status = 504
    code = "deadline_exceeded"


class Bug(ImageSearchError):
    """The program broke one of its own rules."""
