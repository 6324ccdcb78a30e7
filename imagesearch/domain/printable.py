"""Foreign text made fit for one line of a terminal."""

from __future__ import annotations

_JOINERS = "\u200c\u200d"  # between letters that some scripts write in another way without them


def printable(text: str) -> str:
    r"""
    Return *text* with whatever would play tricks with a terminal as `\x1b`, `\n` or `\u202e`.

    Control characters move the cursor, write titles and clipboards and begin new lines; format
    characters turn the order of letters round; halves of surrogate pairs cannot be written.
    """
    return "".join(
        character if character.isprintable() or character in _JOINERS else ascii(character)[1:-1]
        for character in text
    )
