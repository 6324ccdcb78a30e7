"""How the cloud edition on this machine is watched and ended; its children are stand-ins here."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagesearch.local.emulated.cloud_stack import CloudStack
from imagesearch.local.emulated.processes import Child, ChildEnded, free_port
from imagesearch.settings import load_settings
from tests.e2e.cloud import require_programs

pytestmark = pytest.mark.slow

# Answers each connection, and says a word.
ANSWERS = (
    "import socket, sys\n"
    "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "print('I am up', flush=True)\n"
    "while True:\n"
    "    client = listener.accept()[0]\n"
    "    client.recv(999)\n"
    "    client.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n')\n"
    "    client.close()\n"
)
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ANSWERS


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CloudStack:
    """Of children that answer and do nothing else."""
    require_programs()
    stack = CloudStack(load_settings(port=0), {}, tmp_path, images_port=1, gallery_url="")
    for name, child in stack.children.items():
        stack.children[name] = stand_in(name, child.folder)
    monkeypatch.setattr(stack, "declare", lambda: None)
    return stack


def stand_in(name: str, folder: Path, code: str = ANSWERS) -> Child:
    port = free_port()
    command = [sys.executable, "-I", "-S", "-c", code, str(port)]
    return Child(name, command, port, folder, ready_path="/")


def soon(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_child_that_dies_is_named_and_takes_the_rest_along(stack: CloudStack) -> None:
    dies = stack.children["firestore"]
    with pytest.raises(ChildEnded) as raised:
        stack.run(lambda: os.kill(dies.pid, signal.SIGKILL))
    said = "firestore ended with status -9. Its log ends:\nI am up"
    assert str(raised.value) == said
    assert not any(child.is_running for child in stack.children.values())


def test_a_signal_ends_all_and_a_second_one_has_no_patience(
    stack: CloudStack, tmp_path: Path
) -> None:
    stack.children["inference"] = stand_in("inference", tmp_path, DEAF)
    seconds: list[float] = []

    def ask_twice() -> None:
        # What a signal calls: one that came late would end the tests.
        heed = signal.getsignal(signal.SIGINT)
        assert callable(heed)
        heed(signal.SIGINT, None)
        time.sleep(1)  # of the 10 s that each has
        seconds.append(-time.monotonic())
        assert stack.children["inference"].is_running
        heed(signal.SIGINT, None)

    threads: list[threading.Thread] = []
    before = signal.getsignal(signal.SIGINT)
    stack.run(lambda: threads.append(soon(ask_twice)))
    ended = time.monotonic()
    threads[0].join()
    assert ended + seconds[0] < 4
    assert not any(child.is_running for child in stack.children.values())
    assert signal.getsignal(signal.SIGINT) is before
