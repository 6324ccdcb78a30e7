"""`imagesearch forget` beside a running `imagesearch serve`, over HTTP."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from imagesearch.sources import polite
from imagesearch.sources.download import Downloader
from tests.e2e.conftest import Serving, serving
from tests.e2e.test_cli import imagesearch
from tests.e2e.test_collections import Terminal, write
from tests.e2e.test_collections import serving as serving_own
from tests.stub_http import StubServer, reply
from tools.pictures import jpeg

PROMISED_SECONDS = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("forget") / "data", POOL_SIZE="30") as running:
        yield running


def forget(server: Serving, *arguments: str) -> str:
    run = imagesearch("forget", *arguments, DATA_DIR=str(server.data_dir), POOL_SIZE="30")
    assert run.returncode == 0, run.stderr
    return run.stdout


def ask(server: Serving, path: str, **params: object) -> requests.Response:
    query = {name: str(value) for name, value in params.items()}
    return requests.get(f"{server.url}{path}", params=query, timeout=40)


def answer(server: Serving, keyword: str) -> dict[str, Any]:
    return server.complete(t=keyword, s_query=keyword, k=50, fold="false")


def ids(body: dict[str, Any]) -> list[str]:
    return [result["image_id"] for result in body["results"]]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PROMISED_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "a minute is over"
        time.sleep(0.5)


def test_a_picture_that_is_taken_down_is_gone_from_every_door_within_a_minute(
    server: Serving,
) -> None:
    before = answer(server, "penguin")
    assert len(ids(before)) == 30
    gone = before["results"][0]
    image_id = gone["image_id"]
    assert requests.get(gone["url"], timeout=10).status_code == 200
    assert ask(server, "/search", scope="catalog", like=image_id).status_code == 200
    assert "1 images, 1 originals, 1 pools" in forget(server, image_id, "--dry-run")
    assert image_id in ids(answer(server, "penguin"))
    told = forget(server, image_id, "--reason", "asked for by mail")
    assert told.startswith("1 images, 1 originals, 1 pools of keywords are taken down")
    wait_until(lambda: image_id not in ids(answer(server, "penguin")))
    # It was fetched anew for it, and the source offers it as before.
    after = answer(server, "penguin")
    assert set(ids(after)) == set(ids(before)) - {image_id}
    assert after["complete"]
    pool = ask(server, f"/pools/{after['pool']['pool_id']}").json()
    assert "taken down" in str(pool["rejections"])
    everything = ask(server, "/search", scope="catalog", s_query="penguin", k=50).json()
    assert image_id not in str(everything)
    for part in ("like", "unlike"):
        named = {"s_query": "penguin", "scope": "catalog", part: image_id}
        assert ask(server, "/search", **named).status_code == 404
    assert requests.get(gone["url"], timeout=10).status_code == 404
    assert ask(server, f"/originals/{image_id}").status_code == 404
    assert "asked for by mail" in forget(server, "--list")
    server.kill()
    server.start()
    assert image_id not in ids(answer(server, "penguin"))
    assert forget(server, "--allow-again", image_id).startswith("1 pictures are let back")


def test_a_keyword_that_is_forgotten_is_a_new_one_within_a_minute(server: Serving) -> None:
    answer(server, "rocket")
    pool_id = answer(server, "rocket")["pool"]["pool_id"]
    assert "1 pools of keywords are forgotten" in forget(server, "--keyword", "Rocket")
    wait_until(lambda: answer(server, "rocket")["pool"]["generation"] > 1)
    assert answer(server, "rocket")["pool"]["pool_id"] == pool_id
    assert len(ids(answer(server, "rocket"))) == 30


def test_nothing_is_unused_on_the_day_that_it_was_fetched(server: Serving) -> None:
    answer(server, "cake")
    assert forget(server, "--unused-for", "1").startswith("0 images, 0 originals, 0 pools")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of IMAGE_ID, --keyword, --collection, --unused-for, --list must be given"),
        (("a", "--keyword", "b"), "got IMAGE_ID, --keyword"),
        (("--allow-again",), "got none"),
        (("a/b",), "IMAGE_ID must be"),
        (("--collection", "none"), "there is no collection yet"),
        (("a", "--reason", "x" * 301), "--reason must have 300 characters at most, got 301"),
    ],
)
def test_what_cannot_be_forgotten_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    run = imagesearch("forget", *arguments, "--data-dir", str(tmp_path))
    assert run.returncode != 0
    assert said in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


@contextmanager
def own_pictures(
    tmp_path: Path, imagesearch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StubServer]:
    """Add a folder, a shard and a list of two pictures each; yield the host of the list."""
    write(tmp_path / "Pictures", 2)
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for number in (2, 3):
            member = tarfile.TarInfo(f"{number}.jpg")
            member.size = len(jpeg(number))
            shard.addfile(member, io.BytesIO(jpeg(number)))

    def script(request: object) -> bytes:
        target = getattr(request, "target")  # noqa: B009
        return reply(404) if target == "/robots.txt" else reply(200, jpeg(int(target[1:-4])))

    with StubServer(script) as host:
        monkeypatch.setattr(polite, "Downloader", partial(Downloader, allowed_origin=host.origin))
        urls = [f"{host.origin}/{number}.jpg" for number in (4, 5)]
        (tmp_path / "list.csv").write_text("\n".join(["url", *urls]))
        for name in ("Pictures", "shard.tar", "list.csv"):
            added = imagesearch("add", str(tmp_path / name))
            assert (added.status, "2 embedded" in added.out) == (0, True), added
        yield host


def test_an_own_picture_that_is_taken_down_is_gone_from_every_door_within_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imagesearch = Terminal(tmp_path / "data", capsys)
    with own_pictures(tmp_path, imagesearch, monkeypatch), serving_own(imagesearch.data) as url:
        wanted = {"scope": "catalog", "s_query": "grey", "k": "9", "fold": "false"}

        def found() -> dict[str, str]:
            body = requests.get(f"{url}/search", params=wanted, timeout=40).json()
            return {each["image_id"]: each["own"]["collections"][0] for each in body["results"]}

        every = found()
        assert sorted(every.values()) == ["Pictures", "Pictures", "list", "list", "shard", "shard"]
        down = {name: image_id for image_id, name in every.items()}
        for image_id in every:
            assert requests.get(f"{url}/originals/{image_id}", timeout=10).status_code == 200
            assert requests.get(f"{url}/images/{image_id}.jpg", timeout=10).status_code == 200
        downloaded = [each.name for each in (imagesearch.data / "images").glob("url-*")]
        assert len(downloaded) == 2
        told = imagesearch("forget", *down.values())
        assert told.out.startswith("3 images")
        head, *rows = imagesearch("collections").out.splitlines()
        assert head.split()[:6] == ["name", "pictures", "images", "problems", "taken", "down"]
        listed = [line.split()[:5] for line in rows]
        assert listed == [[name, "1", "1", "0", "1"] for name in ("Pictures", "list", "shard")]
        counted = requests.get(f"{url}/collections", timeout=10).json()["collections"]
        assert [each["pictures"] for each in counted] == [1, 1, 1]
        updated = imagesearch("update", "Pictures")
        assert (updated.status, "1 as they were, 1 taken down" in updated.out) == (0, True), updated
        wait_until(lambda: found().keys() == every.keys() - {*down.values()})

        def status(path: str) -> int:
            return requests.get(f"{url}{path}", timeout=10).status_code

        like = "/search?s_query=grey&scope=catalog&like="
        doors = [
            door
            for each in down.values()
            for door in (f"/originals/{each}", f"/images/{each}.jpg", f"{like}{each}")
        ]
        wait_until(lambda: {status(door) for door in doors} == {404})
        left = [each.name for each in (imagesearch.data / "images").glob("url-*")]
        assert len(left) == 1
        # By the name that its bytes have in the store it is not to be had, nor is any other.
        assert [status(f"/images/{name}") for name in downloaded] == [404, 404]
        kept = next(iter(every.keys() - {*down.values()}))
        assert status(f"/originals/{kept}") == status(f"/images/{kept}.jpg") == 200
