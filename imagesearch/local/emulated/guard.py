"""What ends the children of a process that was killed: `python guard.py FOLDER`, a pipe as stdin.

It waits for the end of its input, which comes however the other process ends, then kills the
process groups that FOLDER names in its `*.pid` files and removes FOLDER. After an orderly end there
are none.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

REMOVE_SECONDS = 5.0  # what has just been killed may still be writing


def main() -> None:
    """Guard the folder of the first argument."""
    folder = Path(sys.argv[1])
    sys.stdin.buffer.read()
    for path in folder.glob("*.pid"):
        with suppress(OSError, ValueError):
            os.killpg(int(path.read_text()), signal.SIGKILL)
    give_up_at = time.monotonic() + REMOVE_SECONDS
    while folder.exists() and time.monotonic() < give_up_at:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
