"""What only the Firestore catalog does: its errors, its calls, its documents and its limits."""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import Any

import grpc  # type: ignore[import-untyped]  # its stubs are a package of their own
import numpy as np
import pytest
from google.cloud.firestore import DELETE_FIELD

from imagesearch.adapters import firestore
from imagesearch.adapters.firestore import Firestore, connect, embedding_id
from imagesearch.adapters.records import MAX_LISTING_BYTES
from imagesearch.domain.errors import (
    Bug,
    ImageSearchError,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from imagesearch.domain.filters import where_of
from imagesearch.domain.forgetting import Withdrawal
from imagesearch.domain.images import (
    Collected,
    Credit,
    Embedding,
    Image,
    ListedImage,
    Listing,
)
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.pool_life import MAX_REJECTION_CHARACTERS
from imagesearch.domain.pools import Generation, Pool, PoolKey, PoolPolicy, PoolState, SourceOptions
from imagesearch.ports import Coverage
from imagesearch.usecases.pools import Catalog
from tests.contract.test_catalog import listing_of, pending, rejections
from tests.grpc_proxy import GrpcProxy
from tools.catalogs import firestore_catalog

NOW = datetime(2026, 3, 4, tzinfo=UTC)
KEY = PoolKey.of("horse", SourceOptions())
POOL = KEY.pool_id
MODEL = "laion/CLIP-ViT-B-32@abc/pre1"
OTHER_MODEL = "laion/CLIP-ViT-B-32@def/pre1"
DIM = 512
MOMENTS = ("_at", "_until")
UNSET = ("model_revision",)  # not written while there was none

# Design §8; the rows of the exceptions themselves are in `unit/test_google_errors.py`.
STATUSES: dict[grpc.StatusCode, type[ImageSearchError]] = {
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.UNKNOWN: Unavailable,
    grpc.StatusCode.INVALID_ARGUMENT: Bug,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.NOT_FOUND: Unavailable,
    grpc.StatusCode.ALREADY_EXISTS: Bug,
    grpc.StatusCode.PERMISSION_DENIED: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.FAILED_PRECONDITION: Unavailable,
    grpc.StatusCode.ABORTED: Unavailable,
    grpc.StatusCode.OUT_OF_RANGE: Bug,
    grpc.StatusCode.UNIMPLEMENTED: Bug,
    grpc.StatusCode.INTERNAL: Unavailable,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DATA_LOSS: Unavailable,
    grpc.StatusCode.UNAUTHENTICATED: Unavailable,
}
TRIED_AGAIN = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
}


@dataclass
class Proxy(GrpcProxy):
    """
    A gRPC server before *host* that can be rude on purpose.

    Attributes:
        refuse: the status of each method that is not passed on, by its name.
        cut: the status that ends the answer of a method after its first part.
        lose: how many more answers of a method are lost after the work was done.
        calls: how many calls of each method came.
        hang: while it is set, calls are not answered.
    """

    refuse: dict[str, grpc.StatusCode] = field(default_factory=dict)
    cut: dict[str, grpc.StatusCode] = field(default_factory=dict)
    lose: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    hang: threading.Event = field(default_factory=threading.Event)

    def __exit__(self, *error: object) -> None:
        self.hang.clear()
        super().__exit__(*error)

    def before(self, name: str, context: Any) -> None:
        """Count, and hang or refuse when told so."""
        self.calls[name] += 1
        while self.hang.is_set() and context.is_active():
            time.sleep(0.01)
        if name in self.refuse:
            context.abort(self.refuse[name], "on purpose")

    def after(
        self, name: str, request: bytes, answers: Sequence[bytes], context: Any
    ) -> Iterator[bytes]:
        """Lose the answer or cut it short when told so."""
        if self.lose[name] > 0:
            self.lose[name] -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        if name in self.cut:
            yield answers[0]
            context.abort(self.cut[name], "on purpose")
        yield from super().after(name, request, answers, context)


@pytest.fixture
def proxy(firestore_host: str) -> Iterator[Proxy]:
    with Proxy(firestore_host) as proxy:
        yield proxy


@pytest.fixture
def catalog(open_firestore: Callable[[], Catalog]) -> Catalog:
    """A client of an empty Firestore, with no proxy between."""
    return open_firestore()


@pytest.fixture
def hasty(proxy: Proxy, catalog: Catalog, policy: PoolPolicy) -> Iterator[Catalog]:
    """A second client, through the proxy, that gives up soon: for what would be tried long."""
    with closing(proxied_by(proxy, policy, total_seconds=0.5)) as catalog:
        yield catalog


