"""Computes what `imagesearch eval --json` printed a second time, and says what differs.

Usage: python -m tools.eval.recount RUN.json SET

It shares no code with the program, but for how a sentence is taken apart: `transformers` embeds,
scores are sums of float64, a rank is a place in a sorted list, an AUROC is counted pair by pair,
and intervals are of other resamples. The rules are those of decision 0072. SET is a folder with a
captions.csv and PNGs; a JPEG the program may decode at a fraction of its size.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imagesearch.domain.phrases import phrases_of
from tools.eval.reference import Array, Reference

ROUNDING = 1e-6  # of the figures in the JSON
TOLERANCE = 0.002  # of a figure: last bits of another library's embeddings swap neighbours
RANKS_TOLERANCE = 0.02  # of the searches that rank what is found: so many may be swapped
BEYOND, BEYOND_TOLERANCE = 0.025, 0.02  # of resamples, beyond each end of an interval
AT = (1, 5, 10)
NO_MATCH = "no match"
REFERENCE_CAPTIONS = Path(__file__).parents[2] / "inference_service" / "reference_captions.txt"
_MOST_CHARACTERS = 500  # of a search
_HIGHEST = 16  # cosines with reference captions whose mean is a picture's hubness
_POOL = 200
_POOL_SEED = 1
_RESAMPLES = 1000
_RESAMPLES_SEED = 2  # the program's is 1

Captions = dict[str, list[tuple[str, str]]]
"""By a picture's name its captions, each after its language."""


@dataclass
class Ranks:
    """
    The searches in one language, each with the number of its picture.

    Attributes:
        found: by what is found, such as "caption", the rank of each search.
        strengths: the best strength of each search with its picture, and without.
    """

    found: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    strengths: list[tuple[int, float, float]] = field(default_factory=list)

    def add(self, direction: str, picture: int, rank: int) -> None:
        """Take one search."""
        self.found.setdefault(direction, []).append((picture, rank))

    def step(self, figure: str) -> float:
        """Return by how much one hit more moves a *figure*, by its name."""
        direction, _, _ = figure.rpartition(" R@")
        return 1 / len(self.found[direction]) if direction else ROUNDING

    def figures(self, draws: Array) -> dict[str, Array]:
        """
        Return every figure, by its name, as each draw has it, (draws,).

        Args:
            draws: how often each picture counts, (draws, pictures).
        """
        figures = {}
        for direction, searches in self.found.items():
            weights = draws[:, [picture for picture, _ in searches]]
            ranks = np.array([rank for _, rank in searches])
            for k in AT:
                figures[f"{direction} R@{k}"] = weights @ (ranks <= k) / weights.sum(axis=1)
        if self.strengths:
            weights = draws[:, [picture for picture, _, _ in self.strengths]]
            _, positive, negative = np.array(self.strengths).T
            wins = (positive > negative[:, None]) + 0.5 * (positive == negative[:, None])
            figures[NO_MATCH] = ((weights @ wins) * weights).sum(axis=1) / weights.sum(axis=1) ** 2
        return figures


@dataclass
class Recount:
    """
    What came of counting a run anew.

    Attributes:
        wrong: a sentence for each figure that is wrong.
        searches: how many were ranked.
        moved: how many of them have another rank here.
        most: by how much at most a figure differs, 0..1.
    """

    wrong: list[str] = field(default_factory=list)
    searches: int = 0
    moved: int = 0
    most: float = 0.0

    def compare_ranks(self, where: str, stated: Ranks, counted: Ranks) -> None:
        """Compare rank by rank, as a model that finds nothing has equal figures either way."""
        for direction, searches in counted.found.items():
            pairs = zip(stated.found.get(direction, []), searches, strict=False)
            moved = sum(one != other for one, other in pairs)
            self.searches += len(searches)
            self.moved += moved
            if moved > RANKS_TOLERANCE * len(searches):
                self.wrong.append(
                    f"{direction}{where}: {moved} of {len(searches)} ranks are others, "
                    f"counted anew; {RANKS_TOLERANCE:.0%} may be"
                )

    def compare_figures(
        self, where: str, figures: dict[str, Any], stated: Ranks, counted: Ranks, draws: Array
    ) -> None:
        """Compare the *figures* of a language with what its ranks give, and with ours."""
        once = np.ones((1, draws.shape[1]))
        by_told, by_counted = stated.figures(once), counted.figures(once)
        resampled = counted.figures(draws)
        for name, figure in _named(figures).items():
            what, value, ours = f"{name}{where}", figure["value"], by_counted[name][0]
            self.most = max(self.most, abs(value - ours))
            self._hold(what, value, "its own ranks give", by_told[name][0], ROUNDING)
            self._hold(what, value, "counted anew it is", ours, TOLERANCE)
            step = counted.step(name)
            for end, sign in (("low", 1), ("high", -1)):
                low = sign * figure[end]
                self._hold_end(f"{what}, {end} end", low, sign * resampled[name], step)

    def _hold(self, what: str, value: float, how: str, other: float, tolerance: float) -> None:
        if abs(value - other) > tolerance:
            self.wrong.append(
                f"{what}: {value:.6f}, and {how} {other:.6f}; {tolerance:g} they may differ by"
            )

    def _hold_end(self, what: str, low: float, resampled: Array, step: float) -> None:
        """
        Hold the *low* end of an interval to where 2.5 % of the *resampled* figures lie.

        Where few searches are hits, a recall takes few values, which lie about a *step* apart, and
        2.5 % may fall between two of them: so that they are to lie beyond within a step.
        """
        some = resampled[~np.isnan(resampled)]
        below, not_above = np.mean(some < low - step), np.mean(some <= low + step)
        if below > BEYOND + BEYOND_TOLERANCE or not_above < BEYOND - BEYOND_TOLERANCE:
            self.wrong.append(
                f"{what}: {below:.1%} to {not_above:.1%} of other resamples lie beyond "
                f"{abs(low):.6f}; {BEYOND:.1%} are to, by {BEYOND_TOLERANCE:.0%} more or less"
            )


