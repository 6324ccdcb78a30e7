"""The embedder: twice is once, and a bad image costs the batch nothing else."""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.errors import DeadlineExceeded, ImageSearchError, RejectedImage
from imagesearch.domain.pools import PoolState
from imagesearch.domain.work import EmbedBatch
from imagesearch.ports import ImageEmbedding
from tests.world import TwinEncoder, World


def batches_of(world: World, count: int) -> list[EmbedBatch]:
    world.offer("horse", count)
    world.ask()
    world.deliver()
    batches = [world.take() for _ in range(len(world.outbox.messages))]
    assert all(isinstance(batch, EmbedBatch) for batch in batches)
    return batches  # type: ignore[return-value]  # just asserted


def test_batches_delivered_twice_and_out_of_order_give_the_same_pool(world: World) -> None:
    batches = batches_of(world, 100) * 2
    random.Random(7).shuffle(batches)
    for batch in batches:
        world.embed(batch)
    pool = world.ask().pool
    assert pool is not None
    assert (pool.current.state, pool.current.embedded) == (PoolState.READY, 100)
    assert world.encoder.images == 100


def test_an_image_that_cannot_be_decoded_is_rejected_alone(world: World) -> None:
    [batch] = batches_of(world, 5)
    world.store.put("twin-1.jpg", b"<html>expired</html>")
    world.restart()  # the hot bytes are gone: the stored ones count
    report = world.embed(batch)
    assert (report.embedded, report.rejected) == (4, 1)
    assert world.ask().complete


def test_what_the_encoder_has_done_when_it_gives_up_is_recorded_and_not_done_again(
    world: World,
) -> None:
    class Hasty(TwinEncoder):
        def encode_images(
            self, images: Sequence[bytes]
        ) -> Sequence[ImageEmbedding | ImageSearchError]:
            bad, good, *late = images
            error = DeadlineExceeded("too slow")
            return [
                RejectedImage(f"{len(bad)}"),
                *super().encode_images([good]),
                *[error] * len(late),
            ]

    [batch] = batches_of(world, 5)
    hasty = dataclasses.replace(world.embed, encoder=Hasty())
    with pytest.raises(DeadlineExceeded, match="too slow"):
        hasty(batch)
    report = world.embed(batch)
    assert (report.embedded, report.reused, world.encoder.images) == (3, 1, 3)
    pool = world.ask().pool
    assert pool is not None
    assert pool.current.state is PoolState.READY
    assert (pool.current.embedded, pool.current.rejected) == (4, 1)


def test_the_hot_bytes_spare_the_store(world: World) -> None:
    [batch] = batches_of(world, 5)
    world.store.put("twin-1.jpg", b"<html>not read</html>")
    assert world.embed(batch).rejected == 0


def test_originals_that_left_the_cache_are_read_several_at_a_time(
    world: World, tmp_path: Path
) -> None:
    """Three reads meet at a barrier, which none of them passes alone."""
    meeting = threading.Barrier(3, timeout=30)

    class Slow(FolderStore):
        def get(self, name: str) -> bytes:
            meeting.wait()
            return super().get(name)

    [batch] = batches_of(world, 3)
    world.store = Slow(tmp_path / "images")
    world.restart()
    assert world.embed(batch).embedded == 3


def test_an_original_that_is_gone_is_rejected_with_its_name(world: World) -> None:
    [batch] = batches_of(world, 2)
    gone = replace(batch.images[0], object_name="nowhere.jpg")
    world.restart()
    batch = replace(batch, images=(gone, batch.images[1]))
    assert world.embed(batch).rejected == 1


def test_a_batch_of_an_older_generation_does_nothing(world: World) -> None:
    [batch] = batches_of(world, 5)
    world.give_up(batch.pool_id, 1, "lost")
    world.clock.sleep(61)
    world.ask()
    assert world.embed(batch).outcome == "nothing to do"
    assert world.encoder.images == 0


def test_a_batch_of_a_ready_or_unknown_pool_does_nothing(world: World) -> None:
    [batch] = batches_of(world, 5)
    world.embed(batch)
    assert world.embed(batch).outcome == "nothing to do"
    unknown = replace(batch, pool_id="f" * 32)
    assert world.embed(unknown).outcome == "nothing to do"
