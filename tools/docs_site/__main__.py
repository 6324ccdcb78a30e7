"""Builds the documentation site into web/docs/, where every server has it beside the page.

The same project gives the same bytes, so that a function's zip depends on nothing else. It needs
markdown-it-py and Pygments alone, and no network.

Usage: python -m tools.docs_site
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tools.docs_site.html import page_html, search_index
from tools.docs_site.pages import CannotBuild, Site, read_site

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "web" / "docs"
_ASSETS = ("docs.css", "search.js")


def build(root: Path, output: Path) -> int:
    """
    Write the site of the project at *root* into *output*, anew; return how many pages it has.

    Raises:
        CannotBuild: a link leads nowhere; what was in *output* is as it was.
    """
    site = read_site(root)
    write(site, root, output)
    return len(site.pages)


def write(site: Site, root: Path, output: Path) -> None:
    """Write *site*, which was read of the project at *root*, into *output*, anew."""
    contents = {page.address: page_html(site, page).encode() for page in site.pages.values()}
    contents |= {address: (root / path).read_bytes() for path, address in site.files.items()}
    contents |= {name: Path(__file__).with_name(name).read_bytes() for name in _ASSETS}
    contents["search.json"] = search_index(site).encode()
    shutil.rmtree(output, ignore_errors=True)
    for address, content in contents.items():
        (output / address).parent.mkdir(parents=True, exist_ok=True)
        (output / address).write_bytes(content)


if __name__ == "__main__":
    try:
        print(f"{build(ROOT, OUTPUT)} pages in {OUTPUT.relative_to(ROOT)}")
    except CannotBuild as error:
        sys.exit(str(error))
