"""Properties of values and messages, searched for counter-examples."""

from __future__ import annotations

import base64
import json
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imagesearch.domain.english import is_english, words_of
from imagesearch.domain.english_words import FUNCTION_WORDS, IMPERATIVES, NEGATIONS
from imagesearch.domain.errors import MalformedMessage
from imagesearch.domain.keywords import MAX_KEYWORD_CHARACTERS, is_visible, normalise_keyword
from imagesearch.domain.pools import SourceOptions
from imagesearch.domain.ranking import best, relevances
from imagesearch.domain.sentences import keywords_of
from imagesearch.domain.work import BatchImage, EmbedBatch, FetchJob, Message
from imagesearch.wire.envelope import PushEnvelope
from imagesearch.wire.messages import encode
from tests.world import listed

NAMES = st.text(min_size=1, max_size=40).filter(
    lambda text: text.encode("utf-8", "ignore").decode() == text
)
JOBS = st.builds(
    FetchJob,
    pool_id=NAMES,
    generation=st.integers(1, 10**9),
    keyword=NAMES,
    options=st.builds(SourceOptions, language=NAMES, pool_size=st.integers(3, 500)),
)
BATCHES = st.builds(
    EmbedBatch,
    pool_id=NAMES,
    generation=st.integers(1, 10**9),
    images=st.lists(
        st.builds(BatchImage, image_id=NAMES, object_name=NAMES), min_size=1, max_size=32
    ).map(tuple),
)


def envelope(data: bytes) -> bytes:
    message = {"data": base64.b64encode(data).decode(), "messageId": "1", "unknown": 1}
    return json.dumps({"message": message, "subscription": "s"}).encode()


@settings(max_examples=40)
@given(st.one_of(JOBS, BATCHES))
def test_a_message_survives_the_envelope(message: Message) -> None:
    body = envelope(encode(message))
    assert PushEnvelope.parse(body).decode(type(message)) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        PushEnvelope.parse(data)
    with pytest.raises(MalformedMessage):
        PushEnvelope.parse(envelope(data)).decode(FetchJob)


@given(st.text())
def test_normalising_a_keyword_twice_changes_nothing(text: str) -> None:
    once = normalise_keyword(text)
    assert normalise_keyword(once) == once
    assert once == once.strip()
    assert "  " not in once


@given(
    st.lists(st.floats(-1, 1, width=16), max_size=300),
    st.integers(1, 310),
    st.randoms(use_true_random=False),
)
def test_the_best_are_those_of_a_plain_sort_whatever_the_order_of_the_images(
    scores: list[float], k: int, random: Random
) -> None:
    """Half precision makes ties common, at the edge of the k best, too."""
    images = [listed(i).image for i in range(len(scores))]
    random.shuffle(images)
    rows = best(images, np.array(scores, np.float32), k)
    plain = sorted(zip(scores, images, strict=True), key=lambda it: (-it[0], it[1].image_id))
    assert [images[row] for row in rows] == [image for _, image in plain[:k]]


@given(st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=300), st.floats(1, 10_000))
def test_relevances_are_shares_of_one_that_fall_with_the_cosine(
    cosines: list[float], logit_scale: float
) -> None:
    shares = relevances(np.array(cosines, np.float32), logit_scale)
    assert shares.sum() == pytest.approx(1.0)
    assert (np.diff(shares[np.argsort(cosines)]) >= 0).all()


SILENT = FUNCTION_WORDS | IMPERATIVES | set(",;:.!?()")
WORDS = st.sampled_from(
    "a the of and red horse horses running without 5 Paris , ! ñ und is ﷺ".split()
)


@given(st.one_of(st.text(min_size=1, max_size=500), st.lists(WORDS, min_size=1).map(" ".join)))
def test_any_sentence_has_keywords_that_a_source_can_be_asked(sentence: str) -> None:
    assume(is_visible(sentence))
    keywords = keywords_of(sentence)
    assert len(keywords) == len(set(keywords)) <= 2
    words = {word.casefold() for word in words_of(sentence)}
    if not keywords and is_english(sentence):
        assert words <= SILENT or words & NEGATIONS
    elif not keywords:
        assert not any(one.isalnum() for one in sentence)
    for keyword in keywords:
        assert keyword == normalise_keyword(keyword)
        assert 1 <= len(keyword) <= MAX_KEYWORD_CHARACTERS
        assert is_visible(keyword)
