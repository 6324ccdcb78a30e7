"""`/search` with parts, as a query string, in JSON and as a form, over the true main.py."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from imagesearch.domain.queries import MAX_PICTURE_BYTES
from imagesearch.settings import load_settings
from tests.unit.test_functions import serve
from tests.world import World, original

SEARCH = {"t": "horse", "k": "3", "wait": "0"}


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Searches of a pool, which they leave as it is."""
    world = World(tmp_path_factory.mktemp("world"))
    world.ready_pool(count=9)
    yield serve("query", world, load_settings())
    world.catalog.close()


def body(response: TestResponse) -> dict[str, Any]:
    parsed = json.loads(response.data)
    assert isinstance(parsed, dict)
    return parsed


def error(response: TestResponse) -> tuple[int, str, str | None]:
    told = body(response)["error"]
    return response.status_code, told["message"], told.get("field")


def file(data: bytes, name: str = "a.jpg") -> FileStorage:
    return FileStorage(io.BytesIO(data), name)


def form(picture: bytes, name: str = "picture", **fields: Any) -> dict[str, Any]:
    return {**SEARCH, **fields, name: file(picture)}


def posted(query: FlaskClient, data: dict[str, Any], in_url: str = "") -> TestResponse:
    boundary, encoded = encode_multipart(data)  # not the client's own, which leaves a file open
    kind = f"multipart/form-data; boundary={boundary}"
    return query.post(f"/search?{in_url}", data=encoded, content_type=kind)


def test_the_query_string_takes_parts_and_says_what_was_taken(query: FlaskClient) -> None:
    asked = {**SEARCH, "like": ["twin-1", "twin-2", "twin-1"], "minus": ["twin-4", " ", "twin-5"]}
    answer = body(query.get("/search", query_string=asked))
    assert (answer["query"], answer["like"]) == (None, ["twin-1", "twin-2"])
    assert (answer["minus"], answer["picture"]) == (["twin-4", "twin-5"], False)
    assert {hit["image_id"] for hit in answer["results"]}.isdisjoint(answer["like"])


def test_json_is_answered_as_the_same_query_string(query: FlaskClient) -> None:
    asked = {"t": "horse", "k": 3, "wait": 0, "s_query": "twin-3", "minus": ["twin-4"]}
    asked |= {"like": ["twin-5"], "orientation": "horizontal"}
    in_json = body(query.post("/search", json=asked))
    in_url = body(query.get("/search", query_string=asked))
    del in_json["timings"], in_url["timings"]
    assert in_json == in_url
    assert in_json["results"][0]["image_id"] == "twin-3"


def test_a_whole_number_of_json_may_have_a_point(query: FlaskClient) -> None:
    asked = {"t": "horse", "s_query": "twin-3", "k": 3.0, "wait": 0}
    assert len(body(query.post("/search", json=asked))["results"]) == 3


def test_a_form_brings_a_picture(query: FlaskClient) -> None:
    answer = body(posted(query, form(original("twin-5"))))
    assert answer["results"][0]["image_id"] == "twin-5"
    assert (answer["picture"], answer["query"]) == (True, None)
    url = "/search?t=horse&k=1&wait=0"
    sent = {"picture": (io.BytesIO(original("twin-7")), "x"), "minus": ["a", "b"]}
    answer = body(query.post(url, data=sent, content_type="multipart/form-data"))
    assert [hit["image_id"] for hit in answer["results"]] == ["twin-7"]
    assert answer["minus"] == ["a", "b"]


