"""A unit of work: one request, or one pushed message; its trace, its stages, its line in the log.

A door opens the unit; what it calls adds to it without a parameter through every call, and outside
of any unit adds to nothing. How the line is written is in `logs.py`.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from imagesearch.domain.errors import ImageSearchError

# Version, trace, span and flags, and what versions after 00 may add:
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)
# https://cloud.google.com/trace/docs/trace-context#legacy-http-header
_CLOUD_TRACE = re.compile(r"([0-9a-fA-F]{32})(/.*)?")
_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")
# Asked every few seconds, or many for each visit: told of only when they fail.
_QUIET = ("alive", "started", "ready", "page", "image")
# A span has these itself; and what a stranger wrote is for the log alone.
_NO_ATTRIBUTES = ("kind", "seconds", "stages", "excerpt")
_SUMMARY = ("kind", "pool_id", "status", "outcome", "seconds")  # what the message says already

_logger = logging.getLogger(__name__)
_current: ContextVar[Work | None] = ContextVar("work", default=None)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Span:
    """
    A unit of work, or a stage of one, in OpenTelemetry's words; times are Unix, in nanoseconds.

    Source: https://opentelemetry.io/docs/specs/otel/trace/api/#span

    Attributes:
        trace: 32 hexadecimal digits.
        span_id: 16, of its own.
        parent_id: those of the span that it is within; empty: of none that is known.
        attributes: what the line of the log has besides: no keyword, and no query.
    """

    trace: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, object] = field(default_factory=dict)


Export = Callable[[Sequence[Span]], None]
_export: Export | None = None  # while spans go nowhere, none is made


def export_spans(export: Export | None) -> None:
    """Have the spans of each unit of work given to *export* from now on; None: to nobody."""
    global _export
    _export = export


class Work:
    """
    What the log will say of one unit of work.

    Attributes:
        kind: what was to be done: `search`, `FetchJob`.
        trace: 32 hexadecimal digits that all work for one search has in common.
        client: a mark of whom it is for, by which queues take turns; it is not in the line.
        level: of the line; None lets the status say.
        stages: seconds by name, each the sum of its turns; a stage may lie within another.
    """

    def __init__(self, kind: str, trace: str | None = None, parent_id: str = "") -> None:
        self.kind = kind
        self.trace = trace or secrets.token_hex(16)
        self.span_id = secrets.token_hex(8)
        self.parent_id = parent_id
        self.client = ""
        self.level: int | None = None
        self.stages: dict[str, float] = {}
        self._fields: dict[str, object] = {}
        self._spans: list[tuple[str, int, int]] = []  # of stages: name, start, end
        self._started = time.perf_counter()
        self._start_ns = time.time_ns()
        self._lock = threading.Lock()

    def note(self, **fields: object) -> None:
        """Add *fields* to the line, or change them; None is no value."""
        with self._lock:
            self._fields |= {name: value for name, value in fields.items() if value is not None}

    def add(self, stage: str, seconds: float) -> None:
        """Add *seconds* to a stage."""
        with self._lock:
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def add_span(self, stage: str, start_ns: int, end_ns: int) -> None:
        """Add one turn of a stage."""
        with self._lock:
            self._spans.append((stage, start_ns, end_ns))

    def spans(self) -> list[Span]:
        """Return the unit of work so far, and the turns of its stages within it."""
        attributes = {
            name: value for name, value in self.fields().items() if name not in _NO_ATTRIBUTES
        }
        own = Span(
            self.trace,
            self.span_id,
            self.parent_id,
            self.kind,
            self._start_ns,
            time.time_ns(),
            attributes,
        )
        with self._lock:
            turns = list(self._spans)
        return [own, *(self._within(name, start, end) for name, start, end in turns)]

    def _within(self, name: str, start_ns: int, end_ns: int) -> Span:
        return Span(self.trace, secrets.token_hex(8), self.span_id, name, start_ns, end_ns)

    def follow(self, trace: str | None) -> None:
        """Go on with *trace*, if it is one."""
        if trace is not None and _TRACE.fullmatch(trace):
            self.trace = trace

    def server_timing(self) -> str:
        """
        Return the stages and the total so far, in milliseconds.

        Source: https://www.w3.org/TR/server-timing/#the-server-timing-header-field
        """
        spent = {**self.stages, "total": time.perf_counter() - self._started}
        return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in spent.items())

    def fields(self) -> dict[str, object]:
        """Return the line's fields."""
        status = self._fields.get("status")
        return {
            "kind": self.kind,
            **self._fields,
            "outcome": self._fields.get("outcome") or ("done" if status else "interrupted"),
            "seconds": round(time.perf_counter() - self._started, 6),
            "stages": {name: round(seconds, 6) for name, seconds in self.stages.items()},
        }

    def log(self) -> None:
        """Write the line."""
        fields = self.fields()
        level = self._level() if self.level is None else self.level
        _logger.log(level, _summary(fields), extra={"fields": fields, "said": _SUMMARY})

    def _level(self) -> int:
        status = self._fields.get("status")
        if not isinstance(status, int) or status == 500:
            return logging.ERROR
        if status > 500:
            return logging.WARNING
        return logging.DEBUG if self.kind in _QUIET else logging.INFO


