"""What needs an extra that is not installed says so in one line, with the command (0057)."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from imagesearch.adapters.postgres import Postgres
from imagesearch.cli.main import cli
from imagesearch.compose.cloud import catalog_of
from imagesearch.domain.errors import InvalidRequest, RejectedImage
from imagesearch.folders import formats
from imagesearch.folders.tables import table_of
from imagesearch.installation import ROOT, is_installed, pip_install
from imagesearch.settings import load_settings
from inference_service.torch_extra import torch_needed
from tests.cloud_environment import CLOUD

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
CLOUD_COMMANDS = [
    "collections",
    "info Pictures",
    "add gs://ann/p/",
    "update",
    "remove Pictures",
    "forget --keyword horse",
    "forget --keyword horse --dry-run",
    "forget --list",
    "forget --collection Pictures",
    "reembed --model-revision x",
]


def of_torch(_: Path) -> None:
    with torch_needed("it is a pickle, which torch reads"):
        import torch  # noqa: F401


def of_cloud(_: Path) -> None:
    catalog_of(load_settings(**{name.lower(): value for name, value in CLOUD.items()}))


def of_postgres(_: Path) -> None:
    Postgres("postgresql://127.0.0.1:9/images")


def of_heic(_: Path) -> None:
    formats._plugin.cache_clear()
    try:
        formats.readable(HEIC)
    finally:
        formats._plugin.cache_clear()


def of_parquet(folder: Path) -> None:
    file = folder / "list.parquet"
    file.write_bytes(b"PAR1")
    table_of(file)


def of_mcp(_: Path) -> None:
    cli(["mcp", "--url", "http://127.0.0.1:9"])


def of_app(_: Path) -> None:
    cli(["app"])


EXTRAS: dict[str, tuple[str, Callable[[Path], None], type[Exception]]] = {
    "torch": ("torch", of_torch, ModuleNotFoundError),
    "cloud": ("google.cloud.firestore", of_cloud, InvalidRequest),
    "postgres": ("psycopg_pool", of_postgres, InvalidRequest),
    "heic": ("pillow_heif", of_heic, RejectedImage),
    "mcp": ("mcp.server", of_mcp, InvalidRequest),
    "app": ("flet", of_app, InvalidRequest),
    "parquet": ("pyarrow", of_parquet, InvalidRequest),
}


def test_all_extras_of_a_user_are_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*project["optional-dependencies"]} - {"bench", "dev"} == {*EXTRAS}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_needs_an_extra_names_the_command_of_this_python(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, needing, kind = EXTRAS[extra]
    monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    with pytest.raises(kind) as raised:
        needing(tmp_path)
    (line,) = str(raised.value).splitlines()
    assert f'{sys.executable} -m pip install "imagesearch[{extra}]"' in line


@pytest.mark.parametrize("arguments", CLOUD_COMMANDS)
def test_each_command_of_the_cloud_edition_names_the_extra(
    arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CLOUD.items():
        monkeypatch.setenv(name, value)
    for module in ("google.cloud.firestore", "google.pubsub_v1", "google.api_core"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidRequest) as raised:
        cli(arguments.split())
    assert str(raised.value) == f"EDITION=cloud needs: {pip_install('imagesearch[cloud]')}"


def test_a_python_whose_path_has_a_space_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my own/python")
    assert pip_install("imagesearch[heic]") == '"/my own/python" -m pip install "imagesearch[heic]"'


def test_a_module_of_a_package_that_is_not_installed_is_not_either() -> None:
    assert is_installed("json.decoder")
    assert not is_installed("no_such_package.part")
