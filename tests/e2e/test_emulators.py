"""`imagesearch emulators` as people start it: a search over it, its end, and what it says."""

from __future__ import annotations

import io
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image

from imagesearch.demo.scenes import FEATURED
from imagesearch.local.emulated.cloud_stack import CloudStack
from imagesearch.settings import load_settings
from tests.e2e.cloud import READY, CloudCommand, cloud_command, complete, is_alive, require_programs
from tests.e2e.shown import shown
from tests.e2e.test_cli import imagesearch

CHILDREN = {"query", "fetch", "inference", "pubsub", "firestore", "storage", "redis"}
GONE_SECONDS = 20.0


def family(pids: dict[str, int]) -> set[int]:
    """Return the process ids of *pids*' process groups: the leaders and their workers."""
    table = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in table.stdout.splitlines())
    return {int(pid) for pid, group in rows if int(group) in pids.values()}


def all_gone(pids: set[int], folder: Path) -> bool:
    """True when, in a while, no process of *pids* is alive and *folder* is removed."""
    give_up_at = time.monotonic() + GONE_SECONDS
    while any(map(is_alive, pids)) or folder.exists():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.1)
    return True


HORSES = {"t": "horse", "s_query": "two horses amidst flowers"}


def test_a_search_through_all_of_it_finds_horses_amidst_flowers(command: CloudCommand) -> None:
    answer = complete(command.url("functions/query"), **HORSES, k=3)
    assert shown(answer["results"][0]).groups == FEATURED[0].groups
    assert {"horse", "flower"} <= set(answer["results"][0]["tags"])
    assert answer["pool"] | {"age_seconds": 0} == answer["pool"] | {
        "state": "ready",
        "images": 200,
        "embedded": 200,
        "rejected": 0,
        "age_seconds": 0,
    }


def test_the_images_and_pages_of_an_answer_load(command: CloudCommand) -> None:
    """The stored copy, with CORS as production's bucket has, and the page that it came from."""
    answer = complete(command.url("functions/query"), **HORSES, k=3)
    for result in answer["results"]:
        image = requests.get(result["url"], headers={"Origin": "https://app.example"}, timeout=10)
        assert image.headers["Content-Type"] == "image/jpeg"
        assert image.headers["Access-Control-Allow-Origin"] == "*"
        with Image.open(io.BytesIO(image.content)) as opened:
            assert opened.size == (result["width"], result["height"])
        page = requests.get(result["page_url"], timeout=10)
        assert page.status_code == 200
        assert page.headers["Content-Type"].startswith("text/html")


def test_an_image_that_is_not_stored_is_not_found(command: CloudCommand) -> None:
    answer = complete(command.url("functions/query"), **HORSES, k=1)
    images_url = answer["results"][0]["url"].rpartition("/")[0]
    assert requests.get(f"{images_url}/demo-1.jpg", timeout=10).status_code == 404


def test_the_query_function_serves_the_page_that_may_show_the_images(command: CloudCommand) -> None:
    """They are of another origin, as in production; the API is of the page's own."""
    page_url = command.url("Open")
    assert page_url == command.url("functions/query")
    config = requests.get(f"{page_url}/config.json", timeout=10).json()
    assert (config["api"], config["demo"]) == ("", True)
    assert "horse" in config["demo_keywords"]
    answer = complete(page_url, **HORSES, k=1)
    images = urlsplit(answer["results"][0]["url"])
    page = requests.get(page_url, timeout=10)
    assert "imagesearch" in page.text
    assert f"{images.scheme}://{images.netloc}" in page.headers["Content-Security-Policy"]


def test_a_page_of_another_origin_is_let_in_only_where_it_is_named(command: CloudCommand) -> None:
    headers = {"Origin": "http://other.example"}
    answer = requests.get(f"{command.url('functions/query')}/alive", headers=headers, timeout=10)
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_under_nohup_it_outlives_its_terminal(command: CloudCommand) -> None:
    command.process.send_signal(signal.SIGHUP)
    answer = complete(command.url("functions/query"), t="horse", s_query="a horse", k=1)
    assert len(answer["results"]) == 1
    assert command.process.poll() is None, command.printed


def test_ctrl_c_leaves_nothing_behind(command: CloudCommand, home: Path) -> None:
    """
    Neither a process, nor its folder, nor anything in the person's own folder.

    The last test of `command`, which has made a pool and answered searches.
    """
    pids, folder = family(command.pids()), command.folder
    assert set(command.pids()) == CHILDREN
    assert len(pids) > len(CHILDREN)  # the workers of gunicorn
    assert all(map(is_alive, pids))
    sockets = {path.parent for path in folder.glob("*/gunicorn.ctl")}
    assert {path.name for path in sockets} == {"query-run", "fetch-run"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in sockets} == {0o700}
    complete(command.url("functions/query"), t="horse", s_query="horses at night")
    assert command.end() == 0
    assert not folder.exists()
    # But for what any program may make anew.
    files = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert all(path.match(".cache/imagesearch/references-*.npy") for path in files), files
    assert not any(map(is_alive, pids))


KEY = "0123456-not-a-key"


@pytest.fixture(scope="module")
def command_with_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudCommand]:
    """The command, ready, with a key of Pixabay's, so that there is no demo gallery."""
    require_programs()
    log = tmp_path_factory.mktemp("emulators") / "log"
    with cloud_command(log, PIXABAY_API_KEY=KEY, CLIP_MODEL="models/demo") as running:
        running.wait_until_ready()
        yield running


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked into by /proc")
def test_only_the_fetch_function_is_given_the_key(command_with_key: CloudCommand) -> None:
    """Read from the processes themselves."""
    environments = {
        name: Path(f"/proc/{pid}/environ").read_text()
        for name, pid in command_with_key.pids().items()
    }
    assert {name for name, environment in environments.items() if KEY in environment} == {"fetch"}
    assert "demo gallery" not in command_with_key.printed
    url = command_with_key.url("Open")
    assert requests.get(f"{url}/config.json", timeout=10).json()["demo"] is False


