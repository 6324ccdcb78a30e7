"""The clients of `load.py`, in a process of their own: told on stdin whom to ask, JSON on stdout.

HTTP/1.1 over asyncio's streams, as a client library would take more of the cores than the service.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.common import query

LIMIT_SECONDS = 30.0
WARM_UP_SHARE = 0.15  # of the time, in which nothing is counted


@dataclass
class Clients:
    """Clients that ask until *ends_at*, and what they saw after *counts_at*."""

    port: int
    body: str
    different: int | None
    counts_at: float
    ends_at: float
    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    asked: int = 0

    async def one(self) -> None:
        """Ask, one search after the other, on one connection; after an error on a new one."""
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.perf_counter() < self.ends_at:
            started = time.perf_counter()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self.port)
                is_right = await asyncio.wait_for(self._search(*streams), LIMIT_SECONDS)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                is_right = False
                if streams:
                    streams[1].close()
                streams = None
                await asyncio.sleep(0.05)
            self._count(started, is_right)
        if streams:
            streams[1].close()

    async def _search(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        body = self.body.replace("QUERY", self._query()).encode()
        head = f"POST /score HTTP/1.1\r\nHost: service\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        [length] = [header for header in headers if header.lower().startswith("content-length:")]
        answer = await reader.readexactly(int(length.partition(":")[2]))
        return status.split()[1] == "200" and answer.count(b'"image_id"') == 10

    def _query(self) -> str:
        self.asked += 1
        if self.different is None:
            return query(random.randrange(10**6))
        return query(self.asked % self.different)

    def _count(self, started: float, is_right: bool) -> None:
        if started < self.counts_at:
            return
        self.errors += not is_right
        if is_right:
            self.seconds.append(time.perf_counter() - started)


async def ask(message: dict[str, Any]) -> dict[str, Any]:
    """Return what the clients saw; their processor time is of the counted part."""
    now = time.perf_counter()
    counts_at = now + WARM_UP_SHARE * message["seconds"]
    ends_at = counts_at + message["seconds"]
    clients = Clients(message["port"], message["body"], message["different"], counts_at, ends_at)
    asking = [asyncio.create_task(clients.one()) for _ in range(message["clients"])]
    await asyncio.sleep(counts_at - now)
    busy_before = time.process_time()
    await asyncio.gather(*asking)
    took = time.perf_counter() - counts_at
    ordered = sorted(clients.seconds) or [0.0]

    def quantile(share: float) -> float:
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    return {
        "per_second": len(clients.seconds) / took,
        "p50_seconds": quantile(0.5),
        "p95_seconds": quantile(0.95),
        "p99_seconds": quantile(0.99),
        "searches": len(clients.seconds),
        "errors": clients.errors,
        "client_share": (time.process_time() - busy_before) / took / (os.cpu_count() or 1),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(json.load(sys.stdin)))))
