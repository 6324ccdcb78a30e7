"""Debian's packages, unpacked into a folder: nothing is installed, and nobody need be root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class CannotFetch(Exception):
    """A package cannot be had here; the message says why in a line."""


def unpacked(package: str, folder: Path) -> Path:
    """
    Return the root of what is in *package*, in *folder*; fetched unless it is there.

    apt-get takes it from the sources that this machine has, and checks their signature.

    Raises:
        CannotFetch: apt-get or dpkg is missing or fails.
    """
    root = folder / package
    if root.is_dir():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as name:
        part = Path(name)
        _run(package, part, "apt-get", "download", package)
        [file] = part.glob("*.deb")
        _run(package, part, "dpkg", "-x", file.name, "files")
        (part / "files").rename(root)
    return root


def _run(package: str, folder: Path, *command: str) -> None:
    program = command[0]
    if shutil.which(program) is None:
        raise CannotFetch(
            f"{package} is a package of Debian, and {program} is not here, which gets it"
        )
    run = subprocess.run(  # noqa: S603 - no shell, and all of it is ours
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if not line.startswith("W: ")]
        why = lines[-1] if lines else f"it ended with {run.returncode}"
        raise CannotFetch(f"{package}: {program} fails, try `apt-get update`: {why}")
