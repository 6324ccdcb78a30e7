"""Buckets as they are named, and what Cloud Storage tells of them."""

from __future__ import annotations

import pytest

from imagesearch.domain.buckets import BucketRoot, bucket_root, object_url
from imagesearch.domain.errors import InvalidRequest, MalformedMessage
from imagesearch.domain.work import BucketChange, BucketEvent
from imagesearch.wire.envelope import PushEnvelope
from tests.notifications import notified


@pytest.mark.parametrize(
    ("root", "parsed", "url"),
    [
        ("gs://ann", BucketRoot("ann"), "gs://ann"),
        ("gs://ann/", BucketRoot("ann"), "gs://ann"),
        ("gs://ann/a b/2019", BucketRoot("ann", "a b/2019/"), "gs://ann/a b/2019"),
        ("gs://ann.example.com/a//", BucketRoot("ann.example.com", "a/"), "gs://ann.example.com/a"),
    ],
)
def test_a_prefix_is_a_folder(root: str, parsed: BucketRoot, url: str) -> None:
    assert bucket_root(root) == parsed
    assert parsed.url == url
    assert bucket_root(parsed.url) == parsed


@pytest.mark.parametrize(
    "root", ["gs://", "gs:///a", "gs://a", "gs://Ann/a", "s3://ann", "gs://ann/" + "a" * 1023]
)
def test_what_names_no_bucket_is_refused(root: str) -> None:
    with pytest.raises(InvalidRequest, match=r"must .*, got ") as error:
        bucket_root(root)
    assert error.value.field == "SET"


def test_what_lies_in_a_bucket_is_told_by_its_prefix() -> None:
    root = bucket_root("gs://ann/2019")
    assert root.has("ann", "2019/1.jpg")
    assert not root.has("ann", "2019-1.jpg")
    assert not root.has("ann", "2019/")  # what consoles make for an empty folder
    assert not root.has("bob", "2019/1.jpg")
    assert root.is_within(bucket_root("gs://ann"))
    assert not bucket_root("gs://ann").is_within(root)
    assert not root.is_within(bucket_root("gs://ann/20"))


def test_an_objects_page_is_a_url_whatever_its_name_is() -> None:
    assert object_url("ann", "a b/#1?.jpg") == (
        "https://storage.cloud.google.com/ann/a%20b/%231%3F.jpg"
    )


def test_a_notification_is_read_as_cloud_storage_sends_it() -> None:
    event = PushEnvelope.parse(notified("OBJECT_FINALIZE", overwroteGeneration="7"))
    assert event.decode(BucketEvent) == BucketEvent(
        BucketChange.FINALIZED, "ann", "pictures/1.jpg", 1795500000000001
    )
    gone = PushEnvelope.parse(notified("OBJECT_DELETE", overwrittenByGeneration="1795500000000002"))
    assert gone.decode(BucketEvent) == BucketEvent(
        BucketChange.DELETED, "ann", "pictures/1.jpg", 1795500000000001, is_overwritten=True
    )
    other = PushEnvelope.parse(notified("OBJECT_METADATA_UPDATE"))
    assert other.decode(BucketEvent).change is BucketChange.OTHER


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"objectGeneration": "0"}, "objectGeneration"),
        ({"objectGeneration": "soon"}, "objectGeneration"),
        ({"objectId": ""}, "objectId"),
        ({"bucketId": ""}, "bucketId"),
    ],
)
def test_a_notification_out_of_bounds_is_malformed(change: dict[str, str], field: str) -> None:
    with pytest.raises(MalformedMessage, match=f"^BucketEvent: {field}: "):
        PushEnvelope.parse(notified("OBJECT_DELETE", changes=change)).decode(BucketEvent)


def test_a_message_that_is_no_notification_is_malformed() -> None:
    envelope = PushEnvelope.parse(b'{"message": {"data": "e30="}}')
    with pytest.raises(MalformedMessage, match=r"^BucketEvent: eventType: "):
        envelope.decode(BucketEvent)
