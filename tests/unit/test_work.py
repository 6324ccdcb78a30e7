"""Units of work: trace, stages and fields; how their lines are written is in `test_logs.py`."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from imagesearch import telemetry
from imagesearch.domain.errors import InvalidRequest, Unavailable
from tests.log_lines import PROJECT, Log

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACE_FIELD = "logging.googleapis.com/trace"


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({}, None),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
        ({"traceparent": f"cc-{TRACE}-b7ad6b7169203331-01-what-is-next"}, TRACE),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01-what-is-next"}, None),
        ({"traceparent": f"ff-{TRACE}-b7ad6b7169203331-01"}, None),
        ({"traceparent": f"00-{TRACE.upper()}-b7ad6b7169203331-01"}, None),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, None),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, None),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331"}, None),
        ({"traceparent": f"00-{TRACE[:-1]}-b7ad6b7169203331-01"}, None),
        ({"traceparent": ""}, None),
        ({"X-Cloud-Trace-Context": TRACE}, TRACE),
        ({"X-Cloud-Trace-Context": f"{TRACE.upper()}/123;o=1"}, TRACE),
        ({"X-Cloud-Trace-Context": f"{'0' * 32}/123;o=1"}, None),
        ({"X-Cloud-Trace-Context": f"{TRACE}0/1"}, None),
        ({"X-Cloud-Trace-Context": "{'injected': 1}"}, None),
        ({"traceparent": "?", "X-Cloud-Trace-Context": f"{TRACE}/1"}, TRACE),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Cloud-Trace-Context": "?"}, TRACE),
    ],
)
def test_a_trace_is_read_from_either_header_or_not_at_all(
    headers: dict[str, str], trace: str | None
) -> None:
    assert telemetry.trace_of(headers.get) == trace


def test_outside_of_a_unit_of_work_nothing_is_noted_and_a_trace_begins_with_what_is_sent(
    log: Log,
) -> None:
    with telemetry.stage("list"):
        telemetry.note(pool_id="id")
    telemetry.note_error(Unavailable("down"))
    assert list(telemetry.waiting("download", [1, 2])) == [1, 2]
    assert telemetry.trace_headers() == {}
    assert telemetry.current_trace() is None
    first, second = telemetry.trace_to_send(), telemetry.trace_to_send()
    assert first != second
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert log.entries() == []


def test_a_unit_of_work_is_one_line_with_all_that_was_noted(log: Log) -> None:
    with telemetry.unit("FetchJob", TRACE) as unit:
        with telemetry.stage("list"):
            time.sleep(0.02)
        telemetry.note(pool_id="id", generation=2, message_id="7", delivery_attempt=None, stored=0)
        unit.note(status=204, outcome="fetched")
    entry = log.only("FetchJob")
    assert entry["seconds"] >= entry["stages"]["list"] >= 0.02
    assert entry["message"] == f"FetchJob pool_id=id 204 fetched in {entry['seconds']:.3f} s"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry["time"])
    assert {**entry, "seconds": 0, "stages": 0, "message": 0, "time": 0} == {
        "severity": "INFO",
        "message": 0,
        "time": 0,
        TRACE_FIELD: f"projects/{PROJECT}/traces/{TRACE}",
        "kind": "FetchJob",
        "pool_id": "id",
        "generation": 2,
        "message_id": "7",
        "stored": 0,
        "status": 204,
        "outcome": "fetched",
        "seconds": 0,
        "stages": 0,
    }


@pytest.mark.parametrize(
    ("kind", "status", "severity"),
    [
        ("search", 200, "INFO"),
        ("search", 404, "INFO"),
        ("search", 429, "INFO"),
        ("search", 500, "ERROR"),
        ("search", 503, "WARNING"),
        ("search", 504, "WARNING"),
        ("ready", 503, "WARNING"),
        ("alive", 500, "ERROR"),
    ],
)
def test_the_status_says_how_grave_a_line_is(
    log: Log, kind: str, status: int, severity: str
) -> None:
    with telemetry.unit(kind) as unit:
        unit.note(status=status)
    assert log.only(kind)["severity"] == severity


@pytest.mark.parametrize("kind", ["alive", "started", "ready"])
def test_a_probe_that_is_answered_is_not_worth_a_line(log: Log, kind: str) -> None:
    with telemetry.unit(kind) as unit:
        unit.note(status=200)
    assert log.entries() == []


def test_a_unit_that_ends_without_a_status_was_interrupted(log: Log) -> None:
    with pytest.raises(SystemExit), telemetry.unit("search"):
        raise SystemExit(1)
    entry = log.only("search")
    assert (entry["outcome"], entry["severity"]) == ("interrupted", "ERROR")
    assert telemetry.current_trace() is None


def test_the_message_of_an_error_is_logged_unless_it_may_quote_its_caller(log: Log) -> None:
    for error in (Unavailable("Firestore is down"), InvalidRequest("got 'my secret wish'")):
        with telemetry.unit("score") as unit:
            telemetry.note_error(error)
            unit.note(status=error.status)
    ours, theirs = log.entries("score")
    assert (ours["outcome"], ours["error"]) == ("unavailable", "Firestore is down")
    assert theirs["outcome"] == "invalid_request"
    assert "my secret wish" not in log.stream.getvalue()


def test_a_stage_adds_up_its_turns_those_that_fail_and_those_of_other_threads_included(
    log: Log,
) -> None:
    with telemetry.unit("EmbedBatch") as unit:

        @telemetry.stage("read")
        def read() -> None:
            time.sleep(0.01)

        def fail() -> None:
            with telemetry.stage("read"):
                time.sleep(0.01)
                raise ValueError

        read()
        with pytest.raises(ValueError):  # noqa: PT011 - it has no message
            fail()
        threads = [threading.Thread(target=copy_context().run, args=(read,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        unit.note(status=204)
    assert log.only("EmbedBatch")["stages"]["read"] >= 0.06


def test_waiting_counts_the_time_of_the_items_and_not_of_what_is_done_with_them(log: Log) -> None:
    def slow() -> Iterator[None]:
        for _ in range(3):
            time.sleep(0.01)
            yield

    with telemetry.unit("FetchJob") as unit:
        for _ in telemetry.waiting("download", slow()):
            time.sleep(0.05)
        unit.note(status=204)
    entry = log.only("FetchJob")
    assert 0.03 <= entry["stages"]["download"] <= entry["seconds"] - 0.15


def test_server_timing_gives_stages_and_total_in_milliseconds() -> None:
    with telemetry.unit("search") as unit:
        unit.add("pool", 0.0012)
        unit.add("score", 0.00404)
        time.sleep(0.01)
        told = unit.server_timing()
        unit.note(status=200)
    match = re.fullmatch(r"pool;dur=1\.2, score;dur=4\.0, total;dur=(\d+\.\d)", told)
    assert match is not None
    assert float(match[1]) >= 10


def test_units_of_work_at_once_keep_their_traces_apart(log: Log) -> None:
    together = threading.Barrier(8)

    def do(number: int) -> None:
        with telemetry.unit("search", f"{number:032x}") as unit:
            together.wait(5)
            telemetry.note(pool_id=str(number))
            together.wait(5)
            unit.note(status=200)

    threads = [threading.Thread(target=do, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    traces = {entry["pool_id"]: entry[TRACE_FIELD] for entry in log.entries("search")}
    assert traces == {str(n): f"projects/{PROJECT}/traces/{n:032x}" for n in range(1, 9)}


def test_a_request_to_another_service_brings_the_trace_in_the_form_of_the_w3c() -> None:
    with telemetry.unit("search", TRACE) as unit:
        first = telemetry.trace_headers()
        unit.note(status=200)
    with telemetry.unit("search", TRACE) as unit:
        second = telemetry.trace_headers()
        unit.note(status=200)
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", first["traceparent"])
    assert first != second, "each unit of work is a span of its own"
    assert telemetry.trace_of(first.get) == TRACE


@pytest.mark.parametrize("trace", [None, "", "x", "0" * 32, TRACE.upper(), TRACE + "\n"])
def test_what_is_no_trace_is_not_followed(trace: str | None) -> None:
    with telemetry.unit("FetchJob", TRACE) as unit:
        unit.follow(trace)
        assert telemetry.current_trace() == TRACE
        unit.note(status=204)
