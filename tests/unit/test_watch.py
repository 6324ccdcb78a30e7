"""`imagesearch watch` of lists whose hosts do not answer, by a clock that is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from imagesearch.cli import watch
from imagesearch.cli.main import cli
from imagesearch.domain.collections import Collection, ListedFile, Stamp, Update

MINUTE = 60.0


class Watched:
    """A list in a data folder that is none, whose updates come to *outcomes*; the last stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcomes: Sequence[Update]) -> None:
        self.now = 0.0
        self.updated_at: list[float] = []
        self.files = [ListedFile("a.example/1.jpg", Stamp(0, 0))]
        self.during: dict[float, Callable[[], None]] = {}
        self._outcomes, self._collection = outcomes, Collection("set", "/list.csv")
        collections = SimpleNamespace(all=lambda: [self._collection], problems=self._problems)
        folders = SimpleNamespace(listed=lambda _: self.files)
        stored = SimpleNamespace(collections=collections, folders=folders)

        @contextmanager
        def opened(_: object) -> Iterator[Any]:
            yield stored

        @contextmanager
        def updater(*_: object) -> Iterator[Callable[..., Update]]:
            yield lambda *_: self._update()

        clock = SimpleNamespace(sleep=self._sleep, monotonic=lambda: self.now)
        for name, fake in (("opened", opened), ("updater", updater), ("time", clock)):
            monkeypatch.setattr(watch, name, fake)

    def watch(self, seconds: float) -> list[float]:
        """Watch for so long, and return the minutes after which the list was updated."""
        self._ends_at = seconds
        assert cli(["watch"]) in (0, None)
        return [at / MINUTE for at in self.updated_at]

    def _update(self) -> Update:
        self.updated_at.append(self.now)
        return self._outcome

    @property
    def _outcome(self) -> Update:
        return self._outcomes[min(len(self.updated_at), len(self._outcomes)) - 1]

    def _problems(self, *_: object) -> tuple[list[tuple[str, str]], int]:
        return [("1.jpg", "503")][: self._outcome.problems], self._outcome.problems

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.during.pop(self.now, lambda: None)()
        if self.now > self._ends_at:
            raise KeyboardInterrupt


def test_what_a_host_does_not_give_for_now_is_asked_for_again_and_later_each_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Update(found=2, embedded=1, problems=1, passing=1)
    again, mended = Update(found=2, problems=1, passing=1), Update(found=2, embedded=1)
    watched = Watched(monkeypatch, [failed, again, again, mended])
    assert watched.watch(600 * MINUTE) == [0, 5, 15, 35]
    told = capsys.readouterr().out
    assert told.count("1 could not be read") == 1, "as it was told at first"
    assert told.count("set: 2 pictures, 1 embedded") == 2


def test_what_a_host_refuses_is_not_asked_for_again_while_the_list_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch, [Update(found=2, problems=1)])
    assert watched.watch(2_000 * MINUTE) == [0]


def test_a_host_that_never_answers_is_asked_every_six_hours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch, [Update(found=1, problems=1, passing=1)])
    minutes = watched.watch(2_000 * MINUTE)
    rests = [later - earlier for earlier, later in pairwise(minutes)]
    assert rests == [5, 10, 20, 40, 80, 160, 320, 360, 360, 360]


def test_a_list_that_changes_is_updated_at_once_and_rests_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch, [Update(found=1, problems=1, passing=1)])
    more = ListedFile("a.example/2.jpg", Stamp(0, 0))
    watched.during[20 * MINUTE] = lambda: watched.files.append(more)
    assert watched.watch(30 * MINUTE) == [0, 5, 15, 20, 25]