def test_what_a_picture_is_not_to_be_like_comes_as_an_id_or_a_file(query: FlaskClient) -> None:
    asked = {**SEARCH, "k": "9", "s_query": "twin-3", "unlike": ["twin-5", " ", "twin-5"]}
    answer = body(query.get("/search", query_string=asked))
    assert (answer["unlike"], answer["unlike_picture"]) == (["twin-5"], False)
    hits = [hit["image_id"] for hit in answer["results"]]
    assert hits[0] == "twin-3"
    assert len(hits) == 8
    assert "twin-5" not in hits
    asked = {"t": "horse", "k": "9", "wait": "0", "s_query": "anything"}
    best = body(posted(query, asked))["results"][0]["image_id"]
    answer = body(posted(query, {**asked, "unlike_picture": file(original(best))}))
    assert (answer["picture"], answer["unlike_picture"]) == (False, True)
    assert answer["results"][0]["image_id"] != best


def test_a_form_brings_a_picture_to_be_like_and_one_not_to_be(query: FlaskClient) -> None:
    both = {"picture": file(original("twin-5")), "unlike_picture": file(original("twin-7"))}
    answer = body(posted(query, {**SEARCH, "k": "9", **both, "picture_weight": "2"}))
    hits = [hit["image_id"] for hit in answer["results"]]
    assert (hits[0], hits[-1]) == ("twin-5", "twin-7")


WEIGHED = {**SEARCH, "k": "1", "s_query": "twin-3", "like": ["twin-1", "twin-2"]}


def best_of(query: FlaskClient, in_url: dict[str, Any], picture: str = "") -> str:
    files = {"picture": file(original(picture))} if picture else {}
    url = "&".join(f"{name}={value}" for name, value in in_url.items())
    response = posted(query, {**SEARCH, "k": "1", "s_query": "twin-3", **files}, url)
    best: str = body(response)["results"][0]["image_id"]
    return best


def test_the_heavier_part_is_shown_first(query: FlaskClient) -> None:
    assert best_of(query, {"s_query_weight": 3}, "twin-5") == "twin-3"
    assert best_of(query, {"s_query_weight": 0.3}, "twin-5") == "twin-5"
    assert best_of(query, {"picture_weight": 3}, "twin-5") == "twin-5"
    assert best_of(query, {"picture_weight": 0.3}, "twin-5") == "twin-3"


def test_weights_of_likes_are_in_their_order_and_the_same_in_json(query: FlaskClient) -> None:
    def scores(**weights: Any) -> list[float]:
        asked = {**WEIGHED, "k": 7, "wait": 0, **weights}
        in_json = body(query.post("/search", json=asked))["results"]
        in_url = body(query.get("/search", query_string=asked))["results"]
        assert in_json == in_url
        return [hit["score"] for hit in in_json]

    assert scores(like_weight=[2, 0.5]) != scores(like_weight=[0.5, 2])
    assert scores(like_weight=[1, 1], s_query_weight=1.0) == scores()
    one_thing = {"like": ["twin-2", "twin-1"], "like_weight": [0.5, 2]}
    assert scores(**one_thing) == pytest.approx(scores(like_weight=[2, 0.5]), abs=1e-6)


def test_a_weight_has_its_place_in_a_cursor(query: FlaskClient) -> None:
    asked = {**WEIGHED, "like_weight": [2, 0.5], "s_query_weight": "3"}
    cursor = body(query.get("/search", query_string=asked))["next"]
    again = {**asked, "cursor": cursor}
    assert query.get("/search", query_string=again).status_code == 200
    for change in ({"like_weight": [0.5, 2]}, {"s_query_weight": "2"}, {"unlike": "twin-4"}):
        other = query.get("/search", query_string={**again, **change})
        assert error(other)[::2] == (400, "cursor")


