"""The wheel, installed alone and used in an empty folder; the source distribution is the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Serving

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
# By now the tests' environment has what they need.
OFFLINE = ("--quiet", "--no-deps", "--no-index")
NOT_BUILT_FROM = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "docs", "tests")


@dataclass(frozen=True)
class Installation:
    """
    An installed imagesearch.

    Attributes:
        scripts: the folder of its programs.
        folder: where they are run, which is empty.
        home: of the user who runs them.
    """

    scripts: Path
    folder: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        unwanted = ("PIXABAY_API_KEY", "COVERAGE_PROCESS_CONFIG", "PYTHONPATH", "XDG_DATA_HOME")
        clean = {name: value for name, value in os.environ.items() if name not in unwanted}
        own = {"HOME": str(self.home), "DATA_DIR": "", "COLUMNS": "200"}
        return {**clean, **own, "POOL_SIZE": "20"}  # 200 would be embedded for each search

    def run(self, program: str, *arguments: str) -> str:
        """Return what *program* prints."""
        ended = subprocess.run(
            [self.scripts / program, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


# What pip has setuptools do for a folder; then for the source distribution of the same folder.
BUILD = """
import shutil, sys, tomllib
from importlib import import_module
from os import chdir
from pathlib import Path
source, target = map(Path, sys.argv[1:])
chdir(source)
project = tomllib.loads(Path("pyproject.toml").read_text())
build_meta = import_module(project["build-system"]["build-backend"])
build_meta.build_sdist(str(target))
build_meta.build_wheel(str(target / "wheel"))
(archive,) = target.glob("*.tar.gz")
shutil.unpack_archive(archive, target / "unpacked", filter="data")
chdir(next((target / "unpacked").iterdir()))
build_meta.build_wheel(str(target / "sdist"))
"""


@dataclass(frozen=True)
class Built:
    """Two wheels: of the checkout, and of the source distribution that was made of it."""

    wheel: Path
    of_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    place = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, place / "source", ignore=NOT_BUILT_FROM)
    command = [sys.executable, "-c", BUILD, str(place / "source"), str(place)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(place / "source")
    (wheel,), (of_sdist,) = (place.glob(f"{name}/*.whl") for name in ("wheel", "sdist"))
    return Built(wheel, of_sdist)


def link_locked_packages(folder: Path, file: str = "requirements.lock") -> None:
    """Make *folder* one of the packages that the lock *file* names, and of nothing else."""
    folder.mkdir()
    lock = (ROOT / file).read_text()
    names = re.findall(r"^[a-z0-9-]+(?===)", lock, re.MULTILINE)
    if file == "requirements.lock" and sys.version_info < (3, 11, 3):
        names.append("async-timeout")  # which redis asks for of an older Python
    for name in names:
        package = distribution(name)
        for entry in {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}:
            link = folder / entry
            if not link.is_symlink():
                link.symlink_to(Path(str(package.locate_file(entry))))


@pytest.fixture(scope="module")
def installation(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "venv", with_pip=False, symlinks=True)
    python = place / "venv" / "bin" / "python"
    wheel = str(built.wheel)
    command = [*PIP, "--python", str(python), "install", "--no-compile", *OFFLINE, wheel]
    subprocess.run(command, check=True)
    link_locked_packages(place / "packages")
    (site,) = (place / "venv").glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(str(place / "packages"))
    for name in ("empty", "home"):
        (place / name).mkdir()
    return Installation(python.parent, place / "empty", place / "home")


@pytest.fixture
def server(installation: Installation, tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(
        tmp_path / "log",
        installation.environment,
        (str(installation.scripts / "imagesearch"),),
        installation.folder,
    )
    serving.start()
    yield serving
    assert serving.stop() == 0


def test_the_source_distribution_is_built_into_the_same(built: Built) -> None:
    def contents(path: Path) -> dict[str, int]:
        with zipfile.ZipFile(path) as archive:
            return {each.filename: each.CRC for each in archive.infolist()}

    assert contents(built.of_sdist) == contents(built.wheel)


def test_it_asks_for_no_more_than_the_lock_pins(installation: Installation) -> None:
    """The packages of the lock are all that is there: no torch, and nothing of the tests."""
    python = installation.scripts / "python"
    subprocess.run([*PIP, "--python", python, "check"], check=True, stdout=subprocess.DEVNULL)
    code = "from importlib.util import find_spec; print(find_spec('torch'), find_spec('pytest'))"
    assert installation.run("python", "-c", code) == "None None\n"


def test_it_brings_no_top_level_name_that_others_may_want(installation: Installation) -> None:
    (site,) = installation.scripts.parent.glob("lib/python*/site-packages")
    names = {entry.name for entry in site.iterdir() if not entry.name.endswith(".dist-info")}
    assert names - {"__pycache__"} == {"imagesearch", "inference_service", "packages.pth"}


def test_a_search_leaves_its_data_with_the_user_and_nothing_where_it_ran(
    installation: Installation,
) -> None:
    text = installation.run("imagesearch", "search", "horse", "a horse", "-k", "2", "--json")
    files = [Path(url.removeprefix("file://")) for url in json.loads(text)["top_urls"]]
    assert len(files) == 2
    for file in files:
        assert file.is_file()
        assert file.is_relative_to(installation.home)
    assert list(installation.folder.iterdir()) == []


def test_it_runs_as_a_module(installation: Installation) -> None:
    text = installation.run("python", "-m", "imagesearch", "--help")
    assert "Usage: python -m imagesearch [OPTIONS] COMMAND [ARGS]..." in text
    assert str(installation.home) not in text


def test_the_page_its_files_and_a_search_are_served(
    installation: Installation, server: Serving
) -> None:
    page = requests.get(server.url, timeout=10).text
    files = re.findall(r'(?:src|href)="([\w./-]+)"', page)
    assert {"app.js", "style.css"} <= {file.removeprefix("./") for file in files}
    config = requests.get(f"{server.url}/config.json", timeout=10).json()
    there = [file for file in files if file != "docs/" or config["docs"]]  # else its link is hidden
    for file in there:
        assert requests.get(f"{server.url}/{file}", timeout=10).status_code == 200, file
    assert server.complete(t="moon", s_query="a moon")["results"]
    assert list(installation.folder.iterdir()) == []


def test_the_app_is_in_it_and_asks_for_its_extra(
    installation: Installation, tmp_path: Path
) -> None:
    command = [str(installation.scripts / "imagesearch"), "app", "--port", "0"]
    environment = installation.environment
    asked = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=installation.folder
    )
    assert asked.returncode == 1
    assert 'pip install "imagesearch[app]"' in asked.stderr
    link_locked_packages(tmp_path / "extra", "app/requirements.txt")
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONPATH": str(tmp_path / "extra")},
        cwd=installation.folder,
    ) as serving:
        try:
            assert serving.stdout
            url = re.search(r"http://127\.0\.0\.1:\d+", serving.stdout.readline())
            assert url
            assert requests.get(f"{url[0]}/main.dart.js", timeout=30).status_code == 200
        finally:
            serving.terminate()
