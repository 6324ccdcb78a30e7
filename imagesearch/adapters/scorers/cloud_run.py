"""The port `Scorer` over HTTP: the inference service on Cloud Run (design §7).

What answers is `inference_service/app.py`; when a search is scored is decided in `search.py`.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
import os
import re
import ssl
import threading
import time
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import BaseModel, TypeAdapter, ValidationError

from imagesearch import telemetry
from imagesearch.deployment.services import QUERY_CONCURRENCY
from imagesearch.domain.errors import (
    Bug,
    DeadlineExceeded,
    ImageSearchError,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
)
from imagesearch.domain.queries import ScoreRequest
from imagesearch.ports import Clock, ScoreReply
from imagesearch.wire.scoring import LACKED_BY_OLD, encode

if TYPE_CHECKING:  # a function imports it with its first request
    import urllib3

# Above the start of a service that slept, which a request waits for: Cloud Run holds it meanwhile.
PATIENCE_SECONDS = 60.0
_MAX_BYTES = 10_000_000  # of an answer; one of 200 hits has some 0.1 MB
_CHUNK_BYTES = 65_536
_RESTS_SECONDS = (0.1, 0.4)  # before the second and the third attempt
_LONGEST_REST_SECONDS = 2.0  # a service that asks for more is reported, not waited for
_TOKEN_LIFE_SECONDS = 3600.0  # of Google's identity tokens
_TOKEN_MARGIN_SECONDS = 60.0  # a token is not used in the last minute before it expires
_TOKEN_SECONDS = 2.0  # for one answer of the metadata server, which is on the same machine
_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/identity"  # noqa: S105 - a path

_EARLIER = "the scorer is of an earlier version, which is being replaced"
_REPLY = TypeAdapter(ScoreReply)
_logger = logging.getLogger(__name__)


class InferenceService:
    """
    An inference service at *url*, on connections that are kept open.

    Args:
        url: without a path.
        audience: what the identity token is for, usually *url*; None sends no token.
        connect_seconds: for one connection, TLS handshake included.
        total_seconds: for an answer, retries included.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        audience: str | None = None,
        connect_seconds: float = 2.0,
        total_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.audience = audience
        self.total_seconds = total_seconds
        self._http = _Http("the scorer", url.rstrip("/"), connect_seconds)
        self._token = _IdentityToken(audience, clock) if audience else None
        self._waking = threading.Lock()

    def wake(self) -> None:
        """
        Ask for `/alive` without waiting, so that a cold start runs beside other work.

        While one such request is out, no other is made; how it ends is of no interest.
        """
        if self._waking.acquire(blocking=False):
            try:
                wake = partial(copy_context().run, self._wake)  # with the search's trace
                threading.Thread(target=wake, name="wake-scorer", daemon=True).start()
            except RuntimeError:  # the system has no thread to give
                self._waking.release()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._http.close()

    def _wake(self) -> None:
        try:
            answer = self.ask("GET", "/alive", None, time.monotonic() + self.total_seconds)
            _logger.debug("the scorer was woken: %d", answer.status)
        except ImageSearchError as error:
            _logger.debug("the scorer was not woken: %s", error)
        finally:
            self._waking.release()

    def ask(self, method: str, path: str, body: bytes | None, deadline: float) -> Answer:
        """
        Return the answer of any status, by *deadline* of the monotonic clock.

        Raises:
            DeadlineExceeded, Unavailable: there is none.
        """
        headers = telemetry.trace_headers() | ({"Content-Type": "application/json"} if body else {})
        if self._token is None:
            return self._http.ask(method, path, headers, body, deadline)
        token = self._token.get(deadline)
        answer = self._http.ask(method, path, headers | _bearer(token), body, deadline)
        if answer.status == 401:  # expired early, or signed with a key that is no longer in use
            self._token.drop(token)
            headers |= _bearer(self._token.get(deadline))
            answer = self._http.ask(method, path, headers, body, deadline)
        return answer