@pytest.mark.parametrize(
    ("change", "message", "field"),
    [
        ({"s_query_weight": 0}, "must be between 0.01 and 100, got 0", "s_query_weight"),
        ({"s_query_weight": -1}, "must be between 0.01 and 100, got -1", "s_query_weight"),
        ({"s_query_weight": 101}, "must be between 0.01 and 100, got 101", "s_query_weight"),
        ({"s_query_weight": float("nan")}, "0.01 and 100, got nan", "s_query_weight"),
        ({"s_query_weight": float("inf")}, "0.01 and 100, got inf", "s_query_weight"),
        ({"like_weight": [1, 1e-9]}, "between 0.01 and 100, got 1e-09", "like_weight"),
        ({"like_weight": [1]}, "each like, 2 times, or not at all, got 1 times", "like_weight"),
        (
            {"like": ["twin-1", "twin-1"], "like_weight": [1, 2]},
            "like_weight must be one number for like 'twin-1', got 1 and 2",
            "like_weight",
        ),
        ({"like": [], "like_weight": [1]}, "must come with like, got 1 without", "like_weight"),
        (
            {"s_query": "", "s_query_weight": 2},
            "s_query_weight must come with s_query, got 2 without",
            "s_query_weight",
        ),
        ({"picture_weight": 2}, "picture_weight must come with picture", "picture_weight"),
        ({"unlike": ["twin-1"] * 6}, "unlike must be given at most 5 times, got 6", "unlike"),
        ({"unlike": ["x" * 201]}, "unlike must have 1 to 200 characters, got 201", "unlike"),
    ],
)
def test_a_weight_out_of_bounds_is_named(
    query: FlaskClient, change: dict[str, Any], message: str, field: str
) -> None:
    asked = {**WEIGHED, **change}
    for response in (
        query.get("/search", query_string=asked),
        query.post("/search", json={**asked, "k": 1, "wait": 0}),
    ):
        assert error(response)[::2] == (400, field)
        assert message in error(response)[1]


def test_an_image_not_to_be_like_that_is_not_stored_is_named(query: FlaskClient) -> None:
    for change in ({}, {"like": "twin-1"}, {"t": "cow"}):
        asked = {**SEARCH, "s_query": "x", "unlike": "twin-99", **change}
        answer = error(query.get("/search", query_string=asked))
        assert answer == (
            404,
            "unlike must name stored images, and there is no 'twin-99'",
            "unlike",
        )


@pytest.mark.parametrize("kib", [63, 65, 127, 129, 1_000, 9_000])
def test_a_picture_may_be_larger_than_the_texts_beside_it(query: FlaskClient, kib: int) -> None:
    # What follows a picture's end is not read; as in any picture there are line ends in it.
    picture = original("twin-7") + random.Random(1).randbytes(kib * 1024)
    answer = body(posted(query, form(picture)))
    assert answer["picture"] is True


def test_texts_are_counted_together(query: FlaskClient) -> None:
    sent = form(original("twin-7"), unknown="x" * 40_000, other="x" * 40_000)
    status, message, _ = error(posted(query, sent))
    assert status == 413
    assert "65536 bytes without its picture" in message


def test_a_form_whose_file_was_not_chosen_has_none(query: FlaskClient) -> None:
    sent = {**SEARCH, "s_query": "twin-3", "picture": file(b"", "")}
    answer = body(posted(query, sent))
    assert answer["results"][0]["image_id"] == "twin-3"


def test_the_next_page_goes_on_and_ends(query: FlaskClient) -> None:
    picture, seen, cursor = original("twin-5"), list[str](), ""
    for _ in range(3):
        answer = body(posted(query, form(picture, cursor=cursor)))
        assert not answer["restarted"]
        seen += [hit["image_id"] for hit in answer["results"]]
        cursor = answer["next"]
    assert cursor is None
    assert sorted(seen) == sorted(f"twin-{number}" for number in range(9))


def test_a_cursor_of_another_search_is_refused(query: FlaskClient) -> None:
    asked = {**SEARCH, "s_query": "twin-3"}
    cursor = body(query.get("/search", query_string=asked))["next"]
    assert query.get("/search", query_string={**asked, "cursor": cursor}).status_code == 200
    for change in ({"s_query": "other"}, {"k": "4"}, {"minus": "x"}, {"orientation": "square"}):
        other = query.get("/search", query_string={**asked, "cursor": cursor, **change})
        status, message, field = error(other)
        assert (status, field) == (400, "cursor")
        assert message == "cursor must be of the same search, with the same k, got one of another"


