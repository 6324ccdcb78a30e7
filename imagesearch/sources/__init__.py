"""Where images come from, a file a source. To add one: its file, and its import here."""

from imagesearch.sources.commons import COMMONS as COMMONS
from imagesearch.sources.declaration import Declaration
from imagesearch.sources.demo import DEMO as DEMO
from imagesearch.sources.openverse import OPENVERSE as OPENVERSE
from imagesearch.sources.pixabay import PIXABAY as PIXABAY

SOURCES: dict[str, Declaration] = {
    source.name: source for source in tuple(vars().values()) if isinstance(source, Declaration)
}
"""What is imported above, by name; of those that the settings mean by default, the first counts."""
