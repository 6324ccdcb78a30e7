"""The stored originals as one machine serves them: a lost one comes back when it is asked for.

In the cloud a bucket keeps them, and serves them by itself.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection
from typing import Any

from cachetools import TTLCache
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from imagesearch.adapters.stores.collections import CollectionStore
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.collections import is_downloaded, is_own
from imagesearch.domain.errors import (
    ImageSearchError,
    InvalidRequest,
    NotFound,
    RejectedImage,
    Unavailable,
)
from imagesearch.domain.images import ListedImage, Listing
from imagesearch.domain.object_names import image_id_of
from imagesearch.domain.pools import SourceOptions
from imagesearch.doors.errors import NO_SNIFFING
from imagesearch.folders.formats import PREVIEW_SIDE, media_type, preview
from imagesearch.ports import ImageSource

OWN_CACHE_CONTROL = "private, no-cache"
IMAGE_CACHE_CONTROL = "public, max-age=86400"  # as of the cloud's bucket
_DOWNLOADS = 8  # at a time: each holds a thread that serves files
_REST_SECONDS = 60.0  # in which what could not be had is not asked for again
_LINK_SECONDS = 3600.0  # of the 24 hours that a source's links are good for
_ORIGINAL_HEADERS = {"Cache-Control": "private, no-cache", **NO_SNIFFING}
_logger = logging.getLogger(__name__)

_Links = dict[str, ListedImage]
# Returns a keyword and its options whose pool listed an original, and as what; or None.
_Listed = Callable[[str], tuple[str, SourceOptions, ListedImage] | None]


class Originals:
    """
    The originals of *store*; *source* is asked again for one that is missing or damaged.

    Args:
        listed: says as what, and for which keyword, an original was listed.
        own: has the pictures of collections' images, of which the store keeps previews.
        withdrawn: returns the images that were taken down, which nobody is given.
    """

    def __init__(
        self,
        listed: _Listed,
        store: FolderStore,
        source: ImageSource,
        own: CollectionStore,
        withdrawn: Callable[[], Collection[str]],
    ) -> None:
        self._listed, self._store, self._source, self._own = listed, store, source, own
        self.withdrawn = withdrawn
        self._places = threading.Semaphore(_DOWNLOADS)
        self._given_up: TTLCache[str, bool] = TTLCache(10_000, _REST_SECONDS)
        self._links: TTLCache[tuple[str, SourceOptions], _Links] = TTLCache(100, _LINK_SECONDS)
        self._listing = threading.Lock()  # a listing costs the source's quota, and has all links
        self._lock = threading.Lock()

    def path(self, name: str) -> str:
        """
        Return the path of the file that holds the original *name*.

        Raises:
            InvalidRequest: *name* is none, see `checked_object_name`.
            NotFound: it is not stored, and cannot be had again now.
            Unavailable: the folder cannot be read, or many lost ones are asked for at once.
        """
        # What was downloaded for a list is shown as any own picture is: by the id of its image.
        if image_id_of(name) in self.withdrawn() or is_downloaded(name):
            raise NotFound(f"no image is stored as {name}")
        if is_own(name) and not self._own.existing([name]):
            raise NotFound(f"no collection has {name} any more")
        if self._store.is_sound(name):
            with self._lock:
                self._given_up.pop(name, None)  # a fetch has stored it since
        else:
            self._restore(name)
        # What comes without its end from the source itself is shown as it is.
        path = self._store.path(name)
        if path is None:
            raise NotFound(f"no image is stored as {name}")
        return str(path)

    def _restore(self, name: str) -> None:
        with self._lock:
            if name in self._given_up:
                return
        if not self._places.acquire(blocking=False):
            raise Unavailable(f"{_DOWNLOADS} lost images are being fetched", retry_after_seconds=1)
        try:
            self._store.put(name, self._download(name))
        except ImageSearchError as error:
            _logger.warning("the lost original %s cannot be had: %s", name, error)
            with self._lock:
                self._given_up[name] = True
        else:
            _logger.info("the lost original %s was downloaded again", name)
            if not self._store.is_sound(name):
                with self._lock:
                    self._given_up[name] = True
        finally:
            self._places.release()

    def _download(self, name: str) -> bytes:
        if is_own(name):
            return preview(self._own.get(name), PREVIEW_SIDE)
        listed = self._listed(name)
        if listed is None:
            raise NotFound("no keyword's images have it now")
        keyword, options, image = listed
        try:
            return self._source.download(image)
        except (RejectedImage, Unavailable):  # its link is over, perhaps
            return self._source.download(self._listed_anew(keyword, options, image))

    def _listed_anew(self, keyword: str, options: SourceOptions, image: ListedImage) -> ListedImage:
        with self._listing:
            links = self._links.get((keyword, options))
            if links is None:
                listing = Listing.joined(self._source.pages(keyword, options))
                links = {listed.image.object_name: listed for listed in listing.images}
                self._links[keyword, options] = links
        if image.image.object_name not in links:
            raise NotFound("its source offers it no more")
        return links[image.image.object_name]


class OriginalFiles(StaticFiles):
    """The door to *originals*: one name is one file, and all else is not found."""

    def __init__(self, originals: Originals) -> None:
        super().__init__()
        self._originals = originals

    def get_path(self, scope: Scope) -> str:
        """Return what stands behind the route, as it was asked for: `a.jpg/` is no name."""
        path: str = scope["path"]
        return path.removeprefix(scope.get("root_path", "")).removeprefix("/")

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return what Starlette answers with a file; an image keeps its name for life."""
        response = super().file_response(*args, **kwargs)
        path = str(args[0] if args else kwargs["full_path"])
        # Of one's own pictures no proxy keeps a copy.
        own = is_own(path.rpartition("/")[2])
        response.headers["Cache-Control"] = OWN_CACHE_CONTROL if own else IMAGE_CACHE_CONTROL
        return response

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the file's path and status; this runs in a thread."""
        try:
            full_path = self._originals.path(path)
            return full_path, os.stat(full_path)
        except (InvalidRequest, NotFound, FileNotFoundError):
            return "", None


def own_original(
    pictures: CollectionStore, withdrawn: Callable[[], Collection[str]]
) -> Callable[[Request], Response]:
    """Return the door to the files of collections, each by the id of its image and no other way."""

    def answer(request: Request) -> Response:
        image_id = request.path_params["image_id"]
        if image_id in withdrawn():  # first: it lies in its folder, list or shard as before
            raise NotFound(f"there is no original of {image_id[:100]!r}")
        path = pictures.path(image_id)
        if path is None:
            return _without_a_file(pictures, image_id)
        return FileResponse(
            path, filename=path.name, content_disposition_type="inline", headers=_ORIGINAL_HEADERS
        )

    return answer


def _without_a_file(pictures: CollectionStore, image_id: str) -> Response:
    """Return what lies in a shard, or was downloaded."""
    name = f"{image_id}.jpg"
    try:
        picture = pictures.get(name) if is_own(name) else b""
    except (NotFound, RejectedImage):
        picture = b""
    if not picture:
        raise NotFound(f"there is no original of {image_id[:100]!r}")
    return Response(picture, media_type=media_type(picture), headers=_ORIGINAL_HEADERS)
