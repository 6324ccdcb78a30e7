"""The demo gallery (`imagesearch/demo/`) on a free port of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from imagesearch.demo.gallery import create_gallery
from imagesearch.local.in_thread import listen, serving


@contextmanager
def running_gallery(create: Callable[[str], ASGIApp] = create_gallery) -> Iterator[str]:
    """
    Serve a gallery on a free port of 127.0.0.1; yield its base URL, and stop it at the end.

    Args:
        create: makes the gallery; its argument is that base URL.

    Raises:
        RuntimeError: the server did not start within `in_thread.START_SECONDS`.
    """
    with listen() as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serving(create(base_url), listener, "demo-gallery"):
            yield base_url
