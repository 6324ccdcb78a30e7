"""The table of decision 0085 that pairs each protection with its test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "decisions" / "0085-a-day-has-so-many-dollars.md"


def test_each_protection_names_a_test_that_is_there() -> None:
    section = PAGE.read_text().partition("## Each protection and its test")[2].partition("\n## ")[0]
    named = re.findall(r"^\| [^|`]+ \| `([\w/.]+)::(\w+)` \|$", section, re.MULTILINE)
    assert len(named) == section.count("\n|") - 2, "each row is one"
    absent = [name for path, name in named if f"\ndef {name}(" not in (ROOT / path).read_text()]
    assert not absent
