"""How the query function's question to the scorer travels: its JSON, and the bounds it is held to.

What it says is `ScoreRequest` in `domain/queries.py`. While versions are being replaced, either
side may be the older one:

- An older function sends its sentence as `query`, which is read as a query of one part.
- What an older scorer can answer in full is sent to it so, too. Whatever else is sent without the
  field that it needs, for which it is refused, as its answer would be a wrong one: without a
  `query`, where it would leave parts or a pool out; without `parts`, as `wanted` and `unwanted`,
  where it would hold unwanted pictures against images as if they were words.
- A filter that an older scorer does not have it refuses, naming `filters`.
"""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.queries import (
    LEAST_WEIGHT,
    MAX_IMAGE_ID_CHARACTERS,
    MAX_LIKE,
    MAX_MINUS,
    MAX_OFFSET,
    MAX_PICTURE_BYTES,
    MAX_QUERY_CHARACTERS,
    MAX_TEXT_BYTES,
    MAX_TOP_K,
    MAX_UNLIKE,
    MOST_WEIGHT,
    ImagePart,
    Part,
    PicturePart,
    Query,
    Scope,
    ScoreRequest,
    TextPart,
)
from imagesearch.wire.validation import first_error

LACKED_BY_OLD = frozenset(("query", "parts", "filters"))
"""
The fields for which a scorer of an earlier version refuses a question that it cannot answer.

It misses a `query` or `parts`, or has not that filter, which the function has looked at.
"""

MAX_BYTES = MAX_TEXT_BYTES + -(-MAX_PICTURE_BYTES // 3) * 4
"""Of a question: its texts, and its pictures in base64."""

_MAX_PARTS = 2 + MAX_LIKE  # a sentence, a picture and images
_MAX_MINUS = MAX_MINUS + 1 + MAX_UNLIKE  # words, a picture and images
_Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY_CHARACTERS)]
_ImageId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_IMAGE_ID_CHARACTERS)]


class _Part(BaseModel):
    """One part: its `text`, its `image_id` or its `picture`, which is base64."""

    model_config = ConfigDict(defer_build=True, val_json_bytes="base64")
    text: _Text | None = None
    image_id: _ImageId | None = None
    picture: bytes | None = Field(None, min_length=1, max_length=MAX_PICTURE_BYTES)
    weight: float = Field(1.0, ge=LEAST_WEIGHT, le=MOST_WEIGHT)

    @model_validator(mode="after")
    def _is_one_thing(self) -> _Part:
        if [self.text, self.image_id, self.picture].count(None) != 2:
            raise ValueError("a part has one of text, image_id and picture")
        return self

    def value(self) -> Part:
        if self.text is not None:
            return TextPart(self.text, self.weight)
        if self.image_id is not None:
            return ImagePart(self.image_id, self.weight)
        return PicturePart(self.picture or b"", self.weight)


class _Bounds(BaseModel):
    model_config = ConfigDict(defer_build=True)
    scope: Scope = "pool"
    pool_id: str | None = None
    generation: int | None = None
    query: _Text | None = None
    parts: tuple[_Part, ...] = Field(
        (), max_length=_MAX_PARTS, validation_alias=AliasChoices("parts", "wanted")
    )
    minus: tuple[_Part, ...] = Field(
        (), max_length=_MAX_MINUS, validation_alias=AliasChoices("minus", "unwanted")
    )
    top_k: int = Field(ge=1, le=MAX_TOP_K)
    filters: dict[str, str] = Field(default_factory=dict)
    beside: tuple[str, int] | None = None
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
    fold: bool = False


def encode(request: ScoreRequest) -> bytes:
    """Return *request* as JSON."""
    fields = {name: value for name, value in vars(request).items() if name != "query"}
    return json.dumps({**fields, **_query_fields(request)}).encode()


def _query_fields(request: ScoreRequest) -> dict[str, Any]:
    query = request.query
    is_plain = not request.offset and request.beside is None
    if query == Query.of_text(query.text) and is_plain:
        return {"query": query.text}
    parts, minus = ([_part_fields(part) for part in some] for some in (query.parts, query.minus))
    if all(isinstance(part, TextPart) for part in query.minus):
        return {"parts": parts, "minus": minus}
    return {"wanted": parts, "unwanted": minus}


def _part_fields(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text, "weight": part.weight}
    if isinstance(part, ImagePart):
        return {"image_id": part.image_id, "weight": part.weight}
    return {"picture": base64.b64encode(part.data).decode(), "weight": part.weight}


def decode(body: bytes) -> ScoreRequest:
    """Read the *body* of a request, or raise InvalidRequest naming field, bound and value."""
    try:
        fields = dict(_Bounds.model_validate_json(body))
    except ValidationError as error:
        field, why, value = first_error(error)
        raise InvalidRequest(f"{field}: {why}, got {value}", field=field) from error
    text, parts, minus = (fields.pop(name) for name in ("query", "parts", "minus"))
    if (text is None) == (not parts):
        raise InvalidRequest("a request has either a query or parts", field="parts")
    query = Query.of_text(text) if parts == () else _query(parts, minus)
    return ScoreRequest(query=query, **fields)


def _query(parts: tuple[_Part, ...], minus: tuple[_Part, ...]) -> Query:
    return Query(tuple(part.value() for part in parts), tuple(part.value() for part in minus))
