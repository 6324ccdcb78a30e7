"""The filter `colour`, in Pixabay's words, by what was kept of an image's pixels.

Source: https://pixabay.com/api/docs/, the parameter `colors`.
"""

from __future__ import annotations

from imagesearch.domain.filters.declaration import Comparison, choice
from imagesearch.domain.pixels import COLOURS, colour_bit

COLOUR = choice(
    "colour",
    {name: (Comparison("colours", "has", colour_bit(name)),) for name in COLOURS},
    help="Only images of which it is a main colour, or that are all white, gray and black.",
)
