"""Puts into a wheel what a checkout has beside the package: `imagesearch/installation.py` finds it.

All else is in pyproject.toml. An editable installation is the checkout, and gets no copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHARED = ("web/**/*", "models/demo/*", "functions/*/main.py", "app/**/*.py", "app/assets/**/*")


class BuildWithShare(build_py):
    """Builds the packages, and `imagesearch/share/` of the files that `SHARED` names."""

    def run(self) -> None:
        """Build, in a folder with nothing of an earlier build: modules are renamed and deleted."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            for file, copy in self._shared():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that a build writes."""
        shared = [] if self.editable_mode else [str(copy) for _, copy in self._shared()]
        return [*super().get_outputs(include_bytecode), *shared]

    def _shared(self) -> Iterator[tuple[Path, Path]]:
        for pattern in SHARED:
            for file in filter(Path.is_file, sorted(Path().glob(pattern))):
                yield file, Path(self.build_lib, "imagesearch", "share", file)


setup(cmdclass={"build_py": BuildWithShare})
