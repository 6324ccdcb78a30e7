"""Buckets of Cloud Storage as collections: what is listed, what is read, what is said instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from imagesearch.adapters.buckets.gcs import GcsBuckets
from imagesearch.domain.buckets import bucket_root
from imagesearch.domain.errors import NotFound, Overloaded, RejectedImage, Unavailable
from imagesearch.ports import ListedObject
from tests.contract.conftest import BUCKET
from tests.stub_http import StubServer, reply

ROOT = bucket_root(f"gs://{BUCKET}/pictures")


@pytest.fixture
def buckets_at() -> Iterator[Callable[[str], GcsBuckets]]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed

    with ExitStack() as opened:

        def open_one(url: str) -> GcsBuckets:
            credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]

            def make() -> Any:
                return Client("test", credentials, client_options={"api_endpoint": url})

            return opened.enter_context(closing(GcsBuckets(make, total_seconds=0.5)))

        yield open_one


@pytest.mark.slow
def test_objects_are_listed_in_order_a_page_at_a_time_and_read(
    bucket: Any, storage_url: str, buckets_at: Callable[[str], GcsBuckets]
) -> None:
    for name in ("pictures/b.jpg", "pictures/a.jpg", "pictures/é.jpg", "pictures2/c.jpg"):
        bucket.blob(name).upload_from_string(name.encode())
    buckets = buckets_at(storage_url)
    first = buckets.listed(ROOT, after="", most=2)
    assert [each.name for each in first] == ["pictures/a.jpg", "pictures/b.jpg"]
    assert first[0].size == len("pictures/a.jpg")
    rest = buckets.listed(ROOT, after=first[-1].name, most=2)
    assert [each.name for each in rest] == ["pictures/é.jpg"]
    assert buckets.listed(ROOT, after="pictures/é.jpg", most=2) == []
    data = buckets.get(BUCKET, first[0].name, first[0].generation, 100)
    assert data == b"pictures/a.jpg"
    assert buckets.get(BUCKET, first[0].name, first[0].generation, 4) == b"pict"
    with pytest.raises(NotFound, match=r"gs://images/pictures/z\.jpg of 7 is gone"):
        buckets.get(BUCKET, "pictures/z.jpg", 7, 100)
    with pytest.raises(NotFound, match="the bucket none-such is not there, or may not"):
        buckets.listed(bucket_root("gs://none-such"), after="", most=2)


def test_cloud_storage_is_asked_for_names_after_one_and_a_page_may_be_short(
    buckets_at: Callable[[str], GcsBuckets],
) -> None:
    """Source: cloud.google.com/storage/docs/json_api/v1/objects/list."""
    pages = [
        '{"items": [{"name": "pictures/b", "size": "9", "generation": "7"}], "nextPageToken": "t"}',
        '{"items": [{"name": "pictures/c", "size": "8", "generation": "1795500000000001"}]}',
    ]
    with StubServer(lambda _: reply(200, pages.pop(0), Content_Type="application/json")) as server:
        found = buckets_at(server.origin).listed(ROOT, after="pictures/a&", most=5)
    assert found == [
        ListedObject("pictures/b", 9, 7),
        ListedObject("pictures/c", 8, 1795500000000001),
    ]
    first, second = (request.query for request in server.requests)
    assert first["prefix"] == "pictures/"
    assert first["startOffset"] == "pictures/a&"
    assert first["maxResults"] == "6"
    assert second["pageToken"] == "t"


def test_an_object_is_read_to_its_bound_as_its_generation_has_it(
    buckets_at: Callable[[str], GcsBuckets],
) -> None:
    with StubServer(lambda _: reply(206, "bytes", Content_Range="bytes 0-4/5")) as server:
        assert buckets_at(server.origin).get("ann", "a/1.jpg", 7, 100) == b"bytes"
    (request,) = server.requests
    assert request.target.startswith("/download/storage/v1/b/ann/o/a%2F1.jpg?")
    assert request.query["generation"] == "7"
    assert request.headers["range"] == "bytes=0-99"


def test_an_empty_object_has_no_bytes(buckets_at: Callable[[str], GcsBuckets]) -> None:
    with StubServer(lambda _: reply(416, "no such range")) as server:
        assert buckets_at(server.origin).get("ann", "1.jpg", 7, 100) == b""


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (400, RejectedImage, "Cloud Storage does not give it: "),
        (403, RejectedImage, "the fetch function may not read it"),
        (404, NotFound, r"gs://ann/1\.jpg of 7 is gone"),
        (429, Overloaded, "Cloud Storage"),
        (503, Unavailable, "Cloud Storage"),
    ],
)
def test_each_refusal_of_an_object_is_ours(
    buckets_at: Callable[[str], GcsBuckets], status: int, error: type[Exception], said: str
) -> None:
    with StubServer(lambda _: reply(status, "{}")) as server, pytest.raises(error, match=said):
        buckets_at(server.origin).get("ann", "1.jpg", 7, 100)


@pytest.mark.parametrize("status", [403, 404])
def test_a_bucket_that_may_not_be_listed_says_what_is_lacking(
    buckets_at: Callable[[str], GcsBuckets], status: int
) -> None:
    with (
        StubServer(lambda _: reply(status, "{}")) as server,
        pytest.raises(NotFound, match="`collections` has that granted"),
    ):
        buckets_at(server.origin).listed(ROOT, after="", most=5)
