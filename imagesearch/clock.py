"""The system's time, behind the port `Clock`; tests bring their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC; it is what people set, and may step back."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some moment, which never step back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after *seconds*; at once when it is not positive."""
        time.sleep(max(0.0, seconds))
