"""
docs/openapi.yaml says what the doors do, no less and no more.

The bounds, parameters and answers are the doors' own: what a parameter's schema admits is parsed,
and what it does not is refused; what the function answers has each field of its schema, and none
besides. `tests/e2e/test_schemathesis.py` asks a live server for thousands of cases.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, get_args

import jsonschema_rs
import pytest
from flask import Request
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse

from imagesearch.domain import errors
from imagesearch.domain.collections import MAX_NAME_CHARACTERS, CollectionCount
from imagesearch.domain.errors import ImageSearchError, InvalidRequest
from imagesearch.domain.filters import FILTERS, OF_OWN
from imagesearch.domain.images import LAST_YEAR, Collected, Credit, Image
from imagesearch.domain.keywords import MAX_KEYWORD_CHARACTERS
from imagesearch.domain.pools import PoolState
from imagesearch.domain.queries import (
    MAX_IMAGE_ID_CHARACTERS,
    MAX_LIKE,
    MAX_MINUS,
    MAX_QUERY_CHARACTERS,
    MAX_TEXT_BYTES,
    MAX_TOP_K,
    MAX_UNLIKE,
    MOST_WEIGHT,
    Scope,
)
from imagesearch.domain.ranking import Match, SearchHit
from imagesearch.doors import cursors, http_api
from imagesearch.doors import errors as door_errors
from imagesearch.doors.http_api import (
    MAX_WAIT_SECONDS,
    NAMES,
    NUMBERS,
    PATHS,
    PICTURES,
    parse_search,
)
from imagesearch.doors.search_form import asked_of
from imagesearch.settings import load_settings
from tests.unit.test_functions import SEARCH, serve
from tests.world import World
from tools import openapi

MEND = "mend docs/openapi.yaml, then run `make openapi`"
DOCUMENT = openapi.read()
PARAMETERS: dict[str, Any] = {
    each["name"]: each for each in DOCUMENT["paths"]["/search"]["get"]["parameters"]
}
SCHEMAS = DOCUMENT["components"]["schemas"]
OF_A_FORM = set(SCHEMAS["SearchForm"]["properties"]) - set(SCHEMAS["Search"]["properties"])
VALID = {"t": "horse", "s_query": "a horse"}
# Those that tell a client something.
OWN_HEADERS = {"Retry-After", "Location", "Server-Timing", "WWW-Authenticate"}


@pytest.fixture
def query(world: World) -> FlaskClient:
    return serve("query", world, load_settings())


# --- what is made of the document ----------------------------------------------------------------


def test_what_is_made_of_the_document_is_that_of_the_document() -> None:
    assert openapi.JSON.read_text() == openapi.as_json(DOCUMENT), "run `make openapi`"
    assert openapi.PAGE.read_text() == openapi.as_page(DOCUMENT), "run `make openapi`"
    assert openapi.TYPES.read_text() == openapi.as_types(DOCUMENT), "run `make openapi`"


def test_the_document_is_served(query: FlaskClient) -> None:
    answer = query.get("/openapi.json")
    assert answer.mimetype == "application/json"
    assert json.loads(answer.data) == DOCUMENT


def test_every_path_of_the_door_is_in_the_document_and_no_other() -> None:
    assert {*PATHS, "/openapi.json"} == set(DOCUMENT["paths"]), MEND


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_every_method_of_a_path_is_in_the_document_and_no_other(
    query: FlaskClient, path: str
) -> None:
    taken = {
        method.lower()
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if query.open(path, method=method).status_code != 405
    }
    assert taken == set(DOCUMENT["paths"][path]), MEND


# --- parameters ----------------------------------------------------------------------------------


class Asked(dict[str, Any]):
    """Parameters that note by which names they were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.names.add(key)
        return super().__getitem__(key)


def test_every_parameter_that_the_door_reads_is_in_the_document_and_no_other() -> None:
    read = set()
    for scope in ("pool", "catalog"):
        asked, repeated = Asked({**VALID, "scope": scope}), Asked({"minus": ["x"]})
        parse_search(asked, repeated)
        read |= asked.names | repeated.names
    assert read == NAMES, "http_api.NAMES must have what parse_search reads"
    where = "paths./search.get.parameters and components.schemas.SearchForm"
    documented = set(PARAMETERS) | OF_A_FORM - set(PICTURES)
    assert read - documented == set(), f"the door reads more than {where}: {MEND}"
    assert documented - read == set(), f"the door does not read all of {where}: {MEND}"


def test_the_door_takes_for_a_number_what_the_page_says_is_one() -> None:
    schemas = SCHEMAS["SearchForm"]["properties"]
    types = {name: each.get("items", each).get("type") for name, each in schemas.items()}
    assert {name for name, kind in types.items() if kind in ("integer", "number")} == NUMBERS
    assert {name for name, each in FILTERS.items() if each.is_number} == NUMBERS & set(FILTERS)


