"""One search's trace through the true doors: query, fetch, embed and score, over a bus and HTTP."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import uvicorn
from flask.testing import FlaskClient

from imagesearch.adapters.buses.local_bus import LocalBus
from imagesearch.adapters.scorers.cloud_run import CloudRunScorer, InferenceService
from imagesearch.clock import SystemClock
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.work import EmbedBatch, FetchJob
from imagesearch.local.embedded.stack import mount
from imagesearch.settings import load_settings
from imagesearch.wire.messages import TOPIC_OF
from inference_service.app import create_app
from tests.log_lines import PROJECT, Log
from tests.world import World

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = f"projects/{PROJECT}/traces/{TRACE}"


@pytest.fixture
def query(world: World, tmp_path: Path) -> Iterator[FlaskClient]:
    """The query function, whose jobs go over a bus and whose scores over HTTP."""
    rests: Any = {"min_backoff_seconds": 0.001, "max_backoff_seconds": 0.001}
    bus = LocalBus(tmp_path / "dead.jsonl", **rests, max_delivery_attempts=4)
    world.outbox = bus  # type: ignore[assignment]  # the real thing for its twin
    services = SimpleNamespace(
        settings=load_settings(),
        clock=world.clock,
        limiter=world.limiter,
        catalog=world.catalog,
        images=None,
    )
    clock = SystemClock()
    with serving(services) as url, closing(InferenceService(url, clock=clock)) as service:
        scorer = CloudRunScorer(service, clock=clock)
        world.assemble()
        services.scorer, services.fetch, services.embed = world.score, world.fetch, world.embed
        services.give_up = world.give_up
        services.search = replace(world.search, scorer=scorer)
        fetch = mounted("fetch", services)
        bus.subscribe(TOPIC_OF[FetchJob], lambda body: fetch.post("/", data=body).status_code)
        bus.subscribe(TOPIC_OF[EmbedBatch], pusher(f"{url}/events/embed"))
        bus.subscribe_dead_letters(lambda body: fetch.post("/dead-letter", data=body).status_code)
        bus.start()
        yield mounted("query", services)
        bus.stop(5.0)


@contextmanager
def serving(services: SimpleNamespace) -> Iterator[str]:
    """Yield the URL of an inference service."""
    config = uvicorn.Config(create_app(services), log_config=None, lifespan="off")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def mounted(name: str, services: SimpleNamespace) -> FlaskClient:
    client: FlaskClient = mount(name, services).test_client()
    return client


def pusher(url: str) -> Callable[[bytes], int]:
    return lambda body: requests.post(url, data=body, timeout=10).status_code


def search(query: FlaskClient, log: Log) -> None:
    params = {"t": "horse", "s_query": "twin-3", "wait": "0"}
    query.get("/search", query_string=params, headers={"traceparent": f"00-{TRACE}-{'1' * 16}-01"})


def wait_for(log: Log, kind: str, count: int) -> list[dict[str, Any]]:
    give_up_at = time.monotonic() + 20
    while len(entries := log.entries(kind)) < count:
        assert time.monotonic() < give_up_at, log.stream.getvalue()
        time.sleep(0.01)
    return entries


def test_the_trace_of_a_search_is_that_of_all_that_is_done_for_it(
    query: FlaskClient, world: World, log: Log
) -> None:
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    world.offer("horse", 20)  # two batches
    world.source.listing_errors.append(Unavailable("for once"))
    search(query, log)
    wait_for(log, "EmbedBatch", 2)
    search(query, log)
    wait_for(log, "FetchJob", 2)  # a line follows its answer
    wait_for(log, "score", 1)
    done = [entry for entry in log.entries() if "kind" in entry]
    assert sorted(entry["kind"] for entry in done) == [
        *("EmbedBatch", "EmbedBatch", "FetchJob", "FetchJob", "score", "search", "search")
    ]
    assert {entry["logging.googleapis.com/trace"] for entry in done} == {TRACED}
    assert {entry["pool_id"] for entry in done} == {done[0]["pool_id"]}
    nacked, fetched = log.entries("FetchJob")
    assert (nacked["outcome"], nacked["delivery_attempt"]) == ("unavailable", 1)
    assert (fetched["outcome"], fetched["delivery_attempt"]) == ("fetched", 2)
    assert nacked["message_id"] == fetched["message_id"]
    for batch in log.entries("EmbedBatch"):
        assert set(batch["stages"]) == {"read", "encode", "record"}
        assert (batch["outcome"], batch["delivery_attempt"]) == ("embedded", 1)
    assert log.entries("search")[1]["outcome"] == "complete"
    assert set(log.entries("search")[1]["stages"]) == {"pool", "wait", "score"}


def test_a_dead_letter_is_of_the_trace_of_its_search(
    query: FlaskClient, world: World, log: Log
) -> None:
    world.source.listing_errors += [Unavailable("for good")] * 4
    search(query, log)
    (letter,) = wait_for(log, "DeadLetter", 1)
    assert letter["logging.googleapis.com/trace"] == TRACED
    assert letter["pool_id"] == log.only("search")["pool_id"]
    assert [entry["delivery_attempt"] for entry in log.entries("FetchJob")] == [1, 2, 3, 4]
