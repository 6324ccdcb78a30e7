"""A change of the model in the cloud edition, under load."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable

import pytest
import requests

from imagesearch.demo.scenes import THINGS
from imagesearch.settings import DEMO_MODEL
from tests.e2e.cloud import complete
from tests.e2e.cloud_counts import FaultyCloud, tell
from tests.e2e.test_model_change import EVERYTHING, Load, pool_of
from tests.effort import amount

KEYWORDS = [*THINGS][: amount(6, 12)]
IMAGES = 6


def test_a_change_in_the_cloud_edition_under_load_has_no_answer_without_results_and_no_error(
    faulty: FaultyCloud,
    typed: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """
    The roll-out itself is Cloud Run's: the load begins when the new revision answers.

    The stack goes on with the new model. This is the first test of a stack, as all that is stored
    is embedded anew.
    """
    stack, scorer = faulty.stack, faulty.child("inference")
    new = tmp_path_factory.mktemp("models") / "new"
    shutil.copytree(DEMO_MODEL, new)
    with faulty.pools_of(IMAGES):
        images = {
            each: len(complete(stack.query_url, **pool_of(each, each))["results"])
            for each in KEYWORDS
        }
        scorer.kill()
        tell(scorer, CLIP_MODEL=str(new), PREVIOUS_CLIP_MODEL=str(DEMO_MODEL))
        stack.restart("inference")
        tell(scorer, PREVIOUS_CLIP_MODEL="")
        started = requests.get(f"{scorer.url}/started", timeout=40).json()
        load = Load(stack.query_url, images)
        with load.running():
            run = typed("reembed", "--model-revision", started["model_revision"])
            time.sleep(1)
        everything = requests.get(f"{stack.query_url}/search", params=EVERYTHING, timeout=40)
    assert run.startswith("0: "), run
    assert set(load.outcomes) == {"whole"}, load.outcomes
    assert load.outcomes["whole"] > 15
    assert everything.json()["covered"] == 1.0
    told = re.search(r"(\d+) of (\d+) images are embedded by this model", run)
    assert told is not None, run
    assert told[1] == told[2]
    assert f"{told[1]} embeddings of other models were deleted." in run
    print(f"{sum(load.outcomes.values())} answers over {len(images)} pools: {run}")
