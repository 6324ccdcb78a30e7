"""A child process that serves a port of 127.0.0.1: started, waited for, paused, ended.

Which programs those are is in `emulators.py` and `cloud_stack.py`; what ends them when this process
is killed is `guard.py`.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

from imagesearch.domain.errors import Unavailable
from imagesearch.local.emulated import guard

HOST = "127.0.0.1"
# Below the ports that systems give to outgoing connections: a client that tries again and again
# to reach a service that is down would otherwise take that service's port now and then.
_FREE_PORTS = range(20_000, 32_000)
_candidates = iter(random.sample(_FREE_PORTS, len(_FREE_PORTS)))  # none is given out twice
_TAIL_LINES = 20
_PROBE_SECONDS = 5.0


class ChildEnded(Unavailable):
    """A child process ended by itself or did not come up; the message has the end of its log."""


class StopRequested(Exception):
    """The person wants an end before everything has started."""


def free_port() -> int:
    """
    Return a port that nothing listens on, and that no process that still runs was given.

    Raises:
        Unavailable: there is none left.
    """
    for port in _candidates:
        if _reserve(port) and is_free(port):
            return port
    raise Unavailable(f"every port from {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1} is taken")


def _reserve(port: int) -> bool:
    """
    Keep *port* for this process until it ends; False when another one has it.

    What is to listen there starts only later, so that being free now is not enough where several
    processes take ports at once.
    """
    file = _reservations()
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # Linux says the one, macOS the other
        return False
    return True


@cache
def _reservations() -> int:
    """Return an open file; whoever was given a port has locked the byte at its number."""
    # Not in TMPDIR, of which each process may have its own.
    path = Path("/tmp", f"imagesearch-ports-{os.getuid()}")  # noqa: S108 - no link is followed
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def is_free(port: int) -> bool:
    """True when a server could listen on *port*."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers set it
        try:
            probe.bind((HOST, port))
            probe.listen()  # on macOS, binding beside a listener succeeds
        except OSError:
            return False
    return True


@contextmanager
def guarded_folder(prefix: str) -> Iterator[Path]:
    """
    Yield a temporary folder for children, and remove it at the end.

    If this process is killed, the children whose folder it is are killed and the folder is removed.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-I", guard.__file__, folder]
        with subprocess.Popen(  # noqa: S603 - our own file
            command, stdin=subprocess.PIPE, start_new_session=True
        ):
            yield Path(folder)  # leaving closes the pipe and waits


@dataclass
class Child:
    """
    A program that serves *port* in a process group and a session of its own.

    A terminal's Ctrl-C reaches the parent only, which then ends its children in good order.

    Attributes:
        folder: where its log and its process id are; see `guarded_folder`.
        ready_path: answers 200 over HTTP when it is ready; without one, a connection will do.
        output: where it prints; None: to its log.
        process: its last start, None before the first.
        is_over: nothing of its last start is left, and its process id may be another's by now.
    """

    name: str
    command: Sequence[str]
    port: int
    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    working_folder: Path | None = None
    ready_path: str | None = None
    output: IO[str] | None = None
    process: subprocess.Popen[bytes] | None = None
    is_over: bool = field(default=True, init=False)

    @property
    def url(self) -> str:
        """Where it answers, if it speaks HTTP."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Of its last start; the leader, and so the number, of its process group."""
        assert self.process is not None, f"{self.name} has not been started"  # noqa: S101 - as typed
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """True from its start to its end; workers that it has left behind are killed here."""
        if not self.is_over and self.process is not None and self.process.poll() is not None:
            self.kill()  # at once, as the process id is free again
        return not self.is_over

    @property
    def log(self) -> str:
        """What it has printed, of all its starts, unless it prints to *output*."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def start(self) -> None:
        """Start it, again too: on the same port, with the same environment."""
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - the caller's own command
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=self.output or log,
                stderr=subprocess.STDOUT,
                cwd=self.working_folder or self.folder,
                env=dict(self.environment),
                start_new_session=True,
            )
        self.is_over = False
        new = self._pid_path.with_suffix(".new")
        new.write_text(str(self.pid))
        new.replace(self._pid_path)  # whoever reads it meanwhile sees a whole number or none

    def is_ready(self) -> bool:
        """
        True when it answers.

        Raises:
            ChildEnded: it has ended.
        """
        self.check()
        try:
            answers = self._answers()
        except (OSError, http.client.HTTPException):
            return False
        self.check()  # else another program may have answered on its port
        return answers

    def _answers(self) -> bool:
        if self.ready_path is None:
            socket.create_connection((HOST, self.port), timeout=_PROBE_SECONDS).close()
            return True
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=_PROBE_SECONDS)) as client:
            client.request("GET", self.ready_path)
            return client.getresponse().status == 200

    def check(self) -> None:
        """
        Return when it is running.

        Raises:
            ChildEnded: it has ended.
        """
        if not self.is_running:
            status = self.process.returncode if self.process else None
            raise ChildEnded(f"{self.name} ended with status {status}{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of its log, to append to a message."""
        if self.output is not None:
            return "; what it printed is above"
        tail = self.log.splitlines()[-_TAIL_LINES:]
        return ". Its log ends:\n" + "\n".join(tail) if tail else "; it printed nothing"

    def pause(self) -> None:
        """Let its connections hang, as a machine does that is out of reach."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and its workers at once, as a power cut does."""
        if self.process is None or self.is_over:
            return
        self.send_kill()
        self.is_over = True  # before the process id is free for another
        self.process.wait()
        self._pid_path.unlink(missing_ok=True)

    def send_kill(self) -> None:
        """Kill without waiting for the end; a signal handler may call it."""
        if not self.is_over:
            with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies
                os.killpg(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to finish what it has in hand and to end."""
        if self.is_running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
                self.resume()  # a paused process would never hear it

    def wait(self, seconds: float) -> None:
        """Wait for its end, and kill what is left of it after *seconds*."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(seconds, 0.0))
        self.kill()  # workers whose leader has gone, too

    @property
    def _log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def _pid_path(self) -> Path:
        return self.folder / f"{self.name}.pid"


def wait_until_ready(
    children: Iterable[Child], seconds: float, stop_requested: Callable[[], bool] = lambda: False
) -> None:
    """
    Return when all *children* answer.

    Raises:
        ChildEnded: one ended, or did not answer within *seconds*.
        StopRequested: *stop_requested* became true.
    """
    give_up_at = time.monotonic() + seconds
    waiting = list(children)
    while waiting := [child for child in waiting if not child.is_ready()]:
        if stop_requested():
            raise StopRequested
        if time.monotonic() > give_up_at:
            late = waiting[0]
            raise ChildEnded(
                f"{late.name} did not answer within {seconds:.0f} s{late.last_words()}"
            )
        time.sleep(0.05)


def end_all(children: Sequence[Child], seconds: float) -> None:
    """End *children* together; what takes longer than *seconds* is killed."""
    give_up_at = time.monotonic() + seconds
    for child in children:
        child.terminate()
    for child in children:
        child.wait(give_up_at - time.monotonic())
