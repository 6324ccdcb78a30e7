"""What only the Pub/Sub publisher does, against a gRPC server that answers as it is told.

Delivery, over the real emulator, is in `tests/contract/test_publisher.py`.
"""

from __future__ import annotations

import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no py.typed
import pytest
from google.pubsub_v1 import PublishRequest, PublishResponse

from imagesearch.adapters.buses.pubsub import EMULATOR_VARIABLE, PubsubPublisher, declare
from imagesearch.deployment.topics import PUSH_SUBSCRIPTIONS
from imagesearch.domain.errors import Bug, ImageSearchError, Overloaded, Unavailable
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.work import FetchJob
from imagesearch.wire.messages import attributes_of, decode, encode

JOB = FetchJob(pool_id="id", generation=1, keyword="馬", options=SourceOptions())
Code = grpc.StatusCode

# What a caller of Pub/Sub can meet, and its row of design §8. Nothing is a NotFound or an
# InvalidRequest of ours: a push handler that cannot publish must nack.
ROWS = {
    Code.CANCELLED: Unavailable,
    Code.UNKNOWN: Unavailable,
    Code.INVALID_ARGUMENT: Bug,
    Code.DEADLINE_EXCEEDED: Unavailable,
    Code.NOT_FOUND: Unavailable,
    Code.ALREADY_EXISTS: Bug,
    Code.PERMISSION_DENIED: Unavailable,
    Code.RESOURCE_EXHAUSTED: Overloaded,
    Code.FAILED_PRECONDITION: Unavailable,
    Code.ABORTED: Unavailable,
    Code.OUT_OF_RANGE: Bug,
    Code.UNIMPLEMENTED: Bug,
    Code.INTERNAL: Unavailable,
    Code.UNAVAILABLE: Unavailable,
    Code.DATA_LOSS: Unavailable,
    Code.UNAUTHENTICATED: Unavailable,
}
TRIED_AGAIN = {Code.CANCELLED, Code.UNKNOWN, Code.ABORTED, Code.INTERNAL, Code.UNAVAILABLE}


@dataclass
class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC has no types
    """A Pub/Sub that fails with *codes* one after the other, and then takes what it is sent."""

    codes: list[grpc.StatusCode] = field(default_factory=list)
    taken: list[PublishRequest] = field(default_factory=list)
    calls: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    hangs: bool = False

    def service(self, call: Any) -> Any:
        assert call.method == "/google.pubsub.v1.Publisher/Publish"
        return grpc.unary_unary_rpc_method_handler(
            self._publish, PublishRequest.deserialize, PublishResponse.serialize
        )

    def _publish(self, request: PublishRequest, context: Any) -> PublishResponse:
        self.calls += 1
        if self.hangs:
            self.closing.wait(20)
        if self.codes:
            context.abort(self.codes.pop(0), "as told")
        self.taken.append(request)
        return PublishResponse(message_ids=["1"])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, handlers=[made])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        monkeypatch.setenv(EMULATOR_VARIABLE, f"127.0.0.1:{port}")
        yield made
        made.closing.set()
        server.stop(grace=None).wait()


def publish(total_seconds: float = 10.0) -> None:
    with closing(PubsubPublisher("project", total_seconds=total_seconds)) as publisher:
        publisher.publish(JOB)


def error_of(total_seconds: float) -> ImageSearchError:
    """Publish, which must fail within about *total_seconds*, and return the error."""
    started = time.monotonic()
    with pytest.raises(ImageSearchError) as caught:
        publish(total_seconds)
    assert time.monotonic() - started < total_seconds + 5
    return caught.value


def test_a_message_goes_to_the_topic_of_its_own_deployment(service: Service) -> None:
    prefix = "imagesearch-dev-"
    with closing(PubsubPublisher("project", topic_prefix=prefix)) as publisher:
        publisher.publish(JOB)
    (taken,) = service.taken
    assert taken.topic == "projects/project/topics/imagesearch-dev-fetch-jobs"


def test_a_message_goes_to_its_topic_with_its_attributes(service: Service) -> None:
    publish()
    (request,) = service.taken
    assert request.topic == "projects/project/topics/fetch-jobs"
    (message,) = request.messages
    assert decode(FetchJob, message.data) == JOB
    assert dict(message.attributes) == attributes_of(JOB, trace=message.attributes["trace"])
    assert {"schema_version": "1", "kind": "FetchJob", "pool_id": "id"}.items() <= dict(
        message.attributes
    ).items()
    assert message.ordering_key == ""


def test_every_status_of_grpc_has_its_row() -> None:
    assert set(ROWS) == set(Code) - {Code.OK}


@pytest.mark.parametrize("code", ROWS, ids=lambda code: code.name)
def test_a_failed_publish_is_an_error_of_ours(
    service: Service, code: grpc.StatusCode, caplog: pytest.LogCaptureFixture
) -> None:
    service.codes = [code] * 1000
    error = error_of(total_seconds=0.3)
    assert type(error) is ROWS[code]
    assert "as told" in caplog.text
    assert "fetch-jobs" in str(error)
    assert (service.calls > 1) == (code in TRIED_AGAIN)
    assert service.taken == []


def test_what_passes_is_tried_again(service: Service) -> None:
    service.codes = [Code.UNAVAILABLE, Code.INTERNAL]
    publish()
    assert (service.calls, len(service.taken)) == (3, 1)


def test_a_pubsub_that_hangs_is_unavailable_in_time(service: Service) -> None:
    service.hangs = True
    assert isinstance(error_of(total_seconds=0.3), Unavailable)


def test_a_pubsub_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMULATOR_VARIABLE, "127.0.0.1:1")  # nothing may listen there
    assert isinstance(error_of(total_seconds=0.3), Unavailable)


def test_a_server_that_is_no_pubsub_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stranger(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv(EMULATOR_VARIABLE, f"127.0.0.1:{server.server_address[1]}")
        assert isinstance(error_of(total_seconds=0.3), Unavailable)
        server.shutdown()
        thread.join()


def test_without_credentials_it_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(EMULATOR_VARIABLE, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert isinstance(error_of(total_seconds=0.3), Unavailable)


def test_many_threads_share_one_publisher(service: Service) -> None:
    with closing(PubsubPublisher("project")) as publisher, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: publisher.publish(JOB), range(50)))
    assert len(service.taken) == 50


@pytest.mark.slow
def test_a_process_that_has_published_ends_at_once_and_in_silence(service: Service) -> None:
    code = (
        "from imagesearch.adapters.buses.pubsub import PubsubPublisher\n"
        "from imagesearch.domain.work import FetchJob\n"
        "from imagesearch.wire.messages import decode\n"
        f"PubsubPublisher('project').publish(decode(FetchJob, {encode(JOB)!r}))\n"
        "import threading; print([one.name for one in threading.enumerate()])"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "['MainThread']\n"
    assert len(service.taken) == 1


def test_topics_are_declared_on_an_emulator_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EMULATOR_VARIABLE, raising=False)
    with pytest.raises(Bug, match=EMULATOR_VARIABLE):
        declare("project", PUSH_SUBSCRIPTIONS, {"fetch": "http://x", "inference": "http://y"})
