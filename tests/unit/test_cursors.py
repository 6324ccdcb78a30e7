"""Cursors as clients carry them."""

from __future__ import annotations

import base64
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.queries import Cursor
from imagesearch.doors import cursors

CURSOR = Cursor(20, "0123456789abcdef", "fedcba9876543210")


def text_of(plain: str) -> str:
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


@pytest.mark.parametrize("offset", [1, 10, 999, 1000])
def test_a_cursor_comes_back_as_it_went_in_letters_of_a_url(offset: int) -> None:
    cursor = Cursor(offset, CURSOR.digest, CURSOR.chosen_from)
    text = cursors.encode(cursor)
    assert re.fullmatch(r"[A-Za-z0-9_-]{20,100}", text)
    assert cursors.decode(text) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "é",
        "AAAA" * 100,
        text_of("1.0.0123456789abcdef.fedcba9876543210"),
        text_of("1.1001.0123456789abcdef.fedcba9876543210"),
        text_of("2.20.0123456789abcdef.fedcba9876543210"),
        text_of("1.20.0123456789abcdef"),
        text_of("1.20.0123456789ABCDEF.fedcba9876543210"),
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor must be the `next` of an answer") as caught:
        cursors.decode(text)
    assert caught.value.field == "cursor"


@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with suppress(InvalidRequest):
        assert cursors.decode(text).offset >= 1