class CloudRunScorer:
    """
    The port `Scorer` over `POST /score` of *service*.

    A failed connection and a 503 are tried again twice; scoring changes nothing, so that it may
    be done twice.
    """

    def __init__(self, service: InferenceService, *, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    def score(self, request: ScoreRequest) -> ScoreReply:
        """
        Have *request* answered by the service.

        Raises:
            InvalidRequest: the service refused it, naming the field.
            NotFound: there is no such pool or generation.
            Overloaded, Unavailable, DeadlineExceeded: come back later.
            Bug: the service broke one of its own rules.
        """
        deadline = time.monotonic() + self._service.total_seconds
        for least_seconds in _RESTS_SECONDS:
            try:
                return self._score(request, deadline)
            except _Passing as error:
                rest_seconds = max(least_seconds, error.asked_seconds)
                left_seconds = deadline - time.monotonic()
                if rest_seconds > min(_LONGEST_REST_SECONDS, left_seconds):
                    raise
                self._clock.sleep(rest_seconds)
        return self._score(request, deadline)

    def _score(self, request: ScoreRequest, deadline: float) -> ScoreReply:
        answer = self._service.ask("POST", "/score", encode(request), deadline)
        if answer.status != 200:
            raise _error(answer)
        try:
            return _REPLY.validate_json(answer.body, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            raise Unavailable(f"the scorer answered nonsense: {where}: {first['msg']}") from error


class _Passing(Unavailable):
    """Worth another try, after the *asked_seconds* of a Retry-After header."""

    def __init__(self, message: str, asked_seconds: float | None = None) -> None:
        super().__init__(message, **_retry_after(asked_seconds))
        self.asked_seconds = asked_seconds or 0.0


@dataclass(frozen=True)
class Answer:
    """What a service answered; *headers* by names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_seconds(self) -> float | None:
        """The seconds of Retry-After; None without one, with a date, or with more than a day."""
        value = self.headers.get("Retry-After", "")
        return float(value) if re.fullmatch(r"[0-9]{1,5}", value) else None


class _ErrorDetail(BaseModel):
    code: str
    message: str
    field: str | None = None


class _ErrorBody(BaseModel):
    """What the service answers when it refuses: `imagesearch/doors/errors.py`."""

    error: _ErrorDetail


def _error(answer: Answer) -> ImageSearchError:
    """
    Return the error that an answer other than 200 stands for.

    Cloud Run itself answers 429, 503 and 504 with a text of its own, and they mean the same.
    Any other status counts only with the service's own words: a 404 of the platform is a wrong
    URL, not a missing pool.
    """
    refusal = _told(answer.body)
    asked_seconds = answer.retry_after_seconds
    message = refusal.message if refusal else f"the scorer answered {answer.status}"
    field = refusal.field if refusal else None
    match answer.status, refusal and refusal.code:
        case 429, _:
            return Overloaded(message, **_retry_after(asked_seconds))
        case 503, _:
            return _Passing(message, asked_seconds)
        case 504, _:
            return DeadlineExceeded(message, **_retry_after(asked_seconds))
        case 400, InvalidRequest.code if field in LACKED_BY_OLD:
            return Unavailable(_EARLIER)
        case 413, _ if field is None:  # a door's, which takes no picture
            return Unavailable(_EARLIER)
        case 400, InvalidRequest.code:
            return InvalidRequest(message, field=field)
        case 404, NotFound.code:
            return NotFound(message, field=field)
        case 500, Bug.code:
            return Bug(f"in the scorer: {message}")
    return Unavailable(f"the scorer answered {answer.status}")


def _told(body: bytes) -> _ErrorDetail | None:
    try:
        return _ErrorBody.model_validate_json(body).error
    except ValidationError:
        return None


def _retry_after(seconds: float | None) -> dict[str, float]:
    return {} if seconds is None else {"retry_after_seconds": seconds}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class _IdentityToken:
    """
    The identity token of this process's service account, kept until shortly before it expires.

    The metadata server is asked directly: the libraries that do it take 0.1 s of CPU to import,
    in every cold start. GCE_METADATA_HOST names another one, as it does for them.

    Source: https://cloud.google.com/run/docs/authenticating/service-to-service
    """

    def __init__(self, audience: str, clock: Clock) -> None:
        host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        self._http = _Http("the metadata server", f"http://{host}", _TOKEN_SECONDS)
        self._path = f"{_TOKEN_PATH}?{urlencode({'audience': audience})}"
        self._clock = clock
        self._lock = threading.Lock()  # one thread fetches, the others wait for its token
        self._token = ""
        self._expires = -math.inf  # by the monotonic clock

    def get(self, deadline: float) -> str:
        """Return a token that is valid for another minute; Unavailable, DeadlineExceeded."""
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise DeadlineExceeded("the metadata server did not answer in time")
        try:
            if self._clock.monotonic() + _TOKEN_MARGIN_SECONDS >= self._expires:
                self._token = self._fetch(deadline)
                left_seconds = _expiry(self._token) - self._clock.now().timestamp()
                # No more than a token's life, should the clock have stepped back.
                self._expires = self._clock.monotonic() + min(left_seconds, _TOKEN_LIFE_SECONDS)
            return self._token
        finally:
            self._lock.release()

    def drop(self, token: str) -> None:
        """Do not use *token* again."""
        with self._lock:
            if token == self._token:  # another thread may have fetched the next one
                self._expires = -math.inf

    def _fetch(self, deadline: float) -> str:
        for rest_seconds in _RESTS_SECONDS:  # the server may come up after this process
            try:
                return self._fetch_once(deadline)
            except ImageSearchError as error:
                _logger.debug("no identity token yet: %s", error)
                self._clock.sleep(rest_seconds)
        try:
            return self._fetch_once(deadline)
        except _Passing as error:  # it has had its tries
            raise Unavailable(str(error)) from error

    def _fetch_once(self, deadline: float) -> str:
        deadline = min(deadline, time.monotonic() + _TOKEN_SECONDS)
        answer = self._http.ask("GET", self._path, {"Metadata-Flavor": "Google"}, None, deadline)
        if answer.status != 200 or not answer.body.isascii():
            raise Unavailable(f"the metadata server answered {answer.status}")
        return answer.body.decode().strip()


def _expiry(token: str) -> float:
    """Return the claim `exp` of a JSON web token (RFC 7519, section 4.1.4), in Unix time."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Unavailable("what the metadata server sent is no identity token") from error


class _Http:
    """Requests to *name* bounded in time and size, over connections that many threads share."""

    def __init__(self, name: str, url: str, connect_seconds: float) -> None:
        self._name = name
        self._url = url
        self._connect_seconds = connect_seconds
        self._lock = threading.Lock()
        self._pools: urllib3.PoolManager | None = None

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> Answer:
        """
        Return the answer of any status, by *deadline* of the monotonic clock.

        Raises:
            _Passing: no connection, or one that ended early.
            DeadlineExceeded: no answer in time.
            Unavailable: no TLS, or an answer that is too large.
        """
        import urllib3

        try:
            response = self._connected().urlopen(
                method,
                self._url + path,
                headers={"User-Agent": "imagesearch", "Accept-Encoding": "identity", **headers},
                body=body,
                timeout=self._timeout(deadline),
                preload_content=False,
                redirect=False,
                retries=False,
            )
            return Answer(response.status, response.headers, self._body(response, deadline))
        except urllib3.exceptions.ReadTimeoutError as error:
            raise DeadlineExceeded(f"{self._name} did not answer in time") from error
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.ProtocolError,
        ) as error:
            raise _Passing(f"no connection to {self._name} ({type(error).__name__})") from error
        except urllib3.exceptions.HTTPError as error:
            _logger.warning("%s cannot be asked: %s", self._name, error)
            raise Unavailable(f"{self._name} cannot be asked ({type(error).__name__})") from error

    def close(self) -> None:
        with self._lock:
            if self._pools is not None:
                self._pools.clear()

    def _connected(self) -> urllib3.PoolManager:
        import urllib3

        with self._lock:
            if self._pools is None:
                # A connection is kept for each thread that may ask.
                # One context for all connections: reading the authorities takes some 30 ms.
                context = ssl.create_default_context() if self._url.startswith("https:") else None
                self._pools = urllib3.PoolManager(maxsize=QUERY_CONCURRENCY, ssl_context=context)
            return self._pools

    def _timeout(self, deadline: float) -> urllib3.Timeout:
        import urllib3

        left_seconds = deadline - time.monotonic()
        if left_seconds <= 0:
            raise DeadlineExceeded(f"{self._name} did not answer in time")
        return urllib3.Timeout(connect=self._connect_seconds, total=left_seconds)

    def _body(self, response: Any, deadline: float) -> bytes:
        """Read to the end, which gives the connection back; one that is not is closed."""
        body = bytearray()
        try:
            # read1 returns what has come, so that a slow answer sees the deadline.
            while chunk := response.read1(_CHUNK_BYTES):
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise Unavailable(f"{self._name} answered more than {_MAX_BYTES} bytes")
                if time.monotonic() >= deadline:
                    raise DeadlineExceeded(f"{self._name} did not answer in time")
        except BaseException:
            response.close()
            raise
        return bytes(body)
