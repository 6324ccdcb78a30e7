"""Messages: what one process asks of another, as frozen values.

How they travel is in `wire/messages.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from imagesearch.domain.pools import SourceOptions

MAX_BATCH_IMAGES = 64  # that an embedder takes
USUAL_BATCH_IMAGES = 32
MAX_FORGOTTEN_IMAGES = 1000
FIRST_BATCH_IMAGES = 8  # few: they are searchable while the others are on their way


@dataclass(frozen=True)
class Message:
    """What one process asks of another."""


@dataclass(frozen=True)
class PoolMessage(Message):
    """A message on one generation of a pool."""

    pool_id: str
    generation: int


@dataclass(frozen=True)
class FetchJob(PoolMessage):
    """Fetch, or go on fetching, one generation of a pool; key: (pool_id, generation)."""

    keyword: str
    options: SourceOptions


@dataclass(frozen=True)
class BatchImage:
    """An image of a batch: its id and its name in the image store."""

    image_id: str
    object_name: str


@dataclass(frozen=True)
class EmbedBatch(PoolMessage):
    """
    Embed these stored images of a pool; key: (pool_id, generation, images).

    Attributes:
        images: 1 to *MAX_BATCH_IMAGES*.
    """

    images: tuple[BatchImage, ...]


@dataclass(frozen=True)
class ForgetJob(Message):
    """
    Forget one of these: images, a keyword, what was not used, a bucket; twice it is done once.

    Attributes:
        image_ids: up to *MAX_FORGOTTEN_IMAGES* that are taken down, for *reason*.
        allows: they are let back instead.
        keyword: as anybody typed it.
        unused_days: from 1 on, of what is forgotten since nobody used it for so long.
        collection: the name of one that is a bucket.
    """

    image_ids: tuple[str, ...] = ()
    reason: str = ""
    allows: bool = False
    keyword: str = ""
    unused_days: int = 0
    collection: str = ""


@dataclass(frozen=True)
class CollectJob(Message):
    """
    Bring a page of a collection up to date with its bucket; key: (collection, request, after).

    Attributes:
        root: `gs://BUCKET` or `gs://BUCKET/PREFIX`.
        keeps_place: whether it is kept where pictures were taken.
        request: what `Collections.ask` gave; 0 asks anew, and makes the collection where it lacks.
        after: the name of the object before the first one of the page; "" of the first page.
    """

    collection: str
    root: str
    keeps_place: bool = False
    request: int = 0
    after: str = ""


class BucketChange(Enum):
    """What befell an object; the values are Cloud Storage's event types."""

    FINALIZED = "OBJECT_FINALIZE"
    DELETED = "OBJECT_DELETE"
    ARCHIVED = "OBJECT_ARCHIVE"  # in a bucket that keeps versions, what deletes does this
    OTHER = "OTHER"


@dataclass(frozen=True)
class BucketEvent(Message):
    """
    A generation of an object came or went; key: (bucket, name, generation), in any order.

    Attributes:
        is_overwritten: it went as another generation took its name, which has an event of its own.
    """

    change: BucketChange
    bucket: str
    name: str
    generation: int
    is_overwritten: bool = False


def batch_slices(
    images: int, first: int = FIRST_BATCH_IMAGES, most: int = USUAL_BATCH_IMAGES
) -> Iterator[slice]:
    """
    Cut so many *images* into batches by position: *first*, and each next twice as large, to *most*.

    The cut says who is embedded with whom and nothing else: an embedding is kept by its image, so
    that a batch which another version of this program has cut, and published, does no harm.
    """
    start, size = 0, first
    while start < images:
        yield slice(start, start + size)
        start, size = start + size, min(2 * size, most)


@dataclass(frozen=True)
class BudgetNotice(Message):
    """
    What a billing budget says several times a day, in the currency of its billing account.

    Attributes:
        cost: of the budget's month so far.
        amount: of the budget.
    """

    cost: float
    amount: float

    @property
    def is_spent(self) -> bool:
        """Whether nothing of the budget is left."""
        return self.cost >= self.amount
