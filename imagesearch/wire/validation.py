"""What is wrong with a body that fails its validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from imagesearch.domain.errors import MalformedMessage


def first_error(error: ValidationError) -> tuple[str, str, str]:
    """Return the first field that is wrong, or "body", what is wrong with it, and its value."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    return field, first["msg"], repr(first["input"])[:64]


@contextmanager
def well_formed(name: str) -> Iterator[None]:
    """Raise MalformedMessage, of what is called *name*, for what fails its validation inside."""
    try:
        yield
    except ValidationError as error:
        field, why, _ = first_error(error)
        raise MalformedMessage(f"{name}: {field}: {why}", field=field) from error
