"""Every exception of Google's libraries and of their transport has its row in design §8."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
import requests
import urllib3
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import retry as storage_retry  # type: ignore[import-untyped]
from google.cloud.storage.exceptions import InvalidResponse  # type: ignore[import-untyped]

from imagesearch.adapters.google_errors import translate, translated
from imagesearch.domain.errors import (
    Bug,
    ImageSearchError,
    InvalidRequest,
    Overloaded,
    Unavailable,
)

# Design §8: what may pass or can be mended nacks as Unavailable, a quota as Overloaded, and what
# we must never have sent is a Bug.
ERRORS: dict[str, type[ImageSearchError]] = {
    "Aborted": Unavailable,
    "AlreadyExists": Bug,
    "BadGateway": Unavailable,
    "BadRequest": Bug,
    "Cancelled": Unavailable,
    "Conflict": Bug,
    "DataLoss": Unavailable,
    "DeadlineExceeded": Unavailable,
    "FailedPrecondition": Unavailable,  # a missing vector index
    "Forbidden": Unavailable,
    "GatewayTimeout": Unavailable,
    "InternalServerError": Unavailable,
    "InvalidArgument": Bug,
    "LengthRequired": Bug,
    "MethodNotAllowed": Bug,
    "MethodNotImplemented": Bug,
    "MovedPermanently": Bug,
    "NotFound": Unavailable,  # a missing database or bucket: the adapters know a missing object
    "NotModified": Bug,
    "OutOfRange": Bug,
    "PermissionDenied": Unavailable,
    "PreconditionFailed": Bug,
    "RequestRangeNotSatisfiable": Bug,
    "ResourceExhausted": Overloaded,
    "ResumeIncomplete": Bug,
    "ServiceUnavailable": Unavailable,
    "TemporaryRedirect": Bug,
    "TooManyRequests": Overloaded,
    "Unauthenticated": Unavailable,
    "Unauthorized": Unavailable,
    "Unknown": Unavailable,
}

TRANSPORT: tuple[type[Exception], ...] = (
    GoogleAuthError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
)

# What a class is made of that is not made of a reason alone, and needs it to be printed.
ARGUMENTS: dict[type[Exception], tuple[object, ...]] = {
    api.RetryError: ("late", None),
    urllib3.exceptions.IncompleteRead: (1, 2),
    urllib3.exceptions.InvalidChunkLength: (urllib3.HTTPResponse(), b"x"),
}


def and_below(*roots: type[Exception]) -> list[type[Exception]]:
    """Return *roots* and every class that is derived from them."""
    found: dict[type[Exception], None] = {}
    todo = list(roots)
    while todo:
        kind = todo.pop()
        found[kind] = None
        todo += kind.__subclasses__()
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def made(kind: Any, *arguments: object) -> Any:
    """Return an exception of a class that has no annotations."""
    return kind(*arguments)


def any_of(kind: Any) -> Any:
    """Return some exception of *kind*, whatever its `__init__` would ask for."""
    try:
        return kind(*ARGUMENTS.get(kind, ("why",)))
    except TypeError:
        return kind.__new__(kind, "why")


def stands_for_a_status(kind: Any) -> bool:
    return kind.code is not None or kind.grpc_status_code is not None


@pytest.mark.parametrize(
    "kind",
    [kind for kind in and_below(api.GoogleAPICallError) if stands_for_a_status(kind)],
    ids=lambda kind: kind.__name__,
)
def test_every_google_error_has_its_row(kind: type[Exception]) -> None:
    error = translate(kind("why"), "Firestore")
    assert type(error) is ERRORS[kind.__name__]
    assert f"Firestore failed: {kind.__name__}" in str(error)


@pytest.mark.parametrize("kind", and_below(api.GoogleAPIError), ids=lambda kind: kind.__name__)
def test_no_google_error_gets_out(kind: type[Exception]) -> None:
    with pytest.raises(ImageSearchError), translated("Firestore"):
        raise any_of(kind)


@pytest.mark.parametrize(
    "kind", and_below(*TRANSPORT), ids=lambda kind: f"{kind.__module__}.{kind.__name__}"
)
def test_what_credentials_and_connections_raise_is_unavailable(kind: type[Exception]) -> None:
    with (
        pytest.raises(Unavailable, match=f"Cloud Storage failed: {kind.__name__}"),
        translated("Cloud Storage"),
    ):
        raise any_of(kind)


@pytest.mark.parametrize(
    "kind", storage_retry._RETRYABLE_TYPES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}"
)
def test_what_the_storage_client_tries_again_does_not_get_out_in_the_end(
    kind: type[Exception],
) -> None:
    with pytest.raises((Unavailable, Overloaded)), translated("Cloud Storage"):
        raise any_of(kind)


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (made(api.RetryError, "late", made(api.ResourceExhausted, "quota")), Overloaded),
        (made(api.RetryError, "late", made(api.ServiceUnavailable, "down")), Unavailable),
        (made(api.RetryError, "late", None), Unavailable),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), InvalidRequest),
    ],
    ids=repr,
)
def test_what_else_the_libraries_raise_has_its_row(
    error: Exception, row: type[ImageSearchError]
) -> None:
    assert type(translate(error, "Firestore")) is row


@pytest.mark.parametrize(("status", "row"), [(429, Overloaded), (503, Unavailable), (400, Bug)])
def test_a_bare_answer_that_ran_out_of_tries_has_the_row_of_its_status(
    status: int, row: type[ImageSearchError]
) -> None:
    response = requests.Response()
    response.status_code = status
    late = made(api.RetryError, "late", made(InvalidResponse, response, "why"))
    assert type(translate(late, "Cloud Storage")) is row


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("x"), Unavailable("ours")])
def test_what_is_not_the_libraries_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, translated("Firestore"):
        raise error
    assert raised.value is error


def test_what_google_says_is_for_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The message may reach the public, and Google's names accounts, projects and buckets."""
    text = "sa@project.iam.gserviceaccount.com does not have storage.objects.get access"
    error = translate(api.Forbidden(text), "Cloud Storage")  # type: ignore[no-untyped-call]  # it has no types
    assert "iam.gserviceaccount.com" not in str(error)
    assert text in caplog.text