def test_a_body_has_the_parameters_of_the_query_string_and_a_form_pictures_besides() -> None:
    schemas = {name: each["schema"] for name, each in PARAMETERS.items()}
    body, form = SCHEMAS["Search"]["properties"], SCHEMAS["SearchForm"]["properties"]
    assert body == schemas, MEND
    assert set(form) - set(body) == OF_A_FORM == {*PICTURES, "picture_weight"}
    assert {name: form[name] for name in body} == body


BOUNDS = {
    ("t", "maxLength"): MAX_KEYWORD_CHARACTERS,
    ("s_query", "maxLength"): MAX_QUERY_CHARACTERS,
    ("k", "maximum"): MAX_TOP_K,
    ("wait", "maximum"): MAX_WAIT_SECONDS,
    ("cursor", "maxLength"): cursors.MAX_CHARACTERS,
    ("year", "maximum"): LAST_YEAR,
    ("month", "maximum"): 12,
    ("user", "maxLength"): 100,
    ("source", "maxLength"): 100,
    ("collection", "maxLength"): MAX_NAME_CHARACTERS,
    ("folder", "maxLength"): 1000,
    ("album", "maxLength"): 200,
    ("camera", "maxLength"): 200,
    ("minus", "maxItems"): MAX_MINUS,
    ("minus", "items.maxLength"): MAX_QUERY_CHARACTERS,
    ("unlike", "maxItems"): MAX_UNLIKE,
    ("unlike", "items.maxLength"): MAX_IMAGE_ID_CHARACTERS,
    ("s_query_weight", "maximum"): MOST_WEIGHT,
    ("like_weight", "maxItems"): MAX_LIKE,
    ("like_weight", "items.maximum"): MOST_WEIGHT,
    ("like", "maxItems"): MAX_LIKE,
    ("like", "items.maxLength"): MAX_IMAGE_ID_CHARACTERS,
}


def test_the_bounds_of_the_document_are_the_constants_of_the_code() -> None:
    documented = {}
    for name, each in PARAMETERS.items():
        schema = each["schema"]
        items = {f"items.{kind}": value for kind, value in schema.get("items", {}).items()}
        for kind, value in {**schema, **items}.items():
            if kind.rpartition(".")[2] in ("maxLength", "maximum", "maxItems"):
                documented[name, kind] = value
    assert documented == BOUNDS, f"add the constant to BOUNDS, or {MEND}"


TRIED = {
    "tag": [
        (",".join("x" * 60 for _ in range(5)), True),
        ("x" * 61, False),
        ("x" + ",x" * 5, False),
    ]
}
"""The bounds of a pattern."""
OPAQUE = {"cursor"}  # what is a valid one is told by an answer, not by a schema


def edges(schema: Any) -> Iterator[tuple[Any, bool]]:
    """Yield values at the bounds of a parameter's *schema*, and whether it admits them."""
    if schema.get("type") == "array":
        for value, is_valid in edges(schema["items"]):
            yield [value], is_valid
        some = 1 if schema["items"]["type"] == "number" else "x"
        for count in (schema["maxItems"], schema["maxItems"] + 1):
            yield [some] * count, count == schema["maxItems"]
    if "enum" in schema:
        yield from ((value, True) for value in schema["enum"])
        yield "nonsense", False
    if "maxLength" in schema:
        yield "x" * schema["maxLength"], True
        yield "x" * (schema["maxLength"] + 1), False
    for bound, step in (("minimum", -1), ("maximum", 1)):
        if bound in schema:
            yield schema[bound], True
            yield schema[bound] + step, False
    if schema.get("type") in ("integer", "number", "boolean"):
        yield "some", False
    if schema.get("type") == "boolean":
        yield from ((value, True) for value in (True, False))


EDGES = [
    (name, value, is_valid)
    for name, each in PARAMETERS.items()
    for value, is_valid in (*edges(each["schema"]), *TRIED.get(name, ()))
    if not (is_valid and name in OPAQUE)
]


def in_url(values: Mapping[str, Any]) -> Request:
    texts = {
        key: str(value).lower() if value in (True, False) else value
        for key, value in values.items()
    }
    return Request(EnvironBuilder("/search", query_string=texts).get_environ())


def in_json(values: Mapping[str, Any]) -> Request:
    return Request(EnvironBuilder("/search", method="POST", json=values).get_environ())


