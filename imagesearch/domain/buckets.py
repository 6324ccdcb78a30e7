"""Buckets of Cloud Storage whose objects are the pictures of a collection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from imagesearch.domain.errors import InvalidRequest

SCHEME = "gs://"
MAX_OBJECT_NAME_BYTES = 1024  # cloud.google.com/storage/docs/objects#naming
MAX_ROOT_CHARACTERS = 1400  # of a scheme, a bucket's name and a prefix
# cloud.google.com/storage/docs/buckets#naming: 3 to 63 characters, and 222 of one with dots.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True)
class BucketRoot:
    """
    Where the objects of a collection are.

    Attributes:
        prefix: "" of the whole bucket, else what their names begin with, `/` at its end.
    """

    bucket: str
    prefix: str = ""

    @property
    def url(self) -> str:
        """Its `gs://BUCKET/PREFIX`, without a `/` at the end."""
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def has(self, bucket: str, name: str) -> bool:
        """Return whether the object *name* of *bucket* lies here."""
        return bucket == self.bucket and name.startswith(self.prefix) and name != self.prefix

    def is_within(self, other: BucketRoot) -> bool:
        """Return whether all that lies here lies in *other*, too."""
        return self.bucket == other.bucket and self.prefix.startswith(other.prefix)


def is_bucket(root: str) -> bool:
    """Return whether *root* is meant to be a bucket, and no folder."""
    return root.startswith(SCHEME)


def bucket_root(root: str) -> BucketRoot:
    """
    Return what `gs://BUCKET/PREFIX` says; a prefix is a folder, as `gs://BUCKET/PREFIX/`.

    Raises:
        InvalidRequest: it says no bucket, or a prefix that no object's name can begin with.
    """
    bucket, _, prefix = root.removeprefix(SCHEME).partition("/")
    if not is_bucket(root) or not _BUCKET.fullmatch(bucket):
        bound = "a bucket must be gs://BUCKET or gs://BUCKET/PREFIX"
        raise InvalidRequest(f"{bound}, got {root[:64]!r}", field="SET")
    prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    size = len(prefix.encode("utf-8", "surrogatepass"))
    if size >= MAX_OBJECT_NAME_BYTES:
        bound = f"PREFIX must have fewer than {MAX_OBJECT_NAME_BYTES} bytes"
        raise InvalidRequest(f"{bound}, got {size}", field="SET")
    return BucketRoot(bucket, prefix)


def object_url(bucket: str, name: str) -> str:
    """Return where whoever may read the bucket sees the object, signed in."""
    return f"https://storage.cloud.google.com/{bucket}/{quote(name)}"
