"""inference_service/Dockerfile: what goes in, in which order, and what it starts.

Building it needs a container engine and gigabytes; what is tested here is what it is made of.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from imagesearch.deployment.services import SERVICES
from imagesearch.deployment.topics import INFERENCE_SERVICE
from imagesearch.settings import DEFAULT_MODEL, AllSettings
from tests.unit.test_package_function import distribution_of
from tools.package_function import Reached, reached

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "inference_service"
ONE_MACHINE = tuple(f"imagesearch/{room}" for room in ("cli", "demo", "evaluation", "local"))
CODE = {"imagesearch", "inference_service"}
# Source: https://peps.python.org/pep-0552/#specification
UNCHECKED_HASH = (1).to_bytes(4, "little")

needs_gnu = pytest.mark.skipif(
    sys.platform != "linux", reason="install_tree.sh runs in the image alone, with GNU touch"
)


@dataclass(frozen=True)
class Instruction:
    """An instruction of the Dockerfile with the stage that it is in, its comments left out."""

    stage: str
    name: str
    value: str


@cache
def instructions() -> list[Instruction]:
    lines = (SERVICE / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    found: list[Instruction] = []
    stage = ""
    for line in filter(None, re.sub(r"\\\n", " ", text).splitlines()):
        name, _, value = line.partition(" ")
        if name == "FROM":
            stage = value.partition(" AS ")[2] or "last"
        found.append(Instruction(stage, name, value.strip()))
    return found


def values(name: str, *stages: str) -> list[str]:
    return [
        one.value
        for one in instructions()
        if one.name == name and (one.stage in stages or not stages)
    ]


def arguments() -> dict[str, str]:
    return dict(value.split("=", 1) for value in values("ARG"))


def environment() -> dict[str, str]:
    """Return what the image sets for the service, as a process there sees it."""
    pairs = " ".join(values("ENV", "service", "last")).split()
    return dict(pair.split("=", 1) for pair in pairs)


def copied(*stages: str) -> list[str]:
    """Return what the stages copy from the project."""
    lines = [value.split() for value in values("COPY", *stages) if "--from=" not in value]
    return [source for *sources, _ in lines for source in sources]


# What is sent to the builder and copied


def is_sent(path: str) -> bool:
    """
    Tell whether .dockerignore lets the builder see *path*: the last pattern that matches decides.

    Source: https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and matches(path, line.removeprefix("!")):
            sent = line.startswith("!")
    return sent


def matches(path: str, pattern: str) -> bool:
    """Tell whether *pattern* matches *path* or a folder that it is in; only `**` crosses a `/`."""
    parts = path.split("/")
    parents = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
    return any(
        fnmatch.fnmatchcase(parent, pattern) and parent.count("/") == pattern.count("/")
        for parent in parents
    )


def test_everything_that_the_dockerfile_copies_exists_and_is_sent() -> None:
    assert copied()
    for source in copied():
        path = ROOT / source
        assert path.exists(), source
        files = [path] if path.is_file() else [one for one in path.rglob("*.py*") if one.is_file()]
        sent = [one for one in files if is_sent(one.relative_to(ROOT).as_posix())]
        assert sent or source == "models", source


def test_every_module_and_weight_that_the_service_runs_with_is_sent() -> None:
    needed = ["models/demo/model.safetensors", "models/demo/config.json"]
    needed += [one.relative_to(ROOT).as_posix() for one in SERVICE.rglob("*.py")]
    needed += [path for path in service_imports().files if not path.startswith(ONE_MACHINE)]
    assert len(needed) > 20
    assert [path for path in needed if not is_sent(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        ".data/catalog.sqlite",
        "build/query.zip",
        "service-account.json",
        "terraform/terraform.tfstate",
        "terraform/terraform.tfvars",
        "inference_service/.env",
        "models/demo/.cache/token",
        "imagesearch/__pycache__/config.cpython-311.pyc",
        "imagesearch/cli/main.py",
        "tests/conftest.py",
    ],
)
def test_no_secret_and_no_leftover_is_sent(path: str) -> None:
    assert not is_sent(path)


# Layers


def test_a_change_of_the_code_leaves_the_layers_of_torch_packages_and_weights() -> None:
    builders = ("base", "torch", "packages", "weights")
    assert set(copied(*builders)) == {
        "inference_service/install_tree.sh",
        "inference_service/requirements.txt",
        "inference_service/torch-cuda.txt",
        "inference_service/torch-cpu.txt",
        "inference_service/bake_model.py",
        "inference_service/checkpoint_files.py",
        "imagesearch/named_models.py",
        "models",
    }
    assert set(copied("service")) == CODE
    stages = [re.match(r"--from=(\w+)", value) for value in values("COPY", "service")]
    assert [stage and stage[1] for stage in stages] == ["torch", "packages", "weights", None, None]


