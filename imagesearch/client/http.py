"""The API of a server elsewhere, over HTTP: bounded in size, time and redirects.

What a server elsewhere answers is nobody's word, and neither are the URLs that it writes.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import math
import re
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from imagesearch.client.errors import SearchFailed, Unreached
from imagesearch.client.searching import LOGIN, Ask, Reply
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.printable import printable
from imagesearch.setting_types import http_url

MAX_ANSWER_BYTES = 10_000_000  # one of 200 results has some 100 kB
MAX_IMAGE_BYTES = 50_000_000
MAX_REDIRECTS = 5
TIME_LIMITS_SECONDS = (5, 100)  # to connect; of silence: a `wait`, and a scorer that starts
EXCHANGE_SECONDS = 120.0  # from a question to the end of its answer, however busily that comes
LEAST_RETRY_SECONDS, MOST_RETRY_SECONDS = 0.5, 86_400.0  # whatever a server says
_CHUNK_BYTES = 65_536
_KEEPING_METHOD = (307, 308)  # of redirects
# Compressed, a few bytes could be very many.
_HEADERS = {"User-Agent": "imagesearch", "Accept-Encoding": "identity"}


def server_url(text: str, name: str = "url") -> str:
    """Return the URL of a server as it is used, or raise InvalidRequest, which calls it *name*."""
    try:
        return http_url(text.strip())
    except ValueError as error:
        raise InvalidRequest(f"{name} {error}, got {text[:200]!r}", field="url") from None


def _addresses(host: str) -> list[str]:
    """Return the addresses of *host* as the system knows them; none if it knows none."""
    try:
        return [str(address[-1][0]) for address in socket.getaddrinfo(host, None)]
    except (OSError, ValueError):  # ValueError: no name could be so
        return []


class HttpServer:
    """
    The API at a URL, which is refused with InvalidRequest where it is none.

    Args:
        api_key: sent to this server alone.
        exchange_seconds: for one answer with its redirects, then it is given up.
        addresses: of the host of that name.

    Attributes:
        schemes: of the URLs that may be followed in its answers.
    """

    schemes: tuple[str, ...] = ("http", "https")

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        exchange_seconds: float = EXCHANGE_SECONDS,
        addresses: Callable[[str], list[str]] = _addresses,
    ) -> None:
        self._url = server_url(url)
        self._browser = Browser(self._url, exchange_seconds, addresses, api_key)

    def ask(self, ask: Ask) -> Reply:
        """Return the reply, whatever its status; raises SearchFailed, Unreached to try again."""
        url = self._url + ask.path
        response, body = self._browser.get(url, MAX_ANSWER_BYTES, ask.params, form_of(ask.pictures))
        reply = reply_of(response.status_code, body, response.headers.get("Retry-After"))
        if reply.body is None and urlsplit(response.url).netloc != urlsplit(url).netloc:
            raise SearchFailed(f"{url} leads to {_shown(response.url)}: {LOGIN}", "login")
        if reply.status in (200, 202) and reply.body is None and body.strip() != b"null":
            raise SearchFailed(
                f"{url} did not answer in JSON: is it an imagesearch? Or is it behind a login?",
                status=reply.status,
            )
        return reply

    def image(self, url: str) -> bytes:
        """Return the bytes at *url*; raises SearchFailed."""
        return self._browser.image(url)


@dataclass(frozen=True)
class Form:
    """What is asked with: a GET has no body."""

    method: str = "GET"
    body: bytes | None = None
    content_type: str | None = None


def form_of(pictures: Mapping[str, bytes]) -> Form:
    """Return how files travel, by their names."""
    if not pictures:
        return Form()
    files = {name: (name, data) for name, data in pictures.items()}
    return Form("POST", *urllib3.encode_multipart_formdata(files))


def reply_of(status: int, body: bytes, retry_after: str | None) -> Reply:
    """Return what came as these bytes and this `Retry-After`."""
    seconds = None if retry_after is None else retry_after_seconds(retry_after, datetime.now(UTC))
    return Reply(status, _json(body), seconds)


def _json(body: bytes) -> Any:
    """Return what the JSON says; None where it is none."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def retry_after_seconds(header: str, now: datetime) -> float | None:
    """
    Return the pause that a `Retry-After` asks for, within the bounds of sense; None for nonsense.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3, seconds or a date.
    """
    is_number = re.fullmatch(r"[0-9]+(\.[0-9]+)?", header.strip())
    seconds = float(header) if is_number else _seconds_until(header, now)
    if math.isnan(seconds):
        return None
    return min(max(seconds, LEAST_RETRY_SECONDS), MOST_RETRY_SECONDS)


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # whatever it is, it is no date
        return math.nan


class _Place(IntEnum):
    ELSEWHERE, LINK_LOCAL, ON_THIS_MACHINE = range(3)

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


