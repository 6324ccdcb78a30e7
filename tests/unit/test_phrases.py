"""What a sentence asks for, thing by thing."""

from __future__ import annotations

import pytest

from imagesearch.domain.phrases import MAX_PHRASES, phrases_of

SENTENCES = {
    "horses amidst flowers": ("horse", "flower"),
    "HORSES IN THE SNOW": ("horse", "snow"),
    "Two horses in the rain": ("horse", "rain"),
    "hundreds of birds over the sea": ("bird", "sea"),
    "5 apples and 3 pears": ("apple", "pear"),
    "red roses; white roses": ("red rose", "white rose"),
    "New York skyline at night": ("new york skyline", "night"),
    "a horse by day": ("horse", "day"),
    "by the sea at night: an owl, a book": ("sea", "night", "owl", "book"),
    # What holds or counts a thing is none beside it,
    "a piece of sushi in the snow": ("sushi", "snow"),
    "a hot dog and a cup of coffee": ("hot dog", "coffee"),
    # nor what it does,
    "a man riding a horse": ("man", "horse"),
    "a horse is standing in the snow": ("horse", "snow"),
    "a horse that stands in the snow": ("horse", "snow"),
    "it's raining on a bridge": (),
    # what it is like,
    "a black and white cat": (),
    "a cool pic of a horse in the snow": ("horse", "snow"),
    "an orange on a table": ("orange", "table"),
    # where it stands,
    "a helicopter at the top by the sea": ("helicopter", "sea"),
    "a pair of glasses to the left of a lorry": ("glasses", "lorry"),
    "the middle of the road at night": ("road", "night"),
    "cat left, dog right": (),
    "a left hand with a ring": ("left hand", "ring"),
    "a top hat on the right": (),
    # and what any picture is, or who asks.
    "close up of a horse in the snow": ("horse", "snow"),
    "horse; winter; wallpaper": ("horse", "winter"),
    "show me a photo of a dog on a beach": ("dog", "beach"),
    "they've got a dog and a Dog": (),
    "a photo of a horse": (),
    # One thing alone is the sentence.
    "a horse": (),
    "three cows": (),
    "": (),
    "?!": (),
    "a of the of": (),
    # Not taken apart: what leaves a choice, what negates, and what is not English.
    "a horse or a cow in the snow": (),
    "either horses or cows": (),
    "cats vs dogs": (),
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
    names = ["cat", "dog", "cow", "owl", "fox", "pig", "bee", "ant"]
    sentence = " and ".join(f"a {name}" for name in names)
    assert phrases_of(sentence) == tuple(names[:MAX_PHRASES])