@pytest.fixture
def proxied(proxy: Proxy, catalog: Catalog, policy: PoolPolicy) -> Iterator[Catalog]:
    """A second client, through the proxy, for work that a busy machine may take long for."""
    with closing(proxied_by(proxy, policy, total_seconds=30.0)) as catalog:
        yield catalog


def proxied_by(proxy: Proxy, policy: PoolPolicy, total_seconds: float) -> Catalog:
    client = client_of(f"127.0.0.1:{proxy.port}")
    return firestore_catalog(Firestore(lambda: client, total_seconds=total_seconds), policy)


def client_of(host: str) -> Any:
    from google.cloud.firestore import Client

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FIRESTORE_EMULATOR_HOST", host)
        return Client("test")


def listed(n: int, **changes: Any) -> ListedImage:
    name = f"pixabay-{n}"
    image = Image(name, f"{name}.jpg", f"https://x/{n}", 640, n, Credit(f"user {n}", "Pixabay"))
    return ListedImage(replace(image, **changes), f"https://x/{n}.jpg")


def embedding(seed: int, dim: int = DIM) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def begin(catalog: Catalog, size: int) -> None:
    catalog.request_pool(KEY, NOW)
    catalog.record_listing(POOL, 1, Listing(tuple(listed(n) for n in range(size))), NOW)


def record(
    catalog: Catalog,
    vectors: dict[str, Embedding],
    *,
    generation: int = 1,
    model_revision: str = MODEL,
) -> Pool | None:
    return catalog.record_batch(
        POOL,
        generation,
        model_revision=model_revision,
        embeddings=vectors,
        pixels=dict.fromkeys(vectors, PixelFacts(1, 0)),
        rejections={},
        now=NOW,
    )


def make_ready(catalog: Catalog, size: int) -> None:
    begin(catalog, size)
    record(catalog, {f"pixabay-{n}": embedding(n) for n in range(size)})


# Errors


