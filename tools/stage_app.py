"""Lays the app out for `flet build`, which wants a folder of its own with a `main.py`.

    python -m tools.stage_app --api-url https://search.example.org
    flet build apk build/app

A package for a telephone has the address of the imagesearch that it searches built in. `flet build`
adds what its pyproject.toml names, Flutter's engine and Python.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tomllib
from pathlib import Path

from app.settings import settings_of

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "build" / "app"
CLIENT = ("__init__.py", "client", "domain", "setting_types.py")  # of imagesearch/
PYDANTIC = "pydantic>=2.9,<3"  # as pyproject.toml has it
MAIN = '"""Where `flet build` begins."""\n\nfrom app.main import show\n\nshow()\n'
PROJECT = """\
[project]
name = "imagesearch"
version = "{version}"
description = "Search pictures by a sentence."
requires-python = ">=3.11"
dependencies = [{dependencies}]

[tool.flet]
product = "imagesearch"
org = "org.imagesearch"

[tool.flet.app]
module = "main"
"""


def stage(api_url: str, target: Path = TARGET) -> None:
    """
    Write what `flet build` takes into *target*, in place of what is there.

    Raises:
        ValueError: *api_url* is no address of an API.
    """
    url = settings_of({"API_URL": api_url}).api_url
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "server.py", "Dockerfile", "requirements.*")
    shutil.copytree(ROOT / "app", target / "app", ignore=ignored)
    for name in CLIENT:
        _copy(ROOT / "imagesearch" / name, target / "imagesearch" / name)
    (target / "app" / "assets" / "api_url.txt").write_text(url, encoding="utf-8")
    shutil.copytree(target / "app" / "assets", target / "assets")
    (target / "main.py").write_text(MAIN, encoding="utf-8")
    (target / "pyproject.toml").write_text(
        PROJECT.format(version=_version(), dependencies=_dependencies()), encoding="utf-8"
    )


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version: str = project["version"]
    return version


def _dependencies() -> str:
    """
    Return what is to be installed: as requirements-dev.lock pins it, but for pydantic.

    Its core is compiled, and Flet has wheels of some versions for telephones:
    https://docs.flet.dev/reference/binary-packages-android-ios
    """
    lines = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line.startswith(("flet==", "requests==", "urllib3=="))]
    return ", ".join(f'"{name}"' for name in [*pins, PYDANTIC])


def main() -> None:
    """Stage the app as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--api-url", required=True, metavar="URL", help="what the app searches")
    try:
        stage(parser.parse_args().api_url)
    except ValueError as error:
        sys.exit(str(error))
    print(f"{TARGET.relative_to(ROOT)} is ready: flet build apk {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
