"""A model that is to be calibrated, and where its thresholds are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from imagesearch.domain.ranking import Thresholds
from inference_service.calibration import write_thresholds
from inference_service.encoder import ModelEncoder
from inference_service.model_folder import ModelFolder
from inference_service.references import ReferenceCaptions, Tell


@contextmanager
def calibrating(
    model: str, tell: Tell
) -> Iterator[tuple[ModelEncoder, Callable[[Thresholds], Path]]]:
    """
    Yield the encoder of *model*, and what writes its thresholds beside it and returns the file.

    Args:
        tell: as in `ModelEncoder.load`.

    Raises:
        Unavailable: as `ModelEncoder.load`.
    """
    encoder = ModelEncoder.load(model, tell=tell, in_float32=True)
    try:
        folder = ModelFolder.find(model).path
        captions = ReferenceCaptions.of(folder)
        yield encoder, partial(write_thresholds, folder, encoder.model_revision, captions.digest)
    finally:
        encoder.close()
