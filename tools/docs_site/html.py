"""What is shown of a page: HTML with no script and no style inside, as the page's policy asks."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from tools.docs_site.pages import Page, Site, navigation, plain, relative

_OPTIONS = MarkdownIt("commonmark").options
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="t-")
_LEXERS = {"sh": "bash"}


class _Renderer(RendererHTML):
    """Renders tokens with what a reader needs besides: scrolled tables, anchors, coloured code."""

    def fence(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        language = tokens[idx].info.strip().partition(" ")[0]
        return f'<pre tabindex="0"><code>{_coloured(tokens[idx].content, language)}</code></pre>\n'

    def code_block(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        return f'<pre tabindex="0"><code>{html.escape(tokens[idx].content)}</code></pre>\n'

    def table_open(self, *_: object) -> str:
        return '<div class="table" tabindex="0"><table>\n'

    def table_close(self, *_: object) -> str:
        return "</table></div>\n"

    def heading_close(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        anchor = tokens[idx - 2].attrGet("id")
        link = f' <a class="anchor" href="#{anchor}" aria-hidden="true" tabindex="-1">#</a>'
        return f"{link}</{tokens[idx].tag}>\n"


def _coloured(code: str, language: str) -> str:
    try:
        lexer = get_lexer_by_name(_LEXERS.get(language, language))
    except ClassNotFound:
        return html.escape(code)
    coloured: str = highlight(code, lexer, _FORMATTER)
    return coloured


def _without_styles(tokens: Sequence[Token]) -> None:
    """Put a class in place of the style that aligns a cell: the policy allows no style inside."""
    for token in tokens:
        if "style" in token.attrs:
            style = str(token.attrs.pop("style"))
            token.attrSet("class", style.replace("text-align:", "to-"))


def _text(page: Page) -> str:
    _without_styles(page.tokens)
    return str(_Renderer().render(page.tokens, _OPTIONS, {}))


def page_html(site: Site, page: Page) -> str:
    """Return the whole document of *page*."""
    return "\n".join(_document(site, page)) + "\n"


def _document(site: Site, page: Page) -> Iterator[str]:
    top = relative(".", page.address)
    title = html.escape(page.title)
    yield from (
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta name="description" content="{html.escape(_description(page))}">',
        f"<title>{title} · imagesearch</title>",
        f'<link rel="icon" href="{top}/../favicon.svg" type="image/svg+xml">',
        f'<link rel="stylesheet" href="{top}/docs.css">',
        f'<script type="module" src="{top}/search.js"></script>',
        "</head>",
        "<body>",
        '<a class="skip" href="#text">Skip to the text</a>',
        "<header>",
        f'<p class="name"><a href="{top}/">imagesearch</a> <span>documentation</span></p>',
        f'<search id="search" data-site="{top}/" hidden></search>',
        '<p class="to-pages"><a href="#pages">Pages</a></p>',
        f'<p class="page"><a href="{top}/../">Search images</a></p>',
        "</header>",
        '<div class="room">',
    )
    yield from ('<main id="text" tabindex="-1">', _text(page).rstrip(), "</main>")
    yield from _contents(page)
    yield from _navigation(site, page)
    yield from ("</div>", "</body>", "</html>")


def _description(page: Page) -> str:
    for before, token in pairwise(page.tokens):
        if before.type == "paragraph_open":
            return plain(token)[:200]
    return page.title


def _navigation(site: Site, page: Page) -> Iterator[str]:
    # Below the text of a phone, which has a link to it above; on a wide screen beside it.
    yield '<nav class="pages" id="pages" aria-label="Pages">'
    for heading, pages in navigation(site).items():
        yield f"<h2>{html.escape(heading)}</h2><ul>"
        for name, each in pages.items():
            current = ' aria-current="page"' if each is page else ""
            if _is_part(page, each):
                current = ' aria-current="true"'
            href = html.escape(relative(each.address, page.address))
            yield f'<li><a href="{href}"{current}>{html.escape(name)}</a></li>'
        yield "</ul>"
    yield "</nav>"


def _is_part(page: Page, whole: Page) -> bool:
    """Return whether *page* is listed by *whole*, of its folder, and not by the first page."""
    folder = whole.address.removesuffix("index.html")
    return folder != whole.address and page is not whole and page.address.startswith(folder)


def _contents(page: Page) -> Iterator[str]:
    headings = [heading for heading in page.headings if heading.level == 2]
    if len(headings) < 2:
        return
    yield '<nav class="contents" aria-label="On this page"><h2>On this page</h2><ul>'
    for heading in headings:
        yield f'<li><a href="#{heading.anchor}">{html.escape(heading.text)}</a></li>'
    yield "</ul></nav>"


def search_index(site: Site) -> str:
    """Return search.json: of each section its page's title, its own, its address and its text."""
    sections: list[Mapping[str, str]] = [
        {
            "page": page.title,
            "title": section.heading.text,
            "address": f"{page.address}#{section.heading.anchor}",
            "text": " ".join(section.text.split()),
        }
        for page in site.pages.values()
        for section in page.sections
    ]
    return json.dumps(sections, ensure_ascii=False, separators=(",", ":")) + "\n"
