"""The doors of the fetch function for buckets: what Pub/Sub pushes to them, and the answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient

from imagesearch.compose.query import remembered
from imagesearch.domain.collections import CollectionCount
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.work import CollectJob, ForgetJob, Message
from imagesearch.local.embedded.stack import mount
from imagesearch.wire.messages import encode
from tests.bucket_world import COLLECTION, BucketWorld
from tests.log_lines import Log
from tests.notifications import notified
from tests.world import SetClock


@pytest.fixture
def own(tmp_path: Path) -> BucketWorld:
    own = BucketWorld(tmp_path)
    own.embeds_at_once = True
    return own


@pytest.fixture
def fetch(own: BucketWorld) -> FlaskClient:
    process = SimpleNamespace(
        collect=own.collect, follow=own.follow, remove=own.remove, forget=own.world.forget
    )
    client: FlaskClient = mount("fetch", process).test_client()
    return client


def pushed(message: Message) -> bytes:
    data = base64.b64encode(encode(message)).decode()
    return json.dumps({"message": {"data": data, "messageId": "7"}}).encode()


def status(fetch: FlaskClient, path: str, body: bytes) -> int:
    return int(fetch.post(path, data=body).status_code)


def collected(own: BucketWorld, fetch: FlaskClient) -> None:
    """Have the scheduler's message delivered, and all that follow."""
    assert status(fetch, "/collect", pushed(CollectJob("Pictures", "gs://ann/p"))) == 204
    while own.messages:
        assert status(fetch, "/collect", pushed(own.messages.pop(0))) == 204


def test_a_collection_is_listed_by_messages(own: BucketWorld, fetch: FlaskClient, log: Log) -> None:
    for number in range(6):
        own.buckets.write(f"p/{number}.jpg", str(number))
    collected(own, fetch)
    assert own.collections.last_update("Pictures").is_over
    own.check()
    told = [entry for entry in log.entries() if entry.get("kind") == "CollectJob"]
    assert [entry["outcome"] for entry in told] == ["asked for", "listed", "up to date"]
    assert (told[1]["listed"], told[1]["read"]) == (4, 4)


def test_what_cloud_storage_tells_is_followed(
    own: BucketWorld, fetch: FlaskClient, log: Log
) -> None:
    collected(own, fetch)
    own.buckets.write("p/1.jpg", "one")
    first = own.buckets.generation
    came = notified("OBJECT_FINALIZE", "ann", "p/1.jpg", first)
    assert [status(fetch, "/bucket-events", came) for _ in range(2)] == [204, 204]
    own.check()
    own.buckets.write("p/1.jpg", "two")
    second = own.buckets.generation
    for body in (
        notified("OBJECT_DELETE", "ann", "p/1.jpg", first, overwrittenByGeneration=str(second)),
        notified("OBJECT_FINALIZE", "ann", "p/1.jpg", second, overwroteGeneration=str(first)),
        notified("OBJECT_METADATA_UPDATE", "ann", "p/1.jpg", second),
        notified("OBJECT_FINALIZE", "bob", "p/1.jpg", 7),
    ):
        assert status(fetch, "/bucket-events", body) == 204
    own.check()
    own.buckets.delete("p/1.jpg")
    gone = notified("OBJECT_DELETE", "ann", "p/1.jpg", second)
    assert status(fetch, "/bucket-events", gone) == 204
    own.check()
    told = [entry for entry in log.entries() if entry.get("kind") == "BucketEvent"]
    assert [entry["outcome"] for entry in told] == [
        *("read", "known already", "overwritten", "read", "nothing to do"),
        *("of no collection", "gone"),
    ]


def test_a_bucket_that_does_not_answer_is_a_nack(
    own: BucketWorld, fetch: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(own, fetch)

    def fail(*_: object, **__: object) -> bytes:
        raise Unavailable("Cloud Storage failed")

    monkeypatch.setattr(own.buckets, "get", fail)
    monkeypatch.setattr(own.buckets, "listed", fail)
    body = notified("OBJECT_FINALIZE", "ann", "p/1.jpg", 7)
    assert status(fetch, "/bucket-events", body) == 503
    own.ask(COLLECTION)
    assert status(fetch, "/collect", pushed(own.messages.pop())) == 503


@pytest.mark.parametrize("path", ["/collect", "/bucket-events"])
def test_what_is_no_message_is_malformed_and_acked(fetch: FlaskClient, log: Log, path: str) -> None:
    body = json.dumps({"message": {"data": "e30=", "attributes": {}}}).encode()
    assert status(fetch, path, body) == 204
    assert [entry["outcome"] for entry in log.entries() if "outcome" in entry] == ["malformed"]


def test_dead_letters_are_told_and_the_update_ends(
    own: BucketWorld, fetch: FlaskClient, log: Log
) -> None:
    own.ask(COLLECTION)
    job = own.messages.pop()
    assert status(fetch, "/collect/dead-letter", pushed(job)) == 204
    assert own.collections.asked() == {}
    assert own.collections.last_update("Pictures").error == "gave up after 15 attempts"
    body = notified("OBJECT_FINALIZE", "ann", "p/1.jpg", 7)
    assert status(fetch, "/bucket-events/dead-letter", body) == 204
    first, second = (entry for entry in log.entries() if "outcome" in entry)
    assert "'Pictures' is not up to date: gave up after 15 attempts" in first["error"]
    assert "generation 7 of an object of gs://ann is not followed" in second["error"]
    assert second["severity"] == "WARNING"


def test_a_message_has_a_collection_forgotten(
    own: BucketWorld, fetch: FlaskClient, log: Log
) -> None:
    own.buckets.write("p/1.jpg", "one")
    collected(own, fetch)
    for _ in range(2):
        assert status(fetch, "/forget", pushed(ForgetJob(collection="Pictures"))) == 204
    assert own.collections.all() == []
    assert own.stored() == set()
    first, second = (entry for entry in log.entries() if entry.get("kind") == "ForgetJob")
    assert (first["images"], second["images"]) == (1, 0)


def test_collections_are_counted_twice_a_minute_at_most() -> None:
    clock = SetClock()
    counted: list[int] = []

    def counts() -> list[CollectionCount]:
        counted.append(1)
        return [CollectionCount("Pictures", len(counted), 1, 0, False)]

    ask = remembered(counts, clock)
    assert [ask()[0].pictures for _ in range(3)] == [1, 1, 1]
    clock.sleep(31)
    assert ask()[0].pictures == 2
