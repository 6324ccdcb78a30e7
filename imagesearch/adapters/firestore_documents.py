"""The documents of the Firestore catalog: their fields, and the pure changes of a pool.

Reading, writing and the port's methods are in `firestore.py`; nothing here needs the SDK.

    pools/{pool_id}                            keyword, options, current, ready: small, read often;
                                               model_revision that made it ready last
    pools/{pool_id}/generations/{number}       listing (packed), states, reasons
    embeddings/{model_revision}|{image_id}     vector, the same as float32 bytes, and its image

A listing is packed because its fields would cost an index entry each, and 1 MiB is a document's
limit: 500 images take tens of kilobytes, and some 700 if all are at the bounds of what is listed.
Source: firebase.google.com/docs/firestore/quotas.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import quote

from pydantic import TypeAdapter

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Image, ListedImage, Listing
from imagesearch.domain.pools import Generation, Pool, PoolState, SourceOptions

Fields: TypeAlias = dict[str, Any]

# Of a document's 1,048,576 bytes; an image has all its bounds' worth in the listing, or a reason.
MAX_LISTING_BYTES = 800_000
MAX_REASON_CHARACTERS = 300  # so that 500 reasons fit beside the listing
_LISTING = TypeAdapter(Listing)
_IMAGE = TypeAdapter(Image)
_GENERATION = TypeAdapter(Generation)
_PENDING, _EMBEDDED, _REJECTED = _LETTERS = "per"
_STATES = frozenset(_LETTERS)
# Of a value as it is read; pydantic's ValidationError is a ValueError.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Members:
    """
    The images of a generation and what became of each.

    Attributes:
        packed: the listing, as it is stored; it never changes.
        states: a letter a member: pending, embedded or rejected.
        reasons: why a batch rejected an image; what the listing refused is in the listing.
    """

    packed: bytes
    states: str
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, listing: Listing) -> Members:
        """
        Return the members of a new listing; an image listed twice counts once.

        Raises:
            InvalidRequest: the listing is too big for a document.
        """
        images: dict[str, ListedImage] = {}
        for listed in listing.images:
            images.setdefault(listed.image.image_id, listed)
        kept = Listing(tuple(images.values()), dict(listing.rejections))
        ids = dict.fromkeys([*images, *kept.rejections])
        states = (_REJECTED if image_id in kept.rejections else _PENDING for image_id in ids)
        return cls(_pack(kept), "".join(states))

    @cached_property
    def listing(self) -> Listing:
        """The listing as it was recorded."""
        return _LISTING.validate_json(zlib.decompress(self.packed))

    @cached_property
    def images(self) -> Mapping[str, ListedImage]:
        """The listed images by image_id, in their order."""
        return {listed.image.image_id: listed for listed in self.listing.images}

    @cached_property
    def image_ids(self) -> Sequence[str]:
        """The listed images in their order, then what was refused and is no image at all."""
        return list(dict.fromkeys([*self.images, *self.listing.rejections]))

    def in_state(self, states: str) -> list[str]:
        """Return the image_ids whose state is one of the letters *states*."""
        pairs = zip(self.image_ids, self.states, strict=True)
        return [image_id for image_id, state in pairs if state in states]

    @property
    def pending(self) -> tuple[ListedImage, ...]:
        """The images that are neither embedded nor rejected."""
        return tuple(self.images[image_id] for image_id in self.in_state(_PENDING))

    @property
    def usable(self) -> list[Image]:
        """The images that are not rejected."""
        return [self.images[one].image for one in self.in_state(_PENDING + _EMBEDDED)]

    @property
    def rejections(self) -> dict[str, str]:
        """The reason of each rejected image."""
        known = _reasons_of(self)
        return {image_id: known[image_id] for image_id in self.in_state(_REJECTED)}

    def marked(self, embedded: Collection[str], rejections: Mapping[str, str]) -> Members:
        """Return the members with pending ones done; what came first about an image stays."""
        pending = set(self.in_state(_PENDING))
        done = dict.fromkeys(pending.intersection(embedded), _EMBEDDED)
        rejected = [one for one in rejections if one in pending and one not in done]
        reasons = {one: rejections[one][:MAX_REASON_CHARACTERS] for one in rejected}
        states = self._states({**done, **dict.fromkeys(rejected, _REJECTED)})
        return replace(self, states=states, reasons={**self.reasons, **reasons})

    def lacking(self, known: Collection[str]) -> Members:
        """Return the members with embedded ones that are not *known* pending again."""
        lost = set(self.in_state(_EMBEDDED)).difference(known)
        return replace(self, states=self._states(dict.fromkeys(lost, _PENDING)))

    def counted(self, generation: Generation) -> Generation:
        """Return *generation* with the counts of the members."""
        count = Counter(self.states)
        return replace(
            generation,
            images=len(self.states),
            embedded=count[_EMBEDDED],
            rejected=count[_REJECTED],
        )

    def _states(self, changes: Mapping[str, str]) -> str:
        pairs = zip(self.image_ids, self.states, strict=True)
        return "".join(changes.get(image_id, state) for image_id, state in pairs)


def _pack(listing: Listing) -> bytes:
    text = json.dumps(asdict(listing), ensure_ascii=False, separators=(",", ":"))
    packed = zlib.compress(text.encode())
    if len(packed) > MAX_LISTING_BYTES:
        raise InvalidRequest(
            f"a listing must take at most {MAX_LISTING_BYTES} bytes packed, got {len(packed)}",
            field="listing",
        )
    return packed


def members_fields(members: Members) -> Fields:
    """Return a generation's document."""
    return {"listing": members.packed, **marks_fields(members)}


