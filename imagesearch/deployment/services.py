"""How each service is run in production, in numbers: the one table, for Terraform and for here.

Topics and subscriptions have a table of their own, `topics.py`; the settings are in `settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imagesearch.deployment.topics import FETCH_SERVICE, INFERENCE_SERVICE

QUERY_SERVICE = "query"  # functions/query
# A search of a new keyword waits, and holds its thread, for up to 25 s: 64 of them leave 16 for the
# searches that are answered at once, and for `/alive`.
QUERY_CONCURRENCY = 80


@dataclass(frozen=True)
class Service:
    """
    A service and the command of its container, which listens on the port of PORT.

    Attributes:
        command: a program of the Python environment and its arguments, from the project's root.
        concurrency: requests that one instance is given at a time.
        ready_path: answers 200 when the service can do its work, and all that it needs for it.
        started_path: answers 200 when the process itself can: what Cloud Run waits for before it
            gives an instance its first request. A function has none, it waits for the port.
        environment: what the command reads besides the settings.
    """

    name: str
    command: tuple[str, ...]
    concurrency: int
    ready_path: str
    started_path: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def _function(name: str, *, concurrency: int, ready_path: str) -> Service:
    command = ("functions-framework", "--source", f"functions/{name}/main.py", "--target", name)
    environment = {
        "THREADS": str(concurrency),  # one for each request at a time
        # Nothing that is installed is one, and to look costs each start some 10 ms of CPU:
        # https://docs.pydantic.dev/latest/concepts/plugins/
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
    }
    return Service(name, command, concurrency, ready_path, environment=environment)


SERVICES: tuple[Service, ...] = (
    _function(QUERY_SERVICE, concurrency=QUERY_CONCURRENCY, ready_path="/ready"),
    # Four jobs are at work, each on `DOWNLOAD_CONNECTIONS` threads of its own; the others wait here
    # for their turn, where a refusal would rest for longer, and count as a failed delivery.
    _function(FETCH_SERVICE, concurrency=16, ready_path="/alive"),
    Service(
        INFERENCE_SERVICE,
        # Cloud Run kills it 10 s after it has asked for the end; the model's threads need some.
        (
            *("uvicorn", "--factory", "inference_service.app:create", "--no-access-log"),
            *(
                "--timeout-graceful-shutdown",
                "6",
                "--http",
                "imagesearch.doors.uvicorn_protocol:Protocol",
                "--loop",
                "asyncio",
            ),
        ),
        # Of 160, 128 may be pushes, which wait for their turn without a thread; `app.py` keeps the
        # rest for searches. Above 60 % of it Cloud Run starts another instance.
        concurrency=160,
        ready_path="/ready",
        started_path="/started",
    ),
)