def _summary(fields: Mapping[str, object]) -> str:
    pool = f" pool_id={fields['pool_id']}" if "pool_id" in fields else ""
    status = f" {fields['status']}" if "status" in fields else ""
    return f"{fields['kind']}{pool}{status} {fields['outcome']} in {fields['seconds']:.3f} s"


@contextmanager
def unit(kind: str, trace: str | None = None, parent_id: str = "") -> Iterator[Work]:
    """
    Do one unit of work and write its line at the end; without a *trace* it begins one.

    Args:
        parent_id: the span that it is within, of whoever asked for it.
    """
    work = Work(kind, trace, parent_id)
    token = _current.set(work)
    try:
        yield work
    finally:
        try:
            work.log()
            _hand_over(work)
        finally:
            _current.reset(token)


def _hand_over(work: Work) -> None:
    """Have the spans of *work* exported, if any are; what goes wrong there is not its fault."""
    if _export is None or work.kind in _QUIET:
        return
    try:
        _export(work.spans())
    except Exception as error:  # noqa: BLE001 - whatever an exporter raises
        _logger.warning("the spans of a %s are lost: %r", work.kind, error)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time a stage of the current unit of work; its *name* is a token of RFC 9110."""
    work = _current.get()
    if work is None:
        yield
        return
    work.add(name, 0.0)  # now: a stage stands before those within it
    start_ns = 0 if _export is None else time.time_ns()
    started = time.perf_counter()
    try:
        yield
    finally:
        work.add(name, time.perf_counter() - started)
        if start_ns:
            work.add_span(name, start_ns, time.time_ns())


def waiting(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yield *items*, timing as a stage how long each is waited for."""
    each = iter(items)
    while True:
        with stage(name):
            try:
                item = next(each)
            except StopIteration:
                return
        yield item


def note(**fields: object) -> None:
    """Add *fields* to the line of the current unit of work."""
    if work := _current.get():
        work.note(**fields)


def note_error(error: ImageSearchError) -> None:
    """Note why the current unit of work failed, without repeating what its caller wrote."""
    # The message of an error that is the caller's was told to them, and may quote their query.
    note(outcome=error.code, error=str(error) if error.status >= 500 else None)


def current_trace() -> str | None:
    """Return the trace of the current unit of work, if there is one."""
    work = _current.get()
    return work.trace if work else None


def serve(client: str) -> None:
    """Note whom the current unit of work is for."""
    if work := _current.get():
        work.client = client


def current_client() -> str:
    """Return whom the current unit of work is for; empty when nobody knows."""
    work = _current.get()
    return work.client if work else ""


def trace_to_send() -> str:
    """Return the current trace, or a new one that what is sent now begins."""
    return current_trace() or secrets.token_hex(16)


def trace_headers() -> dict[str, str]:
    """Return the header that carries the current trace to another service, if there is one."""
    work = _current.get()
    # The flags say whether a span is recorded; its id is needed all the same.
    recorded = "00" if _export is None else "01"
    return {"traceparent": f"00-{work.trace}-{work.span_id}-{recorded}"} if work else {}


def trace_of(header: Callable[[str], str | None]) -> str | None:
    """Return the trace that a request brings in a *header*, which is looked up by name."""
    if w3c := _w3c(header):
        return w3c[2]
    cloud = _CLOUD_TRACE.fullmatch(header("X-Cloud-Trace-Context") or "")
    if cloud and _TRACE.fullmatch(cloud[1].lower()):
        return cloud[1].lower()
    return None


def parent_of(header: Callable[[str], str | None]) -> str:
    """Return the span that a request's `traceparent` is sent by; empty without one."""
    w3c = _w3c(header)
    return w3c[3] if w3c else ""


def _w3c(header: Callable[[str], str | None]) -> re.Match[str] | None:
    """Return the parts of a request's `traceparent`, where it is one."""
    w3c = _TRACEPARENT.fullmatch(header("traceparent") or "")
    return w3c if w3c and _TRACE.fullmatch(w3c[2]) and not (w3c[1] == "00" and w3c[4]) else None
