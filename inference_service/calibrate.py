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
from inference_service.references import ReferenceCaptions


@contextmanager
def calibrating(model: str) -> Iterator[tuple[ModelEncoder, Callable[[Thresholds], Path]]]:
    """
    Yield the encoder of *model*, and what writes its thresholds beside it and returns the file.

    Raises:
        Unavailable: as `ModelEncoder.load`.
    """
    encoder = ModelEncoder.load(model)
    try:
        folder = ModelFolder.find(model).path
        captions = ReferenceCaptions.of(folder)
        yield encoder, partial(write_thresholds, folder, encoder.model_revision, captions.digest)
    finally:
        encoder.close()
