"""`make eval` on packages that the test makes, and the second computation of its figures."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagesearch.settings import DEMO_MODEL
from inference_service.encoder import ModelEncoder
from tests.e2e.test_cli import imagesearch
from tests.eval_packages import write_clipart, write_stamps
from tools.eval import clipart, recount, stamps
from tools.eval.__main__ import main
from tools.eval.reference import Reference
from tools.siglip_checkpoints import save_siglip_2, tiny_config

ROOT = Path(__file__).resolve().parents[2]


def make_eval(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.eval", "--folder", str(folder), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        timeout=300,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Both sets, measured; and what was printed."""
    folder = tmp_path_factory.mktemp("eval")
    write_stamps(folder / "packages" / stamps.PACKAGE)
    write_clipart(folder / "packages" / clipart.PACKAGE)
    # In this process, which has read torch and `transformers`: another takes seconds for them.
    told = io.StringIO()
    arguments = ["tools.eval", "--folder", str(folder), "--languages", "en", "de", "ja"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(told):
        patch.chdir(ROOT)
        patch.setattr("sys.argv", arguments)
        main()
    return folder, told.getvalue()


@pytest.fixture(scope="module")
def run(measured: tuple[Path, str]) -> dict[str, Any]:
    [run] = json.loads((measured[0] / "stamps.json").read_text())["runs"]
    return dict(run)


def test_each_set_gets_a_table_json_and_a_page_and_is_counted_anew(
    measured: tuple[Path, str],
) -> None:
    folder, told = measured
    for name, pictures in (("stamps", 14), ("clipart", 7)):
        [run] = json.loads((folder / f"{name}.json").read_text())["runs"]
        assert len(run["measured"]) == pictures
        assert (folder / f"{name}.txt").read_text() in told
        assert "The worst misses" in (folder / f"{name}.html").read_text()
        assert f"{folder / name}.json: counted anew, " in told
    [run] = json.loads((folder / "stamps.json").read_text())["runs"]
    assert [figures["language"] for figures in run["figures"]] == ["de", "en", "ja"]
    assert run["shared_captions"] == 9


def test_a_figure_that_is_altered_is_told(
    measured: tuple[Path, str], run: dict[str, Any], counted_once: None
) -> None:
    folder = measured[0] / "stamps"
    assert recount.recounted(run, folder).wrong == []
    for alter, told in (
        (lambda of: of["recall"]["picture"][1], "picture R@5 in en: "),
        (lambda of: of["recall"]["picture by cosine"][2], "picture by cosine R@10 in en: "),
        (lambda of: of["recall"]["caption"][0], "caption R@1 in en: "),
        (lambda of: of["no_match"], "no match in en: "),
    ):
        assert {told} == {line[: len(told)] for line in after(run, folder, alter, "value", 1e-4)}
    [line] = after(run, folder, lambda of: of["no_match"], "high", 0.1)
    assert line.startswith("no match in en, high end: ")


@pytest.fixture(scope="module")
def counted(measured: tuple[Path, str], run: dict[str, Any]) -> Any:
    """What the second computation makes of the pictures, which no altered figure changes."""
    folder = measured[0] / "stamps"
    names = [picture["name"] for picture in run["measured"]]
    return recount.counted_ranks(
        run["model"],
        folder,
        recount._captions(folder, names),
        per_spread=run["per_spread"],
        share=run["hubness_share"],
        phrase_share=run["phrase_share"],
    )


@pytest.fixture
def counted_once(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recount, "counted_ranks", lambda *_, **__: counted)


def after(
    run: dict[str, Any],
    folder: Path,
    figure: Callable[[dict[str, Any]], dict[str, float]],
    key: str,
    by: float,
) -> list[str]:
    """Return what is wrong once a figure of the English captions is altered."""
    altered = copy.deepcopy(run)
    figure(altered["figures"][1])[key] += by
    return recount.recounted(altered, folder).wrong


def test_ranks_and_captions_that_are_others_are_told(
    measured: tuple[Path, str], run: dict[str, Any], counted_once: None
) -> None:
    folder = measured[0] / "stamps"
    altered = copy.deepcopy(run)
    altered["measured"][0]["caption_ranks"]["de"] += 1
    assert "caption in de: 1 of 13 ranks are others" in recount.recounted(altered, folder).wrong[0]
    altered = copy.deepcopy(run)
    altered["figures"][0]["captions"] -= 1
    assert recount.recounted(altered, folder).wrong == [
        "pictures and captions in de: (13, 12), and captions.csv has (13, 13)"
    ]


def test_a_wrong_figure_ends_it_with_1(
    measured: tuple[Path, str], run: dict[str, Any], tmp_path: Path
) -> None:
    altered = copy.deepcopy(run)
    altered["figures"][0]["captions"] += 1
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"schema_version": 1, "runs": [altered]}))
    with pytest.raises(SystemExit, match=r"error: .*captions in de") as ended:
        recount.main([str(file), str(measured[0] / "stamps")])
    assert ended.value.code != 0


