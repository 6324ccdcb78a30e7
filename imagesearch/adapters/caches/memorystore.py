"""The cache and the rate limiter over Redis: Memorystore in the cloud.

What is kept is in `imagesearch/usecases/cache_slots.py`; what is true is in the catalog.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from imagesearch.adapters.caches.common import (
    lifetime_milliseconds,
    token_microseconds,
    unpacked,
)
from imagesearch.adapters.caches.in_process import InProcessLimiter
from imagesearch.domain.errors import InvalidRequest
from imagesearch.ports import Slot, SlotKey, Value

_LOG_SECONDS = 60.0  # at most one incident is logged in this time
_REST_SECONDS = 1.0  # in which a cache that was waited for in vain is not asked again
_CONNECTIONS = 512  # opened when as many threads ask at once; redis-py would refuse the 101st

# The generic cell rate algorithm (ITU-T I.371, annex A): the key holds the time, in microseconds,
# at which the bucket is full again: in a period at the latest, unless the clock has stepped back
# since, and then the bucket counts as full. %.0f, as Lua's own conversion keeps 14 digits only.
_BUCKET_SCRIPT = """
local interval, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local full_at = tonumber(redis.call('GET', KEYS[1]) or '') or 0
if full_at < now or full_at > now + period then full_at = now end
full_at = full_at + interval
local wait = full_at - now - period
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil(period / 1000))
return 0
"""

_logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class Memorystore:
    """
    The ports `Cache` and `RateLimiter` over *client*, which must not decode responses.

    Whatever Redis raises is caught in `_ask`, is logged once an incident, and looks like an
    empty cache; so is a value that is damaged or was written by another version.
    """

    def __init__(self, client: redis.Redis) -> None:
        # redis-py types an answer as perhaps awaitable, which that of this client never is.
        self._client: Any = client
        self._take_token: Any = client.register_script(_BUCKET_SCRIPT)
        self._incident = _Incident()
        self._alone = InProcessLimiter()  # a limit that holds in each process is better than none

    def get(self, slot: Slot[SlotKey, Value], key: SlotKey) -> Value | None:
        """Return the value of *key*, or None."""
        name = slot.name(key)
        data = self._ask(lambda: cast("bytes | None", self._client.get(name)), None)
        return None if data is None else unpacked(slot, name, data)

    def get_many(self, slot: Slot[SlotKey, Value], keys: Sequence[SlotKey]) -> dict[SlotKey, Value]:
        """Return the values at hand, by key, with one MGET."""
        if not keys:
            return {}
        names = [slot.name(key) for key in keys]
        nothing: list[bytes | None] = [None] * len(names)
        answers = self._ask(lambda: cast("list[bytes | None]", self._client.mget(names)), nothing)
        values: dict[SlotKey, Value] = {}
        for key, name, data in zip(keys, names, answers, strict=True):
            value = None if data is None else unpacked(slot, name, data)
            if value is not None:
                values[key] = value
        return values

    def put(
        self,
        slot: Slot[SlotKey, Value],
        key: SlotKey,
        value: Value,
        *,
        ttl_seconds: float | None = None,
    ) -> None:
        """Keep *value* for *ttl_seconds*, those of the slot when None."""
        ttl_milliseconds = lifetime_milliseconds(slot, ttl_seconds)
        if ttl_milliseconds > 0:
            name, data = slot.name(key), slot.pack(value)
            self._ask(lambda: self._client.set(name, data, px=ttl_milliseconds), None)

    def drop(self, slot: Slot[SlotKey, Value], keys: Sequence[SlotKey]) -> None:
        """Forget the values of *keys*, with one UNLINK."""
        if keys:
            names = [slot.name(key) for key in keys]
            self._ask(lambda: self._client.unlink(*names), None)

    def take_token(self, bucket: str, *, limit: int, period_seconds: float) -> float:
        """
        Take one token of *bucket*, which is also the key: `quota:pixabay`, `rate:{client}`.

        Returns:
            0.0 when a token was taken, else the seconds until there is one, by the server's
            clock. While it does not answer the process counts for itself.
        """
        interval = token_microseconds(limit, period_seconds)
        arguments = [interval, interval * limit]
        keys = [bucket.encode("utf-8", "surrogatepass")]
        wait = self._ask(
            lambda: cast("int | None", self._take_token(keys=keys, args=arguments)), None
        )
        if wait is None:
            return self._alone.take_token(bucket, limit=limit, period_seconds=period_seconds)
        return wait / 1e6

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        self._client.close()

    def _ask(self, question: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        """Return what the cache answers, or *otherwise* when it does not answer."""
        if self._incident.is_resting:
            return otherwise
        try:
            answer = question()
        except redis.RedisError as error:
            self._incident.begin(error)
            return otherwise
        self._incident.end()
        return answer


class _Incident:
    """A time in which the cache does not answer: logged at its two ends, not at every call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_on = False
        self._is_logged = False
        self._quiet_until = 0.0
        self._resting_until = 0.0

    @property
    def is_resting(self) -> bool:
        """True shortly after a time-out: a search asks several times, and waits once only."""
        return time.monotonic() < self._resting_until

    def begin(self, error: redis.RedisError) -> None:
        with self._lock:
            if isinstance(error, redis.TimeoutError):
                self._resting_until = time.monotonic() + _REST_SECONDS
            if self._is_on:
                return
            self._is_on = True
            # A cache that answers every other call is one incident a minute.
            self._is_logged = time.monotonic() >= self._quiet_until
            if self._is_logged:
                self._quiet_until = time.monotonic() + _LOG_SECONDS
                _logger.warning("the cache does not answer, going on without it: %s", error)

    def end(self) -> None:
        if not self._is_on:  # the common case takes no lock
            return
        with self._lock:
            if self._is_on and self._is_logged:
                _logger.info("the cache answers again")
            self._is_on = False


