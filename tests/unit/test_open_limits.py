"""Commons and Openverse at the limits of their stubs: no 429 is caused, by however many at once.

The clock moves on only while nobody does anything but wait: all else takes no time, so that
requests come as thick as the pace lets them, however slow the machine is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from imagesearch.adapters.caches import in_process
from imagesearch.clock import SystemClock
from imagesearch.compose.fetch import source_of
from imagesearch.domain.images import ListedImage
from imagesearch.ports import ImageSource
from imagesearch.settings import load_settings
from imagesearch.sources import SOURCES
from imagesearch.sources.commons import COMMONS, Commons
from imagesearch.sources.declaration import Quota
from imagesearch.sources.openverse import OPENVERSE, Openverse
from imagesearch.sources.pace import Pace
from tests.open_stubs import Limited, commons_limits, openverse_limits
from tests.stub_http import Request, StubServer, reply
from tests.unit import test_commons, test_openverse

CONTACT = "ann@example.org"
JPEG = b"\xff\xd8\xff a picture \xff\xd9"
MANY = 300  # that each host has of a keyword


class SharedClock(SystemClock):
    """
    A clock on which threads wait at the same time, not one after the other.

    Who waits, waits from when it last looked at the clock: another's wait that is over in between
    is no reason to wait longer. It stands still while a request is on its way: one that the
    machine holds back between its turn and the host would else arrive later than it was sent.
    """

    def __init__(self) -> None:
        self._own, self._seconds, self._busy = threading.local(), 0.0, 0
        self._changed = threading.Condition()

    def monotonic(self) -> float:
        with self._changed:
            self._own.seconds = self._seconds
            return self._seconds

    def sleep(self, seconds: float) -> None:
        was_busy = self._is_busy()
        self.set_busy(False)
        with self._changed:
            assert self._changed.wait_for(lambda: self._busy == 0, 60), "a request hangs"
            self._seconds = max(self._seconds, self._own.seconds + seconds)
        self.set_busy(was_busy)

    def set_busy(self, is_busy: bool) -> None:
        """Say whether this thread does anything but wait."""
        with self._changed:
            self._busy += is_busy - self._is_busy()
            self._own.is_busy = is_busy
            self._changed.notify_all()

    def _is_busy(self) -> bool:
        return getattr(self._own, "is_busy", False)


def stand_still_for_requests(clock: SharedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have *clock* stand still from when a request may be sent until it is answered."""
    turn, wait = Pace.turn, Pace._wait

    def begun(pace: Pace) -> None:
        clock.set_busy(True)
        wait(pace)

    @contextmanager
    def busy_turn(pace: Pace) -> Iterator[None]:
        try:
            with turn(pace):
                yield
        finally:
            clock.set_busy(False)

    monkeypatch.setattr(Pace, "_wait", begun)
    monkeypatch.setattr(Pace, "turn", busy_turn)


@dataclass
class World:
    """Both hosts as stubs, a clock that all look at, and a limiter that keeps the quotas by it."""

    commons: Limited
    openverse: Limited
    clock: SharedClock
    limiter: in_process.InProcessLimiter

    def source(self, names: str) -> ImageSource:
        settings = load_settings(source=names, source_contact=CONTACT)
        return source_of(settings, self.limiter, self.clock)

    def fetch(self, source: ImageSource, keyword: str, names: str, size: int) -> list[ListedImage]:
        """List *size* images and download them all, by as many threads as a fetch has."""
        settings = load_settings(source=names, source_contact=CONTACT, pool_size=size)
        listed: list[ListedImage] = []
        with ThreadPoolExecutor(settings.download_connections) as threads:
            futures = []
            for page in source.pages(keyword, settings.source_options):
                listed += page.images
                futures += [threads.submit(source.download, one) for one in page.images]
        assert [one.result() for one in futures] == [JPEG] * len(listed)
        return listed


@contextmanager
def stub(kind: Any, limits: Any, clock: SharedClock) -> Iterator[tuple[StubServer, Limited]]:
    """Yield a host, by the test module that has its answers."""

    def answer(request: Request) -> bytes:
        if "/thumb/" in request.target:
            return reply(200, JPEG)
        word = request.query.get("q") or request.query["gsrsearch"]
        first = 1000 * int("second" in word)
        make = kind.page if kind is test_commons else kind.hit
        numbers = range(first + 1, first + MANY + 1)
        return bytes(kind.listing(request, [make(n, server.origin) for n in numbers]))

    limited = limits(answer, clock)
    with StubServer(limited) as server:
        yield server, limited


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    clock = SharedClock()
    now = SimpleNamespace(
        monotonic_ns=lambda: int(clock.monotonic() * 1e9), monotonic=clock.monotonic
    )
    monkeypatch.setattr(in_process, "time", now)
    stand_still_for_requests(clock, monkeypatch)
    with (
        stub(test_commons, commons_limits, clock) as (commons, commons_limited),
        stub(test_openverse, openverse_limits, clock) as (openverse, openverse_limited),
    ):
        commons_at = {"api_url": f"{commons.origin}/w/api.php", "origin": commons.origin}
        openverse_at = {"api_url": f"{openverse.origin}/v1/images/", "origin": openverse.origin}
        stubbed = {
            "commons": replace(COMMONS, connect=lambda _, t: Commons(CONTACT, t, **commons_at)),
            "openverse": replace(OPENVERSE, connect=lambda _, t: Openverse("", t, **openverse_at)),
        }
        for name, declaration in stubbed.items():
            monkeypatch.setitem(SOURCES, name, declaration)
        yield World(commons_limited, openverse_limited, clock, in_process.InProcessLimiter())


@pytest.mark.slow
def test_200_images_of_each_host_at_once_cause_no_429_and_each_has_credit_and_licence(
    world: World,
) -> None:
    source = world.source("commons,openverse")
    images = [one.image for one in world.fetch(source, "horse", "commons,openverse", 400)]
    source.close()
    names = [one.image_id.partition("-")[0] for one in images]
    assert (names.count("commons"), names.count("openverse")) == (200, 200)
    assert (world.commons.refused, world.openverse.refused) == (0, 0)
    assert len(world.commons.pictures.times) == len(world.openverse.pictures.times) == 200
    assert (len(world.commons.searches.times), len(world.openverse.searches.times)) == (4, 10)
    assert {one.credit.source for one in images} == {"Wikimedia Commons", "Openverse"}
    for image in images:
        assert image.credit.user
        assert image.credit.licence.startswith("CC ")
        assert image.credit.licence_url.startswith("https://creativecommons.org/")
    assert 100 < world.clock.monotonic() < 180, "a pool takes some two minutes"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["commons", "openverse"])
def test_two_keywords_at_once_cause_no_429_either(world: World, name: str) -> None:
    source = world.source(name)
    with ThreadPoolExecutor(2) as threads:
        keywords = ("first", "second")
        pools = threads.map(lambda one: world.fetch(source, one, name, 200), keywords)
        assert [len(pool) for pool in pools] == [200, 200]
    source.close()
    host: Limited = getattr(world, name)
    assert host.refused == 0
    assert len(host.pictures.times) == 400


@pytest.mark.parametrize("name", ["commons", "openverse"])
def test_a_source_that_is_not_held_back_meets_the_limit(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the others can fail."""
    fast = Quota(10_000, 1.0)
    paced = SOURCES[name]
    quick = replace(paced, quota=fast, daily_quota=None, download_quota=fast)
    monkeypatch.setitem(SOURCES, name, quick)
    source = world.source(name)
    world.fetch(source, "first", name, 200)
    source.close()
    assert getattr(world, name).refused > 0
