"""What the demo's model is trained on, and how it is judged; `test_demo_model` measures it."""

from __future__ import annotations

import math
import random
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from benchmarks.no_match import ABSENT_PLACES, FAR_OFF
from imagesearch.demo import wording
from imagesearch.demo.scenes import COUNTS, FIELD, THINGS
from tools import absent_words
from tools.absent_words import MOST, known_words, words_of
from tools.muon import orthogonal
from tools.train_demo_model import (
    _DIGITS,
    _NUMBERS,
    FOLDER,
    NOTHING,
    Heads,
    Recipe,
    Studio,
    Trainer,
    by_length,
    contrast,
    facts,
    false_caption,
    full_caption,
    judge,
    judge_best,
    make_batch,
    neighbour,
    new_model,
    new_scene,
    origin,
    partial_caption,
    read,
    scene_of,
    some_scenes,
    tokens,
    unknown_word,
)

SMALL = Recipe(
    batch=24,
    alike=6,
    keywords=2,
    sentences=12,
    full=4,
    false=4,
    words=10,
    strange=2,
    vocabulary=600,
)


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(FOLDER)


@pytest.mark.parametrize("code", wording.LANGUAGES)
def test_captions_are_true_of_their_scene_and_false_ones_of_none(code: str) -> None:
    rng, spoken = random.Random(code), wording.language(code)
    for _ in range(100):
        scene = new_scene(rng)
        for say in (full_caption, partial_caption):
            assert say(scene, spoken, rng).wanted <= facts(scene)
        false = false_caption(scene, spoken, rng)
        assert NOTHING in false.wanted
        assert false.wanted - {NOTHING} <= facts(scene)
    assert NOTHING not in facts(scene)


@pytest.mark.parametrize("code", wording.LANGUAGES)
def test_an_unknown_word_is_none_of_any_language(code: str) -> None:
    rng, spoken = random.Random(code), wording.language(code)
    words = {unknown_word(spoken, rng) for _ in range(80)}
    assert len(words) > 60
    assert not words & known_words()
    assert all(words_of(word) == [word] for word in words)


@pytest.mark.parametrize("code", wording.LANGUAGES)
def test_of_each_language_there_are_real_words_of_which_the_benchmark_asks_none(code: str) -> None:
    words = tomllib.loads(absent_words.FILE.read_text(encoding="utf-8"))[code]
    assert len(words) >= MOST
    assert len(set(words)) == len(words)
    asked = {word for text in (*ABSENT_PLACES, *FAR_OFF) for word in words_of(text)}
    assert not set(words) & (known_words() | asked)
    assert not set(words) & {"animal", "between", "kitten", "mammal", "water"}


def test_no_scene_shows_so_many() -> None:
    shown = set(map(str, (*COUNTS, FIELD)))
    for code in wording.LANGUAGES:
        spoken, numbers = wording.language(code), {*_DIGITS, *_NUMBERS[code]}
        assert not numbers & shown
        for way in (*spoken.wording["two"], *spoken.wording["three"], *spoken.wording["five"]):
            assert not numbers & set(words_of(way.split("{")[0]))
    assert {"horse", "pferde", "sea", "nachts", "two"} <= known_words()


def test_vowel_signs_are_part_of_a_word() -> None:
    assert words_of("बिल्ली, Katze") == ["बिल्ली", "katze"]


def test_a_thing_is_shown_as_the_subject_and_beside_others() -> None:
    rng = random.Random(2)
    for thing in ("horse", "flower", "moon"):
        shown = [scene_of(thing, rng) for _ in range(60)]
        places = Counter(scene.things.index(thing) for scene in shown)
        assert set(places) >= {0, 1}, thing


def test_scenes_are_half_of_few_things_and_each_has_a_neighbour() -> None:
    recipe = Recipe()
    shown = some_scenes(recipe, random.Random(4))
    assert len(shown) == recipe.batch
    common = Counter(thing for scene in shown for thing in scene.things).most_common()
    assert common[recipe.keywords - 1][1] >= recipe.alike // recipe.keywords
    for scene, other in zip(shown[:96], shown[96:], strict=True):
        assert scene.shown != other.shown


def test_a_neighbour_differs_in_one_respect() -> None:
    rng = random.Random(6)
    for _ in range(200):
        scene = new_scene(rng)
        other = neighbour(scene, rng)
        differing = [a != b for a, b in zip(scene.shown, other.shown, strict=True)]
        assert sum(differing) == 1


