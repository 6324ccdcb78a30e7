"""The form: what somebody asks for, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import flet as ft

from app.search import Search, in_its_place, listed
from app.views.controls import icon_button, menu, pill
from app.views.events import Handler, on
from app.views.look import MUTED
from app.words import Say

BY_KEYWORD, EVERYTHING, OF_A_COLLECTION = "", "everything", "collection:"  # then its name


@dataclass(frozen=True)
class Part:
    """A picture that is searched by; *without* is the search that is left when it is taken out."""

    name: str
    picture: str | bytes | None
    without: Search


class Form:
    """
    The fields of a search.

    Args:
        say: in which language.
        is_narrow: whether there is room for one field in a row alone.
        on_send: told of the search when it is sent.
        on_choose: told when a picture is to be chosen.
        on_take_out: told of the search that is left without a picture.
    """

    def __init__(
        self,
        say: Say,
        *,
        is_narrow: bool,
        on_send: Callable[[Search], Awaitable[None]],
        on_choose: Callable[[], Awaitable[None]],
        on_take_out: Callable[[Search], Awaitable[None]],
    ) -> None:
        self._say, self._on_send, self._on_take_out = say, on_send, on_take_out
        self._kept = Search()  # for what the form has no field for
        self._sentence = _field(say("sentence"), on(self._send), autofocus=True)
        self._keyword = _field(say("keyword"), on(self._send), hint=say("keyword_hint"))
        self._keyword.on_change = self._follow_keyword
        self._without = _field(say("without"), on(self._send), hint=say("without_hint"))
        self._where = BY_KEYWORD
        self._collections: tuple[str, ...] = ()
        self._place = ft.Container()
        self._fields = {"s_query": self._sentence, "t": self._keyword, "minus": self._without}
        self._parts = ft.Row(wrap=True, visible=False)
        picture = ft.OutlinedButton(
            say("choose_picture"), icon=ft.Icons.IMAGE_SEARCH, on_click=on(on_choose)
        )
        send = ft.FilledButton(
            say("search"), icon=ft.Icons.SEARCH, on_click=on(self._send), height=40
        )
        self._options = self._laid_out(picture, send, is_narrow)
        self.set_places(())

    def _laid_out(self, picture: ft.Control, send: ft.Control, is_narrow: bool) -> ft.Control:
        if not is_narrow:
            self._sentence.expand, self._keyword.expand = 3, 2
            self._without.width = 280
            first = ft.Row([self._sentence, self._keyword, send], vertical_alignment=_TOP)
            options = ft.Row(
                [self._without, self._place, picture],
                wrap=True,
                vertical_alignment=_MIDDLE,
            )
            self.control = ft.Column([first, options, self._parts], spacing=10, tight=True)
            return options
        self._sentence.expand = True
        folded = ft.Column(
            [self._keyword, self._without, self._place, picture], spacing=10, visible=False
        )
        toggle = icon_button(ft.Icons.TUNE, self._say("more_options"), on(self._toggle_options))
        first = ft.Row([self._sentence, toggle], vertical_alignment=_TOP, spacing=4)
        send.expand = True
        self.control = ft.Column(
            [first, folded, self._parts, ft.Row([send])], spacing=8, tight=True
        )
        return folded

    # -- what it says

    def search(self) -> Search:
        """Return the search that the form says, with what the address has beside it."""
        place = self._where
        collection = (
            place.removeprefix(OF_A_COLLECTION) if place.startswith(OF_A_COLLECTION) else ""
        )
        kept = self._kept.filtered("collection", collection)
        return in_its_place(
            replace(
                kept,
                s_query=self._sentence.value.strip(),
                t=self._keyword.value.strip(),
                minus=listed(self._without.value),
                everywhere=place != BY_KEYWORD,
            )
        )

    def show(self, search: Search, parts: list[Part]) -> None:
        """Fill the fields with *search*."""
        self._kept = search
        self._sentence.value, self._keyword.value = search.s_query, search.t
        self._without.value = ", ".join(search.minus)
        self._look_in(_place_of(search))
        self.show_parts(parts)
        self.show_complaints({})

    def show_parts(self, parts: list[Part]) -> None:
        """Show the pictures that are searched by; what is typed stays."""
        self._parts.controls = [self._part(part) for part in parts]
        self._parts.visible = bool(parts)

    def set_places(self, collections: tuple[str, ...]) -> None:
        """Offer the *collections* of these names to be searched."""
        self._collections = collections
        self._look_in(self._where)

    def show_complaints(self, texts: Mapping[str, str]) -> None:
        """Say beside the fields what is wrong with them, *texts* by the name of the field."""
        for name, field in self._fields.items():
            field.error = texts.get(name)
        if {"t", "minus"} & texts.keys():
            self._options.visible = True

    # -- what is done

    async def _send(self) -> None:
        await self._on_send(self.search())

    async def _toggle_options(self) -> None:
        self._options.visible = not self._options.visible

    def _look_in(self, place: str) -> None:
        """Have the form say where to search."""
        self._where = place
        names = {BY_KEYWORD: self._say("by_keyword"), EVERYTHING: self._say("everything")}
        names |= {OF_A_COLLECTION + name: name for name in self._collections}
        if place not in names:  # of an address: a collection of which nothing is known yet
            names[place] = place.removeprefix(OF_A_COLLECTION)
        items = [
            ft.PopupMenuItem(name, checked=key == place, on_click=on(self._choose_place, key))
            for key, name in names.items()
        ]
        text = f"{self._say('place')}: {names[place]}"
        self._place.content = menu(pill(text, is_chosen=place != BY_KEYWORD), text, items)

    async def _choose_place(self, place: str) -> None:
        """A keyword or everything: what is said last is meant."""
        self._look_in(place)
        if place != BY_KEYWORD:
            self._keyword.value = ""

    def _follow_keyword(self, _: ft.Event[ft.TextField]) -> None:
        if self._keyword.value.strip() and self._where != BY_KEYWORD:
            self._look_in(BY_KEYWORD)

    def _part(self, part: Part) -> ft.Control:
        picture: ft.Control = ft.Icon(ft.Icons.IMAGE, size=40, color=MUTED)
        if part.picture:
            picture = ft.Image(
                part.picture, width=48, height=48, fit=ft.BoxFit.COVER, border_radius=6,
                semantics_label=part.name, error_content=picture,
            )  # fmt: skip
        name = self._say("take_out", name=part.name)
        remove = icon_button(ft.Icons.CLOSE, name, on(self._on_take_out, part.without))
        return ft.Row([picture, ft.Text(part.name), remove], spacing=8, tight=True)


def _place_of(search: Search) -> str:
    if search.collection:
        return OF_A_COLLECTION + search.collection
    return EVERYTHING if search.everywhere else BY_KEYWORD


_MIDDLE = ft.CrossAxisAlignment.CENTER
_TOP = ft.CrossAxisAlignment.START


def _field(
    label: str,
    on_submit: Handler,
    *,
    hint: str = "",
    autofocus: bool = False,
) -> ft.TextField:
    return ft.TextField(
        label=label, hint_text=hint, on_submit=on_submit, autofocus=autofocus, dense=True,
        filled=True, fill_color=ft.Colors.SURFACE_CONTAINER, error_max_lines=3,
        border=ft.OutlineInputBorder(border_radius=10),
    )  # fmt: skip
