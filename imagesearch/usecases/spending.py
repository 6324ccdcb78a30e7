"""What a day may cost: each search is charged with its price, until the money of the day is spent.

All processes share it, and the catalog counts, so that no cache that is away lifts it. Prices are
those of `tools/costs.toml`, rounded up; `tests/unit/test_spending.py` holds the two together.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.domain.forgetting import day_of
from imagesearch.domain.work import BudgetNotice
from imagesearch.ports import Clock
from imagesearch.usecases.pools import Catalog

# In millionths of a US dollar.
SEARCH = 130.0  # of what is there, with the images that the page loads
NEW_KEYWORD = 2_880.0  # what is fetched, stored, embedded and waited for beyond a search
ENTRY = 0.003  # a hundredth of a document read: of each entry that a search over everything covers
FOUND = 301.0  # the documents that it reads, 1000 at most, and the write that counts it
QUERY_SECOND = 26.0  # of the query function
IMAGE = 15.0  # that the query function reads and sends, where the bucket is closed to the public
PAGE_FILE = 3.0  # of the page, that the query function sends, but for its bytes
SENT_BYTE = 0.000112
SCORER_SECOND = 116.0  # of the largest service without a GPU that scores
GPU_SECOND = 291.0  # of an instance that is awake

AWAKE_SECONDS = 630.0  # that a GPU is awake for one piece of work: its start, and its rest after it
_FREE_SECONDS = 0.1  # of a scoring, which SEARCH has
_FOR_KNOWN = 4  # a quarter of the money is for what is there
# A process takes as much again as it has taken, from a thousandth to eight: a write for each search
# is slow and dear, and what a process took and did not spend is lost when it ends.
_FIRST_LEASE, _LARGEST_LEASE = 1000, 125
_ON_CREDIT = 10  # a tenth may be owed while the catalog does not answer
_DAY_SECONDS = 86_400.0
_WORK = "work"  # the purse of new keywords and of searches over everything
_ALL = 10**15  # more than a day may have, and little of what a counter holds

Gpu = Literal["", "embedder", "scorer"]  # which service has one; the scorer that has embeds, too

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BudgetReport:
    """What came of a notice: `not spent`, or `the day is over` for new work."""

    outcome: str


@dataclass(frozen=True)
class HeedBudget:
    """
    Begins no new work on a day on which a notice says that the month's budget is spent.

    What is left of the day's money for new work is spent in the catalog, so that every process sees
    it once it needs more; searches of known keywords go on. Each day's first notice does it again.
    """

    catalog: Catalog
    clock: Clock

    def __call__(self, notice: BudgetNotice) -> BudgetReport:
        """Do it; Unavailable where the catalog does not answer."""
        if not notice.is_spent:
            return BudgetReport("not spent")
        self.catalog.count(_Purse.counter(_WORK), self.clock.now(), most=2**62, more=_ALL)
        return BudgetReport("the day is over")


class Spending:
    """
    Charges what clients ask for, and refuses what the money of the day, in UTC, is not enough for.

    Three quarters are for new keywords and searches over everything, so that who spends them
    leaves a quarter for searches of what is there.

    Args:
        dollars: of a day, of all processes together; None counts nothing.
        gpu: the service that is paid for as long as it is awake.
        entries: returns how many entries a search over everything covers.
    """

    def __init__(
        self,
        catalog: Catalog,
        clock: Clock,
        dollars: float | None = None,
        *,
        gpu: Gpu = "",
        entries: Callable[[], int] = lambda: 0,
    ) -> None:
        known = 0 if dollars is None else round(1e6 * dollars) // _FOR_KNOWN
        new = 0 if dollars is None else round(1e6 * dollars) - known
        go_on = "searches of known keywords go on"
        self._known = _Purse("known", known, catalog, clock, "come again then", on_credit=True)
        self._new = _Purse(_WORK, new, catalog, clock, go_on)
        self._is_counted = dollars is not None
        self._clock, self._gpu, self._entries = clock, gpu, entries
        self._lock = threading.Lock()
        self._worked_at: float | None = None  # when this process last woke the GPU

    def search(self) -> None:
        """Charge what is scored; Overloaded when the day's money for searches is spent."""
        if self._is_counted:
            self._charge(self._known, SEARCH, wakes=self._gpu == "scorer")

    def everything(self) -> None:
        """Charge what a search over everything costs beyond that; Overloaded, Unavailable."""
        if self._is_counted:
            self._new.take(FOUND + ENTRY * self._entries())

    def new_keyword(self) -> None:
        """Charge work that a keyword's pool needs; Overloaded, Unavailable."""
        if self._is_counted:
            self._charge(self._new, NEW_KEYWORD, wakes=self._gpu != "")

    def image(self) -> None:
        """Charge an image that is served; Overloaded when the day's money for searches is spent."""
        if self._is_counted:
            self._known.take(IMAGE)

    def page_file(self, sent_bytes: int) -> None:
        """Charge a file of the page; Overloaded when the day's money for searches is spent."""
        if self._is_counted:
            self._known.take(PAGE_FILE + SENT_BYTE * sent_bytes)

    def waited(self, seconds: float) -> None:
        """Charge the time that a search waited, which is known afterwards alone."""
        if self._is_counted:
            self._known.owe(QUERY_SECOND * seconds)

    def scored(self, seconds: float) -> None:
        """Charge the time that the scorer took, for a picture of the query, say."""
        if self._is_counted:
            beyond = max(0.0, seconds - _FREE_SECONDS)
            self._known.owe((QUERY_SECOND + SCORER_SECOND) * beyond)

    def _charge(self, purse: _Purse, amount: float, *, wakes: bool) -> None:
        """
        Take *amount*, and what it costs that a GPU stays awake for this work, if it *wakes* one.

        Since this process last woke it at most that time has passed awake: what other processes
        do makes it less, so that all together charge as much as is paid for, or more. What is
        refused wakes nothing.
        """
        if not wakes:
            purse.take(amount)
            return
        with self._lock:
            now = self._clock.monotonic()
            since = AWAKE_SECONDS if self._worked_at is None else now - self._worked_at
            purse.take(amount + GPU_SECOND * min(since, AWAKE_SECONDS))
            self._worked_at = now


