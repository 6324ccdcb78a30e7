"""
Compares checkpoints of the hub with figures that others have published: `make check-weights`.

Tests have random weights, which cannot tell whether the product makes of real ones what their
authors did. This loads them by the product's own code. The figures, and where each is from, are in
`published_figures.toml`.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from huggingface_hub import constants

from imagesearch.devices import fastest_device
from inference_service.model import Model
from inference_service.model_folder import ModelFolder

PUBLISHED = Path(__file__).with_name("published_figures.toml")
BFLOAT16_TIMES = 10  # how much further off logits may be: it has 8 bits where float32 has 24
FETCH_SECONDS = 60.0
KINDS = ("dimension", "millions", "tokens", "logits", "shares")


@dataclass(frozen=True)
class Figure:
    """One published result, a number or several; `published_figures.toml` says what each is."""

    model: str
    kind: str
    published: tuple[float, ...]
    within: float
    source: str
    told: dict[str, Any]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Figure:
        """Return what an entry of the file says; ValueError where it is of no kind."""
        kind = next((each for each in KINDS if each in entry), None)
        if kind is None:
            raise ValueError(f"a figure must have one of {', '.join(KINDS)}, got {entry}")
        numbers = tuple(np.atleast_1d(entry[kind]).tolist())
        return cls(entry["model"], kind, numbers, entry["within"], entry["source"], entry)

    @property
    def what(self) -> str:
        """What was measured, in words."""
        of = self.told.get("texts") or self.told.get("text") or self.told.get("tower")
        return f"{self.kind} of {of}" if of else self.kind


@dataclass(frozen=True)
class Outcome:
    """What came of a figure: the numbers, and how far off they may be; or why there are none."""

    measured: tuple[float, ...] = ()
    within: float = 0.0
    why_not: str = ""

    def agrees(self, published: tuple[float, ...]) -> bool:
        """Return whether it was measured and is what was published."""
        if self.why_not or len(self.measured) != len(published):
            return False
        far = np.abs(np.subtract(self.measured, published))
        return bool((far <= self.within + 1e-9).all())  # not a number is not within


def main() -> None:
    """Print a row for each figure; exit with 1 unless all agree, with 2 without a hub."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="hub ids; by default all")
    parser.add_argument("--figures", type=Path, default=PUBLISHED, metavar="FILE")
    asked = parser.parse_args()
    entries = tomllib.loads(asked.figures.read_text(encoding="utf-8"))["figure"]
    figures = [Figure.of(entry) for entry in entries]
    if unknown := set(asked.models) - {figure.model for figure in figures}:
        parser.error(f"no figure is known of {', '.join(sorted(unknown))}")
    if why := _unreachable():
        print(why, file=sys.stderr)
        sys.exit(2)
    chosen = [figure for figure in figures if not asked.models or figure.model in asked.models]
    sys.exit(0 if check(chosen) else 1)


def check(figures: Sequence[Figure]) -> bool:
    """Measure and print *figures*, those of a model one after the other; say if all agree."""
    agreeing = 0
    for model, of_it in groupby(figures, key=lambda figure: figure.model):
        print(f"\n{model}", flush=True)
        for figure, outcome in _outcomes(model, of_it):
            agrees = outcome.agrees(figure.published)
            agreeing += agrees
            print(_row(figure, outcome, agrees), flush=True)
    print(f"\n{agreeing} of {len(figures)} figures are as published.")
    return agreeing == len(figures)


def _unreachable() -> str:
    """Return a sentence when the hub does not answer; whatever it answers, it is there."""
    if constants.HF_HUB_OFFLINE:
        return ""  # asked for: what was downloaded before is checked
    try:
        httpx.head(constants.ENDPOINT, timeout=FETCH_SECONDS)
    except httpx.TransportError as error:
        return f"The hub, {constants.ENDPOINT}, cannot be reached, so nothing was checked: {error}"
    return ""


def _outcomes(model: str, figures: Iterable[Figure]) -> Iterable[tuple[Figure, Outcome]]:
    try:
        path = ModelFolder.find(model).path
        loaded = Model.load(path, fastest_device(), in_float32=True)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        for figure in figures:
            yield figure, Outcome(why_not=_line(error))
        return
    for figure in figures:
        yield figure, _outcome(loaded, figure)


def _outcome(model: Model, figure: Figure) -> Outcome:
    try:
        measured = tuple(np.atleast_1d(_MEASURES[figure.kind](model, figure.told)).tolist())
    except (httpx.HTTPError, ValueError) as error:
        return Outcome(why_not=_line(error))
    times = BFLOAT16_TIMES if figure.kind == "logits" and _is_bfloat16() else 1
    return Outcome(measured, times * figure.within)


def _dimension(model: Model, _: dict[str, Any]) -> int:
    return len(model.embed_texts(["a"])[0].vector)


def _millions(model: Model, entry: dict[str, Any]) -> float:
    tower = entry.get("tower")
    shapes = [
        shape
        for name, shape in model.family.parameters.items()
        if tower is None or name.startswith(f"{tower}_model.")
    ]
    return sum(int(np.prod(shape)) for shape in shapes) / 1e6


def _tokens(model: Model, entry: dict[str, Any]) -> Any:
    """Return as many as were published: some families fill up what follows."""
    return model.tokenize([entry["text"]]).ids[0, : len(entry["tokens"])]


def _logits(model: Model, entry: dict[str, Any]) -> Any:
    [picture] = model.embed_pictures([model.preprocess(_fetched(entry["picture"]))])
    texts = np.array([each.vector for each in model.embed_texts(entry["texts"])])
    return model.logit_scale * (texts @ picture) + model.logit_bias


def _shares(model: Model, entry: dict[str, Any]) -> Any:
    logits = _logits(model, entry)
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


_MEASURES: dict[str, Callable[[Model, dict[str, Any]], Any]] = {
    "dimension": _dimension,
    "millions": _millions,
    "tokens": _tokens,
    "logits": _logits,
    "shares": _shares,
}


@cache
def _fetched(url: str) -> bytes:
    answer = httpx.get(url, follow_redirects=True, timeout=FETCH_SECONDS)
    return answer.raise_for_status().content


@cache
def _is_bfloat16() -> bool:
    import openvino  # here: a figure of tokens needs none

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return fastest_device() != "cpu" or "BF16" in capabilities


def _row(figure: Figure, outcome: Outcome, agrees: bool) -> str:
    if outcome.why_not:
        return f"  NOT MEASURED  {figure.what}: {outcome.why_not}"
    verdict = "as published" if agrees else "DIFFERS     "
    within = f" within {outcome.within:g}" if outcome.within else ""
    row = (
        f"  {verdict}  {figure.what}: published {_listed(figure.published)}{within},"
        f" measured {_listed(outcome.measured)}"
    )
    return row if agrees else f"{row}\n                source: {figure.source}"


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:.8g}" for number in numbers)


def _line(error: Exception) -> str:
    return str(error).split("\n")[0]


if __name__ == "__main__":
    main()
