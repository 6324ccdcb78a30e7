"""The cold start of the two functions: their imports, and the first request of each kind."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.common import Bars, Benchmark, Column, Figures, Row, pixabay_image
from imagesearch.adapters.buses.pubsub import declare
from imagesearch.adapters.caches.memorystore import Memorystore, connect
from imagesearch.deployment.services import SERVICES
from imagesearch.deployment.topics import FETCH_SERVICE, INFERENCE_SERVICE, PUSH_SUBSCRIPTIONS
from imagesearch.domain.pools import Generation, Pool, PoolKey, PoolState, SourceOptions
from imagesearch.domain.ranking import SearchHit
from imagesearch.domain.work import FetchJob
from imagesearch.local.emulated import emulators
from imagesearch.local.emulated.processes import HOST, Child, end_all, free_port, guarded_folder
from imagesearch.local.emulated.processes import wait_until_ready as wait
from imagesearch.ports import ScoreReply
from imagesearch.settings import load_settings
from imagesearch.usecases.cache_slots import STATE
from imagesearch.wire.messages import encode
from tools.package_function import FUNCTIONS, package

PROJECT = "test-project"
KEYWORD = "horse"
ENVIRONMENTS = {service.name: service.environment for service in SERVICES}
ROUNDS = 3
BYTECODE = ("compiled", "fresh")
GIVE_UP_SECONDS = 60.0

SETTINGS = {
    "EDITION": "cloud",
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "IMAGES_BUCKET": "images",
    "PIXABAY_API_KEY": "none",
}

# What a process loads until it can answer each kind of request, one after the other.
STAGES = {
    "functions-framework (Flask, werkzeug)": "import functions_framework",
    "functions/query, put together": "import main",
    "Redis client": "import imagesearch.adapters.caches.memorystore",
    "scorer's HTTP client": "import imagesearch.adapters.scorers.cloud_run, urllib3",
    "Firestore client": "import imagesearch.adapters.firestore, google.cloud.firestore",
    "Pub/Sub client": "import google.pubsub_v1",
    "Cloud Storage client": "import google.cloud.storage",
}


@dataclass(frozen=True)
class First:
    """The first request of a process: what to ask, and the status that proves it was answered."""

    function: str
    name: str
    path: str
    status: int
    body: bytes | None = None


def first_requests() -> list[First]:
    """Return one of each kind, the least work first."""
    search = "s_query=horses+amidst+flowers&wait=0"
    job = FetchJob(pool_id="unknown", generation=1, keyword=KEYWORD, options=SourceOptions())
    data = base64.b64encode(encode(job)).decode()
    push = json.dumps({"message": {"data": data}, "subscription": "s"}).encode()
    return [
        First("query", "/alive", "/alive", 200),
        First("query", "/search, the pool ready in Redis", f"/search?t={KEYWORD}&{search}", 200),
        First("query", "/search, a new keyword", f"/search?t=new-{{number}}&{search}", 202),
        First("fetch", "a malformed push", "/", 204, b"{}"),
        First("fetch", "a job whose pool is gone", "/", 204, push),
    ]


# One process


def import_cpu_seconds(function: str, folder: Path) -> float:
    """Return the CPU seconds of a process that imports the main.py in *folder*, and no more."""
    return _printed("import time, main; print(time.process_time())", function, folder)[0]


def stage_cpu_seconds(folder: Path) -> list[float]:
    """Return the CPU seconds of each stage, in one process of the query function."""
    timed = "before = time.process_time()\n{}\nprint(time.process_time() - before)"
    code = "\n".join(timed.format(stage) for stage in STAGES.values())
    return _printed(f"import time\n{code}", "query", folder)


def _printed(code: str, function: str, folder: Path) -> list[float]:
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            **SETTINGS,
            "SCORER_URL": f"http://{HOST}:9",
            **ENVIRONMENTS[function],
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(line) for line in run.stdout.split()]


def start_seconds(
    firsts: Sequence[First], folder: Path, environment: Mapping[str, str]
) -> list[float]:
    """Start the function of *folder*, ask it and end it; return the time to each answer."""
    first = firsts[0]
    port = free_port()
    program = shutil.which("functions-framework", path=str(Path(sys.executable).parent))
    command = [str(program), "--target", first.function, "--host", HOST, "--port", str(port)]
    # Gunicorn has a socket in XDG_RUNTIME_DIR.
    own = {**environment, **ENVIRONMENTS[first.function], "XDG_RUNTIME_DIR": str(folder)}
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        with subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=folder, env=own, stdout=log, stderr=log
        ) as process:
            try:
                answered = []
                for each in firsts:
                    url = f"http://{HOST}:{port}{each.path.format(number=port)}"
                    status = _first_answer(process, url, each.body)
                    answered.append((each, status, time.perf_counter() - started))
            finally:
                process.terminate()
        for each, status, _ in answered:
            if status != each.status:
                log.seek(0)
                raise RuntimeError(f"{each.name}: {status}, {log.read().decode()[-2000:]}")
    return [seconds for _, _, seconds in answered]


def _first_answer(process: subprocess.Popen[bytes], url: str, body: bytes | None) -> int:
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            with urllib.request.urlopen(url, body, GIVE_UP_SECONDS) as answer:  # noqa: S310 - http
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:  # nothing listens yet
            time.sleep(0.002)
    return 0


# What stands behind


@contextmanager
def backends() -> Iterator[dict[str, str]]:
    """Start what the functions talk to, and yield the environment that names it."""
    with ExitStack() as stack:
        folder = stack.enter_context(guarded_folder("cold-start-"))
        redis = emulators.redis_server(folder)
        firestore, pubsub = emulators.firestore_emulator(folder), emulators.pubsub_emulator(folder)
        stack.callback(end_all, [redis, firestore, pubsub], 10.0)
        for child in (redis, firestore, pubsub):
            child.start()
        wait([redis, firestore, pubsub], GIVE_UP_SECONDS)
        _note_ready_pool(redis)
        yield {
            "PATH": os.environ["PATH"],
            **SETTINGS,
            "SCORER_URL": stack.enter_context(scorer()),
            "REDIS_HOST": HOST,
            "REDIS_PORT": str(redis.port),
            "FIRESTORE_EMULATOR_HOST": f"{HOST}:{firestore.port}",
            "PUBSUB_EMULATOR_HOST": _with_topics(f"{HOST}:{pubsub.port}"),
            "STORAGE_EMULATOR_HOST": f"http://{HOST}:9",  # no request gets as far as that
        }


def _note_ready_pool(redis: Child) -> None:
    options = load_settings(edition="cloud").source_options
    now = datetime.now(UTC)
    ready = Generation(1, PoolState.READY, now, images=200, embedded=200, ready_at=now)
    key = PoolKey.of(KEYWORD, options)
    client = connect(HOST, redis.port)
    pool = Pool(key.pool_id, KEYWORD, options, ready, ready)
    Memorystore(client).put(STATE, pool.pool_id, pool)
    client.close()


def _with_topics(host: str) -> str:
    os.environ["PUBSUB_EMULATOR_HOST"] = host  # as Google's clients are told
    nobody = f"http://{HOST}:9"  # what is pushed there comes to nothing
    declare(PROJECT, PUSH_SUBSCRIPTIONS, {FETCH_SERVICE: nobody, INFERENCE_SERVICE: nobody})
    return host


@contextmanager
def scorer() -> Iterator[str]:
    """Serve 10 hits to any POST, and yield the URL."""
    body = TypeAdapter(ScoreReply).dump_json(
        ScoreReply(tuple(_hit(number) for number in range(10)), 200, "model@1", False, 0.0, 0.0)
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()


def _hit(number: int) -> SearchHit:
    return SearchHit(pixabay_image(number), 0.3 - number / 100, 30.0 - number, 0.1)


# The whole


def unpack(function: str, folder: Path) -> Path:
    """Unpack the zip of *function* into a new folder in *folder*, without any bytecode."""
    target = Path(tempfile.mkdtemp(dir=folder))
    zipfile.ZipFile(io.BytesIO(_archive(function))).extractall(target)
    return target


@cache  # packaging reads and parses all that the function imports
def _archive(function: str) -> bytes:
    return package(function)


def measure(folder: Path, tiny: bool) -> Figures:
    """
    The cold start of the two functions, from the start of the process to the last byte of the first
    answer, on connections made anew until one is taken; each request is the first of its process.

    What is started is what is deployed: the unpacked zip of `tools/package_function.py`, by the
    production command (functions-framework, which runs gunicorn), here with the packages of this
    Python environment. What stands behind is started before and is warm: a real redis-server, the
    Firestore and Pub/Sub emulators, and a scorer that answers at once with 10 made-up hits, so that
    a search's time is the function's own and not a model's. The platform's part (scheduling an
    instance, loading its image) and TLS are not in it.

    Bytecode counts: `compiled` starts find that of every module; `fresh` ones have none of the
    zip's own files, as after unpacking. Medians. The rows of CPU say what the imports behind each
    kind of request cost, each after those above it, best of the rounds.
    """
    with tempfile.TemporaryDirectory(dir=folder) as own:
        firsts = first_requests()
        if tiny:  # each request once, those of a function by one process; compiled and fresh code
            of_each = [[one for one in firsts if one.function == name] for name in FUNCTIONS]
            return Figures(_measure(Path(own), 1, list(zip(of_each, BYTECODE, strict=True))))
        alone = product([[one] for one in firsts], BYTECODE)
        return Figures(_measure(Path(own), ROUNDS, list(alone)))


def _measure(folder: Path, rounds: int, starts: Sequence[tuple[Sequence[First], str]]) -> list[Row]:
    compiled = {function: unpack(function, folder) for function in FUNCTIONS}
    if rounds > 1:  # else the first run of each, which compiles, counts
        stage_cpu_seconds(compiled["query"])
        import_cpu_seconds("fetch", compiled["fetch"])
    rows = _cpu_rows(compiled, rounds)
    with backends() as environment:
        for firsts, bytecode in starts:
            taken = [_start(firsts, bytecode, compiled, folder, environment) for _ in range(rounds)]
            for first, seconds in zip(firsts, zip(*taken, strict=True), strict=True):
                rows.append(_row(first.function, first.name, bytecode, statistics.median(seconds)))
    return rows


def _cpu_rows(compiled: Mapping[str, Path], rounds: int) -> list[Row]:
    rows = []
    for function, path in compiled.items():
        best = min(import_cpu_seconds(function, path) for _ in range(rounds))
        rows.append(_row(function, "import of main.py, with the interpreter", "CPU", best))
    stages = [stage_cpu_seconds(compiled["query"]) for _ in range(rounds)]
    for stage, taken in zip(STAGES, zip(*stages, strict=True), strict=True):
        rows.append(_row("query", f"import: {stage}", "CPU", min(taken)))
    return rows


def _row(function: str, what: str, kind: str, seconds: float) -> Row:
    return {"function": function, "what": what, "kind": kind, "seconds": seconds}


def _start(
    firsts: Sequence[First],
    bytecode: str,
    compiled: Mapping[str, Path],
    folder: Path,
    environment: Mapping[str, str],
) -> list[float]:
    """Measure one start; *compiled* folders have been run before."""
    function = firsts[0].function
    if bytecode == "compiled":
        return start_seconds(firsts, compiled[function], environment)
    return start_seconds(firsts, unpack(function, folder), environment)


SECONDS = Column("seconds", "s", digits=2)
BENCHMARK = Benchmark(
    name="cold_start",
    title="Cold start of the functions",
    measure=measure,
    columns=(
        Column("function", "function"),
        Column("what", ""),
        Column("kind", "bytecode, or CPU"),
        SECONDS,
    ),
    plots=(
        Bars(
            "From process start to the first answer, compiled",
            SECONDS,
            label="what",
            group="function",
            wanted=lambda row: bool(row["kind"] == "compiled"),
        ),
    ),
)