def test_a_cursor_is_of_the_keyword_however_it_is_typed(query: FlaskClient) -> None:
    asked = {**SEARCH, "s_query": "twin-3"}
    cursor = body(query.get("/search", query_string=asked))["next"]
    for keyword in ("Horse", "horse ", "HORSE"):
        again = query.get("/search", query_string={**asked, "t": keyword, "cursor": cursor})
        assert again.status_code == 200, keyword
        assert not body(again)["restarted"]


@pytest.mark.parametrize(
    ("change", "status", "message", "field"),
    [
        ({}, 400, "s_query, like or picture must be given, got none of them", "s_query"),
        ({"minus": ["x"]}, 400, "s_query, like or picture must be given", "s_query"),
        ({"unlike": ["twin-1"]}, 400, "s_query, like or picture must be given", "s_query"),
        ({"like": ["x"] * 6}, 400, "like must be given at most 5 times, got 6", "like"),
        ({"minus": ["x"] * 6}, 400, "minus must be given at most 5 times, got 6", "minus"),
        ({"like": ["x" * 201]}, 400, "like must have 1 to 200 characters, got 201", "like"),
        ({"minus": ["x" * 501]}, 400, "minus must have 1 to 500 characters, got 501", "minus"),
        ({"like": ["twin-99"]}, 404, "stored images, and there is no 'twin-99'", "like"),
        ({"s_query": "x", "cursor": "x"}, 400, "cursor must be the `next` of an answer", "cursor"),
    ],
)
def test_what_is_out_of_bounds_is_named(
    query: FlaskClient, change: dict[str, Any], status: int, message: str, field: str
) -> None:
    asked = {**SEARCH, **change}
    for response in (
        query.get("/search", query_string=asked),
        query.post("/search", json={**asked, "k": int(SEARCH["k"]), "wait": 0}),
    ):
        assert error(response)[::2] == (status, field)
        assert message in error(response)[1]


@pytest.mark.parametrize(
    ("in_url", "in_body", "field", "both"),
    [
        ("year=2015&year=2016&year=2017", {}, "year", "'2015' and '2016'"),
        (
            "orientation=square",
            {"orientation": "vertical"},
            "orientation",
            "'square' and 'vertical'",
        ),
        ("t=horse", {"t": "cow"}, "t", "'horse' and 'cow'"),
        ("k=3", {"k": 4}, "k", "'3' and '4'"),
        ("fold=true", {"fold": False}, "fold", "'true' and 'false'"),
    ],
)
def test_what_is_given_twice_and_means_two_things_is_refused(
    query: FlaskClient, in_url: str, in_body: dict[str, Any], field: str, both: str
) -> None:
    for response in (
        query.post(f"/search?{in_url}", json=in_body),
        posted(query, {name: str(value).lower() for name, value in in_body.items()}, in_url),
    ):
        assert error(response) == (400, f"{field} must be given once, got {both}", field)


@pytest.mark.parametrize("name", ["color", "orientaton", "picture", "T", "minus[]", "x" * 9_999])
def test_a_parameter_that_there_is_not_is_refused_and_those_that_are_named(
    query: FlaskClient, name: str
) -> None:
    url = f"/search?t=horse&wait=0&s_query=x&{name}=red"
    for response in (query.get(url), query.post(url, json={}), query.head(url)):
        assert response.status_code == 400
    status, message, field = error(query.get(url))
    assert (status, field) == (400, name[:64])
    assert message.startswith(
        "a parameter must be one of album, camera, collection, colour, cursor, fold, folder, k"
    )
    assert message.endswith(f"got {name[:64]!r}")
    assert "picture_weight" not in message, "which a query string alone cannot have"
    assert "picture_weight" in error(posted(query, form(b"x", color="red")))[1]