def test_what_is_checked_is_what_is_shipped() -> None:
    froms = {one.stage: one.value for one in instructions() if one.name == "FROM"}
    assert froms["check"].startswith("service ")
    assert froms["last"] == "service"
    (check,) = values("RUN", "check")
    assert "ModelEncoder.load" in check
    assert "encoder.warm_up()" in check
    # The last stage needs something of the check's, or the builder would leave it out.
    revision, cache = values("COPY", "last")
    assert revision == "--from=check /tmp/model_revision ./"
    # Reference captions are embedded there, and not by each start.
    assert cache == f"--from=check /tmp/cache {environment()['XDG_CACHE_HOME']}"
    assert check.startswith("XDG_CACHE_HOME=/tmp/cache ")


@needs_gnu
def test_a_tree_of_packages_comes_out_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    write_wheel(tmp_path / "thing-1.0-py3-none-any.whl")
    trees = [install_tree(tmp_path, name) for name in ("one", "two")]
    assert trees[0] == trees[1]
    names = {name for name, _, _ in trees[0]}
    assert {"thing.py", "thing-1.0.dist-info/RECORD"} <= names
    assert any(name.startswith("__pycache__/thing.cpython") for name in names)
    assert {seconds for _, seconds, _ in trees[0]} == {315532800}
    (compiled,) = (tmp_path / "one").glob("__pycache__/thing.cpython*")
    assert compiled.read_bytes()[4:8] == UNCHECKED_HASH


def install_tree(folder: Path, name: str) -> set[tuple[str, int, str]]:
    """Return name, time and hash of each file of a tree; its path is the same each time."""
    (wheel,) = folder.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    run_install_tree(folder / "tree", *pinned_to(digest, folder))
    tree = (folder / "tree").rename(folder / name)
    return {
        (
            path.relative_to(tree).as_posix(),
            int(path.stat().st_mtime),
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in tree.rglob("*")
    }


def pinned_to(digest: str, folder: Path) -> list[str]:
    """Return what pip is told to install the wheel in *folder*, by a file that pins it."""
    pins = folder / "requirements.txt"
    pins.write_text(f"thing==1.0 --hash=sha256:{digest}\n")
    options = ["--no-index", "--find-links", str(folder)]
    return [*options, "--require-hashes", "--requirement", str(pins)]


def run_install_tree(tree: Path, *options: str) -> None:
    variables = {
        **os.environ,
        "SOURCE_DATE_EPOCH": "315532800",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [str(SERVICE / "install_tree.sh"), str(tree), *options]
    subprocess.run(command, check=True, capture_output=True, env=variables)


def write_wheel(path: Path) -> None:
    info = "thing-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("thing.py", "NAME = 'thing'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


# Versions


@pytest.mark.parametrize(("accelerator", "build"), [("cuda", "cu126"), ("cpu", "cpu")])
def test_torch_and_its_needs_are_pinned_by_hash_at_the_versions_that_are_tested(
    accelerator: str, build: str
) -> None:
    """NVIDIA's libraries are not tested: no machine that runs these tests needs them."""
    path = SERVICE / f"torch-{accelerator}.txt"
    pinned, locked = pins(path), pins(ROOT / "requirements-dev.lock")
    assert pinned.pop("torch") == f"{locked['torch']}+{build}"
    assert {"filelock", "fsspec", "sympy", "typing-extensions"} <= pinned.keys()
    assert {name: locked.get(name, version) for name, version in pinned.items()} == pinned
    assert without_hash(path) == []
    (install,) = values("RUN", "torch")
    assert f"{accelerator}) build={build} ;;" in install
    assert '--require-hashes --requirement "/build/torch-$ACCELERATOR.txt"' in " ".join(
        install.split()
    )


@needs_gnu
def test_a_wheel_that_is_not_the_pinned_one_ends_the_build(tmp_path: Path) -> None:
    write_wheel(tmp_path / "thing-1.0-py3-none-any.whl")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_install_tree(tmp_path / "tree", *pinned_to("0" * 64, tmp_path))
    assert b"DO NOT MATCH THE HASHES" in failed.value.stderr


def test_the_base_image_is_pinned_by_digest_and_its_tag_names_its_python() -> None:
    image = arguments()["BASE_IMAGE"]
    assert re.fullmatch(r"python:3\.12-slim-[a-z]+@sha256:[0-9a-f]{64}", image)
    assert {value.split()[0] for value in values("FROM", "base", "service")} == {"${BASE_IMAGE}"}


def test_the_weights_are_those_of_the_default_model_at_a_commit() -> None:
    assert arguments()["CLIP_MODEL"] == DEFAULT_MODEL
    assert re.fullmatch(r"[0-9a-f]{40}", arguments()["CLIP_REVISION"])


def test_the_packages_are_pinned_by_hash_at_the_versions_that_are_tested() -> None:
    locked = pins(ROOT / "requirements-dev.lock")
    packages = pins(SERVICE / "requirements.txt")
    assert {name: locked.get(name) for name in packages} == packages
    assert "torch" not in packages
    assert without_hash(SERVICE / "requirements.txt") == []
    assert "--require-hashes" in values("RUN", "packages")[0]


PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^ \n]+)", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


