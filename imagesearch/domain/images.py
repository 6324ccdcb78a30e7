"""Images, what a source offers of them, and their embeddings, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

# The functions compute nothing: numpy would be a third of the CPU that their import takes.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Embedding: TypeAlias = "NDArray[np.float32]"  # (embedding_dim,), unit L2 norm


Embeddings: TypeAlias = "NDArray[np.float32]"  # (n, embedding_dim), rows of unit L2 norm


@dataclass(frozen=True)
class Credit:
    """Whom an image is by and where it comes from, shown beside it."""

    user: str
    source: str


@dataclass(frozen=True)
class Image:
    """
    One stored or listed image.

    Attributes:
        image_id: unique over all sources, `pixabay-736885`.
        object_name: its name in the image store, `pixabay-736885.jpg`.
        page_url: the source's page about it, for the credit.
        width, height: pixels of the stored copy as the source states them.
    """

    image_id: str
    object_name: str
    page_url: str
    width: int
    height: int
    credit: Credit
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedImage:
    """An image that a source offers for a pool, and where its bytes are for 24 hours."""

    image: Image
    download_url: str


@dataclass(frozen=True)
class Listing:
    """What a source offers for a pool, in its order; *rejections* maps image_id to reason."""

    images: tuple[ListedImage, ...]
    rejections: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PackedPool:
    """All that a search on a pool needs: row i of *embeddings* belongs to `images[i]`."""

    images: tuple[Image, ...]
    embeddings: Embeddings  # (n, embedding_dim)
