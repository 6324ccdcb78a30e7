"""Properties of the demo's scenes; the server over them: `tests/e2e/test_gallery.py`."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from functools import cache
from string import Formatter
from typing import Any

import pytest
from PIL import Image, ImageChops

from imagesearch.demo import drawing, keywords, scenes, wording
from imagesearch.demo.scenes import THINGS, Group, Scene, scene
from imagesearch.sources.demo import KEYWORDS
from imagesearch.sources.pixabay import CATEGORIES, COLORS

ENGLISH = wording.language("en")


@cache  # and not at once: every worker reads this file
def every_scene() -> list[Scene]:
    return [scene(scene_id) for scene_id in range(scenes.SCENE_COUNT)]


def test_the_same_id_is_the_same_scene_and_the_same_bytes() -> None:
    assert scene(4711) == scene(4711)
    assert drawing.jpeg(scene(4711)) == drawing.jpeg(scene(4711))


def test_hardly_two_scenes_show_the_same() -> None:
    assert len({shown.shown for shown in every_scene()}) >= 0.7 * scenes.SCENE_COUNT


@pytest.mark.parametrize("scene_id", [-1, scenes.SCENE_COUNT])
def test_an_id_that_no_scene_has_is_refused_by_value(scene_id: int) -> None:
    last = scenes.SCENE_COUNT - 1
    with pytest.raises(ValueError, match=rf"scene_id must be in 0\.\.{last}, got {scene_id}"):
        scene(scene_id)


def test_every_thing_is_in_two_hundred_scenes_and_every_landscape_in_thousands() -> None:
    supply = Counter(concept for shown in every_scene() for concept in keywords.concepts(shown))
    assert {thing: supply[thing] for thing in THINGS if supply[thing] < 200} == {}
    assert min(supply[name] for name in (*scenes.PLACES, *scenes.TIMES)) > 5000


def test_the_suggested_keywords_are_names() -> None:
    assert len(KEYWORDS) >= 12
    assert [word for word in KEYWORDS if len(keywords.read(word)) != 1] == []


@pytest.mark.parametrize(
    ("keyword", "code", "asked"),
    [
        ("horses amidst flowers", "en", "horse flower"),
        ("a horse in the dark", "en", "horse night"),
        ("ice  CREAM", "en", "ice cream"),
        ("ice-cream", "en", "ice cream"),
        ("pony’s", "en", "horse"),
        ("die Katze", "de", "cat"),
        ("Pferd nachts", "de", "horse night"),
        ("Fußball", "de", "football"),
        ("les chevaux", "fr", "horse"),
        ("feuille d’érable", "fr", "maple leaf"),
        ("boeuf", "fr", "cow"),
        ("los perros", "es", "dog"),
        ("arbol", "es", "tree"),
        ("'s nachts een paard", "nl", "night horse"),
        ("bij", "nl", "bee"),
        ("paard bij zonsondergang", "nl", "horse sunset"),
        ("звёзды", "ru", "star"),
        ("лошадь ночью", "ru", "horse night"),
        ("YILDIZ", "tr", "star"),
        ("İNEK", "tr", "cow"),
        ("at", "tr", "horse"),
        ("اسد", "ar", "lion"),
        ("الحصان", "ar", "horse"),
        ("قطة وبيتزا", "ar", "cat pizza"),
        ("馬と花", "ja", "horse flower"),
        ("猫和披萨", "zh", "cat pizza"),
        ("말이", "ko", "horse"),
        ("개", "ko", "dog"),
        ("花火", "ja", ""),
        ("馬車", "ja", ""),
        ("horse zzz", "en", ""),
        ("in the", "en", ""),
        ("Katze flower", "en", ""),
        ("", "en", ""),
    ],
)
def test_a_keyword_is_read_as_people_write_it(keyword: str, code: str, asked: str) -> None:
    both = {"ice cream": ("ice cream",), "maple leaf": ("maple leaf",)}
    assert keywords.read(keyword, code) == both.get(asked, tuple(asked.split()))


@pytest.mark.parametrize(
    ("text", "things"),
    [
        *(("un chat sous la lune", {"cat", "moon"}), ("月亮下面的猫", {"cat", "moon"})),
        *(("drei Hunde am Strand", {"dog"}), ("quatro gatos", {"cat"})),
        *(("kot pod parasolem", {"cat"}), ("медведь с гитарой ночью", {"bear"})),
        *(("kitten playing the piano", {"piano"}), ("zwei Katzen im Garten", {"cat"})),
        ("Katze unter dem Mond", {"cat", "moon"}),
        *(("厨房里的猫", {"cat"}), ("台所の猫", {"cat"})),
    ],
)
def test_a_sentence_with_unknown_words_finds_what_is_known_of_it(
    text: str, things: set[str]
) -> None:
    found = keywords.find_scenes(text)
    assert found
    assert all(things & {*scene(scene_id).things} for scene_id in found)


@pytest.mark.parametrize(
    "text",
    [
        "xylophone",
        "red xylophone",
        "木琴",
        "馬車",
        "花火",
        "カニバサミ",
        "개미핥기",
        "in the",
        "at work",
    ],
)
def test_no_name_is_taken_out_of_a_word_that_is_not_known(text: str) -> None:
    assert keywords.find_scenes(text) == frozenset()


def test_where_no_scene_shows_all_those_are_found_that_show_most() -> None:
    shown = [scene(scene_id) for scene_id in keywords.find_scenes("cat dog horse guitar night")]
    counts = [len({"cat", "dog", "horse", "guitar"} & {*each.things}) for each in shown]
    assert counts
    assert min(counts) == max(counts) == 2
    assert {each.time for each in shown} == {"night"}


def test_each_round_shows_every_thing_as_its_subject() -> None:
    """The first group, or the last where the subject is above another."""
    start = len(scenes.FEATURED)
    ends = [
        {shown.groups[0].thing, shown.groups[-1].thing}
        for shown in every_scene()[start : start + scenes.ROUND]
    ]
    assert set.union(*ends) == set(THINGS)


def test_a_scene_is_arranged_as_its_arrangement_says() -> None:
    for shown in every_scene()[:4000]:
        counts = tuple(group.count for group in shown.groups)
        last = THINGS[shown.groups[-1].thing]
        assert len({group.thing for group in shown.groups}) == len(shown.groups), shown
        right = {
            "spread": len(counts) == 1 and counts[0] in scenes.COUNTS[1:],
            "beside": len(counts) == 2 and counts[1] == 1,
            "under": len(counts) == 2 and counts[1] == 1 and last.sky,
            "amidst": len(counts) == 2 and counts[1] == scenes.FIELD and last.field,
            "trio": counts == (1, 1, 1) and last.sky,
        }
        assert right.get(shown.arrangement, counts == (1,)), shown
        assert shown.arrangement in {*right, *scenes.POSITIONS}


def test_everything_shown_lies_in_the_central_square() -> None:
    """CLIP's centre crop keeps nothing else; the margin is the jitter of the place."""
    reaches = [
        max(abs(x), abs(y)) + radius + 0.03
        for shown in every_scene()[:3000]
        for _, (x, y, radius) in drawing.spots(shown)
    ]
    assert max(reaches) <= 1.06, "an emoji leaves its corners free"


