"""The JSON of messages, byte for byte, and what is refused of what comes instead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagesearch.domain.errors import MalformedMessage, Unavailable
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import (
    MAX_BATCH_IMAGES,
    BatchImage,
    CollectJob,
    EmbedBatch,
    FetchJob,
    PoolMessage,
)
from imagesearch.wire.messages import DeadLetter, decode, encode

JOB = FetchJob("p" * 32, 3, 'a "馬"', SourceOptions(safesearch=False))
BATCH = EmbedBatch("p" * 32, 3, (BatchImage("pixabay-1", "pixabay-1.jpg"),))
# As they travel between versions of this program that run at once: another byte is a new version.
JSON = {
    JOB: '{"schema_version":1,"pool_id":"pppppppppppppppppppppppppppppppp","generation":3,'
    '"keyword":"a \\"馬\\"","options":{"source":"pixabay","language":"en","orientation":"all",'
    '"category":"","colors":"","safesearch":false,"pool_size":200}}',
    BATCH: '{"schema_version":1,"pool_id":"pppppppppppppppppppppppppppppppp","generation":3,'
    '"images":[{"image_id":"pixabay-1","object_name":"pixabay-1.jpg"}],"batch_index":0}',
}
COLLECT = CollectJob("Pictures", "gs://ann/pictures", True, 7, "pictures/2019/1.jpg")
COLLECT_JSON = (
    '{"schema_version":1,"collection":"Pictures","root":"gs://ann/pictures","keeps_place":true,'
    '"request":7,"after":"pictures/2019/1.jpg"}'
)
IMAGE = {"image_id": "pixabay-1", "object_name": "pixabay-1.jpg"}


@pytest.mark.parametrize("message", JSON)
def test_a_message_is_the_same_bytes_in_every_version(message: PoolMessage) -> None:
    assert encode(message) == JSON[message].encode()
    assert decode(type(message), JSON[message].encode()) == message


@pytest.mark.parametrize("message", JSON)
def test_a_later_versions_field_is_ignored_and_a_missing_schema_version_is_the_first(
    message: PoolMessage,
) -> None:
    fields = json.loads(JSON[message]) | {"later": 1}
    del fields["schema_version"]
    assert decode(type(message), json.dumps(fields).encode()) == message


@pytest.mark.parametrize("message", JSON)
def test_a_dead_letter_is_read_of_a_message_of_any_kind(message: PoolMessage) -> None:
    assert decode(DeadLetter, encode(message)) == DeadLetter(message.pool_id, message.generation)


@pytest.mark.parametrize(
    ("message", "change", "field"),
    [
        (JOB, {"schema_version": 2}, "schema_version"),
        (JOB, {"pool_id": ""}, "pool_id"),
        (JOB, {"pool_id": "p" * 201}, "pool_id"),
        (JOB, {"generation": 0}, "generation"),
        (JOB, {"generation": 2**31}, "generation"),
        (JOB, {"keyword": ""}, "keyword"),
        (JOB, {"keyword": 1}, "keyword"),
        (JOB, {"options": None}, "options"),
        (JOB, {"options": {"pool_size": "many"}}, "options.pool_size"),
        (BATCH, {"images": []}, "images"),
        (BATCH, {"images": [IMAGE] * (MAX_BATCH_IMAGES + 1)}, "images"),
        (BATCH, {"images": [IMAGE, IMAGE | {"image_id": ""}]}, "images.1.image_id"),
        (BATCH, {"images": [IMAGE | {"object_name": "n" * 201}]}, "images.0.object_name"),
        (BATCH, {"images": [{"image_id": "pixabay-1"}]}, "images.0.object_name"),
    ],
)
def test_what_is_out_of_bounds_is_malformed_and_names_its_field(
    message: PoolMessage, change: dict[str, Any], field: str
) -> None:
    data = json.dumps(json.loads(JSON[message]) | change).encode()
    with pytest.raises(MalformedMessage, match=rf"^{type(message).__name__}: {field}: ") as error:
        decode(type(message), data)
    assert error.value.field == field


def test_an_option_of_a_later_version_is_not_dropped() -> None:
    """Without it, the job would be another pool's; a later version of the fetcher knows it."""
    later = json.loads(JSON[JOB])
    later["options"]["colour_space"] = "grey"
    data = json.dumps(later).encode()
    with pytest.raises(Unavailable, match=r"options of a FetchJob are source, .*'colour_space'"):
        decode(FetchJob, data)
    assert decode(DeadLetter, data) == DeadLetter(JOB.pool_id, JOB.generation)


def test_an_option_that_an_earlier_version_did_not_know_has_its_default() -> None:
    earlier = json.loads(JSON[JOB])
    del earlier["options"]["safesearch"]
    assert decode(FetchJob, json.dumps(earlier).encode()).options == SourceOptions()


@pytest.mark.parametrize("index", [{"batch_index": 7}, {}])
def test_the_number_of_a_batch_is_written_for_the_version_before_and_not_read(
    index: dict[str, int],
) -> None:
    fields = json.loads(JSON[BATCH])
    assert fields.pop("batch_index") == 0
    assert decode(EmbedBatch, json.dumps(fields | index).encode()) == BATCH


def test_a_collect_job_is_the_same_bytes_in_every_version() -> None:
    assert encode(COLLECT) == COLLECT_JSON.encode()
    assert decode(CollectJob, COLLECT_JSON.encode()) == COLLECT
    # As the scheduler asks.
    asked = b'{"schema_version":1,"collection":"Pictures","root":"gs://ann"}'
    assert decode(CollectJob, asked) == CollectJob("Pictures", "gs://ann")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"collection": ""}, "collection"),
        ({"collection": "n" * 101}, "collection"),
        ({"root": ""}, "root"),
        ({"root": "gs://" + "b" * 1400}, "root"),
        ({"request": -1}, "request"),
        ({"request": 2**31}, "request"),
        ({"after": "n" * 1025}, "after"),
        ({"keeps_place": "perhaps"}, "keeps_place"),
    ],
)
def test_a_collect_job_out_of_bounds_is_malformed(change: dict[str, Any], field: str) -> None:
    data = json.dumps(json.loads(COLLECT_JSON) | change).encode()
    with pytest.raises(MalformedMessage, match=f"^CollectJob: {field}: ") as error:
        decode(CollectJob, data)
    assert error.value.field == field
