"""Child processes: started, told apart, paused and ended."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from imagesearch.local.emulated.emulators import MissingProgram, check_programs, firestore_emulator
from imagesearch.local.emulated.environment import passed_on, reached_here
from imagesearch.local.emulated.processes import (
    Child,
    ChildEnded,
    StopRequested,
    end_all,
    free_port,
    guarded_folder,
    is_free,
    wait_until_ready,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with guarded_folder("test-") as path:
        yield path


def server(folder: Path, name: str = "server") -> Child:
    port = free_port()
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    return Child(name, command, port, folder, ready_path="/")


def test_no_two_processes_are_given_the_same_port() -> None:
    """Though both look for one in the same order, and neither listens yet."""
    code = (
        "import random; random.seed(1)\n"
        "from imagesearch.local.emulated.processes import free_port\n"
        "print(free_port(), flush=True); input()"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        ports = [child.stdout.readline() for child in children if child.stdout]
    finally:
        for child in children:
            child.communicate("\n")
    assert len(set(ports)) == 2, ports


def test_a_child_is_ready_when_it_answers_and_ends_when_asked(folder: Path) -> None:
    child = server(folder)
    child.start()
    wait_until_ready([child], 30)
    assert child.is_running
    assert not is_free(child.port)
    assert "GET / HTTP" in child.log
    end_all([child], 10)
    assert not child.is_running
    assert is_free(child.port)


def test_a_killed_child_starts_again_on_its_port(folder: Path) -> None:
    child = server(folder)
    child.start()
    wait_until_ready([child], 30)
    before = child.pid
    child.kill()
    with pytest.raises(ChildEnded, match="server ended with status -9"):
        child.check()
    child.start()
    wait_until_ready([child], 30)
    assert child.pid != before
    end_all([child], 10)


def test_a_paused_child_hangs_and_goes_on_and_can_be_ended(folder: Path) -> None:
    child = server(folder)
    child.start()
    wait_until_ready([child], 30)
    child.pause()
    with socket.create_connection(("127.0.0.1", child.port), timeout=0.3) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)
        child.resume()
        client.settimeout(10)
        assert client.recv(4) == b"HTTP"
    child.pause()
    began = time.monotonic()
    end_all([child], 20)
    assert time.monotonic() - began < 10
    assert not child.is_running


def test_a_child_that_ignores_the_end_is_killed(folder: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)"
    child = Child("deaf", [sys.executable, "-u", "-c", code], free_port(), folder)
    child.start()
    while "up" not in child.log:
        time.sleep(0.02)
    end_all([child], 0.5)
    assert child.process is not None
    assert child.process.returncode == -9


def test_a_child_that_does_not_come_up_is_named_with_the_end_of_its_log(folder: Path) -> None:
    child = Child("broken", [sys.executable, "-c", "exit('no luck')"], free_port(), folder)
    child.start()
    with pytest.raises(ChildEnded, match=r"broken ended with status 1\. Its log ends:\nno luck"):
        wait_until_ready([child], 30)


def test_a_child_that_never_answers_is_given_up(folder: Path) -> None:
    child = Child("silent", ["sleep", "60"], free_port(), folder)
    child.start()
    try:
        with pytest.raises(ChildEnded, match="silent did not answer within 0 s"):
            wait_until_ready([child], 0.2)
        with pytest.raises(StopRequested):
            wait_until_ready([child], 30, lambda: True)
    finally:
        child.kill()


def test_what_has_ended_sends_no_signal_to_whoever_has_its_number_now(folder: Path) -> None:
    child = Child("brief", ["true"], free_port(), folder)
    child.start()
    end_all([child], 10)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        assert child.process is not None
        child.process.pid = stranger.pid  # as the system may give the number out again
        child.send_kill()
        child.kill()
        end_all([child], 10)
        time.sleep(0.1)
        assert stranger.poll() is None
        stranger.kill()


def has_ended(pid: int) -> bool:
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return not stat.stdout.strip() or stat.stdout.startswith("Z")


@pytest.mark.parametrize("by", [Child.check, lambda child: child.wait(10)], ids=["check", "wait"])
def test_workers_are_killed_as_soon_as_their_leader_is_known_to_have_ended(
    folder: Path, by: Callable[[Child], None]
) -> None:
    """Later its number may be another's, whom neither `end_all` nor the guard must kill."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    child = Child("leader", [sys.executable, "-c", code], free_port(), folder)
    child.start()
    assert child.process is not None
    while not child.log.endswith("\n") or not has_ended(child.process.pid):
        time.sleep(0.02)
    with suppress(ChildEnded):
        by(child)
    give_up_at = time.monotonic() + 10
    while not has_ended(int(child.log)) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    assert has_ended(int(child.log))
    assert list(folder.glob("*.pid")) == []
    assert child.process.returncode == 0


