"""Warm searches a second over HTTP: the inference service by its production command, under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.common import (
    ROOT,
    Bars,
    Benchmark,
    Column,
    Figures,
    Goal,
    Row,
    checkpoint,
    pixabay_image,
)
from imagesearch.adapters.caches.memorystore import Memorystore, connect
from imagesearch.deployment.services import SERVICES
from imagesearch.deployment.topics import INFERENCE_SERVICE
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.local.emulated import emulators
from imagesearch.local.emulated.processes import (
    HOST,
    Child,
    end_all,
    free_port,
    guarded_folder,
    wait_until_ready,
)
from imagesearch.usecases.cache_slots import POOL
from imagesearch.wire.scoring import encode

CLIENTS = (1, 16, 64)
SECONDS = 5.0
POOL_SIZE = 200
POOL_ID = "0" * 32
KINDS = {"new queries": None, "repeated queries": 100}  # how many different ones are asked
START_SECONDS = 120.0


def measure(folder: Path, tiny: bool) -> Figures:
    """
    Warm searches a second over HTTP, and how long they take, with 1, 16 and 64 clients at a time:
    `/score` of the inference service on a pool of 200 images, asked for the best 10.

    The service is one process started by its production command, with a CLIP of full ViT-B/32 size
    and a real redis-server, which holds the pool. With new queries none was asked before, so that
    each pays for its text encoding; repeated ones are of 100 that the service has seen. Each client
    has one connection and asks again as soon as it is answered, so a rate beyond the service's own
    is never tried. Fair to the service is that the clients' process is counted: it has the same
    cores, and the table says what share of them it took. Whatever is not a 200 with 10 hits within
    30 seconds is an error.
    """
    seconds, numbers = (0.2, CLIENTS[:2]) if tiny else (SECONDS, CLIENTS)
    with running_service(checkpoint(folder, tiny)) as (service, revision):
        _put_pool(service, revision, 24 if tiny else 512)
        rows = [
            {"kind": kind, "clients": clients, **ask(service, clients, seconds, different)}
            for kind, different in KINDS.items()
            for clients in numbers
        ]
    for row in rows:
        row["label"] = f"ours, clients: {row['clients']}"
    return Figures(rows)


@contextmanager
def running_service(model: Path) -> Iterator[tuple[Child, str]]:
    """Yield the inference service with a Redis behind it, and the revision of its model."""
    from inference_service.images import PREPROCESSING_VERSION
    from inference_service.model_folder import ModelFolder

    with ExitStack() as stack:
        folder = stack.enter_context(guarded_folder("benchmark-load-"))
        redis = emulators.redis_server(folder)
        service = inference_service(folder, model, {"REDIS_PORT": str(redis.port)})
        service.ready_path = "/alive"  # /ready asks Firestore, which no search on a pool needs
        stack.callback(end_all, [service, redis], 10.0)
        for child in (redis, service):
            child.start()
        wait_until_ready([redis, service], START_SECONDS)
        yield service, f"{ModelFolder.find(str(model)).revision}-p{PREPROCESSING_VERSION}"


def inference_service(folder: Path, model: Path, environment: Mapping[str, str]) -> Child:
    """Return the service by its production command, over backends that *environment* names."""
    [service] = [each for each in SERVICES if each.name == INFERENCE_SERVICE]
    program, *arguments = service.command
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "EDITION": "cloud",
        "GOOGLE_CLOUD_PROJECT": "test-project",
        "IMAGES_BUCKET": "images",
        "REDIS_HOST": HOST,
        "CLIP_MODEL": str(model),
        "LOG_LEVEL": "WARNING",
        "UVICORN_HOST": HOST,
        "UVICORN_PORT": str(port),
        "FIRESTORE_EMULATOR_HOST": f"{HOST}:9",  # nobody; whoever needs one names it
        **service.environment,
        **environment,
    }
    command = [str(Path(sys.executable).parent / program), *arguments]
    return Child(
        service.name,
        command,
        port,
        folder,
        environment=environment,
        working_folder=ROOT,
        ready_path=service.ready_path,
    )


def _put_pool(service: Child, revision: str, embedding_dim: int) -> None:
    import numpy as np

    from imagesearch.domain.images import PackedPool

    rows = np.random.default_rng(0).standard_normal((POOL_SIZE, embedding_dim), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    images = tuple(pixabay_image(number) for number in range(POOL_SIZE))
    client = connect(HOST, int(service.environment["REDIS_PORT"]))
    Memorystore(client).put(POOL, (POOL_ID, 1, revision), PackedPool(images, rows))
    client.close()


def ask(service: Child, clients: int, seconds: float, different: int | None) -> Row:
    """Return what a process of *clients* saw of *service* in so many *seconds*."""
    pattern = ScoreRequest(pool_id=POOL_ID, generation=1, query=Query.of_text("QUERY"), top_k=10)
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.load_clients"],
        cwd=ROOT,
        input=json.dumps(
            {
                "port": service.port,
                "clients": clients,
                "seconds": seconds,
                "different": different,
                "body": encode(pattern).decode(),
            }
        ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: Row = json.loads(run.stdout)
    return row


def _row(rows: list[Row], key: str) -> float | None:
    wanted = [r for r in rows if r["clients"] == 16 and r["kind"] == "new queries"]
    return float(wanted[0][key]) if wanted else None


def _spread(rows: list[Row]) -> float | None:
    p50, p99 = _row(rows, "p50_seconds"), _row(rows, "p99_seconds")
    return p99 / p50 if p50 and p99 else None


MEDIAN = Column("p50_seconds", "p50, ms", 1e3, 1)
P99 = Column("p99_seconds", "p99, ms", 1e3, 1)
RATE = Column("per_second", "searches a second", digits=0)
BENCHMARK = Benchmark(
    name="load",
    title="Load: warm searches over HTTP",
    measure=measure,
    columns=(
        Column("kind", ""),
        Column("clients", "clients", digits=0),
        RATE,
        MEDIAN,
        Column("p95_seconds", "p95, ms", 1e3, 1),
        P99,
        Column("searches", "searches", digits=0),
        Column("errors", "errors", digits=0),
        Column("client_share", "the clients' share of the cores, %", 100, 0),
    ),
    goals=(
        Goal(
            "`/score` over HTTP, 16 clients, new queries: p99 against p50",
            "≤ 5 ×",
            _spread,
            lambda spread: spread <= 5,
            "{:.1f} ×",
        ),
        Goal(
            "the same: errors",
            "0",
            lambda rows: _row(rows, "errors"),
            lambda errors: errors == 0,
            "{:.0f}",
        ),
    ),
    plots=(
        Bars("Warm searches a second over HTTP", RATE, label="label", group="kind"),
        Bars("99th percentile of a search's time over HTTP", P99, label="label", group="kind"),
    ),
)
