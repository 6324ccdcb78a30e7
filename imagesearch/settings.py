"""`Settings` from the environment, checked when they are read: a bad one names itself.

What a setting may look like is in `setting_types.py`, what is built from them in
`compose/bootstrap.py`. The table in the README is made from this file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.pools import PoolPolicy, SourceOptions
from imagesearch.installation import ROOT, default_data_dir
from imagesearch.setting_types import (
    ApiKey,
    Bucket,
    Category,
    Certificates,
    Checkpoint,
    Colors,
    Database,
    Folder,
    Host,
    Language,
    Lower,
    Origins,
    ProjectId,
    Secret,
    Upper,
    Url,
    readable,
    trimmed,
)

DEMO_MODEL = ROOT / "models" / "demo"
DEFAULT_MODEL = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
DEFAULT_DATA_DIR = default_data_dir()

_SECRETS = ("_key", "_auth_string", "_ca")  # a key may be pasted where certificates belong
_DAY_SECONDS = 86_400


class Settings(BaseModel):
    """Every setting is an environment variable of the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    edition: Lower[Literal["embedded", "cloud"]] = Field(
        "embedded",
        description="`embedded`: one process and no account; `cloud`: Google Cloud, or its "
        "emulators, with a process for each service.",
    )
    # Not HOST and LANGUAGE, which shells and desktops set for purposes of their own.
    bind_address: Host = Field(
        "127.0.0.1", description="Address that `imagesearch serve` listens on."
    )
    port: int = Field(8080, ge=0, le=65535, description="Its port; 0 takes a free one.")
    data_dir: Folder = Field(
        cast("Path", DEFAULT_DATA_DIR),  # a text: its ~ is expanded as a person's is
        validate_default=True,
        description="Folder of the embedded edition's images, catalog and bus; where pip installed "
        "the program, the user's own by default, such as `~/.local/share/imagesearch`.",
    )
    pixabay_api_key: ApiKey | None = Field(
        None, description="Key of the Pixabay API; without one the demo gallery stands in."
    )
    clip_model: Checkpoint = Field(
        "",
        description="Hub id or folder of a CLIP checkpoint; by default "
        f"`{DEFAULT_MODEL}`, on the demo `models/demo`.",
    )
    pool_size: int = Field(200, ge=3, le=500, description="Images fetched for a keyword.")
    keyword_language: Language = Field(
        "en", description="Language of the keywords, as Pixabay spells it."
    )
    orientation: Lower[Literal["all", "horizontal", "vertical"]] = Field(
        "all", description="Orientation of the images."
    )
    image_category: Category = Field(
        "", description="Pixabay's category, such as `animals`; empty: all."
    )
    image_colors: Colors = Field(
        "", description="Pixabay's colours, comma separated, such as `red,blue`; empty: all."
    )
    safesearch: bool = Field(True, description="Only images suitable for all ages.")
    pool_max_age_seconds: float = Field(
        _DAY_SECONDS,
        ge=1,
        le=366 * _DAY_SECONDS,
        description="Age at which a pool is stale; Pixabay asks for 24 hours.",
    )
    lease_seconds: float = Field(
        60,
        ge=1,
        le=_DAY_SECONDS,
        description="Time for a new pool's job to be published, before another search does it.",
    )
    retry_seconds: float = Field(
        60,
        ge=1,
        le=_DAY_SECONDS,
        description="Rest of a failed pool before a search fetches it again.",
    )
    download_connections: int = Field(16, ge=1, le=64, description="Downloads at a time.")
    max_image_bytes: int = Field(
        20_000_000, ge=100_000, le=1_000_000_000, description="Size limit of one download."
    )
    rate_limit_per_minute: int = Field(
        600, ge=1, le=1_000_000, description="Requests a client may make in a minute."
    )
    new_keywords_per_minute: int = Field(
        60,
        ge=1,
        le=10_000,
        description="New keywords a client may ask for in a minute; known ones are not counted.",
    )
    allowed_origins: Origins = Field(
        "",
        description="Origins that may call the API from a page, comma separated, or `*`; on a "
        "loopback address their hosts are answered, too.",
    )
    image_base_url: Url = Field(
        "",
        description="Base URL of the stored images; empty: `/images/` of the same host, in the "
        "cloud the bucket's.",
    )
    google_cloud_project: ProjectId = Field(
        "", description="Project id of Pub/Sub, Firestore and Cloud Storage; the cloud needs it."
    )
    images_bucket: Bucket = Field(
        "", description="Cloud Storage bucket of the stored images; the cloud needs it."
    )
    firestore_database: Database = Field(
        "(default)", description="Firestore database of the catalog."
    )
    scorer_url: Url = Field(
        "", description="URL of the inference service that scores; the query function needs it."
    )
    embedder_url: Url = Field(
        "",
        description="URL of the inference service that embeds, which a new keyword's first "
        "search wakes; empty: `SCORER_URL`.",
    )
    redis_host: Host = Field(
        "", description="Memorystore's address; empty: each process keeps a cache of its own."
    )
    redis_port: int = Field(6379, ge=1, le=65535, description="Its port.")
    redis_auth_string: Secret | None = Field(None, description="Its AUTH string, if it asks.")
    redis_server_ca: Certificates = Field(
        "", description="Its certificate authorities in PEM; given, TLS is spoken."
    )
    gallery_url: Url = Field(
        "",
        description="URL of a demo gallery that stands in for Pixabay in the cloud edition; the "
        "embedded one runs its own.",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="Proxies that append to `X-Forwarded-For`, for the rate limit: 1 on Cloud "
        "Run, 2 behind a load balancer; 0: that header is ignored, and `X-Forwarded-Proto` and "
        "`X-Forwarded-Host` are, too, so that links behind a proxy that ends TLS need it set.",
    )
    log_level: Upper[Literal["DEBUG", "INFO", "WARNING", "ERROR"]] = Field(
        "INFO", description="How much is logged."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_readable(cls, value: object) -> object:
        return readable(value)

    @property
    def is_demo(self) -> bool:
        """
        True when drawn pictures and the small demo model stand in for Pixabay and CLIP.

        In the cloud only the fetcher holds the key of Pixabay, so that its lack tells nothing.
        """
        return bool(self.gallery_url) if self.edition == "cloud" else self.pixabay_api_key is None

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

    def images_url(self, host_url: str) -> str:
        """Return the URL that the names of stored images are appended to, after a slash."""
        if self.image_base_url:
            return self.image_base_url
        if self.edition == "cloud":
            return f"https://storage.googleapis.com/{self.images_bucket}"
        return f"{host_url.rstrip('/')}/images"

    @property
    def origins(self) -> frozenset[str]:
        """The origins of `allowed_origins`."""
        return frozenset(filter(None, self.allowed_origins.split(",")))


def load_settings(**overrides: object) -> Settings:
    """
    Read the settings from the environment; *overrides* win. What is empty or blank is not set.

    Raises:
        InvalidRequest: a line for each bad setting, with its name, bound and value.
    """
    found = {name: os.environ.get(name.upper()) for name in Settings.model_fields}
    typed = {name: trimmed(value) for name, value in {**found, **overrides}.items()}
    try:
        return Settings.model_validate(
            {name: value for name, value in typed.items() if value not in (None, "")}
        )
    except ValidationError as error:
        bad = {str(one["loc"][0]): one["msg"] for one in error.errors(include_url=False)}
        message = "\n".join(_explained(name, bound, typed[name]) for name, bound in bad.items())
        raise InvalidRequest(message, field=next(iter(bad)).upper()) from None


def _explained(name: str, bound: str, value: object) -> str:
    told = f"{name.upper()}: {bound.removeprefix('Value error, ')}"
    if name.endswith(_SECRETS):
        return told  # a secret's value is never repeated
    shown = re.sub(r"//[^/]*@", "//***@", repr(value))  # nor is a password in a URL
    return f"{told}, got {shown if len(shown) <= 200 else shown[:200] + '…'}"
