"""The Pub/Sub emulator of the Google Cloud SDK as a child process on a free port.

The other emulators, and how a child process is started and ended, are in `emulators.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulators import MissingProgram, free_port, running


@contextmanager
def pubsub_emulator() -> Iterator[str]:
    """Run the emulator and yield its host:port."""
    launcher = _launcher()
    port = free_port()
    # The launcher becomes the Java process; `gcloud emulators` takes seconds more.
    with running([str(launcher), "--host=127.0.0.1", f"--port={port}"], port):
        yield f"127.0.0.1:{port}"


def _launcher() -> Path:
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        raise MissingProgram("gcloud" if gcloud is None else "java")
    platform = Path(gcloud).resolve().parents[1] / "platform"
    launcher = platform / "pubsub-emulator" / "bin" / "cloud-pubsub-emulator"
    if not launcher.is_file():
        raise MissingProgram("the gcloud component pubsub-emulator")
    return launcher
