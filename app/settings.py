"""What the app is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from imagesearch.setting_types import http_url

API_URL = "http://127.0.0.1:8080"  # where `make run` is


@dataclass(frozen=True)
class Settings:
    """
    Settings of the app, of which a package needs the first alone.

    Attributes:
        api_url: API_URL, of the imagesearch that is searched.
        image_origins: IMAGE_ORIGINS, from where its pictures come, if not from there.
        bind_address: BIND_ADDRESS, which the web app listens on.
        port: PORT of the same; 0 takes a free one.
    """

    api_url: str = API_URL
    image_origins: tuple[str, ...] = ()
    bind_address: str = "127.0.0.1"
    port: int = 8090

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins that a browser may load from, besides the app's own."""
        return tuple(dict.fromkeys(map(_origin, (self.api_url, *self.image_origins))))


def settings_of(environment: Mapping[str, str]) -> Settings:
    """
    Return the settings that *environment* has; blanks around a value do no harm.

    Raises:
        ValueError: a value is none, with its name, its bound and what it is.
    """
    said = {name: value.strip() for name, value in environment.items() if value.strip()}
    origins = [origin.strip() for origin in said.get("IMAGE_ORIGINS", "").split(",")]
    return Settings(
        api_url=_url("API_URL", said.get("API_URL", API_URL)),
        image_origins=tuple(_url("IMAGE_ORIGINS", origin) for origin in origins if origin),
        bind_address=said.get("BIND_ADDRESS", Settings.bind_address),
        port=_port(said.get("PORT", str(Settings.port))),
    )


def _url(name: str, value: str) -> str:
    """Return *value* as the client takes it: what that refuses would break each window."""
    try:
        return http_url(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}, got {value[:200]!r}") from None


def _port(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or int(value) > 65535:
        raise ValueError(f"PORT must be between 0 and 65535, got {value!r}")
    return int(value)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
