"""How a process writes its log, in processes of their own: for Google Cloud, and on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from imagesearch.settings import AllSettings
from tests.cloud_environment import CLOUD
from tests.log_lines import PROJECT, Log

ROOT = Path(__file__).resolve().parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"logging.googleapis.com/trace": f"projects/{PROJECT}/traces/{TRACE}"}
HOSTILE = "马\n\x1b[31m\ud800\u2028{"
A_UNIT = f"""
import logging
from imagesearch import logs, telemetry
logs.configure("INFO", {PROJECT!r})
logs.configure("INFO", {PROJECT!r})  # a second time, as a process does
with telemetry.unit("FetchJob", {TRACE!r}) as unit:
    with telemetry.stage("list"):
        unit.note(pool_id="id", generation=2, message_id="7", delivery_attempt=3, status=204)
    try:
        raise ValueError({HOSTILE!r})
    except ValueError:
        logging.getLogger("library").exception("it failed: %s", {HOSTILE!r})
    logging.getLogger("library").debug("too little to tell")
"""


def run(code: str, **env: str) -> list[dict[str, Any]]:
    """Run *code* in a process of its own and return its log."""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=ROOT, env={**os.environ, **env}
    )
    return [json.loads(line) for line in ended.stderr.splitlines()]


def run_on_terminal(code: str) -> str:
    """Run *code* with stderr on a terminal and return what it shows."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, cwd=ROOT) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while chunk := os.read(ours, 65_536):
                shown += chunk
        os.close(ours)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_every_record_is_one_line_of_json_with_the_trace_of_its_work() -> None:
    failure, line = run(A_UNIT)
    assert failure | TRACED == failure
    assert (failure["severity"], failure["logger"]) == ("ERROR", "library")
    assert failure["message"] == f"it failed: {HOSTILE}"
    assert failure["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert failure["stack_trace"].endswith(f"ValueError: {HOSTILE}")
    assert line | TRACED == line
    assert (line["kind"], line["pool_id"], line["generation"]) == ("FetchJob", "id", 2)
    assert (line["message_id"], line["delivery_attempt"]) == ("7", 3)
    assert (line["status"], line["outcome"], set(line["stages"])) == (204, "done", {"list"})


def test_on_a_terminal_it_is_text_that_cannot_play_tricks_with_it() -> None:
    shown = run_on_terminal(A_UNIT)
    first, *traceback, last = shown.rstrip("\n").split("\n")
    assert " ERROR   it failed: 马" in first
    assert "Traceback (most recent call last):" in traceback
    assert "FetchJob pool_id=id 204 done in 0." in last
    assert "s generation=2 message_id=7 delivery_attempt=3 list=0.000s" in last
    assert last.endswith(f" trace={TRACE}")
    assert "{" not in last
    assert shown.count("\\x1b[31m\\ud800\\u2028{") == 2, "in the message and in the traceback"
    assert "\x1b" not in shown


FORGED = "12:00:00 ERROR   forged"


def test_no_text_can_pass_for_a_line_of_the_log() -> None:
    """Neither in a message nor in the text of an exception, nor in a field."""
    shown = run_on_terminal(f"""
import logging
from imagesearch import logs
logs.configure()
try:
    raise ValueError("x\\n{FORGED}\\r{FORGED}")
except ValueError as error:
    logging.exception("%s", error, extra={{"fields": {{"excerpt": "y\\n{FORGED}\\u202e"}}}})
""")
    lines = shown.splitlines()
    assert [line for line in lines if "ERROR" in line[:15]] == lines[:1]
    assert f"x\\n{FORGED}\\r{FORGED} excerpt=y\\n{FORGED}\\u202e" in lines[0]
    assert lines[1] == "Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in lines[2:])


def test_a_process_without_a_stderr_logs_to_nobody() -> None:
    code = "import sys; sys.stderr = None\nfrom imagesearch import logs\nlogs.configure()\n"
    code += "import logging; logging.error('nobody reads it')"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_what_ends_a_process_or_a_thread_is_one_line_too() -> None:
    entries = run(
        """
import threading, warnings
from imagesearch import logs
logs.configure()
warnings.warn("a library's")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise RuntimeError("the model cannot be loaded")
""",
        PYTHONWARNINGS="default",
    )
    warning, thread, process = entries
    assert warning["severity"] == "WARNING"
    assert "a library's" in warning["message"]
    assert (thread["severity"], process["severity"]) == ("CRITICAL", "CRITICAL")
    assert "ZeroDivisionError" in thread["stack_trace"]
    assert "the model cannot be loaded" in process["stack_trace"]


def test_the_level_is_the_settings_and_a_bad_setting_is_logged_in_the_same_form() -> None:
    code = """
import logging
from imagesearch.compose.start import start
start(lambda settings: settings)
logging.info("info")
"""
    env = {"EDITION": "cloud", "GOOGLE_CLOUD_PROJECT": PROJECT}
    assert [entry["message"] for entry in run(code, **env)] == ["info"]
    assert run(code, LOG_LEVEL="WARNING", **env) == []
    bad = run(code, LOG_LEVEL="LOUD", **env)
    assert "LOG_LEVEL" in bad[0]["message"]


@contextmanager
def server(tmp_path: Path, *command: str, **env: str) -> Iterator[tuple[str, Path]]:
    """Yield the URL of a server, and the file of its log, which is whole at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clean = {k: v for k, v in os.environ.items() if k not in ("COVERAGE_PROCESS_CONFIG",)}
    for name in AllSettings.model_fields:
        clean.pop(name.upper(), None)
    path = tmp_path / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**clean, "XDG_RUNTIME_DIR": str(tmp_path), **env},  # gunicorn's socket
        )
    try:
        wait_for_port(process, port, path)
        yield f"http://127.0.0.1:{port}", path
    finally:
        process.terminate()
        process.wait(20)


def wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up_at = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


@pytest.mark.parametrize("log_execution_id", ["", "true"], ids=["plain", "with-execution-id"])
def test_a_function_under_gunicorn_logs_json_lines_alone(
    tmp_path: Path, log_execution_id: str
) -> None:
    """Also where the platform has the framework add the execution's id to each line."""
    command = ["functions_framework", "--target", "query", "--source", "functions/query/main.py"]
    env = {
        **CLOUD,
        "LOG_EXECUTION_ID": log_execution_id,
        "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9",
    }
    with server(tmp_path, *command, **env) as (url, path):
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        for _ in range(2):
            answer = requests.get(f"{url}/ready", headers=headers, timeout=20)
            assert answer.status_code == 503
            assert "total;dur=" in answer.headers["Server-Timing"]
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    ready = [entry for entry in entries if entry.get("kind")]
    assert [entry["kind"] for entry in ready] == ["ready", "ready"]
    for entry in ready:
        assert TRACED.items() <= entry.items()
        assert (entry["severity"], entry["outcome"]) == ("WARNING", "unavailable")
        assert "Firestore failed" in entry["error"]
        assert bool(entry.get("logging.googleapis.com/labels")) == bool(log_execution_id)


def test_the_first_push_that_cannot_be_read_is_logged_and_counted(tmp_path: Path) -> None:
    command = ["functions_framework", "--target", "fetch", "--source", "functions/fetch/main.py"]
    with server(tmp_path, *command, **CLOUD) as (url, path):
        for _ in range(2):
            assert requests.post(url, data=b"not JSON", timeout=20).status_code == 204
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [entry["malformed"] for entry in entries] == [1, 2]
    assert {entry["severity"] for entry in entries} == {"ERROR"}


SERVICE = """
from types import SimpleNamespace
from imagesearch.compose.start import start
from inference_service.app import create_app

def create():
    start(lambda settings: settings)
    return create_app(SimpleNamespace(scorer=None))
"""


def test_a_service_under_uvicorn_logs_json_lines_and_no_access_lines(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    command = ["uvicorn", "--factory", "service:create", "--app-dir", str(tmp_path)]
    env = {"EDITION": "cloud", "GOOGLE_CLOUD_PROJECT": PROJECT}
    with server(tmp_path, *command, **env) as (url, path):
        request = {"pool_id": "id", "generation": 1, "query": "a wish", "top_k": 1}
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        answer = requests.post(f"{url}/score", json=request, headers=headers, timeout=20)
        assert answer.status_code == 500
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    told = [entry for entry in entries if TRACED.items() <= entry.items()]
    assert [entry.get("kind", entry.get("logger")) for entry in told] == [
        "inference_service.app",
        "score",
    ]
    assert "AttributeError" in told[0]["stack_trace"]
    assert (told[1]["status"], told[1]["severity"]) == (500, "ERROR")
    assert {entry["logger"] for entry in entries if entry not in told} == {"uvicorn.error"}
    assert "a wish" not in path.read_text()


def test_a_service_that_cannot_start_says_why_on_one_line(tmp_path: Path) -> None:
    command = ["uvicorn", "--factory", "inference_service.app:create", "--port", "0"]
    ended = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, cwd=ROOT, timeout=60
    )
    assert ended.returncode != 0
    (line,) = ended.stderr.splitlines()
    entry = json.loads(line)
    assert entry["severity"] == "CRITICAL"
    assert "a process of its own needs EDITION=cloud" in entry["message"]


def test_a_record_that_cannot_be_put_in_json_is_put_in_words(log: Log) -> None:
    import logging

    logging.getLogger("x").error("odd", extra={"fields": {"path": Path("/x")}})
    assert log.entries()[0]["path"] == "/x"
