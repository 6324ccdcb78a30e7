"""One fixture a port, run over every adapter: a further adapter is one more parameter.

Backends are built when a test asks for them. One that the machine lacks skips its own cases, or
fails them when REQUIRE_BACKENDS=1.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
import requests

from imagesearch.adapters.caches.in_process import InProcessCache, InProcessLimiter
from imagesearch.adapters.caches.memorystore import Memorystore
from imagesearch.adapters.firestore import Firestore
from imagesearch.adapters.libraries.postgres import PostgresLibrary
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.postgres import Postgres
from imagesearch.adapters.retention.sqlite import SqliteRetention
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.adapters.stores.gcs import GcsStore
from imagesearch.domain.pools import PoolPolicy
from imagesearch.ports import Cache, ImageStore, RateLimiter
from imagesearch.usecases.pools import Catalog
from tests.emulators import MissingProgram, firestore_emulator, storage_emulator
from tests.world import file_at
from tools import postgres_servers
from tools.catalogs import firestore_catalog, sqlite_catalog
from tools.postgres_servers import PostgresServer

BUCKET = "images"
Server = TypeVar("Server")


def missing_backend(message: str) -> None:
    if os.environ.get("REQUIRE_BACKENDS") == "1":
        pytest.fail(f"{message}, and REQUIRE_BACKENDS=1")
    pytest.skip(message)


@contextmanager
def _started(server: AbstractContextManager[Server]) -> Iterator[Server]:
    """Enter *server*; a missing program skips what needs it."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(server)
        except MissingProgram as error:
            missing_backend(str(error))
        yield started


@pytest.fixture(scope="session")
def storage_url() -> Iterator[str]:
    """The Cloud Storage emulator that this session starts and ends, with the bucket BUCKET."""
    with _started(storage_emulator(BUCKET)) as url:
        yield url


@pytest.fixture
def bucket(storage_url: str) -> Iterator[Any]:
    """An empty bucket."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed

    requests.get(f"{storage_url}/wipe", params={"keep-buckets": "true"}, timeout=10)
    options = {"api_endpoint": storage_url}
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    with closing(Client("test", credentials, client_options=options)) as client:
        yield client.bucket(BUCKET)


@pytest.fixture(params=["folder", pytest.param("gcs", marks=pytest.mark.slow)])
def image_store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "images")
    return GcsStore(lambda: request.getfixturevalue("bucket"))


@pytest.fixture
def policy() -> PoolPolicy:
    return PoolPolicy(
        max_age_seconds=86_400.0, lease_seconds=60.0, retry_seconds=30.0, queue_seconds=600.0
    )


OpenCatalog = Callable[[], Catalog]


@pytest.fixture(scope="session")
def firestore_host() -> Iterator[str]:
    """The host:port of the Firestore emulator that this session starts and ends."""
    with _started(firestore_emulator()) as host:
        yield host


@pytest.fixture(scope="session")
def firestore_clients(firestore_host: str) -> list[Any]:
    """Two clients of one database: a client takes longer to make than most tests."""
    from google.cloud.firestore import Client

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
        return [Client("test"), Client("test")]


@pytest.fixture
def open_firestore(
    firestore_host: str, firestore_clients: list[Any], policy: PoolPolicy
) -> OpenCatalog:
    """Open the one or the other client of an empty Firestore."""
    everything = "emulator/v1/projects/test/databases/(default)/documents"
    requests.delete(f"http://{firestore_host}/{everything}", timeout=10).raise_for_status()
    clients = itertools.cycle(firestore_clients)
    return lambda: firestore_catalog(Firestore(lambda: next(clients)), policy)


@pytest.fixture
def open_sqlite(tmp_path: Path, policy: PoolPolicy) -> Iterator[OpenCatalog]:
    """Open a further client of one file."""
    with ExitStack() as opened:
        path = tmp_path / "catalog.sqlite"
        yield lambda: opened.enter_context(closing(sqlite_catalog(file_at(path), policy)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL with pgvector that this session starts and ends."""
    with _started(postgres_servers.running()) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """A database without tables."""
    postgres_server.empty()
    return postgres_server.url


@pytest.fixture
def open_postgres(postgres_url: str, tmp_path: Path, policy: PoolPolicy) -> Iterator[OpenCatalog]:
    """Open a further client of one library, and of one file of pools."""

    def opening() -> Catalog:
        file = file_at(tmp_path / "catalog.sqlite")
        library = PostgresLibrary(Postgres(postgres_url))
        return opened.enter_context(
            closing(Catalog(SqlitePools(file), library, policy, SqliteRetention(file)))
        )

    with ExitStack() as opened:
        yield opening


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("firestore", marks=pytest.mark.slow),
        pytest.param("postgres", marks=pytest.mark.slow),
    ]
)
def open_catalog(request: pytest.FixtureRequest) -> OpenCatalog:
    """Open a further client of the one catalog of this test."""
    opening: OpenCatalog = request.getfixturevalue(f"open_{request.param}")
    return opening


@pytest.fixture
def damage_records(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Do to all records of the catalog what no program of ours does; their listings stay."""

    def damage_rows() -> None:
        path = request.getfixturevalue("tmp_path") / "catalog.sqlite"
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE records SET record = '{'")

    def damage_documents() -> None:
        for document in (
            request.getfixturevalue("firestore_clients")[0].collection("pools").stream()
        ):
            document.reference.update({"current": 5})

    is_firestore = request.node.callspec.params["open_catalog"] == "firestore"
    return damage_documents if is_firestore else damage_rows


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog]) -> Catalog:
    return open_catalog()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The socket of a real redis-server that this session starts and ends."""
    program = shutil.which("redis-server")
    if program is None:
        missing_backend("redis-server is missing")
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


@pytest.fixture
def redis_client(redis_server: str) -> Iterator[redis.Redis]:
    """An empty Redis on a real server."""
    with redis.Redis(unix_socket_path=redis_server) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["in process", pytest.param("redis-server", marks=pytest.mark.slow)])
def cache(request: pytest.FixtureRequest) -> Cache:
    if request.param == "in process":
        return InProcessCache()
    return Memorystore(request.getfixturevalue("redis_client"))


@pytest.fixture(params=["in process", pytest.param("redis-server", marks=pytest.mark.slow)])
def limiter(request: pytest.FixtureRequest) -> RateLimiter:
    if request.param == "in process":
        return InProcessLimiter()
    return Memorystore(request.getfixturevalue("redis_client"))
