"""The demo gallery, which draws its pictures and answers as Pixabay does (`imagesearch/demo/`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field

from imagesearch.ports import ImageSource
from imagesearch.setting_types import Url
from imagesearch.sources.declaration import Tools
from imagesearch.sources.pixabay import PIXABAY, PixabaySettings

GALLERY_KEY = "demo"  # the gallery asks for a key as Pixabay does; this one is no secret
KEYWORDS = (
    "horse",
    "dog",
    "cat",
    "cow",
    "penguin",
    "butterfly",
    "flower",
    "moon",
    "pizza",
    "guitar",
    "rocket",
    "castle",
    "balloon",
    "sunset",
    "night",
    "snow",
)
"""Keywords worth suggesting: each finds more than two hundred different pictures."""


class DemoSettings(PixabaySettings):
    """Pixabay's settings, and where the gallery is."""

    gallery_url: Url = Field(
        "",
        description="URL of a demo gallery that stands in for Pixabay in the cloud edition; the "
        "embedded one runs its own.",
    )


def _stands_in(settings: Any) -> bool:
    """Return whether the gallery stands in for Pixabay."""
    # In the cloud only the fetcher holds the key of Pixabay, so that its lack tells nothing.
    if settings.edition == "cloud":
        return bool(settings.gallery_url)
    return settings.pixabay_api_key is None


def _connect(settings: DemoSettings, tools: Tools) -> ImageSource:
    from imagesearch.sources.pixabay_listing import Pixabay

    return Pixabay(
        DEMO,
        api_key=GALLERY_KEY,
        api_url=f"{settings.gallery_url}/api/",
        downloader=tools.downloader(settings.gallery_url, ""),
        take_quota=tools.take_quota,
        clock=tools.clock,
    )


DEMO = replace(
    PIXABAY,
    name="demo",
    credit="the demo gallery",
    hosts=(),
    settings=DemoSettings,
    needs=("gallery_url",),
    connect=_connect,
    is_default=_stands_in,
    site="",
)
