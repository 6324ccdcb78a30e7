"""The pool cache over Redis: Memorystore in the cloud, an in-process fakeredis on one machine.

The keys, values and times to live are those of design §9; what is true is in the catalog.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import redis
from pydantic import TypeAdapter, ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

from imagesearch.domain.errors import Bug, InvalidRequest
from imagesearch.domain.images import Image, PackedPool
from imagesearch.domain.pools import Pool
from imagesearch.ports import TextEmbedding

STATE_TTL_SECONDS = 300.0
BYTES_TTL_SECONDS = 600.0
TEXT_TTL_SECONDS = 24 * 3600.0

_LOG_SECONDS = 60.0  # at most one incident is logged in this time
_REST_SECONDS = 1.0  # in which a cache that was waited for in vain is not asked again
_MAGIC = b"isc1"  # imagesearch cache, version 1: another version's values are ignored
_CONNECTIONS = 512  # opened when as many threads ask at once; redis-py would refuse the 101st
EMBEDDED_BYTES = 64 * 2**20  # some pools in the making, with their images' bytes
_KEY_BYTES = 500  # of Python's objects for a key and its value
SETS_A_SWEEP = 64  # of the embedded Redis: to look at all keys each time costs more than to set
_SEAL = struct.Struct("<4sI")  # magic, CRC-32 of what follows
_POOL_HEAD = struct.Struct("<III")  # bytes of metadata, n, embedding_dim
_IMAGES = TypeAdapter(tuple[Image, ...])
_POOL = TypeAdapter(Pool)

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
    The port `PoolCache` over *client*, which must not decode responses.

    Whatever Redis raises is caught in `_ask`, is logged once an incident, and looks like an
    empty cache; so is a value that is damaged or was written by another version.
    """

    def __init__(self, client: redis.Redis) -> None:
        # redis-py types an answer as perhaps awaitable, which that of this client never is.
        self._client: Any = client
        self._take_token: Any = client.register_script(_BUCKET_SCRIPT)
        self._incident = _Incident()

    def get_pool(self, pool_id: str, generation: int, model_revision: str) -> PackedPool | None:
        """Return the packed pool (embeddings went through float16), or None."""
        return self._get(_key("pool", pool_id, str(generation), model_revision), _unpack_pool)

    def put_pool(
        self,
        pool_id: str,
        generation: int,
        model_revision: str,
        packed: PackedPool,
        ttl_seconds: float,
    ) -> None:
        """Keep a ready generation's *packed* pool for *ttl_seconds*."""
        key = _key("pool", pool_id, str(generation), model_revision)
        self._put(key, _pack_pool(packed), ttl_seconds)

    def get_state(self, pool_id: str) -> Pool | None:
        """Return the pool's last noted state, or None."""
        return self._get(_key("state", pool_id), _POOL.validate_json)

    def put_state(self, pool: Pool) -> None:
        """Note the pool's state for the searches that wait for it, for 5 minutes."""
        self._put(_key("state", pool.pool_id), _POOL.dump_json(pool), STATE_TTL_SECONDS)

    def get_bytes(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        """Return the bytes at hand, by image_id, in one round trip."""
        if not image_ids:
            return {}
        keys = [_key("bytes", image_id) for image_id in image_ids]
        nothing: list[bytes | None] = [None] * len(keys)
        values = self._ask(lambda: cast("list[bytes | None]", self._client.mget(keys)), nothing)
        return {
            image_id: data
            for image_id, data in zip(image_ids, values, strict=True)
            if data is not None
        }

    def put_bytes(self, image_id: str, data: bytes) -> None:
        """Keep an image's bytes for the embedder, 10 minutes."""
        self._put(_key("bytes", image_id), data, BYTES_TTL_SECONDS)

    def drop_bytes(self, image_ids: Sequence[str]) -> None:
        """Forget the bytes of images that are embedded."""
        keys = [_key("bytes", image_id) for image_id in image_ids]
        if keys:
            self._ask(lambda: self._client.unlink(*keys), None)

    def get_text(self, model_revision: str, text: str) -> TextEmbedding | None:
        """Return the embedding of a query seen in the last 24 h, or None."""
        return self._get(_key("text", model_revision, _hash(text)), _unpack_text)

    def put_text(self, model_revision: str, text: str, embedding: TextEmbedding) -> None:
        """Keep the embedding of a query for 24 h."""
        key = _key("text", model_revision, _hash(text))
        self._put(key, _pack_text(embedding), TEXT_TTL_SECONDS)

    def take_token(self, bucket: str, *, limit: int, period_seconds: float) -> float:
        """
        Take one token of *bucket*, which is also the key: `quota:pixabay`, `rate:{client}`.

        Returns:
            0.0 when a token was taken, else the seconds until there is one, by the server's
            clock. An unreachable cache grants every token.
        """
        if limit < 1 or period_seconds < 1e-6 * limit:
            raise Bug(
                "a bucket needs limit >= 1 and a period of a microsecond for each token,"
                f" got {limit} in {period_seconds} s"
            )
        interval = int(period_seconds * 1e6) // limit
        arguments = [interval, interval * limit]
        keys = [_key(bucket)]
        wait = self._ask(lambda: cast(int, self._take_token(keys=keys, args=arguments)), 0)
        return wait / 1e6

    def clear(self) -> None:
        """Forget everything."""
        self._ask(self._client.flushdb, None)

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        self._client.close()

    def _get(self, key: bytes, unpack: Callable[[bytes], _Answer]) -> _Answer | None:
        value = self._ask(lambda: cast("bytes | None", self._client.get(key)), None)
        if value is None:
            return None
        try:
            return unpack(value)
        except (_Damaged, ValidationError) as error:
            _logger.warning("ignored the cache's value of %r: %s", key, error)
            return None

    def _put(self, key: bytes, value: bytes, ttl_seconds: float) -> None:
        ttl_milliseconds = int(ttl_seconds * 1000)
        if ttl_milliseconds > 0:
            self._ask(lambda: self._client.set(key, value, px=ttl_milliseconds), None)

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


class _Damaged(Exception):
    """A value is not what this version writes."""


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
    twice at most. Nothing is waited for longer than *timeout_seconds*.

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


def embedded_client(max_bytes: int = EMBEDDED_BYTES) -> redis.Redis:
    """
    Return a client of a Redis of its own inside this process.

    Args:
        max_bytes: of all values; the least recently used ones go for a new one, as they do in a
            Memorystore that is full.
    """
    import fakeredis

    class EmbeddedRedis(fakeredis.FakeRedis):
        """A fakeredis that keeps neither what has expired nor more than *max_bytes*."""

        def __init__(self) -> None:
            super().__init__(server=fakeredis.FakeServer())
            self._sets = itertools.count()
            self._sizes = _Sizes(max_bytes)

        def get(self, name: Any) -> Any:
            self._sizes.touch(name)
            return super().get(name)

        def set(self, *args: Any, **options: Any) -> Any:
            if next(self._sets) % SETS_A_SWEEP == 0:
                self.dbsize()  # counting the keys makes fakeredis sweep out the expired ones
            answer = super().set(*args, **options)
            key, value = args
            if least_used := self._sizes.add(key, len(value)):
                super().unlink(*least_used)
            return answer

        def unlink(self, *names: Any) -> Any:
            self._sizes.drop(names)
            return super().unlink(*names)

    return EmbeddedRedis()


class _Sizes:
    """The bytes of the values of an embedded Redis, by key, the least recently used first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()

    def touch(self, key: bytes) -> None:
        """Note that *key* was asked for."""
        with self._lock:
            if key in self._sizes:
                self._sizes.move_to_end(key)

    def add(self, key: bytes, size: int) -> list[bytes]:
        """Note that *key* has a value of *size* bytes now; return the keys that must go for it."""
        with self._lock:
            self._bytes += size + _KEY_BYTES - self._sizes.pop(key, 0)
            self._sizes[key] = size + _KEY_BYTES
            gone = []
            while self._bytes > self._max_bytes:
                least_used, its_size = self._sizes.popitem(last=False)
                self._bytes -= its_size
                gone.append(least_used)
            return gone

    def drop(self, keys: Sequence[bytes]) -> None:
        """Note that *keys* have no value any more."""
        with self._lock:
            self._bytes -= sum(self._sizes.pop(key, 0) for key in keys)


def _key(*parts: str) -> bytes:
    # Any text makes a key, a lone surrogate too: a cache never raises.
    return ":".join(parts).encode("utf-8", "surrogatepass")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _sealed(content: bytes) -> bytes:
    return _SEAL.pack(_MAGIC, zlib.crc32(content)) + content


def _unsealed(value: bytes) -> memoryview:
    """Return what `_sealed` was given, or raise _Damaged."""
    if len(value) < _SEAL.size:
        raise _Damaged(f"{len(value)} bytes are too few")
    magic, checksum = _SEAL.unpack_from(value)
    if magic != _MAGIC:
        raise _Damaged(f"it begins with {magic!r}, not with {_MAGIC!r}")
    content = memoryview(value)[_SEAL.size :]
    if zlib.crc32(content) != checksum:
        raise _Damaged("its checksum is wrong")
    return content


def _pack_pool(packed: PackedPool) -> bytes:
    """Head, the images as JSON in zlib, then the (n, d) matrix in float16 little-endian."""
    # Images of a keyword share their words. Uncompressed, 200 of them outgrow 256 KiB, and Redis
    # takes 320 for them: its allocator has no size in between.
    metadata = zlib.compress(_IMAGES.dump_json(packed.images))
    matrix = packed.embeddings.astype("<f2")
    head = _POOL_HEAD.pack(len(metadata), *matrix.shape)
    return _sealed(head + metadata + matrix.tobytes())


def _unpack_pool(value: bytes) -> PackedPool:
    import numpy as np  # a function never unpacks, and need not wait for it

    content = _unsealed(value)
    if len(content) < _POOL_HEAD.size:
        raise _Damaged("it has no head")
    metadata_bytes, n, embedding_dim = _POOL_HEAD.unpack_from(content)
    start = _POOL_HEAD.size + metadata_bytes
    if len(content) != start + 2 * n * embedding_dim:
        raise _Damaged(f"{len(content)} bytes do not hold {n} rows of {embedding_dim}")
    images = _IMAGES.validate_json(_decompressed(content[_POOL_HEAD.size : start]))
    if len(images) != n:
        raise _Damaged(f"it has {len(images)} images and {n} embeddings")
    matrix = np.frombuffer(content[start:], "<f2").reshape(n, embedding_dim)
    return PackedPool(images, matrix.astype(np.float32))


def _decompressed(metadata: memoryview) -> bytes:
    try:
        return zlib.decompress(metadata)
    except zlib.error as error:
        raise _Damaged(f"its metadata is not zlib: {error}") from error


def _pack_text(embedding: TextEmbedding) -> bytes:
    """One byte, 1 when the query was cut, then the vector in float32 little-endian."""
    return _sealed(bytes([embedding.truncated]) + embedding.vector.astype("<f4").tobytes())


def _unpack_text(value: bytes) -> TextEmbedding:
    import numpy as np

    content = _unsealed(value)
    if len(content) % 4 != 1:
        raise _Damaged(f"{len(content)} bytes are no flag and vector")
    vector = np.frombuffer(content[1:], "<f4").astype(np.float32)
    return TextEmbedding(vector, truncated=bool(content[0]))
