"""What every cache and every rate limiter does alike."""

from __future__ import annotations

import logging

from imagesearch.domain.errors import Bug
from imagesearch.ports import Slot, SlotKey, Value

_logger = logging.getLogger(__name__)


def unpacked(slot: Slot[SlotKey, Value], name: bytes, data: bytes) -> Value | None:
    """Return the value of *data*, kept as *name*; None, which is logged, when it is none."""
    try:
        return slot.unpack(data)
    except ValueError as error:
        _logger.warning("ignored the cache's value of %r: %s", name, error)
        return None


def lifetime_milliseconds(slot: Slot[SlotKey, Value], ttl_seconds: float | None) -> int:
    """Return how long a value of *slot* is kept; one of under 1 is not."""
    return int((slot.ttl_seconds if ttl_seconds is None else ttl_seconds) * 1000)


def token_microseconds(limit: int, period_seconds: float) -> int:
    """Return the time in which one token of a bucket comes back; Bug when it holds none."""
    if limit < 1 or period_seconds < 1e-6 * limit:
        raise Bug(
            "a bucket needs limit >= 1 and a period of a microsecond for each token,"
            f" got {limit} in {period_seconds} s"
        )
    return int(period_seconds * 1e6) // limit
