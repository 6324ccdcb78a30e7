"""What a person asks for, as frozen values, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_QUERY_CHARACTERS = 500
MAX_TOP_K = 200


@dataclass(frozen=True)
class SearchRequest:
    """
    What a person asks for, within the bounds of design §6.

    Attributes:
        scope: `pool`, the keyword's images, or `catalog`, everything stored so far.
        keyword: as typed; empty in scope `catalog`.
        wait_seconds: how long the call may wait for a new pool.
    """

    keyword: str
    query: str
    top_k: int = 10
    wait_seconds: float = 10.0
    scope: Literal["pool", "catalog"] = "pool"
