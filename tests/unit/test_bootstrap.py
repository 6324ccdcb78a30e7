"""The composition root builds each thing once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from imagesearch.compose.bootstrap import CloudServices, cloud_settings, shared
from imagesearch.domain.errors import Unavailable
from imagesearch.local.embedded.services import EmbeddedServices
from imagesearch.settings import load_settings
from imagesearch.sources.pixabay import PIXABAY
from tests.world import TwinEncoder


def test_fifty_threads_that_come_first_share_every_adapter(tmp_path: Path) -> None:
    """With one cache each, quotas would not hold and waiters would not see their pool."""
    services = EmbeddedServices(
        load_settings(data_dir=tmp_path, gallery_url="http://127.0.0.1:9"), encoder=TwinEncoder()
    )
    services.publisher.subscribe("fetch-jobs", lambda _: 204)
    barrier = threading.Barrier(50)
    seen: list[object] = []

    def use() -> None:
        barrier.wait()
        seen.append(services.search.cache)

    threads = [threading.Thread(target=use) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(cache) for cache in seen}) == 1
    assert services.fetch.cache is services.search.cache is services.embed.cache
    services.close()


def test_a_shared_value_is_built_once_however_slow_it_is() -> None:
    built: list[int] = []
    gate = threading.Barrier(8)

    class Owner:
        @shared
        def value(self) -> int:
            threading.Event().wait(0.02)
            built.append(1)
            return len(built)

    owner = Owner()
    values: list[int] = []

    def use() -> None:
        gate.wait()
        values.append(owner.value)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [1] * 8


CLOUD = {"edition": "cloud", "google_cloud_project": "test-project", "images_bucket": "images"}


@pytest.mark.parametrize(
    ("port", "missing"),
    [
        ("catalog", "google_cloud_project"),
        ("publisher", "google_cloud_project"),
        ("store", "google_cloud_project"),
        ("store", "images_bucket"),
        ("scorer", "scorer_url"),
        ("source", "pixabay_api_key"),
    ],
)
def test_a_process_without_a_setting_it_needs_says_which(port: str, missing: str) -> None:
    services = CloudServices(load_settings(**{**CLOUD, missing: ""}))
    with pytest.raises(Unavailable, match=missing.upper()):
        getattr(services, port)


def test_a_gallery_that_is_asked_for_is_somewhere() -> None:
    services = CloudServices(load_settings(**CLOUD, source="demo"))
    with pytest.raises(Unavailable, match="GALLERY_URL"):
        _ = services.source


def test_the_quota_is_that_of_the_source() -> None:
    services = CloudServices(load_settings(**CLOUD, pixabay_api_key="key"))
    waits = [services.take_quota() for _ in range(PIXABAY.quota.requests + 1)]
    assert set(waits[:-1]) == {0.0}
    assert 0.0 < waits[-1] < 1.0, "it refills evenly in a minute"
    services.close()


def test_a_process_builds_only_what_it_uses_and_closes_that() -> None:
    """A fetcher has no scorer's URL, a query function no key of Pixabay."""
    services = CloudServices(load_settings(**CLOUD, scorer_url="http://127.0.0.1:9"))
    assert services.embedder is services.scorer
    services.close()
    assert not {"source", "store", "catalog"} & set(vars(services))


def test_a_bad_setting_that_an_adapter_finds_is_not_the_fault_of_a_request() -> None:
    """As the request's fault it would ack, and lose, every message."""
    settings = load_settings(**CLOUD, redis_host="h")
    services = CloudServices(settings.model_copy(update={"redis_server_ca": "no PEM"}))
    with pytest.raises(Unavailable, match="server_ca"):
        _ = services.fetch


def test_giving_up_needs_neither_a_key_nor_a_store() -> None:
    """What they lack is what makes dead letters."""
    services = CloudServices(load_settings(**CLOUD))
    assert services.give_up.catalog is services.catalog
    assert "store" not in vars(services)
    services.close()


def test_a_token_is_for_the_url_without_a_slash() -> None:
    services = CloudServices(load_settings(**CLOUD, scorer_url="https://scorer.run.app/"))
    same = CloudServices(load_settings(**CLOUD, scorer_url="https://scorer.run.app"))
    assert services.scorer.audience == same.scorer.audience == "https://scorer.run.app"


def test_the_service_that_embeds_may_be_another_than_the_one_that_scores() -> None:
    settings = load_settings(**CLOUD, scorer_url="http://127.0.0.1:9", embedder_url="http://[::1]")
    services = CloudServices(settings)
    assert services.embedder is not services.scorer
    services.close()


def test_a_process_of_its_own_is_of_the_cloud_edition(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="EDITION=cloud"):
        cloud_settings()
    monkeypatch.setenv("EDITION", "cloud")
    assert cloud_settings().edition == "cloud"
    monkeypatch.setenv("REDIS_PORT", "0")
    with pytest.raises(Unavailable, match="REDIS_PORT"):
        cloud_settings()
