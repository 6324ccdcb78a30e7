"""The last searches, as addresses, the newest first; the device alone keeps them."""

from __future__ import annotations

from collections.abc import Iterable

from app.search import Search, search_at

MOST = 6
SLOT = "imagesearch.recent"  # of the device's storage


def remembered(search: Search, addresses: Iterable[str]) -> list[str]:
    """
    Return *addresses* with that of *search* before them.

    One that was narrowed down takes its own place; one by a picture is not kept, as the picture
    would not be there another day.
    """
    if search.picture or not search.can_be_asked:
        return list(addresses)
    others = [address for address in addresses if _core(search_at(address)) != _core(search)]
    return [search.address(), *others][:MOST]


def read(stored: object) -> list[str]:
    """Return the addresses that the device has *stored*; anybody may have written there."""
    listed = stored if isinstance(stored, list) else []
    return [text for text in listed if isinstance(text, str) and search_at(text).can_be_asked][
        :MOST
    ]


def _core(search: Search) -> tuple[object, ...]:
    parts = (search.s_query, search.t, search.minus, search.like, search.everywhere)
    return (*parts, search.collection)
