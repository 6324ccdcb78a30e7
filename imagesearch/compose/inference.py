"""What the inference service is made of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagesearch.clock import SystemClock
from imagesearch.compose.cloud import cache_of, catalog_of
from imagesearch.compose.image_store import image_store_of
from imagesearch.compose.start import require
from imagesearch.devices import checkpoint_here
from imagesearch.domain.errors import Unavailable
from imagesearch.ports import Cache, Clock, Encoder, ImageStore
from imagesearch.settings import Settings
from imagesearch.usecases.embed import Embed
from imagesearch.usecases.fetch import GiveUp
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.score import Score
from imagesearch.usecases.scorers import Scorers

_logger = logging.getLogger(__name__)

_KEPT_SECONDS = 300.0  # in which a search over everything that is asked again is not read again


@dataclass(frozen=True)
class InferenceProcess:
    """
    What the doors of `inference_service` ask.

    Attributes:
        embed: None in a service that has no bucket: it scores and does nothing else.
    """

    encoder: Encoder
    catalog: Catalog
    scorer: Scorers
    embed: Embed | None
    give_up: GiveUp


def compose(settings: Settings, load_encoder: Callable[[str], Encoder]) -> InferenceProcess:
    """
    Return the service on Google Cloud.

    Args:
        load_encoder: loads a checkpoint; called last: for a process that lacks a setting it takes
            long.

    Raises:
        InvalidRequest: it lacks a setting.
    """
    require(settings, "google_cloud_project")
    store = None
    if settings.images_bucket:
        store = image_store_of(settings)
    else:
        _logger.info("IMAGES_BUCKET is not set: this service scores, and embeds nothing")
    cache, _ = cache_of(settings)
    return inference_process(
        settings,
        clock=SystemClock(),
        catalog=catalog_of(settings),
        cache=cache,
        store=store,
        encoder=load_encoder(checkpoint_here(settings.model)),
        before=encoders_before(settings, load_encoder),
    )


def encoders_before(settings: Settings, load_encoder: Callable[[str], Encoder]) -> list[Encoder]:
    """Return the encoder of the model before, if one is named; Unavailable if it has none."""
    model = checkpoint_here(settings.previous_clip_model)
    try:
        return [load_encoder(model)] if model else []
    except Unavailable as error:  # which begins with CLIP_MODEL
        raise Unavailable(f"PREVIOUS_{error}") from error


def inference_process(
    settings: Settings,
    *,
    clock: Clock,
    catalog: Catalog,
    cache: Cache,
    store: ImageStore | None,
    encoder: Encoder,
    before: Sequence[Encoder] = (),
) -> InferenceProcess:
    """
    Return the use cases as *settings* have them.

    Args:
        store: has the images to be embedded.
        before: of the models that scored before, until *encoder* has embedded all.
    """
    embed = None
    if store is not None:
        embed = Embed(catalog=catalog, cache=cache, store=store, encoder=encoder, clock=clock)

    def score_by(by: Encoder, model_revision: str) -> Score:
        # Firestore is paid for by what is read; on one machine it costs nothing to look again.
        kept_seconds = _KEPT_SECONDS if settings.edition == "cloud" else 0.0
        return Score(catalog, cache, by, clock, settings.policy, model_revision, kept_seconds)

    scorer = Scorers([encoder, *before], catalog.library, clock, score_by)
    give_up = GiveUp(catalog=catalog, cache=cache, clock=clock)
    return InferenceProcess(encoder, catalog, scorer, embed, give_up)
