"""inference_service/bake_model.py: a whole checkpoint, pinned, and nothing beside it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagesearch.settings import DEFAULT_MODEL
from inference_service.bake_model import CannotBake, bake
from tests.stub_http import Request, StubServer, reply
from tests.unit.test_architecture import imports

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "1a25a446712ba5ee05982a381eed697ef9b435cf"


def checkpoint(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_dot_", ".")).write_text(text)
    return folder


def test_of_ours_it_imports_what_the_dockerfile_copies_beside_it() -> None:
    service = ROOT / "inference_service"
    ours = ("imagesearch", "inference_service")
    reached = {
        name: {one for one in imports(service / f"{name}.py") if one.startswith(ours)}
        for name in ("bake_model", "checkpoint_files")
    }
    files = "inference_service.checkpoint_files"
    assert {one.rpartition(".")[0] for one in reached["bake_model"]} == {"inference_service", files}
    assert reached["checkpoint_files"] == set()
    copied = "COPY inference_service/bake_model.py inference_service/checkpoint_files.py"
    assert copied in (service / "Dockerfile").read_text()


def test_of_a_folder_the_checkpoint_is_baked_and_nothing_else(tmp_path: Path) -> None:
    source = checkpoint(
        tmp_path / "source",
        config_dot_json="{}",
        model_dot_safetensors="weights",
        pytorch_model_dot_bin="the same again",
        notes_dot_md="a note",
    )
    bake(str(source), "", tmp_path / "model")
    baked = {path.name: path.read_text() for path in (tmp_path / "model").iterdir()}
    assert baked == {"config.json": "{}", "model.safetensors": "weights"}


def test_weights_in_the_old_format_are_baked_where_there_are_no_others(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source", config_dot_json="{}", pytorch_model_dot_bin="weights")
    bake(str(source), "", tmp_path / "model")
    assert (tmp_path / "model" / "pytorch_model.bin").read_text() == "weights"


def test_a_checkpoint_without_weights_ends_the_build(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source", config_dot_json="{}")
    with pytest.raises(CannotBake, match=r"no model\.safetensors and no pytorch_model\.bin"):
        bake(str(source), "", tmp_path / "model")


@pytest.mark.parametrize(
    "revision", ["", "main", "v1.0", COMMIT[:12], COMMIT.upper(), f"{COMMIT}0"]
)
def test_a_revision_that_may_move_ends_the_build(revision: str, tmp_path: Path) -> None:
    with pytest.raises(CannotBake, match=r"CLIP_REVISION must be a commit of laion/CLIP"):
        bake(DEFAULT_MODEL, revision, tmp_path / "model")


@pytest.mark.parametrize("model", ["./none", "../none", "/none/such", "~/none", "models/none"])
def test_a_folder_that_is_missing_is_never_asked_of_the_hub(model: str, tmp_path: Path) -> None:
    with pytest.raises(CannotBake, match=f"there is no folder {model}"):
        bake(model, COMMIT, tmp_path / "model")


HUB_FILES: Mapping[str, bytes] = {
    "config.json": b'{"model_type": "clip"}',
    "merges.txt": b"a b",
    "model.safetensors": b"weights",
    "open_clip_model.safetensors": b"for another library",
    "pytorch_model.bin": b"weights again",
    "README.md": b"about",
}


def hub(request: Request) -> bytes:
    """Answer as the hub does for one model at one commit."""
    path = request.target.partition("?")[0]
    if path == f"/api/models/{DEFAULT_MODEL}/revision/{COMMIT}":
        siblings = [{"rfilename": name} for name in HUB_FILES]
        body = {"id": DEFAULT_MODEL, "sha": COMMIT, "siblings": siblings}
        return reply(200, json.dumps(body), Content_Type="application/json")
    if path == f"/api/models/{DEFAULT_MODEL}/tree/{COMMIT}":
        tree = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in HUB_FILES.items()
        ]
        return reply(200, json.dumps(tree), Content_Type="application/json")
    prefix = f"/{DEFAULT_MODEL}/resolve/{COMMIT}/"
    name = path.removeprefix(prefix)
    if not path.startswith(prefix) or name not in HUB_FILES:
        return reply(404)
    data = HUB_FILES[name]
    headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X_Repo_Commit": COMMIT}
    # The stub answers HEAD with a body, too, which must not be taken for the next answer.
    return reply(200, data, Connection="close", **headers)


@pytest.mark.slow
def test_from_the_hub_the_checkpoint_is_baked_at_its_commit_and_nothing_else(
    tmp_path: Path,
) -> None:
    with StubServer(hub) as server:
        subprocess.run(
            [
                *(sys.executable, "-m", "inference_service.bake_model"),
                *(DEFAULT_MODEL, COMMIT, str(tmp_path / "model")),
            ],
            check=True,
            cwd=ROOT,
            env={
                **os.environ,
                "HF_ENDPOINT": server.origin,
                "HF_HOME": str(tmp_path),
                "HF_HUB_OFFLINE": "0",
            },
        )
    baked = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert baked == {
        name: HUB_FILES[name] for name in ("config.json", "merges.txt", "model.safetensors")
    }
