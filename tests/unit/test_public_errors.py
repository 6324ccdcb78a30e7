"""What goes wrong inside is told to the public without folders, hosts and accounts of ours."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from imagesearch.adapters.scorers.cloud_run import CloudRunScorer, InferenceService
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.clock import SystemClock
from imagesearch.domain.errors import ImageSearchError, Unavailable
from imagesearch.domain.pools import PoolKey, SourceOptions
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.local.embedded.services import EmbeddedServices
from imagesearch.local.embedded.stack import mount
from imagesearch.settings import load_settings
from inference_service.batcher import Batcher
from tests.world import TwinEncoder, World

POOL = PoolKey.of("horse", SourceOptions()).pool_id
PATHS = ["/ready", "/search?t=horse&s_query=x&wait=0", "/search?s_query=x&scope=catalog"]


@contextmanager
def served(folder: Path) -> Iterator[tuple[FlaskClient, EmbeddedServices]]:
    """Yield the public function over the services of an embedded edition in *folder*."""
    settings = load_settings(data_dir=folder, gallery_url="http://127.0.0.1:9")
    services = EmbeddedServices(settings, TwinEncoder())
    yield mount("query", services.query).test_client(), services
    services.close()


def closed(services: EmbeddedServices) -> None:
    services.catalog.close()


def replaced(services: EmbeddedServices) -> None:
    removed(services).write_bytes(b"no database" * 1000)


def of_another_version(services: EmbeddedServices) -> None:
    with closing(sqlite3.connect(removed(services))) as raw:
        raw.execute("PRAGMA user_version = 8")


def removed(services: EmbeddedServices) -> Path:
    """Return the path of the catalog's file, which is there no longer."""
    path = services.settings.data_dir / "catalog.sqlite"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


def without_its_tables(services: EmbeddedServices) -> None:
    services.catalog.check()
    with closing(sqlite3.connect(services.settings.data_dir / "catalog.sqlite")) as raw:
        raw.executescript("DROP TABLE embeddings; DROP TABLE listings; DROP TABLE records;")


@pytest.mark.parametrize(
    "broken",
    [closed, replaced, of_another_version, without_its_tables],
    ids=lambda do: do.__name__,
)
def test_a_broken_catalog_is_told_without_its_folder_which_the_log_has(
    tmp_path: Path,
    broken: Callable[[EmbeddedServices], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(tmp_path / "data") as (client, services):
        broken(services)
        answers = [client.get(path) for path in [*PATHS, f"/pools/{POOL}"]]
    assert [answer.status_code for answer in answers] == [503] * 4
    assert [answer.text for answer in answers if str(tmp_path) in answer.text] == []
    if broken is not of_another_version:
        assert str(tmp_path / "data" / "catalog.sqlite") in caplog.text


def test_a_data_folder_that_cannot_be_made_is_told_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable) as caught, served(tmp_path / "file" / "data"):
        pass
    assert str(tmp_path) not in str(caught.value)


def test_the_reason_of_a_pool_names_no_folder(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    world.store = FolderStore(folder)
    world.assemble()
    folder.rmdir()
    folder.write_bytes(b"a file in its place")
    world.offer("horse", 3)
    world.ask()
    with pytest.raises(Unavailable):
        world.deliver()
    pool = world.catalog.pool(PoolKey.of("horse", world.options).pool_id)
    assert pool is not None
    assert pool.current.reason is not None
    assert "image store failed" in pool.current.reason
    assert str(tmp_path) not in pool.current.reason


def test_a_model_that_fails_is_told_by_the_kind_of_its_failure_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A library's own words may name the file of the weights."""

    def fail(_: list[int]) -> list[int]:
        raise FileNotFoundError(2, "No such file", "/srv/models/clip/model.safetensors")

    batcher: Batcher[int, int] = Batcher("image", fail, max_batch=1, max_queue=1)
    with pytest.raises(Unavailable, match=r"^the image encoder failed \(FileNotFoundError\)$"):
        batcher.ask([1], 10)
    batcher.stop()
    assert "/srv/models/clip/model.safetensors" in caplog.text


def test_a_scorer_that_cannot_be_asked_is_told_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    clock = SystemClock()
    service = InferenceService("http://inference-8x7.a.run.app:99999", clock=clock)
    scorer = CloudRunScorer(service, clock=clock)
    with pytest.raises(ImageSearchError) as caught:
        scorer.score(ScoreRequest(scope="catalog", query=Query.of_text("x"), top_k=1))
    assert "run.app" not in str(caught.value)
    assert "run.app" in caplog.text
