"""`imagesearch eval` and `compare` as a person runs them, with the demo's model and captions."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from imagesearch.demo.scenes import FEATURED
from imagesearch.demo.wording import describe
from inference_service.encoder import ModelEncoder
from inference_service.model import Model
from tests.e2e.test_cli import imagesearch
from tools.demo_captions import write_captioned

PICTURES = 40
MISSES = 20  # by captions of other pictures; the model misses hardly any other
MODEL = Path(__file__).resolve().parents[2] / "models" / "demo"


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval") / "captioned"
    write_captioned(folder, PICTURES)
    names = sorted(path.name for path in folder.glob("*.jpg"))
    with (folder / "captions.csv").open("a") as file:
        file.write("gone.jpg,a picture that is gone\n")
        rows = zip(names[:MISSES], map(describe, FEATURED), strict=False)
        file.writelines(f"{name},{text}\n" for name, text in rows)
    return folder


def different_captions(folder: Path) -> list[tuple[str, str]]:
    """Return each picture with its captions, of which several may be the same."""
    with (folder / "captions.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    return list(dict.fromkeys((name, text) for name, text in rows if name != "gone.jpg"))


@pytest.fixture(scope="module")
def run_json(captioned: Path) -> str:
    run = imagesearch("eval", str(captioned), "--json", CLIP_MODEL=str(MODEL))
    assert run.returncode == 0, run.stderr
    assert "Left out: captions whose picture is missing: 1 (gone.jpg)" in run.stderr
    return run.stdout


@pytest.mark.parametrize("command", ["eval", "calibrate"])
def test_what_is_measured_is_computed_in_float32_on_every_processor(
    command: str, captioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, seen = Model.load, []

    def noting(folder: Path, device: str, *, in_float32: bool = False) -> Model:
        seen.append(in_float32)
        return load(folder, device, in_float32=in_float32)

    monkeypatch.setattr(Model, "load", noting)
    imagesearch(command, str(captioned), CLIP_MODEL=str(MODEL))
    assert seen == [True]


def test_it_prints_what_plain_python_counts(captioned: Path, run_json: str) -> None:
    [run] = json.loads(run_json)["runs"]
    plain = plain_recalls(captioned)
    [figures] = run["figures"]
    assert figures["pictures"] == PICTURES
    captions = len(different_captions(captioned))
    assert figures["captions"] == captions
    for found, recalls in plain.items():
        values = [figure["value"] for figure in figures["recall"][found]]
        assert values == pytest.approx(recalls, abs=1 / captions + 1e-6), found
        assert all(f["low"] <= f["value"] <= f["high"] for f in figures["recall"][found])
    assert figures["recall"]["picture"][2]["value"] > 0.5, "the demo's model finds its scenes"
    assert figures["no_match"]["value"] > 0.7


def plain_recalls(folder: Path) -> dict[str, list[float]]:
    """Return R@1, 5, 10 by loops and sorted lists, of one picture and text at a time."""
    pairs = different_captions(folder)
    names = sorted({name for name, _ in pairs})
    encoder = ModelEncoder.load(str(MODEL), in_float32=True)
    try:
        images: dict[str, list[float]] = {}
        for name in names:
            [outcome] = encoder.encode_images([(folder / name).read_bytes()])
            images[name] = outcome.vector.tolist()  # type: ignore[union-attr]
        texts = {text: encoder.encode_text(text).vector.tolist() for _, text in pairs}
        references = encoder.references.embeddings.tolist()
    finally:
        encoder.close()
    hubness = {
        name: sum(sorted(dot(image, each) for each in references)[-16:]) / 16
        for name, image in images.items()
    }
    by_search, by_cosine, by_picture = [], [], []
    for name, text in pairs:
        cosines = {other: dot(texts[text], image) for other, image in images.items()}
        by_cosine.append(place(name, cosines))
        by_search.append(place(name, {each: cosines[each] - hubness[each] / 2 for each in cosines}))
    for name, image in images.items():
        cosines = {text: dot(vector, image) for text, vector in texts.items()}
        by_picture.append(min(place(text, cosines) for owner, text in pairs if owner == name))
    found = {"picture": by_search, "picture by cosine": by_cosine, "caption": by_picture}
    return {
        name: [sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)]
        for name, ranks in found.items()
    }


def dot(left: list[float], right: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def place(name: str, scores: dict[str, float]) -> int:
    return sorted(scores, key=lambda each: -scores[each]).index(name) + 1


def test_two_models_are_tables_and_their_differences_and_a_page(
    captioned: Path, tmp_path: Path
) -> None:
    html = tmp_path / "misses.html"
    run = imagesearch(
        *("eval", str(captioned), "--model", str(MODEL), "--model", str(MODEL)),
        *("--html", str(html)),
    )
    assert run.returncode == 0, run.stderr
    captions = len(different_captions(captioned))
    assert run.stdout.count(f"{PICTURES} pictures, {captions} captions: a CSV with") == 2
    assert len(re.findall(r"^picture by cosine +\d", run.stdout, re.MULTILINE)) == 2
    assert re.search(r"^picture +\+0\.0 \+0\.0…\+0\.0", run.stdout, re.MULTILINE)
    page = html.read_text()
    assert page.count("data:image/jpeg;base64,") > 10
    assert "its picture, rank " in page
    assert not re.search(r"<script|https?://|src=\"(?!data:)", page), (
        "it needs nothing besides itself"
    )


def test_runs_are_compared(run_json: str, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    after.write_text(run_json)
    changed: dict[str, Any] = json.loads(run_json)
    for picture in changed["runs"][0]["measured"]:
        for caption in picture["captions"]:
            caption["rank"] += 10
    before.write_text(json.dumps(changed))
    run = imagesearch("compare", str(before), str(after))
    assert run.returncode == 0, run.stderr
    assert re.search(r"^picture +\+\d+\.\d \+\d+\.\d…\+\d+\.\d \*", run.stdout, re.MULTILINE)
    assert re.search(r"^caption +\+0\.0 \+0\.0…\+0\.0", run.stdout, re.MULTILINE)


def test_one_run_is_not_compared(run_json: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(run_json)
    alone = imagesearch("compare", str(file))
    assert (alone.returncode, alone.stdout) == (2, "")
    assert alone.stderr.splitlines() == [
        f"error: Invalid value for RUN: two runs are needed to compare, and {file} has one"
    ]
    run: dict[str, Any] = json.loads(run_json)
    file.write_text(json.dumps({**run, "runs": run["runs"] * 2}))
    assert imagesearch("compare", str(file)).returncode == 0


def test_what_cannot_be_read_or_written_is_one_line(captioned: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, reason in (
        (("eval", str(empty)), "what can be read: a CSV with"),
        (("eval", str(tmp_path / "none")), "does not exist"),
        (("eval", str(captioned), "--html", str(tmp_path / "none" / "x.html")), "No such file"),
        (("eval", str(captioned), "--model", str(empty)), "cannot be loaded"),
        (("calibrate", str(captioned)), "at least 100 pictures with captions are needed, got 40"),
        (("compare", str(captioned / "captions.csv")), "is no output of `imagesearch eval --json`"),
    ):
        run = imagesearch(*arguments, CLIP_MODEL=str(MODEL))
        assert run.returncode == 1
        [*_, line] = run.stderr.splitlines()
        assert line.startswith("error: "), run.stderr
        assert reason in line


@pytest.mark.parametrize("command", ["eval", "compare", "calibrate"])
def test_help_shows_examples(command: str) -> None:
    run = imagesearch(command, "--help")
    assert run.returncode == 0
    assert f"\n    imagesearch {command}" in run.stdout
