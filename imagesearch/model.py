"""The words of the domain as frozen values, and the pure maths on them.

What goes over a wire is in `messages.py`; who stores and computes is behind `ports.py`.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

# The functions compute nothing: numpy would be a third of the CPU that their import takes.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Embedding: TypeAlias = "NDArray[np.float32]"  # (embedding_dim,), unit L2 norm
Embeddings: TypeAlias = "NDArray[np.float32]"  # (n, embedding_dim), rows of unit L2 norm


# What nobody sees: control characters that are no white space, separators of
# records among them, Unicode's default ignorables but for the joiners below, and the anchors of
# annotations.
# https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b"
    r"\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# What nobody sees either, but shapes or joins what it stands between: Mongolian, Persian, Indic
# and emoji, Egyptian hieroglyphs, Duployan shorthand. Of several the first is enough.
_JOINER = r"[\u180b-\u180f\u200c\u200d\U00013430-\U0001343f\U0001bca0-\U0001bca3]"
_JOINERS = re.compile(f"({_JOINER}){_JOINER}*")
_JOINERS_AT_AN_END = re.compile(f"^{_JOINER}+|{_JOINER}+$")
_BLANK = "\u2800"  # Braille without a dot, which separates words as a space does


def normalise_keyword(keyword: str) -> str:
    """
    Return *keyword* in Unicode NFKC, case-folded, trimmed, with single spaces.

    Characters that nobody sees are left out; of those that join, one within a word stays.
    """
    if keyword.isascii() and keyword.isprintable():  # most are, and every search comes by here
        return " ".join(keyword.casefold().split())
    seen = _INVISIBLE.sub("", keyword).replace(_BLANK, " ")
    # Case-folding can undo the normal form ("ǰ"), so it is normalised once more.
    folded = unicodedata.normalize("NFKC", seen).casefold()
    words = unicodedata.normalize("NFKC", _JOINERS.sub(r"\1", folded)).split()
    return " ".join(filter(None, (_JOINERS_AT_AN_END.sub("", word) for word in words)))


def is_visible(text: str) -> bool:
    """Return whether there is anything to see in *text*; marks alone have nothing to stand on."""
    return any(unicodedata.category(one)[0] not in "MZ" for one in normalise_keyword(text))


# What Pixabay has to choose from; source: https://pixabay.com/api/docs/.
LANGUAGES = tuple(
    "cs da de en es fr id it hu nl no pl pt ro sk fi sv tr vi th bg ru el ja ko zh".split()
)
CATEGORIES = tuple(
    "backgrounds fashion nature science education feelings health people religion places animals "
    "industry computer food sports transportation travel buildings business music".split()
)
COLORS = tuple(
    "grayscale transparent red orange yellow green turquoise blue lilac pink white gray black "
    "brown".split()
)
_SKEW_SECONDS = 1.0  # by which the clocks of two machines may differ


@dataclass(frozen=True)
class SourceOptions:
    """What is asked of an image source besides the keyword; part of the pool's identity."""

    source: str = "pixabay"
    language: str = "en"
    orientation: str = "all"
    category: str = ""
    colors: str = ""
    safesearch: bool = True
    pool_size: int = 200


@dataclass(frozen=True)
class PoolKey:
    """The identity of a pool: a normalised keyword and the source options."""

    keyword: str
    options: SourceOptions

    @classmethod
    def of(cls, keyword: str, options: SourceOptions) -> PoolKey:
        """Return the key of *keyword* as a person typed it."""
        return cls(normalise_keyword(keyword), options)

    @property
    def pool_id(self) -> str:
        """32 hexadecimal digits that depend on the keyword and every option."""
        identity = json.dumps([self.keyword, asdict(self.options)], sort_keys=True)
        return hashlib.sha256(identity.encode()).hexdigest()[:32]


def is_ahead(stamp: datetime | None, now: datetime, seconds: float) -> bool:
    """
    Return whether *stamp*, which was set *seconds* ahead at the most, is still to come.

    One that lies further ahead was set before the clock stepped back, and is over: else what it
    holds back would wait until the clock has caught up.
    """
    if stamp is None:
        return False
    return 0 < (stamp - now).total_seconds() <= seconds + _SKEW_SECONDS


class PoolState(enum.StrEnum):
    """Where one generation of a pool stands; `stale` is a ready one past its age."""

    REQUESTED = "requested"
    FETCHING = "fetching"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"

    @property
    def in_progress(self) -> bool:
        """True while work on the generation is under way or should be."""
        return self not in (PoolState.READY, PoolState.FAILED)


@dataclass(frozen=True)
class PoolPolicy:
    """
    The durations of a pool's life (design §5), in seconds.

    Attributes:
        max_age_seconds: a ready pool older than this is stale; Pixabay asks for 24 h.
        lease_seconds: how long a pool may wait for its job to be published before another search
            does it.
        queue_seconds: how long work that was published may be silent before that is done again:
            the queue delivers again by itself, and a job or a batch may wait there for long.
        retry_seconds: how long a failed pool rests before a search fetches it again.
    """

    max_age_seconds: float = 86_400.0
    lease_seconds: float = 60.0
    retry_seconds: float = 60.0
    queue_seconds: float = 3600.0


