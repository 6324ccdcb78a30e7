"""Cloud Storage's client, as the stores and the buckets use it."""

from __future__ import annotations

import os
from typing import Any

_TRY_SECONDS = 5.0
_KEPT_CONNECTIONS = 64  # as many as there may be download threads, see `Settings`
_NO_BUCKET_METADATA = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"


def limits(total_seconds: float) -> dict[str, Any]:
    """Return the arguments of a call that have it try again what may pass, soon, in time."""
    from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

    retry = DEFAULT_RETRY.with_delay(initial=0.1, maximum=1.0, multiplier=2.0)
    return {
        "retry": retry.with_timeout(total_seconds),
        "timeout": min(total_seconds, _TRY_SECONDS),
    }


def prepare(client: Any) -> None:
    """Have *client* keep a connection for each download thread, also after a refusal."""
    from requests.adapters import HTTPAdapter

    # The SDK would ask for the bucket's metadata, for traces, in a thread that nobody waits for
    # and with a right that this program does not have.
    os.environ.setdefault(_NO_BUCKET_METADATA, "true")
    session = client._http  # the SDK has no public way to its session
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_KEPT_CONNECTIONS))
    session.hooks["response"] = [_read_refusal]


def _read_refusal(response: Any, **_: Any) -> None:
    """
    Read an answer that is no success to its end.

    The SDK leaves those of a download that it tries again unread, and their connections open
    until the garbage collector comes; read, the connection serves the next try.
    """
    if not response.ok:
        _ = response.content
