"""Where images come from, a file a source. To add one: its file, and its import here."""

from imagesearch.sources.commons import COMMONS as COMMONS
from imagesearch.sources.declaration import Declaration
from imagesearch.sources.demo import DEMO as DEMO
from imagesearch.sources.openverse import OPENVERSE as OPENVERSE
from imagesearch.sources.pixabay import PIXABAY as PIXABAY
from imagesearch.sources.several import several

SOURCES: dict[str, Declaration] = {
    source.name: source for source in tuple(vars().values()) if isinstance(source, Declaration)
}
"""What is imported above, by name; of those that the settings mean by default, the first counts."""


def source_names(text: str) -> str:
    """
    Return the names of sources in *text*, comma separated, in one order and each once.

    Raises:
        ValueError: one is no name of `SOURCES`, or stands beside the demo, whose model knows no
            photographs.
    """
    names = {name.strip() for name in text.split(",")}
    if not names <= SOURCES.keys():
        raise ValueError(f"must be one of {' '.join(SOURCES)}, or several, comma separated")
    if DEMO.name in names and len(names) > 1:
        raise ValueError(f"`{DEMO.name}` must stand alone")
    return ",".join(sorted(names))


def source_named(names: str) -> Declaration:
    """Return the source of *names*, as `source_names` returns them."""
    parts = [SOURCES[name] for name in names.split(",")]
    return parts[0] if len(parts) == 1 else several(parts)
