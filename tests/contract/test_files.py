"""What only the folder store does."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.errors import Unavailable
from tests.disk import no_space

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from imagesearch.adapters.stores.files import FolderStore
store = FolderStore(Path(sys.argv[1]))
versions = [bytes([n]) * 3_000_000 for n in range(2)]
store.put("one.jpg", versions[0])
print("at work", flush=True)
while True:
    for version in versions:
        store.put("one.jpg", version)
"""


def test_the_folder_holds_the_images_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "deep" / "images")
    for _ in range(3):
        store.put("a.jpg", b"data")
    assert [path.name for path in (tmp_path / "deep" / "images").iterdir()] == ["a.jpg"]


def test_a_stored_image_survives_a_restart(tmp_path: Path) -> None:
    FolderStore(tmp_path).put("a.jpg", b"data")
    assert FolderStore(tmp_path).get("a.jpg") == b"data"


def test_a_folder_inside_is_no_image(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "a.jpg").mkdir()
    assert store.existing(["a.jpg"]) == set()
    with pytest.raises(Unavailable, match=r"a\.jpg"):
        store.get("a.jpg")
    with pytest.raises(Unavailable, match=r"a\.jpg"):
        store.put("a.jpg", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="image store failed"):
        FolderStore(tmp_path / "file" / "images")


def test_a_folder_that_vanished_comes_back(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "deep" / "images")
    shutil.rmtree(tmp_path / "deep")
    assert store.existing(["a.jpg"]) == set()
    store.check()
    store.put("a.jpg", b"data")
    assert store.get("a.jpg") == b"data"


def test_a_folder_that_takes_no_file_is_told_of_by_check(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "images")
    with no_space(), pytest.raises(Unavailable, match="image store failed"):
        store.check()
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 5000,
        b"<html>",
        b"RIFF....AVI ",
        b"\xff\xd8\xff cut",
        b"\xff\xd8\xff" + bytes(5000),
        b"RIFF\x0e\0\0\0WEBPVP8 dat",
        b"\x89PNG\r\n\x1a\ndata",
    ],
)
def test_what_is_no_image_any_more_does_not_count_as_stored(tmp_path: Path, data: bytes) -> None:
    store = FolderStore(tmp_path)
    store.put("a.jpg", b"\xff\xd8\xffdata\xff\xd9")
    store.put("b.png", b"\x89PNG\r\n\x1a\ndataIEND\xae\x42\x60\x82")
    store.put("c.webp", b"RIFF\x0e\0\0\0WEBPVP8 data12")
    (tmp_path / "a.jpg").write_bytes(data)
    assert store.existing(["a.jpg", "b.png", "c.webp", "d.jpg"]) == {"b.png", "c.webp"}


def test_a_sweep_takes_what_was_left_half_written_and_what_nobody_needs(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for number in range(2500):
        (tmp_path / f"a-{number}.jpg").touch()
    for name in (f".{'0f' * 16}.tmp", ".DS_Store", "notes of mine.txt"):
        (tmp_path / name).touch()
    gone = store.sweep(lambda names: {name for name in names if name.endswith("00.jpg")})
    left = {path.name for path in tmp_path.iterdir()}
    assert gone == 1 + 24
    assert {".DS_Store", "notes of mine.txt", "a-1.jpg"} <= left
    assert len(left) == 2500 - 24 + 2


def test_a_writer_killed_in_the_middle_leaves_a_whole_image(tmp_path: Path) -> None:
    for pause_seconds in (0.005, 0.012, 0.021):
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"at work\n"
            time.sleep(pause_seconds)
            writer.send_signal(signal.SIGKILL)
        data = FolderStore(tmp_path).get("one.jpg")
        assert data in (b"\x00" * 3_000_000, b"\x01" * 3_000_000)
