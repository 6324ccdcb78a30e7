"""What each process is made of, and how it starts or does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imagesearch.adapters.caches.in_process import InProcessCache, InProcessLimiter
from imagesearch.adapters.caches.memorystore import Memorystore
from imagesearch.adapters.stores.gcs import GcsStore
from imagesearch.clock import SystemClock
from imagesearch.compose import cloud, fetch, inference, query
from imagesearch.compose.start import hosted_by, process_of, start
from imagesearch.domain.collections import (
    OWN,
    CollectedFile,
    Collection,
    Stamp,
    downloaded_name,
    own_image_id,
    path_of,
)
from imagesearch.domain.errors import InvalidRequest, Overloaded
from imagesearch.domain.images import Listing
from imagesearch.domain.pools import PoolKey, SourceOptions
from imagesearch.domain.work import FetchJob, Message
from imagesearch.local.embedded.services import EmbeddedServices
from imagesearch.ports import Encoder
from imagesearch.settings import Settings, load_settings
from imagesearch.sources.pixabay import QUOTA
from imagesearch.usecases.pools import Catalog
from tests.world import START, TwinEncoder, listed, original

CLOUD = {
    "edition": "cloud",
    "google_cloud_project": "test-project",
    "images_bucket": "images",
    "scorer_url": "http://127.0.0.1:9",
    "pixabay_api_key": "key",
}


def of_inference(settings: Settings) -> inference.InferenceProcess:
    return inference.compose(settings, TwinEncoder)


@pytest.mark.parametrize(
    ("compose", "missing"),
    [
        (query.compose, ["google_cloud_project"]),
        (query.compose, ["scorer_url"]),
        (query.compose, ["images_bucket"]),
        (query.compose, ["google_cloud_project", "scorer_url"]),
        (fetch.compose, ["google_cloud_project"]),
        (fetch.compose, ["images_bucket"]),
        (of_inference, ["google_cloud_project"]),
    ],
)
def test_a_process_without_settings_that_it_needs_names_them_all(
    compose: Callable[[Settings], object], missing: list[str]
) -> None:
    settings = load_settings(**{**CLOUD, **dict.fromkeys(missing, "")})
    names = ", ".join(name.upper() for name in missing)
    with pytest.raises(InvalidRequest, match=f"{names} (is|are) missing"):
        compose(settings)


@pytest.mark.parametrize(
    ("source", "missing"), [("pixabay", "PIXABAY_API_KEY"), ("demo", "GALLERY_URL")]
)
def test_a_fetcher_needs_what_its_source_needs(source: str, missing: str) -> None:
    with pytest.raises(InvalidRequest, match=missing):
        fetch.compose(load_settings(**{**CLOUD, "source": source, "pixabay_api_key": ""}))


def test_a_query_function_needs_a_base_of_image_urls_and_no_more() -> None:
    settings = load_settings(
        **{**CLOUD, "images_bucket": ""}, image_base_url="https://api.example.com/images"
    )
    assert query.compose(settings).settings.images_url("") == "https://api.example.com/images"


def test_a_query_function_opens_images_only_where_the_public_may_not() -> None:
    assert query.compose(load_settings(**CLOUD)).images is None
    private = load_settings(**CLOUD, private_images=True)
    process = query.compose(private)
    assert isinstance(process.images, GcsStore)
    assert process.settings.images_url("https://api.example.com/") == (
        "https://api.example.com/images"
    )
    with pytest.raises(InvalidRequest, match="IMAGES_BUCKET is missing"):
        query.compose(
            private.model_copy(update={"images_bucket": "", "image_base_url": "https://x"})
        )


def test_no_model_is_loaded_for_a_service_that_lacks_a_setting() -> None:
    def load(model: str) -> Encoder:
        raise AssertionError(f"{model} is loaded")

    with pytest.raises(InvalidRequest, match="GOOGLE_CLOUD_PROJECT is missing"):
        inference.compose(load_settings(**{**CLOUD, "google_cloud_project": ""}), load)


def test_a_service_without_a_bucket_scores_and_embeds_nothing() -> None:
    assert of_inference(load_settings(**CLOUD)).embed is not None
    assert of_inference(load_settings(**{**CLOUD, "images_bucket": ""})).embed is None


def test_a_certificate_that_is_none_is_refused() -> None:
    settings = load_settings(**CLOUD, redis_host="h").model_copy(
        update={"redis_server_ca": "no PEM"}
    )
    with pytest.raises(InvalidRequest, match="server_ca"):
        query.compose(settings)


def test_cache_and_limiter_are_memorystore_where_there_is_one() -> None:
    cache, limiter = cloud.cache_of(load_settings(**CLOUD, redis_host="127.0.0.1"))
    assert isinstance(cache, Memorystore)
    assert cache is limiter
    cache, limiter = cloud.cache_of(load_settings(**CLOUD))
    assert isinstance(cache, InProcessCache)
    assert isinstance(limiter, InProcessLimiter)


def test_the_quota_is_that_of_the_source() -> None:
    taken: list[tuple[str, int, float]] = []

    class Buckets:
        def take_token(self, bucket: str, *, limit: int, period_seconds: float) -> float:
            taken.append((bucket, limit, period_seconds))
            return 7.0  # longer than it waits

    source = fetch.source_of(load_settings(**CLOUD), Buckets(), SystemClock())
    settings = load_settings(**CLOUD)
    with pytest.raises(Overloaded, match="rate limit"):
        next(source.pages("horse", settings.source_options))
    quota = QUOTA
    assert taken == [("quota:pixabay", quota.requests, quota.period_seconds)]
    source.close()


def test_a_token_is_for_the_url_without_a_slash() -> None:
    clock = SystemClock()
    for url in ("https://scorer.run.app/", "https://scorer.run.app"):
        settings = load_settings(**{**CLOUD, "scorer_url": url})
        service = query.inference_service(settings.scorer_url, clock)
        assert service.audience == "https://scorer.run.app"
    assert query.inference_service("http://127.0.0.1:9", clock).audience is None


def test_the_service_that_is_woken_embeds_and_may_be_another_than_the_one_that_scores() -> None:
    search = query.compose(load_settings(**CLOUD)).search
    other = query.compose(load_settings(**CLOUD, embedder_url="http://[::1]:9")).search
    woken: Any = search.wake
    assert woken.__self__ is search.scorer._service  # type: ignore[attr-defined]
    woken = other.wake
    assert woken.__self__ is not other.scorer._service  # type: ignore[attr-defined]


def test_the_embedded_edition_shares_its_adapters(tmp_path: Path) -> None:
    """With one cache each, quotas would not hold and waiters would not see their pool."""
    settings = load_settings(data_dir=tmp_path, gallery_url="http://127.0.0.1:9")
    services = EmbeddedServices(settings, TwinEncoder())
    search, fetching, embed = (
        services.query.search,
        services.fetch.fetch,
        services.inference.embed,
    )
    assert embed is not None
    for name in ("catalog", "cache"):
        shared = {id(getattr(user, name)) for user in (search, fetching, embed)}
        assert shared == {id(getattr(services, name))}
    assert search.publisher is fetching.publisher is services.bus
    assert search.scorer is services.inference.scorer
    services.close()


def test_a_start_publishes_what_an_ended_process_left_and_no_search_does_so_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(data_dir=tmp_path, gallery_url="http://127.0.0.1:9")
    with closing(EmbeddedServices(settings, TwinEncoder())) as ended:
        left = [
            ended.catalog.request_pool(PoolKey(keyword, SourceOptions(source)), now).pool
            for keyword, source, now in (
                *(("horse", "demo", START), ("cow", "demo", START + timedelta(seconds=1))),
                ("own 1", OWN, START),
            )
        ]
        ended.catalog.record_listing(left[2].pool_id, 1, Listing((listed(1),)), START)
    with closing(EmbeddedServices(settings, TwinEncoder())) as services:
        published: list[FetchJob] = []
        monkeypatch.setattr(services.bus, "publish", published.append)
        services.resume()
        assert [(job.pool_id, job.keyword) for job in published] == [
            (pool.pool_id, pool.keyword) for pool in left[:2]
        ]
        for pool in left[:2]:
            resumed = services.catalog.pool(pool.pool_id)
            assert resumed is not None
            assert resumed.due_generation(services.clock.now(), services.catalog.policy) is None


def test_a_start_goes_on_where_what_was_left_cannot_be_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(data_dir=tmp_path, gallery_url="http://127.0.0.1:9")
    with closing(EmbeddedServices(settings, TwinEncoder())) as services:
        for keyword in ("horse", "cow"):
            services.catalog.request_pool(PoolKey(keyword, SourceOptions("demo")), START)

        def publish(_: Message) -> None:
            raise Overloaded("the bus is full")

        monkeypatch.setattr(services.bus, "publish", publish)
        services.resume()
    assert caplog.messages[-1:] == ["resuming no more pools: the bus is full"]


def kinds(catalog: Catalog) -> tuple[str, str]:
    return type(catalog.pools).__name__, type(catalog.library).__name__


def test_the_library_is_the_editions_own_or_in_postgresql(tmp_path: Path) -> None:
    """Nothing is connected to yet."""
    postgres = {"library": "postgres", "database_url": "postgresql://u:p@127.0.0.1:1/x"}
    assert kinds(cloud.catalog_of(load_settings(**CLOUD))) == (
        "FirestorePools",
        "FirestoreLibrary",
    )
    assert kinds(cloud.catalog_of(load_settings(**CLOUD, **postgres))) == (
        "FirestorePools",
        "PostgresLibrary",
    )
    local = {"data_dir": tmp_path, "gallery_url": "http://127.0.0.1:9"}
    for given, name in (({}, "SqliteLibrary"), (postgres, "PostgresLibrary")):
        services = EmbeddedServices(load_settings(**local, **given), TwinEncoder())
        assert kinds(services.catalog) == ("SqlitePools", name)
        services.close()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"library": "postgres"}, "DATABASE_URL is missing"),
        ({"library": "sqlite"}, "LIBRARY must be firestore or postgres with EDITION=cloud"),
    ],
)
def test_a_library_that_cannot_be_is_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        cloud.catalog_of(load_settings(**CLOUD, **given))


def test_of_another_librarys_files_those_of_collections_alone_are_swept(tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path,
        gallery_url="http://127.0.0.1:9",
        library="postgres",
        database_url="postgresql://u:p@127.0.0.1:1/x",
    )
    services = EmbeddedServices(settings, TwinEncoder())
    urls = ["https://a.example/1.jpg", "https://a.example/2.jpg"]
    listed = CollectedFile(path_of(urls[0]), Stamp(0, 0), Stamp(0, 0), own_image_id("1" * 64))
    services.collections.keep(Collection("list", "list.csv"))
    services.collections.put_files("list", [listed])
    kept = {"twin-1.jpg", f"{listed.image_id}.jpg", downloaded_name(urls[0])}
    for name in (*kept, f"{own_image_id('2' * 64)}.jpg", downloaded_name(urls[1])):
        services.store.put(name, original("1"))
    services.sweep()
    assert {each.name for each in (tmp_path / "images").iterdir()} == kept
    services.close()


# The start


def ended(capfd: pytest.CaptureFixture[str], compose: Callable[[Settings], object]) -> str:
    """Return the one line of a start that ended the process."""
    with pytest.raises(SystemExit) as end:
        start(compose)
    assert end.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["severity"] == "CRITICAL"
    message: str = entry["message"]
    return message


def test_a_process_of_its_own_is_of_the_cloud_edition(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "EDITION=cloud" in ended(capfd, lambda settings: settings)
    monkeypatch.setenv("EDITION", "cloud")
    assert start(lambda settings: settings).edition == "cloud"


def test_bad_settings_end_the_start_with_one_line_that_names_them(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDITION", "cloud")
    monkeypatch.setenv("REDIS_PORT", "0")
    monkeypatch.setenv("POOL_SIZE", "1")
    message = ended(capfd, lambda settings: settings)
    assert "REDIS_PORT" in message
    assert "POOL_SIZE" in message


def test_missing_settings_end_the_start_with_one_line_that_names_them(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDITION", "cloud")
    message = "cannot start: the settings GOOGLE_CLOUD_PROJECT, SCORER_URL are missing"
    assert ended(capfd, query.compose) == message


def test_a_function_works_in_the_process_that_hosts_it() -> None:
    process = object()
    with hosted_by(process):
        assert process_of(lambda settings: settings) is process
    with pytest.raises(SystemExit):
        process_of(lambda settings: settings)
