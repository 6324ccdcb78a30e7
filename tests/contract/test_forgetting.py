"""Forgetting over each catalog: its rules are tested in `tests/unit/test_forget.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagesearch.usecases.pools import Catalog
from tests.unit import test_forget as rules
from tests.world import World


@pytest.fixture
def world(catalog: Catalog, tmp_path: Path) -> World:
    world = World(tmp_path)
    world.catalog.close()
    world.catalog, world.policy = catalog, catalog.policy
    world.assemble()
    return world


@pytest.mark.parametrize(
    "rule",
    [
        rules.test_a_picture_that_is_taken_down_is_nowhere_and_does_not_come_back,
        rules.test_a_process_that_has_copies_shows_none_within_a_minute,
        rules.test_a_picture_that_is_allowed_again_comes_back_with_the_next_fetch,
        rules.test_a_keyword_goes_with_the_images_that_no_other_one_has,
        rules.test_what_nobody_used_for_long_goes_and_what_was_used_stays,
        rules.test_a_run_forgets_no_more_than_its_budget_and_the_next_ones_the_rest,
    ],
    ids=lambda rule: rule.__name__.removeprefix("test_"),
)
def test_every_catalog_keeps_the_rule(world: World, rule: Callable[[World], None]) -> None:
    rule(world)
