"""Cloud Storage's notifications, as Pub/Sub has them.

All that is needed is in the attributes, so that it is the same with and without a payload.
Source: https://cloud.google.com/storage/docs/pubsub-notifications
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from imagesearch.domain.buckets import MAX_OBJECT_NAME_BYTES
from imagesearch.domain.work import BucketChange, BucketEvent
from imagesearch.wire.validation import well_formed

_CHANGES = {each.value: each for each in BucketChange}


class _Attributes(BaseModel):
    model_config = ConfigDict(defer_build=True)
    eventType: str  # noqa: N815 - Cloud Storage's own spelling
    bucketId: str = Field(min_length=1, max_length=222)  # noqa: N815
    objectId: str = Field(min_length=1, max_length=MAX_OBJECT_NAME_BYTES)  # noqa: N815
    objectGeneration: int = Field(ge=1, lt=2**63)  # noqa: N815 - microseconds since 1970
    overwrittenByGeneration: str = ""  # noqa: N815


def bucket_event_of(attributes: Mapping[str, str]) -> BucketEvent:
    """Return the event that *attributes* tell; MalformedMessage where they tell none."""
    with well_formed(BucketEvent.__name__):
        said = _Attributes.model_validate(dict(attributes))
    return BucketEvent(
        _CHANGES.get(said.eventType, BucketChange.OTHER),
        said.bucketId,
        said.objectId,
        said.objectGeneration,
        is_overwritten=bool(said.overwrittenByGeneration),
    )
