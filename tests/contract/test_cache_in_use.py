"""Memorystore under the use cases and under several processes, on a real Redis."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from imagesearch.adapters.caches.memorystore import Memorystore
from imagesearch.domain.work import EmbedBatch
from tests.world import World

MODEL = "twin-1"
TAKE_100_TOKENS = """
import sys
from concurrent.futures import ThreadPoolExecutor

import redis

from imagesearch.adapters.caches.memorystore import Memorystore

def take(_):
    return cache.take_token("quota:pixabay", limit=100, period_seconds=6000.0)

with redis.Redis(unix_socket_path=sys.argv[1]) as client, ThreadPoolExecutor(5) as threads:
    cache = Memorystore(client)
    cache.take_token("warm-up", limit=1, period_seconds=1.0)
    print("ready", flush=True)
    sys.stdin.readline()
    print(list(threads.map(take, range(100))).count(0.0))
"""


@pytest.fixture
def world(tmp_path: Path, redis_client: redis.Redis) -> Iterator[World]:
    """Use cases over the cache of this test."""
    world = World(tmp_path)
    world.cache = Memorystore(redis_client)
    world.assemble()
    yield world
    world.catalog.close()


@pytest.fixture
def real_client(redis_server: str) -> Iterator[Any]:
    """An empty Redis on a real server, which counts the commands that it is sent."""
    with redis.Redis(unix_socket_path=redis_server) as client:
        client.flushall()
        yield client


def commands(client: Any) -> dict[str, int]:
    """Return how often each command came since `CONFIG RESETSTAT`."""
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}


def test_the_hot_bytes_of_a_batch_are_read_with_one_mget(tmp_path: Path, real_client: Any) -> None:
    world = World(tmp_path)
    with closing(world.catalog):
        world.cache = Memorystore(real_client)
        world.assemble()
        world.offer("horse", 8)  # a batch
        world.ask()
        world.deliver()
        batch = world.take()
        assert isinstance(batch, EmbedBatch)
        assert len(batch.images) == 8
        real_client.config_resetstat()
        assert world.embed(batch).embedded == 8
        sent = commands(real_client)
    assert sent["mget"] == 1
    assert sent["unlink"] == 1
    assert "get" not in sent


def test_a_warm_search_in_a_new_process_reads_the_pool_with_one_get(
    tmp_path: Path, real_client: Any
) -> None:
    world = World(tmp_path)
    with closing(world.catalog):
        world.cache = Memorystore(real_client)
        world.assemble()
        world.ready_pool(count=50)
        world.ask(query="known")
        world.assemble()
        real_client.config_resetstat()
        world.ask(query="known")
        sent = commands(real_client)
    assert sent.get("get") == 3  # the state, the text and the pool
    assert "set" not in sent


# Values of another version, and damaged ones


def searched(world: World) -> None:
    """Search as a new process does, and find that nothing was fetched or embedded for it."""
    world.assemble()
    before = (world.encoder.images, world.source.listings, list(world.source.downloads))
    answer = world.ask(query="twin-2")
    assert answer.hits is not None
    assert len(answer.hits) == 5
    assert answer.hits[0].image.image_id == "twin-2"
    assert answer.complete
    assert (world.encoder.images, world.source.listings, world.source.downloads) == before
    assert world.outbox.messages == []


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"isc0",
        b"isc2" + b"\x00" * 100,
        b"\x80\x04\x95 a pickle",
        b'{"images": []}',
        b"\x00" * 100_000,
    ],
    ids=["empty", "short", "a later version", "pickle", "JSON", "zeros"],
)
def test_a_value_of_another_version_is_ignored_and_rebuilt_from_the_catalog(
    world: World, redis_client: redis.Redis, value: bytes
) -> None:
    world.ready_pool(count=5)
    redis_client.flushall()
    searched(world)
    whole = {key: redis_client.get(key) for key in redis_client.scan_iter()}
    assert {key.split(b":")[0] for key in whole} == {b"pool", b"state", b"text"}
    for key in whole:
        redis_client.set(key, value)
    searched(world)
    for key, rebuilt in whole.items():
        assert redis_client.get(key) == rebuilt


def test_a_pool_with_one_flipped_bit_is_ignored_and_rebuilt_from_the_catalog(
    world: World, redis_client: redis.Redis
) -> None:
    pool = world.ready_pool(count=5)
    searched(world)
    key = f"pool:{pool.pool_id}:1:{MODEL}"
    whole = redis_client.get(key)
    assert isinstance(whole, bytes)
    for position in (0, 5, 20, len(whole) // 2, len(whole) - 1):
        redis_client.set(
            key, whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :]
        )
        searched(world)
        assert redis_client.get(key) == whole


def test_hot_bytes_that_are_no_image_cost_that_image_alone(
    world: World, redis_client: redis.Redis
) -> None:
    world.offer("horse", 5)
    world.ask()
    world.deliver()
    redis_client.set("bytes:twin-3", b"<html>damaged</html>")
    batch = world.take()
    assert isinstance(batch, EmbedBatch)
    report = world.embed(batch)
    assert (report.embedded, report.rejected) == (4, 1)


# Several processes


def test_four_processes_together_are_granted_exactly_the_limit(redis_server: str) -> None:
    with redis.Redis(unix_socket_path=redis_server) as client:
        client.flushall()
    command = [sys.executable, "-c", TAKE_100_TOKENS, redis_server]
    takers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        for taker in takers:
            assert taker.stdout is not None
            assert taker.stdout.readline() == "ready\n"
        for taker in takers:
            assert taker.stdin is not None
            taker.stdin.write("go\n")
            taker.stdin.flush()
        granted = [int(taker.communicate(timeout=30)[0]) for taker in takers]
    finally:
        for taker in takers:
            taker.kill()
            taker.wait()
    # The first 100 at once; at one a minute, none comes back meanwhile.
    assert sum(granted) == 100
