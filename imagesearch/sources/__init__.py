"""Where images come from, a file a source. To add one: its file, and its line here."""

from imagesearch.sources.declaration import Declaration
from imagesearch.sources.demo import DEMO
from imagesearch.sources.pixabay import PIXABAY

_DECLARED = (
    DEMO,
    PIXABAY,
)
SOURCES: dict[str, Declaration] = {source.name: source for source in _DECLARED}
"""By name; of those that the settings mean by default, the first."""
