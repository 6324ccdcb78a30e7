"""`make check-weights` over a stub hub with random weights: it measures, and says what differs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import SiglipModel
from transformers.models.siglip import SiglipImageProcessorPil

from imagesearch.named_models import NAMED_MODELS
from tests.stub_http import Request, StubServer, reply
from tools.check_weights import PUBLISHED
from tools.pictures import encoded, picture
from tools.siglip_checkpoints import TEXT_LENGTH, reference_tokenizer, save_siglip_2, tiny_config

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PICTURE = picture(3, 60, 50)
TEXTS = ["a horse", "the very last flower"]


@dataclass(frozen=True)
class Hub:
    """A hub that has one checkpoint under every name, and the picture at /picture."""

    folder: Path
    url: str


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("random")
    save_siglip_2(folder, tiny_config())
    files = {file.name: file.read_bytes() for file in folder.iterdir()}

    def answer(request: Request) -> bytes:
        # It answers HEAD with a body, too, which must not be taken for the next answer.
        shared = {"Connection": "close", "X_Repo_Commit": COMMIT}
        path = request.target.partition("?")[0]
        if path == "/picture":
            return reply(200, encoded(PICTURE, "PNG"), **shared)
        asked = re.fullmatch(r"(?:/api/models)?/[\w.-]+/[\w.-]+/(\w+)/[^/]+(?:/(.+))?", path)
        verb, name = asked.groups() if asked else ("", None)
        if verb == "revision":
            return reply(200, json.dumps({"id": "a/model", "sha": COMMIT}), **shared)
        if verb == "tree":
            listed = [
                {"type": "file", "path": name, "size": len(data), "oid": f"{len(data):040x}"}
                for name, data in files.items()
            ]
            return reply(200, json.dumps(listed), Content_Type="application/json", **shared)
        if verb == "resolve" and name in files:
            return reply(200, files[name], ETag=f'"{len(files[name]):040x}"', **shared)
        return reply(404, **shared)

    with StubServer(answer) as server:
        yield Hub(folder, server.origin)


def check(url: str, home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the library reads where the hub is when it is imported."""
    places = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "tools.check_weights", *arguments],
        env=os.environ | places,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def written(path: Path, *figures: dict[str, Any]) -> Path:
    told = {"model": "some/model", "within": 0, "source": "the library itself"}
    lines = [
        f"{name} = {json.dumps(value)}"
        for figure in figures
        for name, value in [("[figure]", None), *(told | figure).items()]
    ]
    path.write_text("\n".join(lines).replace("[figure] = null", "[[figure]]"))
    return path


@torch.inference_mode()
def of_the_library(hub: Hub) -> list[dict[str, Any]]:
    """Return what `transformers` makes of the hub's own weights."""
    model = SiglipModel.from_pretrained(hub.folder)
    tokenizer = reference_tokenizer(hub.folder)
    options: Any = {"max_length": TEXT_LENGTH, "padding": "max_length", "return_tensors": "pt"}
    processor: Any = SiglipImageProcessorPil.from_pretrained(hub.folder)
    pixels = processor([PICTURE], return_tensors="pt")["pixel_values"]
    ids = tokenizer(TEXTS, **options)["input_ids"]
    logits = model(input_ids=ids, pixel_values=pixels).logits_per_image[0]
    of_picture = {"texts": TEXTS, "picture": f"{hub.url}/picture", "within": 0.05}
    tokens = ids[0].tolist()
    vision = sum(parameter.numel() for parameter in model.vision_model.parameters()) / 1e6
    return [
        {"dimension": 32},
        {"millions": vision, "tower": "vision"},
        {"tokens": tokens[: tokens.index(1) + 1], "text": TEXTS[0]},
        {"logits": logits.tolist(), **of_picture},
        {"shares": logits.softmax(0).tolist(), **of_picture},
    ]


def test_what_the_library_makes_of_the_same_weights_is_as_published(
    hub: Hub, tmp_path: Path
) -> None:
    figures = written(tmp_path / "figures.toml", *of_the_library(hub))
    checked = check(hub.url, tmp_path, "--figures", figures)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.count("as published  ") == 5
    assert checked.stdout.endswith("5 of 5 figures are as published.\n")


def test_each_altered_number_is_named_with_what_was_measured_and_its_source(
    hub: Hub, tmp_path: Path
) -> None:
    altered = of_the_library(hub)
    altered[0]["dimension"] = 33
    altered[1]["millions"] += 0.001
    altered[2]["tokens"][0] += 1
    altered[3]["logits"][1] += 0.5
    altered[4]["picture"] = f"{hub.url}/no-picture"
    figures = written(tmp_path / "figures.toml", *altered)
    checked = check(hub.url, tmp_path, "--figures", figures)
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout.count("DIFFERS") == 4
    assert checked.stdout.count("source: the library itself") == 4
    assert "dimension: published 33, measured 32\n" in checked.stdout
    assert "NOT MEASURED  shares" in checked.stdout
    assert checked.stdout.endswith("0 of 5 figures are as published.\n")


def test_random_weights_are_none_of_the_published_models(hub: Hub, tmp_path: Path) -> None:
    """Every figure is asked for by the addresses of the file, but for the pictures'."""
    figures = tmp_path / "figures.toml"
    here = f'picture = "{hub.url}/picture"'
    figures.write_text(re.sub(r'(?m)^picture = ".*"', here, PUBLISHED.read_text(encoding="utf-8")))
    checked = check(hub.url, tmp_path, "--figures", figures)
    assert (checked.returncode, checked.stderr) == (1, "")
    told = tomllib.loads(figures.read_text(encoding="utf-8"))["figure"]
    rows = re.findall(r"(?m)^  (DIFFERS|as published) +(.*)", checked.stdout)
    assert len(rows) == len(told)
    assert all(verdict == "DIFFERS" for verdict, what in rows if "shares" not in what)


def test_each_named_model_has_figures_and_its_dimension_is_one_of_them() -> None:
    told = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))["figure"]
    dimensions = {each["model"]: each["dimension"] for each in told if "dimension" in each}
    for by_device in NAMED_MODELS.values():
        for model in by_device.values():
            assert dimensions[model.hub_id] == model.embedding_dimension


def test_without_a_hub_one_sentence_says_so(tmp_path: Path) -> None:
    with StubServer(lambda _: reply(200)) as server:
        closed = server.origin
    checked = check(closed, tmp_path)
    assert checked.returncode == 2
    assert checked.stdout == ""
    [line] = checked.stderr.splitlines()
    assert line.startswith(f"The hub, {closed}, cannot be reached, so nothing was checked: ")


def test_a_model_without_figures_is_refused(tmp_path: Path) -> None:
    checked = check("http://127.0.0.1:1", tmp_path, "some/other")
    assert checked.returncode == 2
    assert "no figure is known of some/other" in checked.stderr