def test_as_many_are_drawn_as_are_counted() -> None:
    for shown in every_scene()[:3000]:
        drawn = Counter(thing for thing, _ in drawing.spots(shown))
        assert drawn == {group.thing: group.count for group in shown.groups}


def test_what_stands_left_of_another_is_drawn_left_of_it() -> None:
    for shown in (
        shown for shown in every_scene()[:3000] if shown.arrangement in ("beside", "trio")
    ):
        at = {thing: x for thing, (x, _, _) in drawing.spots(shown)}
        assert at[shown.groups[0].thing] < 0 < at[shown.groups[1].thing]


def test_a_picture_is_its_landscape_but_for_what_stands_there() -> None:
    shown = Scene(5, (Group("horse"),), "left", "meadow", "day")
    picture = drawing.render(shown)
    empty = drawing.Painter().landscape("meadow", "day", random.Random(5))
    changed = ImageChops.difference(picture, empty).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert (left > 90, right < 350, top > 140, bottom < 400) == (True,) * 4


def test_every_emoji_is_there_and_is_drawn() -> None:
    for name, thing in THINGS.items():
        shown = Scene(1, (Group(name),), "centre", "snow", "day")
        picture = drawing.Painter(100).paint(shown)
        empty = drawing.Painter(100).landscape("snow", "day", random.Random(1))
        assert ImageChops.difference(picture, empty).getbbox() is not None, name
        assert thing.category in CATEGORIES
        assert set(thing.colours) <= set(COLORS)


