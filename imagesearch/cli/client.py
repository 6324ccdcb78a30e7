"""What the command line asks: a server elsewhere, or a stack in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rich.text import Text

from imagesearch.cli.local_stack import opened_stack, reachable_url
from imagesearch.cli.options import DEMO_NOTE, settings_with
from imagesearch.cli.terminal import err
from imagesearch.client import Client
from imagesearch.client.http import (
    EXCHANGE_SECONDS,
    Browser,
    HttpServer,
    form_of,
    reply_of,
    server_url,
)
from imagesearch.client.searching import Ask, Reply
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.printable import printable
from imagesearch.settings import Settings

if TYPE_CHECKING:
    from imagesearch.local.embedded.stack import Stack


_SERVERS_OWN = "--{option} {value}: with --url none is chosen, as the server at {url} has its own"
TURN_SECONDS = 120.0  # how long a search waits for another that has the data folder


@contextmanager
def opened_server(
    url: str | None,
    data_dir: str | None,
    *,
    model: str | None,
    source: str | None,
    turn_seconds: float = TURN_SECONDS,
) -> Iterator[HttpServer | StackServer]:
    """
    Yield the server at *url*, a stack of our own, or the server that has the folder.

    Args:
        turn_seconds: to wait for another process that has the folder, and which none can ask.
    """
    if url is not None:
        for option, value in {"model": model, "from": source}.items():
            if value is not None:
                message = _SERVERS_OWN.format(option=option, value=value, url=url)
                raise InvalidRequest(message, field=f"--{option}")
        yield _http_server(url)
        return
    settings = settings_with(data_dir=data_dir, clip_model=model, source=source)
    # Nobody serves the images of a stack of our own: the answer points at the files.
    files = (settings.data_dir / "images").resolve().as_uri()
    settings = settings.model_copy(update={"image_base_url": settings.image_base_url or files})
    from imagesearch.local.embedded.stack import FolderInUse

    try:
        with _stack_in_turn(settings, turn_seconds) as stack:
            if settings.is_demo:
                err.print(DEMO_NOTE, f"Its keywords: {', '.join(stack.demo_keywords)}.", sep="\n")
            yield StackServer(stack, reachable_url(settings.bind_address, settings.port))
    except FolderInUse as busy:
        if busy.url is None:
            raise
        own = " and ".join(filter(None, (model and "model", source and "source")))
        of_its = f": its {own} counts" if own else ""
        where = printable(f"{busy.url}, which has {settings.data_dir} open{of_its}")
        err.print(Text(f"Asking the imagesearch at {where}."))
        yield _http_server(busy.url)


@contextmanager
def _stack_in_turn(settings: Settings, turn_seconds: float) -> Iterator[Stack]:
    """Yield a stack, after the search or the start-up of another process that has the folder."""
    from imagesearch.local.embedded.stack import FolderInUse

    give_up_at = time.monotonic() + turn_seconds
    with ExitStack() as opened:
        while True:
            try:
                stack = opened.enter_context(opened_stack(settings))
                break
            except FolderInUse as busy:
                if busy.url is not None or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.5)
        yield stack


def _http_server(url: str) -> HttpServer:
    return HttpServer(server_url(url, "--url"), api_key=os.environ.get("SEARCH_API_KEY", ""))


def stack_client(stack: Stack, base_url: str = "http://localhost") -> Client:
    """Return a client of *stack* in this process; links in its answers begin with *base_url*."""
    return Client(StackServer(stack, base_url))


class StackServer:
    """The API of a stack in this process, whose own pictures are files: nobody serves them."""

    schemes: tuple[str, ...] = ("http", "https", "file")

    def __init__(self, stack: Stack, base_url: str = "http://localhost") -> None:
        self._stack, self._base_url = stack, base_url
        self._function = stack.query.test_client()
        self._browser = Browser("http://localhost", EXCHANGE_SECONDS)

    def ask(self, ask: Ask) -> Reply:
        """Return the reply, whatever its status."""
        form = form_of(ask.pictures)
        with self._function.open(
            ask.path,
            method=form.method,
            query_string=dict(ask.params),
            base_url=self._base_url,
            data=form.body,
            content_type=form.content_type,
        ) as response:
            retry_after = response.headers.get("Retry-After")
            reply = reply_of(response.status_code, response.data, retry_after)
        return Reply(reply.status, self._with_own_files(reply.body), reply.retry_after_seconds)

    def image(self, url: str) -> bytes:
        """Return the bytes at *url*: a file of the data folder, or where IMAGE_BASE_URL says."""
        if urlsplit(url).scheme != "file":
            return self._browser.image(url)
        return Path(unquote(urlsplit(url).path)).read_bytes()

    def begin_collections(self) -> None:
        """Have the updates made that are asked for, as a server does."""
        self._stack.services.begin_collections()

    def _with_own_files(self, body: Any) -> Any:
        """Have links to own pictures lead to their files."""
        results = body.get("results", ()) if isinstance(body, dict) else ()
        for i, result in enumerate(results):
            path = result["own"] and self._stack.services.pictures.path(result["image_id"])
            if path:
                result["url"] = result["page_url"] = body["top_urls"][i] = path.as_uri()
        return body
