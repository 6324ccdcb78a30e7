"""What of a collection has no image, as it is shown after an update."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from imagesearch.cli.updates import print_problems
from imagesearch.domain.collections import Collection, Update
from imagesearch.domain.forgetting import TAKEN_DOWN


def test_what_was_taken_down_is_told_apart_from_what_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    problems = [("1.jpg", TAKEN_DOWN), ("2.jpg", "it has 0 bytes")]
    collections: Any = SimpleNamespace(problems=lambda name, most: (problems[:most], 2))
    print_problems(collections, Collection("Pictures", "/pictures"), Update(), most=20)
    assert capsys.readouterr().out.splitlines() == [
        "1 taken down: imagesearch forget --list says when and why",
        "1 could not be read:",
        "  2.jpg: it has 0 bytes",
    ]