class Browser:
    """
    Asks URLs that others wrote: http and https alone, bounded in size, time and redirects.

    A proxy of the environment is asked for what is elsewhere, and never for what is on this
    machine or its network link. What is nearer than the server is refused: a server elsewhere has
    no business with those that listen here.
    """

    def __init__(
        self,
        server: str,
        exchange_seconds: float,
        addresses: Callable[[str], list[str]] = _addresses,
        key: str = "",
    ) -> None:
        self._server, self._key = server, key
        self._exchange_seconds = exchange_seconds
        self._addresses = functools.cache(addresses)
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # of nobody's

    def image(self, url: str) -> bytes:
        """Return the bytes at *url*, or raise SearchFailed."""
        response, body = self.get(url, MAX_IMAGE_BYTES)
        if response.status_code != 200:
            raise SearchFailed(f"{_shown(url)} answered HTTP {response.status_code}")
        return body

    def get(
        self,
        url: str,
        max_bytes: int,
        params: Mapping[str, Any] | None = None,
        form: Form = Form(),
    ) -> tuple[requests.Response, bytes]:
        """Return the answer, whatever its status, with its body; or raise SearchFailed."""
        # A socket's own limit begins again with every byte, and the system's resolver has none.
        exchange = in_a_thread(lambda: self._get(url, max_bytes, params, form))
        try:
            return exchange.result(self._exchange_seconds)
        except TimeoutError:
            seconds = f"{self._exchange_seconds:g} s"
            message = f"{_shown(url)} did not end its answer within {seconds}"
            raise SearchFailed(message, "late") from None

    def _get(
        self, url: str, max_bytes: int, params: Mapping[str, Any] | None, form: Form
    ) -> tuple[requests.Response, bytes]:
        at = url
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with self._open(at, params, form) as response:
                    if not response.is_redirect:
                        return response, _body(response, _shown(url), max_bytes)
                    if form.body and response.status_code not in _KEEPING_METHOD:
                        raise SearchFailed(f"{_shown(url)} redirects, and takes no picture")
                    at, params = urljoin(response.url, response.headers["Location"]), None
        # ValueError: what was answered is no URL, or cannot be decoded.
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            message = f"{_shown(url)} does not answer: {type(error).__name__}"
            if _is_broken(error):
                raise Unreached(message) from None
            is_late = isinstance(error, requests.ReadTimeout)
            raise SearchFailed(message, "late" if is_late else "odd") from None
        raise SearchFailed(f"{_shown(url)} redirects more than {MAX_REDIRECTS} times")

    def _open(self, url: str, params: Mapping[str, Any] | None, form: Form) -> requests.Response:
        if urlsplit(url).scheme not in ("http", "https"):
            raise SearchFailed(f"{_shown(url)} is no http or https URL")
        # What is judged is what is asked: requests reads `\\@` otherwise than urlsplit does.
        asked = requests.Request("GET", url, params=params).prepare().url or ""
        place = max(self._places(asked))
        if place > min(self._places(self._server)):
            raise SearchFailed(f"{_shown(url)} is {place!s}, and its server is not")
        return self._session.request(
            form.method,
            asked,
            data=form.body,
            headers={**_HEADERS, "Content-Type": form.content_type, **self._key_for(asked)},
            timeout=TIME_LIMITS_SECONDS,
            proxies={"no_proxy": urlsplit(asked).hostname or ""} if place else None,
            stream=True,
            allow_redirects=False,
        )

    def _key_for(self, url: str) -> dict[str, str]:
        """Return the header with the key, for the server alone: others have no use for it."""
        is_server = urlsplit(url)[:2] == urlsplit(self._server)[:2]
        return {"X-API-Key": self._key} if self._key and is_server else {}

    def _places(self, url: str) -> list[_Place]:
        """Return where the host of *url* is, by each of its addresses."""
        host = (urlsplit(url).hostname or "").partition("%")[0].removesuffix(".")  # no IPv6 zone
        if host == socket.gethostname().lower() or f".{host}".endswith(".localhost"):
            return [_Place.ON_THIS_MACHINE]
        return [_place(address) for address in self._addresses(host)] or [_Place.ELSEWHERE]


T = TypeVar("T")


def in_a_thread(work: Callable[[], T]) -> Future[T]:
    """Begin *work* in a thread that does not keep the program from its end."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from now on nobody can cancel it, and it may end

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def _is_broken(error: Exception) -> bool:
    """Return whether the connection broke or never was, but for a silence that was long enough."""
    kinds = (requests.ConnectionError, requests.ConnectTimeout, urllib3.exceptions.ProtocolError)
    return isinstance(error, kinds) and not isinstance(error, requests.exceptions.SSLError)


def _body(response: requests.Response, shown: str, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SearchFailed(f"{shown} answers compressed, which it was not asked to")
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise SearchFailed(f"{shown} answers with more than {max_bytes} bytes")
    return bytes(body)


def _place(text: str) -> _Place:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified:
        return _Place.ON_THIS_MACHINE
    return _Place.LINK_LOCAL if address.is_link_local else _Place.ELSEWHERE


def _shown(url: str) -> str:
    return printable(url)[:200]
