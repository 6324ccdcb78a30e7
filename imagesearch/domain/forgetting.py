"""What is forgotten, and what of it must not come back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Listing
from imagesearch.domain.object_names import is_object_name
from imagesearch.domain.printable import printable

MAX_REASON_CHARACTERS = 300
MAX_ID_CHARACTERS = 195  # with a suffix it is the name of an object
_SUFFIXES = (".jpg", ".png", ".webp")  # that an original, or a preview, may be stored under
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Withdrawal:
    """
    A picture that was taken down: it is shown to nobody, and not fetched again.

    Attributes:
        at: when, aware.
        reason: why, in somebody's words.
    """

    image_id: str
    at: datetime
    reason: str


@dataclass(frozen=True)
class Forgotten:
    """
    What was forgotten, or would be.

    Attributes:
        images: how many were stored, or only withdrawn.
        originals: how many pictures went: originals, and previews of own ones.
        pools: how many keywords' pools.
        allowed: how many that were taken down may come back.
        is_all: nothing is left that the budget of the run did not reach.
    """

    images: int = 0
    originals: int = 0
    pools: int = 0
    allowed: int = 0
    is_all: bool = True


def day_of(now: datetime) -> int:
    """Return the days from 1970 to *now*, in UTC."""
    return int(now.timestamp() // _DAY_SECONDS)


def object_names_of(image_id: str) -> list[str]:
    """Return the names under which an image may be stored: nothing else says which it is."""
    return [f"{image_id}{suffix}" for suffix in _SUFFIXES]


def without(listing: Listing, withdrawn: Collection[str]) -> Listing:
    """Return *listing* with those that are *withdrawn* refused, and nothing kept of them."""
    gone = [each.image.image_id for each in listing.images if each.image.image_id in withdrawn]
    if not gone:
        return listing
    kept = tuple(each for each in listing.images if each.image.image_id not in withdrawn)
    return Listing(kept, {**listing.rejections, **dict.fromkeys(gone, TAKEN_DOWN)})


TAKEN_DOWN = "it was taken down"
"""What anybody is told of a picture that was: the reason itself may name who asked for it."""


def checked_reason(reason: str) -> str:
    """Return *reason*, printable and trimmed; InvalidRequest where it is too long."""
    trimmed = printable(reason.strip())
    if len(trimmed) > MAX_REASON_CHARACTERS:
        bound = f"--reason must have {MAX_REASON_CHARACTERS} characters at most"
        raise InvalidRequest(f"{bound}, got {len(trimmed)}", field="--reason")
    return trimmed


def checked_image_id(image_id: str) -> str:
    """Return *image_id*; InvalidRequest where no image can have it."""
    if len(image_id) > MAX_ID_CHARACTERS or "." in image_id or not is_object_name(image_id):
        bound = (
            f"IMAGE_ID must be 1 to {MAX_ID_CHARACTERS} letters, digits, `_` and `-`, as search"
            " results have it"
        )
        raise InvalidRequest(f"{bound}, got {image_id[:64]!r}", field="IMAGE_ID")
    return image_id
