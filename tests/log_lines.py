"""What this process logs, as the lines that a process of its own would write."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest

from imagesearch.logs import JsonFormatter

PROJECT = "test-project"


class Log:
    """The log since the test began."""

    def __init__(self) -> None:
        self.stream = StringIO()

    def entries(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the entries, those of units of work of one *kind* alone when it is given."""
        entries = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [entry for entry in entries if kind in (None, entry.get("kind"))]

    def only(self, kind: str) -> dict[str, Any]:
        """Return the one entry of *kind*."""
        (entry,) = self.entries(kind)
        return entry


@pytest.fixture
def log() -> Log:
    """The log of this test, from INFO on."""
    kept = Log()
    handler = logging.StreamHandler(kept.stream)
    handler.setFormatter(JsonFormatter(PROJECT))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    return kept


@contextmanager
def kept_logging() -> Iterator[None]:
    """Undo what configures the log of a process of its own, which this one is not."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    root.handlers[:] = handlers
    if root.level != level:  # to set it costs each logger its cache
        root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Do so after each test."""
    with kept_logging():
        yield
