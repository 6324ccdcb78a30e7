"""The cache and the rate limiter of one process, in its memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from cachetools import TLRUCache

from imagesearch.adapters.caches.common import (
    lifetime_milliseconds,
    token_microseconds,
    unpacked,
)
from imagesearch.ports import Slot, SlotKey, Value

MAX_BYTES = 64 * 2**20  # some pools in the making, with their images' bytes
SWEEP_AT = 1024  # buckets, at which the full ones are first looked for
_ENTRY_BYTES = 500  # of Python's objects for a key and its value

_Entry = tuple[bytes, int]  # packed value, nanoseconds of the monotonic clock at which it is over


class InProcessCache:
    """
    The port `Cache` in this process: the packed values, up to *MAX_BYTES*.

    For a new value those that are over go first, then the least recently used, as they do in a
    Memorystore that is full.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: TLRUCache[bytes, _Entry] = TLRUCache(
            MAX_BYTES, ttu=_over_at, timer=time.monotonic_ns, getsizeof=_size_bytes
        )

    def __len__(self) -> int:
        """Return how many values are kept."""
        with self._lock:
            self._entries.expire()
            return len(self._entries)

    def get(self, slot: Slot[SlotKey, Value], key: SlotKey) -> Value | None:
        """Return the value of *key*, or None."""
        name = slot.name(key)
        with self._lock:
            entry = self._entries.get(name)
        return None if entry is None else unpacked(slot, name, entry[0])

    def get_many(self, slot: Slot[SlotKey, Value], keys: Sequence[SlotKey]) -> dict[SlotKey, Value]:
        """Return the values at hand, by key."""
        values = ((key, self.get(slot, key)) for key in keys)
        return {key: value for key, value in values if value is not None}

    def put(
        self,
        slot: Slot[SlotKey, Value],
        key: SlotKey,
        value: Value,
        *,
        ttl_seconds: float | None = None,
    ) -> None:
        """Keep *value* for *ttl_seconds*, those of the slot when None, unless it is too large."""
        ttl_milliseconds = lifetime_milliseconds(slot, ttl_seconds)
        if ttl_milliseconds <= 0:
            return
        name, data = slot.name(key), slot.pack(value)
        entry = (data, time.monotonic_ns() + ttl_milliseconds * 1_000_000)
        with self._lock:
            if _size_bytes(entry) > self._entries.maxsize:
                self._entries.pop(name, None)
            else:
                self._entries[name] = entry

    def drop(self, slot: Slot[SlotKey, Value], keys: Sequence[SlotKey]) -> None:
        """Forget the values of *keys*."""
        with self._lock:
            for key in keys:
                self._entries.pop(slot.name(key), None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


class InProcessLimiter:
    """The port `RateLimiter` in this process, by its monotonic clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # As in `memorystore.py`: when each bucket is full again, in nanoseconds.
        self._full_at: dict[str, int] = {}
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        """Return how many buckets are held."""
        with self._lock:
            return len(self._full_at)

    def take_token(self, bucket: str, *, limit: int, period_seconds: float) -> float:
        """Take one token of *bucket*; return 0.0, or the seconds until there is one."""
        interval = token_microseconds(limit, period_seconds) * 1000
        with self._lock:
            now = time.monotonic_ns()
            full_at = max(now, self._full_at.get(bucket, now)) + interval
            wait = full_at - now - interval * limit
            if wait > 0:
                return wait / 1e9
            self._full_at[bucket] = full_at
            if len(self._full_at) > self._sweep_at:
                self._sweep(now)
            return 0.0

    def _sweep(self, now: int) -> None:
        """Forget the buckets that are full: a client of long ago has one."""
        self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._sweep_at = max(SWEEP_AT, 2 * len(self._full_at))


def _over_at(_name: bytes, entry: _Entry, _now: float) -> float:
    return entry[1]


def _size_bytes(entry: _Entry) -> int:
    return len(entry[0]) + _ENTRY_BYTES
