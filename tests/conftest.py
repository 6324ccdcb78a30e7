"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from imagesearch.settings import AllSettings
from tests.log_lines import log, logging_as_it_was  # noqa: F401 - fixtures
from tests.world import World

# An example of test_values.py takes 0.3 ms alone, and the slowest of 100 took 84 ms beside 24 busy
# processes on 2 cores: hypothesis' limit of 200 ms measures what else the machine does.
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")

# A developer's own settings are nothing that a test should see, nor its child processes.
for name in AllSettings.model_fields:
    os.environ.pop(name.upper(), None)


# The files that take longest, which `--no-loadscope-reorder` begins with: one of them left to the
# end would be waited for by the other workers.
_FIRST = (
    "test_emulators.py",
    "test_packaged_functions.py",
    "test_clip.py",
    "test_benchmarks.py",
    "test_cloud_outages.py",
    "test_cloud_pools.py",
    "test_cloud_messages.py",
    "test_cli.py",
    "test_pipeline.py",
    "test_firestore.py",
    "test_catalog.py",
    "test_page.py",
    "test_readme.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; each file keeps its order."""
    items.sort(key=lambda item: _FIRST.index(item.path.name) if item.path.name in _FIRST else 99)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Use cases over the embedded adapters, with time and messages in the test's hands."""
    world = World(tmp_path)
    yield world
    world.catalog.close()
