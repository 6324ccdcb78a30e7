"""Searches of collections: what the door and the command line make of them, and say of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from imagesearch.cli.search import collection_named
from imagesearch.cli.search_arguments import Arguments, checked
from imagesearch.cli.search_table import print_table
from imagesearch.client import Answer, Client, Collection, SearchFailed
from imagesearch.client.searching import Ask, Reply
from imagesearch.domain.collections import CollectionCount
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters import OF_OWN
from imagesearch.domain.images import Collected
from imagesearch.doors import http_api
from imagesearch.doors.page import page_config

# --- at the door ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(OF_OWN))
def test_a_search_of_own_pictures_needs_no_keyword(name: str) -> None:
    request = http_api.parse_search({"s_query": "???", name: "Italy"})
    assert (request.scope, request.keyword, request.filters) == ("catalog", "", {name: "Italy"})
    blank = http_api.parse_search({"s_query": "a dog", name: " "})
    assert (blank.scope, blank.keyword, blank.filters) == ("pool", "dog", {})


@pytest.mark.parametrize("name", sorted(OF_OWN))
@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({"scope": "pool"}, "with scope 'pool'"),
        ({"t": "horse"}, "with t 'horse'"),
        ({"t": "horse", "scope": "catalog"}, "with t 'horse'"),
    ],
)
def test_a_filter_of_own_pictures_is_refused_where_a_keyword_s_are_searched(
    name: str, beside: dict[str, str], told: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        http_api.parse_search({"s_query": "a dog", name: "Italy", **beside})
    assert refused.value.field == name
    assert str(refused.value).endswith(f"got {name} 'Italy' {told}")


def test_a_search_with_a_filter_that_anybodys_pictures_pass_is_of_a_keyword() -> None:
    assert http_api.parse_search({"s_query": "a dog", "year": "2019"}).scope == "pool"


def test_what_is_known_of_an_own_picture_is_told_and_what_is_not_is_null() -> None:
    collected = Collected(
        collections=("Pictures", "Phone"),
        folders=("2019", "2019/Italy"),
        albums=("Summer",),
        file="2019/Italy/1.jpg",
        title="By the lake",
        camera="Canon EOS 80D",
        rating=4,
        place=(47.37, -8.54),
    )
    assert http_api.own_json(collected) == {
        "file": "2019/Italy/1.jpg",
        "title": "By the lake",
        "collections": ["Pictures", "Phone"],
        "albums": ["Summer"],
        "camera": "Canon EOS 80D",
        "rating": 4,
        "place": {"latitude": 47.37, "longitude": -8.54},
    }
    unknown = http_api.own_json(Collected(("Pictures",), file="1.jpg"))
    assert (unknown["rating"], unknown["place"], unknown["albums"]) == (None, None, [])
    assert http_api.own_json(Collected(rating=-1))["rating"] == -1


def test_collections_are_told_with_what_is_there_of_them() -> None:
    count = CollectionCount("Pictures", 3120, 3089, 2, is_updating=True)
    told = {"name": "Pictures", "pictures": 3120, "images": 3089, "problems": 2, "updating": True}
    assert http_api.collections_json([count]) == {"collections": [told]}


def test_the_page_is_told_whether_there_are_collections_and_documents() -> None:
    for there in (True, False):
        written = page_config((), [("Pixabay", "", "")], has_collections=there, has_docs=not there)
        config = json.loads(written)
        assert (config["collections"], config["docs"]) == (there, not there)


# --- on the command line -------------------------------------------------------------------------


def arguments(*texts: str, like: tuple[str, ...] = (), **filters: str) -> Arguments:
    return Arguments(
        texts=list(texts),
        k="10",
        minus=[],
        like=list(like),
        unlike=[],
        query_weight="",
        like_weight=[],
        everywhere=False,
        more="",
        fold=True,
        filters=filters,
    )


@pytest.mark.parametrize("name", sorted(OF_OWN))
def test_a_text_beside_a_filter_of_own_pictures_is_the_sentence(name: str) -> None:
    for like in ((), ("own-1",)):
        params = arguments("a dog", like=like, **{name: "Italy"}).params()
        assert (params["scope"], params["s_query"]) == ("catalog", "a dog")
        assert "t" not in params
        assert checked(params, {}).filters == {name: "Italy"}
    alone = arguments(like=("own-1",), **{name: "Italy"}).params()
    assert alone["scope"] == "catalog"


def test_own_pictures_have_no_keyword() -> None:
    with pytest.raises(InvalidRequest) as caught:
        arguments("dog", "a dog", collection="Pictures").params()
    assert str(caught.value) == "--collection must come without KEYWORD, got 'dog'"
    assert arguments("dog", "a dog", collection=" ").params()["t"] == "dog"


def test_a_collection_that_cannot_be_is_told_by_its_option() -> None:
    with pytest.raises(InvalidRequest, match=r"^--collection must have 1 to 100 characters that"):
        checked(arguments("a dog", collection="x" * 101).params(), {})
    with pytest.raises(InvalidRequest, match=r"^QUERY or --like must be given, got neither"):
        arguments(collection="Pictures").params()


PICTURES = {"name": "Pictures", "pictures": 4100, "images": 4000, "problems": 0, "updating": False}


@dataclass
class OneReply:
    """A server that answers once and for all, or raises."""

    outcome: Reply | Exception

    def ask(self, ask: Ask) -> Reply:
        assert ask.path == "/collections"
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def image(self, url: str) -> bytes:
        raise AssertionError(url)


def told(outcome: Reply | Exception, name: str) -> Collection | None:
    return collection_named(Client(OneReply(outcome)), name)


def test_a_collection_is_known_by_its_name_however_it_is_written() -> None:
    other = {**PICTURES, "name": "Phone"}
    collection = told(Reply(200, {"collections": [other, PICTURES]}, None), "  pictures ")
    assert collection == Collection.model_validate(PICTURES)
    assert told(Reply(200, {"collections": [other]}, None), "Pictures") is None


@pytest.mark.parametrize("body", [None, {}, {"collections": [{"name": 7}]}, {"error": {}}, "x"])
def test_a_server_that_tells_nothing_of_collections_hides_no_picture(body: Any) -> None:
    assert told(Reply(404, body, None), "Pictures") is None
    assert told(Reply(200, body, None), "Pictures") is None
    assert told(SearchFailed("it is gone"), "Pictures") is None


def test_nothing_is_asked_of_no_collection() -> None:
    assert told(AssertionError(), "") is None


RESULT = {
    "image_id": "own-1",
    "url": "http://here.example/images/own-1.jpg",
    "page_url": "http://here.example/originals/own-1",
    "credit": {"user": "", "source": "Your pictures"},
    "tags": ["lake"],
    "score": 0.3,
    "match": "fair",
    "own": {"file": "2019/Italy/1.jpg", "title": "By the water"},
}
ANSWER: dict[str, Any] = {
    "results": [RESULT],
    "query": "a lake",
    "complete": True,
    "query_truncated": False,
    "scope": "catalog",
    "pool": None,
    "timings": {"total_seconds": 0.01},
    "filters": {"collection": "pictures"},
}
KNOWN = Collection.model_validate(PICTURES)


def printed(
    capsys: pytest.CaptureFixture[str], collection: Collection | None, **changes: Any
) -> str:
    answer = Answer.model_validate({**ANSWER, **changes})
    print_table(answer, ("http",), 1, is_keyword_given=False, collection=collection)
    return " ".join(capsys.readouterr().out.split())


def test_a_table_names_files_and_how_many_pictures_were_searched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(capsys, KNOWN)
    assert "2019/Italy/1.jpg By the water, lake" in text
    assert "own-1" not in text
    assert "4,000 pictures of Pictures searched in 10 ms." in text
    assert "up to date" not in text
    growing = KNOWN.model_copy(update={"updating": True})
    assert "Pictures is not up to date yet." in printed(capsys, growing)
    filters = {"collection": "pictures", "year": "2019"}
    narrowed = printed(capsys, KNOWN, filters=filters)
    assert "Of 4,000 pictures of Pictures those with year 2019 were searched in" in narrowed
    assert "All that is stored was searched in" in printed(capsys, None)


def test_where_nothing_is_found_it_is_said_of_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, KNOWN, results=[]) == "Pictures has no picture yet."
    filters = {"collection": "pictures", "album": "Summer"}
    of_none = "None of the 4,000 pictures of Pictures has album Summer."
    assert printed(capsys, KNOWN, results=[], filters=filters) == of_none
    unknown = "No collection 'pictures' is there: imagesearch collections prints them."
    assert printed(capsys, None, results=[]) == unknown
    everywhere = "Nothing that is stored has album Summer."
    assert printed(capsys, None, results=[], filters={"album": "Summer"}) == everywhere
