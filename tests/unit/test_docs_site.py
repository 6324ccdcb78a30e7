"""The documentation site: what it is built of, that it leads nowhere else, and how it is served."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from imagesearch.doors.page import MEDIA_TYPES, PageFiles
from tests.site import site_of_project
from tools.docs_site.__main__ import build, write
from tools.docs_site.html import page_html
from tools.docs_site.pages import ELSEWHERE, CannotBuild, Site, navigation, read_site
from tools.package_function import _hashed_pins, _pins

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "source": ["# A notebook\n", "with a text"]},
            {"cell_type": "code", "source": ["if True:\n", "    print(1 < 2)"]},
        ]
    }
)
TOOL = ROOT / "tools" / "docs_site"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("web") / "docs"
    write(site_of_project(), ROOT, output)
    return output


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of as few pages as there can be; each test breaks one of them."""
    for path in ("docs/README.md", *ELSEWHERE):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(NOTEBOOK if path.endswith(".ipynb") else "# Title\n")
    links = " ".join(f"[{path}](../{path})" for path in ELSEWHERE)
    (tmp_path / "docs" / "README.md").write_text(f"# Home\n\n## All\n\n{links}\n")
    return tmp_path


class Loaded(HTMLParser):
    """What a browser loads with a page, what it runs of the page itself, and what it links to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if tag == "a" and name == "href":
                self.links.append(value or "")
            elif name in ("src", "href", "srcset", "action", "data"):
                self.loaded.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.inline.append(tag)


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Loaded]:
    return {path: Loaded(path.read_text()) for path in built.rglob("*.html")}


# What is built


def test_every_link_of_the_site_leads_to_a_file_of_it_or_elsewhere_by_https(
    built: Path, pages: dict[Path, Loaded]
) -> None:
    """Counted anew from what was written, by another reader than the one that checked it."""
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"https?:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            if built not in target.parents:  # of the page's own server: web/
                target = ROOT / "web" / target.relative_to(built.parent)
            assert file.endswith("/") or target.is_file(), f"{path.name}: {link}"
            assert not anchor or f'id="{anchor}"' in target.read_text(), f"{path.name}: {link}"
            checked += 1
    assert checked > 1_000


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs_but_files(
    built: Path, pages: dict[Path, Loaded]
) -> None:
    """The first would tell others who reads; the second the page's policy refuses."""
    for path, page in pages.items():
        assert not page.inline, path
        for address in page.loaded:
            assert not re.match(r"\w+:|//", address), f"{path.name}: {address}"
    for name in ("docs.css", "search.js"):
        assert not re.search(r"https?://|url\(|@import|^import", (built / name).read_text(), re.M)


def test_every_file_of_the_site_has_a_name_that_is_served(built: Path) -> None:
    """Read as the server reads it, by path; one that is not has an odd name or suffix."""
    files = PageFiles(built, {})
    for path in filter(Path.is_file, built.rglob("*")):
        assert files.file(f"/{path.relative_to(built)}") is not None, path
        assert path.suffix in MEDIA_TYPES


def test_every_page_is_found_by_the_navigation_or_from_a_page_that_it_lists(built: Path) -> None:
    site = site_of_project()
    listed = {page.source for section in navigation(site).values() for page in section.values()}
    beyond = set(site.pages) - listed - {"docs/README.md"}
    assert all(source.startswith("docs/decisions/0") for source in beyond)
    assert (
        '<a href="index.html" aria-current="true">'
        in (built / "decisions" / "0068-the-contract-and-the-page.html").read_text()
    )


def test_the_search_has_every_section_and_leads_to_it(
    built: Path, pages: dict[Path, Loaded]
) -> None:
    sections = json.loads((built / "search.json").read_text())
    for section in sections:
        path, _, anchor = section["address"].partition("#")
        assert f'id="{anchor}"' in (built / path).read_text(), section["address"]
    assert len(sections) == sum(len(re.findall(r"<h[1-6] id=", path.read_text())) for path in pages)
    (found,) = [each for each in sections if each["address"] == "deploy.html#roll-back"]
    assert "revision" in found["text"]


@pytest.mark.slow
def test_the_same_project_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    build(ROOT, tmp_path / "docs")
    for path in filter(Path.is_file, built.rglob("*")):
        assert (tmp_path / "docs" / path.relative_to(built)).read_bytes() == path.read_bytes()


