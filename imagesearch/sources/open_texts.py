"""Texts to and from open sources: a keyword without operators, HTML as a reader sees it."""

from __future__ import annotations

from html.parser import HTMLParser

from imagesearch.domain.errors import InvalidRequest

# What a search language reads as more than a word; a hyphen, a dot or an apostrophe within is none.
_OPERATORS = str.maketrans(dict.fromkeys('!"#$%()*+,/:;<=>?@[\\]^_`{|}~', " "))


def words_of(keyword: str, source: str) -> str:
    """Return *keyword* without what a search language reads as an operator."""
    words = [word.strip("-&") for word in keyword.translate(_OPERATORS).split()]
    if text := " ".join(filter(None, words)):
        return text
    raise InvalidRequest(f"keyword must have a word for {source}, got {keyword!r}", field="keyword")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its name is given
        self._hidden += tag in ("script", "style")
        self.parts.append("" if tag in ("a", "b", "i", "bdi", "span") else " ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def text_of(html: object) -> str:
    """Return what a reader sees of *html*, without tags; "" for what is no text."""
    if not isinstance(html, str):
        return ""
    parser = _Text()
    parser.feed(html[:20_000])
    parser.close()
    return " ".join("".join(parser.parts).split())
