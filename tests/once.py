"""What a run of the tests makes once, whichever of its processes asks first.

`conftest.py` makes the folder that its workers share, and removes it at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARED = "IMAGESEARCH_TESTS_SHARED"  # the environment variable that names the folder


def once(name: str, make: Callable[[], Any]) -> Any:
    """Return what *make* gives, as JSON has it; others who ask meanwhile wait for it.

    What fails is tried again by the next who asks.
    """
    folder = Path(os.environ[SHARED])
    path = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            content = json.dumps(make())
            path.write_text(content)
        return json.loads(path.read_text())
