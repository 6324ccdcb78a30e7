"""What the rest of the program knows of Pixabay: its settings, its quota, its hosts.

It is asked in `pixabay_listing.py`, which a process loads that connects it. Source of every bound:
https://pixabay.com/api/docs/.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from imagesearch.ports import ImageSource
from imagesearch.setting_types import Lower, like, lower, of_text, one_of
from imagesearch.sources.declaration import Declaration, Quota, Tools

QUOTA = Quota(100, 60.0)  # of each key

LANGUAGES = tuple(
    "cs da de en es fr id it hu nl no pl pt ro sk fi sv tr vi th bg ru el ja ko zh".split()
)
CATEGORIES = tuple(
    "backgrounds fashion nature science education feelings health people religion places animals "
    "industry computer food sports transportation travel buildings business music".split()
)
COLORS = tuple(
    "grayscale transparent red orange yellow green turquoise blue lilac pink white gray black "
    "brown".split()
)
ORIENTATIONS = ("all", "horizontal", "vertical")


_color = one_of(COLORS)


def _colors(text: str) -> str:
    # Not sorted: the list is part of what a pool is known by.
    return ",".join(_color(name) for name in map(str.strip, text.split(",")) if name)


# Pixabay's are digits, a hyphen and hexadecimal digits; what a URL would have to escape is none.
Key = Annotated[
    SecretStr, of_text(like(r"[A-Za-z0-9_-]+", "letters, digits, - and _ alone, with no quotes"))
]


class PixabaySettings(BaseModel):
    """The key, and what is asked of Pixabay besides the keyword."""

    model_config = ConfigDict(defer_build=True)  # it is a part of `AllSettings`, and built there

    pixabay_api_key: Key | None = Field(
        None, description="Key of the Pixabay API; without one the demo gallery stands in."
    )
    # Not LANGUAGE, which desktops set for purposes of their own.
    keyword_language: Annotated[str, AfterValidator(one_of(LANGUAGES)), lower] = Field(
        "en", description="Language of the keywords, as Pixabay spells it."
    )
    orientation: Lower[Literal["all", "horizontal", "vertical"]] = Field(
        "all", description="Orientation of the images."
    )
    image_category: Annotated[str, AfterValidator(one_of(CATEGORIES)), lower] = Field(
        "", description="Pixabay's category, such as `animals`; empty: all."
    )
    image_colors: Annotated[str, AfterValidator(_colors), lower] = Field(
        "", description="Pixabay's colours, comma separated, such as `red,blue`; empty: all."
    )
    safesearch: bool = Field(True, description="Only images suitable for all ages.")


def _options(settings: PixabaySettings) -> dict[str, Any]:
    return {
        "language": settings.keyword_language,
        "orientation": settings.orientation,
        "category": settings.image_category,
        "colors": settings.image_colors,
        "safesearch": settings.safesearch,
    }


def _connect(settings: PixabaySettings, tools: Tools) -> ImageSource:
    from imagesearch.sources.pixabay_listing import Pixabay

    assert settings.pixabay_api_key is not None  # noqa: S101 - it is among `needs`
    return Pixabay(
        PIXABAY,
        api_key=settings.pixabay_api_key.get_secret_value(),
        downloader=tools.downloader(None, ""),
        take_quota=tools.take_quota,
        clock=tools.clock,
    )


PIXABAY = Declaration(
    name="pixabay",
    credit="Pixabay",
    hosts=("pixabay.com", "*.pixabay.com"),
    quota=QUOTA,
    max_age_seconds=86_400.0,  # "requests must be cached for 24 hours"
    settings=PixabaySettings,
    needs=("pixabay_api_key",),
    connect=_connect,
    options=_options,
    is_default=lambda _: True,
    site="https://pixabay.com/",
)
