"""Where the files of this program are, in a checkout and as installed, and where a user's go."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_SHARE = _PACKAGE / "share"  # setup.py puts there what a checkout has beside the package

IS_CHECKOUT = not _SHARE.is_dir()
ROOT = _PACKAGE.parent if IS_CHECKOUT else _SHARE
"""The folder of `web/`, `functions/` and `models/`."""


def pip_install(requirement: str) -> str:
    """Return the command that installs *requirement*, such as an extra, beside this program."""
    # With this Python, in which imagesearch is installed, from a checkout or a wheel: the `pip` on
    # the PATH may install for another one, as beside a checkout's .venv or pipx.
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f'{python} -m pip install "{requirement}"'


def is_installed(module: str) -> bool:
    """Return whether *module* can be imported, which it is not here."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent
        return False


def default_data_dir() -> str:
    """Return `.data` in a checkout, else the user's own folder for data, which may begin with ~."""
    return ".data" if IS_CHECKOUT else user_data_dir(sys.platform, os.environ.get("XDG_DATA_HOME"))


def user_data_dir(platform: str, xdg_data_home: str | None) -> str:
    """
    Return the folder of this program's data for a user.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/, by which a relative path in
    XDG_DATA_HOME is ignored.
    """
    if xdg_data_home and Path(xdg_data_home).is_absolute():
        return str(Path(xdg_data_home) / "imagesearch")
    home = "~/Library/Application Support" if platform == "darwin" else "~/.local/share"
    return f"{home}/imagesearch"
