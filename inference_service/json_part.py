"""The values of a checkpoint's JSON files, each held against its bounds when it is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JsonPart:
    """
    An object in a JSON file.

    Attributes:
        file: its name, for messages.
        name: where in the file the object is, ending in a dot; empty for the whole.
    """

    file: str
    name: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> JsonPart:
        """Read a file; OSError when there is none, ValueError when it is no JSON object."""
        try:
            values = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path.name} is no JSON: {error}") from error
        except RecursionError as error:
            raise ValueError(f"{path.name} has lists or objects too deep in each other") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path.name} must be a JSON object, got {_shown(values)}")
        return cls(path.name, "", values)

    def part(self, name: str) -> JsonPart:
        """Return the object under *name*, empty where there is none."""
        values = self.values.get(name) or {}
        if not isinstance(values, dict):
            raise self.wrong(name, "an object")
        return JsonPart(self.file, f"{self.name}{name}.", values)

    def over(self, defaults: Mapping[str, Any]) -> JsonPart:
        """Return the same with *defaults* for what it leaves out."""
        return replace(self, values={**defaults, **self.values})

    def whole(self, name: str, least: int, most: int) -> int:
        """Return a whole number within its bounds; 224.0 is one."""
        value = self.values[name]
        if not _is_number(value) or value != int(value) or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self.values[name]
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def number(self, name: str, least: float, most: float) -> float:
        """Return a number within its bounds."""
        value = self.values[name]
        if not _is_number(value) or not least <= value <= most:
            raise self.wrong(name, f"a number from {least:g} to {most:g}")
        return float(value)

    def wrong(self, name: str, bound: str) -> ValueError:
        """Return the error that says that the value *name* must be *bound*."""
        return ValueError(
            f"{self.file}: {self.name}{name} must be {bound}, got {_shown(self.values.get(name))}"
        )


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < math.inf  # type: ignore[arg-type]  # NaN is not, either


def _shown(value: object) -> str:
    try:
        shown = json.dumps(value)
    except RecursionError:  # it is a few levels deeper than what could just be read
        return "what is too deep to be shown"
    return shown if len(shown) <= 60 else shown[:60] + "…"
