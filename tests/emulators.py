"""Google's emulators as child processes on free ports, ended by their process ids.

Which fixture needs which, and what happens when a program is missing, is in `contract/conftest.py`.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

START_SECONDS = 30.0
STOP_SECONDS = 10.0


class MissingProgram(Exception):
    """A program that an emulator needs is not installed; the message names it."""


@contextmanager
def firestore_emulator() -> Iterator[str]:
    """Run the Firestore emulator of the Google Cloud SDK and yield its host:port."""
    java = _program("java")
    jar = _sdk_platform() / "cloud-firestore-emulator" / "cloud-firestore-emulator.jar"
    if not jar.is_file():
        raise MissingProgram("the gcloud component cloud-firestore-emulator")
    port, websocket_port = free_port(), free_port()
    # What the emulator's own launcher does; `gcloud emulators` takes seconds more.
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    command = [java, "-Duser.language=en", "-cp", str(jar), main, "--host=127.0.0.1"]
    command += [f"--port={port}", f"--websocket_port={websocket_port}"]
    with running(command, port):
        yield f"127.0.0.1:{port}"


@contextmanager
def storage_emulator(bucket: str) -> Iterator[str]:
    """Run gcp-storage-emulator in memory with an empty *bucket* and yield its URL."""
    if importlib.util.find_spec("gcp_storage_emulator") is None:
        raise MissingProgram("the Python package gcp-storage-emulator")
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1"]
    command += [f"--port={port}", "--in-memory", "--quiet", f"--default-bucket={bucket}"]
    with running(command, port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the end of the context; it has begun when *port* takes connections."""
    with (
        tempfile.TemporaryDirectory(prefix="emulator-") as folder,
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder) as process,
    ):
        try:
            _wait_for(process, port, log)
            yield process
        finally:
            _end(process)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise RuntimeError(
                    f"{process.args!r} did not start: {log.read()!r:.2000}"
                ) from None
            time.sleep(0.05)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingProgram(name)
    return path


def _sdk_platform() -> Path:
    """Return the folder in which the Google Cloud SDK keeps its emulators."""
    return Path(_program("gcloud")).resolve().parents[1] / "platform"
