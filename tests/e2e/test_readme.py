"""What the README says, done: its commands, its answer, its settings."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from imagesearch.demo.gallery import FIRST_ID
from imagesearch.demo.scenes import scene
from tests.e2e.cloud import complete
from tests.e2e.conftest import Serving
from tests.e2e.test_cli import imagesearch
from tests.precision import has_bfloat16
from tools.pictures import picture

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
# What differs from run to run: where it runs, how long it took, what each pool's id is made of.
VARYING = {"next", "timings", "age_seconds", "pool_id", "url", "top_urls"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(start: str) -> list[list[str]]:
    return [
        shlex.split(line)
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith(start)
    ]


def command(start: str) -> list[str]:
    [words] = commands(start)
    return words


def without_varying(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_varying(one) for key, one in value.items() if key not in VARYING}
    return [without_varying(one) for one in value] if isinstance(value, list) else value


def steady(value: Any, bound: float = 0.02) -> Any:
    """Return *value* without what varies, its numbers to the precision that machines share."""
    if isinstance(value, dict):
        # Those are logits, each many cosines; bfloat16 keeps 8 bits.
        bounds = {"top_scores": 0.1} if has_bfloat16() else {}
        return {
            key: steady(one, bounds.get(key, bound))
            for key, one in value.items()
            if key not in VARYING
        }
    if isinstance(value, list):
        return [steady(one, bound) for one in value]
    return pytest.approx(value, abs=bound) if isinstance(value, float) else value


def test_the_curl_example_gives_the_answer_that_is_shown(server: Serving) -> None:
    url = command("curl")[1].replace("http://127.0.0.1:8080", server.url)
    server.complete(t="horse", s_query="x")
    text = requests.get(url, timeout=30).text
    answer = json.loads(text.replace(server.url, "http://127.0.0.1:8080"))
    shown = json.loads(blocks("json")[0])
    assert without_varying(answer) == steady(shown)
    assert set(answer) == set(shown)
    assert answer["top_urls"] == shown["top_urls"]


def test_the_curl_example_gives_the_same_answer_over_the_emulators(cloud_url: str) -> None:
    """But for where its images and the gallery are."""
    url = command("curl")[1].replace("http://127.0.0.1:8080", cloud_url)
    complete(cloud_url, t="horse", s_query="x")
    answer = requests.get(url, timeout=30).json()
    shown = json.loads(blocks("json")[0])
    for result in [*answer["results"], *shown["results"]]:
        del result["page_url"]
    assert without_varying(answer) == steady(shown)
    assert set(answer) == set(shown)


def test_the_error_example_is_the_real_error(server: Serving) -> None:
    error = server.search(t="horse", s_query="x", k=0).json()
    assert error == json.loads(blocks("json")[1])


@pytest.mark.parametrize(
    ("row", "things", "counted"),
    [
        (0, {"horse", "flower"}, None),
        (1, {"dog", "guitar", "moon"}, None),
        (2, {"cow"}, 3),
        (3, {"cat", "pizza"}, None),
    ],
)
def test_the_hits_of_each_example_show_what_it_asks_for(
    server: Serving, row: int, things: set[str], counted: int | None
) -> None:
    [program, *arguments] = commands(".venv/bin/imagesearch search")[row]
    assert program == ".venv/bin/imagesearch"
    run = imagesearch(*arguments, "--json", DATA_DIR=str(server.data_dir))
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert 1 <= len(answer["results"]) <= 3
    ids = [int(hit["image_id"].removeprefix("demo-")) for hit in answer["results"]]
    shown = [scene(image_id - FIRST_ID) for image_id in ids]
    assert {group.thing for group in shown[0].groups} >= things
    assert any(counted in (None, each.groups[0].count) for each in shown)
    assert answer["matched"]


def test_the_further_examples_of_the_command_line_run(server: Serving) -> None:
    server.complete(t="horse", s_query="x")
    examples = commands(".venv/bin/imagesearch search")[4:7]
    for _, *arguments in examples:
        run = imagesearch(*arguments, DATA_DIR=str(server.data_dir))
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("demo-") == 10, arguments


def test_the_examples_of_own_pictures_add_and_search_a_folder(tmp_path: Path) -> None:
    (tmp_path / "Pictures").mkdir()
    exif = Image.Exif()
    exif[306] = "2020:01:01 10:00:00"
    exif.get_ifd(34665)[36867] = "2019:12:24 18:00:00"
    picture(1, 64, 48).save(tmp_path / "Pictures" / "dog.jpg", exif=exif)
    (add,) = commands(".venv/bin/imagesearch add")
    search = commands(".venv/bin/imagesearch search")[7]
    for _, *arguments in (add, search):
        # By the demo's model, as no hub is reached.
        offline = [word for word in arguments if word not in ("--model", "small")]
        words = [word.replace("~", str(tmp_path)) for word in offline]
        run = imagesearch(*words, DATA_DIR=str(tmp_path / "data"))
        assert run.returncode == 0, run.stderr
    assert "dog.jpg" in run.stdout


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    documents = [README, (ROOT / "CONTRIBUTING.md").read_text()]
    # As code only: `make run`, or at the start of a line of a block.
    named = set(re.findall(r"(?:^|`)(?:\S+=\S+ )*make ([a-z-]+)", "\n".join(documents), re.M))
    assert named >= {"run", "emulators", "test", "format", "lock"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_extra_that_is_named_exists() -> None:
    """What the lines around it install is tried in test_wheel.py."""
    named = set(re.findall(r"pip install '(?:imagesearch|\.)\[(\w+)\]'", README))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert named
    assert named <= set(extras)


def test_every_link_to_a_file_leads_to_one() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_module_runs_as_the_installed_command_does() -> None:
    installed = Path(sys.executable).with_name("imagesearch")
    run = subprocess.run([installed, "--help"], capture_output=True, text=True, check=True)
    assert "serve" in run.stdout
    assert "search" in run.stdout
