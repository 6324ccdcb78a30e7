"""How a process writes its log: JSON lines as Google Cloud Logging reads them, text on a terminal.

What the line of a unit of work says is in `telemetry.py`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from imagesearch import telemetry
from imagesearch.domain.printable import printable

# These print in a form of their own until they are told to leave it to the root.
_SERVERS = ("gunicorn.error", "uvicorn", "uvicorn.error")
_CHATTY = ("httpx",)  # a line for each request
_TRACE_FIELD = "logging.googleapis.com/trace"


def configure(level: str = "INFO", project: str = "") -> None:
    """
    Have this process's log written to stderr; called again, the last call counts.

    Args:
        level: of the least record that is written.
        project: the Google Cloud project that traces belong to.
    """
    handler = _Stderr()
    on_terminal = sys.stderr is not None and sys.stderr.isatty()  # None: it was closed
    handler.setFormatter(TextFormatter() if on_terminal else JsonFormatter(project))
    root = logging.getLogger()
    root.handlers[:] = [handler]  # functions-framework may have put its own there
    root.setLevel(level)
    for name in _SERVERS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The line of the unit of work says what an access line does, without the query.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.access").propagate = False
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda end: _log_uncaught(end.exc_type, end.exc_value, end.exc_traceback)


class JsonFormatter(logging.Formatter):
    """
    One JSON object a record, on one line.

    Source: https://cloud.google.com/logging/docs/structured-logging#special-payload-fields, and
    for `stack_trace` https://cloud.google.com/error-reporting/docs/formatting-error-messages
    """

    def __init__(self, project: str = "") -> None:
        super().__init__()
        self._prefix = f"projects/{project}/traces/" if project else ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "time": _rfc3339(record.created),
        }
        if trace := telemetry.current_trace():
            entry[_TRACE_FIELD] = self._prefix + trace
        entry |= _fields(record) or {"logger": record.name}
        if record.exc_info:
            entry["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class TextFormatter(logging.Formatter):
    """A line a record, for people at a terminal; a traceback follows below it, indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and the traceback, whose text can pass for no other line."""
        line, *below = super().format(record).split("\n")
        return "\n".join(
            [line, *below[:1], *(f"  {line_below}" for line_below in map(printable, below[1:]))]
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line, with the fields that its message does not say."""
        said = getattr(record, "said", ())
        fields = {name: value for name, value in _fields(record).items() if name not in said}
        stages: Mapping[str, float] = fields.pop("stages", {})
        parts = [super().formatMessage(record)]
        parts += [f"{name}={value}" for name, value in fields.items()]
        parts += [f"{name}={seconds:.3f}s" for name, seconds in stages.items()]
        parts += [f"trace={telemetry.current_trace()}"] if fields or stages else []
        return printable(" ".join(parts))


class _Stderr(logging.StreamHandler[TextIO]):
    """
    Writes to what `sys.stderr` is at the time.

    While it answers, functions-framework may put a stream there that adds the execution's id.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # the parent's would set a stream

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # read here, never set
        return sys.stderr


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return dict(getattr(record, "fields", {}))


def _rfc3339(timestamp: float) -> str:
    moment = datetime.fromtimestamp(timestamp, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):  # not a failure
        sys.__excepthook__(kind, error or kind(), traceback)
        return
    end = (kind, error or kind(), traceback)
    logging.getLogger(__name__).critical("ended by %s", kind.__name__, exc_info=end)
