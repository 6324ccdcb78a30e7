"""What the app shows of an answer, in each of its languages."""

from __future__ import annotations

import string
from typing import Any

import pytest

from app import shown, words
from app.layout import rows
from app.search import Search
from imagesearch.client import Answer, Fetching, Hit, Pool
from imagesearch.client.api import Credit, Own

SAY = words.speaker("en")


def hit(number: int = 1, *, user: str = "Ann", licence: str = "", **facts: Any) -> Hit:
    credit = Credit(user=user, source="Pixabay" if user else "", licence=licence)
    known = {"width": 640, "height": 427, "page_url": "", "url": "https://a.example/1.jpg"}
    rest = {"tags": ["cow", "meadow"], "colours": ["green"], "year": 2019, "month": 8, "score": 0.3}
    return Hit(image_id=f"p-{number}", credit=credit, **{**known, **rest, "match": "fair", **facts})


def pool(state: str, images: int, embedded: int, reason: str | None = None) -> Pool:
    return Pool(state=state, images=images, embedded=embedded, rejected=0, reason=reason)


def answer(*hits: Hit, **facts: Any) -> Answer:
    known = {"keyword": "cow", "keywords": ["cow"], "matched": True, "complete": True}
    rest = {"matching": 200, "query_truncated": False, "pool": pool("ready", 200, 200)}
    timings = {"total_seconds": 0.1}
    return Answer.model_validate(
        {"results": list(hits), "timings": timings, **known, **rest, **facts}
    )


def own(file: str, **facts: Any) -> Own:
    return Own.model_validate({"file": file, "title": "", **facts})


# -- words


def test_every_text_is_in_every_language_with_the_same_holes() -> None:
    holes = string.Formatter().parse
    for key, texts in words.TEXTS.items():
        assert texts.keys() == words.LANGUAGES.keys(), key
        named = [{name for _, name, _, _ in holes(text) if name} for text in texts.values()]
        assert named[0] == named[1], key


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("de-AT", "de"), ("DE", "de"), ("de_CH.UTF-8", "de"), ("fr", "en"), ("", "en"), (None, "en")],
)
def test_the_language_of_the_device_is_spoken_where_it_is_known(
    wanted: str | None, language: str
) -> None:
    assert words.language_of(wanted) == language


def test_numbers_months_and_quotation_marks_are_those_of_the_language() -> None:
    assert (words.number(12345, "en"), words.number(12345, "de")) == ("12,345", "12.345")
    assert (words.month_name("3", "de"), words.month_name("13", "de")) == ("März", "13")
    assert words.quoted("cow", "de") == "„cow“"
    assert words.quoted("פרה", "en") == "“\u2068פרה\u2069”"


# -- names


def test_a_search_is_called_by_what_it_asks_for() -> None:
    search = Search(s_query="a cow", like=("p-1",), minus=("snow", "night"))
    assert shown.name_of(search, "en") == "“a cow” and like this picture without “snow” or “night”"
    assert shown.name_of(Search(picture="1"), "de") == "Wie Ihr Bild"


def test_a_picture_has_a_name_for_those_who_do_not_see_it() -> None:
    label = shown.label_of(hit(licence="CC BY 4.0"), 3, 1200, SAY)
    assert label == "Picture 3 of 1,200. cow, meadow. Fair match. Ann · Pixabay · CC BY 4.0"
    unknown = hit(tags=[], match="uncalibrated", user="")
    assert shown.label_of(unknown, 1, 1, SAY) == "Picture 1 of 1. Picture without a description"


def test_an_own_picture_is_called_by_its_title_or_file_and_has_no_source() -> None:
    mine = hit(own=own("2019/Italy/beach.jpg", albums=["Summer"]), tags=[], user="")
    assert shown.title_of(mine, SAY) == "beach.jpg"
    assert shown.title_of(hit(own=own("a.jpg", title="The beach")), SAY) == "The beach"
    assert shown.credit_of(mine) == "Summer"
    facts = dict(shown.facts_of(mine, SAY))
    assert facts["File"] == "2019/Italy/beach.jpg"
    assert "Source" not in facts


# -- a form


def test_what_cannot_be_sent_is_said_at_its_field() -> None:
    assert shown.complaints(Search(t="cow"), SAY).keys() == {"s_query"}
    assert shown.complaints(Search(like=("p-1",)), SAY) == {}
    long = Search(s_query="x" * 501, t="y" * 101, minus=tuple("abcdef"))
    wrong = shown.complaints(long, SAY)
    assert wrong["s_query"] == "These are 501 characters; at most 500 can be read."
    assert wrong["t"] == "These are 101 characters; at most 100 can be read."
    assert wrong["minus"] == "At most 5 things can be left out, and these are 6."


# -- answers


def test_progress_is_told_as_the_pool_grows() -> None:
    search = Search(t="cow", s_query="a cow")
    assert shown.progress_of(search, None, "en") == "Searching …"
    begun = Fetching(keywords=["cow"], pool=pool("requested", 0, 0))
    assert shown.progress_of(search, begun, "en") == "Fetching pictures for “cow” …"
    half = answer(complete=False, pool=pool("embedding", 200, 96))
    said = shown.progress_of(search, half, "de")
    assert said == "Bilder zu „cow“ werden angesehen …"
    assert shown.readiness_of(half, words.speaker("de")) == "96 von 200 fertig"
    assert shown.readiness_of(begun, SAY) == shown.readiness_of(None, SAY) == ""
    assert shown.share_of(half.pool) == 0.48
    assert shown.share_of(begun.pool) is None


