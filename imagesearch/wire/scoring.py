"""What the query function asks of the scorer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.queries import MAX_QUERY_CHARACTERS, MAX_TOP_K
from imagesearch.wire.validation import first_error


class ScoreRequest(BaseModel):
    """
    Score one pool, or with *scope* `catalog` everything stored, against a query.

    *pool_id* and *generation* name the pool and are needed in scope `pool` only. *filters* are
    texts by the names of `domain/filters/`.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)
    scope: Literal["pool", "catalog"] = "pool"
    pool_id: str | None = None
    generation: int | None = None
    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)
    top_k: int = Field(ge=1, le=MAX_TOP_K)
    filters: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> ScoreRequest:
        """Read the *body* of a request, or raise InvalidRequest naming field, bound and value."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            field, why, value = first_error(error)
            raise InvalidRequest(f"{field}: {why}, got {value}", field=field) from error
