"""How messages travel: their JSON and its bounds, their topics and attributes.

What they say is in `domain/work.py`; their envelope is in `envelope.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from imagesearch.domain.buckets import MAX_OBJECT_NAME_BYTES, MAX_ROOT_CHARACTERS
from imagesearch.domain.collections import MAX_NAME_CHARACTERS
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import (
    MAX_BATCH_IMAGES,
    MAX_FORGOTTEN_IMAGES,
    CollectJob,
    EmbedBatch,
    FetchJob,
    ForgetJob,
    Message,
    PoolMessage,
)
from imagesearch.wire.validation import well_formed

TOPIC_OF: Mapping[type[Message], str] = {
    FetchJob: "fetch-jobs",
    EmbedBatch: "embed-batches",
    ForgetJob: "forget-jobs",
    CollectJob: "collect-jobs",
}

_SCHEMA_VERSION: Literal[1] = 1
# What the version before takes a message for malformed without, though it does nothing with it.
_FOR_THE_VERSION_BEFORE: Mapping[type[Message], Mapping[str, object]] = {
    EmbedBatch: {"batch_index": 0}
}
_MAX_GENERATION = 2**31 - 1  # what any catalog can count to
# As many characters as a stored image's name may have.
_Id = Annotated[str, Field(min_length=1, max_length=200)]

AnyMessage = TypeVar("AnyMessage", bound=Message)


@dataclass(frozen=True)
class DeadLetter(PoolMessage):
    """A message on a pool that was nacked too often: the pool is marked failed."""


class _Bounds(BaseModel):
    """What is received is held to these, then read as the value that it is."""

    # Built when one is first read: no process reads every kind.
    model_config = ConfigDict(defer_build=True)
    schema_version: Literal[1] = _SCHEMA_VERSION


class _PoolBounds(_Bounds):
    pool_id: _Id
    generation: int = Field(ge=1, le=_MAX_GENERATION)


class _FetchJobBounds(_PoolBounds):
    keyword: str = Field(min_length=1)
    options: dict[str, Any]


class _BatchImageBounds(BaseModel):
    model_config = ConfigDict(defer_build=True)
    image_id: _Id
    object_name: _Id


class _EmbedBatchBounds(_PoolBounds):
    images: tuple[_BatchImageBounds, ...] = Field(min_length=1, max_length=MAX_BATCH_IMAGES)


class _ForgetJobBounds(_Bounds):
    image_ids: tuple[_Id, ...] = Field((), max_length=MAX_FORGOTTEN_IMAGES)
    reason: str = Field("", max_length=1000)
    keyword: str = Field("", max_length=1000)
    unused_days: int = Field(0, ge=0)
    collection: str = Field("", max_length=MAX_NAME_CHARACTERS)

    @model_validator(mode="after")
    def _is_one(self) -> _ForgetJobBounds:
        every = (self.image_ids, self.keyword, self.unused_days, self.collection)
        if sum(map(bool, every)) != 1:
            bound = "one of image_ids, keyword, unused_days and collection must be given"
            raise ValueError(bound)
        return self


class _CollectJobBounds(_Bounds):
    collection: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    root: str = Field(min_length=1, max_length=MAX_ROOT_CHARACTERS)
    keeps_place: bool = False
    request: int = Field(0, ge=0, le=_MAX_GENERATION)
    after: str = Field("", max_length=MAX_OBJECT_NAME_BYTES)


_BOUNDS_OF: Mapping[type[Message], type[_Bounds]] = {
    FetchJob: _FetchJobBounds,
    EmbedBatch: _EmbedBatchBounds,
    ForgetJob: _ForgetJobBounds,
    CollectJob: _CollectJobBounds,
}


def encode(message: Message) -> bytes:
    """Return *message* as JSON, for `decode` of this version or of the one before or after."""
    older = _FOR_THE_VERSION_BEFORE.get(type(message), {})
    body = {"schema_version": _SCHEMA_VERSION, **asdict(message), **older}
    # The standard library's: it spares who only publishes the building of pydantic's models.
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def decode(kind: type[AnyMessage], data: bytes) -> AnyMessage:
    """
    Return the message that `encode` made *data* of.

    A later version's field is ignored, but for an option of a job: without it, other images would
    be fetched than were asked for.

    Raises:
        MalformedMessage: it is out of its bounds; the error names the field.
        Unavailable: it has an option that this version does not know. The version that does is
            on its way where services are replaced one after the other.
    """
    with well_formed(kind.__name__):
        bounds = _BOUNDS_OF.get(kind, _PoolBounds).model_validate_json(data)
        reader: TypeAdapter[AnyMessage] = _reader(kind)  # type: ignore[arg-type]  # it is hashable
        message = reader.validate_json(data)
    if isinstance(bounds, _FetchJobBounds):
        _check_options(bounds.options)
    return message


def _check_options(options: Mapping[str, Any]) -> None:
    names = [each.name for each in fields(SourceOptions)]
    for word in options:
        if word not in names:
            bound = f"options of a FetchJob are {', '.join(names)} in this version"
            raise Unavailable(f"{bound}, got {word[:64]!r}")


@cache
def _reader(kind: type[Message]) -> TypeAdapter[Any]:
    """Return what reads a *kind*, built when one is first read, as the bounds are."""
    return TypeAdapter(kind)


def attributes_of(message: Message, trace: str) -> dict[str, str]:
    """Return what travels beside *message*, to be read or filtered on without decoding it."""
    pool = {"pool_id": message.pool_id} if isinstance(message, PoolMessage) else {}
    return {
        "schema_version": str(_SCHEMA_VERSION),
        "kind": type(message).__name__,
        **pool,
        "trace": trace,
    }
