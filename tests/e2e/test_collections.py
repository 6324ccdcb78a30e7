"""`imagesearch add` as a person runs it: from a terminal, killed on the way, beside a server."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from imagesearch.local.emulated.processes import free_port
from tests.pictures import jpeg

KILLS = int(os.environ.get("KILLS", "8"))  # 40 were tried, which take minutes


def environment(data: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(data), "SOURCE": "demo", **more}


def imagesearch(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imagesearch", *arguments],
        env=environment(data),
        capture_output=True,
        text=True,
        check=False,
    )


def write(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (folder / f"{number:04}.jpg").write_bytes(jpeg(number))


def rows(data: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(data / "catalog.sqlite")) as file:
        return file.execute(query).fetchall()


@contextmanager
def serving(data: Path) -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "imagesearch", "serve"],
        env=environment(data, PORT=str(port)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while (data / "lock").exists() is False or url not in (data / "lock").read_text():
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def test_a_folder_is_added_searched_updated_and_removed(tmp_path: Path) -> None:
    data, pictures = tmp_path / "data", tmp_path / "Pictures"
    write(pictures / "2019", 40)
    (pictures / "notes.jpg").write_text("no picture")
    added = imagesearch(data, "add", str(pictures))
    assert "Pictures: 41 pictures, 40 embedded" in added.stdout
    assert "notes.jpg: " in added.stdout
    assert added.returncode == 1, "as not all was added"
    (pictures / "notes.jpg").unlink()

    found = imagesearch(data, "search", "grey", "--collection", "Pictures", "--json", "-k", "3")
    results = json.loads(found.stdout)["results"]
    assert [result["own"]["collections"] for result in results] == [["Pictures"]] * 3
    assert all(Path(result["url"].removeprefix("file://")).is_file() for result in results)
    assert Path(results[0]["url"].removeprefix("file://")).parent == pictures / "2019"
    table = imagesearch(data, "search", "grey", "--collection", "Pictures", "--folder", "2019")
    assert "2019/00" in table.stdout
    (pictures / "2019" / "0000.jpg").rename(pictures / "first.jpg")
    updated = imagesearch(data, "update")
    assert updated.returncode == 0
    assert "1 known already, 39 as they were, 2 gone" in updated.stdout
    assert "Pictures" in imagesearch(data, "collections").stdout
    told = imagesearch(data, "info", "Pictures").stdout
    assert "40 pictures, 40 different ones" in told
    assert str(pictures) in told.replace("\n", "")

    assert "40 images are forgotten" in imagesearch(data, "remove", "Pictures").stdout
    assert rows(data, "SELECT count(*) FROM embeddings") == [(0,)]
    assert len(list(pictures.rglob("*.jpg"))) == 40


def test_a_folder_is_added_once_whatever_it_is_called(tmp_path: Path) -> None:
    data, pictures = tmp_path / "data", tmp_path / "Pictures"
    write(pictures / "inner", 2)
    write(tmp_path / "other", 1, first=50)
    assert imagesearch(data, "add", str(pictures)).returncode == 0
    within = imagesearch(data, "add", str(pictures / "inner"))
    assert within.returncode == 0
    assert "is in the collection 'Pictures' already" in within.stdout.replace("\n", " ")
    taken = imagesearch(data, "add", str(tmp_path / "other"), "--name", "Pictures")
    assert taken.returncode == 1
    assert "--name must be one that no other collection has" in taken.stderr
    nothing = imagesearch(data, "add", str(tmp_path / "nowhere"))
    assert "FOLDER must be a folder" in nothing.stderr
    pictures.rename(tmp_path / "Moved")
    moved = imagesearch(data, "add", str(tmp_path / "Moved"), "--name", "Pictures")
    assert "which is gone" in moved.stdout
    assert "2 as they were" in moved.stdout
    assert rows(data, "SELECT name FROM collections") == [("Pictures",)]


def test_killed_again_and_again_it_loses_nothing_and_embeds_nothing_twice(tmp_path: Path) -> None:
    data, pictures = tmp_path / "data", tmp_path / "Pictures"
    write(pictures, 900)
    draw = random.Random(7)
    seen: set[tuple[object, ...]] = set()
    for kill in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "imagesearch", "add", str(pictures)],
            env=environment(data),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            # Most are killed at work, some before they are.
            process.wait(1.5 + draw.random() * 1.5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if not (data / "catalog.sqlite").exists():
            continue
        now = set(rows(data, "SELECT id, image_id FROM embeddings"))
        assert seen <= now, f"after kill {kill} what was embedded is lost, or was embedded anew"
        seen = now
    assert imagesearch(data, "update").returncode == 0
    last = set(rows(data, "SELECT id, image_id FROM embeddings"))
    assert seen <= last
    assert len({image_id for _, image_id in last}) == len(last) == 900
    assert rows(data, "SELECT count(*) FROM records") == [(0,)]


def test_beside_a_server_it_is_the_server_that_embeds(tmp_path: Path) -> None:
    data, pictures = tmp_path / "data", tmp_path / "Pictures"
    write(pictures, 40)
    with serving(data) as url:
        added = imagesearch(data, "add", str(pictures))
        assert f"The imagesearch at {url} does it." in added.stderr.replace("\n", "")
        assert "Pictures: 40 pictures, 40 embedded" in added.stdout
        found = imagesearch(data, "search", "grey", "--collection", "Pictures", "--json")
        result = json.loads(found.stdout)["results"][0]
        import urllib.request

        with urllib.request.urlopen(result["url"]) as preview:
            assert preview.headers["Content-Type"] == "image/jpeg"
            assert preview.read(3) == b"\xff\xd8\xff"
        with urllib.request.urlopen(result["page_url"]) as original:
            assert original.read() == (pictures / result["own"]["file"]).read_bytes()
        with urllib.request.urlopen(f"{url}/collections") as answer:
            (collection,) = json.load(answer)["collections"]
        assert (collection["pictures"], collection["updating"]) == (40, False)
        assert imagesearch(data, "remove", "Pictures").returncode == 0
        assert (
            json.loads(
                imagesearch(data, "search", "grey", "--collection", "Pictures", "--json").stdout
            )["results"]
            == []
        )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(result["page_url"])