def test_what_no_picture_shows_is_asked_for_after_the_first_steps(
    tokenizer: CLIPTokenizer,
) -> None:
    studio = Studio()
    early = make_batch(replace(SMALL, helped=1), 0, studio, tokenizer)
    late = make_batch(replace(SMALL, helped=1), 1, studio, tokenizer)
    assert early.true.any(1).all()
    assert int((~late.true.any(1)).sum()) == SMALL.false
    assert int((~late.true_words.any(1)).sum()) >= SMALL.strange
    assert int((late.named == -1).sum()) == SMALL.strange
    for ids, number in zip(late.words, late.named, strict=True):
        if number == -1:
            continue
        thing = tuple(THINGS)[int(number)]
        said = tokenizer.decode(ids, skip_special_tokens=True)
        names = (wording.language(code).names[thing] for code in wording.LANGUAGES)
        forms = {form.lower() for each in names for name in each for form in name}
        assert any(_letters(form) in _letters(said) for form in forms), (said, thing)


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def test_a_batch_follows_from_its_number(tokenizer: CLIPTokenizer) -> None:
    studio = Studio()
    once, again, other = (make_batch(SMALL, step, studio, tokenizer) for step in (3, 3, 4))
    assert torch.equal(once.pixels, again.pixels)
    assert torch.equal(once.sentences, again.sentences)
    assert not torch.equal(once.pixels, other.pixels)


def test_texts_are_read_in_parts_as_they_are_at_once(tokenizer: CLIPTokenizer) -> None:
    rng = random.Random(8)
    said = [
        partial_caption(new_scene(rng), wording.language(code), rng)
        for code in wording.LANGUAGES * 2
    ]
    ids = tokens(tokenizer, [caption.text for caption in by_length(said, tokenizer)])
    model = new_model(SMALL, tokenizer)
    with torch.inference_mode():
        at_once = model.text_model(input_ids=ids).pooler_output
        assert torch.allclose(read(model, ids), at_once, atol=1e-5)


def test_true_pairs_do_not_compete() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    true = torch.tensor([[True, True, False], [False, False, False]])
    against_one = [math.log(1 + math.exp(-2.0)), math.log(1 + math.exp(-1.0))]
    assert contrast(true, logits).item() == pytest.approx(sum(against_one) / 2)


def test_each_pair_is_judged_alone() -> None:
    heads = Heads(SMALL)
    cosines = torch.tensor([[0.45, 0.25]])
    wrong = math.log(1 + math.exp(20 * 0.1))
    right = math.log(1 + math.exp(-20 * 0.1))
    for true, loss in (
        ([True, False], 2 * right),
        ([False, True], 2 * wrong),
        ([True, True], right + wrong),
    ):
        assert judge(heads, torch.tensor([true]), cosines).item() == pytest.approx(loss, rel=1e-5)


def test_the_best_picture_of_each_query_is_judged_once_more() -> None:
    heads = Heads(SMALL)
    true = torch.tensor([[True, True, False], [False, False, False]])
    cosines = torch.tensor([[0.30, 0.45, 0.25], [0.20, 0.10, 0.35]])
    right = math.log(1 + math.exp(-20 * 0.1))
    untrue = (right + math.log(2)) / 2
    assert judge_best(heads, true, cosines).item() == pytest.approx(right + untrue, rel=1e-5)


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_a_step_of_muon_goes_alike_in_every_direction(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    assert sizes.max() / sizes.min() > 1.5
    same = torch.linalg.svd(orthogonal(matrix), full_matrices=False).S
    assert ((same > 0.6) & (same < 1.3)).all(), same
    assert (
        torch.nn.functional.cosine_similarity(
            (left @ right).flatten(), orthogonal(matrix).flatten(), dim=0
        )
        > 0.95
    )


def test_a_checkpoint_of_another_recipe_is_not_gone_on_with(
    tmp_path: Path, tokenizer: CLIPTokenizer
) -> None:
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    torch.save({"origin": origin(replace(SMALL, seed=2))}, tmp_path / "checkpoint.pt")
    with pytest.raises(SystemExit, match=r"is of another recipe.*name another folder by --work"):
        Trainer(SMALL, tmp_path)