def test_the_guard_never_reads_half_of_a_process_id(folder: Path) -> None:
    """Its file appears whole: it is another one than that of the start before."""
    path = folder / "sleeper.pid"
    path.write_text("before")
    child = Child("sleeper", ["sleep", "60"], free_port(), folder)
    with path.open() as seen:
        child.start()
        assert seen.read() == "before"
    assert path.read_text() == str(child.pid)
    child.kill()
    assert not path.exists()


def test_free_ports_differ_and_lie_below_those_of_outgoing_connections() -> None:
    """A client that tries to reach a dead service must not be given that service's port."""
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < 32_768
    assert all(map(is_free, ports))


def test_the_guard_kills_the_children_of_a_process_that_was_killed(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from imagesearch.local.emulated.processes import Child, guarded_folder
with guarded_folder("test-") as folder:
    child = Child("sleeper", ["sleep", "600"], 1, folder)
    child.start()
    print(folder, child.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        folder, pid = parent.stdout.readline().split()
        assert Path(folder).is_dir()
        parent.kill()
    give_up_at = time.monotonic() + 20
    while Path(folder).exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert has_ended(int(pid))


def test_the_sdk_is_found_by_its_root_without_gcloud_on_the_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "java").write_text("#!/bin/sh\n")
    (programs / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    jar = tmp_path / "sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"")
    monkeypatch.setenv("CLOUDSDK_ROOT_DIR", str(tmp_path / "sdk"))
    assert str(jar) in firestore_emulator(folder).command


def test_a_missing_java_is_named_with_the_command_that_installs_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match=r"Java 17 or later is missing: .* install"):
        firestore_emulator(folder)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 1", "Java 17 or later is missing: "),  # macOS's without a Java
        (
            "echo 'openjdk version \"1.8.0_392\"' >&2",
            "Java 17 or later is missing, this one is 8: ",
        ),
        ("echo 'openjdk version \"11.0.2\"' >&2", "Java 17 or later is missing, this one is 11: "),
        ("echo 'openjdk version \"17.0.15\" 2025-04-15' >&2", None),
        ("echo 'Picked up X' >&2; echo 'openjdk version \"26-ea\" 2026-03-17' >&2", None),
    ],
    ids=["none", "8", "11", "17", "26"],
)
def test_a_java_that_is_too_old_or_does_not_run_is_as_good_as_missing(
    script: str, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "java").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram) as missing:  # redis-server, at least
        check_programs()
    found = [line for line in str(missing.value).splitlines() if line.startswith("Java")]
    if told is None:
        assert found == []
    else:
        (line,) = found
        assert line.startswith(told)
        assert " install " in line


def test_children_are_told_all_but_what_is_kept_from_them_in_whatever_case() -> None:
    told = passed_on({"POOL_SIZE": "7", "pixabay_api_key": "secret"}, {"PIXABAY_API_KEY"})
    assert told["POOL_SIZE"] == "7"
    assert "secret" not in told.values()


def test_this_machine_is_reached_without_the_proxy_of_the_environment() -> None:
    told = reached_here({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "intranet"})
    assert told["no_proxy"] == told["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert told["HTTPS_PROXY"] == "http://proxy:1"
