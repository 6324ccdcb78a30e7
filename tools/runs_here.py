"""Whether the virtual environment that runs this runs where it is: exit status 0, or 1.

The Makefile asks. A Python that is gone runs nothing, and one that was upgraded finds no pip. What
was moved or copied runs Python, but its programs name the folder that they were installed in.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main() -> int:
    """Return the exit status."""
    pip = Path(sys.prefix, "bin", "pip")
    if importlib.util.find_spec("pip") is None or not pip.is_file():
        return 1
    # Its first line names the Python after `#!`. If the kernel would not run that, the second line
    # does after `exec`: in quotes if there are blanks in it, bare if it is long.
    python, text = f"{sys.prefix}/bin/python", pip.read_text()
    return 0 if any(before + python in text for before in ("!", '"', "exec' ")) else 1


if __name__ == "__main__":
    sys.exit(main())