def connect(
    host: str,
    port: int = 6379,
    *,
    auth_string: str | None = None,
    server_ca: str | None = None,
    timeout_seconds: float = 0.25,
) -> redis.Redis:
    """
    Return a client of the Redis server at *host* and *port*; it connects when first used.

    A connection that broke while it was idle is replaced at once, so that a command is tried
    twice at most. Nothing is waited for longer than *timeout_seconds*, which a
    benchmark sets, as it loads its server on purpose.

    Args:
        auth_string: the password, where the server asks for one.
        server_ca: PEM of the instance's own certificate authorities; given, TLS is spoken and
            nobody else is trusted.

    Raises:
        InvalidRequest: *server_ca* holds no certificate.
    """
    tls: dict[str, Any] = {}
    if server_ca is not None:
        tls = {"connection_class": _TlsConnection, "context": _trusting(server_ca)}
    pool = redis.ConnectionPool(
        host=host,
        port=port,
        password=auth_string,
        socket_connect_timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_keepalive=True,
        max_connections=_CONNECTIONS,
        health_check_interval=30,  # seconds of silence after which a connection is tried out
        # A time-out is not tried again: the second would last as long as the first.
        retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        protocol=2,  # version 3 costs a round trip more at the start and brings nothing used here
        **tls,
    )
    return redis.Redis.from_pool(pool)


class _TlsConnection(redis.SSLConnection):
    """
    TLS with a server whose authority signs for it alone.

    redis-py would trust the system's authorities as well, and reads them for each connection.
    The host is not compared with the certificate: Memorystore is reached by its address, which
    its certificates hold in the common name, where no TLS library looks any more.

    Sources: https://cloud.google.com/memorystore/docs/redis/in-transit-encryption (an authority
    of its own for each instance), https://github.com/envoyproxy/ratelimit/pull/409 (the name).
    """

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._context = context

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        return self._context.wrap_socket(sock)


def _trusting(authorities: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        got = f"got {len(authorities)} characters"
        message = f"server_ca must be certificates in PEM, {got}: {error}"
        raise InvalidRequest(message, field="server_ca") from error
    return context
