"""Where spans go on Google Cloud: Cloud Trace, from a thread of their own.

Neither OpenTelemetry's SDK nor Google's libraries are used: to import them takes 0.6 s of CPU, in
every cold start (decision 0088).
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from imagesearch.telemetry import Span

URL = "https://cloudtrace.googleapis.com"
MOST_WAITING = 1000  # units of work whose spans wait; more are dropped
MOST_SPANS = 500  # of a request, unless one unit of work has more
_TIMEOUT_SECONDS = 5.0
_REST_SECONDS = 0.5  # in which more come, to go in one request
_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path
_TOKEN_MARGIN_SECONDS = 60.0

_logger = logging.getLogger(__name__)


class CloudTrace:
    """
    Sends spans to Cloud Trace; none holds a request up, and what is lost is told in the log.

    GCE_METADATA_HOST names another metadata server, as it does for Google's libraries.

    Source: https://cloud.google.com/trace/docs/reference/v2/rest/v2/projects.traces/batchWrite

    Args:
        project: whose traces they are.
        url: of Cloud Trace.
        rest_seconds: how long spans wait for more.
    """

    def __init__(
        self, project: str, *, url: str = URL, rest_seconds: float = _REST_SECONDS
    ) -> None:
        self._project = project
        self._url = url
        self._rest_seconds = rest_seconds
        self._waiting: queue.Queue[Sequence[Span]] = queue.Queue(MOST_WAITING)
        self._starting = threading.Lock()
        self._sender: threading.Thread | None = None
        self._token, self._token_ends = "", 0.0

    def __call__(self, spans: Sequence[Span]) -> None:
        """Have *spans* sent, soon."""
        if self._sender is None:
            self._start()
        try:
            self._waiting.put_nowait(spans)
        except queue.Full:
            _logger.warning("%d spans are dropped: too many wait for Cloud Trace", len(spans))

    def wait(self) -> None:
        """Return when all that came so far was sent, or could not be."""
        self._waiting.join()

    def _start(self) -> None:
        with self._starting:
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_all, name="spans", daemon=True)
                self._sender.start()

    def _send_all(self) -> None:
        while True:
            taken = [self._waiting.get()]
            time.sleep(self._rest_seconds)
            while sum(map(len, taken)) < MOST_SPANS:
                try:
                    taken.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            spans = [span for each in taken for span in each]
            try:
                self._send(spans)
            except Exception as error:  # noqa: BLE001 - nothing ends this thread
                _logger.warning("%d spans were not taken by Cloud Trace: %s", len(spans), error)
            for _ in taken:
                self._waiting.task_done()

    def _send(self, spans: Sequence[Span]) -> None:
        body = {"spans": [_json_of(span, self._project) for span in spans]}
        _ask(
            "POST",
            f"{self._url}/v2/projects/{self._project}/traces:batchWrite",
            {"Authorization": f"Bearer {self._access_token()}", "Content-Type": "application/json"},
            json.dumps(body).encode(),
        )

    def _access_token(self) -> str:
        if time.monotonic() >= self._token_ends:
            host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
            answer = _ask("GET", f"http://{host}{_TOKEN_PATH}", {"Metadata-Flavor": "Google"}, None)
            token = json.loads(answer)
            self._token = token["access_token"]
            self._token_ends = time.monotonic() + token["expires_in"] - _TOKEN_MARGIN_SECONDS
        return self._token


def _ask(method: str, url: str, headers: dict[str, str], body: bytes | None) -> bytes:
    """Return what *url* answers; OSError when it answers no 200, or does not."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, parts.path, body, headers)
        answer = connection.getresponse()
        content = answer.read(100_000)
        if answer.status != 200:
            raise OSError(f"{parts.netloc} answered {answer.status}")
        return content
    finally:
        connection.close()


def _json_of(span: Span, project: str) -> dict[str, Any]:
    """
    Return *span* in Cloud Trace's JSON.

    Source: https://cloud.google.com/trace/docs/reference/v2/rest/v2/projects.traces#Span
    """
    body: dict[str, Any] = {
        "name": f"projects/{project}/traces/{span.trace}/spans/{span.span_id}",
        "spanId": span.span_id,
        "displayName": {"value": span.name},
        "startTime": _time(span.start_ns),
        "endTime": _time(span.end_ns),
        "attributes": {
            "attributeMap": {
                name: {"stringValue": {"value": str(value)[:256]}}
                for name, value in span.attributes.items()
            }
        },
    }
    if span.parent_id:
        body["parentSpanId"] = span.parent_id
    return body


def _time(unix_ns: int) -> str:
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
