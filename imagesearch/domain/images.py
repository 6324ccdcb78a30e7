"""Images, what a source offers of them, and their embeddings, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.pixels import PixelFacts

# The functions compute nothing: numpy would be a third of the CPU that their import takes.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Embedding: TypeAlias = "NDArray[np.float32]"  # (embedding_dim,), unit L2 norm


Embeddings: TypeAlias = "NDArray[np.float32]"  # (n, embedding_dim), rows of unit L2 norm


PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .avif .gif .bmp .tif .tiff .mpo .jp2 .heic .heif".split()
)
"""Of files that may be pictures, in lower case; cameras' raw formats are not read."""


def weights_of(model_revision: str) -> str:
    """Return what is left of *model_revision* without the version of its preprocessing."""
    return re.sub(r"-p[0-9]+$", "", model_revision)


def as_cached(embeddings: Embeddings) -> Embeddings:
    """Return *embeddings* with the digits that the cache keeps: all processes rank alike."""
    return embeddings.astype("float16").astype("float32")


FIRST_YEAR, LAST_YEAR = 1800, 2100  # between which years of images lie


@dataclass(frozen=True)
class Credit:
    """
    Whom an image is by and where it comes from, shown beside it.

    Attributes:
        licence, licence_url: under which it may be used, as `CC BY-SA 4.0`, and where that is
            written; "" where the source names none of each image.
    """

    user: str
    source: str
    licence: str = ""
    licence_url: str = ""


@dataclass(frozen=True)
class Collected:
    """
    What is kept of an image of a collection beside what any image has, see `collections.py`.

    Attributes:
        collections: the names of those that have it.
        folders: all that its files lie in, within their collections, and those around them.
        albums: that it was put into.
        file: the path of the first of its files, within its collection.
        title: what somebody called it, in a line.
        camera: make and model of what it was taken with.
        rating: 1 to 5, -1 of a picture that was rejected, 0 where nobody judged it.
        place: latitude and longitude in degrees, where they are known and kept.
        apart: of one that several collections have, each folder with its collection, as texts
            of `folder_in`.
    """

    collections: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()
    file: str = ""
    title: str = ""
    camera: str = ""
    rating: int = 0
    place: tuple[float, float] | None = None
    apart: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """
    One stored or listed image.

    Attributes:
        image_id: unique over all sources, `pixabay-736885`.
        object_name: its name in the image store, `pixabay-736885.jpg`.
        page_url: the source's page about it, for the credit.
        width, height: pixels of the stored copy as the source states them.
        pixels: what was kept of its pixels when it was embedded; None of an image that only is
            listed, or was embedded by a version that kept nothing.
        year, month: when it came to its source, or an own picture was taken; 0 where that is not
            known.
        collected: of an image of a collection; None of any other.
    """

    image_id: str
    object_name: str
    page_url: str
    width: int
    height: int
    credit: Credit
    tags: tuple[str, ...] = ()
    pixels: PixelFacts | None = None
    year: int = 0
    month: int = 0
    collected: Collected | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is searched by words: its tags, and an own picture's title and folders."""
        if self.collected is None:
            return self.tags
        return (*self.tags, *filter(None, (self.collected.title, *self.collected.folders)))

    @property
    def colours(self) -> int:
        """A bit for each of its main colours, see `PixelFacts`; 0 where they are not known."""
        return self.pixels.colours if self.pixels else 0


@dataclass(frozen=True)
class ListedImage:
    """
    An image that a source offers for a pool, and where its bytes are for 24 hours.

    Attributes:
        origin: what it is called where its source has it from, as `flickr-51745389858`; None where
            that is not told.
    """

    image: Image
    download_url: str
    origin: str | None = None


@dataclass(frozen=True)
class Listing:
    """What a source offers for a pool, in its order; *rejections* maps image_id to reason."""

    images: tuple[ListedImage, ...]
    rejections: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Listing:
        """Return the listing of *entries*, no two of which have the same image_id."""
        kept = dict(entries)
        images = tuple(outcome for outcome in kept.values() if isinstance(outcome, ListedImage))
        reasons = {
            key: str(outcome) for key, outcome in kept.items() if isinstance(outcome, RejectedImage)
        }
        return cls(images, reasons)

    @property
    def entries(self) -> list[Entry]:
        """What it is made of: its images, then what is rejected."""
        reasons = ((key, RejectedImage(why)) for key, why in self.rejections.items())
        return [*((listed.image.image_id, listed) for listed in self.images), *reasons]

    @classmethod
    def joined(cls, pages: Iterable[Listing]) -> Listing:
        """Return one listing of *pages*, of which no two have the same image."""
        images: list[ListedImage] = []
        rejections: dict[str, str] = {}
        for page in pages:
            images += page.images
            rejections |= page.rejections
        return cls(tuple(images), rejections)


Entry: TypeAlias = tuple[str, ListedImage | RejectedImage]
"""What stands in one place of a source's listing: an image_id, and the image or why it is none."""


def new_in_each(pages: Iterable[Iterable[Entry]], most: int) -> Iterator[Listing]:
    """
    Yield of each page what no earlier one had, and no more than *most* entries in all.

    No page is asked for after those, or after one that brings nothing new.
    """
    seen: set[str] = set()
    for page in pages:
        new: list[Entry] = []
        for image_id, entry in page:
            if image_id in seen or len(seen) == most:
                continue
            seen.add(image_id)
            new.append((image_id, entry))
        yield Listing.of(new)
        if len(seen) == most or not new:
            return


@dataclass(frozen=True)
class PackedPool:
    """All that a search on a pool needs: row i of *embeddings* belongs to `images[i]`."""

    images: tuple[Image, ...]
    embeddings: Embeddings  # (n, embedding_dim)
