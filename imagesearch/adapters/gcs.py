"""The image store of the cloud edition: one bucket of Google Cloud Storage.

The folder of files, the same port on one machine, has a file of its own beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

from imagesearch.adapters.google_errors import translated
from imagesearch.errors import InvalidRequest, NotFound, Unavailable

# The rule of `files.FolderStore`, so that an image that one edition takes the other takes too.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
_CACHE_CONTROL = "public, max-age=86400"  # an image keeps its name for life; see Pixabay's 24 h
_TRY_SECONDS = 5.0
_CONNECTIONS = 8  # at a time; the SDK's session keeps 10 open, and uses one for itself


def connect(project: str, bucket: str) -> GcsStore:
    """
    Return the store in *bucket*; STORAGE_EMULATOR_HOST names an emulator.

    Raises:
        Unavailable: there are no credentials.
    """
    with translated("Cloud Storage"):
        from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed

        return GcsStore(Client(project=project).bucket(bucket))


class GcsStore:
    """
    The port `ImageStore` over *bucket*, a `google.cloud.storage.Bucket`.

    A name is 1..200 ASCII letters, digits, `.`, `_` or `-` that begin with a letter or a digit;
    else InvalidRequest. An object is one upload with its checksum: it is whole or not there.

    Args:
        total_seconds: how long a call may go on trying again; a single try waits as long, but
            5 s at most, for the connection and for each part of the answer.

    Raises:
        Overloaded: a quota is used up; from every method.
        Unavailable: the bucket does not answer, is not there or refuses us; from every method.
    """

    def __init__(self, bucket: Any, *, total_seconds: float = 15.0) -> None:
        self._bucket = bucket
        self._total_seconds = total_seconds

    def put(self, name: str, data: bytes) -> None:
        """Store *data* as *name*, whole or not at all, for anyone's cache to keep a day."""
        blob = self._blob(name)
        blob.cache_control = _CACHE_CONTROL
        content_type = _CONTENT_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
        with translated("Cloud Storage"):
            # Trying again is safe without a generation: the same bytes replace themselves.
            blob.upload_from_string(data, content_type=content_type, **self._limits())

    def get(self, name: str) -> bytes:
        """Return the bytes of *name*, checked by their checksum; NotFound when there is none."""
        from google.api_core import exceptions as api
        from google.cloud.storage.exceptions import DataCorruption  # type: ignore[import-untyped]

        blob = self._blob(name)
        with translated("Cloud Storage"):
            try:
                data: bytes = blob.download_as_bytes(**self._limits())
            except api.NotFound as error:
                self._check_bucket()
                raise NotFound(f"no image is stored as {name}") from error
            except DataCorruption as error:
                raise Unavailable(f"Cloud Storage: {name} came damaged: {error}") from error
        return data

    def existing(self, names: Collection[str]) -> set[str]:
        """Return those of *names* that are stored: 8 are asked about at a time."""
        blobs = [self._blob(name) for name in sorted(set(names))]
        if not blobs:
            return set()
        with translated("Cloud Storage"), ThreadPoolExecutor(_CONNECTIONS) as threads:
            found = threads.map(lambda blob: blob.exists(**self._limits()), blobs)
            stored = {blob.name for blob, exists in zip(blobs, found, strict=True) if exists}
            if not stored:
                self._check_bucket()
        return stored

    def _check_bucket(self) -> None:
        """Raise the SDK's NotFound for a missing bucket, which answers like a missing object."""
        for _ in self._bucket.list_blobs(max_results=1, **self._limits()):
            return

    def _blob(self, name: str) -> Any:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"an object name must match {_NAME.pattern}, got {name!r:.220}", field="object_name"
            )
        return self._bucket.blob(name)

    def _limits(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

        retry = DEFAULT_RETRY.with_delay(initial=0.1, maximum=1.0, multiplier=2.0)
        limit = self._total_seconds
        return {"retry": retry.with_timeout(limit), "timeout": min(limit, _TRY_SECONDS)}
