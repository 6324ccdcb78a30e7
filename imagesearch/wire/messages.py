"""The messages that travel between the services, and their bounds.

Their envelope is in `envelope.py`; each kind's topic is in `deployment/topics.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagesearch.domain.pools import SourceOptions

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

    # Built when one is first read or made: no process has to do with every kind.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
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

    model_config = ConfigDict(frozen=True, defer_build=True)
    image_id: str = Field(min_length=1, max_length=_MAX_ID_CHARACTERS)
    object_name: str = Field(min_length=1, max_length=_MAX_ID_CHARACTERS)


class EmbedBatch(Message):
    """Embed these stored images of a pool; key: (pool_id, generation, batch_index)."""

    topic: ClassVar[str] = "embed-batches"
    batch_index: int = Field(ge=0)
    images: tuple[BatchImage, ...] = Field(min_length=1, max_length=MAX_BATCH_IMAGES)
