"""A client of the search API, over HTTP or to a stack in this process.

It does what the page does: it asks with a short wait until the answer is complete. What a server
elsewhere answers is nobody's word: it is bounded, and checked before it is used.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import requests
import urllib3
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters import chosen
from imagesearch.domain.filters.declaration import alike
from imagesearch.domain.printable import printable
from imagesearch.domain.queries import MAX_TOP_K
from imagesearch.setting_types import http_url

if TYPE_CHECKING:
    from imagesearch.local.embedded.stack import Stack

POLL_WAIT_SECONDS = 2
GIVE_UP_SECONDS = 300.0
LEAST_PAUSE_SECONDS, USUAL_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 1.0, 30.0
MAX_ANSWER_BYTES = 10_000_000  # one of 200 results has some 100 kB
MAX_IMAGE_BYTES = 50_000_000
MAX_REDIRECTS = 5
TIME_LIMITS_SECONDS = (5, 100)  # to connect; of silence: a `wait`, and a scorer that starts
EXCHANGE_SECONDS = 120.0  # from a question to the end of its answer, however busily that comes
_CHUNK_BYTES = 65_536
_KEEPING_METHOD = (307, 308)  # of redirects
_REASON_CHARACTERS = 500
# Compressed, a few bytes could be very many.
_HEADERS = {"User-Agent": "imagesearch", "Accept-Encoding": "identity"}


class SearchFailed(Exception):
    """
    The API refused or could not answer; the message is for a person.

    Attributes:
        status, field: of the API's refusal, as far as it has them.
    """

    def __init__(self, message: str, *, status: int = 0, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class _Part(BaseModel):
    # Most commands read no answer, and what reads one takes a tenth of the time to import.
    model_config = ConfigDict(strict=True, allow_inf_nan=False, defer_build=True)


Count = Annotated[int, Field(ge=0, le=10**9)]


class _Pool(_Part):
    state: str
    images: Count
    embedded: Count
    rejected: Count
    reason: str | None


class _Fetching(_Part):
    pool: _Pool


class _Credit(_Part):
    user: str
    source: str
    licence: str = ""  # an older server has none
    licence_url: str = ""


class _Own(_Part):
    file: str
    title: str


class _Result(_Part):
    image_id: str
    url: str
    page_url: str
    credit: _Credit
    tags: list[str]
    score: float = Field(ge=-1.001, le=1.001)
    match: str = "uncalibrated"  # an older server says nothing of it
    similar: list[str] = Field(default_factory=list)  # nor of these
    own: _Own | None = None  # nor of this


class _Timings(_Part):
    total_seconds: float = Field(ge=0, le=86_400)


class _Found(_Part):
    """What the command line reads of any answer."""

    keywords: list[str] = Field(default_factory=list)  # an older server has none
    filters: dict[str, str] = Field(default_factory=dict)  # an older server has none
    minus: list[str] = Field(default_factory=list)
    like: list[str] = Field(default_factory=list)
    unlike: list[str] = Field(default_factory=list)
    next: str | None = Field(None, max_length=200, pattern="^[A-Za-z0-9_-]+$")
    restarted: bool = False
    matching: Count | None = None
    results: list[_Result] = Field(max_length=MAX_TOP_K)
    complete: bool
    covered: float | None = Field(None, ge=0, le=1)  # an older server has none
    matched: bool | None = None  # an older server has none
    query_truncated: bool
    timings: _Timings


class _FoundInPool(_Found):
    keyword: str
    pool: _Pool


class _FoundEverywhere(_Found):
    scope: Literal["catalog"]
    pool: None


class ToldCollection(_Part):
    """What the API tells of a collection: its name, its images, whether more are on their way."""

    name: str
    images: Count
    updating: bool


class _Collections(_Part):
    collections: list[ToldCollection]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer of the API; *body* is what its JSON says, None where there is none."""

    status: int
    body: Any
    retry_after_seconds: float | None


