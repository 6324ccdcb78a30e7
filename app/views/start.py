"""Searches to begin with, and the last ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import flet as ft

from app.search import Search
from app.shown import name_of, place_of
from app.views.events import on
from app.views.look import MUTED
from app.words import Say

OF_THE_DEMO = (
    Search(t="horse", s_query="two horses amidst flowers"),
    Search(t="dog", s_query="a dog with a guitar under the moon"),
    Search(t="cow", s_query="three cows"),
    Search(t="cat", s_query="Katze mit Pizza"),
)
OF_PHOTOGRAPHS = (
    Search(t="horse", s_query="horses amidst flowers"),
    Search(t="lighthouse", s_query="a lighthouse in a storm"),
    Search(t="breakfast", s_query="coffee and a croissant from above"),
    Search(t="street", s_query="a rainy street at night with neon lights"),
)


class Start:
    """
    What stands where no search does.

    Args:
        on_search: told which one is chosen.
        on_forget: told when the last ones are to be forgotten.
    """

    def __init__(
        self,
        say: Say,
        language: str,
        *,
        on_search: Callable[[Search], Awaitable[None]],
        on_forget: Callable[[], Awaitable[None]],
    ) -> None:
        self._say, self._language = say, language
        self._on_search, self._on_forget = on_search, on_forget

    def controls(self, recent: Sequence[Search], demo: Sequence[str] | None) -> list[ft.Control]:
        """Return it, with *recent* searches; *demo* has the demo's keywords, None until known."""
        say = self._say
        shown: list[ft.Control] = [ft.Text(say("welcome"), size=20)]
        if recent:
            forget = ft.TextButton(say("forget_recent"), on_click=on(self._on_forget))
            shown += [
                ft.Row([_heading(say("recent")), forget]),
                ft.Row([self._button(search) for search in recent], wrap=True),
            ]
        if demo is not None:
            examples = [example for example in OF_THE_DEMO if example.t in demo] or OF_PHOTOGRAPHS
            shown += [
                _heading(say("examples")),
                ft.Row([self._button(search) for search in examples], wrap=True),
            ]
        return shown

    def _button(self, search: Search) -> ft.Control:
        place = place_of(search, (), self._language)
        name = name_of(search, self._language)
        return ft.OutlinedButton(
            f"{name} · {place}" if place else name, on_click=on(self._on_search, search)
        )


def _heading(text: str) -> ft.Control:
    label = ft.Text(text, size=14, weight=ft.FontWeight.W_600, color=MUTED)
    return ft.Semantics(content=label, header=True, container=True, heading_level=2)
