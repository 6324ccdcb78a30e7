"""Where spans go on one machine: stderr, a line of JSON each."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from imagesearch.telemetry import Span


class Console:
    """Writes spans to *out*, by default to stderr as it is then."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out

    def __call__(self, spans: Sequence[Span]) -> None:
        """Write *spans* with one call, so that those of other threads do not come between."""
        lines = "".join(f"{json.dumps(asdict(span), default=str)}\n" for span in spans)
        (self._out or sys.stderr).write(lines)
