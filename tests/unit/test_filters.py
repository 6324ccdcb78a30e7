"""Filters: what their texts stand for, what they leave of images, and who offers them."""

from __future__ import annotations

import json
import random
from collections import Counter, UserDict

import numpy as np
import pytest

from imagesearch.cli.main import program
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.filters import FILTERS, chosen, where_of
from imagesearch.domain.filters.declaration import FACTS, Comparison, by_name, choice, holds
from imagesearch.domain.images import Credit, Image
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.doors.http_api import parse_search
from imagesearch.sources.pixabay import ORIENTATIONS
from imagesearch.wire.scoring import decode, encode


def image(width: int, height: int) -> Image:
    return Image("twin-1", "twin-1.jpg", "", width, height, Credit("", "Twin"))


SIDES = [(640, 427), (427, 640), (500, 500), (500, 499), (1, 1)]
UNKNOWN = [(0, 0), (640, 0), (0, 427), (-640, 427), (640, -427), (-3, -3)]


@pytest.mark.parametrize(
    ("word", "left"),
    [
        ("all", [*SIDES, *UNKNOWN]),
        ("horizontal", [(640, 427), (500, 499)]),
        ("vertical", [(427, 640)]),
        ("square", [(500, 500), (1, 1)]),
    ],
)
def test_orientation_leaves_what_its_word_says_and_nothing_unknown(
    word: str, left: list[tuple[int, int]]
) -> None:
    where = where_of({"orientation": word})
    assert [sides for sides in [*SIDES, *UNKNOWN] if holds(where, image(*sides))] == left


def test_orientation_has_the_words_of_the_setting_that_fetches() -> None:
    for word in ORIENTATIONS:
        where_of({"orientation": word})


HOSTILE = ["diagonal", "Vertical", "vertical;", "' OR 1=1 --", "\x00", "\ud800", "縦", "x" * 99_999]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_word_that_orientation_has_not_is_refused_with_field_bound_and_value(text: str) -> None:
    bound = "orientation must be one of all, horizontal, vertical, square, got "
    for read in (chosen, where_of, lambda args: parse_search({"t": "x", "s_query": "y", **args})):
        with pytest.raises(InvalidRequest) as caught:
            read({"orientation": text})
        assert caught.value.field == "orientation"
        assert str(caught.value) == f"{bound}{text[:64]!r}"


@pytest.mark.parametrize("name", ["", "scope", "orientation ", "__class__", "\ud800", "x" * 99_999])
def test_a_filter_that_there_is_not_is_refused_and_named(name: str) -> None:
    """No door passes one on; another version of the query function may."""
    with pytest.raises(InvalidRequest) as caught:
        where_of({name: "vertical"})
    assert str(caught.value).endswith(f"got {name[:64]!r}")


def test_a_door_takes_the_filters_out_of_what_it_is_given() -> None:
    given = {"t": "x", "s_query": "y", "orientation": " square ", "nonsense": "z"}
    assert parse_search(given).filters == {"orientation": "square"}
    for blank in ("", "  "):
        assert parse_search({**given, "orientation": blank}).filters == {}


def test_what_holds_of_images_holds_of_columns_of_their_facts() -> None:
    """SQLite's library compares columns, all else an image: it must be the same."""
    random.seed(1)
    images = [image(random.randint(-2, 4), random.randint(-2, 4)) for _ in range(500)]
    columns = {fact: np.array([getattr(each, fact) for each in images]) for fact in FACTS}
    for comparison in (
        *where_of({"orientation": "horizontal"}),
        *where_of({"orientation": "vertical"}),
        *where_of({"orientation": "square"}),
        Comparison("height", ">", 1),
    ):
        assert isinstance(comparison, Comparison)
        expected = [holds((comparison,), each) for each in images]
        assert comparison.over(columns.__getitem__).tolist() == expected
        assert len(set(expected)) == 2


