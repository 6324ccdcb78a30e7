"""The clients have what docs/openapi.yaml has: each parameter and each field, with its type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter

from imagesearch.client import Client, SearchFailed, api
from imagesearch.client.searching import Ask, Patience, Reply
from tools import openapi

DOCUMENT = openapi.read()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
ANSWERS = sorted(SCHEMAS.keys() - {"Search", "SearchForm", "Error"})
MEND = "mend imagesearch/client/api.py"


def kinds(schema: dict[str, Any], document: dict[str, Any]) -> tuple[frozenset[str], object]:
    """Return which JSON types *schema* admits, what is in them, and which words."""
    if "$ref" in schema:
        return kinds(openapi_part(schema["$ref"], document), document)
    if "anyOf" in schema:
        parts = [kinds(each, document) for each in schema["anyOf"]]
        words = frozenset().union(*(each[1] for each in parts if isinstance(each[1], frozenset)))
        inner = [each[1] for each in parts if not isinstance(each[1], frozenset)]
        return frozenset().union(*(each[0] for each in parts)), inner[0] if inner else words
    types = schema.get("type", "string")
    inside: object = frozenset(schema.get("enum", [schema["const"]] if "const" in schema else []))
    if "items" in schema:
        inside = kinds(schema["items"], document)
    elif isinstance(schema.get("additionalProperties"), dict):
        inside = kinds(schema["additionalProperties"], document)
    elif "properties" in schema:
        inside = schema.get("title", "")
    return frozenset([types] if isinstance(types, str) else types), inside


def openapi_part(reference: str, document: dict[str, Any]) -> dict[str, Any]:
    part: Any = document
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return {"title": name, **part}


def fields(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, object]:
    return {name: kinds(each, document) for name, each in schema["properties"].items()}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_client_reads_each_field_of_an_answer_and_no_other(name: str) -> None:
    ours = TypeAdapter(getattr(api, name)).json_schema()
    assert fields(ours, ours) == fields(SCHEMAS[name], DOCUMENT), f"{MEND}: class {name}"


def test_the_client_takes_each_parameter_of_a_search_and_no_other() -> None:
    types = {
        name: TypeAdapter(each).json_schema() for name, each in get_type_hints(api.Search).items()
    }
    ours = {"properties": types}
    theirs = fields(SCHEMAS["SearchForm"], DOCUMENT)
    del theirs["wait"]  # the client's own
    assert fields(ours, ours) == theirs, f"{MEND}: class Search"
    assert {name for name in theirs if "picture" in name} == {*api.PICTURES, "picture_weight"}


def examples() -> Iterator[tuple[str, int, Any]]:
    """Each answer that the document shows of what a client asks: path, status and body."""
    for path in ("/search", "/collections", "/pools/{pool_id}"):
        for status, answer in DOCUMENT["paths"][path]["get"]["responses"].items():
            whole = openapi_part(answer["$ref"], DOCUMENT) if "$ref" in answer else answer
            number = 405 if status == "default" else int(status)
            yield path, number, whole["content"]["application/json"]["example"]


@pytest.mark.parametrize(
    ("path", "status", "body"), list(examples()), ids=lambda each: str(each)[:20]
)
def test_what_the_document_shows_is_read_or_told(path: str, status: int, body: Any) -> None:
    class Shown:
        def ask(self, ask: Ask) -> Reply:
            is_first, self.is_asked = not self.is_asked, True
            return Reply(status, body, 1.0) if is_first else Reply(400, SECOND, None)

        def image(self, url: str) -> bytes:
            raise AssertionError

        is_asked = False

    client = Client(Shown(), patience=Patience(retry_pauses_seconds=()), sleep=lambda _: None)
    asking: Callable[[], Any] = {
        "/search": lambda: client.page(t="horse", orientation="horizontal").as_it_came(),
        "/collections": lambda: [each.model_dump() for each in client.collections()],
        "/pools/{pool_id}": lambda: client.pool("4b1c").model_dump(exclude_unset=True),
    }[path]
    if status == 200:
        assert asking() == (body["collections"] if path == "/collections" else body)
        return
    # What is to be waited for is asked for again.
    told = SECOND if status in (202, 429, 504) else body
    with pytest.raises(SearchFailed) as failed:
        asking()
    assert told["error"]["message"] in str(failed.value)


SECOND = {"error": {"code": "invalid_request", "message": "asked again"}}
