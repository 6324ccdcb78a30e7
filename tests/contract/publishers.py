"""The publishers that `test_publisher.py` runs over, each with its delivery to endpoints.

The emulator is started in `tests/emulators.py`, and set up from the table of
`imagesearch/deployment/topics.py`.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imagesearch.adapters.buses.local_bus import Endpoint, LocalBus
from imagesearch.adapters.buses.pubsub import EMULATOR_VARIABLE, PubsubPublisher, declare
from imagesearch.deployment.topics import (
    FETCH_SERVICE,
    INFERENCE_SERVICE,
    MAX_DELIVERY_ATTEMPTS,
    PUSH_SUBSCRIPTIONS,
    PushSubscription,
    dead_letter_topic,
)
from imagesearch.ports import Publisher
from tests.emulators import MissingProgram, pubsub_emulator


@dataclass(frozen=True)
class Bench:
    """
    A publisher and its delivery, in a test's hands.

    Attributes:
        open: makes a publisher that pushes to the endpoint of each topic, and dead letters to
            another.
        max_delivery_attempts: a message that is nacked so often is a dead letter.
        quiet_seconds: a nacked message is there again in less.
        counts_attempts: the envelope has a deliveryAttempt, which Google's emulator leaves out.
        misjudged: statuses that Google's emulator (0.8.20) takes for each other: it acks 203 and
            nacks 202, against https://cloud.google.com/pubsub/docs/push#receive_push
    """

    open: Callable[[Mapping[str, Endpoint], Endpoint], Publisher]
    quiet_seconds: float
    counts_attempts: bool
    max_delivery_attempts: int
    misjudged: frozenset[int] = frozenset()


@pytest.fixture(params=["local_bus", pytest.param("pubsub", marks=pytest.mark.slow)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Publish on the one-machine edition's bus, or on the real Pub/Sub emulator."""
    with ExitStack() as opened:
        if request.param == "local_bus":
            yield _local_bench(tmp_path / "dead_letters.jsonl", opened)
        else:
            request.getfixturevalue("pubsub_host")
            yield _pubsub_bench(opened)


@pytest.fixture(scope="session")
def pubsub_host() -> Iterator[str]:
    """The host:port of the emulator that this session starts and ends, set for its clients."""
    with ExitStack() as stack:
        try:
            host = stack.enter_context(pubsub_emulator())
        except MissingProgram as error:
            if os.environ.get("REQUIRE_BACKENDS") == "1":
                pytest.fail(f"{error}, and REQUIRE_BACKENDS=1")
            pytest.skip(str(error))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv(EMULATOR_VARIABLE, host)
        yield host


def _local_bench(dead_letters: Path, opened: ExitStack) -> Bench:
    def open_one(endpoints: Mapping[str, Endpoint], dead: Endpoint) -> Publisher:
        bus = LocalBus(
            dead_letters,
            min_backoff_seconds=0.002,
            max_backoff_seconds=0.01,
            max_delivery_attempts=5,
        )
        for topic, endpoint in endpoints.items():
            bus.subscribe(topic, endpoint)
        bus.subscribe_dead_letters(dead)
        bus.start()
        opened.callback(bus.stop, 5.0)
        return bus

    return Bench(open_one, quiet_seconds=0.05, counts_attempts=True, max_delivery_attempts=5)


def _pubsub_bench(opened: ExitStack) -> Bench:
    def open_one(endpoints: Mapping[str, Endpoint], dead: Endpoint) -> Publisher:
        project = f"test-{uuid.uuid4().hex}"  # nobody else's topics
        subscriptions = [one for one in PUSH_SUBSCRIPTIONS if _is_of(one, endpoints)]
        doors = {one.path: endpoints.get(one.topic, dead) for one in subscriptions}
        url = opened.enter_context(_serving(doors))
        declare(project, subscriptions, {FETCH_SERVICE: url, INFERENCE_SERVICE: url})
        return opened.enter_context(closing(PubsubPublisher(project)))

    # On the emulator a nacked message comes again in a second.
    return Bench(
        open_one,
        quiet_seconds=1.5,
        counts_attempts=False,
        max_delivery_attempts=MAX_DELIVERY_ATTEMPTS,
        misjudged=frozenset({202, 203}),
    )


def _is_of(subscription: PushSubscription, topics: Mapping[str, Endpoint]) -> bool:
    return subscription.topic in {*topics, *map(dead_letter_topic, topics)}


@contextmanager
def _serving(doors: Mapping[str, Endpoint]) -> Iterator[str]:
    """Serve endpoints over HTTP, by path, and yield the URL of the server."""

    class Handler(BaseHTTPRequestHandler):
        # HTTP/1.0: a connection for each push, which the answer ends, whatever its status.
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(doors[self.path](body))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
