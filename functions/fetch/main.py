"""The push function: fetch jobs, forgetting, buckets that are collections, and the budget.

The doors are below, dead letters have their own. The HTTP status is the ack
(`imagesearch/doors/push.py`); the work is in `imagesearch/usecases/`: `fetch.py`, `forget.py` and
`collect.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import functions_framework
from flask import Request, Response

from imagesearch.compose.fetch import compose
from imagesearch.compose.start import process_of
from imagesearch.deployment.topics import MAX_DELIVERY_ATTEMPTS
from imagesearch.domain.errors import NotFound, Overloaded
from imagesearch.domain.forgetting import Forgotten
from imagesearch.domain.work import BucketEvent, BudgetNotice, CollectJob, FetchJob, ForgetJob
from imagesearch.doors import push, wsgi
from imagesearch.usecases.collect import CollectReport
from imagesearch.usecases.fetch import FetchReport
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import DeadLetter

JOBS_AT_ONCE = 4  # the other requests of an instance wait for their turn
EVENTS_AT_ONCE = 4  # of a picture each
# What waits for a picture holds a thread: nacked it waits in the subscription, and slows down that.
EVENT_PATIENCE_SECONDS = 30.0
WAITING = 8  # threads that wait for a body, of the 16 of `imagesearch/deployment/services.py`

_process = process_of(compose)
_turns = threading.BoundedSemaphore(JOBS_AT_ONCE)
_forgetting = threading.Lock()
_collecting = threading.Lock()  # a page at a time: its previews take the memory of an instance
_events = threading.BoundedSemaphore(EVENTS_AT_ONCE)
# Each holds a thread of the 16 while it waits: a keyword must find one.
_pages_here, _events_here = threading.BoundedSemaphore(2), threading.BoundedSemaphore(6)
wsgi.guard(most_bytes=push.MAX_BODY_BYTES, waiting=WAITING)


@functions_framework.http
def fetch(request: Request) -> Response:
    """Do the pushed job, or mark the pool of a dead letter failed."""
    if request.method != "POST":
        return Response(status=200 if request.path == "/alive" else 405)
    door = _DOORS.get(request.path)
    return Response(status=404 if door is None else door(request.get_data()))


def _fetch(body: bytes) -> int:
    patience = push.Patience()

    def do(job: FetchJob, envelope: PushEnvelope) -> FetchReport:
        if not _turns.acquire(timeout=patience.left_seconds):
            raise Overloaded(f"{JOBS_AT_ONCE} fetches are under way")
        try:
            return _process.fetch(job, last_attempt=push.is_final(envelope))
        finally:
            _turns.release()

    return push.handle(body, FetchJob, do, give_up=_process.give_up, patience=patience)


def _give_up(body: bytes) -> int:
    def do(letter: DeadLetter, _: PushEnvelope) -> None:
        reason = f"gave up after {MAX_DELIVERY_ATTEMPTS} attempts"
        _process.give_up(letter.pool_id, letter.generation, reason)

    return push.handle(body, DeadLetter, do)


def _forget(body: bytes) -> int:
    patience = push.Patience()

    def do(job: ForgetJob, _: PushEnvelope) -> Forgotten:
        # Two at once would do the same work twice.
        if not _forgetting.acquire(timeout=patience.left_seconds):
            raise Overloaded("something is being forgotten already")
        try:
            return _process.remove(job.collection) if job.collection else _process.forget(job)
        finally:
            _forgetting.release()

    return push.handle(body, ForgetJob, do, patience=patience)


def _note_not_forgotten(body: bytes) -> int:
    """Have a line say so: what was to be forgotten is not, until somebody asks for it again."""

    def do(_: ForgetJob, __: PushEnvelope) -> None:
        reason = f"what was to be forgotten is not, after {MAX_DELIVERY_ATTEMPTS} attempts"
        raise NotFound(reason)

    return push.handle(body, ForgetJob, do)


def _unless_full(here: threading.BoundedSemaphore, do: Callable[[bytes], int], body: bytes) -> int:
    """Do it, or nack at once where enough wait already: it comes again after a rest."""
    if not here.acquire(blocking=False):
        return Overloaded.status
    try:
        return do(body)
    finally:
        here.release()


def _collect(body: bytes) -> int:
    patience = push.Patience()

    def do(job: CollectJob, _: PushEnvelope) -> CollectReport:
        if not _collecting.acquire(timeout=patience.left_seconds):
            raise Overloaded("another page of a bucket is read")
        try:
            return _process.collect(job)
        finally:
            _collecting.release()

    return push.handle(body, CollectJob, do, patience=patience)


def _end_update(body: bytes) -> int:
    def do(job: CollectJob, _: PushEnvelope) -> None:
        reason = f"gave up after {MAX_DELIVERY_ATTEMPTS} attempts"
        _process.collect.give_up(job, reason)
        raise NotFound(f"the collection {job.collection!r} is not up to date: {reason}")

    return push.handle(body, CollectJob, do)


def _follow(body: bytes) -> int:
    patience = push.Patience(EVENT_PATIENCE_SECONDS)

    def do(event: BucketEvent, _: PushEnvelope) -> CollectReport:
        if not _events.acquire(timeout=patience.left_seconds):
            raise Overloaded(f"{EVENTS_AT_ONCE} events of buckets are followed")
        try:
            return _process.follow(event)
        finally:
            _events.release()

    return push.handle(body, BucketEvent, do, patience=patience)


def _note_not_followed(body: bytes) -> int:
    """Have a line say so: the next update of the collection sees what the event told."""

    def do(event: BucketEvent, _: PushEnvelope) -> None:
        what = f"generation {event.generation} of an object of gs://{event.bucket}"
        raise NotFound(f"{what} is not followed, after {MAX_DELIVERY_ATTEMPTS} attempts")

    return push.handle(body, BucketEvent, do)


def _heed_budget(body: bytes) -> int:
    """Begin no new work today where the month's budget is spent; the next notice is tomorrow's."""
    return push.handle(body, BudgetNotice, lambda notice, _: _process.heed_budget(notice))


_DOORS: dict[str, Callable[[bytes], int]] = {
    "/": _fetch,
    "/dead-letter": _give_up,
    "/forget": _forget,
    "/forget/dead-letter": _note_not_forgotten,
    "/collect": partial(_unless_full, _pages_here, _collect),
    "/collect/dead-letter": _end_update,
    "/bucket-events": partial(_unless_full, _events_here, _follow),
    "/bucket-events/dead-letter": _note_not_followed,
    "/budget": _heed_budget,
}