def test_a_model_of_the_other_family_is_counted_anew(
    measured: tuple[Path, str], tmp_path: Path
) -> None:
    save_siglip_2(tmp_path / "model", tiny_config())
    folder = measured[0] / "stamps"
    told = imagesearch("eval", str(folder), "--json", "--model", str(tmp_path / "model"))
    assert told.returncode == 0, told.stderr
    [run] = json.loads(told.stdout)["runs"]
    counted = recount.recounted(run, folder)
    assert counted.wrong == []
    assert counted.searches == sum(2 * of["captions"] + of["pictures"] for of in run["figures"])


def test_an_end_of_a_recall_of_few_hits_may_be_the_next_hit_and_not_the_one_after() -> None:
    ranks = recount.Ranks(found={"picture": [(picture, 1) for picture in range(100)]})
    step = ranks.step("picture R@1")
    assert step == pytest.approx(0.01)
    # Of a thousand resamples one has 4 hits in 100, 40 have 5: 2.5 % lie below none of these.
    resampled = np.array([0.04] * 1 + [0.05] * 40 + [0.06] * 959)
    for low, is_wrong in ((0.0349, True), (0.0401, False), (0.0549, False), (0.0701, True)):
        held = recount.Recount()
        held._hold_end("picture R@1, low end", low, resampled, step)
        assert bool(held.wrong) is is_wrong, (low, held.wrong)


def test_both_computations_have_float32_of_weights_that_are_kept_in_float16() -> None:
    encoder = ModelEncoder.load(str(DEMO_MODEL), in_float32=True)
    reference = Reference(str(DEMO_MODEL))
    queries = ["horses amidst flowers", "eine Ente", "三頭の牛"]
    try:
        ours = [encoder.encode_text(query).vector for query in queries]
    finally:
        encoder.close()
    np.testing.assert_allclose(reference.texts(queries), ours, atol=3e-6)


def test_right_ones_come_last_of_those_that_tie() -> None:
    scores = np.array([0.5, 0.7, 0.5, 0.1])
    assert recount._rank(scores, {0}) == 3
    assert recount._rank(scores, {0, 2}) == 2
    assert recount._rank(scores, {1}) == 1


def test_without_apt_it_is_one_line(tmp_path: Path) -> None:
    run = make_eval(tmp_path / "eval", "--sets", "clipart", PATH=str(tmp_path))
    assert run.returncode == 1
    assert run.stderr == (
        "error: openclipart-svg is a package of Debian, and apt-get is not here, which gets it\n"
    )


def test_a_model_that_is_none_ends_it(measured: tuple[Path, str], tmp_path: Path) -> None:
    for name in (stamps.PACKAGE,):
        (tmp_path / "packages").mkdir()
        (tmp_path / "packages" / name).symlink_to(measured[0] / "packages" / name)
    run = make_eval(tmp_path, "--sets", "stamps", "--model", "./none")
    assert run.returncode == 1
    assert "cannot be loaded" in run.stderr
    assert "Traceback" not in run.stderr


def test_captions_csv_is_what_the_second_computation_reads(measured: tuple[Path, str]) -> None:
    folder = measured[0] / "stamps"
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["image"], row["language"], row["caption"]) for row in csv.DictReader(file)]
    captions = recount._captions(folder, {name for name, _, _ in rows})
    assert sorted((name, *each) for name, some in captions.items() for each in some) == sorted(rows)