def test_a_second_ctrl_c_does_not_wait_for_a_request_that_hangs(
    command_with_key: CloudCommand,
) -> None:
    """The last test of it."""
    everyone, folder = family(command_with_key.pids()), command_with_key.folder
    port = int(command_with_key.url("inference_service").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as hanging:
        hanging.sendall(b"POST /events/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        command_with_key.process.send_signal(signal.SIGINT)
        time.sleep(1)  # of the 6 s that the service gives it
        assert command_with_key.process.poll() is None, command_with_key.printed
        began = time.monotonic()
        assert command_with_key.end() == 0
        assert time.monotonic() - began < 4
    assert not folder.exists()
    assert not any(map(is_alive, everyone))
    assert KEY not in command_with_key.printed


def started(running: CloudCommand, tmp: Path) -> dict[str, int]:
    """Return the children of a command that is still starting, once it has started all."""
    give_up_at = time.monotonic() + GONE_SECONDS
    while time.monotonic() < give_up_at:
        assert running.process.poll() is None, running.printed
        pids = {one.stem: int(one.read_text()) for one in tmp.glob("imagesearch-*/*.pid")}
        if set(pids) == CHILDREN:
            return pids
        time.sleep(0.02)
    raise AssertionError(running.printed)


@pytest.fixture
def own_tmp(tmp_path: Path) -> Path:
    """A place for the temporary folder of this test's command alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def test_a_sigterm_during_the_start_leaves_nothing_behind(own_tmp: Path, tmp_path: Path) -> None:
    require_programs()
    with cloud_command(tmp_path / "log", TMPDIR=str(own_tmp)) as running:
        pids = family(started(running, own_tmp))
        assert running.end(signal.SIGTERM) == 0, running.printed
        assert "Traceback" not in running.printed
        assert list(own_tmp.iterdir()) == []
        assert not any(map(is_alive, pids))


def test_a_start_that_fails_half_way_leaves_nothing_behind(own_tmp: Path, tmp_path: Path) -> None:
    require_programs()
    with cloud_command(tmp_path / "log", TMPDIR=str(own_tmp)) as running:
        pids = started(running, own_tmp)
        everyone = family(pids)
        os.kill(pids["redis"], signal.SIGKILL)
        assert running.process.wait(timeout=60) == 1
        assert "redis ended with status -9" in running.printed
        assert READY not in running.printed
        assert list(own_tmp.iterdir()) == []
        assert not any(map(is_alive, everyone))


def test_children_do_not_outlive_a_launcher_that_was_killed(own_tmp: Path, tmp_path: Path) -> None:
    require_programs()
    with cloud_command(tmp_path / "log", TMPDIR=str(own_tmp)) as running:
        while len(pids := family(started(running, own_tmp))) <= len(CHILDREN):
            time.sleep(0.05)  # until one has children of its own
        (folder,) = own_tmp.glob("imagesearch-*")
        running.process.kill()
        assert all_gone(pids, folder)


def test_all_missing_programs_are_named_with_the_commands_that_install_them(tmp_path: Path) -> None:
    run = imagesearch("emulators", PORT="0", COLUMNS="400", PATH=str(tmp_path))
    assert run.returncode == 1
    assert "Java 17 or later is missing: sudo apt-get install default-jre-headless" in run.stderr
    assert "redis-server is missing: sudo apt-get install redis-server" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_port_that_is_taken_is_named_before_anything_starts(
    own_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_programs()
    monkeypatch.setattr("tempfile.tempdir", str(own_tmp))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for asked in (port, port - 1):  # the page's is the next one
            run = imagesearch("emulators", PORT=str(asked), COLUMNS="400")
            assert run.returncode == 1
            # The one before may be somebody else's, too.
            assert f"PORT {asked} is in use" in run.stderr or str(port) in run.stderr
            assert "PORT=0" in run.stderr
    assert list(own_tmp.iterdir()) == []


def test_pages_of_every_origin_may_be_let_in(tmp_path: Path) -> None:
    """`*` stands alone, so that the services' own check of it passes."""
    require_programs()
    settings = load_settings(allowed_origins="*")
    stack = CloudStack(settings, {}, tmp_path, images_port=1, gallery_url="")
    assert stack.children["query"].environment["ALLOWED_ORIGINS"] == "*"


def test_the_fetcher_of_several_sources_is_told_all_that_they_need(tmp_path: Path) -> None:
    require_programs()
    told = {"SOURCE_CONTACT": "ann@example.org", "PIXABAY_API_KEY": "a-key"}
    given = {name.lower(): value for name, value in told.items()}
    settings = load_settings(source="pixabay,commons", **given)
    stack = CloudStack(settings, told, tmp_path, images_port=1, gallery_url="")
    fetch, query = (stack.children[name].environment for name in ("fetch", "query"))
    assert told.items() <= fetch.items()
    assert fetch["SOURCE"] == query["SOURCE"] == "commons,pixabay"
    assert "PIXABAY_API_KEY" not in query


def test_a_bad_setting_is_named_before_anything_starts() -> None:
    run = imagesearch("emulators", PORT="0", POOL_SIZE="0")
    assert run.returncode == 1
    assert "POOL_SIZE" in run.stderr