def test_each_status_that_a_read_meets_is_ours(
    hasty: Catalog, proxied: Catalog, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    for status, ours in STATUSES.items():
        caplog.clear()
        proxy.refuse["BatchGetDocuments"] = status
        started = time.monotonic()
        with pytest.raises(ImageSearchError, match="Firestore failed") as raised:
            (hasty if status in TRIED_AGAIN else proxied).pool(POOL)
        assert "on purpose" in caplog.text, status
        assert type(raised.value) is ours, status
        assert time.monotonic() - started < 2.0, status


READS: dict[str, Callable[[Catalog], object]] = {
    "BatchGetDocuments": lambda catalog: catalog.library.embedded(
        ["pixabay-0", "pixabay-1"], MODEL
    ),
    "RunQuery": lambda catalog: catalog.library.nearest(embedding(1), 2, MODEL),
}


@pytest.mark.parametrize("method", READS)
def test_each_status_that_cuts_an_answer_short_is_ours(
    hasty: Catalog, proxied: Catalog, proxy: Proxy, catalog: Catalog, method: str
) -> None:
    """Half an answer is no answer: neither gRPC's own error nor half the rows get out."""
    make_ready(catalog, 2)
    for status, ours in STATUSES.items():
        proxy.cut[method] = status
        with pytest.raises(ImageSearchError) as raised:
            READS[method](hasty if status in TRIED_AGAIN else proxied)
        assert type(raised.value) is ours, status


def test_every_status_of_grpc_but_ok_is_in_the_table() -> None:
    assert set(STATUSES) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize(
    "call",
    [
        lambda catalog: catalog.request_pool(KEY, NOW),
        lambda catalog: catalog.pool(POOL),
        lambda catalog: catalog.begin_fetch(POOL, 1, NOW),
        lambda catalog: catalog.record_listing(POOL, 1, Listing(()), NOW),
        lambda catalog: listing_of(catalog),
        lambda catalog: pending(catalog),
        lambda catalog: rejections(catalog),
        lambda catalog: catalog.finish_fetch(POOL, 1, NOW),
        lambda catalog: record(catalog, {"pixabay-1": embedding(1)}),
        lambda catalog: catalog.library.embedded(["pixabay-1"], MODEL),
        lambda catalog: catalog.packed_pool(POOL, 1, MODEL),
        lambda catalog: catalog.reopen(POOL, 1, MODEL, NOW),
        lambda catalog: catalog.record_error(POOL, 1, "why"),
        lambda catalog: catalog.fail(POOL, 1, "why", NOW),
        lambda catalog: catalog.library.nearest(embedding(1), 1, MODEL),
        lambda catalog: catalog.check(),
    ],
)
def test_no_method_lets_a_google_error_out(
    proxied: Catalog, proxy: Proxy, call: Callable[[Catalog], object]
) -> None:
    refused = grpc.StatusCode.PERMISSION_DENIED
    proxy.refuse = dict.fromkeys(["BatchGetDocuments", "Commit", "RunQuery"], refused)
    with pytest.raises(Unavailable, match=r"PermissionDenied.*configuration must be mended"):
        call(proxied)


@pytest.mark.parametrize("work", ["pool", "request_pool", "check"])
def test_a_server_that_does_not_answer_is_unavailable_within_the_limit(
    hasty: Catalog, proxy: Proxy, work: str
) -> None:
    proxy.hang.set()
    arguments = {"pool": (POOL,), "request_pool": (KEY, NOW), "check": ()}[work]
    started = time.monotonic()
    with pytest.raises(Unavailable):
        getattr(hasty, work)(*arguments)
    assert time.monotonic() - started < 3.5


def test_a_server_that_is_gone_is_unavailable_and_one_that_is_back_answers(
    hasty: Catalog, proxied: Catalog, proxy: Proxy
) -> None:
    proxy.refuse["Commit"] = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(Unavailable):
        hasty.request_pool(KEY, NOW)
    assert proxy.calls["Commit"] > 1  # it was tried again
    proxy.refuse.clear()
    assert proxied.request_pool(KEY, NOW).created


def test_connect_takes_the_emulator_from_the_environment(
    firestore_host: str, catalog: Catalog, policy: PoolPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    with closing(firestore_catalog(connect("test"), policy)) as connected:
        assert connected.request_pool(KEY, NOW).pool == catalog.pool(POOL)


def test_a_closed_catalog_has_no_connection_left(proxy: Proxy, policy: PoolPolicy) -> None:
    closed = proxied_by(proxy, policy, total_seconds=30.0)
    closed.pool(POOL)  # an emulator's first answer may take longer than `check` waits
    closed.check()
    closed.close()
    with pytest.raises(ValueError, match=r"[Cc]hannel"):
        closed.check()
    proxied_by(proxy, policy, total_seconds=30.0).close()  # one that was never used


# Concurrency


def test_a_change_that_never_gets_through_is_unavailable(
    hasty: Catalog, proxy: Proxy, catalog: Catalog
) -> None:
    proxy.refuse["Commit"] = grpc.StatusCode.ABORTED
    started = time.monotonic()
    with pytest.raises(Unavailable, match="too many changes of pool"):
        hasty.request_pool(KEY, NOW)
    assert time.monotonic() - started < 2.0
    assert catalog.pool(POOL) is None


def test_a_commit_whose_answer_is_lost_is_known_as_ones_own(proxied: Catalog, proxy: Proxy) -> None:
    proxy.lose["Commit"] = 1
    assert proxied.request_pool(KEY, NOW).created
    begin(proxied, 1)
    proxy.lose["Commit"] = 1
    assert proxied.finish_fetch(POOL, 1, NOW) == proxied.pool(POOL)
    record(proxied, {"pixabay-0": embedding(0)})
    proxy.lose["Commit"] = 1
    assert isinstance(proxied.reopen(POOL, 1, "another model", NOW), Pool)


# Calls and documents


def calls_of(proxy: Proxy, work: Callable[[], object]) -> dict[str, int]:
    proxy.calls.clear()
    work()
    return dict(proxy.calls)


def test_each_method_makes_few_calls(proxied: Catalog, proxy: Proxy) -> None:
    step = {"BatchGetDocuments": 1, "Commit": 1}
    reads = {"BatchGetDocuments": 1}
    vectors = {f"pixabay-{n}": embedding(n) for n in range(200)}
    offer = Listing(tuple(listed(n) for n in range(200)))
    # Of a new pool, the number that no forgotten one had is asked for, too.
    new = {"BatchGetDocuments": 2, "Commit": 1}
    assert calls_of(proxy, lambda: proxied.request_pool(KEY, NOW)) == new
    assert calls_of(proxy, lambda: proxied.request_pool(KEY, NOW)) == reads
    assert calls_of(proxy, lambda: proxied.begin_fetch(POOL, 1, NOW)) == step
    assert calls_of(proxy, lambda: proxied.record_listing(POOL, 1, offer, NOW)) == step
    assert calls_of(proxy, lambda: proxied.members(POOL, 1)) == reads
    assert calls_of(proxy, lambda: proxied.members(POOL, 1)) == reads
    written = {"BatchGetDocuments": 2, "Commit": 3}  # of them one notes that they are used
    assert calls_of(proxy, lambda: record(proxied, vectors)) == written
    assert calls_of(proxy, lambda: proxied.library.embedded(vectors, MODEL)) == reads
    packed = calls_of(proxy, lambda: proxied.packed_pool(POOL, 1, MODEL))
    assert packed == {"BatchGetDocuments": 2}
    nearest = calls_of(proxy, lambda: proxied.library.nearest(embedding(7), 200, MODEL))
    assert nearest == {"RunQuery": 1}


def test_a_pool_of_500_images_with_long_metadata_fits_its_documents(
    catalog: Catalog, firestore_clients: list[Any]
) -> None:
    rng = np.random.default_rng(1)
    offer = Listing(
        tuple(listed(n, page_url=f"https://pixabay.com/{rng.bytes(100).hex()}") for n in range(500))
    )
    catalog.request_pool(KEY, NOW)
    catalog.record_listing(POOL, 1, offer, NOW)
    reasons = {f"pixabay-{n}": "x" * 1000 for n in range(500)}
    pool = catalog.record_batch(
        POOL, 1, model_revision=MODEL, embeddings={}, rejections=reasons, now=NOW
    )
    assert pool is not None
    assert pool.current.state is PoolState.READY
    assert listing_of(catalog) == offer
    assert set(rejections(catalog).values()) == {"x" * MAX_REJECTION_CHARACTERS}
    for found in documents_of(firestore_clients[0]):
        size = sum(len(part) for part in found.to_dict().values() if isinstance(part, bytes))
        assert size < 1_000_000


def test_a_listing_that_fits_no_document_says_so_and_changes_nothing(catalog: Catalog) -> None:
    before = catalog.request_pool(KEY, NOW).pool
    rng = np.random.default_rng(1)
    offer = Listing(tuple(listed(n, page_url=rng.bytes(2000).hex()) for n in range(500)))
    with pytest.raises(InvalidRequest, match=f"at most {MAX_LISTING_BYTES} bytes packed, got"):
        catalog.record_listing(POOL, 1, offer, NOW)
    assert catalog.pool(POOL) == before


def documents_of(client: Any) -> list[Any]:
    """Return the pool's document and those of its generations, oldest first."""
    pools = list(client.collection("pools").stream())
    return pools + [
        one for pool in pools for one in pool.reference.collection("generations").stream()
    ]


def test_every_document_of_a_pool_expires_30_days_after_it_went_stale(
    catalog: Catalog, firestore_clients: list[Any], policy: PoolPolicy
) -> None:
    kept = timedelta(seconds=policy.max_age_seconds) + timedelta(days=30)
    make_ready(catalog, 2)
    catalog.record_error(POOL, 1, "over")
    found = documents_of(firestore_clients[0])
    assert [one.get("expire_at") for one in found] == [NOW + kept] * 2
    # The generation that still answers lives as long as the pool that is asked for.
    asked = NOW + timedelta(days=9)
    catalog.request_pool(KEY, asked)
    found = documents_of(firestore_clients[0])
    assert [one.get("expire_at") for one in found] == [asked + kept] * 3
    assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 2


def test_what_an_expired_pool_left_behind_is_not_the_new_pools(
    catalog: Catalog, firestore_clients: list[Any]
) -> None:
    make_ready(catalog, 2)
    firestore_clients[0].collection("pools").document(POOL).delete()
    created = catalog.request_pool(KEY, NOW)
    assert created.created
    assert created.pool.current.number == 1
    assert listing_of(catalog) is None
    assert catalog.packed_pool(POOL, 1, MODEL).images == ()


def test_more_embeddings_than_a_commit_takes_are_stored(catalog: Catalog) -> None:
    begin(catalog, 150)
    same = embedding(1, dim=2048)  # 150 of them are 5 MB on the wire
    record(catalog, {f"pixabay-{n}": same for n in range(150)})
    assert catalog.packed_pool(POOL, 1, MODEL).embeddings.shape == (150, 2048)


@pytest.mark.parametrize("hostile", ["__reserved__", ".", "..", "a/b", "%", "", "x/../y"])
def test_any_text_is_an_id(catalog: Catalog, hostile: str) -> None:
    assert catalog.pool(hostile) is None
    catalog.request_pool(KEY, NOW)
    catalog.record_listing(POOL, 1, Listing((listed(1, image_id=hostile),)), NOW)
    assert record(catalog, {hostile: embedding(1)}) is not None
    assert catalog.library.embedded([hostile, "other"], MODEL) == {hostile}
    assert catalog.library.nearest(embedding(1), 3, MODEL).hits[0][0].image_id == hostile


# Vector search


FEW = 40


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many a search looks at at most, in place of the thousand that take long to write."""
    monkeypatch.setattr("imagesearch.adapters.libraries.firestore.MAX_NEAREST", FEW)
    return FEW


def test_find_nearest_gives_what_exact_search_in_sqlite_gives(
    catalog: Catalog, open_sqlite: Callable[[], Catalog]
) -> None:
    """For either of two models, whose embeddings lie side by side in one catalog."""
    exact = open_sqlite()
    for one in (catalog, exact):
        make_ready(one, 60)
        record(one, {})
    vectors = {f"pixabay-{n}": embedding(n % 3) for n in range(9)}  # ties, three by three
    other = PoolKey.of("cow", SourceOptions())
    for one in (catalog, exact):
        one.request_pool(other, NOW)
        one.record_listing(other.pool_id, 1, Listing(tuple(listed(n) for n in range(9))), NOW)
        one.record_batch(
            other.pool_id, 1, model_revision=MODEL, embeddings=vectors, rejections={}, now=NOW
        )
        recoded = {f"pixabay-{n}": embedding(1000 + n) for n in range(60)}
        one.reopen(POOL, 1, OTHER_MODEL, NOW)
        record(one, recoded, model_revision=OTHER_MODEL)
    searches = product([0, 1, 1000, 1001], (1, 2, 10, 60), (MODEL, OTHER_MODEL))
    for seed, k, model in searches:
        query = embedding(seed)
        near, expected = (
            catalog.library.nearest(query, k, model).hits,
            exact.library.nearest(query, k, model).hits,
        )
        assert len(near) == k
        assert [one for one, _ in near] == [one for one, _ in expected]
        assert [cosine for _, cosine in near] == [cosine for _, cosine in expected]
        assert all(a >= b for (_, a), (_, b) in pairwise(near))


def test_nearest_gives_at_most_1000(catalog: Catalog) -> None:
    begin(catalog, 1001)
    record(catalog, {f"pixabay-{n}": embedding(n, dim=4) for n in range(1001)})
    assert len(catalog.library.nearest(embedding(1, dim=4), 5000, MODEL).hits) == 1000


TALL = where_of({"orientation": "vertical"})


def test_under_a_filter_so_many_nearest_are_looked_at_and_no_further(
    catalog: Catalog, few: int
) -> None:
    """Of one image more, each further from the query, one alone is vertical."""
    images = [replace(listed(n).image, width=640, height=480) for n in range(few + 1)]
    angles = [n / few for n in range(few + 1)]
    vectors = [np.array([np.cos(angle), np.sin(angle)], np.float32) for angle in angles]
    embeddings = {image.image_id: row for image, row in zip(images, vectors, strict=True)}
    catalog.library.put(images, embeddings, MODEL)
    for place, is_seen in ((1, True), (few, True), (few + 1, False)):
        vertical = replace(images[place - 1], width=480, height=640)
        catalog.library.put([vertical], {}, MODEL)
        nearest = catalog.library.nearest(vectors[0], 1, MODEL, TALL)
        assert [image for image, _ in nearest.hits] == ([vertical] if is_seen else [])
        assert nearest.exhaustive is is_seen
        assert not catalog.library.nearest(vectors[0], 2, MODEL, TALL).exhaustive
        catalog.library.put([images[place - 1]], {}, MODEL)


def _in_line(size: int, **changes: Any) -> tuple[list[Image], list[Embedding]]:
    """Return images with vectors, each of which is further from the first one."""
    images = [replace(listed(n).image, **changes) for n in range(size)]
    angles = [n / size for n in range(size)]
    return images, [np.array([np.cos(angle), np.sin(angle)], np.float32) for angle in angles]


COVERED: tuple[tuple[dict[str, str], dict[str, Any], bool], ...] = (
    ({"user": "ANNA"}, {"credit": Credit("Anna", "Pixabay")}, True),
    ({"tag": "wild flower"}, {"tags": ("field", "Wild Flower")}, True),
    ({"year": "2015"}, {"year": 2015}, True),
    ({"collection": "my photos"}, {"collected": Collected(("All", "My  Photos"))}, True),
    ({"tag": "field,rare"}, {"tags": ("field", "rare")}, True),
    ({"year": "2016", "month": "7"}, {"year": 2016, "month": 7}, True),
    ({"source": "elsewhere"}, {"credit": Credit("Bert", "Elsewhere")}, False),
    ({"month": "8"}, {"month": 8}, False),
)


def test_what_an_index_covers_is_seen_however_far_it_is(catalog: Catalog, few: int) -> None:
    images, vectors = _in_line(few + len(COVERED))
    for place, (_, change, _) in enumerate(COVERED, start=few):
        images[place] = replace(images[place], **change)
    embeddings = {image.image_id: row for image, row in zip(images, vectors, strict=True)}
    catalog.library.put(images, embeddings, MODEL)
    for place, (filters, _, is_seen) in enumerate(COVERED, start=few):
        where = where_of(filters)
        nearest = catalog.library.nearest(vectors[0], 1, MODEL, where)
        found = [image for image, _ in nearest.hits]
        assert found == ([images[place]] if is_seen else []), filters
        assert nearest.exhaustive is is_seen, filters
        assert catalog.library.nearest(vectors[0], 5, MODEL, where).exhaustive is is_seen, filters


def test_what_an_earlier_version_wrote_is_not_lost_to_an_index(
    catalog: Catalog, firestore_clients: list[Any], proxied: Catalog, proxy: Proxy
) -> None:
    """It has no facts that an index could have, until it is listed again."""
    images, vectors = _in_line(20, year=2015)
    embeddings = {image.image_id: row for image, row in zip(images, vectors, strict=True)}
    catalog.library.put(images, embeddings, MODEL)
    name = embedding_id(images[3].image_id, MODEL)
    spoil(
        firestore_clients[0],
        f"embeddings/{name}",
        {"facts": DELETE_FIELD, "facts_version": DELETE_FIELD},
    )
    where = where_of({"year": "2015"})
    hits = proxied.library.nearest(vectors[3], 1, MODEL, where).hits
    assert [image for image, _ in hits] == [images[3]]
    counted = proxy.calls["RunAggregationQuery"]
    proxied.library.put(images, {}, MODEL)
    for _ in range(3):
        hits = proxied.library.nearest(vectors[3], 1, MODEL, where).hits
        assert [image for image, _ in hits] == [images[3]]
    assert proxy.calls["RunAggregationQuery"] == counted + 2, "what all have, all will have"


def test_what_an_earlier_version_wrote_keeps_no_collection_from_being_filtered_by(
    catalog: Catalog, firestore_clients: list[Any], proxied: Catalog, proxy: Proxy, few: int
) -> None:
    """It was in none: neither what has no facts nor what has all others costs a count."""
    images, vectors = _in_line(few + 1)
    images[few] = replace(images[few], year=2015, collected=Collected(("Photos",)))
    embeddings = {image.image_id: row for image, row in zip(images, vectors, strict=True)}
    catalog.library.put(images, embeddings, MODEL)
    for place, lost in ((3, ["facts", "facts_version"]), (5, ["facts.collection"])):
        name = embedding_id(images[place].image_id, MODEL)
        spoil(firestore_clients[0], f"embeddings/{name}", dict.fromkeys(lost, DELETE_FIELD))
    where = where_of({"collection": "Photos"})
    nearest = proxied.library.nearest(vectors[0], 1, MODEL, where)
    assert [image for image, _ in nearest.hits] == [images[few]]
    assert nearest.exhaustive
    assert proxy.calls["RunAggregationQuery"] == 0
    where = where_of({"collection": "Photos", "user": images[few].credit.user, "year": "2015"})
    nearest = proxied.library.nearest(vectors[0], 2, MODEL, where)
    assert [image for image, _ in nearest.hits] == [images[few]]
    assert nearest.exhaustive, "while an index of users would lose images, that of collections not"


def test_an_image_that_left_a_collection_is_no_longer_filtered_by_it(catalog: Catalog) -> None:
    """The one that it is still in, or none."""
    kept = Collected(("Photos", "Work"), place=(52.5, 13.4))
    (image,), (vector,) = _in_line(1, collected=kept)
    catalog.library.put([image], {image.image_id: vector}, MODEL)
    for left in (Collected(("Work",)), None):
        changed = replace(image, collected=left)
        catalog.library.put([changed], {}, MODEL)
        for name, is_in in (("Photos", False), ("Work", left is not None)):
            hits = catalog.library.nearest(vector, 1, MODEL, where_of({"collection": name})).hits
            assert [found for found, _ in hits] == ([changed] if is_in else []), name
        ((found, _),) = catalog.library.nearest(vector, 1, MODEL).hits
        assert found == changed, "nor is it kept where it was taken"


def test_under_a_filter_a_damaged_match_is_none(
    catalog: Catalog, firestore_clients: list[Any]
) -> None:
    """The nearest that matches has no embedding, the next one is beyond the first look."""
    images = [replace(listed(n).image, width=640, height=480) for n in range(20)]
    for place in (0, 15):
        images[place] = replace(images[place], width=480, height=640)
    vectors = [np.array([np.cos(n / 20), np.sin(n / 20)], np.float32) for n in range(20)]
    embeddings = {image.image_id: row for image, row in zip(images, vectors, strict=True)}
    catalog.library.put(images, embeddings, MODEL)
    name = embedding_id(images[0].image_id, MODEL)
    spoil(firestore_clients[0], f"embeddings/{name}", {"row": b"short"})
    nearest = catalog.library.nearest(vectors[0], 1, MODEL, TALL)
    assert [image for image, _ in nearest.hits] == [images[15]]
    assert nearest.exhaustive


# Documents of the version before


def as_the_version_before_wrote_it(client: Any) -> None:
    """Make the pool's moments Firestore's own, and leave out what had no value."""
    reference = client.collection("pools").document(POOL)
    fields = reference.get().to_dict()
    for name in ("current", "ready"):
        fields[name] = fields[name] and {
            each: datetime.fromisoformat(value) if value and each.endswith(MOMENTS) else value
            for each, value in fields[name].items()
        }
    reference.set({name: value for name, value in fields.items() if name not in UNSET or value})


def steps_of_a_life(catalog: Catalog) -> Iterator[str]:
    """Do all of a pool's life, and stop wherever a version may end and the next begin."""
    begin(catalog, 3)
    yield "listed"
    record(catalog, {"pixabay-0": embedding(0)})
    yield "in part embedded"
    catalog.record_batch(
        POOL,
        1,
        model_revision=MODEL,
        embeddings={"pixabay-1": embedding(1)},
        rejections={"pixabay-2": "broken"},
        now=NOW,
    )
    yield "ready"
    later = NOW + timedelta(days=2)
    assert catalog.request_pool(KEY, later).created
    yield "requested again"
    catalog.fail(POOL, 2, "over", later)
    yield "failed"


def test_what_the_version_before_wrote_is_read_and_goes_on(
    catalog: Catalog, firestore_clients: list[Any]
) -> None:
    for state in steps_of_a_life(catalog):
        before = catalog.pool(POOL)
        assert before is not None
        as_the_version_before_wrote_it(firestore_clients[0])
        assert catalog.pool(POOL) == before, state
        asked = catalog.request_pool(KEY, before.current.requested_at).pool
        for pool in (asked, catalog.pool(POOL)):
            assert pool is not None
            for generation in filter(None, (pool.current, pool.ready)):
                # Not a class of the SDK's, which looks equal.
                assert {type(moment) for moment in moments_of(generation)} == {datetime}, state
    assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 2
    assert catalog.library.coverage(MODEL) == Coverage(2, 2)


def moments_of(generation: Generation) -> list[datetime]:
    moments = (getattr(generation, each.name) for each in fields_of(generation))
    return [moment for moment in moments if isinstance(moment, datetime)]


# Damage


def spoil(client: Any, path: str, fields: dict[str, Any]) -> None:
    """Do to a document what no program of ours does."""
    client.document(path).update(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"current.state": "asleep"},
        {"current.requested_at": "yesterday"},
        {"current.embedded": "many"},
        {"current": 5},
        {"options": {"colour": "red"}},
        {"options": DELETE_FIELD},
        {"ready": "the first"},
    ],
    ids=str,
)
def test_a_damaged_pool_is_begun_anew_and_costs_no_other(
    catalog: Catalog, firestore_clients: list[Any], fields: dict[str, Any]
) -> None:
    make_ready(catalog, 3)
    other = catalog.request_pool(PoolKey.of("cow", SourceOptions()), NOW).pool
    spoil(firestore_clients[0], f"pools/{POOL}", fields)
    assert catalog.pool(POOL) is None
    assert catalog.pool(other.pool_id) == other
    assert catalog.begin_fetch(POOL, 1, NOW) is None
    assert catalog.request_pool(KEY, NOW).pool.current.number == 2
    assert not catalog.request_pool(KEY, NOW).created
    catalog.record_listing(POOL, 2, Listing((listed(1),)), NOW)
    record(catalog, {"pixabay-1": embedding(1)}, generation=2)
    assert len(catalog.packed_pool(POOL, 2, MODEL).images) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"row": b""},
        {"row": b"cut"},
        {"row": DELETE_FIELD},
        {"row": np.full(DIM, np.nan, "<f4").tobytes()},
        {"row": np.eye(1, DIM - 1, dtype="<f4").tobytes()},
    ],
    ids=["empty", "cut", "gone", "nan", "short"],
)
def test_a_damaged_embedding_is_left_out_and_asked_for_again(
    catalog: Catalog, firestore_clients: list[Any], fields: dict[str, Any]
) -> None:
    make_ready(catalog, 4)
    for look in ("packed_pool", "nearest"):
        name = embedding_id("pixabay-2", MODEL)
        spoil(firestore_clients[0], f"embeddings/{name}", fields)
        if look == "nearest":
            images = [
                image.image_id for image, _ in catalog.library.nearest(embedding(2), 4, MODEL).hits
            ]
        else:
            images = [image.image_id for image in catalog.packed_pool(POOL, 1, MODEL).images]
        assert sorted(images) == ["pixabay-0", "pixabay-1", "pixabay-3"]
        reopened = catalog.reopen(POOL, 1, MODEL, NOW)
        assert reopened is not None
        assert [one.image.image_id for one in pending(catalog)] == ["pixabay-2"]
        record(catalog, {"pixabay-2": embedding(2)})
        assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 4


