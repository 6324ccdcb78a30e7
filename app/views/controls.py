"""Buttons of pictures alone, and menus: each with a name that is read aloud, once."""

from __future__ import annotations

import flet as ft

from app.views.events import Handler


def icon_button(
    icon: ft.IconData, name: str, on_click: Handler, *, disabled: bool = False
) -> ft.IconButton:
    """Return a button that shows *icon*, and is called *name*."""
    return ft.IconButton(
        ft.Icon(icon, semantics_label=name),
        tooltip=_seen(name),
        on_click=on_click,
        disabled=disabled,
    )


def menu(face: ft.Control, name: str, items: list[ft.PopupMenuItem]) -> ft.PopupMenuButton:
    """Return a button that looks like *face*, is called *name*, and opens a menu of *items*."""
    unread = ft.Semantics(content=face, exclude_semantics=True)
    return ft.PopupMenuButton(content=unread, items=items, tooltip=name, padding=0)


def pill(text: str, *, is_chosen: bool) -> ft.Control:
    """Return the face of a menu that says *text*."""
    ink = ft.Colors.ON_PRIMARY if is_chosen else ft.Colors.ON_SURFACE
    label = ft.Row(
        [ft.Text(text, size=14, color=ink), ft.Icon(ft.Icons.ARROW_DROP_DOWN, size=18, color=ink)],
        spacing=4,
        tight=True,
    )
    return ft.Container(
        label,
        padding=ft.Padding.only(left=14, right=8, top=7, bottom=7),
        border_radius=18,
        border=ft.Border.all(1, ft.Colors.PRIMARY if is_chosen else ft.Colors.OUTLINE),
        bgcolor=ft.Colors.PRIMARY if is_chosen else ft.Colors.SURFACE_CONTAINER,
    )


def _seen(name: str) -> ft.Tooltip:
    return ft.Tooltip(message=name, exclude_from_semantics=True)
