"""Fixed queries in many languages, each with what a picture that answers it shows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagesearch.demo import drawing, keywords, scenes
from imagesearch.demo.scenes import Scene
from imagesearch.domain.images import Embeddings
from imagesearch.domain.ranking import HUBNESS_REFERENCES
from inference_service.model import Model
from tests.effort import amount

FOLDER = Path(__file__).resolve().parents[2] / "models" / "demo"
QUERIES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("demo_queries.json").read_text(encoding="utf-8")
)
POOL = 200
TOP = 3
TRIED = QUERIES[:: amount(6, 1)]
LEAST = amount(3, 22)
DRAWN = amount(80, POOL)  # of each pool that is tried


def pool_of(keyword: str) -> list[Scene]:
    """Return the scenes that are in the keyword's pool: the first by id."""
    return [scenes.scene(scene_id) for scene_id in sorted(keywords.find_scenes(keyword))[:POOL]]


def is_answered(shows: dict[str, Any], scene: Scene) -> bool:
    """Return whether *scene* shows all that a query says; None stands for any number."""
    counts = {group.thing: group.count for group in scene.groups}
    return all(
        thing in counts and count in (None, counts[thing])
        for thing, count in shows["things"].items()
    ) and all(getattr(scene, name) == shows[name] for name in shows if name != "things")


def test_there_are_24_queries_each_with_a_known_thing_place_and_time() -> None:
    assert len({each["query"] for each in QUERIES}) == 24
    for each in QUERIES:
        assert scenes.THINGS.keys() >= each["shows"]["things"].keys()
        assert each["shows"].get("place", "sea") in scenes.PLACES
        assert each["shows"].get("time", "day") in scenes.TIMES


@pytest.mark.parametrize("each", QUERIES, ids=lambda each: each["query"])
def test_the_pool_of_the_keyword_has_pictures_that_answer_and_others(each: dict[str, Any]) -> None:
    answers = [is_answered(each["shows"], scene) for scene in pool_of(each["keyword"])]
    assert any(answers)
    assert not all(answers)


def texts(model: Model, queries: list[str]) -> Embeddings:
    return np.stack([text.vector for query in queries for text in model.embed_texts([query])])


@pytest.mark.slow  # it draws some 300 pictures, and 4,000 for all
def test_of_the_pool_of_its_keyword_the_model_ranks_a_right_picture_among_three() -> None:
    """By the product's own code, from JPEG bytes on; the ranking is computed here."""
    model = Model.load(FOLDER, "cpu")
    references = texts(model, (FOLDER / "references.txt").read_text("utf-8").splitlines())
    share = tomllib.loads((FOLDER / "calibration.toml").read_text("utf-8"))["hubness_share"]
    missed = []
    for each in TRIED:
        pool = pool_of(each["keyword"])[:DRAWN]
        assert any(is_answered(each["shows"], scene) for scene in pool)
        images = model.embed_images([model.preprocess(drawing.jpeg(scene)) for scene in pool])
        hubness = np.sort(images @ references.T)[:, -HUBNESS_REFERENCES:].mean(axis=1)
        scores = images @ texts(model, [each["query"]])[0] - share * hubness
        best = [pool[row] for row in np.argsort(-scores)[:TOP]]
        if not any(is_answered(each["shows"], scene) for scene in best):
            missed.append(each["query"])
    assert len(TRIED) - len(missed) >= LEAST, missed
