"""What a sentence asks for, thing by thing."""

from __future__ import annotations

import pytest

from imagesearch.domain.phrases import MAX_PHRASES, phrases_of

SENTENCES = {
    "horses amidst flowers": ("horses", "flowers"),
    "Two horses in the rain": ("horses", "rain"),
    "hundreds of birds over the sea": ("birds", "sea"),
    "5 apples and 3 pears": ("apples", "pears"),
    "a man riding a horse": ("man riding", "horse"),
    "red roses; white roses": ("red roses", "white roses"),
    "New York skyline at night": ("New York skyline", "night"),
    # What belongs together stays so,
    "a piece of sushi in the snow": ("piece of sushi", "snow"),
    "the x-ray of a hand on a table": ("x-ray of hand", "table"),
    # where things stand shows nothing,
    "a helicopter at the top by the sea": ("helicopter", "sea"),
    "a pair of glasses to the left of a lorry": ("pair of glasses", "lorry"),
    "the middle of the road at night": ("road", "night"),
    "a left hand with a ring": ("left hand", "ring"),
    "a top hat on the right": (),
    # and who asks is not asked for.
    "show me a photo of a dog on a beach": ("dog", "beach"),
    "a photo of a horse": (),
    # One thing alone is the sentence.
    "a horse": (),
    "three cows": (),
    "a dog and a dog": (),
    "": (),
    "?!": (),
    "a of the of": (),
    # Not taken apart: what negates, and what is not English.
    "a beach without people": (),
    "a dog, not a cat": (),
    "ein Pferd im Regen und ein Hund": (),
    "лошадь под дождём": (),
    "雨の中の馬": (),
}


@pytest.mark.parametrize(("sentence", "phrases"), SENTENCES.items())
def test_a_sentence_asks_for(sentence: str, phrases: tuple[str, ...]) -> None:
    assert phrases_of(sentence) == phrases


def test_of_many_the_first_are_looked_at() -> None:
    sentence = " and ".join(f"a thing{number}x" for number in range(50))
    assert phrases_of(sentence) == tuple(f"thing{number}x" for number in range(MAX_PHRASES))
