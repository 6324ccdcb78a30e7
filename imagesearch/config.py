"""`Settings` from the environment: a missing or bad key names itself.

What is built from them is in `bootstrap.py`; the table in the README is made from this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagesearch.errors import InvalidRequest
from imagesearch.model import PoolPolicy, SourceOptions

_ROOT = Path(__file__).resolve().parents[1]
DEMO_MODEL = _ROOT / "models" / "demo"
DEFAULT_MODEL = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"

_LANGUAGES = "cs da de en es fr id it hu nl no pl pt ro sk fi sv tr vi th bg ru el ja ko zh"


class Settings(BaseSettings):
    """Every setting is an environment variable of the field's name in capitals."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    # Not HOST and LANGUAGE, which shells and desktops set for purposes of their own.
    bind_address: str = Field(
        "127.0.0.1", description="Address that `imagesearch serve` listens on."
    )
    port: int = Field(8080, ge=0, le=65535, description="Its port; 0 takes a free one.")
    data_dir: Path = Field(
        Path(".data"), description="Folder of the embedded edition's images, catalog and bus."
    )
    pixabay_api_key: SecretStr | None = Field(
        None, description="Key of the Pixabay API; without one the demo gallery stands in."
    )
    clip_model: str = Field(
        "",
        description="Hub id or folder of a CLIP checkpoint; by default "
        f"`{DEFAULT_MODEL}`, on the demo `models/demo`.",
    )
    pool_size: int = Field(200, ge=3, le=500, description="Images fetched for a keyword.")
    keyword_language: str = Field(
        "en", description="Language of the keywords, as Pixabay spells it."
    )
    orientation: Literal["all", "horizontal", "vertical"] = Field(
        "all", description="Orientation of the images."
    )
    image_category: str = Field(
        "", description="Pixabay's category, such as `animals`; empty: all."
    )
    image_colors: str = Field(
        "", description="Pixabay's colours, comma separated, such as `red,blue`; empty: all."
    )
    safesearch: bool = Field(True, description="Only images suitable for all ages.")
    pool_max_age_seconds: float = Field(
        86_400, gt=0, description="Age at which a pool is stale; Pixabay asks for 24 hours."
    )
    lease_seconds: float = Field(
        60, gt=0, description="Silence after which work in progress is published again."
    )
    retry_seconds: float = Field(
        60, gt=0, description="Rest of a failed pool before a search fetches it again."
    )
    download_connections: int = Field(16, ge=1, le=64, description="Downloads at a time.")
    max_image_bytes: int = Field(20_000_000, ge=1, description="Size limit of one download.")
    rate_limit_per_minute: int = Field(
        600, ge=1, description="Requests a client may make in a minute."
    )
    allowed_origins: str = Field(
        "", description="Origins that may call the API from a page, comma separated, or `*`."
    )
    image_base_url: str = Field(
        "", description="Base URL of the stored images; empty: `/images/` of the same host."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much is logged."
    )

    @field_validator("keyword_language")
    @classmethod
    def _known_language(cls, value: str) -> str:
        if value not in _LANGUAGES.split():
            raise ValueError(f"must be one of {_LANGUAGES}")
        return value

    @property
    def is_demo(self) -> bool:
        """True without a Pixabay key: drawn pictures and the small demo model."""
        return self.pixabay_api_key is None

    @property
    def model(self) -> str:
        """The CLIP checkpoint to load."""
        return self.clip_model or (str(DEMO_MODEL) if self.is_demo else DEFAULT_MODEL)

    @property
    def policy(self) -> PoolPolicy:
        """The durations of a pool's life."""
        return PoolPolicy(self.pool_max_age_seconds, self.lease_seconds, self.retry_seconds)

    @property
    def source_options(self) -> SourceOptions:
        """What is asked of the image source besides the keyword."""
        return SourceOptions(
            source="demo" if self.is_demo else "pixabay",
            language=self.keyword_language,
            orientation=self.orientation,
            category=self.image_category,
            colors=self.image_colors,
            safesearch=self.safesearch,
            pool_size=self.pool_size,
        )

    @property
    def origins(self) -> frozenset[str]:
        """The origins of `allowed_origins`."""
        return frozenset(one.strip() for one in self.allowed_origins.split(",") if one.strip())


def load_settings(**overrides: object) -> Settings:
    """
    Read the settings from the environment; *overrides* win.

    Raises:
        InvalidRequest: the first bad setting, with its name, bound and value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper()
        # A secret's value is never repeated.
        shown = "" if name.endswith("_KEY") else f", got {first['input']!r}"
        raise InvalidRequest(f"{name}: {first['msg']}{shown}", field=name) from None