class _Purse:
    """A part of the day's money: this process takes a little from the catalog, and spends it."""

    def __init__(
        self,
        name: str,
        most: int,
        catalog: Catalog,
        clock: Clock,
        goes_on: str,
        *,
        on_credit: bool = False,
    ) -> None:
        self._name, self._most, self._goes_on = self.counter(name), most, goes_on
        self._catalog, self._clock, self._on_credit = catalog, clock, on_credit
        self._lock = threading.Lock()
        self._day = -1
        self._left = 0.0
        self._taken = 0  # of the day
        self._owed = 0  # taken while the catalog did not answer
        self._spent_on = -1  # the day on which the catalog refused: it is not asked again

    @staticmethod
    def counter(name: str) -> str:
        """Return what the catalog counts the purse by."""
        return f"money-{name}"

    def owe(self, amount: float) -> None:
        """Take *amount*, whether or not it is there: the next one who takes makes up for it."""
        with self._lock:
            self._left -= amount

    def take(self, amount: float) -> None:
        """
        Take *amount*, in millionths of a dollar.

        Raises:
            Overloaded: the day has not so much left.
            Unavailable: the catalog does not answer, and there is no more credit.
        """
        now = self._clock.now()
        with self._lock:  # others wait for the lease, rather than take one each
            if day_of(now) != self._day:
                self._day, self._left = day_of(now), min(0.0, self._left)
                self._taken = 0
            if self._left < amount:
                self._lease(amount - self._left, now)
            self._left -= amount

    def _lease(self, missing: float, now: datetime) -> None:
        usual = min(max(self._taken, self._most // _FIRST_LEASE), self._most // _LARGEST_LEASE)
        lease = max(math.ceil(missing), usual)
        try:
            is_there = self._spent_on != self._day and self._catalog.count(
                self._name, now, self._most, lease + self._owed
            )
        except Unavailable:
            if not self._on_credit or self._owed + lease > self._most // _ON_CREDIT:
                raise
            _logger.warning("what searches cost is counted later: the catalog does not answer")
            self._owed += lease
            self._left += lease
            return
        if not is_there:
            if self._spent_on != self._day:  # terraform/cost_alerts.tf looks for these words
                _logger.warning("what a day may cost is spent: %s", self._name)
            self._spent_on = self._day
            raise Overloaded(
                f"what a day, in UTC, may cost is spent; {self._goes_on}",
                retry_after_seconds=_DAY_SECONDS - now.timestamp() % _DAY_SECONDS,
            )
        self._left, self._owed = self._left + lease, 0
        self._taken += lease
