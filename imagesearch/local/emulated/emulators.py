"""The cloud's stand-ins on this machine: Google's emulators, a Cloud Storage emulator and Redis.

How a child process is started and ended is in `processes.py`; the services that use these are put
together in `cloud_stack.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from imagesearch.domain.errors import Unavailable
from imagesearch.installation import is_installed, pip_install
from imagesearch.local.emulated.processes import HOST, Child, free_port

# Where the Google Cloud SDK is when neither CLOUDSDK_ROOT_DIR nor `gcloud` on the path tells.
_SDK_ROOTS = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/opt/homebrew/share/google-cloud-sdk",
    "/usr/local/share/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "~/google-cloud-sdk",
)
JAVA_VERSION = 17  # the oldest that the emulators are tested with
# Both live for minutes: what the optimising compiler and the parallel collector take is never won
# back, and the other processes need the cores. A pool of 200 images costs Firestore's half as much.
_SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_DEBIAN_OF_GOOGLE = "https://cloud.google.com/sdk/docs/install#deb"


class MissingProgram(Unavailable):
    """A program is not installed; the message names it and the command that installs it."""


def pubsub_emulator(folder: Path) -> Child:
    """Return the Pub/Sub emulator of the Google Cloud SDK; what it holds ends with it."""
    _java()
    launcher = _component("pubsub-emulator", "bin/cloud-pubsub-emulator")
    port = free_port()
    # `env` becomes the launcher, and that the Java process; `gcloud emulators` takes seconds more.
    options = f"CLOUD_PUBSUB_EMULATOR_OPTS={' '.join(_SHORT_LIVED)}"
    command = ["env", options, str(launcher), f"--host={HOST}", f"--port={port}"]
    return Child("pubsub", command, port, folder, ready_path="/")


def firestore_emulator(folder: Path) -> Child:
    """Return the Firestore emulator of the Google Cloud SDK; what it holds ends with it."""
    java = _java()
    jar = _component("cloud-firestore-emulator", "cloud-firestore-emulator.jar")
    port, websocket_port = free_port(), free_port()
    # What the emulator's own launcher does; `gcloud emulators` takes seconds more.
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    command = [java, *_SHORT_LIVED, "-Duser.language=en", "-cp", str(jar), main, f"--host={HOST}"]
    command += [f"--port={port}", f"--websocket_port={websocket_port}"]
    return Child("firestore", command, port, folder, ready_path="/")


def storage_emulator(folder: Path, bucket: str) -> Child:
    """Return gcp-storage-emulator with *bucket*, whose objects on disk outlive a restart."""
    _storage_package()
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", f"--data-dir={folder}/storage"]
    command += ["start", f"--host={HOST}", f"--port={port}", "--quiet"]
    command += [f"--default-bucket={bucket}"]
    return Child("storage", command, port, folder, ready_path="/")


def redis_server(folder: Path) -> Child:
    """Return a redis-server that keeps nothing on disk."""
    port = free_port()
    command = [_redis(), "--bind", HOST, "--port", str(port), "--dir", str(folder)]
    return Child("redis", [*command, "--save", "", "--appendonly", "no"], port, folder)


def check_programs() -> None:
    """
    Return when everything that the cloud edition on this machine needs is installed.

    Raises:
        MissingProgram: all that is missing, a line each.
    """
    needs: tuple[Callable[[], object], ...] = (
        _check_java,
        lambda: _component("pubsub-emulator", "bin/cloud-pubsub-emulator"),
        lambda: _component("cloud-firestore-emulator", "cloud-firestore-emulator.jar"),
        _redis,
        _storage_package,
        _client_libraries,
    )
    if missing := [message for need in needs if (message := _lack(need)) is not None]:
        raise MissingProgram("\n".join(missing))


def _lack(need: Callable[[], object]) -> str | None:
    try:
        need()
    except MissingProgram as error:
        return str(error)
    return None


def _java() -> str:
    path = shutil.which("java")
    if path is None:
        raise _no_java("default-jre-headless")
    return path


def _check_java() -> None:
    run = subprocess.run(  # noqa: S603 - what the emulators are run with
        [_java(), "-version"], capture_output=True, text=True, check=False
    )
    version = re.search(r'version "(?:1\.)?(\d+)', run.stderr)  # Java 8 calls itself 1.8
    if version is None:  # macOS has a `java` without a Java
        raise _no_java("default-jre-headless")
    if int(version[1]) < JAVA_VERSION:  # as the default is on some systems
        raise _no_java(f"openjdk-{JAVA_VERSION}-jre-headless", f", this one is {version[1]}")


def _no_java(debian: str, but: str = "") -> MissingProgram:
    # Of Homebrew's, the cask alone is found by macOS's own `java`.
    command = _install_command(debian, "--cask temurin")
    return MissingProgram(f"Java {JAVA_VERSION} or later is missing{but}: {command}")


def _redis() -> str:
    path = shutil.which("redis-server")
    if path is None:
        command = _install_command("redis-server", "redis")
        raise MissingProgram(f"redis-server is missing: {command}")
    return path


def _install_command(debian: str, homebrew: str) -> str:
    if sys.platform == "darwin":
        return f"brew install {homebrew}"
    return f"sudo apt-get install {debian}"


def _component(name: str, file: str) -> Path:
    """Return *file* of the SDK's component *name*."""
    for root in _sdk_roots():
        path = root / "platform" / name / file
        if path.is_file():
            return path
    package = f"google-cloud-cli-{name.removeprefix('cloud-')}"
    raise MissingProgram(
        f"the Google Cloud SDK's {name} is missing: gcloud components install {name} "
        f"(or sudo apt-get install {package}, {_DEBIAN_OF_GOOGLE})"
    )


def _sdk_roots() -> list[Path]:
    roots = [Path(root).expanduser() for root in _SDK_ROOTS]
    if gcloud := shutil.which("gcloud"):
        roots.insert(0, Path(gcloud).resolve().parents[1])
    if root := os.environ.get("CLOUDSDK_ROOT_DIR"):
        roots.insert(0, Path(root))
    return roots


def _storage_package() -> None:
    _python_package("gcp_storage_emulator", "gcp-storage-emulator")


def _client_libraries() -> None:
    for module in ("google.pubsub_v1", "google.cloud.firestore", "google.cloud.storage"):
        _python_package(module, "imagesearch[cloud]")


def _python_package(module: str, distribution: str) -> None:
    if not is_installed(module):
        command = pip_install(distribution)
        raise MissingProgram(f"the Python package {distribution} is missing: {command}")
