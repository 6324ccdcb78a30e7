"""The filter `user`: whom an image is by, as its credit says."""

from __future__ import annotations

from imagesearch.domain.filters.declaration import naming

USER = naming("user", "Only images by this user of their source.", longest=100)
