"""How well an answer says that nothing matches, on the demo's pools, by several signals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import ROOT, Benchmark, Column, Figures, Goal, Row
from imagesearch.demo import drawing, gallery_query, scenes, wording
from imagesearch.demo.scenes import Group, Scene
from imagesearch.domain.images import Embedding, Embeddings
from imagesearch.domain.phrases import phrases_of
from imagesearch.domain.ranking import (
    References,
    corrected,
    relevances,
    share_of,
    with_phrases,
)
from imagesearch.evaluation.protocol import auroc

KEYWORDS = ("horse", "cat", "flower", "castle", "guitar", "moon")
POOL = 200
KEPT = 0.95
COMPANIONS = 20
ABSENT_COUNTS = ("four", "seven", "a hundred")
ABSENT_PLACES = (
    *("in the city", "in a kitchen", "on a roof", "in the rain"),
    *("on a table", "in a cave", "in the fog", "on a bridge"),
)
FAR_OFF = (
    *("quarterly tax report", "asdf", "office meeting", "traffic jam", "invoice 2023", "qwerty"),
    *("wedding couple", "spaghetti", "baby crying", "zzz", "the president", "skyscraper"),
    *("mathematics", "lorem ipsum dolor", "xkcd", "bridge at rush hour", "nurse", "map of Europe"),
    *("soldier", "chess board", "toothbrush", "elevator", "a woman smiling", "stock exchange"),
    *("passport photo", "dental x-ray", "staircase", "yoga class", "graffiti", "kindergarten"),
    *("parliament", "haircut", "tattoo", "ballet dancer", "washing machine", "parking lot"),
    *("court hearing", "hospital corridor", "swimming pool", "blueprint", "Steuererklärung"),
    *("réunion de bureau", "結婚式の写真", "налоговая декларация", "股票交易所"),
)
MATCHED, OTHER, FAR = "matched", "another thing", "far off"
PLACE, LEARNED = "absent place or time", "of these, by a word that it learned"
COUNT, COMPANION = "absent number", "absent companion"
APART = "place and time are there, not together"

RELEVANCE, COSINE, HALF = "relevance of the best", "cosine of the best", "cosine − ½ · hubness"
WHOLE = "cosine less the share of hubness that calibration chose"
PHRASES = "that, with the least of the sentence's phrases"

Signal: TypeAlias = Callable[["Asked"], float]


@dataclass(frozen=True)
class Wanted:
    """
    What a query asks a scene to show: a thing, and what else is not empty or 0.

    Attributes:
        count: how many of the thing; 0 for any number.
        companion: another thing, any number of it.
    """

    thing: str
    count: int = 0
    companion: str = ""
    place: str = ""
    time: str = ""

    @property
    def words(self) -> str:
        """The query: "two horses", "a horse with a balloon", "a horse in the snow at night"."""
        english = wording.language("en")
        subject = wording.counted(Group(self.thing, self.count or 1), english)
        if self.companion:
            companion = wording.counted(Group(self.companion), english)
            subject = english.wording["beside"][0].format(a=subject, b=companion)
        said = {"subject": subject}
        if self.place:
            said["place"] = english.wording["place"][self.place][0]
        if self.time:
            said["time"] = english.wording["time"][self.time][0]
        return wording.sentence(said, english)

    def is_shown(self, scene: Scene) -> bool:
        """Return whether *scene* shows all of it."""
        counts = {group.thing: group.count for group in scene.groups}
        return (
            self.thing in counts
            and self.count in (0, counts[self.thing])
            and (not self.companion or self.companion in counts)
            and self.place in ("", scene.place)
            and self.time in ("", scene.time)
        )


@dataclass(frozen=True)
class Pool:
    """A keyword's images as the gallery lists them: embeddings, and what corrects them."""

    shown: Sequence[Scene]
    embeddings: Embeddings
    hubnesses: NDArray[np.float32]
    hubness_share: float

    def scores(self, query: Embedding) -> NDArray[np.float32]:
        """Return what the images are ranked by, (n,)."""
        cosines = np.vecdot(self.embeddings, query)
        return corrected(cosines, self.hubnesses, self.hubness_share)

    def shows(self, wanted: Wanted) -> bool:
        """Return whether any of its scenes shows what is wanted."""
        return any(wanted.is_shown(scene) for scene in self.shown)

    def part(self, rows: Sequence[int]) -> Pool:
        """Return the pool of some of its images."""
        shown = [self.shown[row] for row in rows]
        return replace(
            self, shown=shown, embeddings=self.embeddings[rows], hubnesses=self.hubnesses[rows]
        )

    def without(self, unwanted: Wanted) -> Pool:
        """Return the pool but for the scenes that show all of *unwanted*."""
        return self.part([r for r, scene in enumerate(self.shown) if not unwanted.is_shown(scene)])


