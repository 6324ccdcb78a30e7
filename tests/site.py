"""The documentation site as it is read: a second of CPU time, which tests in one worker share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tools.docs_site.pages import Site, read_site

ROOT = Path(__file__).resolve().parents[1]


@cache
def site_of_project() -> Site:
    """Return the site of this project; nobody may change it."""
    return read_site(ROOT)