@pytest.mark.parametrize("request_of", [in_url, in_json])
@pytest.mark.parametrize(("name", "value", "is_valid"), EDGES)
def test_the_door_takes_what_the_document_admits_and_nothing_beyond(
    name: str, value: Any, is_valid: bool, request_of: Callable[[Mapping[str, Any]], Request]
) -> None:
    weighed = len(value) if name == "like_weight" else 0
    likes = [f"x {number}" for number in range(min(weighed, MAX_LIKE))]
    valid = {"s_query": "a horse"} if name in OF_OWN else VALID  # those go with no keyword
    request = request_of({**valid, "like": likes, name: value})
    if is_valid:
        asked_of(request)
        return
    with pytest.raises(InvalidRequest) as caught:
        asked_of(request)
    assert caught.value.field == name


def test_every_parameter_has_a_bound_that_is_tried() -> None:
    assert {name for name, _, is_valid in EDGES if not is_valid} == set(PARAMETERS), MEND


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name not in VALID])
def test_what_the_document_has_as_default_is_what_its_lack_means(name: str) -> None:
    schema = PARAMETERS[name]["schema"]
    if "default" not in schema:
        return
    text = json.dumps(schema["default"]).strip('"')
    given, without = parse_search({**VALID, name: text}), parse_search(VALID)
    if name in FILTERS:
        assert FILTERS[name].where(text) == ()
    else:
        assert given == without


@pytest.mark.parametrize("name", FILTERS)
def test_the_choices_of_a_filter_are_those_of_the_document(name: str) -> None:
    words = FILTERS[name].values.split("|")
    if len(words) > 1:
        assert PARAMETERS[name]["schema"]["enum"] == words, MEND


# --- answers -------------------------------------------------------------------------------------


