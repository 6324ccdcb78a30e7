"""What is wrong with a body that fails its validation."""

from __future__ import annotations

from pydantic import ValidationError


def first_error(error: ValidationError) -> tuple[str, str, str]:
    """Return the first field that is wrong, or "body", what is wrong with it, and its value."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    return field, first["msg"], repr(first["input"])[:64]
