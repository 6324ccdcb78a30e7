"""Where the cloud's processes keep originals: the vendor is one line, for all of them.

Beside them the query function opens originals, where the bucket is closed to the public.
"""

from __future__ import annotations

from imagesearch.adapters.stores import gcs as vendor
from imagesearch.ports import ImageStore
from imagesearch.settings import Settings


def image_store_of(settings: Settings) -> ImageStore:
    """Return the store that the settings name, which connects when it is first used."""
    return vendor.connect(settings.google_cloud_project, settings.images_bucket)
