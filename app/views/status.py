"""
What is said of a search beside its pictures: how far it is, and what came of it or went wrong.

Both are put on the screen once and change in place. What is built anew is read aloud anew, which
would be with each second of a countdown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import flet as ft

from app.shown import Notice
from app.views.events import on
from app.words import Say


class Progress:
    """
    How far a search is.

    Args:
        on_stop: told when it is to be ended.
    """

    def __init__(self, say: Say, on_stop: Callable[[], Awaitable[None]]) -> None:
        self._text, self._readiness, self._bar = ft.Text(), ft.Text(), ft.ProgressBar()
        stop = ft.TextButton(say("stop"), icon=ft.Icons.STOP, on_click=on(on_stop))
        line = ft.Row([_spoken(self._text), _silent(self._readiness), stop], wrap=True)
        self.control = ft.Column([line, self._bar], spacing=4)

    def show(self, text: str, readiness: str, share: float | None) -> None:
        """Say *text*, and how much is ready: in words, and as a *share* of 1, None for unknown."""
        self._text.value, self._readiness.value = text, readiness
        self._bar.value, self._bar.semantics_label = share, text


class NoticeBox:
    """
    A notice.

    Args:
        on_call: told the key of what its button says.
    """

    def __init__(self, say: Say, on_call: Callable[[str], Awaitable[None]]) -> None:
        self._say, self._on_call = say, on_call
        self._title = ft.Text(size=16, weight=ft.FontWeight.W_600)
        self._text, self._seconds = ft.Text(), ft.Text()
        self._countdown = _silent(self._seconds)
        self._button = ft.FilledTonalButton()
        self._said = _spoken(ft.Column([self._title, self._text], spacing=2))
        self._parts = ft.Column(spacing=10)
        self.control = ft.Container(
            self._parts,
            padding=16,
            border_radius=10,
            bgcolor=ft.Colors.SURFACE_CONTAINER,
        )

    def show(self, notice: Notice) -> None:
        """Say *notice*."""
        self._title.value, self._text.value = notice.title, notice.text
        parts: list[ft.Control] = [self._said]
        if notice.countdown:
            self._seconds.value = notice.countdown
            parts.append(self._countdown)
        if notice.call:
            self._button.content = self._say(notice.call)
            self._button.on_click = on(self._on_call, notice.call)
            parts.append(self._button)
        self._parts.controls = parts
        colour = ft.Colors.OUTLINE if notice.is_calm else ft.Colors.ERROR
        self.control.border = ft.Border.only(left=ft.BorderSide(4, colour))


def _spoken(content: ft.Control) -> ft.Semantics:
    """Return *content* as what is read aloud when it comes or changes."""
    return ft.Semantics(content=content, live_region=True, container=True)


def _silent(content: ft.Control) -> ft.Semantics:
    """Return *content* as what is read when somebody comes to it: a part of nothing beside it."""
    return ft.Semantics(content=content, container=True)
