"""Keywords out of sentences, held to `sentences.json`: what a person would ask Pixabay for.

Its first 100 English sentences, and all of other languages, were written before the code. The 120
later ones were new to it, 60 at a time; then the lists grew by them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from imagesearch.demo import keywords, scenes, wording
from imagesearch.domain.english import singular
from imagesearch.domain.keywords import MAX_KEYWORD_CHARACTERS, normalise_keyword
from imagesearch.domain.sentences import keywords_of

SENTENCES: dict[str, Any] = json.loads(Path(__file__).with_name("sentences.json").read_text())
AT_LEAST_RIGHT = 0.9


def is_right(sentence: str, expected: list[str]) -> bool:
    """Return whether the keywords are the expected; a source heeds no order of their words."""
    narrow, *broader = keywords_of(sentence)
    return set(narrow.split()) == set(expected[0].split()) and broader == expected[1:]


@pytest.mark.parametrize(("part", "count"), [("english", 100), ("later", 120)])
def test_nine_sentences_in_ten_give_the_keywords_of_a_person(part: str, count: int) -> None:
    entries = SENTENCES[part]
    wrong = [
        (entry["sentence"], entry["keywords"], keywords_of(entry["sentence"]))
        for entry in entries
        if not is_right(entry["sentence"], entry["keywords"])
    ]
    assert len(entries) == count
    assert len(wrong) <= (1 - AT_LEAST_RIGHT) * count, wrong


@pytest.mark.parametrize("sentence", SENTENCES["other"])
def test_a_sentence_in_another_language_is_its_own_keyword(sentence: str) -> None:
    [keyword] = keywords_of(sentence)
    whole = normalise_keyword(sentence)
    if len(whole) <= MAX_KEYWORD_CHARACTERS:
        assert keyword == whole
    else:
        assert whole.startswith(f"{keyword} "), "it is cut between two words"
        assert len(keyword) <= MAX_KEYWORD_CHARACTERS


@pytest.mark.parametrize(
    ("sentence", "keyword"),
    [
        ("🐎", "🐎"),
        ("+", "+"),
        ("looking", "looking"),
        ("alone", "alone"),
        ("wallpaper", "wallpaper"),
        ("beautiful without people", "beautiful"),
        ("x" * 300, "x" * 100),
        ("馬" * 300, "馬" * 100),
        ("\u0301\u0301a", "a"),
    ],
)
def test_a_sentence_that_names_nothing_is_its_own_keyword(sentence: str, keyword: str) -> None:
    assert keywords_of(sentence) == (keyword,)


@pytest.mark.parametrize(
    "sentence",
    [
        *("???", "...", "。", "the", "not", "nothing", "show me", "what is it"),
        *(
            "without people",
            "photo of nothing",
            "without a circle",
            "never",
            "a photo without cars",
        ),
        *("do not", "minus people"),
    ],
)
def test_a_sentence_that_leaves_nothing_to_look_for_has_no_keyword(sentence: str) -> None:
    assert keywords_of(sentence) == ()


@pytest.mark.parametrize(
    ("sentence", "keyword"),
    [
        *(("no smoking", "no smoking"), ("No smoking!", "no smoking"), ("no parking sign",) * 2),
        *(("do not disturb", "do not disturb"), ("Don’t panic", "don't panic")),
        *(("never surrender",) * 2, ("no pain, no gain", "no pain no gain")),
        *(("a photo with no people", "no people"), ("please do not feed", "do not feed")),
    ],
)
def test_a_sentence_that_is_nothing_but_a_no_is_a_sign_or_a_saying(
    sentence: str, keyword: str
) -> None:
    assert keywords_of(sentence) == (keyword,)


def test_a_keyword_has_as_many_words_as_its_bound_leaves_room_for() -> None:
    long = "a" + "b" * 70
    assert keywords_of(f"the {long}s behind the {long}x in Paris") == (f"{long}",)


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        *(("horses", "horse"), ("butterflies", "butterfly"), ("churches", "church")),
        *(("boxes", "box"), ("potatoes", "potato"), ("shoes", "shoe"), ("firemen", "fireman")),
        *(("wolves", "wolf"), ("waves", "wave"), ("geese", "goose"), ("cookies", "cookie")),
        *(("sheep", "sheep"), ("glass", "glass"), ("cactus", "cactus"), ("sunglasses",) * 2),
        *(("chillies", "chilli"), ("chips", "chips")),
    ],
)
def test_plurals_become_singulars(plural: str, expected: str) -> None:
    assert singular(plural) == expected
    assert singular(expected) == expected


def test_what_is_not_to_be_seen_is_no_keyword() -> None:
    for sentence in ("a beach without people", "a beach, no people", "not people but a beach"):
        assert keywords_of(sentence) == ("beach",), sentence


@cache
def offered(keyword: str) -> int:
    """Return how many images the demo has for *keyword*."""
    return len(keywords.find_scenes(keyword))


def test_the_demo_has_images_for_whatever_it_may_be_asked_to_show() -> None:
    """A keyword that it has 20 images for; of so many kinds of scenes each hundredth will do."""
    for scene_id in range(0, scenes.SCENE_COUNT, 100):
        sentence = wording.describe(scenes.scene(scene_id))
        asked = keywords_of(sentence)
        offers = [offered(keyword) for keyword in asked]
        assert offers[0] > 0, (sentence, asked)
        assert max(offers) >= 20, (sentence, asked)


@pytest.mark.parametrize(
    ("sentence", "keywords"),
    [
        ("a saw on a workbench", ("saw workbench", "saw")),
        ("a sapling in a pot", ("sapling pot", "sapling")),
        ("hands holding a seedling", ("hand seedling", "hand")),
        ("B&W photo of a street", ("street",)),
        ("vitamin C", ("vitamin c",)),
        ("Mt. Fuji at dawn", ("mt fuji dawn", "mt fuji")),
        ("without clouds a blue sky", ("blue sky", "sky")),
        ("no cars an empty road", ("empty road", "road")),
        ("a road without cars and a bus", ("road",)),
    ],
)
def test_articles_letters_and_points_are_read_as_english_has_them(
    sentence: str, keywords: tuple[str, ...]
) -> None:
    assert keywords_of(sentence) == keywords


def test_a_saint_is_no_keyword() -> None:
    assert "st" not in keywords_of("St. Patrick's Day")
