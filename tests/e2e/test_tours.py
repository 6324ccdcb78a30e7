"""The tours of docs/tours/, taken: each command that says so is run, as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Serving
from tests.e2e.test_cli import imagesearch
from tests.machine import Machine
from tests.unit.test_first_deployment import machine_in
from tools import openapi
from tools.pictures import picture

ROOT = Path(__file__).resolve().parents[2]
TOURS = ROOT / "docs" / "tours"
EXECUTED = "<!-- executed by tests/e2e/test_tours.py -->"


def commands(tour: str, program: str) -> list[list[str]]:
    """Return the commands of *program* in the blocks of *tour* that say that they are executed."""
    text = (TOURS / tour).read_text()
    blocks = re.findall(rf"{re.escape(EXECUTED)}\n```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(program)]


def test_every_command_that_says_so_is_run_by_a_test_below() -> None:
    programs = {
        "front-end.md": ["curl"],
        "newcomer.md": [".venv/bin/imagesearch"],
        "operator.md": ["python3 -m tools.costs", "tools/first_deployment.sh"],
    }
    assert {path.name for path in TOURS.iterdir()} == set(programs)
    for tour, tried in programs.items():
        marked = sum(len(commands(tour, program)) for program in tried)
        assert marked == len(commands(tour, "")), tour
        assert marked


def answers_of_the_front_end(server: Serving) -> list[requests.Response]:
    urls = [words[-1] for words in commands("front-end.md", "curl")]
    there = [url.replace("http://127.0.0.1:8080", server.url) for url in urls]
    return [requests.get(url, timeout=40) for url in there]


def test_a_front_end_is_answered_as_its_tour_says(server: Serving) -> None:
    once, new, wrong = answers_of_the_front_end(server)
    assert once.status_code == 200
    shown = once.json()["results"]
    assert len(shown) == 3
    for result in shown:
        assert {"url", "width", "height", "match", "credit"} <= set(result)
    assert once.json()["matched"]
    assert new.status_code == 202
    assert int(new.headers["Retry-After"]) >= 1
    assert wrong.status_code == 400
    assert wrong.json()["error"]["field"] == "k"


def test_a_front_end_is_told_of_every_word_that_match_can_be() -> None:
    words = openapi.read()["components"]["schemas"]["Hit"]["properties"]["match"]["enum"]
    text = (TOURS / "front-end.md").read_text()
    (told,) = re.findall(r"`match` is (.*?);", text, re.DOTALL)
    assert re.findall(r"`(\w+)`", told) == words


def test_who_comes_new_finds_what_the_tour_says(server: Serving, tmp_path: Path) -> None:
    pictures = tmp_path / "Pictures"
    pictures.mkdir()
    picture(1, 64, 48).save(pictures / "red car.jpg")
    printed = []
    for _, *words in commands("newcomer.md", ".venv/bin/imagesearch"):
        there = [word.replace("~", str(tmp_path)) for word in words]
        there = [str(tmp_path / word) if word.endswith(".png") else word for word in there]
        run = imagesearch(*there, DATA_DIR=str(server.data_dir))
        assert run.returncode == 0, run.stderr
        printed.append(run.stdout)
    horses, pizza, everywhere, _, collections, car, _ = printed
    assert all(len(set(re.findall(r"demo-\d+", table))) in (2, 3) for table in printed[:3])
    assert "horse, flower" in horses
    assert "cat, pizza" in pizza
    assert "horse" in everywhere
    assert (tmp_path / "found.png").stat().st_size > 1_000
    assert "Pictures" in collections
    assert "red car.jpg" in car


def test_an_operator_sees_what_it_costs() -> None:
    (words,) = commands("operator.md", "python3 -m tools.costs")
    run = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for profile in ("cpu", "gpu", "split"):
        assert profile in run.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


def test_an_operator_sees_every_command_of_a_deployment_and_none_is_done(machine: Machine) -> None:
    shutil.copytree(ROOT / "tools", machine.project / "tools")
    shutil.copytree(ROOT / "terraform" / "environments", machine.project / "terraform/environments")
    (words,) = commands("operator.md", "tools/first_deployment.sh")
    ended = machine.run(["bash", *words], PIXABAY_API_KEY="12345-secret")
    assert ended.returncode == 0, ended.stderr
    assert "+ sh tools/build_docs.sh" in ended.stdout
    assert ended.stdout.count("\n+ terraform ") >= 2
    assert not machine.calls
