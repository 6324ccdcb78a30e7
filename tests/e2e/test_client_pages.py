"""What docs/clients.md shows, done, against a server that answers as the document says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagesearch.installation import ROOT
from tests.stub_http import Request, StubServer, reply
from tests.unit.test_js_client import NODE
from tools import openapi

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
FOUND = openapi.read()["components"]["responses"]["Found"]["content"]["application/json"]["example"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def server() -> Iterator[StubServer]:
    def script(request: Request) -> bytes:
        filters = {name: text for name, text in request.query.items() if name == "orientation"}
        answer = json.dumps({**FOUND, "filters": filters})
        return reply(200, answer, Content_Type="application/json")

    with StubServer(script) as server:
        yield server


@pytest.mark.parametrize("code", blocks("python"), ids=["sync", "async"])
def test_the_example_in_python_finds_pictures(code: str, server: StubServer) -> None:
    code = code.replace("https://pictures.example", server.origin)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("strong pixabay-736885"), run.stderr


def test_the_example_in_javascript_finds_pictures(server: StubServer, tmp_path: Path) -> None:
    [code] = blocks("js")
    module = (ROOT / "web" / "client.js").as_uri()
    file = tmp_path / "example.mjs"
    file.write_text(
        code.replace("./client.js", module).replace("https://pictures.example", server.origin)
    )
    run = subprocess.run([NODE, file], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.startswith("strong pixabay-736885"), run.stderr
