"""`Settings` from the environment, checked when they are read: a bad one names itself.

What a setting may look like is in `setting_types.py`, what is built from them in `compose/`. The
table in the README is made from this file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
)

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.pools import PoolPolicy, SourceOptions
from imagesearch.installation import ROOT, default_data_dir
from imagesearch.named_models import SMALL
from imagesearch.setting_types import (
    Bucket,
    Certificates,
    Checkpoint,
    Database,
    DatabaseUrl,
    Folder,
    Host,
    Lower,
    Origins,
    ProjectId,
    Secret,
    TopicPrefix,
    Upper,
    Url,
    lower,
    readable,
    trimmed,
)
from imagesearch.sources import SOURCES, source_named, source_names
from imagesearch.sources.declaration import Declaration
from imagesearch.sources.demo import DEMO

DEMO_MODEL = ROOT / "models" / "demo"
DEFAULT_MODEL = SMALL.hub_id
DEFAULT_DATA_DIR = default_data_dir()

# A key may be pasted where certificates belong.
_SECRETS = ("_key", "_auth_string", "_ca", "database_url")
_DAY_SECONDS = 86_400


class Settings(BaseModel):
    """
    Every setting is an environment variable of the field's name in capitals.

    Those of an image source are in its own file; what `load_settings` returns has them, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    edition: Lower[Literal["embedded", "cloud"]] = Field(
        "embedded",
        description="`embedded`: one process and no account; `cloud`: Google Cloud, or its "
        "emulators, with a process for each service.",
    )
    # Not HOST, which shells set for purposes of their own.
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
    source: Annotated[str, AfterValidator(source_names), lower] = Field(
        "",
        description="Where images come from: `pixabay`, `commons`, `openverse`, several of them, "
        "comma separated, or `demo`; empty: Pixabay if `PIXABAY_API_KEY` is set, else the demo.",
    )
    clip_model: Checkpoint = Field(
        "",
        description="`small`, `best`, or the hub id or folder of a CLIP or SigLIP checkpoint; by "
        "default `small`, on the demo `models/demo`. docs/models.md says what they are.",
    )
    previous_clip_model: Checkpoint = Field(
        "",
        description="The checkpoint before a change of `CLIP_MODEL`: it answers until `imagesearch "
        "reembed` is done. One machine remembers it by itself.",
    )
    pool_size: int = Field(200, ge=3, le=500, description="Images fetched for a keyword.")
    pool_max_age_seconds: float | None = Field(
        None,
        ge=1,
        le=366 * _DAY_SECONDS,
        description="Age at which a pool is stale; empty: what the source asks for, Pixabay for "
        "`86400`, which are 24 hours.",
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
    retention_days: int = Field(
        90,
        ge=0,
        le=3660,
        description="Days after which images and pools that nobody used are forgotten, with their "
        "originals; 0: never. Own pictures stay, whoever looks at them.",
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
    new_keywords_per_day: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="New keywords, and renewals of known ones, that all clients together may ask "
        "for in a day of UTC: what a day can cost at most.",
    )
    catalog_searches_per_minute: int = Field(
        600,
        ge=1,
        le=1_000_000,
        description="Searches over everything a client may make in a minute; in Firestore each "
        "reads a hundredth of what is stored.",
    )
    catalog_searches_per_day: int | None = Field(
        None,
        ge=0,
        le=10_000_000,
        description="The same of all clients together in a day of UTC; empty: not counted, 0: "
        "there are none.",
    )
    search_api_key: Secret | None = Field(
        None,
        description="The key that callers of the API send as `X-API-Key`, and that `imagesearch "
        "search` sends; empty: none is asked for. A secret.",
    )
    dollars_per_day: float | None = Field(
        None,
        ge=0.5,
        le=100_000,
        description="US dollars that what all clients ask for may cost in a day of UTC, by the "
        "prices of docs/costs.md: three quarters for new keywords and searches over everything, "
        "a quarter for what is known; empty: not counted.",
    )
    paid_gpu: Lower[Literal["", "embedder", "scorer"]] = Field(
        "",
        description="The service whose GPU is paid for while it is awake, which is charged to "
        "`DOLLARS_PER_DAY`: what embeds, or what scores as well.",
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
    private_images: bool = Field(
        False,
        description="Whether in the cloud the query function serves the stored images itself, at "
        "`/images/`, of a bucket that nobody else may read.",
    )
    google_cloud_project: ProjectId = Field(
        "", description="Project id of Pub/Sub, Firestore and Cloud Storage; the cloud needs it."
    )
    images_bucket: Bucket = Field(
        "",
        description="Cloud Storage bucket of the stored images; in the cloud, all but a service "
        "that only scores need it.",
    )
    firestore_database: Database = Field(
        "(default)", description="Firestore database of the catalog."
    )
    topic_prefix: TopicPrefix = Field(
        "",
        description="What the names of Pub/Sub's topics begin with, `imagesearch-dev-`, where "
        "several deployments share a project.",
    )
    library: Lower[Literal["", "firestore", "sqlite", "postgres"]] = Field(
        "",
        description="What keeps images and embeddings: `postgres`, or empty: `sqlite` in the "
        "embedded edition, `firestore` in the cloud; docs/scale.md says from which size on.",
    )
    database_url: DatabaseUrl | None = Field(
        None,
        description="`postgresql://USER:PASSWORD@HOST/DATABASE`, a PostgreSQL with pgvector 0.8.4 "
        "or newer, which `LIBRARY=postgres` needs. A secret.",
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
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="Proxies that append to `X-Forwarded-For`, for the rate limit: 1 on Cloud "
        "Run, 2 behind a load balancer; 0: that header is ignored, and `X-Forwarded-Proto` and "
        "`X-Forwarded-Host` are, too, so that links behind a proxy that ends TLS need it set.",
    )
    traces: Lower[Literal["", "console", "cloud"]] = Field(
        "",
        description="Where spans of searches, fetches and batches go: `console`, stderr, `cloud`, "
        "Cloud Trace; empty: nowhere.",
    )
    log_level: Upper[Literal["DEBUG", "INFO", "WARNING", "ERROR"]] = Field(
        "INFO", description="How much is logged."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_readable(cls, value: object) -> object:
        return readable(value)

    @property
    def image_source(self) -> Declaration:
        """Where images come from."""
        if self.source:
            return source_named(self.source)
        return next(source for source in SOURCES.values() if source.is_default(self))

    @property
    def source_secrets(self) -> dict[str, str]:
        """By variable, the secrets that the image source is connected with."""
        needed = {name: getattr(self, name) for name in self.image_source.needs}
        return {
            name.upper(): secret.get_secret_value()
            for name, secret in needed.items()
            if isinstance(secret, SecretStr)
        }

    @property
    def is_demo(self) -> bool:
        """True when drawn pictures and the small demo model stand in for Pixabay and CLIP."""
        return self.image_source is DEMO

    @property
    def model(self) -> str:
        """The checkpoint to load, by a name where a person gave one."""
        return self.clip_model or (str(DEMO_MODEL) if self.is_demo else DEFAULT_MODEL)

    @property
    def contact(self) -> str:
        """How whoever runs this can be reached, of all hosts that pictures are downloaded from."""
        contact: str = getattr(self, "source_contact", "")  # it is one of the sources' settings
        return contact

    @property
    def policy(self) -> PoolPolicy:
        """The durations of a pool's life."""
        max_age_seconds = self.pool_max_age_seconds or self.image_source.max_age_seconds
        return PoolPolicy(max_age_seconds, self.lease_seconds, self.retry_seconds)

    @property
    def source_options(self) -> SourceOptions:
        """What is asked of the image source besides the keyword."""
        source = self.image_source
        return SourceOptions(source.name, pool_size=self.pool_size, **source.options(self))

    def images_url(self, host_url: str) -> str:
        """Return the URL that the names of stored images are appended to, after a slash."""
        if self.image_base_url:
            return self.image_base_url
        if self.edition == "cloud" and not self.private_images:
            return f"https://storage.googleapis.com/{self.images_bucket}"
        return f"{host_url.rstrip('/')}/images"

    @property
    def origins(self) -> frozenset[str]:
        """The origins of `allowed_origins`."""
        return frozenset(filter(None, self.allowed_origins.split(",")))


_of_sources: Any = dict.fromkeys(source.settings for source in SOURCES.values())
AllSettings: type[Settings] = create_model("AllSettings", __base__=(Settings, *_of_sources))
"""The settings with those of every image source."""


def load_settings(**overrides: object) -> Settings:
    """
    Read the settings from the environment; *overrides* win. What is empty or blank is not set.

    Raises:
        InvalidRequest: a line for each bad setting, with its name, bound and value.
    """
    given = {name: os.environ.get(name.upper()) for name in AllSettings.model_fields}
    typed = {name: trimmed(value) for name, value in {**given, **overrides}.items()}
    try:
        return AllSettings.model_validate(
            {name: value for name, value in typed.items() if value not in (None, "")}
        )
    except ValidationError as error:
        bad = {
            str(problem["loc"][0]): problem["msg"] for problem in error.errors(include_url=False)
        }
        message = "\n".join(_explained(name, bound, typed[name]) for name, bound in bad.items())
        raise InvalidRequest(message, field=next(iter(bad)).upper()) from None


def is_secret(name: str) -> bool:
    """Return whether the setting *name* is shown to nobody but whom it is for."""
    return name.endswith(_SECRETS)


def _explained(name: str, bound: str, value: object) -> str:
    message = f"{name.upper()}: {bound.removeprefix('Value error, ')}"
    if is_secret(name):
        return message  # a secret's value is never repeated
    shown = re.sub(r"//[^/]*@", "//***@", repr(value))  # nor is a password in a URL
    return f"{message}, got {shown if len(shown) <= 200 else shown[:200] + '…'}"
