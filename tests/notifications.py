"""Notifications of buckets, in the envelopes that Pub/Sub pushes, as Cloud Storage sends them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping


def attributes_of(
    event_type: str, bucket: str, name: str, generation: int, **more: str
) -> dict[str, str]:
    """Return the attributes; source: cloud.google.com/storage/docs/pubsub-notifications."""
    return {
        "notificationConfig": f"projects/_/buckets/{bucket}/notificationConfigs/3",
        "eventType": event_type,
        "payloadFormat": "JSON_API_V1",
        "bucketId": bucket,
        "objectId": name,
        "objectGeneration": str(generation),
        "eventTime": "2026-11-28T18:00:00.000000Z",
        **more,
    }


def payload_of(bucket: str, name: str, generation: int) -> bytes:
    """Return the object's resource, of which numbers are texts."""
    resource = {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{generation}",
        "name": name,
        "bucket": bucket,
        "generation": str(generation),
        "metageneration": "1",
        "contentType": "image/jpeg",
        "size": "9",
    }
    return json.dumps(resource).encode()


def notified(
    event_type: str,
    bucket: str = "ann",
    name: str = "pictures/1.jpg",
    generation: int = 1795500000000001,
    *,
    changes: Mapping[str, str] | None = None,
    **more: str,
) -> bytes:
    """Return the body of a push of a notification; *more* are attributes, *changes* wrong ones."""
    message = {
        "data": base64.b64encode(payload_of(bucket, name, generation)).decode(),
        "attributes": attributes_of(event_type, bucket, name, generation)
        | more
        | {**(changes or {})},
        "messageId": "1",
        "message_id": "1",
        "publishTime": "2026-11-28T18:00:00.1Z",
        "publish_time": "2026-11-28T18:00:00.1Z",
    }
    envelope = {"message": message, "subscription": "projects/p/subscriptions/bucket-events"}
    return json.dumps(envelope).encode()
