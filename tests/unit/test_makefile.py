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
printf 'import os\\nprint(os.environ.get("PIP_SETTINGS", ""))\\n' \\
    > "$(echo .venv/lib/python*/site-packages)/pip.py"
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


def run(folder: Path, pip: str = ":", **environment: str) -> int:
    """Run `make run` in *folder* to its end; return how often an environment was made there."""
    # Within another make, as in CI, it would name the folders that it enters and leaves.
    makes = ("MAKEFLAGS", "PWD")
    inherited = {name: value for name, value in os.environ.items() if name not in makes}
    ended = subprocess.run(
        ["make", "--no-print-directory", "run", "PYTHON=./python", f"PIP={pip}"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**inherited, **environment},
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


# Notes what it is asked for; the uv that it installs does so, too, and ends as it is told to.
PIP = """#!/bin/sh
echo "pip $*" >> asked
while [ $# -gt 0 ] && [ "$1" != --target ]; do shift; done
[ $# = 0 ] && exit
mkdir "$2/bin"
said='uv $* $UV_EXTRA_INDEX_URL $UV_FIND_LINKS'
printf '#!/bin/sh\necho "%s" >> asked\nexit %s\n' "$said" "$UV_ENDS_WITH" > "$2/bin/uv"
chmod +x "$2/bin/uv"
"""


@pytest.mark.parametrize(
    ("pip_settings", "uv_ends_with", "installers"),
    [
        ("", 0, ["pip", "uv"]),  # pip installs uv
        ("global.extra-index-url='https://more'", 0, ["pip", "uv"]),
        ("", 1, ["pip", "uv", "pip", "pip"]),
        ("global.index-url='https://mirror'", 0, ["pip", "pip"]),
        (":env:.no-index='1'", 0, ["pip", "pip"]),
        ("install.proxy='proxy:3128'", 0, ["pip", "pip"]),
    ],
)
def test_pip_installs_where_its_settings_lead_elsewhere_and_where_uv_fails(
    clone: Path, pip_settings: str, uv_ends_with: int, installers: list[str]
) -> None:
    shutil.copy2(ROOT / "requirements-dev.lock", clone)
    (clone / "pip").write_text(PIP)
    (clone / "pip").chmod(0o755)
    python_gone(clone / ".venv")
    settings = {"PIP_SETTINGS": pip_settings, "UV_ENDS_WITH": str(uv_ends_with)}
    assert run(clone, pip="./pip", **settings) == 2
    lines = (clone / "asked").read_text().splitlines()
    assert [line.partition(" ")[0] for line in lines] == installers
    assert "--editable ." in lines[-1]


def test_uv_is_told_of_the_further_places_that_pip_knows(clone: Path) -> None:
    """Without PyTorch's index it would take the gigabytes of CUDA."""
    shutil.copy2(ROOT / "requirements-dev.lock", clone)
    (clone / "pip").write_text(PIP)
    (clone / "pip").chmod(0o755)
    python_gone(clone / ".venv")
    places = "global.extra-index-url='https://a\\nhttps://b'\nglobal.find-links='/c /d'"
    assert run(clone, pip="./pip", PIP_SETTINGS=places, UV_ENDS_WITH="0") == 2
    (line,) = (line for line in (clone / "asked").read_text().splitlines() if line[:2] == "uv")
    assert line.endswith("--editable . https://a https://b /c,/d")
