"""The project's Markdown as pages: their titles, headings, links and text. Nothing is written here.

The pages are read as GitHub reads them: CommonMark with tables, anchors of headings by its rule. A
link is followed from where its page lies in the project, so that one text serves both.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

HOME = "docs/README.md"
# Pages that lie elsewhere in the project, by their addresses in the site.
ELSEWHERE = {
    "README.md": "readme.html",
    "CONTRIBUTING.md": "contributing.html",
    "CHANGELOG.md": "changelog.html",
    "examples/search.ipynb": "notebook.html",
    "models/demo/README.md": "demo-model.html",
    "terraform/README.md": "terraform.html",
}
# Addresses of what the page's own server has beside the site, which lies in its folder docs/.
BESIDE = {"docs/openapi.yaml": "../reference.html"}
_PICTURES = (".png", ".svg", ".webp")
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_FRONT_MATTER = re.compile(r"---\n.*?\n---\n", re.DOTALL)  # of a model's card, for the hub
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
_LINKING = {"link_open": "href", "image": "src"}


class CannotBuild(Exception):
    """The site would have a link that leads nowhere; the message has all of them, a line each."""


@dataclass(frozen=True)
class Heading:
    """A heading: its level 1 to 6, its text without marks, and its anchor in the page."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Section:
    """The text below a heading, for the search; the first one of a page is below its title."""

    heading: Heading
    text: str


@dataclass(frozen=True)
class Page:
    """
    A page as it was read.

    Attributes:
        source: its path in the project.
        address: its path in the site.
        tokens: of markdown-it; headings have an `id`, links are as they were written until
            `linked` has had them.
    """

    source: str
    address: str
    tokens: tuple[Token, ...]
    headings: tuple[Heading, ...]
    sections: tuple[Section, ...]

    @property
    def title(self) -> str:
        """The text of the first heading."""
        return self.headings[0].text


@dataclass
class Site:
    """
    All pages, by their sources, with links that lead within the site.

    Attributes:
        files: what the pages link to or show that is no page: addresses in the site by paths in the
            project.
    """

    pages: dict[str, Page]
    files: dict[str, str] = field(default_factory=dict)


