"""How the query function's question to the scorer travels: its JSON, and the bounds it is held to.

What it says is `ScoreRequest` in `domain/queries.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.queries import MAX_QUERY_CHARACTERS, MAX_TOP_K, Scope, ScoreRequest
from imagesearch.wire.validation import first_error


class _Bounds(BaseModel):
    model_config = ConfigDict(defer_build=True)
    scope: Scope = "pool"
    pool_id: str | None = None
    generation: int | None = None
    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)
    top_k: int = Field(ge=1, le=MAX_TOP_K)
    filters: dict[str, str] = Field(default_factory=dict)
    beside: tuple[str, int] | None = None


def encode(request: ScoreRequest) -> bytes:
    """Return *request* as JSON."""
    return json.dumps(asdict(request)).encode()


def decode(body: bytes) -> ScoreRequest:
    """Read the *body* of a request, or raise InvalidRequest naming field, bound and value."""
    try:
        return ScoreRequest(**dict(_Bounds.model_validate_json(body)))
    except ValidationError as error:
        field, why, value = first_error(error)
        raise InvalidRequest(f"{field}: {why}, got {value}", field=field) from error
