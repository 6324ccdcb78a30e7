"""One HTTP exchange in values: what it may cost, and the answer. It is made in `http_client.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imagesearch.domain.errors import Unavailable

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Limits:
    """
    What one exchange may cost at most.

    Attributes:
        connect_seconds: for the TCP connection and the TLS handshake.
        read_seconds: of silence between two pieces of an answer.
        total_seconds: from the start to the last byte; only the time in which the system's
            resolver answers comes on top, which no program can cut short.
        max_bytes: of the body.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 30.0
    max_bytes: int = 10_000_000


class NotPublic(Unavailable):
    """A host has an address to which no connection is made."""


@dataclass(frozen=True)
class Reply:
    """
    An answer of any status; *body* is None when it is larger than the limit.

    Only the status is printed: a server may repeat the URL, and with it a secret.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)  # names in any case
    body: bytes | None = field(repr=False)

    @property
    def retry_after_seconds(self) -> float | None:
        """When the server asks to be asked again, 0..86,400; None where it does not say."""
        text = self.headers.get("Retry-After", "")
        is_number = text.isascii() and text.isdecimal() and len(text) <= 9
        return min(float(text), 86_400.0) if is_number else None

    @property
    def location(self) -> str | None:
        """Where a redirect leads, or None."""
        return self.headers.get("Location") if self.status in _REDIRECTS else None
