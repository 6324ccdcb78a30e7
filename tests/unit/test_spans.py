"""Spans: what is made of a unit of work, and that none is while they go nowhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from imagesearch import telemetry
from imagesearch.adapters.spans.cloud_trace import CloudTrace
from imagesearch.adapters.spans.console import Console
from imagesearch.compose.spans import export_spans
from imagesearch.domain.errors import InvalidRequest
from imagesearch.settings import load_settings
from imagesearch.telemetry import Span

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def spans() -> Iterator[list[Span]]:
    found: list[Span] = []
    telemetry.export_spans(found.extend)
    yield found
    telemetry.export_spans(None)


def test_a_unit_of_work_is_a_span_and_each_turn_of_a_stage_one_within(spans: list[Span]) -> None:
    with telemetry.unit("search", TRACE, "00f067aa0ba902b7") as unit:
        unit.note(status=200, pool_id="p1")
        for _ in range(2):
            with telemetry.stage("pool"):
                pass
    search, *stages = spans
    assert (search.trace, search.name, search.parent_id) == (TRACE, "search", "00f067aa0ba902b7")
    assert (search.attributes["status"], search.attributes["pool_id"]) == (200, "p1")
    assert [one.name for one in stages] == ["pool", "pool"]
    assert {one.parent_id for one in stages} == {search.span_id}
    assert len({one.span_id for one in spans}) == 3
    for one in stages:
        assert search.start_ns <= one.start_ns <= one.end_ns <= search.end_ns


def test_an_exporter_that_fails_takes_no_answer_away() -> None:
    def fail(_: Sequence[Span]) -> None:
        raise BrokenPipeError("nobody reads it")

    telemetry.export_spans(fail)
    try:
        with telemetry.unit("search", TRACE) as unit:
            unit.note(status=200)
        assert telemetry.current_trace() is None
    finally:
        telemetry.export_spans(None)


def test_a_header_that_gives_no_trace_gives_no_parent() -> None:
    given = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01-more"}
    assert (telemetry.trace_of(given.get), telemetry.parent_of(given.get)) == (None, "")


def test_what_is_asked_of_another_service_is_within_the_span_that_asked(spans: list[Span]) -> None:
    with telemetry.unit("search"):
        headers = telemetry.trace_headers()
    assert headers["traceparent"].endswith("-01"), "it is recorded"
    with telemetry.unit("score", telemetry.trace_of(headers.get), telemetry.parent_of(headers.get)):
        pass
    search, score = spans
    assert (score.trace, score.parent_id) == (search.trace, search.span_id)


def test_a_message_goes_on_with_the_trace_that_it_brings(spans: list[Span]) -> None:
    with telemetry.unit("FetchJob") as unit:
        unit.follow(TRACE)
    assert [one.trace for one in spans] == [TRACE]


def test_what_is_asked_every_few_seconds_is_no_span(spans: list[Span]) -> None:
    with telemetry.unit("alive") as unit:
        unit.note(status=200)
    assert spans == []


def test_without_a_place_for_them_no_span_is_made() -> None:
    with telemetry.unit("search") as unit:
        with telemetry.stage("pool"):
            pass
        assert telemetry.trace_headers()["traceparent"].endswith("-00")
    assert [one.name for one in unit.spans()] == ["search"]


def test_while_they_are_off_nothing_of_them_is_loaded() -> None:
    """A cold start pays for no exporter."""
    code = (
        "import sys, imagesearch.compose.spans as s;"
        "from imagesearch.settings import load_settings;"
        "s.export_spans(load_settings());"
        "print([m for m in sys.modules if m.startswith('imagesearch.adapters.spans.')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_on_one_machine_a_span_is_a_line_of_json() -> None:
    out = io.StringIO()
    Console(out)([Span(TRACE, "b7ad6b7169203331", "", "search", 1, 2, {"status": 200})])
    assert json.loads(out.getvalue()) == {
        "trace": TRACE,
        "span_id": "b7ad6b7169203331",
        "parent_id": "",
        "name": "search",
        "start_ns": 1,
        "end_ns": 2,
        "attributes": {"status": 200},
    }


def test_spans_in_the_cloud_need_a_project() -> None:
    with pytest.raises(InvalidRequest, match="GOOGLE_CLOUD_PROJECT"):
        export_spans(load_settings(traces="cloud"))


# Cloud Trace


class Google:
    """Cloud Trace and the metadata server, which both take notes."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, str | None, Any]] = []
        google = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                google.asked.append((self.path, self.headers["Metadata-Flavor"], None))
                self._answer(200, {"access_token": "a-token", "expires_in": 3599})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                google.asked.append((self.path, self.headers["Authorization"], body))
                self._answer(google.status, {})

            def _answer(self, status: int, body: object) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.host = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    made = Google()
    monkeypatch.setenv("GCE_METADATA_HOST", made.host)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def sent(google: Google, *batches: Sequence[Span]) -> list[Any]:
    exporter = CloudTrace("my-project", url=f"http://{google.host}", rest_seconds=0.0)
    for spans in batches:
        exporter(spans)
        exporter.wait()
    return [body for path, _, body in google.asked if path.endswith(":batchWrite")]


SPAN = Span(TRACE, "b7ad6b7169203331", "00f067aa0ba902b7", "search", 1_500_000_000, 2 * 10**9)


def test_a_span_goes_to_cloud_trace_as_its_api_has_it(google: Google) -> None:
    (body,) = sent(google, [SPAN])
    assert body == {
        "spans": [
            {
                "name": f"projects/my-project/traces/{TRACE}/spans/b7ad6b7169203331",
                "spanId": "b7ad6b7169203331",
                "parentSpanId": "00f067aa0ba902b7",
                "displayName": {"value": "search"},
                "startTime": "1970-01-01T00:00:01.500000000Z",
                "endTime": "1970-01-01T00:00:02.000000000Z",
                "attributes": {"attributeMap": {}},
            }
        ]
    }
    (posted,) = [one for one in google.asked if one[2]]
    assert posted[:2] == ("/v2/projects/my-project/traces:batchWrite", "Bearer a-token")


def test_a_token_is_asked_for_once(google: Google) -> None:
    assert len(sent(google, [SPAN], [SPAN])) == 2
    assert [one[1] for one in google.asked if one[2] is None] == ["Google"]


def test_what_cloud_trace_refuses_is_told_and_holds_nothing_up(
    google: Google, caplog: pytest.LogCaptureFixture
) -> None:
    google.status = 403
    sent(google, [SPAN])
    assert "1 spans were not taken by Cloud Trace" in caplog.text
    assert "answered 403" in caplog.text
    google.status = 200
    assert len(sent(google, [SPAN])) == 2, "the next ones are sent"