def recounted(run: dict[str, Any], folder: Path) -> Recount:
    """Count a *run* of `imagesearch eval --json` on the set in *folder* anew."""
    names = [picture["name"] for picture in run["measured"]]
    captions = _captions(folder, names)
    recount = Recount([*_wrong_counts(run, captions)])
    if recount.wrong:
        return recount
    stated = told_ranks(run)
    counted = counted_ranks(
        run["model"],
        folder,
        captions,
        per_spread=run.get("per_spread", True),
        share=run.get("hubness_share", 0.5),
        phrase_share=run.get("phrase_share", 0.0),
    )
    draws = _draws(len(names))
    for figures in run["figures"]:
        language = figures["language"]
        where = f" in {language}" if language else ""
        recount.compare_ranks(where, stated[language], counted[language])
        recount.compare_figures(where, figures, stated[language], counted[language], draws)
    return recount


def _wrong_counts(run: dict[str, Any], captions: Captions) -> Iterator[str]:
    stated = {each["language"]: (each["pictures"], each["captions"]) for each in run["figures"]}
    languages = {language for some in captions.values() for language, _ in some}
    for language in sorted({*stated, *languages}):
        of_language = [sum(language == each for each, _ in some) for some in captions.values()]
        counted = (int(np.count_nonzero(of_language)), sum(of_language))
        if stated.get(language) != counted:
            yield (
                f"pictures and captions in {language or 'no language'}: {stated.get(language)}, "
                f"and captions.csv has {counted}"
            )


