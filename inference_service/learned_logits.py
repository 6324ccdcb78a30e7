"""How a model's cosines become logits, as its training left it among the weights."""

from __future__ import annotations

import logging
import math

from inference_service.checkpoint import Weights

MOST_SCALE = 1000.0  # CLIP's training holds it at 100: a cosine must not outweigh all others
MOST_BIAS = 1000.0  # SigLIP's begins at -10 and ends around -15

logger = logging.getLogger(__name__)


def logit_scale(weights: Weights) -> float:
    """
    Return exp of the learned logarithm `logit_scale`.

    A checkpoint may hold the scale itself in its place. In training it goes from 10 to 120
    (its logarithm from 2.3 to 4.8), so that what is meant can be told.

    Raises:
        ValueError: it is neither, or there is none.
    """
    value = _number(weights, "logit_scale")
    if 0 <= value <= math.log(MOST_SCALE):
        return math.exp(value)
    if 10 <= value <= MOST_SCALE:
        logger.warning("logit_scale is %g: taken for the scale, not for its logarithm", value)
        return value
    raise ValueError(
        f"its weights: logit_scale must be one number, the logarithm of a scale, from 0 to "
        f"{math.log(MOST_SCALE):.2f}, got {weights['logit_scale'].tolist()}"
    )


def logit_bias(weights: Weights) -> float:
    """Return `logit_bias`; ValueError where it is not one number in its bounds, or not there."""
    value = _number(weights, "logit_bias")
    if abs(value) <= MOST_BIAS:
        return value
    raise ValueError(
        f"its weights: logit_bias must be one number from {-MOST_BIAS:g} to {MOST_BIAS:g}, got "
        f"{weights['logit_bias'].tolist()}"
    )


def _number(weights: Weights, name: str) -> float:
    """Return the one number that the parameter *name* is; NaN where it is more of them."""
    if name not in weights:
        raise ValueError(f"its weights lack {name}")
    learned = weights[name]
    return float(learned.flat[0]) if learned.size == 1 else math.nan