@dataclass(frozen=True)
class Asked:
    """A query in a pool: its cosines, those of its phrases, and what is made of them."""

    pool: Pool
    text: NDArray[np.float32]
    phrases: Sequence[Embedding]
    references: References
    logit_scale: float
    per_spread: bool
    phrase_share: float

    @property
    def cosines(self) -> NDArray[np.float32]:
        """(n,)."""
        cosines: NDArray[np.float32] = np.vecdot(self.pool.embeddings, self.text)
        return cosines

    @property
    def whole(self) -> NDArray[np.float32]:
        """(n,), what hits would be ranked by if no sentence were taken apart."""
        return self.pool.scores(self.text)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(n,), what hits are ranked by."""
        of_phrases = [self.pool.scores(phrase) for phrase in self.phrases]
        return with_phrases(self.whole, of_phrases, self.phrase_share)

    @property
    def half_scores(self) -> NDArray[np.float32]:
        """(n,), what hits of a model that nobody calibrated are ranked by."""
        return corrected(self.cosines, self.pool.hubnesses)

    @property
    def strengths(self) -> NDArray[np.float32]:
        """(n,), what a match is made of."""
        return self.references.strengths(self.text, self.scores, per_spread=self.per_spread)

    @property
    def spread_scores(self) -> NDArray[np.float32]:
        """(n,)."""
        return self.references.strengths(self.text, self.scores, per_spread=True)


# By what is ranked too: the property of `Asked` that has it.
RANKED_BY = {COSINE: "cosines", HALF: "half_scores", WHOLE: "whole", PHRASES: "scores"}
SIGNALS: dict[str, Signal] = {
    RELEVANCE: lambda asked: relevances(asked.cosines, asked.logit_scale).max(),
    COSINE: lambda asked: asked.cosines.max(),
    HALF: lambda asked: asked.half_scores.max(),
    WHOLE: lambda asked: asked.whole.max(),
    PHRASES: lambda asked: asked.scores.max(),
    "that, by the query's spread": lambda asked: asked.spread_scores.max(),
    "of these what calibration chose (ours)": lambda asked: asked.strengths.max(),
}


def measure(folder: Path, tiny: bool) -> Figures:  # noqa: ARG001 - nothing is kept on disk
    """
    The demo's model and gallery: the pools of six keywords, 200 pictures each. Every query is asked
    in its pool; the best hit's signal should tell those that a picture answers (a place, a time,
    both, a number or a companion that the pool has) from those that none does: an absent place or
    time ("a horse in the city", which are words that the demo's model never learned, or what the
    pool has, with the pictures taken out that show it), another thing ("a guitar" where no horse
    has one), what is far off ("quarterly tax report", "asdf"); then an absent number ("seven
    horses") or companion, and last what no rival's signal is good at either: a place and a time
    that the pool has, and never together.

    AUROC is how often a query that is answered has the higher signal; "refused" is the share of the
    others below what 95 % of the answered reach. Ranking is measured on the answered ones.
    """
    from inference_service.encoder import ModelEncoder  # here: it takes a second

    encoder = ModelEncoder.load(str(ROOT / "models" / "demo"))
    try:
        keywords = KEYWORDS[:1] if tiny else KEYWORDS
        pools = {keyword: demo_pool(encoder, keyword, 40 if tiny else POOL) for keyword in keywords}
        matched, unmatched = list(_matched(pools)), _unmatched(pools)
        if tiny:
            matched = matched[:20]
            unmatched = {kind: some[:20] for kind, some in unmatched.items()}

        @cache
        def text(words: str) -> Embedding:
            return encoder.encode_text(words).vector

        def asked(pool: Pool, words: str) -> Asked:
            thresholds = encoder.thresholds
            return Asked(
                *(pool, text(words), [text(phrase) for phrase in phrases_of(words)]),
                *(encoder.references, encoder.logit_scale),
                per_spread=thresholds is None or thresholds.per_spread,
                phrase_share=thresholds.phrase_share if thresholds else 0.0,
            )

        answered = [asked(pool, wanted.words) for pool, wanted in matched]
        others = {kind: [asked(*query) for query in some] for kind, some in unmatched.items()}
    finally:
        encoder.close()
    rows = [_row(name, signal, answered, others) for name, signal in SIGNALS.items()]
    for row in rows:
        if scores := RANKED_BY.get(row["signal"]):
            row |= _ranking([wanted for _, wanted in matched], answered, scores)
    counts = {MATCHED: len(matched), **{kind: len(some) for kind, some in unmatched.items()}}
    return Figures(rows, [f"Queries: {', '.join(f'{n} {kind}' for kind, n in counts.items())}."])


def demo_pool(encoder: Any, keyword: str, size: int) -> Pool:
    """Return the first *size* images of the pool of *keyword*, embedded."""
    query = gallery_query.Query.parse({"q": keyword, "per_page": "200"})
    shown = [scenes.scene(scene_id) for scene_id in gallery_query.find(query)[:size]]
    outcomes = encoder.encode_images([drawing.jpeg(scene) for scene in shown])
    embeddings = np.array([outcome.vector for outcome in outcomes])
    hubnesses = encoder.references.hubness(embeddings)
    return Pool(shown, embeddings, hubnesses, share_of(encoder.thresholds))


def places_and_times(keyword: str) -> Iterator[Wanted]:
    """Yield the keyword's thing in each place, and at each time."""
    for place in scenes.PLACES:
        yield Wanted(keyword, place=place)
    for time in scenes.TIMES:
        yield Wanted(keyword, time=time)


def several(keyword: str) -> Iterator[Wanted]:
    """Yield several of the keyword's thing: two, three and five."""
    for count in scenes.COUNTS[1:]:
        yield Wanted(keyword, count=count)


def _combinations(keyword: str) -> Iterator[Wanted]:
    for place, time in itertools.product(scenes.PLACES, scenes.TIMES):
        yield Wanted(keyword, place=place, time=time)


def _traits(keyword: str, pool: Pool) -> Iterator[Wanted]:
    """Yield the thing with what the pool has beside it, one at a time."""
    yield from filter(pool.shows, (*places_and_times(keyword), *several(keyword)))
    companions = dict.fromkeys(thing for scene in pool.shown for thing in scene.things)
    others = (thing for thing in companions if thing != keyword)
    for companion in itertools.islice(others, COMPANIONS):
        yield Wanted(keyword, companion=companion)


def _matched(pools: dict[str, Pool]) -> Iterator[tuple[Pool, Wanted]]:
    for keyword, pool in pools.items():
        for wanted in (*_traits(keyword, pool), *filter(pool.shows, _combinations(keyword))):
            yield pool, wanted


def _unmatched(pools: dict[str, Pool]) -> dict[str, list[tuple[Pool, str]]]:
    return {
        PLACE: [*_taken_out(pools, _is_placed), *_places(pools)],
        LEARNED: list(_taken_out(pools, _is_placed)),
        COUNT: [*_taken_out(pools, lambda wanted: bool(wanted.count)), *_counts(pools)],
        COMPANION: [*_taken_out(pools, lambda wanted: bool(wanted.companion)), *_companions(pools)],
        OTHER: list(_other(pools)),
        FAR: [(pool, words) for pool in pools.values() for words in FAR_OFF],
        APART: list(_apart(pools)),
    }


def _is_placed(wanted: Wanted) -> bool:
    return bool(wanted.place or wanted.time)


def _taken_out(
    pools: dict[str, Pool], is_of_kind: Callable[[Wanted], bool]
) -> Iterator[tuple[Pool, str]]:
    """Yield what each pool has, without the pictures that show it."""
    for keyword, pool in pools.items():
        for wanted in filter(is_of_kind, _traits(keyword, pool)):
            yield pool.without(wanted), wanted.words


def _places(pools: dict[str, Pool]) -> Iterator[tuple[Pool, str]]:
    for keyword, pool in pools.items():
        for place in ABSENT_PLACES:
            yield pool, f"a {wording.language('en').names[keyword][0][0]} {place}"


def _counts(pools: dict[str, Pool]) -> Iterator[tuple[Pool, str]]:
    for keyword, pool in pools.items():
        for count in ABSENT_COUNTS:
            yield pool, f"{count} {wording.language('en').names[keyword][0][-1]}"


def _companions(pools: dict[str, Pool]) -> Iterator[tuple[Pool, str]]:
    for keyword, pool in pools.items():
        for thing in list(_others(pool))[::5]:  # about as many as the companions that it has
            yield pool, Wanted(keyword, companion=thing).words


def _other(pools: dict[str, Pool]) -> Iterator[tuple[Pool, str]]:
    for pool in pools.values():
        for thing in _others(pool):
            yield pool, Wanted(thing).words


def _others(pool: Pool) -> Iterator[str]:
    """Yield the things that no scene of *pool* shows."""
    return (thing for thing in scenes.THINGS if not pool.shows(Wanted(thing)))


def _apart(pools: dict[str, Pool]) -> Iterator[tuple[Pool, str]]:
    for keyword, pool in pools.items():
        for wanted in filter(pool.shows, _combinations(keyword)):
            yield pool.without(wanted), wanted.words


def _row(
    name: str, signal: Signal, answered: Sequence[Asked], others: dict[str, list[Asked]]
) -> Row:
    good = np.array([signal(each) for each in answered])
    floor = np.quantile(good, 1 - KEPT)
    row: Row = {"signal": name}
    for kind, some in others.items():
        bad = np.array([signal(each) for each in some])
        row[kind] = auroc(good, bad)
        row[f"refused {kind}"] = float((bad < floor).mean())
    return row


def _ranking(queries: Sequence[Wanted], answered: Sequence[Asked], scores: str) -> dict[str, float]:
    """Return how often the first hit is right, and how many of the first five that can be."""
    first, of_five = [], []
    for wanted, each in zip(queries, answered, strict=True):
        right = [wanted.is_shown(scene) for scene in each.pool.shown]
        ranked = np.argsort(-getattr(each, scores), kind="stable")[:5]
        hits = [right[row] for row in ranked]
        first.append(hits[0])
        of_five.append(sum(hits) / min(5, sum(right)))
    return {"first_right": float(np.mean(first)), "precision_at_5": float(np.mean(of_five))}


def _above(rows: Sequence[Row], figure: str) -> float:
    """Return by how many points ranking is better with the correction than without."""
    by_signal = {row["signal"]: row for row in rows}
    return 100 * float(by_signal[PHRASES][figure] - by_signal[COSINE][figure])


def _goals(kind: str) -> tuple[Goal, Goal]:
    return (
        Goal(
            f"no match on the demo, {kind}: AUROC",
            "≥ 0.97",
            lambda rows: rows[-1][kind],
            lambda value: value >= 0.97,
            "{:.3f}",
        ),
        Goal(
            f"no match on the demo, {kind}: refused where 95 % are kept",
            "≥ 90 %",
            lambda rows: 100 * rows[-1][f"refused {kind}"],
            lambda value: value >= 90,
            "{:.0f} %",
        ),
    )


def _ranking_goal(name: str, figure: str) -> Goal:
    return Goal(
        f"ranking on the demo with the correction: {name} above that without",
        "≥ 0 points",
        lambda rows: _above(rows, figure),
        lambda value: value >= 0,
        "{:.1f} points",
    )


BENCHMARK = Benchmark(
    name="no_match",
    title="Is there a match at all?",
    measure=measure,
    columns=(
        Column("signal", "signal of the best hit"),
        *(
            column
            for kind in (PLACE, LEARNED, OTHER, FAR, COUNT, COMPANION, APART)
            for column in (
                Column(kind, f"{kind}: AUROC", digits=3),
                Column(f"refused {kind}", "refused, %", scale=100, digits=0),
            )
        ),
        Column("first_right", "first is right, %", scale=100, digits=1),
        Column("precision_at_5", "precision@5, %", scale=100, digits=1),
    ),
    goals=(
        *(goal for kind in (PLACE, OTHER, FAR) for goal in _goals(kind)),
        _ranking_goal("R@1", "first_right"),
        _ranking_goal("precision@5", "precision_at_5"),
    ),
)