def _named(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the figures of one language by our names, each with the ends of its interval."""
    named = {
        f"{direction} R@{k}": figure
        for direction, row in figures["recall"].items()
        for k, figure in zip(AT, row, strict=True)
    }
    if figures["no_match"]["value"] is not None:
        named[NO_MATCH] = figures["no_match"]
    return named


def _draws(pictures: int) -> Array:
    """Return how often each picture is drawn with replacement, (*_RESAMPLES*, pictures)."""
    rng = np.random.default_rng(_RESAMPLES_SEED)
    drawn = [rng.choice(pictures, pictures) for _ in range(_RESAMPLES)]
    return np.array([np.bincount(each, minlength=pictures) for each in drawn], np.float64)


def _captions(folder: Path, names: Collection[str]) -> Captions:
    """Return the captions of the pictures *names* in the order of those, each caption once."""
    captions: Captions = {name: [] for name in names}
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            caption = (row["language"], row["caption"].strip())
            some = captions.get(row["image"])
            if some is not None and caption not in some and len(caption[1]) <= _MOST_CHARACTERS:
                some.append(caption)
    return captions


def told_ranks(run: dict[str, Any]) -> dict[str, Ranks]:
    """Return by language the searches in the JSON."""
    by_language: dict[str, Ranks] = {}
    for number, picture in enumerate(run["measured"]):
        for caption in picture["captions"]:
            ranks = by_language.setdefault(caption["language"], Ranks())
            ranks.add("picture", number, caption["rank"])
            ranks.add("picture by cosine", number, caption["cosine_rank"])
            if caption["strength"] is not None:
                both = (caption["strength"], caption["strength_without"])
                ranks.strengths.append((number, *both))
        for language, rank in picture["caption_ranks"].items():
            by_language.setdefault(language, Ranks()).add("caption", number, rank)
    return by_language


def counted_ranks(
    model: str,
    folder: Path,
    captions: Captions,
    *,
    per_spread: bool,
    share: float,
    phrase_share: float,
) -> dict[str, Ranks]:
    """Return by language the searches as they are counted here."""
    reference = Reference(model)
    # A search has pictures as the cache keeps them.
    images = reference.images([folder / name for name in captions]).astype("float16").astype(float)
    owners: dict[str, set[int]] = {}
    for number, some in enumerate(captions.values()):
        for _, text in some:
            owners.setdefault(text, set()).add(number)
    texts = dict(zip(owners, reference.texts(list(owners)), strict=True))
    anything = reference.texts(_reference_captions(model))
    penalty = share * np.sort(images @ anything.T, axis=1)[:, -_HIGHEST:].mean(axis=1)
    phrases = {text: phrases_of(text) if phrase_share else () for text in owners}
    different = sorted({phrase for some in phrases.values() for phrase in some})
    vectors = dict(zip(different, reference.texts(different), strict=True)) if different else {}
    least = np.median((anything @ anything.T).std(axis=1)) / 2

    def scores(text: str) -> Array:
        whole: Array = (images * texts[text]).sum(axis=1) - penalty
        if not phrases[text]:
            return whole
        apart = [(images * vectors[phrase]).sum(axis=1) - penalty for phrase in phrases[text]]
        judged: Array = (1 - phrase_share) * whole + phrase_share * np.min(apart, axis=0)
        return judged

    def strengths_of(text: str) -> Array:
        spread = max((anything * texts[text]).sum(axis=1).std(), least)
        return scores(text) / spread if per_spread else scores(text)

    strengths = _best_strengths(strengths_of, owners, len(images))
    counted: dict[str, Ranks] = {}
    for number, some in enumerate(captions.values()):
        for language, text in some:
            ranks = counted.setdefault(language, Ranks())
            cosines = (images * texts[text]).sum(axis=1)
            ranks.add("picture", number, _rank(scores(text), {number}))
            ranks.add("picture by cosine", number, _rank(cosines, {number}))
            if text in strengths:
                ranks.strengths.append((number, *strengths[text]))
    for language, ranks in counted.items():
        for number, rank in _caption_ranks(images, texts, captions, language):
            ranks.add("caption", number, rank)
    return counted


def _reference_captions(model: str) -> list[str]:
    own = Path(model) / "references.txt"
    lines = (own if own.exists() else REFERENCE_CAPTIONS).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _rank(scores: Array, right: Collection[int]) -> int:
    """Return the place from 1 on of the first right one; of those that tie it comes last."""
    values = scores.tolist()
    order = sorted(range(len(values)), key=lambda each: (-values[each], each in right))
    return 1 + next(place for place, each in enumerate(order) if each in right)


def _caption_ranks(
    images: Array, texts: dict[str, Array], captions: Captions, language: str
) -> Iterator[tuple[int, int]]:
    """Yield each picture's number and the rank of its first caption among those in *language*."""
    own = [[text for each, text in some if each == language] for some in captions.values()]
    different = list(dict.fromkeys(text for some in own for text in some))
    vectors = np.array([texts[text] for text in different])
    for number, some in enumerate(own):
        if some:
            scores = (vectors * images[number]).sum(axis=1)
            yield number, _rank(scores, {different.index(text) for text in some})


def _best_strengths(
    strengths_of: Callable[[str], Array], owners: dict[str, set[int]], pictures: int
) -> dict[str, tuple[float, float]]:
    """Return of each text the best strength with a picture of its own among 200, and without."""
    rng = np.random.default_rng(_POOL_SEED)  # the draws are the program's
    best = {}
    for text in owners:
        strengths = strengths_of(text)
        pool = rng.choice(pictures, min(_POOL, pictures), replace=False).tolist()
        answer = rng.choice(sorted(owners[text]))
        others = [strengths[each] for each in pool if each not in owners[text]]
        if others:
            best[text] = (max(strengths[answer], *strengths[pool]), max(others))
    return best


def main(arguments: Sequence[str]) -> None:
    """Check each run in a file, and end with 1 where a figure is wrong."""
    if len(arguments) != 2:
        sys.exit(__doc__)
    file, folder = map(Path, arguments)
    for run in json.loads(file.read_text(encoding="utf-8"))["runs"]:
        recount = recounted(run, folder)
        if recount.wrong:
            sys.exit("\n".join(f"error: {file}: {each}" for each in recount.wrong))
        print(
            f"{file}: counted anew, {recount.moved} of {recount.searches} ranks are others, and no "
            f"figure differs by more than {recount.most:.6f} of {TOLERANCE}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
