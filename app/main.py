"""The app as a window of its own, and in packages for telephones: Python runs beside Flutter."""

from __future__ import annotations

import os
from pathlib import Path

import flet as ft

from app.session import Session
from app.settings import settings_of

ASSETS = Path(__file__).parent / "assets"


async def main(page: ft.Page) -> None:
    """Show the app on *page*."""
    settings = settings_of({"API_URL": _built_in_url(), **os.environ})
    await Session(page, settings.api_url).start()


def show() -> None:
    """
    Show the app until its window is closed.

    Raises:
        ValueError: API_URL is none; the message says what it must be.
    """
    settings_of({"API_URL": _built_in_url(), **os.environ})
    ft.run(main, assets_dir=str(ASSETS))


def _built_in_url() -> str:
    """Return the address that `tools.stage_app` has put into a package; "" elsewhere."""
    file = ASSETS / "api_url.txt"
    return file.read_text(encoding="utf-8") if file.is_file() else ""
