"""What only the Redis cache does: its keys and times to live, damage, and a server that is down."""

from __future__ import annotations

import logging
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from imagesearch.adapters.caches.memorystore import Memorystore, connect
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Credit, Image, PackedPool
from imagesearch.domain.pools import Generation, Pool, PoolState, SourceOptions
from imagesearch.ports import TextEmbedding
from imagesearch.usecases.cache_slots import BYTES, POOL, STATE, TEXT
from tests.emulators import free_port, running

NOW = datetime(2026, 3, 4, tzinfo=UTC)
MODEL = "model@1"
IMAGE = Image("pixabay-1", "pixabay-1.jpg", "https://x/1", 640, 427, Credit("u", "Pixabay"), ("a",))
PACKED = PackedPool((IMAGE,), np.array([[0.6, 0.8]], np.float32))
POOL_STATE = Pool("id", "horse", SourceOptions(), Generation(1, PoolState.REQUESTED, NOW))
TEXT_EMBEDDING = TextEmbedding(np.array([0.6, -0.8], np.float32), truncated=True)
# sha256 of "a red circle", its first 32 digits, from sha256sum
TEXT_KEY = "text:model@1:a1e4a280d27cad5b1aa05b230031f649"


def fill(client: redis.Redis) -> Memorystore:
    """Put one value of every kind."""
    cache = Memorystore(client)
    cache.put(POOL, ("id", 1, MODEL), PACKED, ttl_seconds=3600.0)
    cache.put(STATE, POOL_STATE.pool_id, POOL_STATE)
    cache.put(BYTES, "pixabay-1", b"jpeg")
    cache.put(TEXT, (MODEL, "a red circle"), TEXT_EMBEDDING)
    cache.take_token("quota:pixabay", limit=100, period_seconds=60.0)
    cache.take_token("rate:1.2.3.4", limit=600, period_seconds=60.0)
    return cache


def test_the_keys_and_their_times_to_live_are_those_of_the_design(
    redis_client: redis.Redis,
) -> None:
    fill(redis_client)
    ttl_seconds = {
        "pool:id:1:model@1": 3600,
        "state:id": 300,
        "bytes:pixabay-1": 600,
        TEXT_KEY: 24 * 3600,
        "quota:pixabay": 60,
        "rate:1.2.3.4": 60,
    }
    client: Any = redis_client
    assert {key.decode() for key in client.scan_iter()} == set(ttl_seconds)
    for key, seconds in ttl_seconds.items():
        assert seconds * 1000 - 5000 < client.pttl(key) <= seconds * 1000


def test_the_bytes_in_redis_are_those_of_the_design(redis_client: redis.Redis) -> None:
    fill(redis_client)
    client: Any = redis_client
    metadata = (
        b'[{"image_id":"pixabay-1","object_name":"pixabay-1.jpg","page_url":"https://x/1",'
        b'"width":640,"height":427,"credit":{"user":"u","source":"Pixabay",'
        b'"licence":"","licence_url":""},"tags":["a"],'
        b'"pixels":null,"year":0,"month":0,"collected":null}]'
    )
    matrix = np.array([0.6, 0.8], "<f2").tobytes()
    value = client.get("pool:id:1:model@1")
    head = struct.pack("<III", len(value) - 8 - 12 - 4, 1, 2)  # seal, head, matrix
    assert zlib.decompress(value[8 + 12 : -4]) == metadata
    assert value == sealed(head + value[8 + 12 : -4] + matrix)
    assert client.get(TEXT_KEY) == sealed(b"\x01" + struct.pack("<2f", 0.6, -0.8))
    assert client.get("bytes:pixabay-1") == b"jpeg"
    assert client.get("state:id").startswith(b'{"pool_id":"id","keyword":"horse","options":{')
    server_seconds = client.time()[0]
    full_at_seconds = int(client.get("quota:pixabay")) / 1e6
    assert 0 <= full_at_seconds - server_seconds <= 1.7  # one of 100 tokens is 0.6 s


def sealed(content: bytes, magic: bytes = b"isc1") -> bytes:
    return magic + struct.pack("<I", zlib.crc32(content)) + content


def pool_content(metadata: bytes, n: int, embedding_dim: int) -> bytes:
    compressed = zlib.compress(metadata)
    head = struct.pack("<III", len(compressed), n, embedding_dim)
    return head + compressed + bytes(2 * n * embedding_dim)


def damages(value: bytes) -> Iterator[bytes]:
    """Every truncation, a flipped bit in every byte, and values that only look right."""
    yield from (value[:length] for length in range(len(value)))
    for position in range(len(value)):
        yield value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]
    yield value + b"\x00"
    yield sealed(value[8:], b"isc2")
    yield b"garbage" * 1000


