"""What is typed gives the tokens of the tokenizers with which CLIPs were trained."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from inference_service.typed_text import straightened
from tools.checkpoints import NoVocabulary, clip_tokenizer

# Texts and their tokens by open_clip_torch 3.3.0's SimpleTokenizer, cut at 77, with ftfy 6.3.1.
ORIGINAL: dict[str, list[int]] = json.loads(
    (Path(__file__).parent / "original_tokens.json").read_text()
)


def test_every_sample_gives_the_original_tokenizers_tokens() -> None:
    try:
        tokenizer = clip_tokenizer().backend_tokenizer
    except NoVocabulary as error:
        if os.environ.get("REQUIRE_BACKENDS") == "1":
            raise
        pytest.skip(str(error))
    tokenizer.no_padding()
    tokenizer.enable_truncation(77)
    ours = {text: tokenizer.encode(straightened(text)).ids for text in ORIGINAL}
    assert {text for text in ORIGINAL if ours[text] != ORIGINAL[text]} == set()
    plain = {text for text in ORIGINAL if tokenizer.encode(text).ids != ORIGINAL[text]}
    assert len(plain) > 100  # so many would go wrong


@pytest.mark.parametrize(
    ("typed", "straight"),
    [
        ("It’s a ‘red’ “car”", "it's a 'red' \"car\""),
        ("ＲＥＤ　ｃａｒ！", "red car!"),
        ("ﾈｺ", "ネコ"),
        ("ﬁreﬂy, Ĳssel, ŉ huis", "firefly, ijssel, 'n huis"),
        ("salt &amp;amp; pepper, it&rsquo;s", "salt & pepper, it's"),
        ("don\x92t\x00\ufeff", "don't"),
        ("\ud83d\udc0e \ud800", "🐎 \ufffd"),
        ("æon, œuvre, 5′ 10″, «ja», ½", "æon, œuvre, 5′ 10″, «ja», ½"),
        ("👨‍👩‍👧 فूल", "👨‍👩‍👧 فूल"),
        ("", ""),
    ],
)
def test_quotes_width_ligatures_and_html_are_straightened_and_the_rest_is_left(
    typed: str, straight: str
) -> None:
    assert straightened(typed) == straight


def test_html_escaped_a_hundred_times_is_resolved_all_the_same() -> None:
    assert straightened("&" + "amp;" * 120) == "&"
