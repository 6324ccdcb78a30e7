"""The filter `source`: where an image comes from, as its credit says."""

from __future__ import annotations

from imagesearch.domain.filters.declaration import naming

SOURCE = naming("source", "Only images from this source, such as Pixabay.", longest=100)
