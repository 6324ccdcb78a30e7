"""web/client.js in Node: the one that Playwright brings, so that no other is needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import playwright

TESTS = Path(__file__).with_name("client.test.mjs")
NODE = Path(playwright.__file__).parent / "driver" / "node"


def test_the_client_in_javascript_passes_its_tests() -> None:
    run = subprocess.run([NODE, TESTS], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout
    assert "fail 0" in run.stdout