def marks_fields(members: Members) -> Fields:
    """Return the fields of a generation's document that a batch changes."""
    reasons = json.dumps(dict(members.reasons), ensure_ascii=False)
    return {"states": members.states, "reasons": reasons.encode()}


def members_of(fields: Fields | None) -> Members | None:
    """Return the members, or None while no listing is recorded or where it is damaged."""
    if not fields or "listing" not in fields:
        return None
    try:
        return _members(fields)
    except _DAMAGE as error:
        _logger.warning("a listing is damaged and will be recorded anew: %s", error)
        return None


def _members(fields: Fields) -> Members:
    members = Members(fields["listing"], fields["states"], json.loads(fields["reasons"]))
    if len(members.image_ids) != len(members.states) or set(members.states) - _STATES:
        raise ValueError(f"{len(members.image_ids)} images with the states {members.states[:32]!r}")
    missing = set(members.in_state(_PENDING + _EMBEDDED)).difference(members.images)
    if missing or not set(members.in_state(_REJECTED)).issubset(_reasons_of(members)):
        raise ValueError("an image is in a state that it cannot be in")
    return members


def _reasons_of(members: Members) -> Mapping[str, str]:
    return {**members.listing.rejections, **members.reasons}


def pool_fields(pool: Pool) -> Fields:
    """Return a pool's document."""
    return {
        "keyword": pool.keyword,
        "options": asdict(pool.options),
        "current": _generation_fields(pool.current),
        "ready": _generation_fields(pool.ready) if pool.ready else None,
    }


def pool_of(pool_id: str, fields: Fields | None) -> Pool | None:
    """Return the pool of a document, or None when there is none or it is damaged."""
    if not fields:
        return None
    try:
        return _pool(pool_id, fields)
    except _DAMAGE as error:
        _logger.warning("pool_id=%s is damaged and will be fetched anew: %r", pool_id, error)
        return None


def _pool(pool_id: str, fields: Fields) -> Pool:
    return Pool(
        pool_id,
        fields["keyword"],
        SourceOptions(**fields["options"]),
        _generation_of(fields["current"]),
        _generation_of(fields["ready"]) if fields["ready"] else None,
    )


def _generation_fields(generation: Generation) -> Fields:
    return {**asdict(generation), "state": generation.state.value}


def _generation_of(fields: Fields) -> Generation:
    moments = {name: _moment(value) for name, value in fields.items() if _is_moment(value)}
    return _GENERATION.validate_python({**fields, **moments})


def _is_moment(value: object) -> bool:
    return isinstance(value, datetime)


def _moment(value: datetime) -> datetime:
    """Return the plain datetime of the SDK's own class, which has nanoseconds."""
    return datetime.combine(value.date(), value.timetz())


def with_listing(pool: Pool, members: Members) -> Pool:
    """Return *pool* with the current generation's counts."""
    return replace(pool, current=members.counted(pool.current))


def finished_when_done(pool: Pool, members: Members | None, now: datetime) -> Pool:
    """Return *pool*, ready when its listing is recorded and nothing is pending."""
    if members is None or _PENDING in members.states:
        return pool
    ready = replace(
        pool.current, state=PoolState.READY, ready_at=now, lease_until=None, reason=None
    )
    return replace(pool, current=ready, ready=ready)


def embedding_fields(image: Image, model_revision: str, row: bytes) -> Fields:
    """Return an embedding's document but for its `vector`, which is a class of the SDK."""
    return {
        "model_revision": model_revision,
        "image": asdict(image),
        "row": row,
    }


def image_of(fields: Fields) -> Image | None:
    """Return the image of an embedding's document, or None where it is damaged."""
    try:
        return _IMAGE.validate_python(fields["image"])
    except _DAMAGE as error:
        _logger.warning("an embedding's image is damaged: %s", error)
        return None


def document_id(text: str) -> str:
    """
    Return *text* as an id that Firestore takes: not empty, no `/`, neither `.` nor `__x__`.

    Source: firebase.google.com/docs/firestore/quotas, "Constraints on document IDs".
    """
    return quote(text, safe="").replace(".", "%2E").replace("_", "%5F") or "%"


def embedding_id(image_id: str, model_revision: str) -> str:
    """Return the id of an embedding's document; those of one model are in order of image_id."""
    # The model comes as a digest: its id has slashes and may be long.
    return f"{sha256(model_revision.encode()).hexdigest()[:16]}|{document_id(image_id)}"
