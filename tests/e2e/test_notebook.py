"""examples/search.ipynb, run from its first cell to its last against a server."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from tests.e2e.conftest import Serving

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "search.ipynb"


@pytest.fixture(scope="module")
def executed(server: Serving) -> list[Any]:
    """Its cells with what each of them put out; a cell that raises ends the test."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    # A cell may wait for a keyword's pictures on a machine that others use, too.
    client = NotebookClient(notebook, timeout=120)
    with client.setup_kernel(env={**os.environ, "IMAGESEARCH_URL": server.url}):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def drawn(cell: Any) -> list[Image.Image]:
    pictures = [output.data["image/png"] for output in cell.outputs if "data" in output]
    return [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in pictures]


def test_it_searches(executed: list[Any]) -> None:
    lines = printed(executed[1]).splitlines()
    assert len(lines) == 12
    assert lines[0].split()[:2] == ["1", "strong"]
    assert "horse, flower" in lines[0]


def test_it_shows_a_contact_sheet_and_plots_scores(executed: list[Any]) -> None:
    """Of the pictures themselves, and in the colours of what matches and of what does not."""
    (sheet,) = drawn(executed[2])
    assert sheet.width > sheet.height > 300
    assert len(sheet.convert("RGB").getcolors(10**6) or ()) > 5_000
    (plot,) = drawn(executed[3])
    colours = {colour for _, colour in plot.convert("RGB").getcolors(10**6) or ()}
    assert {(0x0C, 0x6A, 0x52), (0xA3, 0x30, 0x1F)} <= colours


def test_a_failure_is_a_sentence(executed: list[Any]) -> None:
    assert printed(executed[4]).startswith("k must be between 1 and 200")


def test_no_output_is_in_the_file() -> None:
    """A picture in base64 is nothing to compare, and an old output nobody's word."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not cell["metadata"]
