"""The filter `tag`: what people said that an image shows."""

from __future__ import annotations

from imagesearch.domain.filters.declaration import naming

TAG = naming("tag", "Only images that have this tag, or all of several.", longest=60, most=5)
