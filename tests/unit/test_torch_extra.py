"""Without torch a CPU with OpenVINO does all; what needs it names the command that installs it.

Each test runs in a process of its own, in which packages cannot be imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagesearch.installation import pip_install
from tools.checkpoints import age, save_tiny
from tools.pictures import jpeg

COMMAND = pip_install("imagesearch[torch]")
DEMO_MODEL = Path(__file__).resolve().parents[2] / "models" / "demo"
HIDDEN = """
import sys
hidden = sys.argv[1].split(",")
assert not {*hidden} & {*sys.modules}
sys.modules.update(dict.fromkeys(hidden))  # None: there is no such module
"""
EMBED = """
import sys
from pathlib import Path
from inference_service.encoder import ModelEncoder
encoder = ModelEncoder.load(sys.argv[2])
print(encoder.encode_text("a horse").vector.shape, *encoder.encode_images(
    [Path(sys.argv[3]).read_bytes()])[0].vector.shape)
encoder.close()
"""
LOAD = """
from imagesearch.domain.errors import Unavailable
from inference_service.encoder import ModelEncoder
try:
    ModelEncoder.load(sys.argv[2], sys.argv[3] or None)
except Unavailable as error:
    print(error)
"""
COMMAND_LINE = """
from imagesearch.cli.main import main
del sys.argv[1]
main()
"""


def process(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    save_tiny(folder)
    return folder


def test_texts_and_images_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    hidden = process(
        HIDDEN + EMBED, "torch,transformers", str(DEMO_MODEL), str(tmp_path / "photo.jpg")
    )
    assert (hidden.stdout, hidden.stderr) == ("(256,) 256\n", "")


def test_where_they_are_installed_a_cpu_imports_neither(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    code = EMBED + "print({'torch', 'transformers'} & {*sys.modules})"
    shown = process(code, "", str(DEMO_MODEL), str(tmp_path / "photo.jpg"))
    assert shown.stdout == "(256,) 256\nset()\n"


def test_the_demo_searches(tmp_path: Path) -> None:
    arguments = ("search", "horse", "a horse", "--json", "--data-dir", str(tmp_path))
    environment = {"PIXABAY_API_KEY": "", "POOL_SIZE": "12"}
    shown = process(HIDDEN + COMMAND_LINE, "torch,transformers", *arguments, **environment)
    assert shown.returncode == 0, shown.stderr
    assert len(json.loads(shown.stdout)["top_urls"]) == 10


@pytest.mark.parametrize(
    ("spoil", "hidden", "device", "reason"),
    [
        (age, "torch", "", "pytorch_model.bin is a pickle, which torch reads"),
        (None, "torch,openvino", "cpu", "OpenVINO is not installed, and without it torch computes"),
        (None, "torch", "cuda", "CUDA is asked for, which torch drives"),
    ],
)
def test_what_needs_it_names_the_command(
    checkpoint: Path, spoil: object, hidden: str, device: str, reason: str
) -> None:
    if callable(spoil):
        spoil(checkpoint)
    shown = process(HIDDEN + LOAD, hidden, str(checkpoint), device)
    (line,) = shown.stdout.splitlines()
    assert line.startswith(f"CLIP_MODEL={checkpoint} cannot be loaded: ")
    assert reason in line
    assert line.endswith(COMMAND)


def test_the_command_line_says_so_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    age(checkpoint)
    arguments = ("search", "horse", "a horse", "--data-dir", str(tmp_path / "data"))
    shown = process(
        HIDDEN + COMMAND_LINE,
        "torch,transformers",
        *arguments,
        CLIP_MODEL=str(checkpoint),
        PIXABAY_API_KEY="",
        COLUMNS="1000",
    )
    assert shown.returncode == 1
    assert shown.stdout == ""
    *_, line = shown.stderr.splitlines()
    assert "pytorch_model.bin is a pickle, which torch reads: " + COMMAND in line
    assert "Traceback" not in shown.stderr
