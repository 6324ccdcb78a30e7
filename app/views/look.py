"""The looks that all parts share: the colours of the page in `web/`, by day and by night."""

from __future__ import annotations

import flet as ft

NARROW = 700  # logical pixels; a narrower window has one field in a row, and its options folded
FONT = "Roboto"
MATCH_COLOURS = {
    "strong": ft.Colors.PRIMARY,
    "fair": ft.Colors.TERTIARY,
    "weak": ft.Colors.OUTLINE,
    "none": ft.Colors.OUTLINE_VARIANT,
}
INK = ft.Colors.ON_SURFACE
MUTED = ft.Colors.ON_SURFACE_VARIANT

_DAY = ft.ColorScheme(
    primary="#0c6a52",
    on_primary="#ffffff",
    surface="#f6f7f4",
    on_surface="#17221e",
    on_surface_variant="#55625c",
    tertiary="#2f6f9f",
    outline="#84908a",
    outline_variant="#d9dfda",
    surface_container="#ffffff",
    surface_container_high="#e8ece8",
    error="#a3301f",
)
_NIGHT = ft.ColorScheme(
    primary="#74d2ae",
    on_primary="#06231a",
    surface="#101614",
    on_surface="#e9eeeb",
    on_surface_variant="#a3b1aa",
    tertiary="#5aa6e2",
    outline="#6d7b75",
    outline_variant="#2b3632",
    surface_container="#19211e",
    surface_container_high="#222c28",
    error="#ff9a86",
)


def themes() -> tuple[ft.Theme, ft.Theme]:
    """Return the theme of the day and that of the night."""
    day = ft.Theme(color_scheme=_DAY, color_scheme_seed="#0c6a52", font_family=FONT)
    night = ft.Theme(color_scheme=_NIGHT, color_scheme_seed="#0c6a52", font_family=FONT)
    return day, night


def focused_edge() -> dict[ft.ControlState, ft.BorderSide]:
    """Return the edge of what is a picture and a button: seen when the keyboard is on it."""
    return {
        ft.ControlState.FOCUSED: ft.BorderSide(3, ft.Colors.PRIMARY),
        ft.ControlState.DEFAULT: ft.BorderSide(0, ft.Colors.TRANSPARENT),
    }
