"""One emulator or server at a time as a child process on a free port, for the contract tests.

The programs are those of `imagesearch/local/emulated/emulators.py`. Which fixture needs which, and
what happens when one is missing, is in `contract/conftest.py`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagesearch.local.emulated import emulators
from imagesearch.local.emulated.emulators import MissingProgram
from imagesearch.local.emulated.processes import (
    HOST,
    Child,
    end_all,
    free_port,
    guarded_folder,
    wait_until_ready,
)

__all__ = [
    "MissingProgram",
    "firestore_emulator",
    "free_port",
    "pubsub_emulator",
    "running",
    "storage_emulator",
]

START_SECONDS = 60.0
STOP_SECONDS = 10.0


@contextmanager
def firestore_emulator() -> Iterator[str]:
    """Run the Firestore emulator of the Google Cloud SDK and yield its host:port."""
    with _running(emulators.firestore_emulator) as child:
        yield f"{HOST}:{child.port}"


@contextmanager
def pubsub_emulator() -> Iterator[str]:
    """Run the Pub/Sub emulator of the Google Cloud SDK and yield its host:port."""
    with _running(emulators.pubsub_emulator) as child:
        yield f"{HOST}:{child.port}"


@contextmanager
def storage_emulator(bucket: str) -> Iterator[str]:
    """Run gcp-storage-emulator with an empty *bucket* and yield its URL."""
    with _running(lambda folder: emulators.storage_emulator(folder, bucket)) as child:
        yield child.url


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the end of the context; it has begun when *port* takes connections."""
    with _running(lambda folder: Child("server", command, port, folder)) as child:
        assert child.process is not None
        yield child.process


@contextmanager
def _running(make: Callable[[Path], Child]) -> Iterator[Child]:
    with guarded_folder("emulator-") as folder:
        child = make(folder)
        child.start()
        try:
            wait_until_ready([child], START_SECONDS)
            yield child
        finally:
            end_all([child], STOP_SECONDS)
