"""A change of the model as people do it: another CLIP_MODEL, under load, over many pools."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from imagesearch.demo.scenes import THINGS
from imagesearch.local.emulated.cloud_stack import PROJECT
from imagesearch.settings import DEMO_MODEL
from tests.e2e.conftest import serving
from tests.e2e.test_cli import imagesearch
from tests.effort import amount

KEYWORDS = [*THINGS][: amount(16, 50)]
SEARCHERS = 4
READING = 0.15  # seconds before the next search; without, they take all of what embeds
LIMITS = {"RATE_LIMIT_PER_MINUTE": "1000000", "NEW_KEYWORDS_PER_MINUTE": "10000"}
EVERYTHING: dict[str, str | int] = {"scope": "catalog", "s_query": "a dog in the snow", "k": 5}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two checkpoints of one size and of different revisions."""
    folders = [tmp_path_factory.mktemp("models") / name for name in ("old", "new")]
    for folder in folders:
        shutil.copytree(DEMO_MODEL, folder)
    return str(folders[0]), str(folders[1])


class Load:
    """Searchers who ask for one pool after another, and sometimes for everything."""

    def __init__(self, url: str, images: dict[str, int]) -> None:
        self.url, self.images = url, images
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.is_over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(SEARCHERS) as threads:
            searching = [threads.submit(self._search, random.Random(n)) for n in range(SEARCHERS)]
            try:
                yield
            finally:
                self.is_over.set()
            for each in searching:
                each.result()

    def _search(self, chosen: random.Random) -> None:
        session = requests.Session()
        while not self.is_over.wait(READING):
            keyword = chosen.choice(list(self.images))
            everything = chosen.random() < 0.1
            asked = EVERYTHING if everything else pool_of(keyword, f"a {chosen.random()} {keyword}")
            began = time.monotonic()
            answer = session.get(f"{self.url}/search", params=asked, timeout=40)
            self.seconds.append(time.monotonic() - began)
            self.outcomes[self._outcome(answer, 5 if everything else self.images[keyword])] += 1

    @staticmethod
    def _outcome(answer: requests.Response, expected: int) -> str:
        if answer.status_code != 200:
            return f"error {answer.status_code}"
        results = len(answer.json()["results"])
        return "whole" if results == expected else f"{results} of {expected}"


def pool_of(keyword: str, sentence: str) -> dict[str, str | int]:
    return {"t": keyword, "s_query": sentence, "k": 200, "fold": "false", "wait": 0}


def revisions(data_dir: Path) -> dict[str, int]:
    """Return how many embeddings there are of each model."""
    with closing(sqlite3.connect(data_dir / "catalog.sqlite", timeout=30)) as connection:
        rows = connection.execute(
            "SELECT model_revision, count(*) FROM embeddings GROUP BY model_revision"
        )
        return dict(rows.fetchall())


def await_models(data_dir: Path, least: int, most: int) -> dict[str, int]:
    """Return the models of which there are embeddings once there are so many."""
    give_up_at = time.monotonic() + 300
    while not least <= len(found := revisions(data_dir)) <= most:
        assert time.monotonic() < give_up_at, found
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Filled:
    """
    A data folder with pools of one of the two models, which each test changes to the other one.

    Attributes:
        images: how many each keyword has.
        url: of the server that filled it, which has ended.
        refused: what `imagesearch reembed` said beside that server.
    """

    data_dir: Path
    models: tuple[str, str]
    images: dict[str, int]
    url: str
    refused: subprocess.CompletedProcess[str]

    @property
    def other_model(self) -> str:
        """The model that did not embed what is there."""
        now = (self.data_dir / "model").read_text().strip()
        (other,) = set(self.models) - {now}
        return other


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, models: tuple[str, str]) -> Filled:
    data_dir = tmp_path_factory.mktemp("change") / "data"
    with serving(data_dir, CLIP_MODEL=models[0], POOL_SIZE="12", **LIMITS) as server:
        for keyword in KEYWORDS:
            server.search(**pool_of(keyword, keyword))
        images = {
            each: len(server.complete(**{**pool_of(each, each), "wait": 5})["results"])
            for each in KEYWORDS
        }
        refused = imagesearch("reembed", DATA_DIR=str(data_dir), CLIP_MODEL=models[1])
        assert server.stop() in (0, -2, 130)
    assert all(images.values()), images
    return Filled(data_dir, models, images, server.url, refused)


def test_a_change_under_load_over_many_pools_has_no_answer_without_results_and_no_error(
    filled: Filled,
) -> None:
    """The new model's process is killed on the way, too, and the next one goes on."""
    data_dir, images, model = filled.data_dir, filled.images, filled.other_model
    [(old, embedded)] = revisions(data_dir).items()
    outcomes: Counter[str] = Counter()
    with serving(data_dir, CLIP_MODEL=model, POOL_SIZE="12", **LIMITS) as server:
        for is_last in (False, True):
            load = Load(server.url, images)
            with load.running():
                await_models(data_dir, *((1, 1) if is_last else (2, 2)))
                time.sleep(amount(12, 50) / 50)
            outcomes += load.outcomes
            if not is_last:
                assert len(revisions(data_dir)) == 2, "it was over before it was broken off"
                server.kill()
                server.start()
        everything = server.search(**EVERYTHING).json()
    assert set(outcomes) == {"whole"}, outcomes
    assert outcomes["whole"] > amount(15, 100)
    assert (everything["complete"], everything["covered"]) == (True, 1.0)
    [(new, again)] = revisions(data_dir).items()
    assert new != old
    assert again == embedded
    assert (data_dir / "model").read_text().strip() == model
    seconds = sorted(load.seconds)
    middle, late = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    print(
        f"{sum(outcomes.values())} answers over {len(images)} pools of {embedded} images:", end=""
    )
    print(f" median {middle * 1000:.0f} ms, 99 % within {late * 1000:.0f} ms")


def test_the_command_embeds_all_and_says_what_came_of_it(filled: Filled) -> None:
    assert filled.refused.returncode == 1
    assert filled.url in filled.refused.stderr
    assert "`imagesearch serve` embeds what is stored by itself" in filled.refused.stderr
    [(old, embedded)] = revisions(filled.data_dir).items()
    run = imagesearch("reembed", DATA_DIR=str(filled.data_dir), CLIP_MODEL=filled.other_model)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        f"{embedded} of {embedded} images are embedded by this model.",
        f"{embedded} embeddings of other models were deleted.",
    ]
    [(new, again)] = revisions(filled.data_dir).items()
    assert (new != old, again) == (True, embedded)


def test_the_command_names_what_it_lacks_in_the_cloud() -> None:
    for settings, lack in (
        ({}, "GOOGLE_CLOUD_PROJECT is missing"),
        ({"GOOGLE_CLOUD_PROJECT": PROJECT}, "--model-revision must be what GET /started"),
    ):
        run = imagesearch("reembed", EDITION="cloud", **settings)
        assert (run.returncode, run.stdout) == (1, "")
        assert lack in run.stderr
