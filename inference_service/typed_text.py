"""Text as people type and paste it, made what models were shown in training.

The tokens themselves are the business of a family's tokenizer: see `families/`.
"""

from __future__ import annotations

import html
import unicodedata

_QUOTES = {"'": "\u02bc\u2018\u2019\u201a\u201b", '"': "\u201c\u201d\u201e\u201f"}
_LIGATURES = dict(  # of Latin letters; æ and œ are letters themselves
    zip(
        "Ĳ ĳ ŉ Ǳ ǲ ǳ Ǆ ǅ ǆ Ǉ ǈ ǉ Ǌ ǋ ǌ ﬀ ﬁ ﬂ ﬃ ﬄ ﬅ ﬆ".split(),
        "IJ ij ʼn DZ Dz dz DŽ Dž dž LJ Lj lj NJ Nj nj ff fi fl ffi ffl ſt st".split(),
        strict=True,
    )
)
_DROPPED = (  # control characters, but for those that are white space
    *range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF,
    *range(0xFFF9, 0xFFFD),
)  # fmt: skip


def of_whole_characters(text: str) -> str:
    """Return *text* without half surrogate pairs, which JSON can carry and no tokenizer takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def straightened(text: str) -> str:
    """
    Return *text* with straight quotes, its letters single and of usual width, HTML resolved.

    So do the tokenizers with which CLIPs were trained, by ftfy, `html.unescape` and `str.lower`,
    and the tokenizers of `transformers` do not: to them one typographic apostrophe is other
    tokens. What ftfy does about text decoded wrongly ("donâ€™t") is left out.

    Source: basic_clean in https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py.
    """
    text = of_whole_characters(text)
    while (fixed := _fixed(text)) != text:  # what one step gives may be the next one's to mend
        text = fixed
    return html.unescape(html.unescape(text)).lower()


def _fixed(text: str) -> str:
    if "<" not in text:  # else it may be about HTML
        text = html.unescape(text)
    return text.translate(_TABLE)


def _table() -> dict[int, str | None]:
    table: dict[int, str | None] = dict.fromkeys(_DROPPED)
    for straight, curly in _QUOTES.items():
        table |= dict.fromkeys(map(ord, curly), straight)
    table |= {ord(ligature): letters for ligature, letters in _LIGATURES.items()}
    for code in (0x3000, *range(0xFF01, 0xFFF0)):  # the wide space, wide and half-width forms
        table[code] = unicodedata.normalize("NFKC", chr(code))
    for code in range(0x80, 0xA0):  # C1 controls, which are Windows-1252 as a browser reads them
        table[code] = bytes([code]).decode("cp1252", "ignore") or chr(code)
    return table


_TABLE = _table()
