"""The wire contracts: what travels through Pub/Sub and between the query and the scorer.

Values of the domain are in `model.py`; who publishes and who answers is behind `ports.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from imagesearch.errors import InvalidRequest, MalformedMessage
from imagesearch.model import SourceOptions

MAX_QUERY_CHARACTERS = 500
MAX_TOP_K = 200
MAX_BATCH_IMAGES = 32
_MAX_ID_CHARACTERS = 200  # as many as a stored image's name may have
_MAX_GENERATION = 2**31 - 1  # what any catalog can count to
FIRST_BATCH_IMAGES = 8  # few: they are searchable while the others are on their way


def batch_slices(images: int) -> Iterator[slice]:
    """
    Cut so many *images* into batches by position: a small one, each next one twice as large.

    The cut says who is embedded with whom and nothing else: an embedding is kept by its image, so
    that a batch which another version of this program has cut, and published, does no harm.
    """
    start, size = 0, FIRST_BATCH_IMAGES
    while start < images:
        yield slice(start, start + size)
        start, size = start + size, min(2 * size, MAX_BATCH_IMAGES)


class Message(BaseModel):
    """What every published message has: its topic, a schema version, a pool's generation."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    topic: ClassVar[str]
    schema_version: Literal[1] = 1
    pool_id: str = Field(min_length=1, max_length=_MAX_ID_CHARACTERS)
    generation: int = Field(ge=1, le=_MAX_GENERATION)

    def attributes(self, trace: str) -> dict[str, str]:
        """Return what travels beside the message, to be read or filtered on without decoding it."""
        return {
            "schema_version": str(self.schema_version),
            "kind": type(self).__name__,
            "pool_id": self.pool_id,
            "trace": trace,
        }


class DeadLetter(Message):
    """A message of any topic that was nacked too often: its pool is marked failed."""


class FetchJob(Message):
    """Fetch, or go on fetching, one generation of a pool; key: (pool_id, generation)."""

    topic: ClassVar[str] = "fetch-jobs"
    keyword: str = Field(min_length=1)
    options: SourceOptions


class BatchImage(BaseModel):
    """An image of a batch: its id and its name in the image store."""

    model_config = ConfigDict(frozen=True)
    image_id: str = Field(min_length=1, max_length=_MAX_ID_CHARACTERS)
    object_name: str = Field(min_length=1, max_length=_MAX_ID_CHARACTERS)


class EmbedBatch(Message):
    """Embed these stored images of a pool; key: (pool_id, generation, batch_index)."""

    topic: ClassVar[str] = "embed-batches"
    batch_index: int = Field(ge=0)
    images: tuple[BatchImage, ...] = Field(min_length=1, max_length=MAX_BATCH_IMAGES)


class ScoreRequest(BaseModel):
    """
    Score one pool, or with *scope* `catalog` everything stored, against a query.

    *pool_id* and *generation* name the pool and are needed in scope `pool` only.
    """

    model_config = ConfigDict(frozen=True)
    scope: Literal["pool", "catalog"] = "pool"
    pool_id: str | None = None
    generation: int | None = None
    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)
    top_k: int = Field(ge=1, le=MAX_TOP_K)

    @classmethod
    def parse(cls, body: bytes) -> ScoreRequest:
        """Read the *body* of a request, or raise InvalidRequest naming field, bound and value."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            field, why, value = _first_of(error)
            raise InvalidRequest(f"{field}: {why}, got {value}", field=field) from error


def _or_none(attributes: object) -> object:
    """Take JSON's null for no attributes."""
    return {} if attributes is None else attributes


class PubsubMessage(BaseModel):
    """The message inside a push envelope; *data* is base64."""

    data: str
    messageId: str = ""  # noqa: N815 - Pub/Sub's own spelling
    publishTime: str = ""  # noqa: N815 - Pub/Sub's own spelling
    attributes: Annotated[dict[str, str], BeforeValidator(_or_none)] = Field(default_factory=dict)


AnyMessage = TypeVar("AnyMessage", bound=Message)


class PushEnvelope(BaseModel):
    """
    The body of a Pub/Sub push request.

    Source: https://cloud.google.com/pubsub/docs/push#receive_push
    """

    message: PubsubMessage
    subscription: str = ""
    deliveryAttempt: int | None = None  # noqa: N815 - Pub/Sub's own spelling

    @classmethod
    def parse(cls, body: bytes) -> PushEnvelope:
        """Read the *body* of a push request, or raise MalformedMessage saying what is wrong."""
        return _validated(cls, body)

    def decode(self, kind: type[AnyMessage]) -> AnyMessage:
        """Return the message inside as a *kind*, or raise MalformedMessage."""
        try:
            data = base64.b64decode(self.message.data, validate=True)
        except ValueError as error:  # binascii.Error is one, and what is not ASCII gets another
            raise MalformedMessage(f"message.data is not base64: {error}") from error
        return _validated(kind, data)


AnyModel = TypeVar("AnyModel", bound=BaseModel)


def _validated(kind: type[AnyModel], data: bytes) -> AnyModel:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        field, why, _ = _first_of(error)
        raise MalformedMessage(f"{kind.__name__}: {field}: {why}", field=field) from error


def _first_of(error: ValidationError) -> tuple[str, str, str]:
    """Return the first field that is wrong, or "body", what is wrong with it, and its value."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    return field, first["msg"], repr(first["input"])[:64]