@dataclass(frozen=True)
class SearchClient:
    """
    Searches through *ask*, which takes a path, its parameters and pictures, if there are any.

    Attributes:
        image: returns the bytes of a result's `url`, or raises SearchFailed or OSError.
        schemes: of the URLs that its results may have.
        now, sleep: the seconds of a clock that never steps back, and waiting by it.
    """

    ask: Callable[[str, Mapping[str, Any], Mapping[str, bytes] | None], Answer]
    image: Callable[[str], bytes]
    schemes: tuple[str, ...] = ("http", "https")
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def search(
        self,
        params: Mapping[str, Any],
        on_progress: Callable[[dict[str, Any]], None],
        pictures: Mapping[str, bytes] | None = None,
    ) -> dict[str, Any]:
        """
        Return the complete answer to *params* as JSON; *on_progress* sees each pool on the way.

        Args:
            params: as the API has them; of those that may be repeated a list.
            pictures: the files that it is to be like, or not, by the names that the API has.

        Raises:
            SearchFailed: an error of the API, an answer that is none of this API's or of a version
                that leaves a part of *params* out, or no complete one in `GIVE_UP_SECONDS`.
        """
        give_up_at = self.now() + GIVE_UP_SECONDS
        while True:
            asked_at = self.now()
            answer = self.ask("/search", {**params, "wait": POLL_WAIT_SECONDS}, pictures)
            if _asks_for_patience(answer):
                asked_at = self.now()
            else:
                body = _checked(answer, params.get("scope"))
                if answer.status == 200:
                    _check_parts(body, params)
                pool = body["pool"]
                if pool is None:  # of everything: no fetch makes it more
                    return body
                on_progress(pool)
                if answer.status == 200 and (body["complete"] or pool["state"] == "failed"):
                    return body
            # Of an answer that was waited for, the pause is over already.
            ask_at = asked_at + (answer.retry_after_seconds or USUAL_PAUSE_SECONDS)
            if ask_at > give_up_at:
                raise SearchFailed(f"no complete answer within {GIVE_UP_SECONDS:.0f} seconds")
            self.sleep(max(0.0, ask_at - self.now()))

    def collection(self, name: str) -> ToldCollection | None:
        """Return what is told of the collection *name*; None where nothing is."""
        if not name:
            return None
        try:
            answer = _Collections.model_validate(self.ask("/collections", {}, None).body)
        except (SearchFailed, OSError, ValidationError):  # what was found is worth more
            return None
        return next((each for each in answer.collections if alike(each.name) == alike(name)), None)


def _check_parts(body: dict[str, Any], params: Mapping[str, Any]) -> None:
    """Raise SearchFailed where an older server has not seen all of *params*."""
    if body.get("filters", {}) != chosen(params):
        raise SearchFailed("its answer is not filtered: it is of another version")
    for name in ("minus", "like", "unlike"):
        said = dict.fromkeys(text.strip() for text in params.get(name, ()) if text.strip())
        if body.get(name, []) != list(said):
            raise SearchFailed(f"its answer knows nothing of {name}: it is of another version")


def _asks_for_patience(answer: Answer) -> bool:
    is_late = answer.status == 504 and answer.retry_after_seconds is not None
    return answer.status == 429 or is_late


