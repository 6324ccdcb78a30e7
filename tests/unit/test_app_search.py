"""The app's searches: as values, as addresses, as questions, and as the device remembers them."""

from __future__ import annotations

import pytest

from app import recent
from app.search import FILTERS, Search, in_its_place, listed, name_of_picture, search_at
from imagesearch.domain.filters import FILTERS as FILTERS_OF_THE_API

SEARCHES = [
    Search(t="cow", s_query="three cows & a horse"),
    Search(s_query="שלוש פרות", minus=("night", "50 %"), filters={"colour": "green"}),
    Search(like=("demo-1", "demo-2"), everywhere=True),
    Search(s_query="a dog", everywhere=True, filters={"collection": "Pictures", "year": "2019"}),
    Search(picture="1", everywhere=True),
    Search(),
]


@pytest.mark.parametrize("search", SEARCHES)
def test_an_address_holds_a_search_whole(search: Search) -> None:
    assert search_at(search.address()) == search


def test_an_address_of_anybody_is_read_as_far_as_it_says_something() -> None:
    assert search_at("/?t=+cow+&t=horse&unknown=1&colour=&minus=&minus=snow&k=x") == Search(
        t="cow", minus=("snow",)
    )


def test_a_question_has_what_the_api_reads_and_no_picture() -> None:
    asked = Search(s_query="a cow", picture="1", everywhere=True, filters={"tag": "x"}).question()
    assert asked == {"s_query": "a cow", "scope": "catalog", "k": 24, "tag": "x"}


def test_an_address_means_the_picture_that_was_chosen_and_no_other() -> None:
    names = [name_of_picture(picture) for picture in (b"one", b"another", b"one")]
    assert names[0] == names[2] != names[1]
    assert search_at(Search(picture=names[0], everywhere=True).address()).picture == names[0]


def test_own_pictures_and_pictures_alone_are_of_no_keyword() -> None:
    own = Search(t="cow", s_query="a cow").filtered("collection", "Pictures")
    assert (own.t, own.everywhere) == ("", True)
    assert in_its_place(Search(like=("demo-1",))).everywhere
    assert not in_its_place(Search(t="cow", like=("demo-1",))).everywhere


def test_another_collection_takes_folder_and_album_out() -> None:
    search = Search(
        s_query="a", filters={"collection": "A", "folder": "x", "album": "y", "year": "1"}
    )
    assert search.filtered("collection", "B").filters == {"collection": "B", "year": "1"}
    assert search.filtered("year", "").filters == {"collection": "A", "folder": "x", "album": "y"}


def test_every_filter_of_the_api_is_one_of_the_app() -> None:
    assert set(FILTERS) == set(FILTERS_OF_THE_API)


def test_things_are_parted_by_the_commas_of_all_scripts() -> None:
    assert listed("snow, desert،moon、 ， ,") == ("snow", "desert", "moon")


def test_the_last_searches_are_remembered_once_each() -> None:
    addresses: list[str] = []
    for search in SEARCHES:
        addresses = recent.remembered(search, addresses)
    assert [search_at(address) for address in addresses] == SEARCHES[3::-1]
    narrowed = SEARCHES[0].filtered("colour", "red")
    addresses = recent.remembered(narrowed, addresses)
    assert [search_at(address) for address in addresses] == [narrowed, *SEARCHES[3:0:-1]]


def test_six_are_remembered_and_what_others_wrote_there_is_left_out() -> None:
    addresses: list[str] = []
    for i in range(9):
        addresses = recent.remembered(Search(s_query=f"{i} cows"), addresses)
    assert len(addresses) == 6
    assert recent.read([*addresses, "/?s_query=more"]) == addresses
    assert recent.read([1, "/", None, "/?s_query=a"]) == ["/?s_query=a"]
    assert recent.read("/?s_query=a") == recent.read(None) == []
