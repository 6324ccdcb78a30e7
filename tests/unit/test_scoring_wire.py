"""How a question travels to the scorer, between versions too."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.queries import (
    MAX_PICTURE_BYTES,
    ImagePart,
    PicturePart,
    Query,
    ScoreRequest,
    TextPart,
)
from imagesearch.wire.scoring import MAX_BYTES, decode, encode

SENTENCE = ScoreRequest(Query.of_text("horses 馬"), 5, pool_id="0" * 32, generation=3)
PARTS = (TextPart("a horse", 0.5), ImagePart("twin-1"), PicturePart(bytes(range(256)), 2.0))
WHOLE = replace(
    SENTENCE,
    query=Query(PARTS, (TextPart("a rider"), ImagePart("twin-2"))),
    filters={"orientation": "square"},
    offset=20,
)
WORDS = replace(WHOLE, query=Query(PARTS, (TextPart("a rider"),)))


@pytest.mark.parametrize("request_", [SENTENCE, WHOLE, WORDS, replace(SENTENCE, scope="catalog")])
def test_what_is_read_is_what_was_sent(request_: ScoreRequest) -> None:
    assert decode(encode(request_)) == request_


def test_a_sentence_travels_as_an_older_scorer_reads_it() -> None:
    sent = json.loads(encode(SENTENCE))
    assert sent["query"] == "horses 馬"
    assert "parts" not in sent


@pytest.mark.parametrize(
    "request_",
    [
        replace(SENTENCE, offset=1),
        replace(SENTENCE, query=replace(SENTENCE.query, minus=(TextPart("a rider"),))),
        replace(SENTENCE, query=Query((TextPart("a horse", 2.0),))),
        replace(SENTENCE, query=Query(PARTS)),
    ],
)
def test_what_an_older_scorer_would_answer_wrongly_is_not_sent_as_a_sentence(
    request_: ScoreRequest,
) -> None:
    assert "query" not in json.loads(encode(request_))


def test_pictures_that_are_not_wanted_are_not_sent_as_if_they_were_words() -> None:
    assert {"parts", "minus"} <= set(json.loads(encode(WORDS)))
    for minus in (ImagePart("twin-2"), PicturePart(b"x")):
        sent = json.loads(encode(replace(SENTENCE, query=replace(WORDS.query, minus=(minus,)))))
        assert {"query", "parts", "minus"}.isdisjoint(sent), "an older scorer must refuse it"


def test_all_that_a_search_may_not_want_fits() -> None:
    minus = [TextPart(f"{n}") for n in range(5)], [ImagePart(f"twin-{n}") for n in range(5)]
    most = replace(WHOLE, query=Query(PARTS, (*minus[0], *minus[1], PicturePart(b"x"))))
    assert decode(encode(most)) == most


def test_the_question_of_an_older_function_is_a_query_of_one_part() -> None:
    body = b'{"scope": "catalog", "query": "horse", "top_k": 1, "filters": {}}'
    assert decode(body) == ScoreRequest(Query.of_text("horse"), 1, scope="catalog")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parts": []}, "parts"),
        ({"parts": [{"text": "x"}] * 8}, "parts"),
        ({"parts": [{}]}, "parts.0"),
        ({"parts": [{"text": "x", "image_id": "y"}]}, "parts.0"),
        ({"parts": [{"text": ""}]}, "parts.0.text"),
        ({"parts": [{"text": "x" * 501}]}, "parts.0.text"),
        ({"parts": [{"image_id": "x" * 201}]}, "parts.0.image_id"),
        ({"parts": [{"picture": ""}]}, "parts.0.picture"),
        ({"parts": [{"picture": "*"}]}, "parts.0.picture"),
        ({"parts": [{"text": "x", "weight": 0}]}, "parts.0.weight"),
        ({"parts": [{"text": "x", "weight": 100.1}]}, "parts.0.weight"),
        ({"minus": [{"text": "x"}] * 12}, "minus"),
        ({"unwanted": [{"text": "x"}] * 12}, "unwanted"),
        ({"offset": 1001}, "offset"),
        ({"offset": -1}, "offset"),
        ({"query": "x"}, "parts"),
    ],
)
def test_a_part_out_of_its_bounds_is_named(change: dict[str, object], field: str) -> None:
    body = json.dumps({"scope": "catalog", "top_k": 1, "parts": [{"text": "x"}], **change})
    with pytest.raises(InvalidRequest) as caught:
        decode(body.encode())
    assert caught.value.field == field


def test_the_largest_picture_fits_and_one_byte_more_is_refused() -> None:
    part = PicturePart(b"\xff" * MAX_PICTURE_BYTES)
    body = encode(replace(SENTENCE, query=Query((part,))))
    assert len(body) < MAX_BYTES
    assert decode(body).query.picture == part
    longer = base64.b64encode(part.data + b"x").decode()
    with pytest.raises(InvalidRequest, match="at most 10000000 bytes"):
        decode(json.dumps({"top_k": 1, "parts": [{"picture": longer}]}).encode())
