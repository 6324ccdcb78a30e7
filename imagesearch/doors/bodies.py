"""What is refused before a framework sees it: in which words, and what a body may be.

A framework reads all of a body, whatever its size and however long it takes to come. The doors that
stand before it are `doors/wsgi.py` and `doors/asgi.py`, and `uvicorn_protocol.py` before that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from imagesearch import telemetry
from imagesearch.doors.errors import refusal

BODY_SECONDS = 5.0  # for all of a body: 15 MB at 3 MB/s
# A client that still sends is heard for so long after the answer: a connection that is closed with
# bytes unread is reset, and the answer may be lost with it.
LINGER_SECONDS = 0.5
ENCODE = "in a URL, spaces and letters outside ASCII are percent-encoded: ü is %C3%BC, a space %20"


class Refused(Exception):
    """
    A request that gets *answer* instead of a use case's, after which the connection is closed.

    Args:
        status: the HTTP status.
        message: why.
        field: the parameter at fault, if one is.
        is_still_sent: true of a body that its client may still be sending.
    """

    def __init__(
        self, status: int, message: str, field: str | None = None, *, is_still_sent: bool = False
    ) -> None:
        super().__init__(message)
        self.is_still_sent = is_still_sent
        self.answer = refusal(status, message, field)
        self.status = HTTPStatus(status)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of the answer."""
        length = ("Content-Length", str(len(self.answer.body)))
        return [*self.answer.headers.items(), length, ("Connection", "close")]

    def log(self) -> None:
        """Write the line of the request."""
        with telemetry.unit("request") as unit:
            unit.note(status=int(self.status), outcome=self.answer.code)


def cut_off() -> Refused:
    """Return the refusal of a body that is not what its headers announce."""
    return Refused(400, "the body ended early, or is not framed as its headers say")


def too_slow(seconds: float) -> Refused:
    """Return the refusal of a body that did not come within *seconds*."""
    return Refused(408, f"the body must come within {seconds:g} seconds")


Hold: TypeAlias = Callable[[int], None]
"""Takes so many bytes more in hand, or raises Refused."""


class InHand:
    """The large bodies that a process holds at a time: *most_bytes* of them together."""

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._lock = threading.Lock()

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """
        Yield what is called with the bytes of each part of a body that has come.

        It holds them until the block ends, or raises Refused when they are too many: what is
        announced and does not come keeps no place.
        """
        held_bytes = 0

        def hold(length: int) -> None:
            nonlocal held_bytes
            with self._lock:
                if length > self._left_bytes:
                    message = "too many large bodies are in hand"
                    raise Refused(503, message, is_still_sent=True)
                self._left_bytes -= length
                held_bytes += length

        try:
            yield hold
        finally:
            with self._lock:
                self._left_bytes += held_bytes


@dataclass(frozen=True)
class Bound:
    """
    What a body may be.

    Attributes:
        most_bytes: of it.
        seconds: for all of it, however its bytes are spread.
        in_hand: holds its bytes from when they come to its answer, as what is made of them has as
            many; one that does not fit is refused.
        of_which: what the bound comes of, in words, where that says more than the bound.
        field: the parameter that makes a body too large, if only one can.
    """

    most_bytes: int
    seconds: float = BODY_SECONDS
    in_hand: InHand | None = None
    of_which: str = ""
    field: str | None = None

    def too_large(self, got: str = "more") -> Refused:
        """Return the refusal of a body of more bytes, of *got* where that is known."""
        message = f"the body must have at most {self.most_bytes} bytes{self.of_which}, got {got}"
        return Refused(413, message, self.field, is_still_sent=True)

    def holding(self) -> AbstractContextManager[Hold]:
        """Yield what is called with the bytes of each part of a body, see `InHand.holding`."""
        return self.in_hand.holding() if self.in_hand else nullcontext(_hold_any)


def announced_bytes(content_length: str, *, is_chunked: bool, bound: Bound) -> int:
    """
    Return how many bytes to read: of a body of unknown length, one more than *bound* has.

    Raises:
        Refused: a Content-Length that is none, or is too large.
    """
    if is_chunked:
        return bound.most_bytes + 1
    text = content_length.strip() or "0"
    # Python alone would take "+5", "1_0" and digits of every script.
    if not (text.isascii() and text.isdecimal()):
        raise Refused(400, f"Content-Length must be a whole number, got {text[:64]!r}")
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(bound.most_bytes)) or int(digits) > bound.most_bytes:
        raise bound.too_large(digits[:64])
    return int(digits)


def _hold_any(_: int) -> None:
    """Hold a body whose bound alone is small enough."""


Larger: TypeAlias = Mapping[tuple[str, str], Bound]
"""By method and path, what holds instead of the usual."""