def _checked(answer: Answer, scope: object) -> dict[str, Any]:
    """Return the body, which has all that is read of it in *scope*, or raise SearchFailed."""
    if answer.status not in (200, 202):
        message = f"{_told(answer.body, 'message') or 'no reason given'} (HTTP {answer.status})"
        raise SearchFailed(message, status=answer.status, field=_told(answer.body, "field"))
    shape: type[_Part] = _FoundEverywhere if scope == "catalog" else _FoundInPool
    if answer.status == 202:
        shape = _Fetching
    try:
        shape.model_validate(answer.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise SearchFailed(f"the answer is not an imagesearch's: {where}: {first['msg']}") from None
    body: dict[str, Any] = answer.body
    return body


def _told(body: Any, name: str) -> str:
    """Return what an error says under *name*, on one line; "" where it says nothing there."""
    error = body.get("error") if isinstance(body, dict) else None
    text = error.get(name) if isinstance(error, dict) else None
    return printable(text.strip())[:_REASON_CHARACTERS] if isinstance(text, str) else ""


def _addresses(host: str) -> list[str]:
    """Return the addresses of *host* as the system knows them; none if it knows none."""
    try:
        return [str(address[-1][0]) for address in socket.getaddrinfo(host, None)]
    except (OSError, ValueError):  # ValueError: no name could be so
        return []


def http_client(
    base_url: str,
    *,
    exchange_seconds: float = EXCHANGE_SECONDS,
    addresses: Callable[[str], list[str]] = _addresses,
) -> SearchClient:
    """
    Return a client of the API at *base_url*, or raise InvalidRequest.

    Args:
        exchange_seconds: for one answer with its redirects, then it is given up.
        addresses: of the host of that name.
    """
    try:
        base = http_url(base_url.strip())
    except ValueError as error:
        raise InvalidRequest(f"--url {error}, got {base_url[:200]!r}", field="url") from None
    browser = _Browser(base, exchange_seconds, addresses, os.environ.get("SEARCH_API_KEY", ""))

    def ask(path: str, params: Mapping[str, Any], pictures: Mapping[str, bytes] | None) -> Answer:
        form = _form(pictures)
        response, body = browser.get(base + path, MAX_ANSWER_BYTES, params, form)
        answer = _json(body)
        if answer is _NO_JSON and response.status_code in (200, 202):
            raise SearchFailed(f"{base}{path} did not answer in JSON: is it an imagesearch?")
        return _answer(response.status_code, answer, response.headers.get("Retry-After"))

    return SearchClient(ask, browser.image)


def stack_client(stack: Stack, base_url: str = "http://localhost") -> SearchClient:
    """Return a client of *stack* in this process; links in its answers begin with *base_url*."""
    function = stack.query.test_client()
    browser = _Browser("http://localhost", EXCHANGE_SECONDS, _addresses)

    def ask(path: str, params: Mapping[str, Any], pictures: Mapping[str, bytes] | None) -> Answer:
        form = _form(pictures)
        with function.open(
            path,
            method=form.method,
            query_string=dict(params),
            base_url=base_url,
            data=form.body,
            content_type=form.content_type,
        ) as response:
            retry_after = response.headers.get("Retry-After")
            body = _with_own_files(_json(response.data), stack)
            return _answer(response.status_code, body, retry_after)

    def image(url: str) -> bytes:
        # This program wrote it: it is a file of the data folder, or where IMAGE_BASE_URL says.
        is_file = urlsplit(url).scheme == "file"
        return Path(unquote(urlsplit(url).path)).read_bytes() if is_file else browser.image(url)

    return SearchClient(ask, image, schemes=("http", "https", "file"))


def _with_own_files(body: Any, stack: Stack) -> Any:
    """Have links to own pictures lead to their files: nobody serves those of this process."""
    results = body.get("results", ()) if isinstance(body, dict) else ()
    for i, result in enumerate(results):
        path = result["own"] and stack.services.pictures.path(result["image_id"])
        if path:
            result["url"] = result["page_url"] = body["top_urls"][i] = path.as_uri()
    return body


@dataclass(frozen=True)
class _Form:
    """What is asked with: a GET has no body."""

    method: str = "GET"
    body: bytes | None = None
    content_type: str | None = None


def _form(pictures: Mapping[str, bytes] | None) -> _Form:
    if not pictures:
        return _Form()
    files = {name: (name, data) for name, data in pictures.items()}
    return _Form("POST", *urllib3.encode_multipart_formdata(files))


_NO_JSON = object()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NO_JSON


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _answer(status: int, body: Any, retry_after: str | None) -> Answer:
    seconds = None if retry_after is None else retry_after_seconds(retry_after, datetime.now(UTC))
    return Answer(status, None if body is _NO_JSON else body, seconds)


def retry_after_seconds(header: str, now: datetime) -> float:
    """
    Return the pause that a `Retry-After` asks for, within the bounds of sense.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3, seconds or a date.
    """
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header, now)
    if math.isnan(seconds):
        return USUAL_PAUSE_SECONDS
    return min(max(seconds, LEAST_PAUSE_SECONDS), MOST_PAUSE_SECONDS)


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


class _Browser:
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
        addresses: Callable[[str], list[str]],
        key: str = "",
    ) -> None:
        self._server, self._key = server, key
        self._exchange_seconds = exchange_seconds
        self._addresses = functools.cache(addresses)
        self._session = requests.Session()

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
        form: _Form = _Form(),
    ) -> tuple[requests.Response, bytes]:
        """Return the answer, whatever its status, with its body; or raise SearchFailed."""
        try:
            return _within(self._exchange_seconds, lambda: self._get(url, max_bytes, params, form))
        except TimeoutError:
            seconds = f"{self._exchange_seconds:g} s"
            raise SearchFailed(f"{_shown(url)} did not end its answer within {seconds}") from None

    def _get(
        self, url: str, max_bytes: int, params: Mapping[str, Any] | None, form: _Form
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
            raise SearchFailed(message) from None
        raise SearchFailed(f"{_shown(url)} redirects more than {MAX_REDIRECTS} times")

    def _open(self, url: str, params: Mapping[str, Any] | None, form: _Form) -> requests.Response:
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


def _within(seconds: float, work: Callable[[], T]) -> T:
    """
    Return what *work* returns, or raise TimeoutError when it takes longer.

    A socket's own time limit begins again with every byte, and the system's resolver has none. So
    another thread waits, which is left behind, and does not keep the program from its end.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(seconds)


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
