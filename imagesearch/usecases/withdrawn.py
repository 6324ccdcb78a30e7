"""What a process knows of what is forgotten: how soon it follows, and that it was used, how often.

Forgetting itself is `forget.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from cachetools import LRUCache

from imagesearch.domain.collections import OWN
from imagesearch.domain.errors import ImageSearchError
from imagesearch.domain.forgetting import day_of
from imagesearch.ports import Clock, Retention

FOLLOW_SECONDS = 15.0  # after which it is looked again: a minute is what is promised
_NOTED = 100_000  # images whose use is not noted twice a day: some 15 MB
_logger = logging.getLogger(__name__)


class Withdrawn:
    """
    The pictures that were taken down, as they were *FOLLOW_SECONDS* ago at most.

    While the catalog does not answer, they are those that were known before.

    Args:
        on_change: called when something was forgotten, a picture or a keyword, since the last look.
    """

    def __init__(
        self, retention: Retention, clock: Clock, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._retention, self._clock, self._on_change = retention, clock, on_change
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._version = ""  # nothing was ever forgotten
        self._is_known = False
        self._image_ids: frozenset[str] = frozenset()

    def __call__(self, *, at_once: bool = False) -> Collection[str]:
        """
        Return their image_ids.

        Args:
            at_once: look now, however long ago the last look was.
        """
        now = self._clock.monotonic()
        with self._lock:
            is_due = self._looked_at is None or now >= self._looked_at + FOLLOW_SECONDS
            if not (is_due or at_once):
                return self._image_ids
            self._looked_at = now  # others go on meanwhile with what is known
        try:
            self._look()
        except ImageSearchError as error:
            _logger.warning("what was taken down of late is not known: %s", error)
        return self._image_ids

    def _look(self) -> None:
        version = self._retention.version()
        if version != self._version:
            image_ids = frozenset(self._retention.withdrawn())
            self._image_ids, self._version = image_ids, version
            if self._is_known:
                self._on_change()
        self._is_known = True


class Uses:
    """Notes that images were used: by one process once a day at most, each."""

    def __init__(self, retention: Retention, clock: Clock) -> None:
        self._retention, self._clock = retention, clock
        self._lock = threading.Lock()
        self._noted: LRUCache[str, int] = LRUCache(_NOTED)

    def note(self, image_ids: Collection[str]) -> None:
        """Note it of those of no collection; that it fails is no reason to keep an answer back."""
        day = day_of(self._clock.now())
        with self._lock:
            new = [each for each in dict.fromkeys(image_ids) if self._noted.get(each) != day]
            new = [each for each in new if not each.startswith(f"{OWN}-")]
            self._noted.update((each, day) for each in new)
        if not new:
            return
        try:
            self._retention.note_used(new, day)
        except ImageSearchError as error:
            _logger.warning("that %d images were used is not noted: %s", len(new), error)
