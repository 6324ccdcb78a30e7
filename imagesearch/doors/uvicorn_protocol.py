"""uvicorn's HTTP/1.1 with a limit of time for a head, and of connections, and errors in JSON.

`uvicorn --http imagesearch.doors.uvicorn_protocol:Protocol`; what an app answers is none of its
business.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import resource
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from imagesearch.doors import bodies
from imagesearch.doors.bodies import Refused

RESERVED = 128  # descriptors for files, and for connections that are about to be refused
MOST_DESCRIPTORS = 8192  # for 4,096 connections, some 100 MB; no more is asked of the system
_logger = logging.getLogger(__name__)
_refused = itertools.count(1)  # connections of this process


class Protocol(H11Protocol):
    """
    A connection.

    Attributes:
        head_seconds: for the head of a request, the wait for its first byte included.
        share: of the descriptors of the process, but for RESERVED, that connections may take.
    """

    head_seconds = 10.0
    share = 0.5

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        most = max(1, int((_descriptors() - RESERVED) * self.share))
        if len(self.connections) > most:
            self._log_refusal(most)
            self._refuse(Refused(503, f"{most} connections are open, which is all there may be"))
        else:
            self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer, too."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has come."""
        super().handle_events()
        self._time_head()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words
        """Refuse what h11 has just said it cannot read."""
        error = sys.exception()
        status, why = 400, "it is no HTTP/1.1"
        if isinstance(error, h11.RemoteProtocolError):
            status = error.error_status_hint
            why = str(error).partition(": bytearray(")[0]  # not what was sent, once more
        hint = f"; {bodies.ENCODE}" if "request line" in why else ""
        self._refuse(Refused(status, f"the request cannot be read: {why}{hint}"))

    def _should_upgrade(self) -> bool:
        return False  # to a WebSocket: nobody has any; a server may ignore the header (RFC 9110)

    def _time_head(self) -> None:
        is_awaited = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if not is_awaited:
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._end_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_head(self) -> None:
        has_begun = bool(self.conn.trailing_data[0])
        if has_begun:
            why = f"the head of a request must come within {self.head_seconds:g} seconds"
            self._refuse(Refused(408, why))
        self.transport.close()

    def _refuse(self, refused: Refused) -> None:
        """Answer with *refused* where an answer has not begun, and end the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(
                status_code=refused.status,
                reason=refused.status.phrase,
                headers=refused.headers,
            )
            is_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
            body = b"" if is_head else refused.answer.body
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._stop_timer()
        self.transport.close()

    def _log_refusal(self, most: int) -> None:
        number = next(_refused)
        if str(number).rstrip("0") == "1":  # the 1st, 10th, 100th: a flood is no flood of lines
            _logger.warning("%d connections are open, the most; %d refused so far", most, number)


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, MOST_DESCRIPTORS)
