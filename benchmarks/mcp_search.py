"""What an assistant waits for a search over MCP, beside who asks the API itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.common import Benchmark, Column, Figures, Goal, Row

KEYWORD = "cow"
TOP_K = 10
ROUNDS = 100
API, STDIO = "GET /search", "MCP over stdio"


@contextmanager
def serving(folder: Path, images: int) -> Iterator[str]:
    """Serve the demo, pools of *images*, from *folder* in a process of its own; yield its URL."""
    # Else a minute has fewer searches than are asked here.
    limits = {"RATE_LIMIT_PER_MINUTE": "100000", "POOL_SIZE": str(images)}
    environment = {**os.environ, "PORT": "0", "SOURCE": "demo", **limits}
    command = [sys.executable, "-m", "imagesearch", "serve", "--data-dir", str(folder)]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            found = filter(None, (re.search(r"http://[\d.]+:\d+", line) for line in lines))
            yield next(found)[0]
        finally:
            process.terminate()


def measure(folder: Path, tiny: bool) -> Figures:
    """
    The ten best of a pool of 200 images of the demo, asked of one `imagesearch serve` in turn: by
    `GET /search` over a connection that stays, and by the tool `search` of `imagesearch mcp
    --url`, which the official client talks to over stdio; each a process of its own. Each search
    has a sentence of its own. The time is from the call to the whole answer, which over MCP has
    the words and the fields of each picture. Medians of 100.
    """
    from imagesearch.client import Client

    images, rounds = (TOP_K, 3) if tiny else (200, ROUNDS)
    with tempfile.TemporaryDirectory(dir=folder) as own, serving(Path(own) / "data", images) as url:
        Client(url).page(t=KEYWORD, s_query="a cow")  # fetched and embedded
        seconds = asyncio.run(_asked(url, rounds))
    rows: list[Row] = [
        {"way": way, "seconds": statistics.median(times), "p95_seconds": _p95(times)}
        for way, times in seconds.items()
    ]
    more = [theirs - ours for ours, theirs in zip(seconds[API], seconds[STDIO], strict=True)]
    rows[1]["more_seconds"] = statistics.median(more)
    return Figures(rows, _priority())


def _priority() -> list[str]:
    """Return what is to be said of a run before or after the other programs of the machine."""
    niceness = os.nice(0)
    return [f"All of it ran with a niceness of {niceness}."] if niceness else []


async def _asked(url: str, rounds: int) -> dict[str, list[float]]:
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    command = ["-m", "imagesearch", "mcp", "--url", url]
    parameters = StdioServerParameters(command=sys.executable, args=command)
    seconds: dict[str, list[float]] = {API: [], STDIO: []}
    numbers = itertools.count()
    with requests.Session() as session:
        async with Client(stdio_client(parameters)) as assistant:
            for round_number in range(-1, rounds):  # the first does not count
                started = time.perf_counter()
                found = _by_http(session, url, next(numbers))
                between = time.perf_counter()
                arguments = {"keyword": KEYWORD, "sentence": _sentence(next(numbers))}
                result = await assistant.call_tool("search", arguments)
                ended = time.perf_counter()
                assert len(result.structured_content["pictures"]) == len(found["results"]) == TOP_K
                if round_number >= 0:
                    seconds[API].append(between - started)
                    seconds[STDIO].append(ended - between)
    return seconds


def _by_http(session: requests.Session, url: str, number: int) -> dict[str, Any]:
    params = {"t": KEYWORD, "s_query": _sentence(number), "k": str(TOP_K)}
    answer: dict[str, Any] = session.get(f"{url}/search", params=params, timeout=30).json()
    return answer


def _sentence(number: int) -> str:
    return f"{number} cows on a meadow"


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.95 * (len(seconds) - 1))]


def _more(rows: list[Row]) -> float | None:
    return next((1000 * row["more_seconds"] for row in rows if "more_seconds" in row), None)


BENCHMARK = Benchmark(
    name="mcp_search",
    title="A search over MCP",
    measure=measure,
    columns=(
        Column("way", "asked by"),
        Column("seconds", "median, ms", 1000, 1),
        Column("p95_seconds", "95 % within, ms", 1000, 1),
        Column("more_seconds", "more than the API, ms", 1000, 1),
    ),
    goals=(
        Goal(
            "An assistant's search through `imagesearch mcp`: what it adds to the API's own time",
            "at most 20 ms more",
            _more,
            lambda more: more <= 20,
            "{:,.1f} ms more",
        ),
    ),
)
