"""The pure parts of the domain."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from imagesearch.domain.keywords import is_visible, normalise_keyword
from imagesearch.domain.pools import (
    Generation,
    Pool,
    PoolKey,
    PoolPolicy,
    PoolState,
    SourceOptions,
)
from imagesearch.domain.ranking import direction
from tests.world import listed

IMAGES = [listed(i).image for i in range(4)]


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("Horse", "horse"),
        ("  wild\t horse \n", "wild horse"),
        ("ＨＯＲＳＥ", "horse"),
        ("Straße", "strasse"),
        ("e\u0301te\u0301", "été"),
        ("马", "马"),
        ("", ""),
    ],
)
def test_keywords_are_normalised(typed: str, normal: str) -> None:
    assert normalise_keyword(typed) == normal


JOINERS = "\u200c\u200d\u180e"
SEEN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
# Words that one script or another writes with them.
SCRIPTS = JOINERS + "".join(map(chr, [*range(0x13430, 0x13440), *range(0x1BCA0, 0x1BCA4)]))


def test_no_control_or_format_character_makes_another_keyword() -> None:
    characters = map(chr, [*range(0x3000), *range(0xA000, 0x20000), *range(0xE0000, 0xE0200)])
    for one in characters:
        if unicodedata.category(one) in ("Cc", "Cf") and one not in SEEN:
            assert normalise_keyword(f"{one}circle{one}") == "circle", ascii(one)
            if one not in SCRIPTS and one not in "\t\n\x0b\x0c\r\x85":
                assert normalise_keyword(f"cir{one}cle") == "circle", ascii(one)


@pytest.mark.parametrize(
    "typed",
    [
        "circle\u200b",
        "\ufeffcircle",
        "cir\xadcle",
        "\u202ecircle\u202c",
        "\u2067circle\u2069",
        "circle\u034f",
        "circle\ufe0f",
        "cir\U000e0101cle",
        "circle\U000e0063\U000e007f",
        "circle\u3164",
        "\uffa0circle",
        "\u115fcircle\u1160",
        "circle\u17b4",
        "circle\ufff9\ufffb",
        "\u2800circle\u2800",
        "\u200dcircle\u200c",
        "circle\u200b \u200d",
        "\x00circle\x7f",
        "ci\x1crc\x1dl\x1ee\x1f",
        "\u200b  circle  \u200b",
    ],
    ids=ascii,
)
def test_what_nobody_sees_makes_no_other_keyword(typed: str) -> None:
    assert normalise_keyword(typed) == "circle"


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("ᠠ\u180eᠠ", "ᠠ\u180eᠠ"),
        ("می\u200c\u200c\u200dخواهم", "می\u200cخواهم"),
        ("wild\u200d \u200dhorse", "wild horse"),
        ("❤\ufe0f", "❤"),
        ("⠃⠁\u2800⠃⠁", "⠃⠁ ⠃⠁"),
        ("wild\u2028horse", "wild horse"),
        ("e\u034f\u0301", "é"),
        ("\u06dd", "\u06dd"),
    ],
    ids=ascii,
)
def test_what_a_script_needs_within_a_word_stays(typed: str, normal: str) -> None:
    assert normalise_keyword(typed) == normal


POOLS = [
    "abf0f1e5a90ce55a513dc96064183e90",
    "5c7de5a45fb3862cdf98c4e743b7f57a",
    "8e725db760fb40a8b0257c1ee20ae560",
    "af967a6fe252c473c51d467218fa8934",
]


def test_the_pools_of_ordinary_keywords_are_those_they_were() -> None:
    """Else a new version would fetch and embed them all again."""
    pools = [PoolKey.of(one, SourceOptions()).pool_id for one in ("horse", "Été", "马", "ǰ x")]
    assert pools == POOLS


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "\ufeff \u2800", "\u200d\u200c", "\u0301", "\u3164", "\x00\t"]
)
def test_there_is_nothing_to_see_in_blanks_fillers_and_marks_alone(text: str) -> None:
    assert not is_visible(text)


@pytest.mark.parametrize("text", ["a", "\u200ba", "!", "马", "❤\ufe0f", "ำ", "1", "\u0600", "🐎"])
def test_whatever_else_can_be_seen(text: str) -> None:
    assert is_visible(text)


def test_every_option_is_part_of_the_pools_identity() -> None:
    options = SourceOptions()
    changed = [
        replace(options, source="demo"),
        replace(options, language="de"),
        replace(options, orientation="vertical"),
        replace(options, category="animals"),
        replace(options, colors="red"),
        replace(options, safesearch=False),
        replace(options, pool_size=30),
    ]
    ids = {PoolKey.of("horse", each).pool_id for each in [options, *changed]}
    assert len(ids) == 8
    assert PoolKey.of(" HORSE", options).pool_id in ids


NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
POLICY = PoolPolicy()


def in_progress(state: PoolState, lease_seconds: float, since: float = 0.0) -> Pool:
    """Return a pool whose lease began *since* seconds after it was requested."""
    until = NOW + timedelta(seconds=since + lease_seconds)
    return Pool("p", "horse", SourceOptions(), Generation(1, state, NOW, lease_until=until))


STEPS = [minutes * 60.0 for minutes in (1.1, 5, 30, 59)]


@pytest.mark.parametrize("state", [PoolState.REQUESTED, PoolState.FETCHING, PoolState.EMBEDDING])
@pytest.mark.parametrize("step_seconds", STEPS)
def test_a_clock_that_steps_back_holds_back_no_job_that_nobody_published(
    state: PoolState, step_seconds: float
) -> None:
    pool = in_progress(state, POLICY.lease_seconds)
    assert pool.due_generation(NOW + timedelta(seconds=59), POLICY) is None
    stepped = NOW + timedelta(seconds=30 - step_seconds)
    assert pool.due_generation(stepped, POLICY) == 1


@pytest.mark.parametrize("step_seconds", STEPS)
@pytest.mark.parametrize("since", [0.5, 90.0])
def test_published_work_is_held_no_longer_than_its_own_lease_when_the_clock_steps_back(
    since: float, step_seconds: float
) -> None:
    pool = in_progress(PoolState.REQUESTED, POLICY.queue_seconds, since)
    began = NOW + timedelta(seconds=since)
    silent = began + timedelta(seconds=POLICY.queue_seconds - 1)
    assert pool.due_generation(silent, POLICY) is None
    assert pool.due_generation(silent - timedelta(seconds=step_seconds), POLICY) is None
    assert pool.due_generation(began - timedelta(seconds=step_seconds), POLICY) == 1


def test_one_part_is_its_own_direction() -> None:
    part = np.array([0.6, 0.8], np.float32)
    assert direction([(part, 3.0)]) is part


def test_parts_draw_the_direction_by_their_weights() -> None:
    east, north = np.eye(2, dtype=np.float32)
    vector = direction([(east, 3.0), (north, 4.0)])
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [0.6, 0.8], rtol=1e-6)
