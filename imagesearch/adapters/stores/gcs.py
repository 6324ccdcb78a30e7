"""The image store of the cloud edition: one bucket of Google Cloud Storage.

The folder of files, the same port on one machine, has a file of its own beside this one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from imagesearch.adapters.cloud_storage import limits, prepare
from imagesearch.adapters.google_errors import translated
from imagesearch.domain.errors import NotFound, Unavailable
from imagesearch.domain.object_names import checked_object_name, media_type_of

_CACHE_CONTROL = "public, max-age=86400"  # an image keeps its name for life; see Pixabay's 24 h
_CONNECTIONS = 8  # at a time, to look names up

_logger = logging.getLogger(__name__)


def connect(project: str, bucket: str) -> GcsStore:
    """
    Return the store in *bucket*, which connects when first used.

    STORAGE_EMULATOR_HOST names an emulator. Without credentials every call is Unavailable.
    """

    def open_bucket() -> Any:
        from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed

        return Client(project=project).bucket(bucket)

    return GcsStore(open_bucket)


class GcsStore:
    """
    The port `ImageStore` over the `google.cloud.storage.Bucket` that *open_bucket* returns.

    That is called when the bucket is first needed: the SDK takes a while to import. An object is
    one upload with its checksum: it is whole or not there.

    Args:
        total_seconds: how long a call may go on trying again; a single try waits as long, but
            5 s at most, for the connection and for each part of the answer.

    Raises:
        InvalidRequest: a name is none, see `checked_object_name`; from every method.
        Overloaded: a quota is used up; from every method.
        Unavailable: the bucket does not answer, is not there or refuses us; from every method.
    """

    def __init__(self, open_bucket: Callable[[], Any], *, total_seconds: float = 15.0) -> None:
        self._open_bucket = open_bucket
        self._opened: Any = None
        self._opening = threading.Lock()
        self._total_seconds = total_seconds

    @property
    def _bucket(self) -> Any:
        with self._opening, translated("Cloud Storage"):
            if self._opened is None:
                bucket = self._open_bucket()
                prepare(bucket.client)
                self._opened = bucket
            return self._opened

    def close(self) -> None:
        """Close the connections that are kept for later requests."""
        if self._opened is not None:
            self._opened.client.close()

    def put(self, name: str, data: bytes) -> None:
        """Store *data* as *name*, whole or not at all, for anyone's cache to keep a day."""
        blob = self._blob(name)
        blob.cache_control = _CACHE_CONTROL
        with _translated(name):
            # Trying again is safe without a generation: the same bytes replace themselves.
            blob.upload_from_string(data, content_type=media_type_of(name), **self._limits())

    def get(self, name: str) -> bytes:
        """Return the bytes of *name*, checked by their checksum; NotFound when there is none."""
        from google.api_core import exceptions as api

        blob = self._blob(name)
        with _translated(name):
            try:
                data: bytes = blob.download_as_bytes(**self._limits())
            except api.NotFound as error:
                self._check_bucket()
                raise NotFound(f"no image is stored as {name}") from error
        return data

    def existing(self, names: Collection[str]) -> set[str]:
        """Return those of *names* that are stored: 8 are asked about at a time."""
        blobs = [self._blob(name) for name in sorted(set(names))]
        if not blobs:
            return set()
        with translated("Cloud Storage"), ThreadPoolExecutor(_CONNECTIONS) as threads:
            existence = threads.map(lambda blob: blob.exists(**self._limits()), blobs)
            stored = {blob.name for blob, exists in zip(blobs, existence, strict=True) if exists}
            if not stored:
                self._check_bucket()
        return stored

    def delete(self, names: Collection[str]) -> int:
        """
        Delete *names*, 8 at a time, and return how many were there.

        Without a generation: whichever upload of a name is there is what is to go, and a try that
        comes after its own success finds nothing.
        """
        blobs = [self._blob(name) for name in sorted(set(names))]
        if not blobs:
            return 0
        with translated("Cloud Storage"), ThreadPoolExecutor(_CONNECTIONS) as threads:
            gone = sum(threads.map(self._is_deleted, blobs))
            if not gone:
                self._check_bucket()
        return gone

    def _is_deleted(self, blob: Any) -> bool:
        from google.api_core import exceptions as api

        try:
            blob.delete(**self._limits())
        except api.NotFound:
            return False
        return True

    def _check_bucket(self) -> None:
        """Raise the SDK's NotFound for a missing bucket, which answers like a missing object."""
        for _ in self._bucket.list_blobs(max_results=1, **self._limits()):
            return

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(checked_object_name(name))

    def _limits(self) -> dict[str, Any]:
        return limits(self._total_seconds)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Translate what the SDK raises about the object *name*, its failed checksum too."""
    from google.cloud.storage.exceptions import DataCorruption  # type: ignore[import-untyped]

    with translated("Cloud Storage"):
        try:
            yield
        except DataCorruption as error:
            _logger.warning("%s came damaged: %s", name, error)
            raise Unavailable(f"Cloud Storage: {name} came damaged") from error
