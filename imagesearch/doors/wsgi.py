"""The door before a function of functions-framework: bodies bounded and timed, every error JSON.

functions-framework reads the whole body of a request after the function has answered it, in
whatever size and time it comes, on a thread that answers nobody else meanwhile.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app, has_app_context
from werkzeug.exceptions import HTTPException, InternalServerError

from imagesearch.doors import bodies
from imagesearch.doors.bodies import Bound, Hold, Larger, Refused
from imagesearch.doors.errors import refusal

if TYPE_CHECKING:
    from types import FrameType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Cloud Run kills an instance this long after it has asked for its end by SIGTERM:
# https://docs.cloud.google.com/run/docs/container-contract#instance-shutdown
KILLED_SECONDS = 10
GRACE_SECONDS = 8  # for the answers that are under way by then, where gunicorn has 30

_PLACE_SECONDS = 0.2  # many times what a body takes that comes with its head
_READ_BYTES = 65_536


def guard(
    *,
    most_bytes: int,
    waiting: int,
    larger: Larger | None = None,
    on_end: Callable[[], None] | None = None,
) -> None:
    """
    Set up the door of the function that is being loaded: called by its module, at its top level.

    Args:
        most_bytes: of a body.
        waiting: threads that may wait for a body at a time.
        larger: what holds instead for a method and path whose bodies may be larger.
        on_end: called in a worker that was asked to end, in the handler of the signal.
    """
    if not has_app_context():  # imported by something else than functions-framework
        return
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # of the proxy
    app.wsgi_app = BoundedBodies(  # type: ignore[method-assign]  # as Flask's documentation does
        app.wsgi_app, most_bytes=most_bytes, waiting=waiting, larger=larger
    )
    app.register_error_handler(HTTPException, _answer_http_error)
    # By name: functions-framework has set a handler of its own for the number.
    app.register_error_handler(InternalServerError, _answer_http_error)
    _have_gunicorn_answer_in_json()
    _have_gunicorn_end_in_time(on_end)


class BoundedBodies:
    """
    Reads the body of each request before *app* sees it, or refuses the request.

    gunicorn's socket is in the environ. Any other server must have the whole body already.

    Args:
        most_bytes: of a body.
        waiting: threads that may wait for a body at a time; one more body is refused, so that
            bodies that never come leave threads for what needs none.
        larger: what holds instead for a method and path whose bodies may be larger.
        seconds: for all of a body, however its bytes are spread.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        most_bytes: int,
        waiting: int,
        larger: Larger | None = None,
        seconds: float = bodies.BODY_SECONDS,
    ) -> None:
        self._app = app
        self._usual = Bound(most_bytes, seconds)
        self._larger = larger or {}
        self._waiting = threading.BoundedSemaphore(waiting)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            asked = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
            bound = self._larger.get(asked, self._usual)
            length = _length(environ, bound)
            with bound.holding() as hold:
                body = self._body(environ, length, bound, hold) if length else b""
                answer = self._answer(environ, body, start_response)
        except Refused as refused:
            refused.log()
            return _refuse(refused, environ, start_response)
        if _is_last(environ):
            return _LastAnswer(answer, environ.get("gunicorn.socket"))
        return answer

    def _answer(
        self, environ: WSGIEnvironment, body: bytes, start_response: StartResponse
    ) -> Iterable[bytes]:
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return self._app(environ, start_response)

    def _body(self, environ: WSGIEnvironment, length: int, bound: Bound, hold: Hold) -> bytes:
        connection: socket.socket | None = environ.get("gunicorn.socket")
        read: Callable[[int], bytes] = environ["wsgi.input"].read
        if connection is None:
            body = _read(read, length, hold)
        else:
            body = self._wait_for(read, length, connection, bound.seconds, hold)
        if len(body) > bound.most_bytes:
            raise bound.too_large()
        if not _is_chunked(environ) and len(body) < length:
            raise bodies.cut_off()
        return body

    def _wait_for(
        self,
        read: Callable[[int], bytes],
        length: int,
        connection: socket.socket,
        seconds: float,
        hold: Hold,
    ) -> bytes:
        if not self._waiting.acquire(timeout=_PLACE_SECONDS):
            raise Refused(503, "too many bodies are waited for")
        try:
            with _ending(connection, seconds) as ended:

                def read_or_fail(most_bytes: int) -> bytes:
                    try:
                        return read(most_bytes)
                    except Exception as error:
                        # The server's own: of a connection that is lost, or of a malformed chunk.
                        raise _failed(ended, seconds) from error

                body = _read(read_or_fail, length, hold)
            if ended.is_set() and len(body) < length:
                raise _failed(ended, seconds)
            return body
        finally:
            self._waiting.release()