@dataclass(frozen=True)
class Generation:
    """
    One fetch of a pool.

    Attributes:
        requested_at: when its first lease was begun last, until whose end the job is published.
        images: images listed by the source, 0 until the listing is recorded.
        embedded, rejected: how many of them are done; ready when the two add up to `images`.
        lease_until: while in progress, when the work counts as lost and is published again.
        reason: why it failed, or the last error of an attempt that will be repeated.
        retry_at: when a failed generation may be followed by the next.
    """

    number: int
    state: PoolState
    requested_at: datetime
    images: int = 0
    embedded: int = 0
    rejected: int = 0
    lease_until: datetime | None = None
    ready_at: datetime | None = None
    retry_at: datetime | None = None
    reason: str | None = None

    def lease_seconds(self, policy: PoolPolicy) -> float:
        """
        Return how long its lease was when it began.

        The first one ends so long after `requested_at`; a step that renews it ends it elsewhere.
        """
        if self.lease_until is None:
            return 0.0
        ends_after_seconds = (self.lease_until - self.requested_at).total_seconds()
        is_first = abs(ends_after_seconds - policy.lease_seconds) <= _SKEW_SECONDS
        return policy.lease_seconds if is_first else policy.queue_seconds


@dataclass(frozen=True)
class Pool:
    """A keyword's images: the generation in work or ready, and the one that can be served."""

    pool_id: str
    keyword: str
    options: SourceOptions
    current: Generation
    ready: Generation | None = None  # the newest generation that became ready

    @property
    def answering(self) -> Generation:
        """The generation that searches are answered from: the newest ready one, if any."""
        return self.ready or self.current

    @property
    def can_answer(self) -> bool:
        """True when there is something to answer from: embedded images, or the news of none."""
        return self.answering.embedded > 0 or self.answering.state is PoolState.READY

    def is_fresh(self, now: datetime, max_age_seconds: float) -> bool:
        """
        True when the current generation is ready and younger than *max_age_seconds*.

        The clock may have stepped back since, but not by more than that.
        """
        ready_at = self.current.ready_at
        if self.current.state is not PoolState.READY or ready_at is None:
            return False
        return abs(now - ready_at) < timedelta(seconds=max_age_seconds)

    def due_generation(self, now: datetime, policy: PoolPolicy) -> int | None:
        """
        Return the generation whose FetchJob must be published now, or None (design §5).

        A stale or failed pool is due its next generation, and one whose work lost its lease the
        same again: nothing says that the work is not still going on.
        """
        current = self.current
        if current.state is PoolState.READY:
            return None if self.is_fresh(now, policy.max_age_seconds) else current.number + 1
        if current.state is PoolState.FAILED:
            is_resting = is_ahead(current.retry_at, now, policy.retry_seconds)
            return None if is_resting else current.number + 1
        is_leased = is_ahead(current.lease_until, now, current.lease_seconds(policy))
        return None if is_leased else current.number


@dataclass(frozen=True)
class PoolRequest:
    """What `Catalog.request_pool` says: *created* is True for the one who must publish."""

    pool: Pool
    created: bool


@dataclass(frozen=True)
class Credit:
    """Whom an image is by and where it comes from, shown beside it."""

    user: str
    source: str


@dataclass(frozen=True)
class Image:
    """
    One stored or listed image.

    Attributes:
        image_id: unique over all sources, `pixabay-736885`.
        object_name: its name in the image store, `pixabay-736885.jpg`.
        page_url: the source's page about it, for the credit.
        width, height: pixels of the stored copy as the source states them.
    """

    image_id: str
    object_name: str
    page_url: str
    width: int
    height: int
    credit: Credit
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedImage:
    """An image that a source offers for a pool, and where its bytes are for 24 hours."""

    image: Image
    download_url: str


@dataclass(frozen=True)
class Listing:
    """What a source offers for a pool, in its order; *rejections* maps image_id to reason."""

    images: tuple[ListedImage, ...]
    rejections: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PackedPool:
    """All that a search on a pool needs: row i of *embeddings* belongs to `images[i]`."""

    images: tuple[Image, ...]
    embeddings: Embeddings  # (n, embedding_dim)


@dataclass(frozen=True)
class SearchRequest:
    """
    What a person asks for, within the bounds of design §6.

    Attributes:
        scope: `pool`, the keyword's images, or `catalog`, everything stored so far.
        keyword: as typed; empty in scope `catalog`.
        wait_seconds: how long the call may wait for a new pool.
    """

    keyword: str
    query: str
    top_k: int = 10
    wait_seconds: float = 10.0
    scope: Literal["pool", "catalog"] = "pool"


@dataclass(frozen=True)
class SearchHit:
    """
    One image of an answer.

    Attributes:
        score: cosine of query and image, -1..1.
        logit: logit_scale x cosine, what CLIP calls logits_per_text.
        relevance: softmax of the logits over the pool, 0..1.
    """

    image: Image
    score: float
    logit: float
    relevance: float


def top_k(
    images: Sequence[Image], cosines: NDArray[np.float32], k: int, logit_scale: float
) -> list[SearchHit]:
    """
    Return the *k* best of *images*, best first, ties by image_id.

    Args:
        images: n images.
        cosines: (n,) scores of the images against one query.
        k: how many; more than n gives n.
        logit_scale: exp of CLIP's learned temperature.

    Source: Radford et al. 2021, figure 3 (logits), figure 1 (softmax over candidates).
    """
    import numpy as np

    if not images:
        return []
    logits = logit_scale * cosines.astype(np.float64)  # (n,)
    weights = np.exp(logits - logits.max())
    relevances = weights / weights.sum()
    likely = np.arange(len(cosines))
    if k < len(cosines):  # whatever ties with the k-th stays in, for its image_id to decide
        likely = np.flatnonzero(cosines >= np.partition(cosines, -k)[-k])
    ids = np.array([images[i].image_id for i in likely.tolist()])
    best = likely[np.lexsort((ids, -cosines[likely]))[:k]]
    scores = np.stack([cosines, logits, relevances], axis=1)[best].tolist()  # (k, 3)
    return [SearchHit(images[i], *three) for i, three in zip(best.tolist(), scores, strict=True)]
