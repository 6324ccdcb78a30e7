"""What makes the tests fast: files in groups, slow ones left out, things made once a run."""

from __future__ import annotations

import re
import subprocess
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest

from tests import conftest
from tests.once import SHARED, once

TESTS = Path(__file__).parents[1]
ASK = """
import pathlib, sys, time
from tests.once import once

def make():
    with pathlib.Path(sys.argv[1]).open("a") as made:
        made.write("made ")
    time.sleep(0.2)
    return ["a", 1, None]

print(once("thing", make))
"""


def test_the_files_that_are_named_are_there_and_in_one_place() -> None:
    files = {path.name for path in TESTS.rglob("test_*.py")}
    grouped = [file for group in conftest.GROUPS.values() for file in group]
    named = [*grouped, *conftest.LONG]
    assert set(named) | conftest.SLOW <= files
    assert len(named) == len(set(named))


def test_a_file_that_is_named_is_in_its_group_and_others_are_one_each() -> None:
    assert conftest.group_of("tests/e2e/test_cloud_ends.py::test_a[b/c.py::d]") == "faults"
    assert conftest.group_of("tests/unit/test_client.py::test_a") == "test_client.py"


@pytest.mark.slow
def test_the_fast_tests_are_collected_without_torch() -> None:
    """`make check` would end there, which `make test` does not notice."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-m", conftest.FAST],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_a_group_runs_in_one_worker() -> None:
    """Each of several would start its servers."""
    files = {"test_clients.py", "test_http_api.py", "test_public_errors.py"}
    command = [sys.executable, "-m", "pytest", "--verbose", "--numprocesses=2"]
    run = subprocess.run(
        [*command, *(str(TESTS / "unit" / file) for file in sorted(files))],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    passed = re.findall(r"\[(gw\d)\] \[ *\d+%\] PASSED tests/unit/(\w+\.py)::", run.stdout)
    assert {file for _, file in passed} == files
    assert len(set(passed)) == len(files), set(passed)
    assert len({worker for worker, _ in passed}) == 2


def test_the_fast_tests_are_asked_for_in_the_words_that_leave_slow_files_unread() -> None:
    makefile = (TESTS.parent / "Makefile").read_text()
    assert f'-m "{conftest.FAST}"' in makefile


def test_fast_tests_write_to_memory_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not conftest.has_room(tmp_path / "none")
    monkeypatch.setattr(conftest, "MEMORY_BYTES", 0)
    assert conftest.has_room(tmp_path)
    monkeypatch.setattr(conftest, "MEMORY_BYTES", 1 << 60)
    assert not conftest.has_room(tmp_path)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SHARED, str(tmp_path))
    return tmp_path


def test_processes_that_ask_at_once_get_what_one_of_them_made(shared: Path) -> None:
    def ask(_: int) -> str:
        command = [sys.executable, "-c", ASK, str(shared / "made")]
        return subprocess.run(
            command, cwd=TESTS.parent, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    with ThreadPool(3) as callers:
        assert set(callers.map(ask, range(3))) == {"['a', 1, None]\n"}
    assert (shared / "made").read_text() == "made "


def test_what_failed_is_made_by_the_next_who_asks(shared: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        once("ratio", lambda: 1 / 0)
    assert once("ratio", lambda: 0.5) == 0.5
