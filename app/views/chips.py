"""The filters: a menu for each, of what the pictures have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import flet as ft

from app.shown import Facet, value_name
from app.views.controls import menu, pill
from app.views.events import on
from app.words import Say

OnChoose = Callable[[str, str], Awaitable[None]]


class Chips:
    """
    A row of filters.

    Args:
        on_choose: told the name of a filter, and the value that it is set to, "" for any.
    """

    def __init__(self, say: Say, language: str, on_choose: OnChoose) -> None:
        self._say, self._language, self._on_choose = say, language, on_choose
        self._facets: tuple[Facet, ...] = ()
        self.control = ft.Row(wrap=True, spacing=8, run_spacing=8, visible=False)

    def show(self, facets: Iterable[Facet]) -> None:
        """Offer *facets*; a menu that is open stays so where they are those of before."""
        shown, self._facets = self._facets, tuple(facets)
        if self._facets != shown:
            self.control.controls = [self._menu(facet) for facet in self._facets]
            self.control.visible = bool(self._facets)

    def _menu(self, facet: Facet) -> ft.Control:
        any_value = self._say(f"any_{facet.name}")
        chosen = value_name(facet.name, facet.chosen, self._language) if facet.chosen else ""
        names = {value: value_name(facet.name, value, self._language) for value in facet.values}
        items = [self._item(facet, *item) for item in [("", any_value), *names.items()]]
        name = f"{any_value}: {chosen}" if chosen else any_value
        return menu(pill(chosen or any_value, is_chosen=bool(chosen)), name, items)

    def _item(self, facet: Facet, value: str, text: str) -> ft.PopupMenuItem:
        choose = on(self._on_choose, facet.name, value)
        return ft.PopupMenuItem(content=text, checked=value == facet.chosen, on_click=choose)
