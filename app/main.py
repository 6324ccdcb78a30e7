"""The app as a window of its own, and in packages for telephones: Python runs beside Flutter."""

from __future__ import annotations

import os

import flet as ft
import httpx

from app.api import Api
from app.session import Session
from app.settings import settings_of


async def main(page: ft.Page) -> None:
    """Show the app on *page*."""
    settings = settings_of(os.environ)
    client = httpx.AsyncClient()
    await Session(page, Api(settings.api_url, client)).start()


if __name__ == "__main__":
    ft.run(main, assets_dir="assets")