def test_a_hit_whose_image_is_damaged_is_left_out(
    catalog: Catalog, firestore_clients: list[Any]
) -> None:
    make_ready(catalog, 3)
    name = embedding_id("pixabay-2", MODEL)
    spoil(firestore_clients[0], f"embeddings/{name}", {"image": {"width": "wide"}})
    assert len(catalog.library.nearest(embedding(2), 3, MODEL).hits) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"listing": b"no zlib"},
        {"listing": zlib.compress(b"{")},
        {"states": "ee"},
        {"states": "e?e"},
        {"states": "eer"},
        {"states": DELETE_FIELD},
        {"reasons": b"["},
    ],
    ids=str,
)
def test_a_damaged_listing_is_recorded_anew(
    catalog: Catalog, firestore_clients: list[Any], fields: dict[str, Any]
) -> None:
    make_ready(catalog, 3)
    spoil(firestore_clients[0], f"pools/{POOL}/generations/1", fields)
    assert listing_of(catalog) is None
    assert rejections(catalog) == {}
    assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 0
    reopened = catalog.reopen(POOL, 1, MODEL, NOW)
    assert reopened is not None
    assert (reopened.current.number, reopened.current.state) == (1, PoolState.REQUESTED)
    make_ready(catalog, 3)
    assert len(catalog.packed_pool(POOL, 1, MODEL).images) == 3


