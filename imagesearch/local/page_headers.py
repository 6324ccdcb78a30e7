"""The page's headers on what one machine serves beside the query function: images, the gallery."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagesearch.doors.page import page_headers


class PageHeaders:
    """Adds them to every answer of *app* that has none of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = page_headers("")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
