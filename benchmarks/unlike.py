"""Searches of the demo's pools where one picture is not wanted: what goes back, and what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import ROOT, Benchmark, Column, Figures, Goal, Row
from benchmarks.no_match import KEYWORDS, POOL, Pool, Wanted, demo_pool, places_and_times, several
from imagesearch.demo.scenes import Scene
from imagesearch.domain.images import Embedding
from imagesearch.domain.ranking import References, picture_demotion

TOP = 5
NEITHER, AS_WORDS, COSINE, OURS = (
    "not asked for",
    "as for words",
    "less the cosine",
    "unlike (ours)",
)


@dataclass(frozen=True)
class Case:
    """
    A search of *pool* for what is *wanted*, but not like the picture in *row*.

    Attributes:
        scores: (n,), what the pool is ranked by where nothing is unwanted.
    """

    pool: Pool
    scores: NDArray[np.float32]
    wanted: Wanted
    row: int

    @property
    def picture(self) -> Embedding:
        """(d,), of what is not wanted."""
        picture: Embedding = self.pool.embeddings[self.row]
        return picture

    def shares(self, set_back: NDArray[np.float32]) -> tuple[float, float]:
        """Return which shares of the best *TOP* look like the picture, and show what is wanted."""
        order = np.argsort(set_back - self.scores, kind="stable").tolist()
        best = [self.pool.shown[row] for row in order if row != self.row][:TOP]
        alike = [_look(scene) == _look(self.pool.shown[self.row]) for scene in best]
        wanted = [self.wanted.is_shown(scene) for scene in best]
        return float(np.mean(alike)), float(np.mean(wanted))


Way: TypeAlias = Callable[[Case], NDArray[np.float32]]
"""How far each image of a case's pool is put back, (n,)."""


def measure(folder: Path, tiny: bool) -> Figures:  # noqa: ARG001 - nothing is kept on disk
    """
    The demo's model and gallery: the pools of six keywords, 200 pictures each. "A horse in the
    snow", "a horse at night" and "two horses" are asked, for each place, time and number, and of
    each answer's first five pictures each in turn is not wanted. What looks like it, of its place
    and its time, is to leave the first five, and what was asked for is to stay there: a horse at
    night somewhere else.
    """
    from inference_service.encoder import ModelEncoder  # here: it takes a second

    encoder = ModelEncoder.load(str(ROOT / "models" / "demo"))
    try:
        keywords = KEYWORDS[:1] if tiny else KEYWORDS
        pools = {keyword: demo_pool(encoder, keyword, 80 if tiny else POOL) for keyword in keywords}

        def text(words: str) -> Embedding:
            return encoder.encode_text(words).vector

        cases = list(_cases(pools, text))
        ways = _ways(encoder.references)
        rows = [_row(name, way, cases) for name, way in ways.items()]
    finally:
        encoder.close()
    return Figures(rows, [f"Searches: {len(cases)}."])


def _ways(references: References) -> dict[str, Way]:
    return {
        NEITHER: lambda case: np.zeros(len(case.scores), np.float32),
        AS_WORDS: lambda case: references.demotion(case.pool.embeddings, [(case.picture, 1.0)]),
        COSINE: lambda case: np.vecdot(case.pool.embeddings, case.picture),
        OURS: lambda case: picture_demotion(
            case.pool.embeddings, case.scores, [(case.picture, 1.0)], len(case.scores)
        ),
    }


def _cases(pools: dict[str, Pool], text: Callable[[str], Embedding]) -> Iterator[Case]:
    for keyword, pool in pools.items():
        for wanted in (*places_and_times(keyword), *several(keyword)):
            scores = pool.scores(text(wanted.words))
            for row in np.argsort(-scores, kind="stable")[:TOP].tolist():
                yield Case(pool, scores, wanted, row)


def _look(scene: Scene) -> tuple[str, str]:
    return scene.place, scene.time


def _row(name: str, way: Way, cases: list[Case]) -> Row:
    alike, wanted = np.mean([case.shares(way(case)) for case in cases], axis=0).tolist()
    return {"way": name, "alike": alike, "wanted": wanted}


BENCHMARK = Benchmark(
    name="unlike",
    title="Not like this picture",
    measure=measure,
    columns=(
        Column("way", "how it is asked"),
        Column("alike", "of the top 5 look like it, %", scale=100, digits=1),
        Column("wanted", "of the top 5 are what is asked for, %", scale=100, digits=1),
    ),
    goals=(
        Goal(
            '"Not like this picture" on the demo: what looks like it in the top 5',
            "≤ 2 %",
            lambda rows: 100 * rows[-1]["alike"],
            lambda value: value <= 2,
            "{:.1f} %",
        ),
    ),
)
