"""The note in a data folder of which model embedded it: after a change that model answers still."""

from __future__ import annotations

import logging
from pathlib import Path

from imagesearch.settings import DEMO_MODEL, Settings

_logger = logging.getLogger(__name__)


class ModelNote:
    """Which checkpoint embedded all that is in the data folder of *settings*: its file `model`."""

    def __init__(self, settings: Settings) -> None:
        self._path: Path = settings.data_dir / "model"
        self._settings = settings

    @property
    def before(self) -> str:
        """The checkpoint that embedded what is stored, "" where it is today's or not known."""
        return "" if self._noted == self._settings.model else self._noted

    @property
    def chosen(self) -> str:
        """The checkpoint that a person once chose for the folder and that is there, else ""."""
        noted = self._noted
        # The demo's was chosen by nobody, wherever it was installed then.
        is_demo = Path(noted).parts[-2:] == DEMO_MODEL.parts[-2:]
        is_gone = Path(noted).is_absolute() and not Path(noted).is_dir()
        return "" if is_demo or is_gone else noted

    @property
    def _noted(self) -> str:
        try:
            return self._path.read_text(errors="replace").strip()
        except OSError:
            return ""

    def keep(self) -> None:
        """Note that today's checkpoint has embedded all."""
        try:
            self._path.write_text(f"{self._settings.model}\n")
        except OSError as error:  # the next change of the model is an outage, and no more
            _logger.warning("which model embedded the catalog is not noted: %s", error)
