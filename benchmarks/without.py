"""Searches for one thing without another on the demo's pools: `minus` beside the word "without"."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, Benchmark, Column, Figures, Goal, Row
from benchmarks.no_match import KEYWORDS, POOL, Pool, Wanted, demo_pool
from imagesearch.demo import wording
from imagesearch.domain.images import Embedding
from imagesearch.domain.ranking import References, Weighted

TOP = 5
OTHERS = 3
WORD, MINUS, NEITHER = 'the word "without"', "minus (ours)", "not asked for"


class Case:
    """
    A search of a pool for the keyword's thing without *unwanted*, which *violation* shows.

    Only what its pool can answer is asked: it has at least *TOP* pictures that show nothing
    unwanted, and as many that do. Of the former the first are taken, *OTHERS* for each of the
    latter: few pictures have the same companion, and would not be among the best by chance.
    """

    def __init__(self, keyword: str, pool: Pool, unwanted: str, violation: Wanted) -> None:
        self.wanted = Wanted(keyword).words
        self.unwanted = unwanted
        shown = np.array([violation.is_shown(scene) for scene in pool.shown])
        rows = np.flatnonzero(shown | (np.cumsum(~shown) <= OTHERS * shown.sum()))
        self.pool = pool.part(rows.tolist())
        self.violations = shown[rows]

    @property
    def word(self) -> str:
        """The search as one sentence."""
        return f"{self.wanted} without {self.unwanted}"

    @property
    def is_fair(self) -> bool:
        """Whether it can be answered, and answered wrongly."""
        return bool(min(self.violations.sum(), (~self.violations).sum()) >= TOP)

    def share(
        self, references: References, query: Embedding, minus: Sequence[Weighted] = ()
    ) -> float:
        """Return which share of the best *TOP* shows what is not wanted."""
        pool = self.pool
        scores = pool.scores(query)
        scores = scores - references.demotion(pool.embeddings, minus)
        return float(self.violations[np.argsort(-scores, kind="stable")[:TOP]].mean())


def measure(folder: Path, tiny: bool) -> Figures:  # noqa: ARG001 - nothing is kept on disk
    """
    The demo's model and gallery: the pools of six keywords, 200 pictures each. "A horse without
    balloons", "a castle without night", "a cat without snow" are asked in three ways: with the
    word in the sentence, as `minus`, and not at all, which is what the others have to beat. A
    violation is a picture among the first five that shows what was not wanted.
    """
    from inference_service.encoder import ModelEncoder  # here: it takes a second

    encoder = ModelEncoder.load(str(ROOT / "models" / "demo"))
    try:
        keywords, size = (KEYWORDS[:1], 120) if tiny else (KEYWORDS, POOL)
        pools = {keyword: demo_pool(encoder, keyword, size) for keyword in keywords}
        references = encoder.references
        cases = _cases(pools)

        def text(words: str) -> Embedding:
            return encoder.encode_text(words).vector

        ways: dict[str, Callable[[Case], float]] = {
            NEITHER: lambda case: case.share(references, text(case.wanted)),
            WORD: lambda case: case.share(references, text(case.word)),
            MINUS: lambda case: case.share(
                references, text(case.wanted), [(text(case.unwanted), 1.0)]
            ),
        }
        rows = [_row(name, way, cases) for name, way in ways.items()]
    finally:
        encoder.close()
    counts = ", ".join(f"{len(some)} without a {kind}" for kind, some in cases.items())
    return Figures(rows, [f"Searches: {counts}."])


def _cases(pools: dict[str, Pool]) -> dict[str, list[Case]]:
    cases = defaultdict[str, list[Case]](list)
    for keyword, pool in pools.items():
        for kind, unwanted, violation in _unwanted(keyword):
            case = Case(keyword, pool, unwanted, violation)
            if case.is_fair:
                cases[kind].append(case)
    return cases


def _unwanted(keyword: str) -> Iterator[tuple[str, str, Wanted]]:
    """Yield what may not be wanted: its kind, its name, and what shows it."""
    english = wording.language("en")
    for thing, names in english.names.items():
        if thing != keyword:
            yield "companion", names[0][-1], Wanted(keyword, companion=thing)
    for place, names in english.wording["place_name"].items():
        yield "place", names[0], Wanted(keyword, place=place)
    for time, names in english.wording["time_name"].items():
        yield "time", names[0], Wanted(keyword, time=time)


def _row(name: str, way: Callable[[Case], float], cases: dict[str, list[Case]]) -> Row:
    shares = {kind: [way(case) for case in some] for kind, some in cases.items()}
    row: Row = {
        "way": name,
        "all": float(np.mean([each for some in shares.values() for each in some])),
    }
    return row | {kind: float(np.mean(some)) for kind, some in shares.items()}


BENCHMARK = Benchmark(
    name="without",
    title="One thing without another",
    measure=measure,
    columns=(
        Column("way", "how it is asked"),
        Column("all", "violations in the top 5, %", scale=100, digits=1),
        Column("companion", "of a companion, %", scale=100, digits=1),
        Column("place", "of a place, %", scale=100, digits=1),
        Column("time", "of a time, %", scale=100, digits=1),
    ),
    goals=(
        Goal(
            '"X without Y" by `minus` on the demo: violations in the top 5',
            "≤ 2 %",
            lambda rows: 100 * rows[-1]["all"],
            lambda value: value <= 2,
            "{:.1f} %",
        ),
    ),
)