def test_a_picture_is_a_jpeg_in_landscape() -> None:
    with Image.open(io.BytesIO(drawing.jpeg(scenes.FEATURED[0]))) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (640, 427))


def test_no_picture_lies_there_that_no_thing_has() -> None:
    files = {file.name for file in (scenes.FOLDER / "pictures").glob("*.webp")}
    assert files == {thing.picture for thing in THINGS.values()}


def test_rendering_needs_no_torch() -> None:
    code = (
        "import sys; from imagesearch.demo import drawing, scenes;"
        " drawing.jpeg(scenes.scene(0)); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "transformers"} & set(loaded.stdout.split())


# --- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "description"),
    [
        (0, "two horses amidst flowers in a meadow by day"),
        (1, "a dog with a guitar under the moon in a meadow at night"),
        (3, "a cat to the left of a pizza by the sea at sunset"),
        (7, "an elephant under a balloon in a meadow by day"),
        (14, "a snowman in the middle in the snow by day"),
    ],
)
def test_a_description_says_all_that_is_shown(row: int, description: str) -> None:
    assert wording.describe(scenes.FEATURED[row]) == description


def test_scenes_that_show_different_things_are_described_differently() -> None:
    shown = {each.shown for each in every_scene()}
    said = {wording.describe(Scene(0, *each)) for each in shown}
    assert len(said) >= 0.999 * len(shown)


