"""Whether the one who asked still waits for the answer, so that work for nobody is dropped.

A door names the caller of the work that it starts; what is dropped then is in `batcher.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


class Caller:
    """One who asked, and may go before there is an answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_gone = False
        self._waiting: list[Callable[[], object]] = []

    def go(self) -> None:
        """Drop what is done for this caller, now and from now on."""
        with self._lock:
            self._is_gone = True
            waiting, self._waiting = self._waiting, []
        for drop in waiting:
            drop()

    def _add(self, drop: Callable[[], object]) -> None:
        with self._lock:
            if not self._is_gone:
                self._waiting.append(drop)
                return
        drop()

    def _remove(self, drop: Callable[[], object]) -> None:
        with self._lock:
            if drop in self._waiting:
                self._waiting.remove(drop)


@contextmanager
def working_for(caller: Caller) -> Iterator[None]:
    """Do the work of this context, and of the threads that get a copy of it, for *caller*."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def unless_gone(drop: Callable[[], object]) -> Iterator[None]:
    """Call *drop* once the current caller has gone, at the latest at the end of the block."""
    caller = _current.get()
    if caller is None:
        yield
        return
    caller._add(drop)
    try:
        yield
    finally:
        caller._remove(drop)
