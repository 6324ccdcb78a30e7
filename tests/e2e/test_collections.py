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
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import requests

from imagesearch.cli.local_stack import opened_stack
from imagesearch.cli.main import cli
from imagesearch.cli.terminal import LONGEST
from imagesearch.cli.updates import named
from imagesearch.domain.collections import Collection, Update
from imagesearch.domain.errors import ImageSearchError, Unavailable
from imagesearch.local.embedded.stack import Stack
from imagesearch.local.emulated.processes import free_port
from imagesearch.ports import Collections
from imagesearch.settings import Settings
from tests.effort import amount
from tools.pictures import jpeg

KILLS = amount(3, 40)


def environment(data: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(data), "SOURCE": "demo", **more}


@dataclass(frozen=True)
class Run:
    """What a command printed, on one line, and the error that ended it."""

    status: int
    out: str
    err: str


class Terminal:
    """Runs commands in this process: another one takes seconds to start."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data, self._capsys = data, capsys

    def __call__(self, *arguments: str) -> Run:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in environment(self.data, COLUMNS="200").items():
                patched.setenv(name, value)
            self._capsys.readouterr()
            status, error = 0, ""
            try:
                status = cli(arguments) or 0
            except ImageSearchError as failed:
                status, error = 1, str(failed)
        printed = self._capsys.readouterr()
        return Run(status, printed.out, f"{printed.err}{error}")


@pytest.fixture
def imagesearch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path / "data", capsys)


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
        while not (data / "lock").exists() or url not in (data / "lock").read_text():
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def test_what_is_piped_has_a_line_a_row_however_long_a_path_is(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    folder = tmp_path / "deep" / ("d" * 150) / "Pictures"
    write(folder, 1)
    assert imagesearch("add", str(folder)).status == 0
    head, row = imagesearch("collections").out.splitlines()
    assert head.split()[0] == "name"
    assert str(folder)[:LONGEST] in row


def test_a_folder_is_added_searched_updated_and_removed(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    data, pictures = imagesearch.data, tmp_path / "Pictures"
    write(pictures / "2019", 40)
    (pictures / "notes.jpg").write_text("no picture")
    added = imagesearch("add", str(pictures))
    assert "Pictures: 41 pictures, 40 embedded" in added.out
    assert "notes.jpg: " in added.out
    assert added.status == 1, "as not all was added"
    (pictures / "notes.jpg").unlink()

    found = imagesearch("search", "grey", "--collection", "Pictures", "--json", "-k", "3")
    results = json.loads(found.out)["results"]
    assert [result["own"]["collections"] for result in results] == [["Pictures"]] * 3
    assert {Path(urlsplit(result["url"]).path).parent for result in results} == {pictures / "2019"}
    assert all(Path(urlsplit(result["url"]).path).is_file() for result in results)
    table = imagesearch("search", "grey", "--collection", "Pictures", "--folder", "2019")
    assert "2019/00" in table.out

    (pictures / "2019" / "0000.jpg").rename(pictures / "first.jpg")
    updated = imagesearch("update")
    assert updated.status == 0
    assert "1 known already, 39 as they were, 2 gone" in updated.out
    assert "Pictures" in imagesearch("collections").out
    told = imagesearch("info", "Pictures").out
    assert "40 pictures, 40 different ones" in told
    assert str(pictures) in told

    assert "40 images are forgotten" in imagesearch("remove", "Pictures").out
    assert rows(data, "SELECT count(*) FROM embeddings") == [(0,)]
    assert len(list(pictures.rglob("*.jpg"))) == 40


def test_a_folder_is_added_once_whatever_it_is_called(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    pictures = tmp_path / "Pictures"
    write(pictures / "inner", 2)
    write(tmp_path / "other", 1, first=50)
    assert imagesearch("add", str(pictures)).status == 0
    within = imagesearch("add", str(pictures / "inner"))
    assert within.status == 0
    assert "is in the collection 'Pictures' already" in within.out
    taken = imagesearch("add", str(tmp_path / "other"), "--name", "Pictures")
    assert (taken.status, taken.out) == (1, "")
    assert "--name must be one that no other collection has" in taken.err
    assert "SET must be a folder" in imagesearch("add", str(tmp_path / "nowhere")).err
    pictures.rename(tmp_path / "Moved")
    moved = imagesearch("add", str(tmp_path / "Moved"), "--name", "Pictures")
    assert "which is gone" in moved.out
    assert "2 as they were" in moved.out
    assert rows(imagesearch.data, "SELECT name FROM collections") == [("Pictures",)]


@pytest.mark.parametrize("same", [0, 1, 2])
def test_a_collection_whose_disk_is_away_is_no_folder_that_has_a_few_of_its_names(
    tmp_path: Path, imagesearch: Terminal, same: int
) -> None:
    disk, other = tmp_path / "usb" / "Photos", tmp_path / "other" / "Photos"
    write(disk, 4)
    assert imagesearch("add", str(disk)).status == 0
    before = rows(imagesearch.data, "SELECT * FROM files ORDER BY path")
    write(other, 4)
    for number in range(same, 4):  # another picture of that name, be it of the same size
        file = other / f"{number:04}.jpg"
        file.write_bytes(jpeg(number + 50).ljust(file.stat().st_size, b"\0"))
    (tmp_path / "usb").rename(tmp_path / "away")
    added = imagesearch("add", str(other))
    assert (added.status, added.out) == (1, "")
    assert "--name must be one that no other collection has, and 'Photos' is" in added.err
    assert rows(imagesearch.data, "SELECT * FROM files ORDER BY path") == before
    assert imagesearch("add", str(other), "--name", "Other").status == 0
    assert rows(imagesearch.data, "SELECT count(*) FROM collections") == [(2,)]


def test_a_folder_that_was_copied_without_its_times_elsewhere_is_the_same_collection(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    disk, other = tmp_path / "usb" / "Photos", tmp_path / ("other " * 20) / "Photos"
    write(disk, 4)
    assert imagesearch("add", str(disk)).status == 0
    write(other, 4)
    for number in range(4):
        os.utime(other / f"{number:04}.jpg", (number, number))
    write(other, 1, first=9)
    (tmp_path / "usb").rename(tmp_path / "away")
    added = imagesearch("add", str(other))
    assert f"'Photos' was {disk}, which is gone: it is {other} now." in added.out
    assert "5 pictures, 1 embedded, 4 known already" in added.out


def test_what_has_no_picture_becomes_no_collection(tmp_path: Path, imagesearch: Terminal) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    raws = tmp_path / "raws"
    (raws / "2019").mkdir(parents=True)
    for name in ("a.CR2", "2019/b.cr2", "2019/film.mp4", "2019/.hidden"):
        (raws / name).write_bytes(b"raw")
    bound = "SET must have pictures that can be read, got "
    for root, got in ((empty, "no file in"), (raws, "2 .cr2, 1 .mp4 in")):
        added = imagesearch("add", str(root))
        assert (added.status, f"{bound}{got} {root}" in added.err) == (1, True), added
    assert "no collection yet" in imagesearch("collections").out


def test_a_folder_that_is_skipped_or_has_no_name_in_utf_8_is_refused(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    write(tmp_path / "Pictures", 1)
    write(tmp_path / "Pictures" / "quiet" / "in", 1, first=1)
    (tmp_path / "Pictures" / "quiet" / ".nomedia").touch()
    assert imagesearch("add", str(tmp_path / "Pictures")).status == 0
    quiet = imagesearch("add", str(tmp_path / "Pictures" / "quiet" / "in"))
    assert quiet.status == 1
    assert "FOLDER must be none that 'Pictures' skips, which it is in, got 'quiet/in'" in quiet.err
    latin = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(latin)
    assert "SET must be a path in UTF-8, got " in imagesearch("add", latin).err


def test_an_id_that_no_image_has_is_noted_and_that_is_said(imagesearch: Terminal) -> None:
    told = imagesearch("forget", "own-00000000000000000000000000000000").out
    assert told.startswith("No image has the id own-0000")
    assert told.endswith("; it is noted all the same.\n")
    assert "own-0000" in imagesearch("forget", "--list").out


def test_whoever_breaks_an_update_off_is_told_that_the_next_one_goes_on(
    tmp_path: Path, imagesearch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Update:
        raise KeyboardInterrupt

    monkeypatch.setattr("imagesearch.cli.collections._made", interrupted)
    write(tmp_path / "Pictures", 1)
    added = imagesearch("add", str(tmp_path / "Pictures"))
    assert added.status == 130
    assert added.err.endswith("Broken off; the next update goes on where it was.\n")


def test_names_of_collections_differ_in_more_than_case(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    for name in ("Photos", "photos"):
        write(tmp_path / name, 1, first=ord(name[0]))
    assert imagesearch("add", str(tmp_path / "Photos")).status == 0
    other = imagesearch("add", str(tmp_path / "photos"))
    assert other.status == 1
    assert f"has, and 'Photos' is {tmp_path / 'Photos'}" in other.err
    assert imagesearch("add", str(tmp_path / "photos"), "--name", "others").status == 0


def test_killed_again_and_again_it_loses_nothing_and_embeds_nothing_twice(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    data, pictures = imagesearch.data, tmp_path / "Pictures"
    write(pictures, 30 * KILLS)
    draw = random.Random(7)
    embedded: set[tuple[object, ...]] = set()
    for kill in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "imagesearch", "add", str(pictures)],
            env=environment(data),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        killed_at = len(embedded) + draw.randrange(40)
        deadline = time.monotonic() + 60
        while process.poll() is None and count_embedded(data) <= killed_at:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(draw.random() / 20)
        process.kill()
        process.wait()
        now = set(rows(data, "SELECT id, image_id FROM embeddings"))
        assert embedded <= now, f"after kill {kill} something is lost, or was embedded anew"
        embedded = now
    assert imagesearch("update").status == 0
    last = set(rows(data, "SELECT id, image_id FROM embeddings"))
    assert embedded <= last
    assert len({image_id for _, image_id in last}) == len(last) == 30 * KILLS
    assert rows(data, "SELECT count(*) FROM records") == [(0,)]


def count_embedded(data: Path) -> int:
    if not (data / "catalog.sqlite").exists():
        return 0
    try:
        return len(rows(data, "SELECT id FROM embeddings"))
    except sqlite3.OperationalError:  # it is being made
        return 0


def test_beside_a_server_it_is_the_server_that_embeds(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    pictures = tmp_path / "Pictures"
    write(pictures, 40)
    with serving(imagesearch.data) as url:
        added = imagesearch("add", str(pictures))
        assert f"The imagesearch at {url} does it, by its own model." in added.err
        assert "Pictures: 40 pictures, 40 embedded" in added.out
        search = ("search", "grey", "--collection", "Pictures", "--json")
        result = json.loads(imagesearch(*search).out)["results"][0]
        preview = requests.get(result["url"], timeout=10)
        assert (preview.status_code, preview.headers["Content-Type"]) == (200, "image/jpeg")
        original = requests.get(result["page_url"], timeout=10)
        assert original.content == (pictures / result["own"]["file"]).read_bytes()
        (collection,) = requests.get(f"{url}/collections", timeout=10).json()["collections"]
        assert (collection["pictures"], collection["updating"]) == (40, False)
        assert imagesearch("remove", "Pictures").status == 0
        assert json.loads(imagesearch(*search).out)["results"] == []
        assert requests.get(result["page_url"], timeout=10).status_code == 404


def test_watched_folders_leave_the_data_folder_to_others_between_looks(
    tmp_path: Path, imagesearch: Terminal
) -> None:
    pictures = tmp_path / "Pictures"
    write(pictures, 3)
    assert imagesearch("add", str(pictures)).status == 0
    watching = subprocess.Popen(
        [sys.executable, "-m", "imagesearch", "watch", "--every", "1"],
        env=environment(imagesearch.data, COLUMNS="200"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert watching.stdout is not None
        # It may meet the search at the lock.
        lines = (line for line in watching.stdout if not line.startswith("Waiting for another"))
        assert next(lines) == "Watching 1 collection; Ctrl-C ends it.\n"
        started = time.monotonic()
        found = imagesearch("search", "a red square", "--collection", "Pictures")
        assert found.status == 0, found
        assert time.monotonic() - started < 60

        (tmp_path / "broken.jpg").write_bytes(b"no picture")
        (tmp_path / "broken.jpg").rename(pictures / "broken.jpg")
        assert "Pictures: 4 pictures, 3 as they were" in next(lines)
        assert next(lines) == "1 could not be read:\n"
        assert "broken.jpg: " in next(lines)
        write(tmp_path, 1, first=3)
        (tmp_path / "0003.jpg").rename(pictures / "0003.jpg")
        assert "Pictures: 5 pictures, 1 embedded, 3 as they were" in next(lines)
        assert next(lines) == "1 could not be read:\n"
        assert "broken.jpg: " in next(lines)

        pictures.rename(tmp_path / "away")
        assert next(lines) == f"Pictures: there is no folder {pictures}\n"
        (tmp_path / "away").rename(pictures)
        watching.send_signal(signal.SIGINT)
        rest = watching.communicate(timeout=60)[0]
        assert rest.endswith(
            "Watching has ended; what is not done is gone on with by the next update.\n"
        )
        assert "is not there" not in rest
        assert watching.returncode == 0
    finally:
        watching.kill()
        watching.wait()


def test_a_look_without_a_change_loads_no_model_and_takes_no_lock(
    tmp_path: Path, imagesearch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "Pictures"
    write(pictures, 2)
    assert imagesearch("add", str(pictures)).status == 0
    opened, looks = [], iter((None, None))

    def wait_or_end(_: float) -> None:
        if next(looks, "over") == "over":
            raise KeyboardInterrupt

    @contextmanager
    def counted(settings: Settings) -> Iterator[Stack]:
        opened.append(settings)
        with opened_stack(settings) as stack:
            yield stack

    monkeypatch.setattr("imagesearch.cli.collections.opened_stack", counted)
    monkeypatch.setattr("imagesearch.cli.watch.time", SimpleNamespace(sleep=wait_or_end))
    ended = imagesearch("watch")
    assert (ended.status, len(opened)) == (0, 1), ended


def test_watch_outlives_a_catalog_that_is_busy(
    tmp_path: Path, imagesearch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "Pictures", 1)
    assert imagesearch("add", str(tmp_path / "Pictures")).status == 0
    looks, calls = iter((None,)), iter(range(9))

    def wait_or_end(_: float) -> None:
        if next(looks, "over") == "over":
            raise KeyboardInterrupt

    def busy_at_the_first_look(kept: Collections, names: list[str] | None) -> list[Collection]:
        if next(calls) == 1:
            raise Unavailable("the catalog is busy")
        return named(kept, names)

    monkeypatch.setattr("imagesearch.cli.watch.named", busy_at_the_first_look)
    monkeypatch.setattr("imagesearch.cli.watch.time", SimpleNamespace(sleep=wait_or_end))
    ended = imagesearch("watch")
    assert ended.status == 0
    assert "imagesearch: the catalog is busy" in ended.err
    assert "Watching has ended" in ended.err
    assert next(calls) == 3
