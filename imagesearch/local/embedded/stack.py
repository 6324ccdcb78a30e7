"""The one-machine edition: the true function, fetcher and service in one process.

What a person types is in `cli/`; the adapters in use are chosen in `services.py`.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import functions_framework
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp
from werkzeug.test import Client

from imagesearch.compose.inference import encoders_before
from imagesearch.compose.start import hosted_by, require
from imagesearch.demo.gallery import create_gallery
from imagesearch.domain.errors import ImageSearchError, Unavailable
from imagesearch.domain.work import EmbedBatch, FetchJob
from imagesearch.doors.asgi import JsonErrors
from imagesearch.doors.errors import answer_of
from imagesearch.installation import ROOT
from imagesearch.local.asgi_from_wsgi import AsgiFromWsgi
from imagesearch.local.embedded.model_note import ModelNote
from imagesearch.local.embedded.originals import OriginalFiles, own_original
from imagesearch.local.embedded.services import EmbeddedServices
from imagesearch.local.gallery_server import running_gallery
from imagesearch.local.page_headers import PageHeaders
from imagesearch.ports import Encoder
from imagesearch.settings import Settings
from imagesearch.sources.demo import KEYWORDS
from imagesearch.wire.messages import TOPIC_OF
from inference_service.app import create_app
from inference_service.encoder import ModelEncoder

GALLERY_PATH = "/demo"  # where the site has it, for people; the fetcher asks its own server
SEARCH_THREADS = 96  # more than the searches that may wait, each of which holds its thread
OTHER_THREADS = 8  # for the page, `/alive` and the like, which must not queue behind searches
MAX_JOBS = 1_000  # that may wait to be fetched: some five minutes of work, on Pixabay ten
STOP_SECONDS = 5.0  # for deliveries in hand; what is cut off is resumed at the next start
logger = logging.getLogger(__name__)


class Stack:
    """
    Everything that answers a search on one machine.

    Attributes:
        services: the ports and use cases.
        query: the public function, as the Flask app of functions-framework.
        app: what `imagesearch serve` serves: the page, the images and the query function.
        demo_keywords: those that the demo gallery has pictures of; none with a Pixabay key.
    """

    def __init__(
        self, services: EmbeddedServices, gallery: Starlette | None, lock: FolderLock | None = None
    ) -> None:
        self.services = services
        self._lock = lock
        self.demo_keywords = KEYWORDS if services.settings.is_demo else ()
        self.query = mount("query", services.query)
        self.app = _site(self, gallery)
        fetch = Client(mount("fetch", services.fetch))
        bus = services.bus
        fetching = _wsgi_endpoint(fetch, "/")
        bus.subscribe(TOPIC_OF[FetchJob], fetching, workers=2, max_waiting=MAX_JOBS)
        # Two, so that the next batch is read and decoded while the model is at work on this one.
        bus.subscribe(
            TOPIC_OF[EmbedBatch],
            _asgi_endpoint(create_app(services.inference), "/events/embed"),
            workers=2,
        )
        bus.subscribe_dead_letters(_wsgi_endpoint(fetch, "/dead-letter"))

    def announce(self, url: str) -> None:
        """Tell others who want the same data folder that they can ask at *url*."""
        if self._lock is not None:
            self._lock.announce(url)


@contextmanager
def running_stack(
    settings: Settings, tell: Callable[[str], object] = logger.info
) -> Iterator[Stack]:
    """
    Yield a stack at work on `settings.data_dir`; one process at a time may have it.

    Args:
        tell: is told of what only a model's first start takes long for.

    Raises:
        InvalidRequest: the source lacks a setting.
        FolderInUse: another process works on that folder.
        Unavailable: the folder cannot be used, the model cannot be loaded, or the catalog
            cannot be opened.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(closing(FolderLock(settings.data_dir)))
        if settings.is_demo:
            server = running_gallery(lambda _: create_gallery(GALLERY_PATH))
            gallery_url = stack.enter_context(server)
            settings = settings.model_copy(update={"gallery_url": gallery_url})
        require(settings, *settings.image_source.needs)  # before a model is downloaded
        load = partial(ModelEncoder.load, tell=tell)
        encoder = load(settings.model)
        stack.callback(encoder.close)
        before = _encoders_before(settings, load)
        for each in before:
            stack.callback(each.close)
        services = EmbeddedServices(settings, encoder, before=before, on_new_folder=lock.renew)
        stack.callback(services.close)
        gallery = create_gallery(GALLERY_PATH) if settings.is_demo else None
        running = Stack(services, gallery, lock)
        services.renew_own()
        services.sweep()
        services.bus.start()
        stack.callback(services.stop, STOP_SECONDS)
        services.resume()
        yield running