# What is refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[a](gone.md)", "docs/README.md: gone.md leads to no file of the project"),
        ("![a](gone.png)", "docs/README.md: gone.png leads to no file of the project"),
        ("[a](../../etc/passwd)", "docs/README.md: ../../etc/passwd leads to no file"),
        ("[a](#gone)", "docs/README.md: #gone leads to no heading"),
        ("[a](../README.md#gone)", "docs/README.md: ../README.md#gone leads to no heading"),
        ("[a][b]\n\n[b]: gone.md", "docs/README.md: gone.md leads to no file"),
    ],
)
def test_a_link_that_leads_nowhere_is_named_and_nothing_is_built(
    small: Path, text: str, reason: str
) -> None:
    with (small / "docs" / "README.md").open("a") as page:
        page.write(f"\n{text}\n")
    (small / "web").mkdir()
    with pytest.raises(CannotBuild, match=re.escape(reason)):
        build(small, small / "web" / "docs")
    assert not (small / "web" / "docs").exists()


def test_a_page_that_no_other_leads_to_is_named(small: Path) -> None:
    (small / "docs" / "lost.md").write_text("# Lost\n")
    with pytest.raises(CannotBuild, match=r"docs/lost.md: no page leads here"):
        read_site(small)


def test_a_link_in_a_block_of_code_is_none(small: Path) -> None:
    with (small / "docs" / "README.md").open("a") as page:
        page.write("\n```md\n[a](gone.md)\n```\n")
    read_site(small)


# How it is read


def shown(small: Path, text: str) -> str:
    with (small / "docs" / "README.md").open("a") as page:
        page.write(f"\n{text}\n")
    site: Site = read_site(small)
    return page_html(site, site.pages["docs/README.md"])


def test_headings_have_the_anchors_that_github_gives_them(small: Path) -> None:
    text = "## What it `costs`: a month & more\n## Same\n## Same\n[up](#same-1)"
    page = shown(small, text)
    assert re.findall(r'<h2 id="([^"]+)"', page) == [
        "all",
        "what-it-costs-a-month--more",
        "same",
        "same-1",
    ]


def test_a_comment_is_for_who_writes_and_code_is_shown_as_it_is(small: Path) -> None:
    page = shown(small, "<!-- hidden words -->\n```sh\nmake run  # <now> <!-- kept -->\n```")
    assert "hidden words" not in page
    assert "&lt;now&gt; &lt;!-- kept --&gt;" in page


def test_a_notebook_is_a_page_with_its_code(small: Path) -> None:
    site = read_site(small)
    page = page_html(site, site.pages["examples/search.ipynb"])
    assert "<p>with a text</p>" in page
    code = re.sub(r"<[^>]+>", "", page.partition("<pre")[2])
    assert "if True:\n    print(1 &lt; 2)" in code


def test_a_table_is_aligned_by_a_class(small: Path) -> None:
    page = shown(small, "| a |\n| ---: |\n| 1 |")
    assert '<td class="to-right">1</td>' in page
    assert "style=" not in page


# How it is served and deployed


def test_a_folder_is_served_by_its_first_page(built: Path) -> None:
    files = PageFiles(built.parent, {})
    for path, file in (("/docs/", "index.html"), ("/docs/decisions/", "decisions/index.html")):
        answer = files.file(path)
        assert answer is not None
        assert answer.body == (built / file).read_bytes()


def test_the_packages_of_a_deployment_are_those_of_the_locks_and_all_that_is_imported() -> None:
    text = (TOOL / "requirements.txt").read_text()
    pins = _hashed_pins(text, "requirements.txt")
    for lock in ("requirements.lock", "requirements-dev.lock"):
        locked = _pins((ROOT / lock).read_text())
        assert pins.items() <= locked.items(), f"{lock}: `make lock` writes them anew"
    asked = re.findall(r"(?m)^(?!#)\S+$", (TOOL / "requirements.in").read_text())
    code = "".join(path.read_text() for path in TOOL.glob("*.py"))
    imported = set(re.findall(r"(?m)^(?:from|import) (\w+)", code)) - sys.stdlib_module_names
    assert {name.replace("-", "_").removesuffix("_py") for name in asked} == imported - {"tools"}
