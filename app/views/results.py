"""The pictures found, in rows of equal height, each with how well it matches and whose it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import flet as ft

from app.layout import Tile, rows
from app.shown import credit_of, label_of, match_of, web_link
from app.views.events import on
from app.views.look import MATCH_COLOURS, MUTED, NARROW, focused_edge
from app.words import Say
from imagesearch.client import Hit

GAP = 10.0
ROUND = 10
HEIGHT, NARROW_HEIGHT = 215.0, 150.0  # of a row, at the most, but for its captions


class Results:
    """
    The grid.

    Args:
        on_open: told which picture is to be shown large, by its index.
    """

    def __init__(self, say: Say, on_open: Callable[[int], Awaitable[None]]) -> None:
        self._say, self._on_open = say, on_open
        self._hits: Sequence[Hit] = ()
        self._width = 0.0
        self._rows: list[ft.Control] = []

    def rows(self, hits: Sequence[Hit], width: float) -> list[ft.Control]:
        """
        Return *hits* as rows that are *width* logical pixels wide.

        Of the same they are those of before: new ones would load their pictures anew, and take the
        focus away.
        """
        if (hits, width) != (self._hits, self._width):
            height = NARROW_HEIGHT if width < NARROW else HEIGHT
            self._rows = [self._row(hits, row) for row in rows(hits, width, height, GAP)]
            self._hits, self._width = hits, width
        return self._rows

    def _row(self, hits: Sequence[Hit], row: Sequence[Tile]) -> ft.Control:
        cards = [self._card(hits, tile) for tile in row]
        return ft.Row(cards, spacing=GAP, vertical_alignment=ft.CrossAxisAlignment.START)

    def _card(self, hits: Sequence[Hit], tile: Tile) -> ft.Control:
        hit = hits[tile.index]
        picture = ft.TextButton(
            content=picture_of(
                hit,
                self._say,
                label_of(hit, tile.index + 1, len(hits), self._say),
                width=tile.width,
                height=tile.height,
                fit=ft.BoxFit.COVER,
            ),
            width=tile.width,
            height=tile.height,
            on_click=on(self._on_open, tile.index),
            style=ft.ButtonStyle(
                padding=0,
                shape=ft.RoundedRectangleBorder(radius=ROUND),
                side=focused_edge(),
                bgcolor=ft.Colors.SURFACE_CONTAINER_HIGH,  # where the picture is still to come
            ),
        )
        return ft.Column([picture, self._caption(hit, tile.width)], spacing=4, width=tile.width)

    def _caption(self, hit: Hit, width: float) -> ft.Control:
        """Say the match and the credit; the button above says them to those who do not see."""
        match, credit = match_of(hit, self._say), credit_of(hit)
        lines = [self._match(hit, match)] if match else []
        lines.append(_line(credit, MUTED))
        return ft.Semantics(
            content=ft.Column(lines, spacing=0, width=width), exclude_semantics=True
        )

    def _match(self, hit: Hit, match: str) -> ft.Control:
        dot = ft.Container(width=8, height=8, border_radius=4, bgcolor=MATCH_COLOURS[hit.match])
        text = _line(match, ft.Colors.ON_SURFACE)
        text.expand = True
        return ft.Row([dot, text], spacing=6)


def _line(text: str, colour: ft.ColorValue) -> ft.Text:
    return ft.Text(text, size=12, color=colour, max_lines=1, overflow=ft.TextOverflow.ELLIPSIS)


def picture_of(
    hit: Hit, say: Say, label: str, *, width: float, height: float, fit: ft.BoxFit
) -> ft.Control:
    """Return the picture, called *label*, or words in its place where it cannot be had."""
    words = ft.Text(say("missing"), size=12, color=MUTED, text_align=ft.TextAlign.CENTER)
    missing = ft.Container(
        ft.Semantics(content=words, label=f"{label}. {words.value}", exclude_semantics=True),
        width=width,
        height=height,
        alignment=ft.Alignment.CENTER,
        bgcolor=ft.Colors.SURFACE_CONTAINER_HIGH,
        border_radius=ROUND,
    )
    url = web_link(hit.url)
    if not url:
        return missing
    return ft.Image(
        url,
        semantics_label=label,
        error_content=missing,
        gapless_playback=True,
        width=width,
        height=height,
        fit=fit,
        border_radius=ROUND,
    )
