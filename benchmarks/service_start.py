"""The start of the inference service, to a `/ready` that has run the model."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    in_turns,
    timed,
)
from benchmarks.load import inference_service
from imagesearch.local.emulated import emulators
from imagesearch.local.emulated.processes import (
    HOST,
    Child,
    end_all,
    guarded_folder,
    wait_until_ready,
)

ROUNDS = 3
GIVE_UP_SECONDS = 120.0
POLL_SECONDS = 0.01
OURS, TRANSFORMERS = "ours, to /ready", "transformers: imported and loaded, no server"
PLAIN = """
import sys, torch
from transformers import CLIPModel, CLIPProcessor
model, processor = (one.from_pretrained(sys.argv[1]) for one in (CLIPModel, CLIPProcessor))
with torch.inference_mode():
    model.get_text_features(**processor(text=["a horse"], return_tensors="pt"))
"""


def measure(folder: Path, tiny: bool) -> Figures:
    """
    The start of the inference service, from the start of its process by the production command to
    a 200 of `/ready`, which has run the model and asked the catalog. Its CLIP of full ViT-B/32 size
    is on local disk, in the files' cache, where an instance's image has it. A redis-server and the
    Firestore emulator stand behind it, started before.

    Beside it the least that a service over `transformers` would do: a process that imports torch
    and `CLIPModel`, loads the same checkpoint and encodes one text, with no server at all. They
    take turns; a first start of each, which writes bytecode and fills the files' cache, does not
    count. Medians.
    """
    model = checkpoint(folder, tiny)
    with backends() as (home, environment):
        ways: dict[str, Callable[[], float]] = {
            OURS: lambda: start_seconds(inference_service(home, model, environment)),
            TRANSFORMERS: lambda: timed(lambda: _load_plainly(model))[0],
        }
        taken = {way: [start()] for way, start in ways.items()} if tiny else in_turns(ways, ROUNDS)
    return Figures(
        [
            {"way": way, "seconds": statistics.median(all_), "slowest_seconds": max(all_)}
            for way, all_ in taken.items()
        ]
    )


@contextmanager
def backends() -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield a folder for logs, and the environment that names a Redis and a Firestore."""
    with ExitStack() as stack:
        home = stack.enter_context(guarded_folder("benchmark-start-"))
        redis, firestore = emulators.redis_server(home), emulators.firestore_emulator(home)
        stack.callback(end_all, [redis, firestore], 10.0)
        redis.start()
        firestore.start()
        wait_until_ready([redis, firestore], GIVE_UP_SECONDS)
        yield (
            home,
            {
                "REDIS_PORT": str(redis.port),
                "FIRESTORE_EMULATOR_HOST": f"{HOST}:{firestore.port}",
            },
        )


def start_seconds(service: Child) -> float:
    """Start *service*, wait until it is ready, end it, and return how long it was until then."""
    started = time.perf_counter()
    service.start()
    try:
        while not service.is_ready():
            if time.perf_counter() - started > GIVE_UP_SECONDS:
                raise RuntimeError(f"the service is not ready{service.last_words()}")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - started
    finally:
        end_all([service], 10.0)


def _load_plainly(model: Path) -> None:
    subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", PLAIN, str(model)], cwd=ROOT, check=True, capture_output=True
    )


def _ours(rows: list[Row]) -> float | None:
    return next((row["seconds"] for row in rows if row["way"] == OURS), None)


SECONDS = Column("seconds", "s", digits=2)
BENCHMARK = Benchmark(
    name="service_start",
    title="Start of the inference service",
    measure=measure,
    columns=(Column("way", ""), SECONDS, Column("slowest_seconds", "slowest, s", digits=2)),
    goals=(
        Goal(
            "service start to `/ready`, ViT-B/32 on disk, CPU",
            "≤ 4 s",
            _ours,
            lambda seconds: seconds <= 4,
            "{:.2f} s",
        ),
    ),
    plots=(Bars("From process start to a model that works", SECONDS, label="way"),),
)
