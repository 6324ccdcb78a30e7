"""
The life of a pool (design §5) as pure functions: each returns the record that comes next.

None means that there is nothing to do. Who keeps a record, and lets one change win of many that
come at once, is behind the port `Pools`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from imagesearch.domain.images import Image, ListedImage, Listing
from imagesearch.domain.pools import Generation, Pool, PoolKey, PoolPolicy, PoolState

PENDING, EMBEDDED, REJECTED = "per"
STATES = frozenset((PENDING, EMBEDDED, REJECTED))
# Of any reason, an image's or a generation's: 500 fit beside a listing, whatever keeps them.
MAX_REJECTION_CHARACTERS = 300


@dataclass(frozen=True)
class Marks:
    """
    What became of each image of a generation: the only part of it that changes.

    Attributes:
        image_ids: the listed images in their order, then what was refused and is no image at all.
        states: a letter for each: pending, embedded or rejected.
        reasons: why a batch rejected an image; what the listing refused is in the listing.
    """

    image_ids: tuple[str, ...]
    states: str
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, listing: Listing) -> Marks:
        """Return the marks of a new listing."""
        ids = member_ids(listing)
        refused = listing.rejections
        return cls(ids, "".join(REJECTED if each in refused else PENDING for each in ids))

    def in_state(self, states: str) -> list[str]:
        """Return the image_ids whose state is one of the letters *states*."""
        pairs = zip(self.image_ids, self.states, strict=True)
        return [image_id for image_id, state in pairs if state in states]

    def done(self, embedded: Collection[str], rejections: Mapping[str, str]) -> Marks:
        """Return the marks with pending ones done; what came first about an image stays."""
        pending = set(self.in_state(PENDING))
        changes = dict.fromkeys(pending.intersection(embedded), EMBEDDED)
        rejected = [each for each in rejections if each in pending and each not in changes]
        changes.update(dict.fromkeys(rejected, REJECTED))
        reasons = {each: rejections[each][:MAX_REJECTION_CHARACTERS] for each in rejected}
        return Marks(self.image_ids, self._changed(changes), {**self.reasons, **reasons})

    def lacking(self, embedded: Collection[str]) -> Marks:
        """Return the marks with all pending that count as embedded and are not in *embedded*."""
        lost = set(self.in_state(EMBEDDED)).difference(embedded)
        return replace(self, states=self._changed(dict.fromkeys(lost, PENDING)))

    def _changed(self, changes: Mapping[str, str]) -> str:
        pairs = zip(self.image_ids, self.states, strict=True)
        return "".join(changes.get(image_id, state) for image_id, state in pairs)


@dataclass(frozen=True)
class Members:
    """The images of a generation, as they were listed, and what became of each."""

    listing: Listing
    marks: Marks

    @classmethod
    def of(cls, listing: Listing) -> Members:
        """Return the members of a new listing."""
        return cls(listing, Marks.of(listing))

    @cached_property
    def images(self) -> Mapping[str, ListedImage]:
        """The listed images by image_id, in their order."""
        return {listed.image.image_id: listed for listed in self.listing.images}

    @property
    def pending(self) -> tuple[ListedImage, ...]:
        """The images that are neither embedded nor rejected, in listing order."""
        return tuple(self.images[each] for each in self.marks.in_state(PENDING))

    @property
    def usable(self) -> list[Image]:
        """The images that are not rejected, in listing order."""
        return [self.images[each].image for each in self.marks.in_state(PENDING + EMBEDDED)]

    @property
    def rejections(self) -> dict[str, str]:
        """The reason of each rejected image."""
        reasons = {**self.listing.rejections, **self.marks.reasons}
        return {each: reasons[each] for each in self.marks.in_state(REJECTED)}


def member_ids(listing: Listing) -> tuple[str, ...]:
    """Return the image_ids of *listing* in order, the refused ones last, each once."""
    listed = (each.image.image_id for each in listing.images)
    return tuple(dict.fromkeys([*listed, *listing.rejections]))


def unique(listing: Listing) -> Listing:
    """Return *listing* with each image once: where it came first."""
    images: dict[str, ListedImage] = {}
    for listed in listing.images:
        images.setdefault(listed.image.image_id, listed)
    return Listing(tuple(images.values()), dict(listing.rejections))


@dataclass(frozen=True)
class Record:
    """
    What changes at once: a pool, and the marks of its current generation.

    Attributes:
        marks: None while nothing is listed, where they are damaged, and where a change was to do
            without them; a change that leaves None leaves what is kept.
        listing: to be kept with the marks from now on, unless None.
    """

    pool: Pool
    marks: Marks | None = None
    listing: Listing | None = None

    def is_open(self, generation: int) -> bool:
        """Return whether *generation* is the current one and in progress."""
        current = self.pool.current
        return current.number == generation and current.state.in_progress

    def marked(self, marks: Marks) -> Record:
        """Return the record with *marks*, counted."""
        count = Counter(marks.states)
        return replace(self, marks=marks).having(
            images=len(marks.states), embedded=count[EMBEDDED], rejected=count[REJECTED]
        )

    def having(self, **changes: Any) -> Record:
        """Return the record with *changes* of its current generation."""
        current = replace(self.pool.current, **changes)
        return replace(self, pool=replace(self.pool, current=current))


@dataclass(frozen=True)
class Absent:
    """
    No record of a pool, or a damaged one.

    Attributes:
        last_number: the largest number that a listed generation of the pool may have had.
    """

    last_number: int = 0


def request(
    record: Record | Absent, key: PoolKey, now: datetime, policy: PoolPolicy
) -> Record | None:
    """
    A search wants the pool: create it, or begin what is due of it.

    No number is used again: messages and cached copies of the generation that had it may be left.
    """
    if isinstance(record, Absent):
        first = _requested(record.last_number + 1, now, policy)
        return Record(Pool(key.pool_id, key.keyword, key.options, first))
    due = record.pool.due_generation(now, policy)
    if due is None:
        return None
    if due == record.pool.current.number:
        return record.having(**_first_lease(now, policy))
    return _begun(record, due, now, policy)


def renew_lease(record: Record, now: datetime, policy: PoolPolicy) -> Record:
    """Work on the generation goes on, or is in the queue's hands."""
    return record.having(lease_until=now + timedelta(seconds=policy.queue_seconds))


