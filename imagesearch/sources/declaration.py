"""What an image source says of itself, in a file of its own, and what it is given to work with.

A declaration is read by every process with the settings, so that its file loads no HTTP client
before it is asked to `connect`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from imagesearch.ports import Clock, ImageSource

if TYPE_CHECKING:
    from imagesearch.sources.download import Downloader


@dataclass(frozen=True)
class Quota:
    """How many requests for listings a source allows in *period_seconds*."""

    requests: int
    period_seconds: float


@dataclass(frozen=True)
class Tools:
    """
    What a source is given to work with.

    Attributes:
        downloader: makes what downloads from the declared hosts; its arguments are an origin that
            may be plain http besides, see `Downloader`, and its User-Agent, "" for the usual one.
        take_quota: to be called before each request for a listing; 0.0 allows it, else the seconds
            until one may be.
        take_download: the same for each download, of a source with a `download_quota`.
        clock: what short waits are slept by.
        of: returns those of another source, for one that is made of several.
    """

    downloader: Callable[[str | None, str], Downloader]
    take_quota: Callable[[], float]
    take_download: Callable[[], float]
    clock: Clock
    of: Callable[[Declaration], Tools]


def _never(_settings: object) -> bool:
    return False


def _no_options(_settings: object) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """
    An image source, as the rest of the program knows it.

    Attributes:
        name: what the setting SOURCE calls it; the first part of each of its image_ids.
        credit: how it is called beside an image.
        hosts: that images may come from; `*.pixabay.com` is every name below it.
        quota: of its own, over all processes; None for one that is made of others. It is a bucket
            that fills again from the first request on, so that twice as many may fall into one
            period.
        daily_quota: beside it, over a longer time.
        download_quota: of its downloads, where they are limited.
        max_age_seconds: for which it lets a listing be used.
        settings: its own, each an environment variable of the field's name in capitals.
        needs: those that it cannot be connected without. Such a secret is told to the process that
            fetches alone.
        connect: makes it from the settings; whoever calls it sees to `needs`.
        options: those of `SourceOptions` that the settings ask for, with `source` and `pool_size`
            left out.
        site: its page for people, "" where it has none.
        note: what it asks to be said of it.
        made_of: the sources that it has its images from; none where they are its own.
        is_default: whether the settings, with no SOURCE among them, mean this one.
    """

    name: str
    credit: str
    hosts: tuple[str, ...]
    quota: Quota | None
    max_age_seconds: float
    settings: type[BaseModel]
    needs: tuple[str, ...]
    # Of the settings of all sources each takes its own: a type that no signature has a name for.
    connect: Callable[[Any, Tools], ImageSource]
    options: Callable[[Any], Mapping[str, Any]] = _no_options
    daily_quota: Quota | None = None
    download_quota: Quota | None = None
    is_default: Callable[[Any], bool] = _never
    site: str = ""
    note: str = ""
    made_of: tuple[Declaration, ...] = ()

    @property
    def parts(self) -> tuple[Declaration, ...]:
        """The sources that are asked: those that it is made of, or itself."""
        return self.made_of or (self,)