def test_pools_that_name_an_image_and_pictures_taken_down_are_found_over_several_pages(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firestore, "_PAGE_DOCUMENTS", 2)
    keys = [PoolKey.of(f"keyword {n}", SourceOptions()) for n in range(5)]
    for n, key in enumerate(keys):
        catalog.request_pool(key, NOW)
        image = Image(f"pixabay-{n % 2}", "a.jpg", "", 1, 1, Credit("", ""), ())
        catalog.record_listing(key.pool_id, 1, Listing((ListedImage(image, ""),)), NOW)
    named = {key.pool_id for n, key in enumerate(keys) if n % 2 == 0}
    assert set(catalog.pools.naming(["pixabay-0"])) == named
    catalog.retention.withdraw([Withdrawal(f"pixabay-{n}", NOW, "") for n in range(5)])
    assert len(catalog.retention.withdrawn()) == 5
    for n in range(5):
        catalog.retention.note_used([f"pixabay-{n}"], n)
    assert catalog.retention.unused(9, 9) == [f"pixabay-{n}" for n in range(5)]


def test_uses_that_later_ones_outdate_are_deleted_as_they_are_met(
    catalog: Catalog, firestore_clients: list[Any]
) -> None:
    catalog.retention.note_used(["a", "b"], 1)
    catalog.retention.note_used(["a"], 5)
    catalog.retention.note_used(["b"], 6)
    assert catalog.retention.unused(5, 9) == []
    uses = firestore_clients[0].collection("uses").get()
    assert sorted(document.get("day") for document in uses) == [5, 6]
