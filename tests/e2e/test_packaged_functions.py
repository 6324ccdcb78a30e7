"""Each zip as Cloud Functions gets it: unpacked, its pins installed alone, served by its own tools.

What is in a zip and what is refused is in `unit/test_package_function.py`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from imagesearch.adapters.buses.pubsub import declare
from imagesearch.deployment.topics import FETCH_SERVICE, INFERENCE_SERVICE, PUSH_SUBSCRIPTIONS
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import FetchJob
from imagesearch.wire.messages import encode
from tests.cloud_environment import CLOUD
from tests.contract.conftest import missing_backend
from tests.emulators import MissingProgram, firestore_emulator, free_port, pubsub_emulator, running
from tools.package_function import FUNCTIONS, package

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11, 3),
    reason="redis asks for async-timeout there; the pins are of Google's newer Python 3.11",
)


@dataclass(frozen=True)
class Installed:
    """A function's unpacked zip and the programs of its own virtual environment."""

    function: str
    folder: Path
    programs: Path

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the tests' own process, such as a PYTHONPATH, is in it."""
        own = {"PATH": f"{self.programs}:{os.defpath}", "XDG_RUNTIME_DIR": str(self.folder.parent)}
        return {**own, **CLOUD, **settings}

    @contextmanager
    def served(self, **settings: str) -> Iterator[str]:
        """Serve it by the production command and yield its URL."""
        port = free_port()
        with running(self.command(port, settings), port):
            yield f"http://127.0.0.1:{port}"

    def command(self, port: int, settings: Mapping[str, str]) -> list[str]:
        """Return the production command."""
        command = ["env", "-i", f"--chdir={self.folder}"]
        command += [f"{name}={value}" for name, value in self.environment(settings).items()]
        command += [str(self.programs / "functions-framework"), "--target", self.function]
        return [*command, "--host", "127.0.0.1", "--port", str(port)]


def unpack(function: str, folder: Path) -> Path:
    zipfile.ZipFile(io.BytesIO(package(function))).extractall(folder / "source")
    return folder


def install(text: str, venv: Path) -> Path:
    """
    Make a virtual environment of the pins in *text* alone, and return the folder of its programs.

    `--require-hashes` refuses a pin without a hash and a package that no pin names; bytecode is
    written for what is imported, as it is imported, rather than for all that is installed.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (venv / "requirements.txt").write_text(text)
    uv = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", venv / "bin/python")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*uv, "--require-hashes", "-r", venv / "requirements.txt"], env=env, check=True)
    return venv / "bin"


def pins(folder: Path) -> str:
    """Return the pins of an unpacked function, without the comments, which say whose they are."""
    lines = (folder / "source" / "requirements.txt").read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Installed]:
    """Each function over an environment of its pins; functions with the same pins share it."""
    folders = {one: unpack(one, tmp_path_factory.mktemp(one)) for one in FUNCTIONS}
    texts = {pins(folder) for folder in folders.values()}
    programs = {text: install(text, tmp_path_factory.mktemp("venv")) for text in texts}
    return {
        one: Installed(one, folder / "source", programs[pins(folder)])
        for one, folder in folders.items()
    }


@pytest.fixture(scope="module")
def query(installed: Mapping[str, Installed]) -> Installed:
    return installed["query"]


@pytest.fixture(scope="module")
def fetch(installed: Mapping[str, Installed]) -> Installed:
    return installed["fetch"]


@pytest.fixture(scope="module")
def emulators() -> Iterator[dict[str, str]]:
    """The environment variables of a Firestore and a Pub/Sub emulator with all our topics."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        try:
            hosts = {
                "FIRESTORE_EMULATOR_HOST": stack.enter_context(firestore_emulator()),
                "PUBSUB_EMULATOR_HOST": stack.enter_context(pubsub_emulator()),
            }
        except MissingProgram as error:
            missing_backend(str(error))
        environment.setenv("PUBSUB_EMULATOR_HOST", hosts["PUBSUB_EMULATOR_HOST"])
        services = dict.fromkeys((FETCH_SERVICE, INFERENCE_SERVICE), "http://127.0.0.1:9")
        declare("test-project", PUSH_SUBSCRIPTIONS, services)
        yield {"GOOGLE_CLOUD_PROJECT": "test-project", **hosts}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_its_environment_sees_the_zip_and_nothing_of_the_project(
    name: str, installed: Mapping[str, Installed], tmp_path: Path
) -> None:
    one = installed[name]
    code = "import imagesearch; print(imagesearch.__file__)"
    for folder, found in ((one.folder, f"{one.folder}/imagesearch/__init__.py\n"), (tmp_path, "")):
        run = subprocess.run(
            [one.programs / "python", "-c", code],
            cwd=folder,
            env=one.environment({}),
            capture_output=True,
            text=True,
        )
        assert run.stdout == found, run.stderr


def test_a_packaged_function_that_lacks_a_setting_ends_with_one_line(query: Installed) -> None:
    command = query.command(free_port(), {"GOOGLE_CLOUD_PROJECT": ""})
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    entry = json.loads(line)
    assert entry["severity"] == "CRITICAL"
    assert entry["message"] == "cannot start: the setting GOOGLE_CLOUD_PROJECT is missing"


def test_the_packaged_query_function_is_alive_and_begins_a_pool_in_firestore_and_pubsub(
    query: Installed, emulators: Mapping[str, str]
) -> None:
    """With a cache and a limiter of its own, as no REDIS_HOST is set."""
    with query.served(**emulators) as url:
        alive = requests.get(f"{url}/alive", timeout=20)
        assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
        # Its control socket, which comes later, is not where that of another gunicorn is.
        wait_for(lambda: (query.folder.parent / "gunicorn.ctl").is_socket())
        search = requests.get(f"{url}/search?t=horse&s_query=a+horse&wait=0", timeout=30)
        assert search.status_code == 202, search.text
        pool = requests.get(url + search.headers["Location"], timeout=30)
    assert pool.json()["state"] == "requested"


def wait_for(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def push(url: str, data: str) -> int:
    envelope = {"message": {"data": data, "messageId": "1"}, "subscription": "s"}
    return requests.post(url, json=envelope, timeout=30).status_code


def test_the_packaged_fetch_function_acks_what_it_cannot_read_and_looks_pools_up_in_firestore(
    fetch: Installed, emulators: Mapping[str, str]
) -> None:
    job = FetchJob(pool_id="unknown", generation=1, keyword="horse", options=SourceOptions())
    data = base64.b64encode(encode(job)).decode()
    with fetch.served(**emulators) as url:
        assert requests.get(f"{url}/alive", timeout=20).status_code == 200
        assert requests.post(url, data=b"no JSON", timeout=20).status_code == 204
        assert push(url, "no base64") == 204
        assert push(url, data) == 204  # there is nothing to fetch
