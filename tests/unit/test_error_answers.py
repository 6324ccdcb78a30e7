"""What an error looks like, at every door."""

from __future__ import annotations

import json

import pytest

from imagesearch.domain.errors import InvalidRequest, Overloaded, Unavailable
from imagesearch.doors.errors import answer_of, refusal


def test_errors_carry_code_message_and_field() -> None:
    answer = answer_of(InvalidRequest("k must be …", field="k"))
    assert answer.status == 400
    assert json.loads(answer.body) == {
        "error": {"code": "invalid_request", "message": "k must be …", "field": "k"}
    }
    assert "field" not in json.loads(answer_of(Unavailable("down")).body)["error"]


def test_retry_after_is_in_whole_seconds_and_never_zero() -> None:
    def retry_after(error: Overloaded | Unavailable | InvalidRequest) -> str | None:
        return answer_of(error).headers.get("Retry-After")

    assert retry_after(Overloaded("", retry_after_seconds=0.2)) == "1"
    assert retry_after(Unavailable("", retry_after_seconds=2.1)) == "3"
    assert retry_after(InvalidRequest("")) is None


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [(405, "method_not_allowed", None), (418, "http_error", None), (503, "unavailable", "1")],
)
def test_a_refusal_has_the_word_of_its_status(
    status: int, code: str, retry_after: str | None
) -> None:
    answer = refusal(status, "why")
    assert json.loads(answer.body) == {"error": {"code": code, "message": "why"}}
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers["Cache-Control"] == "no-store"