def test_a_summary_says_how_many_of_how_many() -> None:
    search = Search(t="cow", s_query="a cow")
    assert shown.summary_of(search, answer(hit()), "en") == "1 of 200 pictures from “cow”"
    assert shown.summary_of(search, answer(hit()), "de") == "1 von 200 Bildern aus „cow“"
    assert shown.summary_of(search, answer(hit(), matching=1), "de") == "1 Bild aus „cow“"
    everywhere = Search(s_query="a cow", everywhere=True)
    alone = answer(hit(), hit(2), matching=None, pool=None, scope="catalog")
    said = shown.summary_of(everywhere, alone, "en")
    assert said == "2 pictures from everything stored so far"
    assert shown.summary_of(search, answer(), "en") == ""
    anywhere = answer(hit(), keywords=[])
    assert shown.summary_of(Search(s_query="a cow"), anywhere, "en") == "1 picture"


@pytest.mark.parametrize(
    ("search", "found", "title"),
    [
        (Search(s_query="a"), answer(hit(), matched=False), "Nothing here shows that."),
        (Search(s_query="a"), answer(hit(), matched=None), None),
        (Search(s_query="a"), answer(hit()), None),
        (Search(s_query="a"), answer(), "No pictures for “cow”"),
        (Search(s_query="a", everywhere=True), answer(), "Nothing is stored yet"),
        (Search(s_query="a", filters={"colour": "red"}), answer(), "No picture is left"),
        (
            Search(s_query="a"),
            answer(complete=False, pool=pool("failed", 9, 2, "the source is away")),
            "The pictures could not all be fetched",
        ),
    ],
)
def test_how_a_search_ended_is_said_where_its_pictures_do_not(
    search: Search, found: Answer, title: str | None
) -> None:
    notice = shown.outcome_of(search, found, "en")
    assert (notice.title if notice else None) == title


def test_why_pictures_could_not_be_fetched_is_told() -> None:
    failed = answer(complete=False, pool=pool("failed", 9, 2, "the source is away"))
    notice = shown.outcome_of(Search(s_query="a"), failed, "en")
    assert notice is not None
    assert notice.text == "The source is away. What was ready by then is shown."


def test_what_an_answer_may_have_missed_is_said() -> None:
    remarks = shown.remarks_of(answer(query_truncated=True, covered=0.428), SAY)
    assert remarks[1] == "Some stored pictures wait for a new model: 42 % of all were compared."
    assert len(remarks) == 2
    assert shown.remarks_of(answer(covered=1.0), SAY) == []


# -- filters


def test_filters_are_made_of_what_pictures_differ_in() -> None:
    hits = [hit(1), hit(2, width=400, height=400, year=2020), hit(3, colours=["green", "red"])]
    facets = shown.facets_of(Search(s_query="a"), hits, {})
    assert facets.keys() == {"year", "orientation"}
    assert facets["orientation"].values == ("horizontal", "square")


def test_a_filter_that_is_set_keeps_its_other_values_on_offer() -> None:
    search = Search(s_query="a")
    before = shown.facets_of(search, [hit(1), hit(2, colours=["red"])], {})
    narrowed = shown.facets_of(search.filtered("colour", "red"), [hit(2, colours=["red"])], before)
    assert narrowed["colour"].values == ("green", "red")
    assert narrowed["colour"].chosen == "red"


def test_own_pictures_are_narrowed_down_by_folders_within_folders() -> None:
    deep = own("2019/Italy/1.jpg", collections=["Pictures"])
    flat = own("2.jpg", collections=["Pictures"])
    hits = [hit(1, own=deep), hit(2, own=flat, month=9), hit(3, month=7)]
    facets = shown.facets_of(Search(s_query="a"), hits, {})
    assert facets["folder"].values == ("2019", "2019/Italy")
    assert facets["month"].values == ("8", "9")  # of others it is when they came to their source
    assert shown.value_name("month", "8", "de") == "August"
    assert shown.value_name("colour", "red", "de") == "rot"
    assert shown.value_name("tag", "red", "de") == "red"


# -- links


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "", "/x", "http://["])
def test_a_click_leads_to_web_pages_alone(url: str) -> None:
    assert shown.web_link(url) == ""
    assert shown.web_link("https://pixabay.com/1") == "https://pixabay.com/1"


# -- layout


def test_rows_fill_the_width_and_keep_the_order() -> None:
    hits = [hit(i, width=300 + 97 * (i % 5), height=400) for i in range(20)]
    laid = rows(hits, 1200, 220, 10)
    assert [tile.index for row in laid for tile in row] == list(range(20))
    for row in laid[:-1]:
        assert sum(tile.width for tile in row) + 10 * (len(row) - 1) == pytest.approx(1200)
        assert row[0].height <= 220
    assert laid[-1][0].height <= 220
    assert rows([], 1200, 220, 10) == []


def test_panoramas_and_pictures_of_unknown_size_have_a_bounded_place() -> None:
    wide, unknown = hit(1, width=9000, height=100), hit(2, width=0, height=0)
    (row,) = rows([wide, unknown], 2000, 220, 10)
    assert row[0].width / row[0].height == pytest.approx(2.6)
    assert row[1].width / row[1].height == pytest.approx(640 / 427)
