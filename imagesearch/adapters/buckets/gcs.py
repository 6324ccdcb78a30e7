"""The port `Buckets` over Cloud Storage: the objects of other people's buckets, which are read.

The bucket that images are stored in is `stores/gcs.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from imagesearch.adapters.cloud_storage import limits, prepare
from imagesearch.adapters.google_errors import translated
from imagesearch.domain.buckets import BucketRoot
from imagesearch.domain.errors import NotFound, RejectedImage
from imagesearch.ports import ListedObject

_SECONDS = 30.0  # an object may have 20 MB and more
_FIELDS = "items(name,size,generation),nextPageToken"


def connect(project: str) -> GcsBuckets:
    """
    Return the buckets that *project*'s service account may read; it connects when first used.

    STORAGE_EMULATOR_HOST names an emulator. Without credentials every call is Unavailable.
    """

    def make_client() -> Any:
        from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed

        return Client(project=project)

    return GcsBuckets(make_client)


class GcsBuckets:
    """
    The port `Buckets` over the client that *make_client* makes when it is first needed.

    Args:
        total_seconds: how long a call may go on trying again.
    """

    def __init__(self, make_client: Callable[[], Any], *, total_seconds: float = _SECONDS) -> None:
        self._make_client = make_client
        self._made: Any = None
        self._making = threading.Lock()
        self._total_seconds = total_seconds

    def listed(self, root: BucketRoot, *, after: str, most: int) -> list[ListedObject]:
        """
        Return the first *most* objects whose names come after *after*: see the port.

        Raises:
            NotFound: the bucket is not there, or may not be listed: which of the two is not told.
        """
        from google.api_core import exceptions as api

        with translated("Cloud Storage"):
            try:
                objects = self._found(root, after, most)
            except (api.Forbidden, api.NotFound) as error:
                raise NotFound(
                    f"the bucket {root.bucket} is not there, or may not be listed by the fetch"
                    " function's service account: Terraform's `collections` has that granted"
                ) from error
        # The emulator knows neither of offsets nor of an order.
        later = sorted((each for each in objects if each.name > after), key=lambda each: each.name)
        return later[:most]

    def get(self, bucket: str, name: str, generation: int, most: int) -> bytes:
        """Return the first *most* bytes of the object, as this generation has them."""
        from google.api_core import exceptions as api

        blob = self._client.bucket(bucket).blob(name, generation=generation)
        with translated("Cloud Storage"):
            try:
                data: bytes = blob.download_as_bytes(
                    # As it is stored: what is packed may unpack to any size.
                    **{"start": 0, "end": most - 1, "raw_download": True},
                    **limits(self._total_seconds),
                )
            except api.NotFound as error:
                raise NotFound(f"gs://{bucket}/{name} of {generation} is gone") from error
            except api.RequestRangeNotSatisfiable:  # it is empty
                return b""
            except api.Forbidden as error:  # of this one; that of a bucket is told by its listing
                raise RejectedImage("the fetch function may not read it") from error
            except api.BadRequest as error:
                raise RejectedImage(f"Cloud Storage does not give it: {error.message}") from error
        return data

    def close(self) -> None:
        """Close the connections that are kept for later requests."""
        if self._made is not None:
            self._made.close()

    def _found(self, root: BucketRoot, after: str, most: int) -> list[ListedObject]:
        blobs = self._client.list_blobs(
            root.bucket,
            prefix=root.prefix or None,
            start_offset=after or None,  # which it includes
            page_size=most + 1,
            fields=_FIELDS,
            **limits(self._total_seconds),
        )
        objects: list[ListedObject] = []
        for page in blobs.pages:  # one, unless Cloud Storage gives less than it was asked for
            objects += [ListedObject(each.name, each.size, each.generation) for each in page]
            if len(objects) > most:
                break
        return objects

    @property
    def _client(self) -> Any:
        with self._making, translated("Cloud Storage"):
            if self._made is None:
                self._made = self._make_client()
                prepare(self._made)
            return self._made
