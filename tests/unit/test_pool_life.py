"""The life of a pool by itself: pure functions, and what their records look like when stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagesearch.adapters.records import (
    MAX_LISTING_BYTES,
    Fields,
    marks_fields,
    members_of,
    packed,
    record_fields,
    record_of,
)
from imagesearch.domain import pool_life
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Listing
from imagesearch.domain.pool_life import MAX_REJECTION_CHARACTERS, Absent, Marks, Members, Record
from imagesearch.domain.pools import PoolKey, PoolPolicy, PoolState, SourceOptions
from tests.log_lines import Log
from tests.world import listed

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
POLICY = PoolPolicy(lease_seconds=60, queue_seconds=600, retry_seconds=30)
KEY = PoolKey.of("horse", SourceOptions())
IMAGES = 6
Numbers = frozenset[int]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def offer(count: int = IMAGES, **rejections: str) -> Listing:
    return Listing(tuple(listed(n) for n in range(count)), rejections)


def requested() -> Record:
    record = pool_life.request(Absent(), KEY, NOW, POLICY)
    assert record is not None
    return record


def with_listing(listing: Listing | None = None) -> Record:
    return pool_life.record_listing(requested(), listing or offer(), NOW, POLICY)


def embed(record: Record, *numbers: int) -> Record:
    ids = [f"twin-{n}" for n in numbers]
    return pool_life.record_batch(record, ids, {}, NOW, POLICY)


def test_a_lease_is_short_until_the_job_is_published_and_long_from_then_on() -> None:
    record = requested()
    assert record.pool.current.lease_until == later(60)
    assert pool_life.renew_lease(record, NOW, POLICY).pool.current.lease_until == later(600)
    again = pool_life.request(record, KEY, later(60), POLICY)
    assert again is not None
    assert (again.pool.current.number, again.pool.current.requested_at) == (1, later(60))
    assert again.pool.current.lease_until == later(120)


def test_a_pool_whose_record_is_lost_counts_on_from_what_is_left_of_it() -> None:
    for left, number in ((0, 1), (7, 8)):
        first = pool_life.request(Absent(left), KEY, NOW, POLICY)
        assert first is not None
        assert first.pool.current.number == number


def test_the_marks_of_a_generation_go_with_it() -> None:
    ready = embed(with_listing(), *range(IMAGES))
    assert ready.pool.ready == ready.pool.current
    stale = pool_life.request(ready, KEY, later(86_400), POLICY)
    assert stale is not None
    assert (stale.marks, stale.listing) == (None, None)
    assert stale.pool.ready == ready.pool.current


def test_a_record_without_its_marks_keeps_its_counts() -> None:
    record = Record(embed(with_listing(), 1, 2).pool)
    for after in (
        pool_life.begin_fetch(record, NOW, POLICY),
        pool_life.finish_fetch(record, NOW, POLICY),
        pool_life.record_batch(record, ["twin-3"], {}, NOW, POLICY),
        pool_life.record_error(record, "why"),
        pool_life.fail(record, "why", NOW, POLICY),
    ):
        assert (after.pool.current.images, after.pool.current.embedded) == (IMAGES, 2)
        assert after.pool.ready is None


def test_a_ready_generation_whose_listing_is_damaged_is_requested_anew() -> None:
    ready = embed(with_listing(), *range(IMAGES))
    again = pool_life.reopen(Record(ready.pool), 1, [], later(5), POLICY)
    assert again is not None
    assert (again.pool.current.number, again.pool.current.state) == (1, PoolState.REQUESTED)
    assert again.pool.ready is None


def test_a_pool_that_is_embedded_again_can_answer_as_it_was_and_grows_no_younger() -> None:
    ready = embed(with_listing(), *range(IMAGES))
    again = pool_life.reopen(ready, 1, ["twin-1"], later(5), POLICY, keeps_answering=True)
    assert again is not None
    assert (again.pool.current.state, again.pool.current.embedded) == (PoolState.EMBEDDING, 1)
    assert again.pool.answering == ready.pool.current
    ids = [f"twin-{n}" for n in range(IMAGES)]
    done = pool_life.record_batch(again, ids, {}, later(9), POLICY)
    assert done.pool.current.state is PoolState.READY
    assert done.pool.current.ready_at == NOW
    assert done.pool.ready == done.pool.current


def test_reasons_are_cut_so_that_those_of_all_images_fit() -> None:
    reasons = {"twin-1": "x" * 1000, "unknown": "why"}
    after = pool_life.record_batch(with_listing(), [], reasons, NOW, POLICY)
    assert after.marks is not None
    assert after.marks.reasons == {"twin-1": "x" * MAX_REJECTION_CHARACTERS}
    assert after.pool.current.rejected == 1


@given(
    batches=st.lists(st.frozensets(st.integers(0, IMAGES + 1)), max_size=5),
    data=st.data(),
)
def test_batches_twice_in_any_order_equal_once(batches: list[Numbers], data: st.DataObject) -> None:
    """Every third image is rejected, in whatever batch it comes."""
    once = delivered(batches)
    assert delivered(data.draw(st.permutations(batches * 2))).pool == once.pool
    done = frozenset().union(*batches) & frozenset(range(IMAGES))
    current = once.pool.current
    assert current.embedded + current.rejected == len(done)
    assert (current.state is PoolState.READY) == (len(done) == IMAGES)
    assert (once.pool.ready is not None) == (len(done) == IMAGES)


def delivered(batches: Sequence[Numbers]) -> Record:
    record = with_listing()
    for batch in batches:
        if record.is_open(1):
            ids = [f"twin-{n}" for n in sorted(batch) if n % 3]
            rejections = {f"twin-{n}": "why" for n in batch if n % 3 == 0}
            record = pool_life.record_batch(record, ids, rejections, NOW, POLICY)
    return record


# What is stored


def stored(members: Members) -> Fields:
    return {"listing": packed(members.listing), **marks_fields(members.marks)}


def test_a_record_comes_back_as_it_was_stored() -> None:
    for record in (requested(), with_listing(), embed(with_listing(), *range(IMAGES))):
        fields = json.loads(json.dumps(record_fields(record)))
        read = record_of(KEY.pool_id, fields)
        assert read is not None
        assert replace(read, marks=record.marks, listing=record.listing) == record


def test_moments_may_be_stored_as_moments() -> None:
    """As Firestore's documents of an earlier version have them."""
    fields = record_fields(requested())
    fields["current"] |= {"requested_at": NOW, "lease_until": later(60)}
    read = record_of(KEY.pool_id, fields)
    assert read is not None
    assert read.pool == requested().pool