def phrases(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    inner = node.values() if isinstance(node, dict) else node
    return [phrase for each in inner for phrase in phrases(each)]


@pytest.mark.parametrize(
    ("code", "thing", "count", "said"),
    [
        ("zh", "horse", 2, "两匹马"),
        ("zh", "flower", 3, "三朵花"),
        ("zh", "ship", 5, "五艘船"),
        ("zh", "apple", 2, "两个苹果"),
        ("ja", "horse", 2, "二頭の馬"),
        ("ja", "penguin", 3, "三羽のペンギン"),
        ("ja", "train", 2, "二両の機関車"),
        ("ja", "apple", 5, "五つのりんご"),
        ("ko", "horse", 2, "말 두 마리"),
        ("ko", "ship", 3, "여객선 세 척"),
        ("ko", "apple", 2, "사과 두 개"),
        ("en", "scissors", 2, "two pairs of scissors"),
        ("en", "horse", 2, "two horses"),
    ],
)
def test_a_thing_is_counted_as_its_language_counts_it(
    code: str, thing: str, count: int, said: str
) -> None:
    assert wording.counted(Group(thing, count), wording.language(code)) == said


@pytest.mark.parametrize(
    ("code", "keyword", "asked"),
    [
        ("zh", "两匹马", "horse"),
        ("zh", "三艘船", "ship"),
        ("ja", "三羽のペンギン", "penguin"),
        ("ko", "여객선 세 척", "ship"),
        ("en", "pair of scissors", "scissors"),
    ],
)
def test_a_counter_in_a_keyword_asks_for_nothing(code: str, keyword: str, asked: str) -> None:
    assert keywords.read(keyword, code) == (asked,)


@pytest.mark.parametrize("code", wording.LANGUAGES)
def test_a_counter_counts_things_that_are_there_and_none_is_in_two(code: str) -> None:
    read = tomllib.loads((scenes.FOLDER / "languages" / f"{code}.toml").read_text("utf-8"))
    counters = read.get("counters", {})
    listed = Counter(thing for things in counters.values() for thing in things)
    assert listed.keys() <= THINGS.keys()
    assert [thing for thing, times in listed.items() if times > 1] == []
    assert bool(counters) == ("counter" in read) == ("{counter}" in str(read["wording"]["two"]))


@pytest.mark.parametrize(
    ("code", "row", "description"),
    [
        ("zh", 0, "白天草地上的两匹马在很多花中间"),
        ("zh", 23, "日落时海边的船在左边"),
        ("fr", 0, "deux chevaux parmi des fleurs dans un pré de jour"),
        ("de", 0, "am Tag auf der Wiese zwei Pferde, ringsum Blumen"),
        ("ja", 4, "夜に雪の中で星の下に三羽のペンギン"),
    ],
)
def test_a_scene_is_said_in_the_order_of_the_language(
    code: str, row: int, description: str
) -> None:
    assert wording.describe(scenes.FEATURED[row], code) == description


@pytest.mark.parametrize(
    ("code", "way", "second", "said"),
    [
        ("fr", "{a} au milieu de {b}", "tree", "chat au milieu d'arbres"),
        ("fr", "{a} au milieu de {b}", "rose", "chat au milieu de roses"),
        ("es", "{a} y {b}", "church", "gato e iglesias"),
        ("es", "{a} y {b}", "rose", "gato y rosas"),
        ("en", "{a} and {b}", "owl", "a cat and owls"),
    ],
)
def test_a_little_word_is_written_as_before_a_vowel(
    code: str, way: str, second: str, said: str
) -> None:
    spoken = wording.language(code)
    spoken = replace(spoken, wording={**spoken.wording, "amidst": [way]})
    shown = Scene(0, (Group("cat"), Group(second, scenes.FIELD)), "amidst", "sea", "day")
    assert wording.subject(shown, spoken) == said


@pytest.mark.parametrize("code", ["en", "fr"])
def test_a_name_with_one_form_takes_no_article(code: str) -> None:
    spoken = replace(wording.language(code), names={"trousers": (("jeans",),)})
    said = {wording.counted(Group("trousers"), spoken, choose) for choose in (min, max)}
    assert said == {"jeans"}


@pytest.mark.parametrize(
    ("keyword", "thing"),
    [("barca a vela", "sailing boat"), ("barco a vela", "sailing boat"), ("gift", "gift")],
)
def test_one_name_is_not_read_in_pieces_of_another_language(keyword: str, thing: str) -> None:
    assert keywords.read(keyword) == (thing,)


def test_a_pair_of_scissors_is_tagged_as_scissors() -> None:
    shown = Scene(1, (Group("scissors"), Group("wine")), "beside", "sea", "day")
    assert keywords.tags(shown)[:2] == ("scissors", "wine")
    assert keywords.tags(shown, "ru")[:2] == ("ножницы", "вино")
    assert keywords.tags(shown, "de")[:2] == ("schere", "wein")


@pytest.mark.parametrize("code", wording.LANGUAGES)
class TestLanguage:
    """Each language has what English has."""

    def test_it_names_all_things_and_no_two_alike(self, code: str) -> None:
        spoken = wording.language(code)
        assert list(spoken.names) == list(THINGS)
        meanings: dict[str, set[str]] = {}
        for thing, names in spoken.names.items():
            assert names
            for form in (form for name in names for form in name):
                meanings.setdefault(keywords.fold(form), set()).add(thing)
        assert {form: things for form, things in meanings.items() if len(things) > 1} == {}

    def test_its_wording_has_the_same_parts(self, code: str) -> None:
        spoken = wording.language(code)
        assert spoken.wording.keys() == ENGLISH.wording.keys()
        for key, ways in ENGLISH.wording.items():
            if isinstance(ways, dict):
                assert spoken.wording[key].keys() == ways.keys(), key
        for order in spoken.wording["sentence"]["orders"]:
            assert sorted(order) == ["place", "position", "subject", "time"]

    def test_its_phrases_take_what_they_are_given(self, code: str) -> None:
        spoken = wording.language(code)
        given = {"left_of": "ab", "beside": "ab", "under": "ab", "over": "ab", "amidst": "ab"}
        for key, wanted in {**given, "trio": "abc"}.items():
            for phrase in spoken.wording[key]:
                names = {name for _, name, _, _ in Formatter().parse(phrase) if name}
                assert names == set(wanted), phrase

    def test_each_of_its_names_is_read_as_what_it_names(self, code: str) -> None:
        for thing, names in wording.language(code).names.items():
            for form in (form for name in names for form in name):
                assert keywords.read(form, code) == (thing,), form

    def test_it_says_any_scene_and_reads_what_it_says(self, code: str) -> None:
        """But for some counters and articles that are names, too: 개, 本, dé, bij."""
        right = 0
        for shown in random.Random(code).sample(every_scene(), 200):
            said = wording.describe(shown, code)
            assert "{" not in said
            right += set(keywords.read(said, code)) == set(keywords.concepts(shown))
        assert right >= 194

    def test_its_tags_are_read_as_what_is_shown(self, code: str) -> None:
        for shown in random.Random(code).sample(every_scene(), 40):
            tags = keywords.tags(shown, code)
            assert [keywords.read(tag, code) for tag in tags] == [
                (concept,) for concept in keywords.concepts(shown)
            ]
