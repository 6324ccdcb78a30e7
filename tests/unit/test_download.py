"""The guarded downloader: which URLs, which answers, how often; on real loopback sockets."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from imagesearch.clock import SystemClock
from imagesearch.domain.errors import RejectedImage, Unavailable
from imagesearch.sources.download import BACKOFF_SECONDS, Downloader
from imagesearch.sources.exchange import Limits
from imagesearch.sources.pixabay import PIXABAY
from tests.stub_http import Request, Script, StubServer, reply

JPEG = b"\xff\xd8\xff\xe0 and so on"
PNG = b"\x89PNG\r\n\x1a\n and so on"
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 and so on"
DOWNLOADER = Downloader(PIXABAY.hosts, clock=SystemClock())


@dataclass
class PatientClock:
    """A clock whose sleeps are written down and take no time."""

    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@contextmanager
def served(script: Script) -> Iterator[tuple[StubServer, Downloader, PatientClock]]:
    """Yield a stub that runs *script*, a downloader that may ask it, and its clock."""
    clock = PatientClock()
    with StubServer(script) as server:
        yield (
            server,
            Downloader(
                (), allowed_origin=server.origin, clock=clock, limits=Limits(max_bytes=1000)
            ),
            clock,
        )


def in_turn(*answers: bytes) -> Script:
    """Return a script that gives *answers* one after the other."""
    left = iter(answers)
    return lambda _: next(left)


@pytest.mark.parametrize("image", [JPEG, PNG, WEBP], ids=["jpeg", "png", "webp"])
def test_an_image_comes_back_byte_for_byte(image: bytes) -> None:
    with served(lambda _: reply(200, image)) as (server, downloader, _):
        assert downloader.get(server.origin + "/get/a_640.jpg?x=1") == image
    assert server.requests[0].target == "/get/a_640.jpg?x=1"


@pytest.mark.parametrize(
    "url",
    [
        "https://pixabay.com/get/a_640.jpg",
        "https://cdn.pixabay.com/photo/a_150.jpg",
        "https://a.b.pixabay.com/x",
        f"https://{'a' * 63}.pixabay.com/x",
        "https://0.a--b.pixabay.com/x",
        "HTTPS://PIXABAY.COM/get/a_640.jpg",
        "https://pixabay.com:443/get/a_640.jpg",
        "https://pixabay.com/get/a%20b.jpg?x=https://evil.com/",
    ],
)
def test_a_url_of_pixabay_may_be_downloaded(url: str) -> None:
    DOWNLOADER.check(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://pixabay.com/get/a.jpg", "https"),
        ("ftp://pixabay.com/get/a.jpg", "https"),
        ("file:///etc/passwd", "https"),
        ("//pixabay.com/get/a.jpg", "https"),
        ("pixabay.com/get/a.jpg", "https"),
        ("", "https"),
        ("https://pixabay.com.evil.com/a.jpg", "host"),
        ("https://evilpixabay.com/a.jpg", "host"),
        ("https://evil.com/pixabay.com/a.jpg", "host"),
        ("https://evil.com#pixabay.com", "host"),
        ("https://evil.com?.pixabay.com", "host"),
        ("https://evil.com\\.pixabay.com/a.jpg", "host"),
        ("https://evil.com\\@pixabay.com/a.jpg", "host"),
        ("https://pixabay.com@evil.com/", "user"),
        ("https://user:word@pixabay.com/", "user"),
        ("https://pixabay.com:8443/a.jpg", "port"),
        ("https://pixabay.com:80/a.jpg", "port"),
        ("https://pixabay.com./a.jpg", "host"),
        ("https://.pixabay.com./a.jpg", "host"),
        ("https://127.0.0.1/a.jpg", "host"),
        ("https://2130706433/a.jpg", "host"),
        ("https://[::1]/a.jpg", "host"),
        ("https://[::ffff:127.0.0.1]/a.jpg", "host"),
        ("https://localhost/a.jpg", "host"),
        ("https:///a.jpg", "host"),
        ("https://.pixabay.com/1.jpg", "labels of 1 to 63 letters"),
        ("https://a..pixabay.com/1.jpg", "labels"),
        ("https://-a.pixabay.com/1.jpg", "labels"),
        ("https://a-.pixabay.com/1.jpg", "labels"),
        ("https://a_b.pixabay.com/1.jpg", "labels"),
        (f"https://{'a' * 64}.pixabay.com/1.jpg", "labels"),
        (f"https://{'a.' * 122}pixabay.com/1.jpg", "253 characters in all"),
        ("https://[::1/a.jpg", "cannot be read"),
        ("https://pixabay.com:99999/a.jpg", "cannot be read"),
        ("https://pixabay.com:x/a.jpg", "cannot be read"),
        ("https://pixabаy.com/a.jpg", "host|cannot be read"),  # a Cyrillic a
    ],
)
def test_any_other_url_is_rejected(url: str, reason: str) -> None:
    with pytest.raises(RejectedImage, match=reason):
        DOWNLOADER.get(url)


def test_loopback_is_refused_unless_it_is_the_allowed_origin() -> None:
    with StubServer(lambda _: reply(200, JPEG)) as server:
        with pytest.raises(RejectedImage, match="https"):
            DOWNLOADER.get(server.origin + "/a.jpg")
        other = Downloader(
            PIXABAY.hosts, clock=SystemClock(), allowed_origin=f"http://127.0.0.1:{server.port + 1}"
        )
        with pytest.raises(RejectedImage, match="https"):
            other.get(server.origin + "/a.jpg")
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1:{port}/", "http://localhost:{port}/", "http://u@127.0.0.1:{port}/"],
)
def test_the_allowed_origin_is_exact(url: str) -> None:
    with (
        served(lambda _: reply(200, JPEG)) as (server, downloader, _),
        pytest.raises(RejectedImage),
    ):
        downloader.get(url.format(port=server.port))
    assert server.connections == 0


def test_an_allowed_name_that_leads_to_a_private_address_is_not_connected_to() -> None:
    clock = PatientClock()
    with pytest.raises(Unavailable, match="is not a public address"):
        Downloader(("localhost",), clock=clock).get("https://localhost/a.jpg")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_rules_is_followed(status: int) -> None:
    answers = in_turn(reply(status, Location="../b.jpg?c=d"), reply(200, JPEG))
    with served(answers) as (server, downloader, _):
        assert downloader.get(server.origin + "/get/a.jpg") == JPEG
    assert [request.target for request in server.requests] == ["/get/a.jpg", "/b.jpg?c=d"]


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.com/a.jpg",
        "http://pixabay.com/a.jpg",
        "//evil.com/a.jpg",
        "http://127.0.0.1:1/a.jpg",
        "https://169.254.169.254/computeMetadata/v1/",
        "http://[::1/a.jpg",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_out_of_the_rules_is_rejected(location: str) -> None:
    with (
        served(lambda _: reply(302, Location=location)) as (server, downloader, _),
        pytest.raises(RejectedImage),
    ):
        downloader.get(server.origin + "/a.jpg")
    assert len(server.requests) == 1


def test_three_redirects_are_followed_and_a_fourth_is_not() -> None:
    onward = reply(302, Location="/next")
    with served(in_turn(onward, onward, onward, reply(200, JPEG))) as (server, downloader, _):
        assert downloader.get(server.origin) == JPEG
    with (
        served(lambda _: onward) as (server, downloader, _),
        pytest.raises(RejectedImage, match="more than 3 redirects"),
    ):
        downloader.get(server.origin)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(404, "Not found"), "answered 404"),
        (reply(403, "<html>no</html>"), "answered 403"),
        (reply(410), "answered 410"),
        (reply(400, "This URL is invalid or has expired."), "invalid or has expired"),
        (reply(404, "This URL is invalid or has expired."), "invalid or has expired"),
        (reply(200, "This URL is invalid or has expired."), "invalid or has expired"),
        (reply(200, "<!DOCTYPE html><html>"), "begins with b'<!DOCTYPE html>"),
        (reply(200, "<html>", Content_Type="image/jpeg"), "no image of a format that is taken"),
        (reply(200, b"GIF89a"), "no image of a format that is taken"),
        (reply(200, b"RIFF\x10\x00\x00\x00WAVE"), "no image of a format that is taken"),
        (reply(200, b"\xff\xd8"), "no image of a format that is taken"),
        (reply(200, b""), "no image of a format that is taken"),
        (reply(206, JPEG), "answered 206"),
        (reply(304), "answered 304"),
        (reply(302), "answered 302"),
        (reply(200, JPEG + b"x" * 1000), "larger than 1000 bytes"),
        (reply(200, JPEG, Content_Length="1001"), "larger than 1000 bytes"),
    ],
)
def test_an_image_that_cannot_be_had_is_rejected_at_once(answer: bytes, reason: str) -> None:
    with (
        served(lambda _: answer) as (server, downloader, clock),
        pytest.raises(RejectedImage, match=reason),
    ):
        downloader.get(server.origin + "/a.jpg")
    assert len(server.requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_and_then_unavailable(status: int) -> None:
    with (
        served(lambda _: reply(status, "later")) as (server, downloader, clock),
        pytest.raises(Unavailable, match=f"answered {status}"),
    ):
        downloader.get(server.origin + "/a.jpg")
    assert len(server.requests) == 3
    assert clock.slept == list(BACKOFF_SECONDS)


def test_an_attempt_after_a_failure_may_succeed() -> None:
    def script(request: Request) -> bytes:
        if len(server.requests) == 1:
            return b""  # closes the connection
        return reply(503) if len(server.requests) == 2 else reply(200, JPEG)

    with served(script) as (server, downloader, clock):
        assert downloader.get(server.origin + "/a.jpg") == JPEG
    assert clock.slept == list(BACKOFF_SECONDS)


def test_a_refused_connection_is_unavailable() -> None:
    with served(lambda _: reply(200)) as (server, downloader, clock):
        pass
    with pytest.raises(Unavailable, match="no connection"):
        downloader.get(server.origin + "/a.jpg")
    assert clock.slept == list(BACKOFF_SECONDS)


def test_the_total_limit_holds_for_all_attempts_together() -> None:
    """With the default read limit of seconds, nothing but the total limit can end this."""

    def slowly(request: Request) -> bytes:
        return server.trickle(request, reply(200, JPEG + b"x" * 200), seconds=0.05)

    clock = PatientClock()
    with StubServer(slowly) as server:
        downloader = Downloader(
            PIXABAY.hosts,
            allowed_origin=server.origin,
            clock=clock,
            limits=Limits(total_seconds=0.4),
        )
        with pytest.raises(Unavailable, match="time limit"):
            downloader.get(server.origin + "/a.jpg")
    assert len(server.requests) == 1
    assert clock.slept == []


def test_a_pool_of_images_is_downloaded_over_as_many_kept_connections_as_there_may_be() -> None:
    """A new connection costs a round trip, over TLS two or three: none is made twice."""

    def script(_: Request) -> bytes:
        server.closing.wait(0.02)
        return reply(200, JPEG)

    with StubServer(script) as server, ThreadPoolExecutor(32) as threads:
        downloader = Downloader(
            PIXABAY.hosts, clock=SystemClock(), allowed_origin=server.origin, connections=16
        )
        found = list(threads.map(downloader.get, [f"{server.origin}/{i}.jpg" for i in range(200)]))
        downloader.close()
    assert found == [JPEG] * 200
    assert server.connections == 16
