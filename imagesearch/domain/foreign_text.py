"""Texts that strangers wrote, made harmless where they enter (decision 0052)."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"  # which scripts and emoji need


def unicode_of(value: object) -> str:
    """Return a text without halves of surrogate pairs, which UTF-8 has not; "" if it is none."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def visible(text: str, most: int) -> str:
    """Return *text*, of which *most* characters are needed, with single spaces and no controls."""
    text = text[: 4 * most]  # a megabyte need not be gone through
    if not text.isprintable():
        text = "".join(map(_or_space, text))
    return " ".join(text.split())


def _or_space(character: str) -> str:
    """Return *character*, or what stands in for one that is not seen but may change what is."""
    category = unicodedata.category(character)
    if category == "Cf" and character not in _JOINERS:
        return ""
    return " " if category == "Cc" else character


def shortened(text: str, most: int) -> str:
    """Return *text*, cut with `…` where it has more than *most* characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def one_line(value: object, most: int) -> str:
    """Return the text *value* as it may be shown: one line, no controls, *most* characters."""
    return shortened(visible(unicode_of(value), most), most)
