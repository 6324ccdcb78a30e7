"""The names of a checkpoint's files, for the service and for `bake_model.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# The files of a checkpoint that decide what its embeddings are; weights come in either format.
CONFIG_FILES = ("*.json", "merges.txt")
NOTES = ("references.txt", "calibration.toml")  # what is ours: decision 0063
CARD = "README.md"  # of the hub: begins with what the licence is
SAFETENSORS = ("model.safetensors", "model-*-of-*.safetensors")
PICKLES = ("pytorch_model.bin", "pytorch_model-*-of-*.bin")


def matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files in *folder* that match the first of *patterns* that any file matches."""
    for pattern in patterns:
        if paths := sorted(folder.glob(pattern)):
            return paths
    return []
