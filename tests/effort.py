"""
How much the tests try: samples by default, all of it with `make test FULL=1`.

A sample is for what a test does many times over, each time alike.
"""

from __future__ import annotations

import os
from typing import Final

IS_FULL: Final = os.environ.get("FULL", "0") not in ("", "0")


def amount(sample: int, full: int) -> int:
    """Return how many to try."""
    return full if IS_FULL else sample
