"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Use cases over the embedded adapters, with time and messages in the test's hands."""
    world = World(tmp_path)
    yield world
    world.catalog.close()
