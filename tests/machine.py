"""A machine for scripts: a folder to run in, and programs of others that only take notes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Machine:
    """
    A folder with a project, and programs first on the PATH that write their arguments down.

    Attributes:
        project: the working folder.
        calls: command lines that the programs were called with, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        self.state = folder / "google"
        self.state.mkdir()
        self._programs = folder / "programs"
        self._programs.mkdir()
        (self._programs / "python").symlink_to(sys.executable)
        # Python alone, without our packages or any other, for which to look takes four fifths of
        # its start. What stands first on the PATH may be pyenv's program that looks for it, which
        # takes longer still.
        alone = self._programs / "python3"
        base = sys._base_executable  # type: ignore[attr-defined]
        alone.write_text(f'#!/bin/sh\nexec "{base}" -S "$@"\n')
        alone.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        notes = self.state / "calls"
        return notes.read_text().splitlines() if notes.exists() else []

    def forget(self) -> None:
        (self.state / "calls").unlink()

    def add_program(self, name: str, script: str) -> None:
        path = self._programs / name
        path.unlink(missing_ok=True)  # a link, as that of Python, would be written through
        note = f'echo "{name} $*" >>"{self.state}/calls"'
        path.write_text(f'#!/bin/bash\n{note}\nstate="{self.state}"\n{script}\n')
        path.chmod(0o755)

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        return subprocess.run(
            command,
            cwd=self.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
