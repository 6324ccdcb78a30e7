"""A change of the model as people do it: another CLIP_MODEL, under load, over many pools."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from imagesearch.demo.scenes import THINGS
from imagesearch.local.emulated.cloud_stack import PROJECT
from imagesearch.settings import DEMO_MODEL
from tests.e2e.cloud import CLEAN
from tests.e2e.conftest import serving
from tests.effort import amount

KEYWORDS = [*THINGS][: amount(24, 50)]
SEARCHERS = 4
READING = 0.05  # seconds before the next search; without, they take all of what embeds
LIMITS = {"RATE_LIMIT_PER_MINUTE": "1000000", "NEW_KEYWORDS_PER_MINUTE": "10000"}
PROGRAM = (sys.executable, "-m", "imagesearch")
EVERYTHING: dict[str, str | int] = {"scope": "catalog", "s_query": "a dog in the snow", "k": 5}


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    """Two checkpoints of one size and of different revisions."""
    folders = [tmp_path / "models" / name for name in ("old", "new")]
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


def filled(data_dir: Path, model: str) -> dict[str, int]:
    """Fill the pools by *model*, and return how many images each has."""
    with serving(data_dir, CLIP_MODEL=model, POOL_SIZE="12", **LIMITS) as server:
        for keyword in KEYWORDS:
            server.search(**pool_of(keyword, keyword))
        images = {
            each: len(server.complete(**{**pool_of(each, each), "wait": 5})["results"])
            for each in KEYWORDS
        }
        assert server.stop() in (0, -2, 130)
    assert all(images.values()), images
    return images


def test_a_change_under_load_over_many_pools_has_no_answer_without_results_and_no_error(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    """The new model's process is killed on the way, too, and the next one goes on."""
    data_dir = tmp_path / "data"
    images = filled(data_dir, models[0])
    [(old, embedded)] = revisions(data_dir).items()
    outcomes: Counter[str] = Counter()
    with serving(data_dir, CLIP_MODEL=models[1], POOL_SIZE="12", **LIMITS) as server:
        for is_last in (False, True):
            load = Load(server.url, images)
            with load.running():
                await_models(data_dir, *((1, 1) if is_last else (2, 2)))
                time.sleep(amount(24, 50) / 50)
            outcomes += load.outcomes
            if not is_last:
                assert len(revisions(data_dir)) == 2, "it was over before it was broken off"
                server.kill()
                server.start()
        everything = server.search(**EVERYTHING).json()
    assert set(outcomes) == {"whole"}, outcomes
    assert outcomes["whole"] > 100
    assert (everything["complete"], everything["covered"]) == (True, 1.0)
    [(new, again)] = revisions(data_dir).items()
    assert new != old
    assert again == embedded
    assert (data_dir / "model").read_text().strip() == models[1]
    seconds = sorted(load.seconds)
    middle, late = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    print(
        f"{sum(outcomes.values())} answers over {len(images)} pools of {embedded} images:", end=""
    )
    print(f" median {middle * 1000:.0f} ms, 99 % within {late * 1000:.0f} ms")


def reembed(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [*PROGRAM, "reembed", *arguments],
        env={**CLEAN, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_command_embeds_all_and_says_what_came_of_it(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir, CLIP_MODEL=models[0], POOL_SIZE="5") as server:
        server.complete(**pool_of("horse", "a horse"))
        refused = reembed(DATA_DIR=str(data_dir), CLIP_MODEL=models[1])
        server.stop()
    assert refused.returncode == 1
    assert server.url in refused.stderr
    assert "`imagesearch serve` embeds what is stored by itself" in refused.stderr
    run = reembed(DATA_DIR=str(data_dir), CLIP_MODEL=models[1])
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "5 of 5 images are embedded by this model.",
        "5 embeddings of other models were deleted.",
    ]
    assert len(revisions(data_dir)) == 1


def test_the_command_names_what_it_lacks_in_the_cloud() -> None:
    for settings, lack in (
        ({}, "GOOGLE_CLOUD_PROJECT is missing"),
        ({"GOOGLE_CLOUD_PROJECT": PROJECT}, "--model-revision must be what GET /started"),
    ):
        run = reembed(EDITION="cloud", **settings)
        assert (run.returncode, run.stdout) == (1, "")
        assert lack in run.stderr