def test_the_mark_of_a_link_is_passed_over(query: FlaskClient) -> None:
    asked = {**SEARCH, "s_query": "twin-3", "utm_source": "news", "utm_medium": ["a", "b"]}
    answer = body(query.get("/search", query_string=asked))
    assert answer["results"][0]["image_id"] == "twin-3"
    assert error(query.post("/search", json={"utm_source": "news"}))[::2] == (400, "utm_source")


def test_what_is_given_twice_and_means_one_thing_is_taken(query: FlaskClient) -> None:
    url = "/search?t=horse&t=+horse&k=3&wait=0&orientation=&orientation=horizontal&minus=twin-4"
    body_too = {"k": 3, "t": "horse", "orientation": "  ", "s_query": "x", "minus": ["twin-5"]}
    answer = body(query.post(url, json=body_too))
    assert (answer["filters"], len(answer["results"])) == ({"orientation": "horizontal"}, 3)
    assert answer["minus"] == ["twin-4", "twin-5"], "of what may be repeated, all of both"


def test_blank_values_are_as_good_as_none(query: FlaskClient) -> None:
    asked = {"t": "horse", "s_query": "twin-3", "wait": "0"}
    blank = dict.fromkeys(("scope", "k", "cursor", "fold", "year", "user", "minus", "like"), " ")
    answer = body(query.get("/search", query_string={**asked, **blank}))
    assert len(answer["results"]) == 9
    assert (answer["restarted"], answer["scope"]) == (False, "pool")


@pytest.mark.parametrize(
    ("data", "kind", "status", "message", "field"),
    [
        (b"{", "application/json", 400, "the body is no JSON", None),
        (b"[" * 20_000, "application/json", 400, "the body is no JSON", None),
        (b"\xff", "application/json", 400, "the body is no JSON", None),
        (b"[]", "application/json", 400, "must be a JSON object, got []", None),
        (b'{"t": ["x"]}', "application/json", 400, 't must be one value, got ["x"]', "t"),
        (b'{"minus": "x"}', "application/json", 400, 'minus must be a list, got "x"', "minus"),
        (b'{"k": true}', "application/json", 400, "k must be a number, got true", "k"),
        (b'{"k": "3"}', "application/json", 400, 'k must be a number, got "3"', "k"),
        (b'{"cursor": null}', "application/json", 400, "cursor must be a text, got null", "cursor"),
        (b'{"t": 3}', "application/json", 400, "t must be a text, got 3", "t"),
        (b'{"like": [{}]}', "application/json", 400, "like must be a text, got {}", "like"),
        (b'{"miuns": ["x"]}', "application/json", 400, "got 'miuns'", "miuns"),
        (
            b'{"colour": "red", "colour": "blue"}',
            "application/json",
            400,
            'colour must be given once, got "red" and "blue"',
            "colour",
        ),
        (b'{"t": "\\ud800"}', "application/json", 400, "t must be Unicode", "t"),
        (b"{}", "text/plain", 400, "got 'text/plain'", "Content-Type"),
        (b" " * 65_537, "application/json", 413, "at most 65536 bytes, got 65537", None),
        (b"x", "multipart/form-data", 400, "is no multipart/form-data", None),
        (b"x", "multipart/form-data; boundary=y", 400, "is no multipart/form-data", None),
    ],
)
def test_a_body_that_is_none_of_ours_is_refused_in_json(
    query: FlaskClient, data: bytes, kind: str, status: int, message: str, field: str | None
) -> None:
    response = query.post("/search", data=data, content_type=kind)
    assert error(response)[::2] == (status, field)
    assert message in error(response)[1]


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (form(b"GIF89a"), 400, "picture cannot be searched by: not an image"),
        (form(b""), 400, "picture must have at least 1 byte, got 0"),
        (
            form(b"x", name="photo"),
            400,
            "a file must be called picture or unlike_picture, got 'photo'",
        ),
        ({**SEARCH, "picture": "a text"}, 400, "picture must be a file, got a text"),
        (
            {**form(b"\xff" * 5_000_000), "unlike_picture": file(b"\xff" * 5_000_001)},
            413,
            "picture and unlike_picture must have at most 10000000 bytes together, got 10000001",
        ),
        (form(b"\xff" * (MAX_PICTURE_BYTES + 1)), 413, "at most 10000000 bytes, got 10000001"),
    ],
)
def test_a_picture_that_is_none_says_why(
    query: FlaskClient, data: dict[str, Any], status: int, message: str
) -> None:
    response = posted(query, data)
    assert error(response)[::2] == (status, "picture")
    assert message in error(response)[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (file(b"GIF89a"), "unlike_picture cannot be searched by: not an image"),
        (file(b""), "unlike_picture must have at least 1 byte, got 0"),
        ("a text", "unlike_picture must be a file, got a text"),
        ([file(b"x"), file(b"y")], "unlike_picture must be one file, got 2"),
    ],
)
def test_a_picture_not_to_be_like_that_is_none_says_why(
    query: FlaskClient, data: Any, message: str
) -> None:
    response = posted(query, {**SEARCH, "s_query": "x", "unlike_picture": data})
    assert error(response)[::2] == (400, "unlike_picture")
    assert message in error(response)[1]


