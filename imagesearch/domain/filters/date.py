"""The filters `year` and `month`: when an image came to its source, or was taken, if known."""

from __future__ import annotations

from imagesearch.domain.filters.declaration import whole_number
from imagesearch.domain.images import FIRST_YEAR, LAST_YEAR

YEAR = whole_number(
    "year",
    "YEAR",
    FIRST_YEAR,
    LAST_YEAR,
    "Only images that came to their source, or were taken, in this year, as far as it is known.",
)
MONTH = whole_number(
    "month",
    "1..12",
    1,
    12,
    "Only images that came to their source, or were taken, in this month of any year.",
)