def strict(node: Any) -> Any:
    """Return a copy of *node* whose objects have no other fields than those that it names."""
    if isinstance(node, list):
        return [strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {key: strict(value) for key, value in node.items()}
    return {**copy, "additionalProperties": False} if "properties" in node else copy


STRICT = {**deepcopy(DOCUMENT), "components": strict(DOCUMENT["components"])}


def faults(schema: Any, body: Any) -> list[str]:
    """Return where *body* has not all the fields of *schema* and none besides."""
    validator = jsonschema_rs.Draft202012Validator({**STRICT, **strict(schema)})
    return [
        f"{'.'.join(map(str, error.instance_path)) or 'the answer'}: {error.message}: {MEND}"
        for error in validator.iter_errors(body)
    ]


def check_documented(answer: TestResponse, path: str, method: str = "get") -> None:
    responses = DOCUMENT["paths"][path][method]["responses"]
    response = openapi.resolved(
        DOCUMENT, responses.get(str(answer.status_code)) or responses["default"]
    )
    (media_type,) = response["content"]
    assert answer.mimetype == media_type
    assert faults(response["content"][media_type]["schema"], json.loads(answer.data)) == []
    headers = {
        name: openapi.resolved(DOCUMENT, header)
        for name, header in response.get("headers", {}).items()
    }
    sent = set(answer.headers.keys()) & OWN_HEADERS
    if answer.status_code < 400:
        assert sent <= set(headers), f"a header of {answer.status_code} is missing: {MEND}"
    assert {name for name, header in headers.items() if header.get("required")} <= sent


Situation = Callable[[FlaskClient, World], TestResponse]


def ready(query: FlaskClient, world: World) -> TestResponse:
    world.ready_pool(count=3)
    return query.get("/search", query_string={**SEARCH, "orientation": "horizontal"})


def everything(query: FlaskClient, world: World) -> TestResponse:
    world.ready_pool(count=3)
    return query.get("/search", query_string={"s_query": "twin-1", "scope": "catalog"})


def unknown(query: FlaskClient, _: World) -> TestResponse:
    return query.get("/search", query_string=SEARCH)


def malformed(query: FlaskClient, _: World) -> TestResponse:
    return query.get("/search")


def failed(query: FlaskClient, world: World) -> TestResponse:
    world.source.listing_errors.extend([errors.SourceRefused("a bad key")] * 5)
    world.ask()
    world.deliver_all()
    return query.get("/search", query_string=SEARCH)


def refused_too_often(query: FlaskClient, world: World) -> TestResponse:
    impatient = serve("query", world, load_settings(rate_limit_per_minute=1))
    impatient.get("/search", query_string=SEARCH)
    return impatient.get("/search", query_string=SEARCH)


def without_the_key(query: FlaskClient, world: World) -> TestResponse:
    return serve("query", world, load_settings(search_api_key="key")).get("/search")


def put(query: FlaskClient, _: World) -> TestResponse:
    return query.put("/search")


def like_nothing(query: FlaskClient, world: World) -> TestResponse:
    world.ready_pool(count=3)
    return query.get("/search", query_string={**SEARCH, "like": "none"})


def too_large(query: FlaskClient, _: World) -> TestResponse:
    data = b" " * (MAX_TEXT_BYTES + 1)
    return query.post("/search", data=data, content_type="application/json")


@pytest.mark.parametrize(
    ("situation", "status"),
    [
        (ready, 200),
        (everything, 200),
        (unknown, 202),
        (malformed, 400),
        (failed, 503),
        (refused_too_often, 429),
        (without_the_key, 401),
        (put, 405),
        (like_nothing, 404),
        (too_large, 413),
    ],
)
def test_what_a_search_answers_is_in_the_document(
    query: FlaskClient, world: World, situation: Situation, status: int
) -> None:
    answer = situation(query, world)
    assert answer.status_code == status
    check_documented(answer, "/search")


@pytest.mark.parametrize("facts", [{}, {"rating": -1, "place": (47.37, 8.54)}])
def test_what_is_told_of_an_own_picture_is_in_the_document(facts: dict[str, Any]) -> None:
    image = Image("own-1", "own-1.jpg", "/originals/own-1", 640, 427, Credit("", "Your pictures"))
    own = replace(image, collected=Collected(("Pictures",), file="1.jpg", **facts))
    for each in (image, own):
        hit = SearchHit(each, 0.3, 30.0, 0.5, match="fair")
        body = http_api._hit_json(hit, "https://here.example/", "https://here.example/images")
        assert faults({"$ref": "#/components/schemas/Hit"}, body) == []


def test_what_is_told_of_collections_is_in_the_document(query: FlaskClient) -> None:
    counts = [CollectionCount("Pictures", 3120, 3089, 2, is_updating=True)]
    for there in ([], counts):
        query.application.extensions["process"].collections = lambda there=there: there
        answer = query.get("/collections")
        assert len(answer.get_json()["collections"]) == len(there)
        check_documented(answer, "/collections")


def test_what_is_told_of_a_pool_is_in_the_document(query: FlaskClient, world: World) -> None:
    world.ready_pool(count=3)
    pool_id = ready(query, world).get_json()["pool"]["pool_id"]
    for shown, status in ((pool_id, 200), ("0" * 32, 404), ("x", 400)):
        answer = query.get(f"/pools/{shown}")
        assert answer.status_code == status
        check_documented(answer, "/pools/{pool_id}")


@pytest.mark.parametrize("path", ["/alive", "/ready"])
def test_what_is_told_of_the_process_is_in_the_document(query: FlaskClient, path: str) -> None:
    check_documented(query.get(path), path)


def test_each_field_is_in_every_answer_but_that_of_an_error() -> None:
    optional = {
        (name, field)
        for name, schema in [*SCHEMAS.items(), ("Error", SCHEMAS["Error"]["properties"]["error"])]
        for field in schema["properties"]
        if field not in schema["required"] and not name.startswith("Search")
    }
    assert optional == {("Error", "field")}


def examples(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the examples below *node*, each with its schema."""
    if isinstance(node, dict):
        if "example" in node and "schema" in node:
            yield node["schema"], node["example"]
        for value in node.values():
            yield from examples(value)
    elif isinstance(node, list):
        for value in node:
            yield from examples(value)


@pytest.mark.parametrize(("schema", "example"), list(examples(DOCUMENT)))
def test_each_example_is_one(schema: Any, example: Any) -> None:
    assert faults(schema, example) == []


# --- words ---------------------------------------------------------------------------------------


def kinds_of_errors(kind: type[ImageSearchError] = ImageSearchError) -> Iterator[type]:
    for each in kind.__subclasses__():
        if not each.__name__.startswith("_"):
            yield each
        yield from kinds_of_errors(each)


def test_the_codes_and_statuses_of_errors_are_those_of_the_document() -> None:
    ours: Any = list(kinds_of_errors())
    codes = {each.code for each in ours} | {*door_errors._CODES.values(), "http_error"}
    assert codes == set(SCHEMAS["Error"]["properties"]["error"]["properties"]["code"]["enum"]), MEND
    refused = DOCUMENT["components"]["responses"]["Refused"]["description"]
    documented = set(DOCUMENT["paths"]["/search"]["get"]["responses"])
    for status in {each.status for each in ours} | set(door_errors._CODES):
        assert str(status) in documented or str(status) in refused, (status, MEND)


def test_the_words_of_an_answer_are_those_of_the_document() -> None:
    states = [*(state.value for state in PoolState), "stale"]
    assert SCHEMAS["Pool"]["properties"]["state"]["enum"] == states
    assert SCHEMAS["Hit"]["properties"]["match"]["enum"] == list(get_args(Match))
    scopes = list(get_args(Scope))
    assert SCHEMAS["Answer"]["properties"]["scope"]["enum"] == scopes
    assert PARAMETERS["scope"]["schema"]["enum"] == scopes
