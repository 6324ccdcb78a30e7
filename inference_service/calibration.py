"""The thresholds of one model, in a file beside its weights: `imagesearch calibrate` writes it."""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path

from imagesearch.domain.ranking import HUBNESS_SHARE, Thresholds

CALIBRATION_FILE = "calibration.toml"  # no .json, which would be a part of the model's revision
_LEVELS = ("strong", "fair", "weak")

logger = logging.getLogger(__name__)


def read_thresholds(folder: Path, model_revision: str, references: str) -> Thresholds | None:
    """
    Return the thresholds in *folder*, or None: they are missing, damaged, or of another model.

    Args:
        references: the digest of the captions that hubness is measured with.
    """
    file = folder / CALIBRATION_FILE
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        strong, fair, weak = (float(values[level]) for level in _LEVELS)
        share = values.get("hubness_share", HUBNESS_SHARE)
        phrase_share = values.get("phrase_share", 0.0)
        thresholds = Thresholds(
            *(strong, fair, weak, values.get("per_spread", True), share, phrase_share)
        )
        made_for = values["model_revision"], values["references"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is not used, nothing is called a match: %r", file, error)
        return None
    if made_for != (model_revision, references):
        logger.warning(
            "%s is not used, nothing is called a match: it is for %s with references %s,"
            " and this is %s with %s",
            *(file, *made_for, model_revision, references),
        )
        return None
    return thresholds


def write_thresholds(
    folder: Path, model_revision: str, references: str, thresholds: Thresholds
) -> Path:
    """Write the thresholds into *folder* and return the file; OSError where that cannot be."""
    file = folder / CALIBRATION_FILE
    levels = [f"{level} = {getattr(thresholds, level):.6f}" for level in _LEVELS]
    head = [
        "# From which score on a hit is a match; made by `imagesearch calibrate`.",
        f'model_revision = "{model_revision}"',
        f'references = "{references}"',
        f"per_spread = {str(thresholds.per_spread).lower()}",
        f"hubness_share = {thresholds.hubness_share:g}",
        f"phrase_share = {thresholds.phrase_share:g}",
    ]
    file.write_text("\n".join([*head, *levels, ""]), encoding="utf-8")
    return file
