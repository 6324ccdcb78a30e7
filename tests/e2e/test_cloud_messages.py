"""Messages over the real Pub/Sub emulator: twice, out of order, poisoned, malformed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from imagesearch.adapters.buses.pubsub import _connect
from imagesearch.deployment.topics import MAX_DELIVERY_ATTEMPTS, dead_letter_topic
from imagesearch.domain.images import ListedImage, Listing
from imagesearch.domain.pools import PoolKey, PoolState
from imagesearch.domain.work import USUAL_BATCH_IMAGES, BatchImage, EmbedBatch, FetchJob, Message
from imagesearch.local.emulated.cloud_stack import PROJECT
from imagesearch.local.emulated.environment import environment_of
from imagesearch.wire.messages import TOPIC_OF, encode
from tests.e2e.cloud_counts import POOL_SIZE, FaultyCloud, eventually, image_ids

REDELIVERY_SECONDS = 3.0  # the emulator delivers a nacked message again after one


def job_of(key: PoolKey, generation: int = 1) -> FetchJob:
    return FetchJob(
        pool_id=key.pool_id, generation=generation, keyword=key.keyword, options=key.options
    )


def batches_of(
    key: PoolKey, images: Sequence[ListedImage], generation: int = 1
) -> list[EmbedBatch]:
    chunks = [images[i : i + USUAL_BATCH_IMAGES] for i in range(0, len(images), USUAL_BATCH_IMAGES)]
    return [
        EmbedBatch(
            pool_id=key.pool_id,
            generation=generation,
            images=tuple(
                BatchImage(image_id=one.image.image_id, object_name=one.image.object_name)
                for one in chunk
            ),
        )
        for chunk in chunks
    ]


def test_a_fetch_job_delivered_three_times_at_once_makes_one_pool(faulty: FaultyCloud) -> None:
    """The emulator delivers a topic's messages one by one, so two come past it."""
    keyword = "pineapple"
    before = faulty.counts(keyword)
    faulty.gallery.hold_after(0)
    assert faulty.search(keyword).status_code == 202
    eventually("the first run has listed", lambda: faulty.gallery.listings[keyword] == 1)
    with ThreadPoolExecutor(2) as pushes:
        url, envelope = faulty.child("fetch").url, envelope_of(job_of(faulty.key(keyword)))
        others = [pushes.submit(requests.post, url, envelope, timeout=120) for _ in range(2)]
        eventually("they run beside it", lambda: faulty.gallery.listings[keyword] == 3)
        faulty.gallery.release()
    # The storage emulator is one process: on a busy machine it may keep a run waiting for too long.
    assert {other.result().status_code for other in others} <= {204, 503}
    faulty.assert_whole(keyword)
    faulty.record("a fetch job delivered 3 times at once", before, faulty.counts(keyword))


def envelope_of(message: Message) -> bytes:
    data = base64.b64encode(encode(message)).decode()
    return json.dumps({"message": {"data": data, "messageId": "again"}}).encode()


def test_what_comes_after_the_pool_is_ready_changes_nothing(faulty: FaultyCloud) -> None:
    keyword = "watermelon"
    answer = faulty.complete(keyword)
    key = faulty.key(keyword)
    members = faulty.services.catalog.members(key.pool_id, 1)
    assert members is not None
    before, pool = faulty.counts(keyword), faulty.pool(keyword)
    downloads = faulty.gallery.images.total()
    faulty.publish(job_of(key))
    faulty.publish(batches_of(key, members.listing.images)[1])
    late: dict[str, Any] = {"outcome": "nothing to do", "status": 204}
    eventually("the job is acked", lambda: faulty.units("FetchJob", keyword, **late))
    eventually("the batch is acked", lambda: faulty.units("EmbedBatch", keyword, **late))
    assert faulty.pool(keyword) == pool
    assert faulty.gallery.images.total() == downloads
    assert faulty.gallery.listings[keyword] == 1
    assert image_ids(faulty.complete(keyword)) == image_ids(answer)
    faulty.record("a job and a batch again, after ready", before, faulty.counts(keyword))


