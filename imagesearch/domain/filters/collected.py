"""The filters of own pictures: `collection`, `folder`, `album` and `camera`."""

from __future__ import annotations

from imagesearch.domain.filters.declaration import naming

COLLECTION = naming("collection", "Only pictures of this collection.", longest=100)
FOLDER = naming(
    "folder",
    "Only pictures of this folder of a collection, and of those within it.",
    longest=1000,
)
ALBUM = naming("album", "Only pictures of this album.", longest=200)
CAMERA = naming("camera", "Only pictures taken with this camera.", longest=200)

OF_OWN = frozenset(each.name for each in (COLLECTION, FOLDER, ALBUM, CAMERA))
"""The names of these filters, which no other picture passes."""
