"""Firestore in Native mode, as the cloud edition's catalog uses it: its client, limits and paths.

The ports are over it in the `firestore.py` of pools/, libraries/, retention/ and collections/.

    pools/{pool_id}                            the record: small, read often
    pools/{pool_id}/generations/{number}       listing (packed) and marks
    embeddings/{model_revision}|{image_id}     vector, the same as float32 bytes, and its image
    withdrawn/{image_id}                       a picture that was taken down, when and why
    uses/{any}                                 a day, and some images that were used on it
    collections/{name}                         a bucket that is a collection
    collected/{digest}                         a file of one, or that it went
    days/{new|catalog}                         how many new keywords, and searches over everything,
                                               each day had
    retention/{version|number}                 what changes whenever something is forgotten, and
                                               the largest number of a forgotten generation

The indexes and the TTL policies on `expire_at` are Terraform's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imagesearch.adapters.google_errors import translated

if TYPE_CHECKING:  # the SDK takes 0.3 s to import: it is loaded with the client
    from google.cloud.firestore import Client

MAX_WRITES = 500  # in a commit
_PAGE_DOCUMENTS = 300  # read in a call


def connect(project: str, *, database: str = "(default)") -> Firestore:
    """
    Return *database* of *project*, which connects when first used.

    FIRESTORE_EMULATOR_HOST names an emulator. Without credentials every call is Unavailable.
    """

    def client() -> Client:
        from google.cloud.firestore import Client

        return Client(project=project, database=database)

    return Firestore(client)


class Firestore:
    """
    A database, over the client that *make_client* makes when it is first needed.

    Args:
        total_seconds: how long a call may take with its retries, and how long a change of a pool
            goes on being decided anew because others change it; then Unavailable. Tests alone set
            it: each of 16 statuses would take it in full, and emulators on a busy machine longer.
    """

    def __init__(self, make_client: Callable[[], Client], *, total_seconds: float = 10.0) -> None:
        self.total_seconds = total_seconds
        self._make_client = make_client
        # The SDK's own annotations of retry, field paths and streams do not fit their use.
        self._made: Any = None
        self._making = threading.Lock()

    @property
    def client(self) -> Any:
        """The client."""
        with self._making:
            if self._made is None:
                self._made = self._make_client()
            return self._made

    def limits(self) -> dict[str, Any]:
        """Return the arguments of a call that have it try again what may pass, soon, in time."""
        from google.api_core import exceptions as api
        from google.api_core.retry import Retry, if_exception_type

        passing = if_exception_type(
            api.Cancelled, api.InternalServerError, api.ServiceUnavailable, api.Unknown
        )
        limit = self.total_seconds
        retry = Retry(passing, initial=0.1, maximum=1.0, multiplier=2.0, timeout=limit)
        return {"retry": retry, "timeout": limit}

    def pool(self, pool_id: str) -> Any:
        """Return the reference of a pool's document."""
        return self.client.collection("pools").document(document_id(pool_id))

    def generation(self, pool_id: str, number: int) -> Any:
        """Return the reference of a generation's document."""
        return self.pool(pool_id).collection("generations").document(str(number))

    def embedding(self, image_id: str, model_revision: str) -> Any:
        """Return the reference of an embedding's document."""
        name = embedding_id(image_id, model_revision)
        return self.client.collection("embeddings").document(name)

    def counter(self) -> Any:
        """Return the reference of the largest number of a generation that was forgotten."""
        return self.client.collection("retention").document("number")

    def days(self, what: str) -> Any:
        """Return the reference of how many of *what* each day had."""
        return self.client.collection("days").document(what)

    def pages(self, query: Any) -> Iterator[Any]:
        """Yield the documents of *query*, which is ordered, a page at a time."""
        last = None
        while True:
            with translated("Firestore"):
                page = query.limit(_PAGE_DOCUMENTS)
                page = page.start_after(last) if last else page
                documents = page.get(**self.limits())
            yield from documents
            if len(documents) < _PAGE_DOCUMENTS:
                return
            last = documents[-1]

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._made is not None:
            # The client's own close() knows of its HTTP session only, which it never opens.
            self._made._firestore_api.transport.close()


def document_id(text: str) -> str:
    """
    Return *text* as an id that Firestore takes: not empty, no `/`, neither `.` nor `__x__`.

    Source: firebase.google.com/docs/firestore/quotas, "Constraints on document IDs".
    """
    return quote(text, safe="").replace(".", "%2E").replace("_", "%5F") or "%"


def embedding_id(image_id: str, model_revision: str) -> str:
    """Return the id of an embedding's document; those of one model are in order of image_id."""
    # The model comes as a digest: its id has slashes and may be long.
    return f"{sha256(model_revision.encode()).hexdigest()[:16]}|{document_id(image_id)}"


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield *items*, at most *size* at a time."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
