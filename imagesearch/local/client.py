"""A client of the search API, over HTTP or to a stack in this process.

It does what the page does: it asks with a short wait until the answer is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import requests

if TYPE_CHECKING:
    from imagesearch.local.stack import Stack

POLL_WAIT_SECONDS = 2
GIVE_UP_SECONDS = 300.0
_TIME_LIMITS_SECONDS = (5, 40)  # to connect; to answer, which a `wait` of 25 s must fit in


class SearchFailed(Exception):
    """The API refused or could not answer; the message is for a person."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer of the API."""

    status: int
    body: dict[str, Any]
    retry_after_seconds: float


@dataclass(frozen=True)
class SearchClient:
    """Searches through *get*, which takes a path and its parameters."""

    get: Callable[[str, Mapping[str, Any]], Answer]

    def search(
        self, params: Mapping[str, Any], on_progress: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """
        Return the complete answer to *params* as JSON; *on_progress* sees each pool on the way.

        Raises:
            SearchFailed: an error of the API, or no complete answer in `GIVE_UP_SECONDS`.
        """
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up_at:
            answer = self.get("/search", {**params, "wait": POLL_WAIT_SECONDS})
            if answer.status == 429:
                time.sleep(min(answer.retry_after_seconds, 10))
                continue
            body = _checked(answer)
            on_progress(body["pool"])
            if answer.status == 200 and (body["complete"] or body["pool"]["state"] == "failed"):
                return body
        raise SearchFailed(f"no complete answer within {GIVE_UP_SECONDS:.0f} seconds")


def _checked(answer: Answer) -> dict[str, Any]:
    if answer.status not in (200, 202):
        error = answer.body.get("error", {})
        raise SearchFailed(f"{error.get('message', 'no reason given')} (HTTP {answer.status})")
    return answer.body


def http_client(base_url: str) -> SearchClient:
    """Return a client of the API at *base_url*."""
    session = requests.Session()

    def get(path: str, params: Mapping[str, Any]) -> Answer:
        url = base_url.rstrip("/") + path
        try:
            response = session.get(url, params=params, timeout=_TIME_LIMITS_SECONDS)
            retry_after = float(response.headers.get("Retry-After", 1))
            return Answer(response.status_code, response.json(), retry_after)
        except requests.JSONDecodeError:
            raise SearchFailed(f"{url} did not answer in JSON: is it an imagesearch?") from None
        except requests.RequestException as error:
            raise SearchFailed(f"{url} does not answer: {type(error).__name__}") from None

    return SearchClient(get)


def stack_client(stack: Stack, base_url: str = "http://localhost") -> SearchClient:
    """Return a client of *stack* in this process; links in its answers begin with *base_url*."""
    function = stack.query.test_client()

    def get(path: str, params: Mapping[str, Any]) -> Answer:
        with function.get(path, query_string=dict(params), base_url=base_url) as response:
            retry_after = float(response.headers.get("Retry-After", 1))
            return Answer(response.status_code, response.get_json(), retry_after)

    return SearchClient(get)


def image_bytes(url: str) -> bytes:
    """Return the bytes of a result's *url*: a file of this machine, or over HTTP."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).read_bytes()
    response = requests.get(url, timeout=_TIME_LIMITS_SECONDS)
    response.raise_for_status()
    return response.content
