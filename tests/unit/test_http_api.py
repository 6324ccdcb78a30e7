"""Bounds of every parameter, and the shapes that clients of the API read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Credit, Image
from imagesearch.domain.pools import PoolPolicy
from imagesearch.domain.queries import Query, SearchRequest
from imagesearch.domain.ranking import SearchHit
from imagesearch.doors import http_api
from imagesearch.usecases.search import SearchAnswer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {"t": "horse", "s_query": "horses amidst flowers"}


def test_what_is_left_out_has_the_defaults_of_the_design() -> None:
    request = http_api.parse_search(GOOD)
    assert (request.top_k, request.wait_seconds, request.scope) == (10, 10.0, "pool")
    assert (request.keyword, request.query.text) == ("horse", "horses amidst flowers")


def test_all_is_covered_only_where_nothing_lacks() -> None:
    request = SearchRequest("", Query.of_text("x"), scope="catalog")
    for covered, said in ((29_999 / 30_000, 0.9999), (1.0, 1.0), (0.0, 0.0), (None, None)):
        answer = SearchAnswer(request, (), None, complete=False, keywords=(), covered=covered)
        policy = PoolPolicy(60.0, 60.0, 60.0)
        body = http_api.answer_json(answer, host_url="", images_url="", now=NOW, policy=policy)
        assert body["covered"] == said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("k", value) for value in ("1", "200", "")),
        *(("wait", value) for value in ("0", "25", "0.5", " ")),
        *(("t", value) for value in ("x" * 100, "  x  ", "a&b#c+d")),
        *(("s_query", value) for value in ("y" * 500, "马在花丛中 🐎")),
        ("scope", "catalog"),
    ],
)
def test_values_on_the_bounds_are_taken(name: str, value: str) -> None:
    http_api.parse_search({**GOOD, name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("k", "0", "k must be between 1 and 200, got 0"),
        ("k", "201", "k must be between 1 and 200, got 201"),
        ("k", "-1", "got -1"),
        ("k", "ten", "k must be a whole number between 1 and 200, got ten"),
        ("k", "1.5", "got 1.5"),
        ("k", "9" * 5000, "between 1 and 200, got 999"),
        ("wait", "25.1", "wait must be between 0 and 25, got 25.1"),
        ("wait", "-0.1", "got -0.1"),
        ("wait", "nan", "got nan"),
        ("wait", "inf", "got inf"),
        ("t", "\u200b", "t must have a character that can be seen"),
        ("t", "x" * 101, "t must have 1 to 100 characters, got 101"),
        ("t", "ﷺ" * 20, "once normalised, got 3"),
        ("s_query", "", "s_query, like or picture must be given, got none of them"),
        ("s_query", "y" * 501, "s_query must have 1 to 500 characters, got 501"),
        ("scope", "all", "scope must be pool or catalog, got 'all'"),
    ],
)
def test_a_value_out_of_bounds_names_field_bound_and_value(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        http_api.parse_search({**GOOD, name: value})
    assert message in str(caught.value)
    assert caught.value.field == name


@pytest.mark.parametrize(("text", "is_folded"), [("", True), ("true", True), (" false ", False)])
def test_what_looks_the_same_is_folded_unless_told_otherwise(text: str, is_folded: bool) -> None:
    assert http_api.parse_search({**GOOD, "fold": text}).fold is is_folded


@pytest.mark.parametrize("text", ["no", "0", "False", "truefalse", "\x00", "\ud800"])
def test_folding_is_on_or_off(text: str) -> None:
    with pytest.raises(InvalidRequest, match="fold must be true or false, got") as caught:
        http_api.parse_search({**GOOD, "fold": text})
    assert caught.value.field == "fold"


@pytest.mark.parametrize("t", [{}, {"t": ""}, {"t": "   "}])
def test_keywords_are_taken_from_the_sentence_where_none_is_given(t: dict[str, str]) -> None:
    request = http_api.parse_search({**t, "s_query": "Horses amidst flowers"})
    assert (request.keyword, request.broader) == ("horse flower", "horse")
    assert request.query.text == "Horses amidst flowers"
    request = http_api.parse_search({**t, "s_query": "马在花丛中"})
    assert (request.keyword, request.broader) == ("马在花丛中", "")
    assert http_api.parse_search(GOOD).broader == ""


@pytest.mark.parametrize("sentence", ["photo of nothing", "not", "the", "???"])
def test_a_sentence_without_a_keyword_needs_one(sentence: str) -> None:
    why = r"s_query must have a word for what is to be seen, as no keyword is given, got '"
    with pytest.raises(InvalidRequest, match=why) as caught:
        http_api.parse_search({"s_query": sentence})
    assert caught.value.field == "s_query"
    assert http_api.parse_search({"s_query": sentence, "t": "sea"}).keyword == "sea"
    assert http_api.parse_search({"s_query": sentence, "scope": "catalog"}).keyword == ""


@pytest.mark.parametrize("blank", [{}, {"t": " "}, {"s_query": ""}, {"t": "", "s_query": " "}])
def test_in_scope_pool_without_keyword_and_sentence_both_are_named(blank: dict[str, str]) -> None:
    with pytest.raises(
        InvalidRequest, match=r"t or s_query must be given .* got neither"
    ) as caught:
        http_api.parse_search({"scope": "pool", **blank}, {"like": ["a"]})
    assert caught.value.field == "t"


@pytest.mark.parametrize("args", [{}, {"t": "x"}, {"scope": "catalog"}])
def test_a_search_for_nothing_says_what_can_be_searched_for(args: dict[str, str]) -> None:
    bound = "s_query, like or picture must be given, got"
    with pytest.raises(InvalidRequest, match=f"{bound} none of them") as caught:
        http_api.parse_search(args)
    assert caught.value.field == "s_query"
    for unwanted in ({"minus": ["people"]}, {"unlike": ["a"]}):
        with pytest.raises(InvalidRequest, match=f"{bound} only what is not wanted"):
            http_api.parse_search(args, unwanted)


def test_a_likeness_alone_searches_everything_unless_a_keyword_or_a_scope_is_given() -> None:
    like = {"like": ["twin-1"]}
    assert http_api.parse_search({}, like).scope == "catalog"
    assert http_api.parse_search({}, {}, {"picture": b"x"}).scope == "catalog"
    assert http_api.parse_search({"t": "horse"}, like).scope == "pool"
    assert http_api.parse_search({"s_query": "a horse"}, like).scope == "pool"


def test_the_keyword_may_be_left_out_in_scope_catalog() -> None:
    assert http_api.parse_search({"s_query": "x", "scope": "catalog"}).keyword == ""


@pytest.mark.parametrize("text", ["", "x", "../etc", "0" * 31, "0" * 33, "G" * 32, "é" * 32])
def test_a_pool_id_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="pool_id must be 32 hexadecimal digits"):
        http_api.parse_pool_id(text)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("https://[x/", ""),
        ("http://[::1", ""),
        ("https://exa\u2100mple.com/", ""),
        ("", ""),
        ("/illustrations/1/", "https://here.example/illustrations/1/"),
        ("https://pixabay.com/photos/1/", "https://pixabay.com/photos/1/"),
    ],
)
def test_a_stored_link_that_cannot_be_read_is_left_out_of_an_answer(
    stored: str, shown: str
) -> None:
    image = Image("pixabay-1", "pixabay-1.jpg", stored, 640, 427, Credit("Rosa", "Pixabay"))
    hits = (SearchHit(image, 0.3, 30.0, 1.0),)
    request = SearchRequest("", Query.of_text("x"), scope="catalog")
    answer = SearchAnswer(request, hits, None, complete=True, keywords=())
    body = http_api.answer_json(
        answer, host_url="https://here.example/", images_url="", now=NOW, policy=PoolPolicy()
    )
    assert [result["page_url"] for result in body["results"]] == [shown]
