"""The use case `embed`: a batch of stored images into embeddings in the catalog.

The model is behind `Encoder`; scoring what is embedded is `score.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from imagesearch.domain.errors import ImageSearchError, NotFound, RejectedImage
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.domain.pools import Pool
from imagesearch.domain.work import BatchImage, EmbedBatch
from imagesearch.ports import Cache, Clock, Encoder, ImageEmbedding, ImageStore
from imagesearch.telemetry import stage
from imagesearch.usecases.cache_slots import BYTES, STATE
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.withdrawn import Withdrawn

_HELD_BYTES = 64_000_000  # of a batch's originals: photographs of one's own may have 20 MB each
_READERS = 16  # of originals at a time, for all batches; most bytes come from the cache at once


@dataclass(frozen=True)
class EmbedReport:
    """What one run did: how many images it embedded, had embedded already, and rejected."""

    outcome: str = "embedded"
    embedded: int = 0
    reused: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Embed:
    """Embed a batch; running it twice, at once or after a crash gives the same state."""

    catalog: Catalog
    cache: Cache
    store: ImageStore
    encoder: Encoder
    clock: Clock
    _readers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_READERS, thread_name_prefix="reader")
    )
    _withdrawn: Withdrawn = field(init=False)

    def __post_init__(self) -> None:
        withdrawn = Withdrawn(self.catalog.retention, self.clock)
        object.__setattr__(self, "_withdrawn", withdrawn)

    def __call__(self, batch: EmbedBatch) -> EmbedReport:
        """
        Do *batch*; an image that cannot be used is rejected and costs the others nothing.

        What is done when the encoder has to give up is recorded, and not done again.

        Raises:
            Overloaded, Unavailable, DeadlineExceeded: deliver the batch again later.
        """
        pool = self.catalog.pool(batch.pool_id)
        if pool is None or pool.current.number != batch.generation:
            return EmbedReport(outcome="nothing to do")
        if not pool.current.state.in_progress:
            return EmbedReport(outcome="nothing to do")
        try:
            return self._embed(batch, pool)
        except ImageSearchError as error:
            self.catalog.record_error(batch.pool_id, batch.generation, str(error))
            raise

    def _embed(self, batch: EmbedBatch, pool: Pool) -> EmbedReport:
        revision = self.encoder.model_revision
        ids = [image.image_id for image in batch.images]
        known = self.catalog.library.embedded(ids, revision)
        over = known | self._rejected(pool)
        withdrawn = self._withdrawn()
        todo = [each for each in batch.images if each.image_id not in {*over, *withdrawn}]
        embedded, rejections, undone = self._encode(todo)
        # Again: what was taken down meanwhile must not come back.
        gone = set(self._withdrawn(at_once=True)).intersection(ids)
        embedded = {each: image for each, image in embedded.items() if each not in gone}
        known -= gone
        rejections |= dict.fromkeys(gone, TAKEN_DOWN)
        with stage("record"):
            recorded = self.catalog.record_batch(
                batch.pool_id,
                batch.generation,
                model_revision=revision,
                embeddings={each: image.vector for each, image in embedded.items()},
                pixels={each: image.pixels for each, image in embedded.items()},
                rejections=rejections,
                reused=known,
                now=self.clock.now(),
            )
        if recorded is not None:
            self.cache.put(STATE, recorded.pool_id, recorded)
        self.cache.drop(BYTES, [image_id for image_id in ids if image_id not in undone])
        for error in undone.values():
            raise error
        return EmbedReport("embedded", len(embedded), len(known), len(rejections))

    def _rejected(self, pool: Pool) -> set[str]:
        if not pool.current.rejected:  # which spares the catalog a read for nearly every batch
            return set()
        members = self.catalog.members(pool.pool_id, pool.current.number)
        return set(members.rejections) if members else set()

    def _encode(
        self, images: Sequence[BatchImage]
    ) -> tuple[dict[str, ImageEmbedding], dict[str, str], dict[str, ImageSearchError]]:
        """Return embeddings, reasons of rejections, and the errors of what was not done."""
        embedded: dict[str, ImageEmbedding] = {}
        rejections: dict[str, str] = {}
        undone: dict[str, ImageSearchError] = {}
        for originals, unreadable in self._read(images):
            rejections |= unreadable
            for image_id, outcome in self._outcomes(originals, embedded).items():
                if isinstance(outcome, RejectedImage):
                    rejections[image_id] = str(outcome)
                elif isinstance(outcome, ImageSearchError):
                    undone[image_id] = outcome
                else:
                    embedded[image_id] = outcome
        return embedded, rejections, undone

    @stage("encode")
    def _outcomes(
        self, originals: Mapping[str, bytes], before: Mapping[str, ImageEmbedding]
    ) -> dict[str, ImageEmbedding | ImageSearchError]:
        """Return what became of each; an error of all raises, unless any was embedded *before*."""
        if not originals:
            return {}
        try:
            outcomes = self.encoder.encode_images(list(originals.values()))
        except ImageSearchError as error:
            if not before:
                raise
            return dict.fromkeys(originals, error)
        return dict(zip(originals, outcomes, strict=True))

    def _read(
        self, images: Sequence[BatchImage]
    ) -> Iterator[tuple[dict[str, bytes], dict[str, str]]]:
        """Yield originals of *images* and why others are none: as many as may be held at a time."""
        with stage("read"):
            originals = self.cache.get_many(BYTES, [image.image_id for image in images])
        missing = [image for image in images if image.image_id not in originals]
        rejections: dict[str, str] = {}
        for start in range(0, len(missing), _READERS):
            for image_id, data in self._originals(missing[start : start + _READERS]):
                if isinstance(data, RejectedImage):
                    rejections[image_id] = str(data)
                else:
                    originals[image_id] = data
            if sum(map(len, originals.values())) > _HELD_BYTES:
                yield originals, rejections
                originals, rejections = {}, {}
        yield originals, rejections

    @stage("read")
    def _originals(self, images: Sequence[BatchImage]) -> list[tuple[str, bytes | RejectedImage]]:
        """Return the bytes of each of *images*, or why it is none."""
        read = self._readers.map(self._stored, images)
        return [(image.image_id, data) for image, data in zip(images, read, strict=True)]

    def _stored(self, image: BatchImage) -> bytes | RejectedImage:
        try:
            return self.store.get(image.object_name)
        except NotFound:
            return RejectedImage(f"its original {image.object_name} is not stored")
        except RejectedImage as rejection:  # a file of a collection that is no picture
            return rejection