def test_two_pictures_and_forms_of_too_much_are_refused(query: FlaskClient) -> None:
    two = [file(b"x"), file(b"y")]
    assert "one file, got 2" in error(posted(query, {**SEARCH, "picture": two}))[1]
    many = posted(query, {**SEARCH, "minus": [str(number) for number in range(60)]})
    assert many.status_code == 413
    long = posted(query, {**SEARCH, "s_query": "x" * 70_000})
    assert long.status_code == 413
    huge = posted(query, form(b"x" * (MAX_PICTURE_BYTES + 70_000)))
    assert (huge.status_code, huge.headers["Connection"]) == (413, "close")


def test_two_pictures_that_are_too_large_together_are_named_with_bound_and_size(
    query: FlaskClient,
) -> None:
    both = {**form(b"\xff" * 6_000_000), "unlike_picture": file(b"\xff" * 6_000_000)}
    status, message, field = error(posted(query, both))
    assert (status, field) == (413, "picture")
    assert (
        "at most 10065536 bytes, picture and unlike_picture 10000000 together, got 1200" in message
    )


def test_a_preflight_allows_to_post_and_a_get_has_no_such_body(query: FlaskClient) -> None:
    preflight = query.options("/search", headers={"Origin": "https://app.example"})
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST"
    assert "POST" not in query.options("/ready").headers["Access-Control-Allow-Methods"]
    assert query.get("/search", query_string=SEARCH, data=b"x" * 70_000).status_code == 413


@pytest.mark.parametrize("bad", ["%ff%fe", "a%80", "%ed%a0%80"])
def test_bytes_of_a_link_that_are_no_utf_8_are_refused(query: FlaskClient, bad: str) -> None:
    message = f"s_query must be Unicode, in UTF-8, got {bad!r}"
    told = error(query.get(f"/search?t=horse&wait=0&s_query={bad}"))
    assert told == (400, message, "s_query")
    assert query.get(f"/search?t=horse&s_query=%C3%A9&wait=0&utm_source={bad}").status_code == 200


def test_a_file_without_a_name_counts_where_it_has_bytes(query: FlaskClient) -> None:
    def asked(data: bytes) -> TestResponse:
        head = b'--x\r\nContent-Disposition: form-data; name="picture"; filename=""\r\n\r\n'
        part = head + data + b"\r\n--x--\r\n"
        kind = "multipart/form-data; boundary=x"
        return query.post("/search?t=horse&s_query=a&wait=0", data=part, content_type=kind)

    assert body(asked(original("a picture")))["picture"] is True
    assert body(asked(b""))["picture"] is False
