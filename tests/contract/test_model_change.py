"""A change of the model over each catalog: its rules are tested in `tests/unit/test_reembed.py`."""

from __future__ import annotations

from pathlib import Path

from imagesearch.domain.images import Listing
from imagesearch.ports import Coverage
from imagesearch.usecases.pools import Catalog
from tests.unit.test_reembed import KEYWORDS, NEW, changed, hits, reembedded
from tests.world import World, listed


def test_pools_are_answered_in_full_until_all_is_embedded_and_the_old_embeddings_are_gone(
    catalog: Catalog, tmp_path: Path
) -> None:
    world = World(tmp_path)
    world.catalog.close()
    world.catalog, world.policy = catalog, catalog.policy
    world.assemble()
    world.ready_pool("moon", 3)
    world.source.offers["moon"] = Listing((listed(2),))  # the others are in no pool from now on
    world.clock.sleep(world.policy.max_age_seconds + 1)
    for _ in range(2):
        world.ask("moon")
        world.deliver_all()
    changed(world)
    seen: set[tuple[int, ...]] = set()

    def look() -> None:
        seen.add(tuple(hits(world, keyword) for keyword in (*KEYWORDS, "moon")))
        assert world.ask("", scope="catalog", top_k=100).hits

    outcome = reembedded(world, look)
    assert seen == {(5, 6, 7, 1)}
    assert (outcome.coverage, outcome.deleted) == (Coverage(18, 18), 18)
    assert (outcome.rejections, outcome.failures) == ({}, {})
    assert catalog.library.model_revisions() == [NEW]