def test_batches_in_any_order_and_twice_make_the_pool_ready(faulty: FaultyCloud) -> None:
    """The last one first, one of them twice; those of an older generation are acked unread."""
    services = faulty.services
    key = faulty.key("orange")
    now = services.clock.now()
    assert services.catalog.request_pool(key, now).created
    listing = Listing.joined(services.source.pages(key.keyword, key.options))
    services.catalog.record_listing(key.pool_id, 1, listing, now)
    for one in listing.images:
        services.store.put(one.image.object_name, services.source.download(one))
    batches = batches_of(key, listing.images)

    def states() -> tuple[str, int]:
        pool = services.catalog.pool(key.pool_id)
        assert pool is not None
        return pool.current.state.value, pool.current.embedded

    seen = [states()]
    for index, done in ((2, 1), (0, 2), (2, 3), (1, 4)):
        faulty.publish(batches[index])
        eventually_embedded(faulty, key, done)
        seen.append(states())
    assert [embedded for _, embedded in seen] == [0, 6, 38, 38, 70]
    assert seen[-1][0] == "ready"

    later = now + timedelta(seconds=services.catalog.policy.max_age_seconds + 60)
    assert services.catalog.request_pool(key, later).pool.current.number == 2
    pool = services.catalog.pool(key.pool_id)
    late: dict[str, Any] = {"generation": 1, "outcome": "nothing to do", "status": 204}
    faulty.publish(job_of(key, generation=1))
    faulty.publish(batches[0])
    eventually("the older job is acked", lambda: faulty.units("FetchJob", key.keyword, **late))
    eventually("the older batch is acked", lambda: faulty.units("EmbedBatch", key.keyword, **late))
    assert services.catalog.pool(key.pool_id) == pool
    order = " -> ".join(f"{embedded} {state}" for state, embedded in seen)
    faulty.record("batches 2, 0, 2 again, 1", f"{POOL_SIZE} listed, 0 embedded", order)
    faulty.record("a job and a batch of generation 1 at generation 2", "requested", "acked unread")


def eventually_embedded(faulty: FaultyCloud, key: PoolKey, batches: int) -> None:
    """Return when so many batches were worked on."""
    eventually(
        f"{batches} batches are done",
        lambda: len(faulty.units("EmbedBatch", key.keyword)) >= batches,
    )


def dead_listing(faulty: FaultyCloud) -> Listing:
    """Return three images that the source once offered and will never give."""
    options = replace(faulty.settings.source_options, pool_size=3)
    images = Listing.joined(faulty.services.source.pages("cheese", options)).images
    gone = f"{faulty.gallery.url}/get/gone_640.jpg"
    return Listing(
        tuple(
            ListedImage(replace(one.image, image_id=f"demo-{i}", object_name=f"demo-{i}.jpg"), gone)
            for i, one in enumerate(images)
        )
    )


def test_a_poison_fetch_job_ends_in_the_dead_letter_topic(faulty: FaultyCloud) -> None:
    """None of its images can be had, ever; the searches behind it are answered meanwhile."""
    services, key = faulty.services, faulty.key("cheese")
    now = services.clock.now()
    services.catalog.request_pool(key, now)
    services.catalog.record_listing(key.pool_id, 1, dead_listing(faulty), now)
    before = faulty.counts(key.keyword)
    faulty.publish(job_of(key))
    eventually("it is tried", lambda: faulty.units("FetchJob", key.keyword, status=503))
    assert len(faulty.complete("sushi")["results"]) == POOL_SIZE
    end_in_the_dead_letter_topic(faulty, key, "FetchJob", 503)
    pool = faulty.pool(key.keyword)
    assert pool is not None
    assert "not one of 3 images could be used" in (pool.current.reason or "")
    faulty.record("a poison fetch job", before, f"{faulty.counts(key.keyword)}; 1 kept")


def test_a_poison_embed_batch_ends_in_the_dead_letter_topic(faulty: FaultyCloud) -> None:
    """The stored original no longer has the checksum that it was stored with."""
    services, key = faulty.services, faulty.key("coffee")
    now = services.clock.now()
    services.catalog.request_pool(key, now)
    listing = dead_listing(faulty)
    services.catalog.record_listing(key.pool_id, 1, listing, now)
    for one in listing.images:
        services.store.put(one.image.object_name, b"\xff\xd8\xff what was stored")
    damage(faulty, listing.images[1].image.object_name)
    before = faulty.counts(key.keyword)
    faulty.publish(batches_of(key, listing.images)[0])
    eventually("it is tried", lambda: faulty.units("EmbedBatch", key.keyword, status=503))
    assert len(faulty.complete("popcorn")["results"]) == POOL_SIZE
    end_in_the_dead_letter_topic(faulty, key, "EmbedBatch", 503)
    pool = faulty.pool(key.keyword)
    assert pool is not None
    assert "came damaged" in (pool.current.reason or "")
    faulty.record("a poison embed batch", before, f"{faulty.counts(key.keyword)}; 1 kept")


def damage(faulty: FaultyCloud, object_name: str) -> None:
    """Change the bytes of an object on the storage emulator's disk."""
    (path,) = (faulty.stack.folder / "storage").rglob(object_name)
    path.write_bytes(b"\xff\xd8\xff what is there now")


