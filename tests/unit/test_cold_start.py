"""What a function imports is what it needs: seconds of a cold start are in imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.cloud_environment import CLOUD
from tests.unit.test_architecture import HEAVY

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = (*HEAVY, "numpy", "starlette")

# The CPU that the interpreter itself took is in it, as it is in a cold start.
REPORT = """
import json, sys, time
print(json.dumps({"cpu_seconds": time.process_time(), "modules": sorted(sys.modules)}))
"""


def report_of(code: str) -> tuple[float, list[str]]:
    """Run *code* in a process of the cloud edition; return its CPU seconds and its modules."""
    env = {"PATH": os.environ["PATH"], **CLOUD, "REDIS_HOST": "127.0.0.1"}
    run = subprocess.run(
        [sys.executable, "-c", code + REPORT],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report = json.loads(run.stdout.splitlines()[-1])
    return report["cpu_seconds"], report["modules"]


def forbidden(modules: list[str]) -> list[str]:
    parts = [(name, name.split(".")) for name in modules]
    wanted = [one.split(".") for one in FORBIDDEN]
    return [name for name, own in parts if any(own[: len(one)] == one for one in wanted)]


@pytest.mark.parametrize("function", ["query", "fetch"])
def test_importing_a_function_loads_no_model_no_sdk_and_no_numpy(
    function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints what the import takes; a time limit would fail on a busy machine for no reason."""
    cpu_seconds, modules = report_of(f"import functions.{function}.main")
    assert f"functions.{function}.main" in modules
    packages = Counter(name.partition(".")[0] for name in modules)
    outside = {
        name: number for name, number in packages.items() if name not in sys.stdlib_module_names
    }
    with capsys.disabled():
        print(f"\nimporting functions/{function}: {cpu_seconds:.2f} s of CPU, modules: {outside}")
    assert forbidden(modules) == []


ALIVE = """
import functions_framework
app = functions_framework.create_app({function!r}, "functions/{function}/main.py", "http")
assert app.test_client().get("/alive").status_code == 200
"""


@pytest.mark.parametrize("function", ["query", "fetch"])
def test_a_function_is_composed_and_answers_without_the_sdks(function: str) -> None:
    """A pool that is ready is searched through Redis and the scorer alone."""
    _, modules = report_of(ALIVE.format(function=function))
    assert "redis" in modules
    assert forbidden(modules) == []
    if function == "query":  # the scorer's client comes with the first search
        assert not {"urllib3", "requests"} & set(modules)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_each_forbidden_import_would_be_noticed(name: str) -> None:
    assert forbidden(["sys", name, f"{name}.inner", f"{name}x"]) == [name, f"{name}.inner"]
