"""What the inference service is made of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from imagesearch.adapters.stores import gcs
from imagesearch.clock import SystemClock
from imagesearch.compose.cloud import cache_of, catalog_of
from imagesearch.compose.start import require
from imagesearch.ports import Cache, Clock, Encoder, ImageStore
from imagesearch.settings import Settings
from imagesearch.usecases.embed import Embed
from imagesearch.usecases.fetch import GiveUp
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.score import Score

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InferenceProcess:
    """
    What the doors of `inference_service` ask.

    Attributes:
        embed: None in a service that has no bucket: it scores and does nothing else.
    """

    encoder: Encoder
    catalog: Catalog
    score: Score
    embed: Embed | None
    give_up: GiveUp


def compose(settings: Settings, load_encoder: Callable[[], Encoder]) -> InferenceProcess:
    """
    Return the service on Google Cloud.

    Args:
        load_encoder: called last: to load a model for a process that lacks a setting takes long.

    Raises:
        InvalidRequest: it lacks a setting.
    """
    require(settings, "google_cloud_project")
    store = None
    if settings.images_bucket:
        store = gcs.connect(settings.google_cloud_project, settings.images_bucket)
    else:
        _logger.info("IMAGES_BUCKET is not set: this service scores, and embeds nothing")
    cache, _ = cache_of(settings)
    return inference_process(
        settings,
        clock=SystemClock(),
        catalog=catalog_of(settings),
        cache=cache,
        store=store,
        encoder=load_encoder(),
    )


def inference_process(
    settings: Settings,
    *,
    clock: Clock,
    catalog: Catalog,
    cache: Cache,
    store: ImageStore | None,
    encoder: Encoder,
) -> InferenceProcess:
    """Return the use cases as *settings* have them; *store* has the images to be embedded."""
    embed = None
    if store is not None:
        embed = Embed(catalog=catalog, cache=cache, store=store, encoder=encoder, clock=clock)
    score = Score(
        catalog=catalog, cache=cache, encoder=encoder, clock=clock, policy=settings.policy
    )
    give_up = GiveUp(catalog=catalog, cache=cache, clock=clock)
    return InferenceProcess(encoder, catalog, score, embed, give_up)
