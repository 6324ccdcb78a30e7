"""What Flet calls when something is done: it awaits what it knows to be asynchronous."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Handler = Callable[[Any], Awaitable[None]]


def on(act: Callable[..., Awaitable[None]], *args: object) -> Handler:
    """Return a handler of an event that calls *act* with *args*."""

    async def handle(_: Any) -> None:
        await act(*args)

    return handle