def _encoders_before(settings: Settings, load: Callable[[str], Encoder]) -> list[Encoder]:
    """Return the model that embedded what is stored, if it is another one and is there still."""
    if settings.previous_clip_model:
        return encoders_before(settings, load)
    model = ModelNote(settings).before
    try:
        return [load(model)] if model else []
    except Unavailable as error:
        logger.warning("pools wait for the new model, as the one before is gone: %s", error)
        return []


_ONE_FOR_ALL = "end it, or run `imagesearch serve` in its place, which all others ask"


class FolderInUse(Unavailable):
    """Another process works on the data folder; *url* is its HTTP door, if it has one yet."""

    def __init__(self, folder: Path, url: str | None) -> None:
        which = f"the imagesearch at {url}" if url else f"another imagesearch: {_ONE_FOR_ALL}"
        super().__init__(f"DATA_DIR {folder} is in use by {which}")
        self.url = url


class FolderLock:
    """
    The lock on the data *folder*, which ends with the process however it ends.

    Raises:
        FolderInUse: another process has it.
        Unavailable: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._url = ""
        self._lock = self._take()

    def announce(self, url: str) -> None:
        """Tell others who want the folder that they can ask at *url*."""
        self._url = url
        self._lock.truncate(0)
        self._lock.write(url)
        self._lock.flush()

    def renew(self) -> None:
        """Take the lock of the folder that is there, if the one that was taken is gone."""
        if self._is_there():
            return
        lock = self._take()
        self._lock.close()
        self._lock = lock
        self.announce(self._url)

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat((self._folder / "lock").stat(), os.fstat(self._lock.fileno()))
        except OSError:
            return False

    def _take(self) -> IO[str]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / "lock").open("a+", errors="replace")
        except OSError as error:
            reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise Unavailable(f"DATA_DIR {self._folder} cannot be used: {reason}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with lock:
                raise FolderInUse(self._folder, _read_url(lock)) from None
        lock.truncate(0)
        return lock


def _read_url(lock: IO[str]) -> str | None:
    lock.seek(0)
    return lock.read().strip() or None


def mount(name: str, process: object) -> Flask:
    """Return the app of the function *name*, at work in *process*."""
    source = ROOT / "functions" / name / "main.py"
    path = sys.path[:]
    with hosted_by(process):
        app: Flask = functions_framework.create_app(name, str(source), "http")  # type: ignore[no-untyped-call]  # the framework has no types
    # The framework appends the function's folder, which has main.py alone, once for each app: every
    # later look for a module would read them all.
    sys.path[:] = path
    return app


def _wsgi_endpoint(client: Client, path: str) -> Callable[[bytes], int]:
    def post(body: bytes) -> int:
        with client.post(path, data=body, content_type="application/json") as response:
            return int(response.status_code)

    return post


def _asgi_endpoint(app: ASGIApp, path: str) -> Callable[[bytes], int]:
    async def post(body: bytes) -> int:
        import httpx  # here: a start that embeds nothing need not wait for it

        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            headers = {"Content-Type": "application/json"}
            return (await client.post(path, content=body, headers=headers)).status_code

    return lambda body: asyncio.run(post(body))


def _site(stack: Stack, gallery: Starlette | None) -> ASGIApp:
    searches = AsgiFromWsgi(stack.query, SEARCH_THREADS)
    others = AsgiFromWsgi(stack.query, OTHER_THREADS)
    images = OriginalFiles(stack.services.originals)
    # A canvas of another origin may draw the stored images, as from the cloud's bucket.
    any_origin = [Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["*"])]
    headers = Middleware(PageHeaders)
    own = own_original(stack.services.pictures, stack.services.originals.withdrawn)
    routes: list[Route | Mount] = [
        Route("/search", searches),
        Mount("/images", images, middleware=[headers, *any_origin]),
        Route(
            "/originals/{image_id}",
            own,
            middleware=[headers],
        ),
        *([Mount(GALLERY_PATH, gallery, middleware=[headers])] if gallery else []),
        Mount("/", others),
    ]
    return JsonErrors(
        Starlette(routes=routes, exception_handlers={ImageSearchError: _answer_error})
    )


def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ImageSearchError)  # noqa: S101 - how Starlette types a handler
    logger.warning("%s: %s", request.url.path, error)
    answer = answer_of(error)
    return Response(answer.body, answer.status, answer.headers)
