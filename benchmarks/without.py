"""Searches for one thing without another on the demo's pools: `minus` beside the word "without"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, Benchmark, Column, Figures, Goal, Row
from benchmarks.no_match import KEYWORDS, POOL, Pool, demo_pool
from imagesearch.demo import scenes
from imagesearch.demo.scenes import Scene
from imagesearch.domain.images import Embedding
from imagesearch.domain.ranking import References, Weighted, corrected

TOP = 5
WORD, MINUS, NEITHER = 'the word "without"', "minus (ours)", "not asked for"


class Case:
    """
    A search of a pool for *wanted* without *unwanted*, which *violates* says of a scene.

    Only what its pool can answer is asked: it has at least *TOP* pictures that show no unwanted
    thing, and as many that do.
    """

    def __init__(
        self, pool: Pool, wanted: str, unwanted: str, violates: Callable[[Scene], bool]
    ) -> None:
        self.pool = pool
        self.wanted = wanted
        self.unwanted = unwanted
        self.violations = np.array([violates(scene) for scene in pool.shown])

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
        scores = corrected(np.vecdot(pool.embeddings, query), pool.hubnesses)
        scores = scores - references.demotion(pool.embeddings, minus)
        return float(self.violations[np.argsort(-scores, kind="stable")[:TOP]].mean())


def measure(folder: Path, tiny: bool) -> Figures:  # noqa: ARG001 - nothing is kept on disk
    """
    The demo's model and gallery: the pools of four keywords, 200 pictures each. "A star without
    red", "a star without a blue background", "a star without the sea" are asked in three ways: with
    the word in the sentence, as `minus`, and not at all, which is what the others have to beat. A
    violation is a picture among the first five that shows what was not wanted.
    """
    from inference_service.encoder import ModelEncoder  # here: it takes a second

    encoder = ModelEncoder.load(str(ROOT / "models" / "demo"))
    try:
        keywords = KEYWORDS[:1] if tiny else KEYWORDS
        pools = {keyword: demo_pool(encoder, keyword, 80 if tiny else POOL) for keyword in keywords}
        references = encoder.references
        cases = {kind: list(some) for kind, some in _cases(pools).items()}

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


def _cases(pools: dict[str, Pool]) -> dict[str, Iterator[Case]]:
    return {"colour": _colours(pools), "background": _backgrounds(pools)}


def _colours(pools: dict[str, Pool]) -> Iterator[Case]:
    for keyword, pool in pools.items():
        for colour in scenes.COLOURS:
            case = Case(
                pool,
                scenes.article(keyword),
                scenes.article(f"{colour} {keyword}"),
                lambda scene, colour=colour: scene.colour == colour,  # type: ignore[misc]
            )
            if case.is_fair:
                yield case


def _backgrounds(pools: dict[str, Pool]) -> Iterator[Case]:
    for keyword, pool in pools.items():
        for background in scenes.BACKGROUNDS:
            case = Case(
                pool,
                scenes.article(keyword),
                _background(background),
                lambda scene, background=background: scene.background == background,  # type: ignore[misc]
            )
            if case.is_fair:
                yield case


def _background(background: str) -> str:
    """Return it as a person names what is not wanted: "a blue background", "the sea"."""
    setting = scenes.SETTINGS.get(background)
    if setting is None:
        return f"{scenes.article(background)} background"
    return setting.phrase.partition(" ")[2]


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
        Column("colour", "of a colour, %", scale=100, digits=1),
        Column("background", "of a background, %", scale=100, digits=1),
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
