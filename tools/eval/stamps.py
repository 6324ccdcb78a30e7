"""Tux Paint's stamps as a captioned set, a language a line of the text beside each picture.

The first line of `duck.txt` is English, and each other one is `de.utf8=Eine Ente.`; the picture is
`duck.png` or `duck.svg`. Source: docs/EXTENDING.txt of Tux Paint, "Stamps". Tux Paint is under the
GPL: its pictures and sentences stay in a folder that git ignores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from tools.eval.captioned import Caption, Captioned

PACKAGE = "tuxpaint-stamps-default"
STAMPS = "usr/share/tuxpaint/stamps"
ALL = "all"
# Those of many captions, in ten scripts; of all 77, 66 have 500 or more.
LANGUAGES = ("en de fr es pl hu fi tr ru uk el ka ar he hi th ja ko zh-CN").split()
_LINE = re.compile(r"(?P<language>[a-z]{2,3}([_@][A-Za-z]+)*)\.utf8=(?P<text>.*)")
_TURNED = re.compile(r"(_mirror|_flip)+$")  # the same stamp, as Tux Paint shows it turned


def write(root: Path, folder: Path, languages: Collection[str] = LANGUAGES) -> str:
    """Make a set of what is in the package, and return what was made in a line."""
    captioned, stamps = Captioned(folder), root / STAMPS
    texts = sorted(stamps.rglob("*.txt"))
    for text in texts:
        name = str(text.relative_to(stamps).with_suffix(""))
        # A stamp that is there as both is one picture: twice, it would be its own rival.
        pictures = [file for end in (".png", ".svg") if (file := text.with_suffix(end)).exists()]
        captions = list(_captions(text.read_bytes(), languages, captioned.left_out))
        if not pictures:
            captioned.left_out["texts without a picture"] += 1
        elif captions:
            captioned.add(name, pictures[0], captions)
    _count_textless(stamps, {text.with_suffix("") for text in texts}, captioned.left_out)
    return captioned.write()


def _captions(data: bytes, languages: Collection[str], left_out: Counter[str]) -> Iterator[Caption]:
    for number, line in enumerate(data.split(b"\n")):
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            left_out["lines that are not UTF-8"] += 1
            continue
        match = _LINE.fullmatch(text) if number else None
        if match:
            language, text = _bcp47(match["language"]), match["text"].strip()
        elif number and text:
            left_out["lines of no language"] += 1
            continue
        else:
            language = "en"
        if not text:
            left_out["languages without a text"] += bool(match)
        elif ALL in languages or language in languages:
            yield language, text


def _bcp47(language: str) -> str:
    """Return what HTML calls a language of a POSIX locale, such as sr-Latn of sr@latin."""
    return language.replace("@latin", "-Latn").replace("@", "-").replace("_", "-")


def _count_textless(stamps: Path, captioned: Collection[Path], left_out: Counter[str]) -> None:
    for file in sorted([*stamps.rglob("*.png"), *stamps.rglob("*.svg")]):
        stem = file.with_suffix("")
        if stem in captioned:
            continue
        is_turned = stem.with_name(_TURNED.sub("", stem.name)) in captioned
        left_out["turned stamps" if is_turned else "pictures without a text"] += 1
