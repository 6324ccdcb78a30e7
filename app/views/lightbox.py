"""One picture, large: what is known of it and what can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import flet as ft

from app.shown import facts_of, label_of, match_of, web_link
from app.views.controls import icon_button
from app.views.events import on
from app.views.look import MUTED
from app.views.results import picture_of
from app.words import DEFAULT, Say, speaker
from imagesearch.client import Hit


class Lightbox:
    """
    A dialog over the pictures.

    Args:
        on_like: told the id of an image of which more is wanted.
    """

    def __init__(self, on_like: Callable[[str], Awaitable[None]]) -> None:
        self._on_like = on_like
        self._say: Say = speaker(DEFAULT)
        self._hits: Sequence[Hit] = ()
        self._at = 0
        self._size = (0.0, 0.0)
        self._is_open = False
        self.dialog = ft.AlertDialog(
            inset_padding=16,
            content_padding=ft.Padding.only(left=20, right=20, bottom=20),
            title_padding=ft.Padding.only(left=20, right=8, top=8),
            scrollable=True,
            on_dismiss=self._dismissed,
        )

    def open(self, page: ft.Page, say: Say, hits: Sequence[Hit], at: int) -> None:
        """Show the picture *at* that index of *hits*, with words by *say*."""
        if self._is_open:  # a second click came before the first was seen
            return
        self._say, self._hits, self._at = say, hits, at
        self._is_open = True
        self.fit(page)
        page.show_dialog(self.dialog)

    def fit(self, page: ft.Page) -> None:
        """Have what is open fill the *page*, whose size may be another one than before."""
        self._size = (page.width or 800, page.height or 600)
        if self._is_open:
            self._fill()

    def close(self) -> None:
        """Show no picture any more; where none is shown, nothing happens."""
        if self._is_open:
            self.dialog.open = False

    async def step(self, by: int) -> None:
        """Show the next picture, or the one before with -1; at an end nothing happens."""
        if self._is_open and 0 <= self._at + by < len(self._hits):
            self._at += by
            self._fill()

    async def _dismissed(self, _: ft.Event[ft.DialogControl]) -> None:
        self._is_open = False

    async def _close(self) -> None:
        self.close()

    async def _like(self, hit: Hit) -> None:
        self.close()
        await self._on_like(hit.image_id)

    def _fill(self) -> None:
        say, hit = self._say, self._hits[self._at]
        width = min(self._size[0] - 32, 1000)
        title = say("picture_of", at=self._at + 1, count=len(self._hits))
        self.dialog.title = ft.Row(
            [
                ft.Text(title, size=16, weight=ft.FontWeight.W_600, expand=True),
                self._step_button(ft.Icons.CHEVRON_LEFT, "before", -1),
                self._step_button(ft.Icons.CHEVRON_RIGHT, "after", 1),
                icon_button(ft.Icons.CLOSE, say("close"), on(self._close)),
            ],
            width=width,
        )
        picture = picture_of(
            hit,
            say,
            label_of(hit, self._at + 1, len(self._hits), say),
            width=width,
            height=min(self._size[1] * 0.6, width / 1.2),
            fit=ft.BoxFit.CONTAIN,
        )
        match = match_of(hit, say)
        known = [ft.Text(match, weight=ft.FontWeight.W_600)] if match else []
        facts = [_fact(name, text) for name, text in facts_of(hit, say)]
        self.dialog.content = ft.Column(
            [picture, *known, *facts, self._actions(hit)], spacing=8, tight=True, width=width
        )

    def _step_button(self, icon: ft.IconData, key: str, by: int) -> ft.IconButton:
        is_end = not 0 <= self._at + by < len(self._hits)
        return icon_button(icon, self._say(key), on(self.step, by), disabled=is_end)

    def _actions(self, hit: Hit) -> ft.Control:
        say = self._say
        links = {"original": hit.page_url, "licence_text": hit.credit.licence_url}
        buttons: list[ft.Control] = [
            ft.TextButton(say(key), icon=ft.Icons.OPEN_IN_NEW, url=url)
            for key, url in zip(links, map(web_link, links.values()), strict=True)
            if url
        ]
        more = ft.FilledButton(
            say("more_like_this"), icon=ft.Icons.AUTO_AWESOME, on_click=on(self._like, hit)
        )
        return ft.Row([more, *buttons], wrap=True)


def _fact(name: str, text: str) -> ft.Control:
    spans = [ft.TextSpan(f"{name}: ", ft.TextStyle(color=MUTED)), ft.TextSpan(text)]
    return ft.Text(spans=spans, size=14)