def end_in_the_dead_letter_topic(faulty: FaultyCloud, key: PoolKey, kind: str, status: int) -> None:
    eventually("its end is noted", lambda: faulty.units("DeadLetter", key.keyword, status=204))
    tries = faulty.units(kind, key.keyword)
    assert [one["status"] for one in tries] == [status] * MAX_DELIVERY_ATTEMPTS
    assert len({one["message_id"] for one in tries}) == 1
    pool = faulty.pool(key.keyword)
    assert pool is not None
    assert pool.current.state is PoolState.FAILED
    answer = faulty.search(key.keyword)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    topic = {"FetchJob": TOPIC_OF[FetchJob], "EmbedBatch": TOPIC_OF[EmbedBatch]}[kind]
    kept = [json.loads(data) for data in pulled(faulty, f"{dead_letter_topic(topic)}-kept")]
    assert [one["pool_id"] for one in kept] == [key.pool_id]


def pulled(faulty: FaultyCloud, subscription: str) -> list[bytes]:
    """Return the data of what *subscription* holds, and ack it."""
    from google.pubsub_v1 import SubscriberClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    name = f"projects/{PROJECT}/subscriptions/{subscription}"
    with environment_of(faulty.stack.emulator_environment):
        client = _connect(SubscriberClient, SubscriberGrpcTransport)
    with client:
        request = {"subscription": name, "max_messages": 10}
        found = client.pull(request=request, timeout=20.0).received_messages
        ack_ids = [one.ack_id for one in found]
        client.acknowledge(request={"subscription": name, "ack_ids": ack_ids}, timeout=20.0)
    return [one.message.data for one in found]


def published_raw(faulty: FaultyCloud, topic: str, data: bytes) -> str:
    """Publish *data* as it is, and return its message id."""
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    with environment_of(faulty.stack.emulator_environment):
        client = _connect(PublisherClient, PublisherGrpcTransport)
    message = {"data": data, "attributes": {"kind": "garbage"}}
    with client:
        request = {"topic": f"projects/{PROJECT}/topics/{topic}", "messages": [message]}
        message_id: str = client.publish(request=request, timeout=20.0).message_ids[0]
    return message_id


@pytest.mark.parametrize("kind", ["FetchJob", "EmbedBatch"])
def test_a_malformed_message_is_acked_at_once_and_counted(faulty: FaultyCloud, kind: str) -> None:
    topic = {"FetchJob": TOPIC_OF[FetchJob], "EmbedBatch": TOPIC_OF[EmbedBatch]}[kind]
    good = json.loads(encode(job_of(faulty.key("moon"))))
    garbage = [
        b"not JSON",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        json.dumps({**good, "schema_version": 2}).encode(),
        json.dumps({**good, "generation": 0}).encode(),
    ]
    before = malformed(faulty, kind)
    ids = [published_raw(faulty, topic, data) for data in garbage]
    eventually("all are counted", lambda: len(malformed(faulty, kind)) - len(before) >= len(ids))
    time.sleep(REDELIVERY_SECONDS)
    new = malformed(faulty, kind)[len(before) :]
    assert sorted(one["message_id"] for one in new) == sorted(ids)  # none came again
    assert {one["status"] for one in new} == {204}
    numbers = [one["malformed"] for one in new]
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + len(garbage)))
    row = f"{len(before)} malformed", f"{len(before) + len(new)} malformed, each delivered once"
    faulty.record(f"{len(garbage)} malformed messages as {kind}", *row)


def malformed(faulty: FaultyCloud, kind: str) -> list[dict[str, Any]]:
    return faulty.units(kind, outcome="malformed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"\xff",
        b"{}",
        b'{"message": null}',
        b'{"message": {"attributes": {}}}',
        b'{"message": {"data": "%%%"}}',
        b'{"message": {"data": "\xc3\xa9"}}',
        json.dumps({"message": {"data": base64.b64encode(b"x").decode()}}).encode(),
    ],
)
def test_an_envelope_that_cannot_be_read_is_acked_and_counted(
    faulty: FaultyCloud, body: bytes
) -> None:
    doors = (
        ("FetchJob", f"{faulty.child('fetch').url}/"),
        ("DeadLetter", f"{faulty.child('fetch').url}/dead-letter"),
        ("EmbedBatch", f"{faulty.child('inference').url}/events/embed"),
    )
    for kind, url in doors:
        before = len(malformed(faulty, kind))
        assert requests.post(url, data=body, timeout=20).status_code == 204
        eventually("it is counted", lambda: len(malformed(faulty, kind)) == before + 1)  # noqa: B023
