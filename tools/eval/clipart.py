"""Openclipart's drawings as a captioned set, by the titles, descriptions and keywords in the SVGs.

They are in the public domain. The package says of nearly all that they are English, which many are
not: the set says no language.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

from tools.eval.captioned import Captioned

PACKAGE = "openclipart-svg"
DRAWINGS = "usr/share/openclipart/svg"
PICTURES = 1000
MOST_SHARED = 3  # what more drawings are called is the name of a collection
_SEED = 1
_WORK = "{http://web.resource.org/cc/}Work"
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_KEYWORD = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"
_NO_KEYWORD = re.compile(r"hash|0x[0-9a-f]+|unsorted|")  # of a program that wrote them


def write(root: Path, folder: Path, languages: Collection[str] = ()) -> str:  # noqa: ARG001
    """Make a set of *PICTURES* drawings, and return what was made in a line."""
    captioned, drawings = Captioned(folder), root / DRAWINGS
    # A link is the same drawing in a second folder.
    files = [file for file in sorted(drawings.rglob("*.svg")) if not file.is_symlink()]
    texts = {file: _texts(file, captioned.left_out) for file in files}
    shared = Counter(text for some in texts.values() for text in some)
    random.Random(_SEED).shuffle(files)
    left = PICTURES
    for file in files:
        own = [text for text in texts[file] if shared[text] <= MOST_SHARED]
        name = str(file.relative_to(drawings).with_suffix(""))
        if left and own:
            left -= captioned.add(name, file, [("", text) for text in own])
        elif not own:
            captioned.left_out["drawings without a text of their own"] += 1
    return captioned.write()


def _texts(svg: Path, left_out: Counter[str]) -> list[str]:
    """Return title, description and keywords, those that there are, each once."""
    try:
        work = next(ElementTree.parse(svg).iter(_WORK), None)  # noqa: S314 - Debian has seen it
    except ElementTree.ParseError:
        left_out["files that are no XML"] += 1
        return []
    if work is None:
        return []
    spaced = (work.findtext(f"{_DUBLIN_CORE}{name}") or "" for name in ("title", "description"))
    words = [" ".join((item.text or "").split()) for item in work.iter(_KEYWORD)]
    keywords = [word for word in words if not _NO_KEYWORD.fullmatch(word)]
    texts = [*(" ".join(text.split()) for text in spaced), ", ".join(keywords)]
    return [text for text in dict.fromkeys(texts) if text]
