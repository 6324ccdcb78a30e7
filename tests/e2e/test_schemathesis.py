"""Many requests by schemathesis to the live one-machine server, from its own document.

What it is told besides is in `schemathesis_hooks.py`. To see a failure again, start a server and
run `schemathesis run URL/openapi.json` with the options and the variable below.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e import schemathesis_hooks
from tests.e2e.conftest import serving
from tests.effort import amount

ROOT = Path(__file__).resolve().parents[2]
LEAST_CASES = amount(350, 2_000)
OPTIONS = (
    # Stateful testing follows links between operations, of which there is one: /pools/{pool_id}.
    # One worker: two threads at once break `ast.parse` of some Pythons, which hypothesis calls:
    # https://github.com/python/cpython/issues/106905
    "--phases=examples,coverage,fuzzing --checks=all --mode=all "
    f"--max-examples={amount(50, 470)} --seed=1 --workers=1 "
    "--no-shrink --continue-on-failure --no-color --warnings=off --report=json"
).split()
LIMITS = {
    "POOL_SIZE": "20",
    "RATE_LIMIT_PER_MINUTE": "1000000",
    "NEW_KEYWORDS_PER_MINUTE": "10000",
    "NEW_KEYWORDS_PER_DAY": "100000",
    "LOG_LEVEL": "WARNING",
}


def test_the_live_server_does_what_its_document_says_in_many_cases(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with serving(tmp_path / "data", **LIMITS) as server:
        server.complete(t=schemathesis_hooks.READY_KEYWORD, s_query="a horse")
        run = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"),
                f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
                *("run", *OPTIONS),
                *(f"--report-json-path={report}", f"{server.url}/openapi.json"),
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": schemathesis_hooks.__name__,
            },
            capture_output=True,
            text=True,
        )
    said = "\n".join(line[:300] for line in run.stdout.splitlines())  # bodies are long
    assert run.returncode == 0, said[-10_000:] + run.stderr[-2_000:]
    cases = json.loads(report.read_text())["test_cases"]
    assert cases["generated"] >= LEAST_CASES
    assert (cases["with_failures"], cases["errored"]) == (0, 0)