def test_members_come_back_as_they_were_stored() -> None:
    listing = offer(3, **{"twin-1": "refused", "twin-9": "no image"})
    members = Members(listing, Marks.of(listing).done(["twin-0"], {"twin-2": "bad"}))
    assert members_of("p", stored(members)) == members
    assert members.rejections == {"twin-1": "refused", "twin-2": "bad", "twin-9": "no image"}
    assert [image.image_id for image in members.usable] == ["twin-0"]


DAMAGES: dict[str, Callable[[Fields], object]] = {
    "no pack": lambda fields: fields.update(listing=b"no zlib"),
    "too few states": lambda fields: fields.update(states="pp"),
    "a state that cannot be": lambda fields: fields.update(states="pp?"),
    "rejected for no reason": lambda fields: fields.update(states="ppr"),
    "no states": lambda fields: fields.pop("states"),
    "no reasons": lambda fields: fields.update(reasons=b"["),
    "reasons that are none": lambda fields: fields.update(reasons=b"5"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_members_are_none_and_logged(damage: Callable[[Fields], object], log: Log) -> None:
    fields = stored(Members(offer(3), Marks.of(offer(3))))
    assert members_of("p", fields) is not None
    damage(fields)
    assert members_of("the-pool", fields) is None
    assert "the-pool" in log.stream.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {"keyword": b"\xff"},
        {"options": {"colour": "red"}},
        {"options": []},
        {"current": None},
        {"ready": "the first"},
    ],
    ids=str,
)
def test_a_damaged_record_is_none_and_logged(fields: Fields, log: Log) -> None:
    assert record_of(KEY.pool_id, {**record_fields(with_listing()), **fields}) is None
    assert KEY.pool_id in log.stream.getvalue()


def test_a_listing_that_is_no_unicode_says_so() -> None:
    with pytest.raises(InvalidRequest, match="not Unicode"):
        packed(Listing((), {"twin-1": "\ud800"}))


def test_a_listing_that_is_too_big_says_so() -> None:
    refused = {str(n): Random(n).randbytes(1000).hex() for n in range(900)}
    with pytest.raises(InvalidRequest, match=f"at most {MAX_LISTING_BYTES} bytes packed, got"):
        packed(Listing((), refused))