def read_site(root: Path) -> Site:
    """
    Return the site of the project at *root*.

    Raises:
        CannotBuild: a link leads to no file or no heading, or no page leads to one of `docs/`.
    """
    paths = sorted(path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md"))
    site = Site({path: _read(root, path) for path in (*paths, *ELSEWHERE)})
    problems = [problem for page in site.pages.values() for problem in _link(site, page, root)]
    problems += [f"{path}: no page leads here" for path in sorted(_unreached(site))]
    if problems:
        raise CannotBuild("\n".join(problems))
    return site


def address_of(source: str) -> str:
    """Return where the page of *source* is in the site: `docs/scale.md` is `scale.html`."""
    if source in ELSEWHERE:
        return ELSEWHERE[source]
    path = PurePosixPath(source).relative_to("docs").with_suffix(".html")
    return str(path.with_name("index.html") if path.name == "README.html" else path)


def relative(address: str, page: str) -> str:
    """Return *address* as a link from *page*, both of the site."""
    return os.path.relpath(address, str(PurePosixPath(page).parent))


def _read(root: Path, source: str) -> Page:
    text = (root / source).read_text(encoding="utf-8")
    if source.endswith(".ipynb"):
        text = _notebook(text)
    elif front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
    # In the text of GitHub a comment is for who writes; within a block of code there is none.
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = [token for token in parser.parse(text) if not _is_comment(token)]
    for token in tokens:
        for child in token.children or ():
            child.content = _COMMENT.sub("", child.content) if _is_html(child) else child.content
    headings = tuple(_anchored(tokens))
    if not headings:
        raise CannotBuild(f"{source}: a page begins with a heading")
    return Page(source, address_of(source), tuple(tokens), headings, tuple(_sections(tokens)))


def _notebook(text: str) -> str:
    """Return the Markdown of a notebook, its code in blocks; what the code put out is left out."""
    texts = {"markdown": "{}", "code": "```python\n{}\n```"}
    cells = json.loads(text)["cells"]
    return "\n\n".join(texts[cell["cell_type"]].format("".join(cell["source"])) for cell in cells)


def _is_html(token: Token) -> bool:
    return token.type in ("html_block", "html_inline")


def _is_comment(token: Token) -> bool:
    return token.type == "html_block" and not _COMMENT.sub("", token.content).strip()


def _anchored(tokens: list[Token]) -> Iterator[Heading]:
    """Give each heading its anchor, as GitHub does, and yield them."""
    seen: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        text = plain(inline)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        anchor = f"{anchor}-{count}" if count else anchor
        opening.attrSet("id", anchor)
        yield Heading(int(opening.tag[1]), text, anchor)


def plain(inline: Token) -> str:
    """Return the text of *inline* without marks; of a picture, its text in place of it."""
    parts = [
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in inline.children or ()
        if not _is_html(child)
    ]
    return "".join(parts).strip()


def _sections(tokens: list[Token]) -> Iterator[Section]:
    headings = iter(_headings_of(tokens))
    heading: Heading | None = None
    texts: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.type == "heading_open":
            if heading is not None:
                yield Section(heading, " ".join(texts))
            heading, texts = next(headings), []
        elif token.type == "inline":
            texts.append(plain(token))
        elif token.type in ("fence", "code_block"):
            texts.append(token.content)
    if heading is not None:
        yield Section(heading, " ".join(texts))


def _headings_of(tokens: list[Token]) -> Iterator[Heading]:
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            yield Heading(int(opening.tag[1]), plain(inline), str(opening.attrGet("id")))


# Links


def _link(site: Site, page: Page, root: Path) -> Iterator[str]:
    """Have the links and pictures of *page* lead within the site; yield what is wrong with them."""
    for token in _linking(page):
        name = _LINKING[token.type]
        written = str(token.attrGet(name))
        if _SCHEME.match(written):
            continue
        path, _, anchor = unquote(written).partition("#")
        target = os.path.normpath(PurePosixPath(page.source).parent / path) if path else page.source
        target = f"{target}/README.md" if (root / target).is_dir() else target
        address = _address(site, target, root)
        if address is None:
            yield f"{page.source}: {written} leads to no file of the project"
        elif anchor and not _has_anchor(site.pages.get(target), anchor):
            yield f"{page.source}: {written} leads to no heading"
        else:
            there = relative(address, page.address) if path else ""
            token.attrSet(name, f"{there}#{anchor}" if anchor else there)


def _linking(page: Page) -> Iterator[Token]:
    for token in page.tokens:
        yield from (child for child in token.children or () if child.type in _LINKING)


def _address(site: Site, target: str, root: Path) -> str | None:
    """Return where the file *target* of the project is in the site; None where there is none."""
    if target in site.pages:
        return site.pages[target].address
    if target in BESIDE:
        return BESIDE[target]
    if target.startswith("..") or not (root / target).is_file():
        return None
    # What no browser is shown as it is, is text to read.
    name = target if target.endswith(_PICTURES) else f"{target}.txt"
    site.files[target] = name.removeprefix("docs/") if name.startswith("docs/") else f"files/{name}"
    return site.files[target]


def _has_anchor(page: Page | None, anchor: str) -> bool:
    return page is not None and any(heading.anchor == anchor for heading in page.headings)


def _unreached(site: Site) -> set[str]:
    """Return the pages to which no path of links leads from the first one."""
    by_address = {page.address: page.source for page in site.pages.values()}
    reached: set[str] = set()
    waiting = [HOME]
    while waiting:
        source = waiting.pop()
        if source in reached:
            continue
        reached.add(source)
        page = site.pages[source]
        for token in _linking(page):
            path = str(token.attrGet(_LINKING[token.type])).partition("#")[0]
            address = os.path.normpath(PurePosixPath(page.address).parent / path)
            waiting += [by_address[address]] if address in by_address else []
    return set(site.pages) - reached


def navigation(site: Site) -> Mapping[str, Mapping[str, Page]]:
    """Return the pages that the first one lists, by what it calls them, below its headings."""
    sections: dict[str, dict[str, Page]] = {}
    by_address = {page.address: page for page in site.pages.values()}
    heading = ""
    home = site.pages[HOME]
    for before, token in zip((None, *home.tokens), home.tokens, strict=False):
        if before is not None and before.type == "heading_open" and before.tag == "h2":
            heading = plain(token)
        for opening, text in zip(token.children or (), (token.children or ())[1:], strict=False):
            page = by_address.get(str(opening.attrGet("href")))
            if heading and page and page not in sections.get(heading, {}).values():
                sections.setdefault(heading, {})[text.content] = page
    return sections
