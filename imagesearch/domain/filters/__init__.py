"""What a search may leave out, a file a filter. To add one: its file, and its import here."""

from collections.abc import Mapping

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters.collected import ALBUM as ALBUM
from imagesearch.domain.filters.collected import CAMERA as CAMERA
from imagesearch.domain.filters.collected import COLLECTION as COLLECTION
from imagesearch.domain.filters.collected import FOLDER as FOLDER
from imagesearch.domain.filters.collected import OF_OWN as OF_OWN
from imagesearch.domain.filters.colour import COLOUR as COLOUR
from imagesearch.domain.filters.date import MONTH as MONTH
from imagesearch.domain.filters.date import YEAR as YEAR
from imagesearch.domain.filters.declaration import Filter, Naming, Where, by_name, folder_in
from imagesearch.domain.filters.orientation import ORIENTATION as ORIENTATION
from imagesearch.domain.filters.source import SOURCE as SOURCE
from imagesearch.domain.filters.tag import TAG as TAG
from imagesearch.domain.filters.user import USER as USER

FILTERS = by_name(each for each in tuple(vars().values()) if isinstance(each, Filter))
"""What is imported above, by name."""


def chosen(args: Mapping[str, str]) -> dict[str, str]:
    """
    Return those of *args* that are filters, by name; one without text is not.

    Raises:
        InvalidRequest: a text that its filter cannot read, naming field, bound and value.
    """
    texts = {name: args.get(name, "").strip() for name in FILTERS}
    filters = {name: text for name, text in texts.items() if text}
    where_of(filters)
    return filters


def where_of(filters: Mapping[str, str]) -> Where:
    """
    Return what all of *filters*, texts by name, leave together.

    Raises:
        InvalidRequest: an unknown filter, or a text that its filter cannot read.
    """
    for name in filters:
        if name not in FILTERS:
            bound = f"a filter must be one of {', '.join(FILTERS)}"
            raise InvalidRequest(f"{bound}, got {name[:64]!r}", field="filters")
    where = tuple(each for name, text in filters.items() for each in FILTERS[name].where(text))
    if not {"collection", "folder"} <= filters.keys():
        return where
    # Together: a copy in another collection may lie in a folder of that name.
    within = Naming("folder", folder_in(filters["collection"], filters["folder"]))
    return tuple(
        within if isinstance(each, Naming) and each.fact == "folder" else each for each in where
    )