@pytest.mark.parametrize(
    ("name", "text", "bound"),
    [
        ("month", "13", "month must be a whole number between 1 and 12"),
        ("month", "0", "month must be a whole number between 1 and 12"),
        ("month", "-1", "month must be a whole number between 1 and 12"),
        ("year", "1799", "year must be a whole number between 1800 and 2100"),
        ("year", "2101", "year must be a whole number between 1800 and 2100"),
        ("year", "2_015", "year must be a whole number between 1800 and 2100"),
        ("year", "٢٠١٥", "year must be a whole number between 1800 and 2100"),
        ("year", "9" * 5000, "year must be a whole number between 1800 and 2100"),
        ("user", "x" * 101, "user must have 1 to 100 characters that can be seen"),
        ("source", "\u200b", "source must have 1 to 100 characters that can be seen"),
        ("collection", "\u200b", "collection must have 1 to 100 characters that can be seen"),
        ("collection", "x" * 101, "collection must have 1 to 100 characters that can be seen"),
        ("folder", "x" * 1001, "folder must have 1 to 1000 characters that can be seen"),
        ("album", "x" * 201, "album must have 1 to 200 characters that can be seen"),
        ("camera", "x" * 201, "camera must have 1 to 200 characters that can be seen"),
        ("tag", "a,", "tag must have 1 to 5 texts, with commas between, each of 1 to 60 char"),
        ("tag", "a,b,c,d,e,f", "tag must have 1 to 5 texts, with commas between, each of 1 to 60"),
        ("tag", "x" * 61, "tag must have 1 to 5 texts, with commas between, each of 1 to 60"),
    ],
)
def test_what_no_image_can_have_is_refused_with_field_bound_and_value(
    name: str, text: str, bound: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chosen({name: text})
    assert caught.value.field == name
    assert str(caught.value).startswith(bound)
    assert str(caught.value).endswith(f"got {text[:64]!r}")


@pytest.mark.parametrize(
    ("filters", "is_left"),
    [
        ({"tag": "Wild  FLOWER"}, True),
        ({"tag": "wild flower,ＨＯＲＳＥ"}, True),
        ({"tag": "horse, horse"}, True),
        ({"tag": "flower"}, False),
        ({"tag": "horse,cow"}, False),
        ({"user": "anna"}, True),
        ({"user": "ann"}, False),
        ({"source": "PIXABAY"}, True),
        ({"year": "2015", "month": "10"}, True),
        ({"year": "2015", "month": "1"}, False),
    ],
    ids=str,
)
def test_texts_and_dates_are_compared_whole_and_without_case(
    filters: dict[str, str], is_left: bool
) -> None:
    credit = Credit("Anna", "Pixabay")
    of_all = Image("i", "i", "", 1, 1, credit, ("Horse", "wild flower"), year=2015, month=10)
    assert holds(where_of(filters), of_all) is is_left
    assert not holds(where_of(filters), image(1, 1)), "nothing is known of it"


def test_every_filter_is_an_option_of_the_command_line() -> None:
    import typer.main

    search = typer.main.get_command(program(["search"])).commands["search"]  # type: ignore[attr-defined]
    options = {name: option for option in search.params for name in option.opts}
    for each in FILTERS.values():
        option = options[f"--{each.name.replace('_', '-')}"]
        assert (option.metavar, option.help) == (each.values, each.help)


def test_a_pool_beside_another_travels_to_the_scorer() -> None:
    request = ScoreRequest(
        query=Query.of_text("x"), top_k=1, pool_id="a", generation=2, beside=("b", 1)
    )
    assert decode(encode(request)) == request
    assert "query" not in json.loads(encode(request)), "an older scorer would leave the pool out"
    assert decode(b'{"query": "x", "top_k": 1}').beside is None
    with pytest.raises(InvalidRequest, match="beside"):
        decode(b'{"query": "x", "top_k": 1, "beside": ["b"]}')


def test_filters_travel_to_the_scorer_and_one_of_none_is_left_out() -> None:
    request = ScoreRequest(query=Query.of_text("x"), top_k=1, filters={"orientation": "square"})
    assert decode(encode(request)) == request
    assert decode(b'{"query": "x", "top_k": 1}').filters == {}
    with pytest.raises(InvalidRequest, match="filters"):
        decode(b'{"query": "x", "top_k": 1, "filters": {"orientation": 7}}')


def test_two_filters_of_one_name_let_nothing_start() -> None:
    """Of which one would be left out without a word."""
    first, second = (choice("size", {word: ()}, help="") for word in ("big", "small"))
    assert by_name([first, first]) == {"size": first}, "imported under two names"
    with pytest.raises(ValueError, match="two filters are called 'size'"):
        by_name([first, second])


class Asked(UserDict[str, str]):
    """A query string that notes which parameters it is asked for."""

    def __init__(self, **parameters: str) -> None:
        super().__init__(parameters)
        self.names: Counter[str] = Counter()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]  # as Flask's
        self.names[name] += 1
        return self.data.get(name, default)


def test_no_filter_has_the_name_of_another_parameter() -> None:
    """A parameter's text would be read as a filter's, too."""
    as_search, as_filters = (Asked(t="horse", s_query="a horse") for _ in range(2))
    parse_search(as_search)
    chosen(as_filters)
    others = as_search.names - as_filters.names
    assert {"t", "s_query", "k", "wait", "scope"} <= others.keys()
    assert not others.keys() & FILTERS.keys()
