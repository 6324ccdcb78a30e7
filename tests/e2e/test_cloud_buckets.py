"""A bucket as a collection over the emulators: added by the command, followed by notifications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from imagesearch.adapters.buses.pubsub import _connect
from imagesearch.deployment.topics import BUCKET_EVENTS
from imagesearch.local.emulated.cloud_stack import BUCKET, PROJECT
from imagesearch.local.emulated.environment import environment_of
from tests.e2e.cloud_counts import FaultyCloud, eventually
from tests.notifications import attributes_of, payload_of
from tools.pictures import jpeg

PICTURES = "ann-pictures"


class Bucket:
    """Somebody's bucket in the emulator, and what it tells of its objects."""

    def __init__(self, client: Any, publish: Any) -> None:
        self._bucket, self._publish = client.create_bucket(PICTURES), publish

    def write(self, name: str, data: bytes) -> int:
        """Upload an object, of which nothing is told yet, and return its generation."""
        blob = self._bucket.blob(name)
        blob.upload_from_string(data, content_type="image/jpeg")
        return int(blob.generation)

    def delete(self, name: str) -> None:
        self._bucket.blob(name).delete()

    def tell(self, event_type: str, name: str, generation: int, **more: str) -> None:
        """Publish what Cloud Storage does."""
        message = {
            "data": payload_of(PICTURES, name, generation),
            "attributes": attributes_of(event_type, PICTURES, name, generation, **more),
        }
        topic = f"projects/{PROJECT}/topics/{BUCKET_EVENTS}"
        self._publish(request={"topic": topic, "messages": [message]}, timeout=10)


@pytest.fixture
def bucket(faulty: FaultyCloud) -> Iterator[Bucket]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client  # type: ignore[import-untyped]  # no py.typed
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    options = {"api_endpoint": faulty.stack.storage_url}
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    with environment_of(faulty.stack.emulator_environment):
        publisher = _connect(PublisherClient, PublisherGrpcTransport)
    with publisher, closing(Client(PROJECT, credentials, client_options=options)) as client:
        yield Bucket(client, publisher.publish)


def found(faulty: FaultyCloud) -> dict[str, dict[str, Any]]:
    """Return what a search of the collection finds, by the object's path."""
    asked: dict[str, Any] = {"s_query": "patches of colour", "collection": "Pictures", "k": 50}
    answer = requests.get(f"{faulty.stack.query_url}/search", params=asked, timeout=60)
    assert answer.status_code == 200, answer.text
    return {each["own"]["file"]: each for each in answer.json()["results"]}


def test_a_bucket_is_added_followed_and_removed(
    faulty: FaultyCloud, bucket: Bucket, typed: Callable[..., str]
) -> None:
    for number in range(3):
        bucket.write(f"p/2019/{number}.jpg", jpeg(number))
    bucket.write("p/copy.jpg", jpeg(0))
    bucket.write("p/page.jpg", b"<html>")
    bucket.write("elsewhere/9.jpg", jpeg(9))

    told = typed("add", f"gs://{PICTURES}/p", "--name", "Pictures")
    assert told.startswith("1: Pictures: 5 pictures, 3 embedded"), told
    assert "1 could not be read:\n  page.jpg: 6 bytes that are no picture" in told
    results = found(faulty)
    assert results.keys() == {"2019/0.jpg", "2019/1.jpg", "2019/2.jpg"}
    first = results["2019/0.jpg"]
    assert first["page_url"] == f"https://storage.cloud.google.com/{PICTURES}/p/2019/0.jpg"
    preview = requests.get(first["url"], timeout=10)
    assert (preview.status_code, preview.headers["Content-Type"]) == (200, "image/jpeg")
    listed = requests.get(f"{faulty.stack.query_url}/collections", timeout=10).json()
    assert [(each["name"], each["pictures"]) for each in listed["collections"]] == [("Pictures", 4)]
    assert "Pictures  " in typed("collections")
    assert f"It is gs://{PICTURES}/p" in typed("info", "Pictures")

    # What comes, goes and is overwritten is told by messages, in whatever order.
    new = bucket.write("p/3.jpg", jpeg(3))
    bucket.tell("OBJECT_FINALIZE", "p/3.jpg", new)
    later = bucket.write("p/2019/1.jpg", jpeg(4))
    bucket.tell("OBJECT_DELETE", "p/2019/1.jpg", later - 1, overwrittenByGeneration=str(later))
    bucket.tell("OBJECT_FINALIZE", "p/2019/1.jpg", later, overwroteGeneration=str(later - 1))
    bucket.delete("p/2019/2.jpg")
    bucket.tell("OBJECT_DELETE", "p/2019/2.jpg", later)
    now = {"2019/0.jpg", "2019/1.jpg", "3.jpg"}
    before = results["2019/1.jpg"]["image_id"]
    eventually(
        "the messages are followed",
        lambda: found(faulty).keys() == now and found(faulty)["2019/1.jpg"]["image_id"] != before,
    )
    told = typed("update", "Pictures")
    assert "5 pictures, 4 as they were, in " in told, "nothing was left to the listing"

    told = typed("remove", "Pictures")
    assert f"gs://{PICTURES}/p is as it was" in told
    eventually("its images are gone", lambda: found(faulty) == {})
    eventually("its previews are gone", lambda: _previews(faulty) == [])
    assert _names(faulty, PICTURES) >= {"p/copy.jpg", "p/2019/0.jpg", "elsewhere/9.jpg"}


def test_a_bucket_that_is_not_there_is_said(faulty: FaultyCloud, typed: Callable[..., str]) -> None:
    told = typed("add", "gs://none-such")
    assert "error: the bucket none-such is not there, or may not be listed" in told
    typed("remove", "none-such")


def _names(faulty: FaultyCloud, bucket: str) -> set[str]:
    url = f"{faulty.stack.storage_url}/storage/v1/b/{bucket}/o"
    return {each["name"] for each in requests.get(url, timeout=10).json().get("items", ())}


def _previews(faulty: FaultyCloud) -> list[str]:
    return [name for name in _names(faulty, BUCKET) if name.startswith("own-")]