def _read(read: Callable[[int], bytes], length: int, hold: Hold) -> bytes:
    """Return up to *length* bytes, fewer where the body ends before; each part is held."""
    parts: list[bytes] = []
    left = length
    while left and (part := read(min(left, _READ_BYTES))):
        hold(len(part))
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _is_chunked(environ: WSGIEnvironment) -> bool:
    return "HTTP_TRANSFER_ENCODING" in environ


def _length(environ: WSGIEnvironment, bound: Bound) -> int:
    return bodies.announced_bytes(
        environ.get("CONTENT_LENGTH", ""),
        is_chunked=_is_chunked(environ),
        bound=bound,
    )


def _failed(ended: threading.Event, seconds: float) -> Refused:
    return bodies.too_slow(seconds) if ended.is_set() else bodies.cut_off()


@contextmanager
def _ending(connection: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """
    Let reads of *connection* in the block end after *seconds* in all; yield what tells whether.

    A time-out of the socket would be for each read, of which a byte each second makes many.
    """
    ended = threading.Event()

    def end() -> None:
        ended.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RD)  # which wakes who reads

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield ended
    finally:
        timer.cancel()


def _refuse(
    refused: Refused, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    # gunicorn writes a `Connection` of its own, and asks for it nothing of an application but this.
    response = getattr(start_response, "__self__", None)
    if force_close := getattr(response, "force_close", None):
        force_close()
    start_response(f"{refused.status.value} {refused.status.phrase}", refused.headers)
    parts = [] if environ["REQUEST_METHOD"] == "HEAD" else [refused.answer.body]
    linger_seconds = bodies.LINGER_SECONDS if refused.is_still_sent else 0.0
    return _LastAnswer(parts, environ.get("gunicorn.socket"), linger_seconds)


def _is_last(environ: WSGIEnvironment) -> bool:
    """Say whether the client has asked for the connection to be ended after the answer."""
    protocol: str = environ["SERVER_PROTOCOL"]
    asked: str = environ.get("HTTP_CONNECTION", "").strip().lower()
    return asked == "close" or (protocol == "HTTP/1.0" and asked != "keep-alive")


class _LastAnswer:
    """
    The parts of an answer with which the *connection* ends, on the thread of its request.

    gunicorn would wait for the client to end it, on the one thread that accepts connections.
    """

    def __init__(
        self, parts: Iterable[bytes], connection: socket.socket | None, linger_seconds: float = 0.0
    ) -> None:
        self._parts = parts
        self._connection = connection
        self._linger_seconds = linger_seconds

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts

    def close(self) -> None:
        """End the connection; called when the answer is written."""
        getattr(self._parts, "close", lambda: None)()
        if self._connection is not None:
            _end(self._connection, self._linger_seconds)


def _end(connection: socket.socket, linger_seconds: float) -> None:
    """End a connection so that nobody who closes it later waits for its client."""
    give_up_at = time.monotonic() + linger_seconds
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left_seconds := give_up_at - time.monotonic()) > 0:
            connection.settimeout(left_seconds)
            if not connection.recv(_READ_BYTES):
                break
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


def _answer_http_error(error: Exception) -> Response:
    """Answer in JSON what Flask, or functions-framework, would answer in HTML."""
    assert isinstance(error, HTTPException)  # noqa: S101 - how Flask types a handler
    status = error.code or 500
    answer = refusal(status, HTTPStatus(status).phrase)
    return Response(answer.body, status, answer.headers)


def _have_gunicorn_answer_in_json() -> None:
    """Give gunicorn our words for what it refuses itself, of which no application hears."""
    from gunicorn import util

    def write_error(connection: socket.socket, status: int, reason: str, message: str) -> None:
        hint = f"; {bodies.ENCODE}" if "Request Line" in message else ""
        refused = Refused(status, f"{(message or reason)[:200]}{hint}")
        lines = [f"{name}: {value}\r\n" for name, value in refused.headers]
        head = f"HTTP/1.1 {status} {reason}\r\n{''.join(lines)}\r\n"
        connection.sendall(head.encode("latin-1") + refused.answer.body)
        _end(connection, bodies.LINGER_SECONDS)

    util.write_error = write_error


def _have_gunicorn_end_in_time(on_end: Callable[[], None] | None) -> None:
    """Set what functions-framework leaves to gunicorn, which it starts after the function."""
    from gunicorn.config import GracefulTimeout
    from gunicorn.workers.gthread import ThreadWorker

    GracefulTimeout.default = GRACE_SECONDS
    if on_end is None:
        return
    handle_exit = ThreadWorker.handle_exit

    def end(worker: ThreadWorker, signal: int, frame: FrameType | None) -> None:
        on_end()
        handle_exit(worker, signal, frame)

    ThreadWorker.handle_exit = end
