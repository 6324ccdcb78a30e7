"""The bucket's images as the local cloud edition's page passes them on."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import pytest
from starlette.testclient import TestClient

from imagesearch.local.emulated.images_site import create_images_site
from tests.stub_http import Request, Script, StubServer, reply


def asked(script: Script, encoded_name: str) -> tuple[httpx.Response, list[str]]:
    """Ask the site for an image; return its answer, and what it asked the bucket for."""

    async def get(bucket_url: str) -> httpx.Response:
        site = create_images_site(bucket_url)
        transport = httpx.ASGITransport(site)
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.get(f"/images/{encoded_name}")

    with StubServer(script) as server:
        answer = asyncio.run(get(f"{server.origin}/bucket"))
    return answer, [request.target for request in server.requests]


def test_an_image_of_the_bucket_is_passed_on_to_any_origin() -> None:
    image = reply(200, b"\xff\xd8\xff", Content_Type="image/jpeg")
    answer, targets = asked(lambda _: image, "pixabay-1_640.jpg")
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8\xff")
    assert answer.headers["content-type"] == "image/jpeg"
    assert targets == ["/bucket/pixabay-1_640.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "..", ".", ".hidden.tmp", "a?b=c", "?prefix=x", "a#b", "a b.jpg", "a\r\nHost: evil.com",
        "a\x00.jpg", "ä.jpg", "a/../../other/b.jpg", "../other/b.jpg", "..\\b.jpg", "%2e%2e",
        "%2e%2e%2fother", "a%0d%0ab", "@evil.com", ":80", "a;b", "a" * 201,
    ],
)  # fmt: skip
def test_a_name_that_no_image_has_is_not_found_and_asked_of_nobody(name: str) -> None:
    answer, targets = asked(
        lambda _: reply(200, b"secret"), quote(name, safe="").replace(".", "%2E")
    )
    assert answer.status_code == 404
    assert targets == []


@pytest.mark.parametrize(
    ("upstream", "status"),
    [
        (reply(404, "NoSuchKey: imagesearch-images"), 404),
        (reply(500, "Traceback"), 503),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 503),
        (b"nonsense\r\n\r\n", 503),
        (b"", 503),
    ],
)
def test_an_emulator_that_fails_is_told_in_our_own_words(upstream: bytes, status: int) -> None:
    def script(request: Request) -> bytes:
        request.connection.sendall(upstream)
        return b""

    answer, _ = asked(script, "pixabay-1.jpg")
    assert answer.status_code == status
    message = answer.json()["error"]["message"]
    assert message in ("Not Found", "the storage emulator does not answer")


@pytest.mark.parametrize(
    ("method", "header", "status"),
    [
        ("GET", "content-type", 200),
        ("HEAD", "content-type", 200),
        ("PUT", "content-type", 400),
        ("DELETE", "content-type", 400),
        ("GET", "traceparent", 400),
    ],
)
def test_a_page_elsewhere_may_read_an_image_and_no_more(
    method: str, header: str, status: int
) -> None:
    """As the bucket has it: what it refuses would work here alone."""
    site = TestClient(create_images_site("http://127.0.0.1:9/bucket"))
    preflight = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": header,
    }
    answer = site.options("/images/x.jpg", headers=preflight)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")


def test_what_the_site_does_not_have_is_told_in_json_too() -> None:
    site = TestClient(create_images_site("http://127.0.0.1:9/bucket"))
    for path in ("/nothing", "/images/x/y"):
        assert site.get(path).json()["error"]["code"] == "not_found"
