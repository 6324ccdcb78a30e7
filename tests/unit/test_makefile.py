"""`make run` after the folder was moved or its Python is gone; pip is stood in for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Makes a virtual environment and, as pip would, a program in it that names its Python.
PYTHON = f"""#!/bin/sh
[ "$1" = -c ] && exit 0
'{sys.executable}' -m venv --without-pip --clear .venv || exit 1
touch "$(echo .venv/lib/python*/site-packages)/pip.py"
for name in pip imagesearch; do
    printf '#!/bin/sh\\nexec "%s" -c "print(42)"\\n' "$(pwd -P)/.venv/bin/python" > .venv/bin/$name
    chmod +x .venv/bin/$name
done
echo >> made
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder" / "clone"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "tools/runs_here.py", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    assert run(folder) == 1
    return folder


def run(folder: Path) -> int:
    """Run `make run` in *folder* to its end; return how often an environment was made there."""
    ended = subprocess.run(
        # Within another make, as in CI, it would name the folders that it enters and leaves.
        ["make", "--no-print-directory", "run", "PYTHON=./python", "PIP=:"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "PWD")},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "42"
    return len((folder / "made").read_text())


def test_what_runs_is_not_made_again(clone: Path) -> None:
    assert run(clone) == 1


def test_a_path_too_long_for_a_first_line_is_known(clone: Path) -> None:
    """Past 127 characters pip names the Python on the second line, and without quotes."""
    python = clone.resolve() / ".venv" / "bin" / "python3"
    (python.parent / "pip").write_text(f"#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n")
    assert run(clone) == 1


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_a_folder_elsewhere_makes_its_own(clone: Path, move: Callable[..., object]) -> None:
    """Also where the end of its path is the same."""
    elsewhere = clone.parent / "other" / "a folder" / "clone"
    elsewhere.parent.mkdir(parents=True)
    move(clone, elsewhere)
    assert run(elsewhere) == 2
    assert run(elsewhere) == 2


def python_gone(environment: Path) -> None:
    for name in ("python", "python3"):
        (environment / "bin" / name).unlink()
        (environment / "bin" / name).symlink_to("/gone/python3")


def python_upgraded(environment: Path) -> None:
    (library,) = environment.glob("lib/python*")
    library.rename(environment / "lib" / "python3.1")


def half_made(environment: Path) -> None:
    (environment / "run").unlink()
    (environment / "bin" / "pip").unlink()


@pytest.mark.parametrize("happened", [python_gone, python_upgraded, half_made])
def test_what_does_not_run_is_made_anew(clone: Path, happened: Callable[[Path], None]) -> None:
    happened(clone / ".venv")
    assert run(clone) == 2
    assert run(clone) == 2
