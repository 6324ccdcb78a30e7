"""The cloud edition over emulators, for the end-to-end tests: one that they share, or one's own.

`command` is a session's one `imagesearch emulators`, as people start it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from imagesearch.local.emulated.emulators import MissingProgram, check_programs

READY = "Ctrl-C ends it all"  # the last words of a start
START_SECONDS = 120.0
READY_SECONDS = 120.0
STOP_SECONDS = 60.0
# Untraced by coverage: what is looked at here is the program at its own speed.
UNWANTED = ("PIXABAY_API_KEY", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
CLEAN = {name: value for name, value in os.environ.items() if name not in UNWANTED}


def require_programs() -> None:
    """Skip on a laptop that lacks a program, and fail there with REQUIRE_BACKENDS=1."""
    try:
        check_programs()
    except MissingProgram as error:
        if os.environ.get("REQUIRE_BACKENDS") == "1":
            pytest.fail(f"{error}\nand REQUIRE_BACKENDS=1")
        pytest.skip(str(error))


def complete(query_url: str, **params: Any) -> dict[str, Any]:
    """Search until the answer is complete, and return it."""
    give_up_at = time.monotonic() + READY_SECONDS
    while time.monotonic() < give_up_at:
        response = requests.get(f"{query_url}/search", params={"wait": 5, **params}, timeout=40)
        if response.status_code == 200 and response.json()["complete"]:
            answer: dict[str, Any] = response.json()
            return answer
    raise AssertionError(f"{response.status_code} {response.text}")


@dataclass
class CloudCommand:
    """A running `imagesearch emulators`, which prints to *log*."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def wait_until_ready(self) -> None:
        """Return when it says where to go."""
        self.wait_for(READY)

    def wait_for(self, text: str) -> None:
        """Return when it has printed *text*."""
        give_up_at = time.monotonic() + START_SECONDS
        while text not in self.printed:
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < give_up_at, self.printed
            time.sleep(0.1)

    def url(self, what: str) -> str:
        """Return where *what* of its table is."""
        found = re.search(rf"{re.escape(what)}\s+(http://127\.0\.0\.1:\d+)", self.printed)
        assert found is not None, self.printed
        return found[1]

    @property
    def folder(self) -> Path:
        """Its temporary folder."""
        found = re.search(r"logs are in (\S+)", self.printed)
        assert found is not None, self.printed
        return Path(found[1])

    def pids(self) -> dict[str, int]:
        """Return the process ids of its children by name."""
        return {path.stem: int(path.read_text()) for path in self.folder.glob("*.pid")}

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_SECONDS)


@contextmanager
def cloud_command(log: Path, **environment: str) -> Iterator[CloudCommand]:
    """Yield the command, which is starting; it is killed at the end, and its children with it."""
    arguments = [sys.executable, "-m", "imagesearch", "emulators"]
    settings: Mapping[str, str] = {**CLEAN, "PORT": "0", "COLUMNS": "200", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=settings, stdout=output, stderr=output)
    with process:
        try:
            yield CloudCommand(process, log)
        finally:
            process.kill()


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    """What is started meanwhile ignores the signal, as `nohup` has it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of the person who has started `command`."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[CloudCommand]:
    """The command under nohup, ready, for all tests that leave it running; one ends it."""
    require_programs()
    own = {"HOME": str(home), "XDG_RUNTIME_DIR": ""}
    with ExitStack() as opened:
        with ignored(signal.SIGHUP):
            log = tmp_path_factory.mktemp("emulators") / "log"
            running = opened.enter_context(cloud_command(log, **own))
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="session")
def cloud_url(command: CloudCommand) -> str:
    """The address of the query function of `command`."""
    return command.url("functions/query")


def is_alive(pid: int) -> bool:
    """True when *pid* runs; what has ended but was not reaped yet does not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")