def test_a_damaged_packed_pool_is_ignored(
    redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = redis_client
    cache = fill(client)
    for damaged in damages(client.get("pool:id:1:model@1")):
        caplog.clear()
        client.set("pool:id:1:model@1", damaged)
        assert cache.get(POOL, ("id", 1, MODEL)) is None
        assert "pool:id:1:model@1" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        pool_content(b"[]", 1, 0),
        pool_content(b"{}", 0, 7),
        pool_content(b"", 0, 7),
        struct.pack("<III", 0, 0, 7),
        struct.pack("<III", 2, 0, 7) + b"[]",
        struct.pack("<III", 2**32 - 1, 2**32 - 1, 2**32 - 1),
        pool_content(b'["\xff"] ', 0, 7),
        pool_content(b'[{"a": 12}]', 1, 1),
    ],
)
def test_a_well_sealed_pool_that_makes_no_sense_is_ignored(
    redis_client: redis.Redis, content: bytes
) -> None:
    client: Any = redis_client
    client.set("pool:id:1:model@1", sealed(content))
    assert Memorystore(client).get(POOL, ("id", 1, MODEL)) is None


def test_a_damaged_text_is_ignored(redis_client: redis.Redis) -> None:
    client: Any = redis_client
    cache = fill(client)
    for damaged in [*damages(client.get(TEXT_KEY)), sealed(b""), sealed(b"\x00\x01")]:
        client.set(TEXT_KEY, damaged)
        assert cache.get(TEXT, (MODEL, "a red circle")) is None


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b"\xff", b'{"pool_id": 1', b"[" * 10_000])
def test_a_damaged_state_is_ignored(
    redis_client: redis.Redis, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = redis_client
    client.set("state:id", value)
    assert Memorystore(client).get(STATE, "id") is None
    assert "state:id" in caplog.text


def test_a_state_with_a_key_of_a_later_version_is_read(redis_client: redis.Redis) -> None:
    client: Any = redis_client
    cache = fill(client)
    client.set("state:id", b'{"later":1,' + client.get("state:id")[1:])
    assert cache.get(STATE, "id") == POOL_STATE


def test_a_bucket_with_garbage_in_it_is_a_full_one(redis_client: redis.Redis) -> None:
    redis_client.set("quota:pixabay", b"garbage")
    cache = Memorystore(redis_client)
    assert cache.take_token("quota:pixabay", limit=1, period_seconds=60.0) == 0.0
    assert cache.take_token("quota:pixabay", limit=1, period_seconds=60.0) > 59.0


@pytest.mark.parametrize("ahead_seconds", [61, 3600, 10 * 365 * 86_400])
def test_a_bucket_from_before_the_clock_stepped_back_is_a_full_one(
    redis_client: redis.Redis, ahead_seconds: int
) -> None:
    """Else nobody would get a token until the clock has caught up."""
    cache, client = Memorystore(redis_client), cast(Any, redis_client)
    server_seconds = client.time()[0]
    client.set("rate:1.2.3.4", f"{(server_seconds + ahead_seconds) * 1_000_000}")
    waits = [cache.take_token("rate:1.2.3.4", limit=3, period_seconds=60.0) for _ in range(4)]
    assert waits[:3] == [0.0] * 3
    assert 19.0 < waits[3] <= 20.0


def test_a_key_of_another_type_looks_like_an_empty_cache(redis_client: redis.Redis) -> None:
    for key in ["pool:id:1:model@1", "state:id", "bytes:pixabay-1", TEXT_KEY, "quota:pixabay"]:
        redis_client.lpush(key, "x")
    assert_empty(Memorystore(redis_client))
    assert_counts_alone(Memorystore(redis_client))


def assert_empty(cache: Memorystore) -> None:
    assert cache.get(POOL, ("id", 1, MODEL)) is None
    assert cache.get(STATE, "id") is None
    assert cache.get_many(BYTES, ["pixabay-1"]) == {}
    assert cache.get(TEXT, (MODEL, "a red circle")) is None


def assert_counts_alone(cache: Memorystore) -> None:
    """A limit holds in the process while the server is away: it lifts none."""
    for bucket in ("new:203.0.113.7", "rate:203.0.113.7"):
        waits = [cache.take_token(bucket, limit=2, period_seconds=60.0) for _ in range(3)]
        assert waits[:2] == [0.0, 0.0]
        assert waits[2] > 29.0


@pytest.fixture
def impatient() -> Iterator[Callable[[str], redis.Redis]]:
    """Make clients of a socket that give up after 50 ms and do not try again."""
    clients: list[redis.Redis] = []

    def connect(path: str) -> redis.Redis:
        clients.append(
            redis.Redis(unix_socket_path=path, socket_timeout=0.05, retry=Retry(NoBackoff(), 0))
        )
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def test_a_server_that_is_not_there_looks_like_an_empty_cache(
    impatient: Callable[[str], redis.Redis], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = fill(impatient(str(tmp_path / "no.sock")))
    for _ in range(20):
        assert_empty(cache)
    assert_counts_alone(cache)
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert "the cache does not answer" in caplog.text


@pytest.mark.parametrize(
    "answer", [b"", b"-ERR broken\r\n", b"HTTP/1.1 400 Bad Request\r\n", b"$5\r\nab"]
)
def test_a_server_that_hangs_or_talks_nonsense_looks_like_an_empty_cache(
    impatient: Callable[[str], redis.Redis], tmp_path: Path, answer: bytes
) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        server = threading.Thread(target=_answer_all, args=(listener, answer))
        server.start()
        try:
            cache = Memorystore(impatient(path))
            assert_empty(cache)
            assert_counts_alone(cache)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


def _answer_all(listener: socket.socket, answer: bytes) -> None:
    accepted: list[socket.socket] = []
    try:
        while True:
            accepted.append(listener.accept()[0])
            accepted[-1].sendall(answer)
    except OSError:  # the listener was shut down
        for one in accepted:
            one.close()


# A tag list of Pixabay's has some 3 to 20 of such words; the image's page is named by the first.
TAGS = (
    "horse pony mare stallion meadow flowers mountain landscape sunset nature animal wildlife "
    "grass summer field equine gallop pasture mammal countryside"
).split()


def pixabay_image(number: int, chance: random.Random) -> Image:
    tags = tuple(chance.sample(TAGS, 20))
    number += 7_368_850
    page_url = f"https://pixabay.com/photos/{'-'.join(tags[:4])}-{number}/"
    name = f"pixabay-{number}"
    credit = Credit(f"photographer{chance.randrange(10_000)}", "Pixabay")
    return Image(name, f"{name}.jpg", page_url, 640, 427, credit, tags)


def test_a_pool_of_200_images_takes_at_most_1600_bytes_an_image(
    redis_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ViT-B/32 size, with as many tags as Pixabay gives, by the server's own count."""
    rows = np.random.default_rng(1).standard_normal((200, 512), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    chance = random.Random(1)
    images = tuple(pixabay_image(number, chance) for number in range(200))
    with closing(redis.Redis(unix_socket_path=redis_server)) as real:
        client: Any = real
        client.flushall()
        model = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K@8a5c2f6d/1"
        cache = Memorystore(client)
        cache.put(POOL, ("0" * 32, 1, model), PackedPool(images, rows), ttl_seconds=3600.0)
        (key,) = client.keys("pool:*")
        used_bytes, value_bytes = client.memory_usage(key, samples=0), client.strlen(key)
        found = cache.get(POOL, ("0" * 32, 1, model))
    assert found is not None
    assert found.images == images
    with capsys.disabled():
        print(f"\nMEMORY USAGE of 200 images: {used_bytes} bytes, {used_bytes / 200:.0f} an image")
        print(f"of it the value: {value_bytes} bytes, {value_bytes / 200:.0f} an image")
    assert used_bytes <= 1600 * 200


# What `connect` makes of a server on a TCP port.

Start = Callable[..., AbstractContextManager["subprocess.Popen[bytes]"]]


@pytest.fixture
def start(redis_server: str) -> Start:
    """Start a redis-server of the test's own on a port, with more options of its command line."""
    program = str(shutil.which("redis-server"))

    @contextmanager
    def start_one(port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", *options]
        with running(command, port) as process:
            yield process
            process.send_signal(signal.SIGCONT)  # a stopped process would not end

    return start_one


def assert_works(cache: Memorystore) -> None:
    cache.put(STATE, POOL_STATE.pool_id, POOL_STATE)
    assert cache.get(STATE, "id") == POOL_STATE


def test_the_auth_string_opens_a_server_that_asks_for_it(start: Start) -> None:
    port = free_port()
    with (
        start(port, "--requirepass", "s3cret"),
        closing(connect("127.0.0.1", port, auth_string="s3cret")) as client,
    ):
        assert_works(Memorystore(client))


@pytest.mark.parametrize("auth_string", [None, "", "wrong"])
def test_without_the_auth_string_the_cache_is_empty_and_that_is_logged(
    start: Start, auth_string: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with (
        start(port, "--requirepass", "s3cret"),
        closing(connect("127.0.0.1", port, auth_string=auth_string)) as client,
    ):
        assert_empty(fill(client))
    assert len(caplog.records) == 1
    assert "s3cret" not in caplog.text


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def tls_server(start: Start, authority: trustme.CA, folder: Path) -> Iterator[int]:
    """Yield the port of a server whose certificate does not hold its address: Memorystore's."""
    certificate = authority.issue_cert("10.1.2.3")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    for kind, name in {"cert": "cert.pem", "key": "key.pem", "ca-cert": "ca.pem"}.items():
        options += [f"--tls-{kind}-file", f"{folder}/{name}"]
    with start(port, *options, "--port", "0"):  # the later port wins: no plain one
        yield port


def test_tls_is_spoken_with_a_server_of_the_given_authorities(
    start: Start, authority: trustme.CA, tmp_path: Path
) -> None:
    both = trustme.CA().cert_pem.bytes().decode() + authority.cert_pem.bytes().decode()
    with (
        tls_server(start, authority, tmp_path) as port,
        closing(connect("127.0.0.1", port, server_ca=both)) as client,
    ):
        assert_works(Memorystore(client))


def test_a_server_of_another_authority_is_not_trusted_even_if_the_system_does(
    start: Start,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    with tls_server(start, authority, tmp_path) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert ssl.create_default_context().get_ca_certs()  # the system's way to trust it
        with closing(connect("127.0.0.1", port, server_ca=other)) as client:
            assert_empty(fill(client))
    assert "certificate verify failed" in caplog.text


def test_a_client_without_tls_finds_a_cache_with_tls_empty(
    start: Start, authority: trustme.CA, tmp_path: Path
) -> None:
    with (
        tls_server(start, authority, tmp_path) as port,
        closing(connect("127.0.0.1", port)) as client,
    ):
        assert_empty(fill(client))


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_an_authority_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="server_ca must be certificates in PEM") as caught:
        connect("127.0.0.1", server_ca=text)
    assert caught.value.field == "server_ca"


def test_a_closed_cache_has_no_connection_left_and_can_be_used_again(start: Start) -> None:
    port = free_port()
    with start(port), redis.Redis(port=port) as other:
        cache = Memorystore(connect("127.0.0.1", port))
        for _ in range(2):
            assert_works(cache)
            cache.close()
            deadline = time.monotonic() + 5
            while len(other.client_list()) > 1:  # the server hears of it a moment later
                assert time.monotonic() < deadline
                time.sleep(0.005)


def seconds_of(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def test_a_dead_server_costs_milliseconds_and_is_used_again_when_it_is_back(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    with closing(connect("127.0.0.1", port)) as client:
        cache = Memorystore(client)
        with start(port):
            assert_works(cache)
        assert seconds_of(lambda: assert_empty(cache)) < 0.2
        with start(port):
            assert cache.get(STATE, "id") is None  # what was kept is gone
            assert_works(cache)
    messages = [record.getMessage()[:23] for record in caplog.records]
    assert messages == ["the cache does not answ", "the cache answers again"]


def test_a_server_that_hangs_is_waited_for_once_in_a_second(start: Start) -> None:
    port = free_port()
    with start(port) as process, closing(connect("127.0.0.1", port)) as client:
        cache = fill(client)
        process.send_signal(signal.SIGSTOP)
        assert 0.2 < seconds_of(lambda: assert_empty(cache)) < 0.9
        assert seconds_of(lambda: assert_empty(cache)) < 0.2
        process.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        assert cache.get(STATE, "id") == POOL_STATE


def test_an_address_that_does_not_answer_is_waited_for_once_in_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as held:
        address = full.getsockname()
        for _ in range(2):  # the queue of connections is full, so the next is not answered
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        client = held.enter_context(closing(connect(*address)))
        assert 0.2 < seconds_of(lambda: assert_empty(Memorystore(client))) < 0.9


def test_a_connection_that_broke_while_it_was_idle_is_replaced(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with start(port), closing(connect("127.0.0.1", port)) as client:
        cache = fill(client)
        with redis.Redis(port=port) as other:
            assert other.client_kill_filter(_type="normal", skipme=True) == 1
        assert cache.get(STATE, "id") == POOL_STATE
    assert caplog.records == []


def test_a_connection_that_breaks_during_a_command_is_replaced(start: Start) -> None:
    port = free_port()
    with (
        start(port),
        closing(connect("127.0.0.1", port, timeout_seconds=5.0)) as client,
        redis.Redis(port=port) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        answer = threads.submit(client.blpop, ["list"], 4)
        while "blpop" not in [one["cmd"] for one in other.client_list()]:
            time.sleep(0.01)
        assert other.client_kill_filter(_type="normal", skipme=True) == 1
        other.rpush("list", "value")
        assert answer.result(timeout=5) == (b"list", b"value")


def test_an_incident_is_logged_when_it_begins_and_when_it_ends(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    with closing(connect("127.0.0.1", port)) as client:
        cache = Memorystore(client)
        for _ in range(3):
            with start(port):
                assert_works(cache)
                assert_works(cache)
            for _ in range(2):
                assert cache.get(STATE, "id") is None
    messages = [record.getMessage() for record in caplog.records]
    # The later incidents came within the minute of the first.
    assert [message[:27] for message in messages] == [
        "the cache does not answer, ",
        "the cache answers again",
    ]
