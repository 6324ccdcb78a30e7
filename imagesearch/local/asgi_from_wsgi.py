"""The query function, a WSGI application, among the ASGI apps of one machine's server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from a2wsgi.wsgi import Body, build_environ
from starlette.types import Message, Receive, Scope, Send
from werkzeug.test import run_wsgi_app


class AsgiFromWsgi:
    """
    Answers by *app*, on threads of its own; each answer is handed over whole.

    a2wsgi's own middleware hands over each part by itself, for which thread and event loop wait for
    each other: a quarter of a millisecond, of the two or three that a warm search takes.

    Args:
        app: a WSGI application that returns its answers, which are in memory anyway.
        workers: threads, and so requests that are answered at a time; others wait.
    """

    def __init__(self, app: Any, workers: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(workers, "wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        environ: Any = build_environ(scope, Body(loop, receive))  # type: ignore[arg-type]
        answer = partial(copy_context().run, self._answer, environ)
        for message in await loop.run_in_executor(self._threads, answer):
            await send(message)

    def _answer(self, environ: Any) -> tuple[Message, Message]:
        parts, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        start = {
            "type": "http.response.start",
            "status": int(status.partition(" ")[0]),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ],
        }
        return start, {"type": "http.response.body", "body": b"".join(parts)}
