"""The one-machine edition as people start it: `imagesearch serve` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from imagesearch.settings import DEMO_MODEL
from inference_service.model import Model
from tests.e2e.app_pages import app_url, origin_of
from tests.e2e.cloud import cloud_url, command, home
from tests.e2e.cloud_counts import faulty, faulty_stack, typed
from tests.e2e.pages import (
    POOL_SIZE,
    browser,
    demo_keywords,
    kept_page,
    new_page,
    page,
    ready_answer,
)

__all__ = [  # fixtures
    "app_url",
    "browser",
    "cloud_url",
    "command",
    "demo_keywords",
    "faulty",
    "faulty_stack",
    "home",
    "kept_page",
    "new_page",
    "page",
    "ready_answer",
    "typed",
]

START_SECONDS = 60
READY_SECONDS = 60


@dataclass
class Serving:
    """A running `imagesearch serve` over *data_dir*, by *program* in the folder *cwd*."""

    data_dir: Path
    env: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = (sys.executable, "-m", "imagesearch")
    cwd: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def start(self) -> None:
        """Start it and wait until it is ready."""
        # Untraced by coverage: what is looked at here is the program at its own speed.
        unwanted = ("PIXABAY_API_KEY", "COVERAGE_PROCESS_CONFIG")
        clean = {name: value for name, value in os.environ.items() if name not in unwanted}
        log = (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*self.program, "serve", "--port", "0"],
                cwd=self.cwd,
                env={**clean, "DATA_DIR": str(self.data_dir), "COLUMNS": "200", **self.env},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < give_up_at, self.log()
            time.sleep(0.1)

    def _answers(self) -> bool:
        printed = re.findall(r"http://(?:127\.0\.0\.1|\[::1\]):\d+", self.log())
        if not printed:
            return False
        self.url = printed[-1]
        try:
            return requests.get(f"{self.url}/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def log(self) -> str:
        """Return what it printed."""
        return (self.data_dir.parent / f"{self.data_dir.name}.log").read_text()

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        (self.data_dir.parent / f"{self.data_dir.name}.log").write_text("")

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=40)

    def search(self, **params: Any) -> requests.Response:
        """Call the API."""
        return requests.get(f"{self.url}/search", params=params, timeout=40)

    def complete(self, **params: Any) -> dict[str, Any]:
        """Search until the answer is complete, and return it."""
        give_up_at = time.monotonic() + READY_SECONDS
        while time.monotonic() < give_up_at:
            response = self.search(**{"wait": 5, **params})
            if response.status_code == 200 and response.json()["complete"]:
                answer: dict[str, Any] = response.json()
                return answer
        raise AssertionError(self.log())


@contextmanager
def serving(data_dir: Path, **env: str) -> Iterator[Serving]:
    """Yield a ready server that is ended at the end, however it stands."""
    server = Serving(data_dir, env)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()


_load = Model.load
_load_once = cache(_load)


def _load_demo_once(folder: Path, device: str, *, in_float32: bool = False) -> Model:
    load = _load_once if Path(folder) == DEMO_MODEL else _load
    return load(folder, device, in_float32=in_float32)


@pytest.fixture(scope="package", autouse=True)
def _demo_model_is_loaded_once() -> Iterator[None]:
    """
    Keep the demo's model that a command has loaded in this process for the next one.

    A person's commands are a process each, and so are the servers here; to load what was loaded
    before takes longer than most of what the tests type.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Model, "load", _load_demo_once)
        yield


@dataclass(frozen=True)
class Host:
    """A web server of somebody else, with one page in *folder*."""

    origin: str
    folder: Path

    def show(self, page: str) -> str:
        """Have it serve the text of *page*, and return its address."""
        (self.folder / "index.html").write_text(page)
        return f"{self.origin}/"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Whose pages the shared server allows to call it."""
    folder = tmp_path_factory.mktemp("host")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield Host(f"http://127.0.0.1:{http.server_port}", folder)
        http.shutdown()


@pytest.fixture(scope="session")
def app_listener() -> Iterator[socket.socket]:
    """Where the app is served, known before the server that lets its origin read it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server on the demo that all tests share; a first search takes a keyword of its own."""
    with serving(tmp_path_factory.mktemp("serve") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def page_server(
    tmp_path_factory: pytest.TempPathFactory, stranger: Host, app_listener: socket.socket
) -> Iterator[Serving]:
    """The one of all tests in a browser: of its pools they ask for two pages and a rest."""
    data_dir = tmp_path_factory.mktemp("serve") / "data"
    origins = f"{stranger.origin},{origin_of(app_listener)}"
    with serving(data_dir, ALLOWED_ORIGINS=origins, POOL_SIZE=str(POOL_SIZE)) as running:
        yield running


@pytest.fixture(scope="session")
def stack_url(page_server: Serving) -> str:
    """The base URL of the server that tests in a browser share."""
    return page_server.url


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose pools are small, at an address of IPv6; each test leaves it ready."""
    data_dir = tmp_path_factory.mktemp("small") / "data"
    own = {"BIND_ADDRESS": "::1", "POOL_SIZE": "20", "NEW_KEYWORDS_PER_MINUTE": "1000"}
    with serving(data_dir, **own) as running:
        yield running
