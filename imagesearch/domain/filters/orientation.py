"""The filter `orientation`, in Pixabay's words, and `square`, of which Pixabay has none.

Source: https://pixabay.com/api/docs/, the parameter `orientation`.
"""

from __future__ import annotations

from imagesearch.domain.filters.declaration import Comparison, choice

# Of an image whose sides are not known, and 0, nothing is claimed.
_HAS_SIDES = (Comparison("width", ">", 0), Comparison("height", ">", 0))

ORIENTATION = choice(
    "orientation",
    {
        "all": (),
        "horizontal": (*_HAS_SIDES, Comparison("width", ">", "height")),
        "vertical": (*_HAS_SIDES, Comparison("width", "<", "height")),
        "square": (*_HAS_SIDES, Comparison("width", "=", "height")),
    },
    help="Only images that are wider than high, higher than wide, or as wide as high.",
)
