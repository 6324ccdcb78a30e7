"""The parts of the app: its form, its pictures and its large view, without a screen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import flet as ft
import pytest

from app import words
from app.search import Search, search_at
from app.shown import Facet
from app.views.chips import Chips
from app.views.form import Form
from app.views.lightbox import Lightbox
from app.views.results import Results
from tests.unit.test_app_shown import hit

SAY = words.speaker("en")


async def _nothing(*_: object) -> None:
    return None


@pytest.fixture
def form() -> Form:
    return Form(SAY, is_narrow=False, on_send=_nothing, on_choose=_nothing, on_take_out=_nothing)


@pytest.mark.parametrize("name", ["Pictures", "everything", "collection:x"])
def test_a_collection_of_an_address_is_searched_whatever_its_name(form: Form, name: str) -> None:
    search = Search(s_query="a cow", everywhere=True, filters={"collection": name})
    form.show(search_at(search.address()), [])
    assert form.search() == search
    form.set_places((name, "other"))
    assert form.search() == search


def test_a_collection_that_is_called_as_a_place_is_on_offer_beside_it(form: Form) -> None:
    form.set_places(("everything",))
    menu = cast(ft.PopupMenuButton, form._place.content)
    texts = [item.content for item in menu.items]
    assert texts == ["pictures by keyword", "everything stored", "everything"]


# -- pictures and filters


def test_pictures_that_are_shown_already_are_not_built_anew() -> None:
    results = Results(SAY, _nothing)
    hits = [hit(1), hit(2)]
    rows = results.rows(hits, 1200)
    assert results.rows(list(hits), 1200) is rows
    assert results.rows(hits, 300) is not rows
    assert results.rows(hits[:1], 300) != results.rows([], 300) == []


def test_filters_that_are_on_offer_already_are_not_built_anew() -> None:
    chips = Chips(SAY, "en", _nothing)
    colour = Facet("colour", ("red", "green"), "")
    chips.show([colour])
    (menu,) = chips.control.controls
    chips.show([colour])
    assert chips.control.controls == [menu]
    assert chips.control.controls[0] is menu
    chips.show([replace(colour, chosen="red")])
    assert chips.control.controls[0] is not menu
    chips.show([])
    assert not chips.control.visible


# -- the large view


class Page:
    """As much of Flet's page as the large view takes."""

    def __init__(self) -> None:
        self.width, self.height = 1200.0, 800.0
        self.shown: list[ft.AlertDialog] = []

    def show_dialog(self, dialog: ft.AlertDialog) -> None:
        self.shown.append(dialog)


def opened() -> tuple[Lightbox, Page]:
    lightbox, page = Lightbox(_nothing), Page()
    lightbox.open(cast(ft.Page, page), SAY, [hit(1), hit(2)], 0)
    return lightbox, page


def width_of(lightbox: Lightbox) -> float:
    width: float = cast(Any, lightbox.dialog.content).width
    return width


def test_a_second_click_does_not_open_a_second_view() -> None:
    lightbox, page = opened()
    lightbox.open(cast(ft.Page, page), SAY, [hit(1), hit(2)], 1)
    assert len(page.shown) == 1


def test_an_open_picture_fills_a_screen_that_is_turned() -> None:
    lightbox, page = opened()
    assert width_of(lightbox) == 1000
    page.width, page.height = 400.0, 800.0
    lightbox.fit(cast(ft.Page, page))
    assert width_of(lightbox) == 368
    asyncio.run(lightbox.step(1))
    assert width_of(lightbox) == 368


def test_a_view_that_is_closed_opens_again() -> None:
    lightbox, page = opened()
    lightbox.close()
    assert not lightbox.dialog.open
    asyncio.run(cast(Any, lightbox.dialog.on_dismiss)(SimpleNamespace()))
    lightbox.open(cast(ft.Page, page), SAY, [hit(1)], 0)
    assert len(page.shown) == 2
