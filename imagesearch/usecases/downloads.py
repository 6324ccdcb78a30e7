"""Images on their way from the source into the store: looked up, downloaded, stored, all at once.

Which images, and what becomes of those that cannot be had, is decided in `fetch.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from imagesearch.domain.errors import RejectedImage, Unavailable
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.domain.images import ListedImage
from imagesearch.domain.work import batch_slices
from imagesearch.ports import Cache, ImageSource, ImageStore
from imagesearch.telemetry import stage
from imagesearch.usecases.cache_slots import BYTES

Result = TypeVar("Result")


class DownloadFailed(Exception):
    """An image could not be had now; told apart from a store that is down."""


class Downloads:
    """
    The downloads of one fetch, begun in the order in which they are asked for.

    An image that is stored waits for no connection, and a connection for no image that is being
    stored or looked up: there are twice as many threads as connections.

    Args:
        connections: how many images are downloaded at a time. When so many in a row could not be
            had from a host it is down, and the others would only wait for their time limits: no
            further download from it begins. Other hosts are not to blame.
        stopping: set when no download may begin any more.
        withdrawn: returns the images that were taken down, which are stored no more.
    """

    def __init__(
        self,
        source: ImageSource,
        store: ImageStore,
        cache: Cache,
        *,
        connections: int,
        stopping: threading.Event,
        withdrawn: Callable[[], Collection[str]],
    ) -> None:
        self._source, self._store, self._cache = source, store, cache
        self._connections = threading.Semaphore(connections)
        self._most_failures = connections
        self._failures: dict[str, int] = {}  # in a row, by host
        self._failures_lock = threading.Lock()
        self._stopping = stopping
        self._withdrawn = withdrawn
        self._lookups = ThreadPoolExecutor(1, thread_name_prefix="lookup")
        self._threads = ThreadPoolExecutor(2 * connections, thread_name_prefix="download")
        self._stored: dict[str, Future[set[str]]] = {}  # by image_id: the names that are
        self._begun: dict[str, Future[bool]] = {}

    def begin(self, images: Sequence[ListedImage]) -> list[Future[bool]]:
        """
        Begin with those of *images* that have not begun; return the outcome of each.

        True when it was downloaded, False when it was stored already. It raises RejectedImage,
        DownloadFailed, or what the store raises.
        """
        self._look_up(images)
        for listed in images:
            if listed.image.image_id not in self._begun:
                future = _submit(self._threads, self._settle, listed)
                self._begun[listed.image.image_id] = future
        return [self._begun[listed.image.image_id] for listed in images]

    def are_stored(self, images: Sequence[ListedImage]) -> bool:
        """Return whether all of *images* are stored."""
        self._look_up(images)
        return all(self._is_stored(listed) for listed in images)

    def close(self) -> None:
        """Return when those at work are over, and drop the others."""
        for threads in (self._lookups, self._threads):
            threads.shutdown(wait=True, cancel_futures=True)

    def _look_up(self, images: Sequence[ListedImage]) -> None:
        """Ask which are stored, a batch at a time: the first need not wait for the last."""
        new = [listed for listed in images if listed.image.image_id not in self._stored]
        for part in batch_slices(len(new)):
            names = [listed.image.object_name for listed in new[part]]
            answer = _submit(self._lookups, self._existing, names)
            self._stored.update((listed.image.image_id, answer) for listed in new[part])

    @stage("existing")
    def _existing(self, names: Collection[str]) -> set[str]:
        return self._store.existing(names)

    def _is_stored(self, listed: ListedImage) -> bool:
        return listed.image.object_name in self._stored[listed.image.image_id].result()

    def _settle(self, listed: ListedImage) -> bool:
        """Make sure that the image is stored; True when it had to be downloaded."""
        self._check(listed)
        if self._is_stored(listed):
            return False
        data = self._download(listed)
        self._check(listed)  # that may have taken a while
        self._store.put(listed.image.object_name, data)
        self._cache.put(BYTES, listed.image.image_id, data)
        return True

    def _check(self, listed: ListedImage) -> None:
        if listed.image.image_id in self._withdrawn():
            raise RejectedImage(TAKEN_DOWN)

    def _download(self, listed: ListedImage) -> bytes:
        with self._connections:
            host = _host(listed.download_url)
            if self._is_given_up(host) or self._stopping.is_set():
                raise DownloadFailed("not tried after others failed")
            failed = False
            try:
                return self._source.download(listed)
            except Unavailable as error:
                failed = True
                raise DownloadFailed(str(error)) from error
            finally:
                self._count(host, failed)

    def _is_given_up(self, host: str) -> bool:
        return self._failures.get(host, 0) >= self._most_failures

    def _count(self, host: str, failed: bool) -> None:
        with self._failures_lock:
            if not self._is_given_up(host):
                self._failures[host] = self._failures.get(host, 0) + 1 if failed else 0


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].lower()


def _submit(
    threads: ThreadPoolExecutor, function: Callable[..., Result], *arguments: object
) -> Future[Result]:
    """Run *function* in one of *threads*, as a part of the current unit of work."""
    return threads.submit(copy_context().run, function, *arguments)
