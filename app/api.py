"""The one way to the API: what is asked of it, and what can come of that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from app.answers import Answer, answer_of
from app.failures import Failure, failure_of
from app.search import Search

TIMEOUT_SECONDS = 100.0  # above the API's longest wait and its patience with a scorer that starts
CONNECT_SECONDS = 10.0
RETRY_UNREACHED_SECONDS = 3.0


class Api:
    """
    An imagesearch at *base_url*, for one person.

    Args:
        base_url: with or without a slash at its end.
        client: what sends the requests; it may serve many.

    Attributes:
        key: sent with each request once a person has given it; "" for none.
    """

    def __init__(self, base_url: str, client: httpx.AsyncClient) -> None:
        self.base_url = base_url.rstrip("/") + "/"
        self.key = ""
        self._client = client

    async def search(
        self, search: Search, wait_seconds: float, *, cursor: str = "", picture: bytes | None = None
    ) -> Answer:
        """
        Return what there is by now, or when *wait_seconds* end.

        Args:
            cursor: `next` of an answer to the same search, for what follows it.
            picture: the bytes that `search.picture` names.

        Raises:
            Failure: no answer, or one that is no search answer.
        """
        params = [*search.question(), ("wait", str(wait_seconds))]
        if cursor:
            params.append(("cursor", cursor))
        if picture is None:
            request = self._request("GET", "search", params=httpx.QueryParams(tuple(params)))
        else:
            form = _form(params)
            request = self._request("POST", "search", data=form, files={"picture": picture})
        response = await self._sent(request)
        if response.status_code not in (200, 202):
            raise _failure(response)
        return answer_of(
            response.status_code, _json(response), self.base_url, _retry_after(response)
        )

    async def collections(self) -> tuple[str, ...]:
        """Return the names of the collections of own pictures; none where it does not say."""
        try:
            body = _json(await self._sent(self._request("GET", "collections")))
        except Failure:
            return ()
        listed = body.get("collections") if isinstance(body, dict) else None
        named = listed if isinstance(listed, list) else []
        return tuple(one["name"] for one in named if isinstance(one, dict) and one.get("name"))

    async def demo_keywords(self) -> tuple[str, ...]:
        """Return the keywords of the demo, where the server has nothing but that; else none."""
        try:
            body = _json(await self._sent(self._request("GET", "config.json")))
        except Failure:
            return ()
        keywords = (
            body.get("demo_keywords") if isinstance(body, dict) and body.get("demo") else None
        )
        return tuple(map(str, keywords)) if isinstance(keywords, list) else ()

    def _request(self, method: str, path: str, **options: object) -> httpx.Request:
        headers = {"X-API-Key": self.key} if self.key else {}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        return self._client.build_request(
            method,
            self.base_url + path,
            headers=headers,
            timeout=timeout,
            **options,  # type: ignore[arg-type]  # of the two calls above
        )

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request, follow_redirects=False)
        except httpx.ConnectTimeout as exc:
            raise Failure("unreached", retry_seconds=RETRY_UNREACHED_SECONDS) from exc
        except httpx.TimeoutException as exc:
            raise Failure("silent", seconds=int(TIMEOUT_SECONDS)) from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Failure("unreached", retry_seconds=RETRY_UNREACHED_SECONDS) from exc


def _form(params: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    form: dict[str, list[str]] = {}
    for name, value in params:
        form.setdefault(name, []).append(value)
    return form


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None


def _failure(response: httpx.Response) -> Failure:
    asked_for = response.headers.get("WWW-Authenticate", "")
    return failure_of(
        response.status_code,
        _json(response),
        _retry_after(response),
        response.status_code == 401 and asked_for.startswith("ApiKey"),
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After, which names them or a date; None for none."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):  # whatever it is, it is no date
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
