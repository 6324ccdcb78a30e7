"""The one seam where exceptions of Google's client libraries become ours (design §8).

Firestore, Cloud Storage and Pub/Sub share it; which calls are tried again, and how long, is in
their files. gRPC's own errors never come here bare: the libraries raise them as google-api-core's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from imagesearch.domain.errors import (
    Bug,
    ImageSearchError,
    InvalidRequest,
    Overloaded,
    Unavailable,
)

_logger = logging.getLogger(__name__)


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Raise what the libraries raise as one of ours, naming *service*."""
    # Imported here, where the libraries are in use already: this module stays light.
    from http.client import HTTPException

    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    libraries = (GoogleAPIError, GoogleAuthError, RequestException)
    transport = (HTTPError, HTTPException, ConnectionError)  # Cloud Storage's client passes them on
    try:
        yield
    except (*libraries, *transport, UnicodeEncodeError) as error:
        raise translate(error, service) from error


def translate(error: Exception, service: str) -> ImageSearchError:
    """
    Return the error of ours for an exception of google-api-core, google-auth or the transport.

    The message names the exception alone: it may reach the public, and Google's own texts name
    accounts, projects and buckets. They are in the log.

    A missing right, database, bucket or index is Unavailable, not NotFound: a push handler must
    nack, so that its message is still there when the operator has mended the project.
    """
    from google.api_core import exceptions as api

    if isinstance(error, UnicodeEncodeError):  # a lone surrogate, which UTF-8 cannot hold
        return InvalidRequest(f"text for {service} is not Unicode: {error}")
    cause = _cause(error)
    reason = f"{service} failed: {type(cause).__name__}"
    _logger.warning("%s: %s", reason, cause)
    if isinstance(cause, api.TooManyRequests):
        return Overloaded(reason)
    if isinstance(cause, api.Unauthorized | api.Forbidden | api.NotFound | api.FailedPrecondition):
        return Unavailable(f"{reason} (the project's configuration must be mended)")
    if isinstance(cause, api.Aborted | api.Cancelled):
        return Unavailable(reason)
    if isinstance(cause, api.ClientError | api.Redirection | api.MethodNotImplemented):
        return Bug(reason)
    return Unavailable(reason)


def _cause(error: Exception) -> Exception:
    """Return what the last of several tries raised, or *error* itself."""
    from google.api_core import exceptions as api

    cause = (error.cause or error) if isinstance(error, api.RetryError) else error
    # Cloud Storage's uploads and downloads give the bare answer when they run out of tries.
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if status is None or isinstance(cause, api.GoogleAPIError):
        return cause
    known: Exception = api.from_http_status(status, str(cause))  # type: ignore[no-untyped-call]
    return known
