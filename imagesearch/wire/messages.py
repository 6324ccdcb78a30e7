"""How messages travel: their JSON and its bounds, their topics and attributes.

What they say is in `domain/work.py`; their envelope is in `envelope.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from imagesearch.domain.work import MAX_BATCH_IMAGES, EmbedBatch, FetchJob, Message
from imagesearch.wire.validation import well_formed

TOPIC_OF: Mapping[type[Message], str] = {FetchJob: "fetch-jobs", EmbedBatch: "embed-batches"}

_SCHEMA_VERSION: Literal[1] = 1
_MAX_GENERATION = 2**31 - 1  # what any catalog can count to
# As many characters as a stored image's name may have.
_Id = Annotated[str, Field(min_length=1, max_length=200)]

AnyMessage = TypeVar("AnyMessage", bound=Message)


@dataclass(frozen=True)
class DeadLetter(Message):
    """A message of any topic that was nacked too often: its pool is marked failed."""


class _Bounds(BaseModel):
    """What is received is held to these, then read as the value that it is."""

    # Built when one is first read: no process reads every kind.
    model_config = ConfigDict(defer_build=True)
    schema_version: Literal[1] = _SCHEMA_VERSION
    pool_id: _Id
    generation: int = Field(ge=1, le=_MAX_GENERATION)


class _FetchJobBounds(_Bounds):
    keyword: str = Field(min_length=1)


class _BatchImageBounds(BaseModel):
    model_config = ConfigDict(defer_build=True)
    image_id: _Id
    object_name: _Id


class _EmbedBatchBounds(_Bounds):
    batch_index: int = Field(ge=0)
    images: tuple[_BatchImageBounds, ...] = Field(min_length=1, max_length=MAX_BATCH_IMAGES)


_BOUNDS_OF: Mapping[type[Message], type[_Bounds]] = {
    FetchJob: _FetchJobBounds,
    EmbedBatch: _EmbedBatchBounds,
}


def encode(message: Message) -> bytes:
    """Return *message* as JSON, for `decode` of this version or of the one before or after."""
    fields = {"schema_version": _SCHEMA_VERSION, **asdict(message)}
    # The standard library's: it spares who only publishes the building of pydantic's models.
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def decode(kind: type[AnyMessage], data: bytes) -> AnyMessage:
    """Return the message that `encode` made *data* of, or raise MalformedMessage."""
    with well_formed(kind.__name__):
        _BOUNDS_OF.get(kind, _Bounds).model_validate_json(data)
        reader: TypeAdapter[AnyMessage] = _reader(kind)  # type: ignore[arg-type]  # it is hashable
        return reader.validate_json(data)


@cache
def _reader(kind: type[Message]) -> TypeAdapter[Any]:
    """Return what reads a *kind*, built when one is first read, as the bounds are."""
    return TypeAdapter(kind)


def attributes_of(message: Message, trace: str) -> dict[str, str]:
    """Return what travels beside *message*, to be read or filtered on without decoding it."""
    return {
        "schema_version": str(_SCHEMA_VERSION),
        "kind": type(message).__name__,
        "pool_id": message.pool_id,
        "trace": trace,
    }