def without_hash(path: Path) -> list[str]:
    """Return what *path* pins by version alone."""
    text = path.read_text()
    starts = [match.start() for match in PIN.finditer(text)]
    blocks = [text[start:end] for start, end in pairwise([*starts, None])]
    return [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block]


# uvicorn is run and safetensors read with; the publisher is imported in other processes alone.
RUN_WITH = {"uvicorn", "safetensors"}
NOT_HERE = {None, "torch", "imagesearch", "google-cloud-pubsub"}


def test_the_direct_requirements_are_what_the_code_imports() -> None:
    text = (SERVICE / "requirements.in").read_text()
    direct = {re.split(r"[\[ ;]", line)[0] for line in text.splitlines() if line[:1] != "#"}
    imports = [one for one in service_imports().imports if not one.startswith("inference_service")]
    used = {distribution_of(name) for name in imports}
    assert direct == (used - NOT_HERE) | RUN_WITH


@cache
def service_imports() -> Reached:
    """Return what the service's code reaches, read as if it were that of a function."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "functions" / "query").mkdir(parents=True)
        (root / "imagesearch").symlink_to(ROOT / "imagesearch")
        sources = "\n".join(path.read_text() for path in sorted(SERVICE.rglob("*.py")))
        (root / "functions" / "query" / "main.py").write_text(sources)
        return reached("query", root)


# What it starts


def command() -> list[str]:
    (line,) = values("CMD")
    parts: list[str] = json.loads(line)  # the exec form is JSON, the shell form is not
    return parts


def test_the_command_is_that_of_the_table_and_gets_the_signals() -> None:
    (service,) = (one for one in SERVICES if one.name == INFERENCE_SERVICE)
    script = f'exec python3 -m {shlex.join(service.command)} --host 0.0.0.0 --port "$PORT"'
    assert command() == ["sh", "-c", script]
    assert values("STOPSIGNAL") == ["SIGTERM"]
    assert dict(service.environment).items() <= environment().items()


def test_the_service_has_ended_before_cloud_run_kills_it() -> None:
    """It waits 10 seconds, of which the encoder's threads need some."""
    (limit,) = re.findall(r"--timeout-graceful-shutdown (\d+)", command()[2])
    assert 1 <= int(limit) <= 8


def test_the_app_that_the_command_names_can_be_imported() -> None:
    from inference_service import app

    assert callable(app.create)


def test_the_port_is_the_one_that_terraform_sends_requests_to() -> None:
    text = (ROOT / "terraform" / "inference_service.tf").read_text()
    ports = set(re.findall(r"\b(?:container_port|port)\s*=\s*(\d+)", text))
    assert ports == {environment()["PORT"]} == set(values("EXPOSE"))


def test_the_service_runs_as_nobody_who_may_change_it() -> None:
    (user,) = values("USER", "service", "last")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_what_the_image_sets_is_read_by_someone() -> None:
    ours = {name.upper() for name in AllSettings.model_fields}
    libraries = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HF_HUB_OFFLINE"}
    assert set(environment()) - ours == {*libraries, "HOME", "XDG_CACHE_HOME"}
    assert environment()["EDITION"] == "cloud"
    assert environment()["HF_HUB_OFFLINE"] == "1"


# Linters


def installed(program: str) -> str:
    """Return where *program* is, installed with the development tools or on the machine."""
    found = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        missing = pytest.fail if os.environ.get("REQUIRE_BACKENDS") == "1" else pytest.skip
        missing(f"{program} is not installed")
    return found


def test_the_dockerfile_is_clean_to_hadolint() -> None:
    command = [installed("hadolint"), "--no-color", str(SERVICE / "Dockerfile")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize(
    "script",
    [
        "tools/first_deployment.sh",
        "tools/build_image.sh",
        "tools/submit_image.sh",
        "inference_service/install_tree.sh",
    ],
)
def test_the_scripts_are_clean_to_shellcheck(script: str) -> None:
    command = [installed("shellcheck"), str(ROOT / script)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
    assert os.access(ROOT / script, os.X_OK)