def begin_fetch(record: Record, now: datetime, policy: PoolPolicy) -> Record:
    """A fetch began, or goes on."""
    return _step(record, PoolState.REQUESTED, PoolState.FETCHING, now, policy)


def record_listing(record: Record, listing: Listing, now: datetime, policy: PoolPolicy) -> Record:
    """The source answered; the first listing of a generation stays."""
    renewed = renew_lease(record, now, policy)
    if record.marks is None:
        listing = unique(listing)
        renewed = replace(renewed, listing=listing).marked(Marks.of(listing)).having(reason=None)
    return _ready_when_done(renewed, now)


def finish_fetch(record: Record, now: datetime, policy: PoolPolicy) -> Record:
    """All that the generation needs is stored."""
    return _step(record, PoolState.FETCHING, PoolState.EMBEDDING, now, policy).having(reason=None)


def record_batch(
    record: Record,
    embedded: Collection[str],
    rejections: Mapping[str, str],
    now: datetime,
    policy: PoolPolicy,
) -> Record:
    """Images are done."""
    renewed = renew_lease(record, now, policy)
    if record.marks is None:
        return renewed
    marks = record.marks.done(embedded, rejections)
    if marks != record.marks:  # what an attempt failed for is over
        renewed = renewed.having(reason=None)
    return _ready_when_done(renewed.marked(marks), now)


def reopen(
    record: Record,
    generation: int,
    embedded: Collection[str],
    now: datetime,
    policy: PoolPolicy,
    *,
    keeps_answering: bool = False,
) -> Record | None:
    """
    A model wants its own embeddings, and has those of *embedded*.

    A generation whose listing is damaged is requested anew.

    Args:
        keeps_answering: searches are answered from the generation as it was, by the model that
            embedded it, until it is ready again.
    """
    current = record.pool.current
    if current.number != generation or current.state is not PoolState.READY:
        return None
    if record.marks is None:
        again, keeps_answering = _begun(record, generation, now, policy), False
    else:
        marks = record.marks.lacking(embedded)
        if marks == record.marks:
            return None
        lease = _first_lease(now, policy)
        again = record.marked(marks).having(state=PoolState.EMBEDDING, ready_at=None, **lease)
    return replace(again, pool=replace(again.pool, ready=current if keeps_answering else None))


def record_error(record: Record, reason: str) -> Record:
    """An attempt failed and will be repeated; the reason stays until the work goes on."""
    return record.having(reason=reason[:MAX_REJECTION_CHARACTERS])


def fail(record: Record, reason: str, now: datetime, policy: PoolPolicy) -> Record:
    """No attempt can help the generation."""
    return record.having(
        state=PoolState.FAILED,
        reason=reason[:MAX_REJECTION_CHARACTERS],
        retry_at=now + timedelta(seconds=policy.retry_seconds),
        lease_until=None,
    )


def give_up(record: Record, reason: str, now: datetime, policy: PoolPolicy) -> Record:
    """No attempt is made any more; the reason of the last one says more than *reason*."""
    return fail(record, record.pool.current.reason or reason, now, policy)


def _ready_when_done(record: Record, now: datetime) -> Record:
    """Return *record*, ready when it is listed and nothing is pending."""
    if record.marks is None or PENDING in record.marks.states:
        return record
    before = record.pool.ready
    # One that another model embedded is no younger for it: its listing is as old as it was.
    is_again = before is not None and before.number == record.pool.current.number
    ready_at = before.ready_at if before and is_again else now
    ready = record.having(state=PoolState.READY, ready_at=ready_at, lease_until=None, reason=None)
    return replace(ready, pool=replace(ready.pool, ready=ready.pool.current))


def _step(
    record: Record, before: PoolState, after: PoolState, now: datetime, policy: PoolPolicy
) -> Record:
    state = record.pool.current.state
    return renew_lease(record, now, policy).having(state=after if state is before else state)


def _begun(record: Record, number: int, now: datetime, policy: PoolPolicy) -> Record:
    """Return *record* with a generation of which nothing is listed yet."""
    pool = replace(record.pool, current=_requested(number, now, policy))
    return replace(record, pool=pool, marks=None, listing=None)


def _requested(number: int, now: datetime, policy: PoolPolicy) -> Generation:
    return Generation(number, PoolState.REQUESTED, **_first_lease(now, policy))


def _first_lease(now: datetime, policy: PoolPolicy) -> dict[str, Any]:
    """Return the fields of the lease of a generation whose job is still to be published."""
    return {
        "requested_at": now,
        "lease_until": now + timedelta(seconds=policy.lease_seconds),
    }
