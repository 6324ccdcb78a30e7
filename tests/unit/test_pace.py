"""Turns for requests to a source: how long they are waited for, and who waits no longer."""

from __future__ import annotations

import pytest

from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.sources.pace import Pace
from tests.unit.test_pixabay import PatientClock


def test_a_turn_waits_for_its_token() -> None:
    clock, waits = PatientClock(), [2.5, 1.5, 0.0]
    with Pace("it", 1, lambda: waits.pop(0), clock).turn():
        assert sum(clock.slept) == 2.0


def test_a_turn_comes_after_the_rest_that_was_asked_for() -> None:
    clock = PatientClock()
    pace = Pace("it", 1, lambda: 0.0, clock)
    pace.rest(7.5)
    with pace.turn():
        assert sum(clock.slept) == pytest.approx(7.5)


def test_a_wait_of_hours_is_told_at_once() -> None:
    clock = PatientClock()
    with (
        pytest.raises(Overloaded, match="the rate limit of it is reached") as caught,
        Pace("it", 1, lambda: 864.0, clock).turn(),
    ):
        pass
    assert caught.value.retry_after_seconds == 864
    assert clock.slept == []


def test_nobody_waits_for_what_is_closed() -> None:
    pace = Pace("it", 1, lambda: 60.0, PatientClock())
    pace.close()
    with pytest.raises(Unavailable, match="it is not asked any more"), pace.turn():
        pass
