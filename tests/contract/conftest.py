"""One fixture a port, run over every adapter: a further adapter is one more parameter.

Backends are built when a test asks for them. One that the machine lacks skips its own cases, or
fails them when REQUIRE_BACKENDS=1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from imagesearch.adapters.files import FolderStore
from imagesearch.adapters.local_bus import Endpoint, LocalBus
from imagesearch.adapters.memorystore import Memorystore, embedded_client
from imagesearch.adapters.sqlite import SqliteCatalog
from imagesearch.model import PoolPolicy
from imagesearch.ports import Catalog, ImageStore, PoolCache, Publisher


def missing_backend(name: str) -> None:
    if os.environ.get("REQUIRE_BACKENDS") == "1":
        pytest.fail(f"{name} is missing, and REQUIRE_BACKENDS=1")
    pytest.skip(f"{name} is missing")


@pytest.fixture(params=["folder"])
def image_store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    return FolderStore(tmp_path / "images")


@pytest.fixture
def policy() -> PoolPolicy:
    return PoolPolicy(max_age_seconds=86_400.0, lease_seconds=60.0, retry_seconds=30.0)


@pytest.fixture(params=["sqlite"])
def open_catalog(
    request: pytest.FixtureRequest, tmp_path: Path, policy: PoolPolicy
) -> Iterator[Callable[[], Catalog]]:
    """Open a further client of the one catalog of this test."""
    opened: list[SqliteCatalog] = []

    def open_one() -> Catalog:
        opened.append(SqliteCatalog(tmp_path / "catalog.sqlite", policy))
        return opened[-1]

    yield open_one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog]) -> Catalog:
    return open_catalog()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The socket of a real redis-server that this session starts and ends."""
    program = shutil.which("redis-server")
    if program is None:
        missing_backend("redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        socket = f"{folder}/redis.sock"
        command = [str(program), "--port", "0", "--unixsocket", socket, "--save", "", "--dir"]
        with subprocess.Popen([*command, folder], stdout=subprocess.DEVNULL) as server:
            try:
                _wait_for_redis(socket)
                yield socket
            finally:
                server.terminate()


def _wait_for_redis(socket: str) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis(unix_socket_path=socket) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


@pytest.fixture(params=["fakeredis", "redis-server"])
def redis_client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """An empty Redis: in process, or a real server."""
    if request.param == "fakeredis":
        client = embedded_client()
    else:
        client = redis.Redis(unix_socket_path=request.getfixturevalue("redis_server"))
        client.flushall()
    with client:
        yield client


@pytest.fixture
def pool_cache(redis_client: redis.Redis) -> PoolCache:
    return Memorystore(redis_client)


OpenPublisher = Callable[[Mapping[str, Endpoint], Endpoint], Publisher]


@pytest.fixture(params=["local_bus"])
def open_publisher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenPublisher]:
    """Open a publisher that pushes to the endpoint of each topic, and dead letters to another.

    A nacked message rests for milliseconds and is a dead letter after 5 attempts.
    """
    opened: list[LocalBus] = []

    def open_one(endpoints: Mapping[str, Endpoint], dead_letters: Endpoint) -> Publisher:
        bus = LocalBus(
            tmp_path / "dead_letters.jsonl", min_backoff_seconds=0.002, max_backoff_seconds=0.01
        )
        opened.append(bus)
        for topic, endpoint in endpoints.items():
            bus.subscribe(topic, endpoint)
        bus.subscribe_dead_letters(dead_letters)
        bus.start()
        return bus

    yield open_one
    for bus in opened:
        bus.stop(5.0)
