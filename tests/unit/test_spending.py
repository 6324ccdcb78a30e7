"""What a day may cost: a day of an attacker, by the real limits and by the table of prices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count, cycle, pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from imagesearch.adapters.caches import in_process
from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.domain.pools import PoolKey
from imagesearch.domain.queries import PicturePart, Query, ScoreRequest, SearchRequest
from imagesearch.ports import ScoreReply
from imagesearch.usecases import clients, spending
from imagesearch.usecases.spending import Gpu, Spending
from tests.effort import amount
from tests.terraform import TERRAFORM
from tests.world import SetClock, World
from tools.cost_model import SEARCHES, Case, load

COSTS = load()
MOST_DOLLARS = 5.0
STORED = 100_000
DAY_MINUTES = 24 * 60
MINUTES = amount(60, DAY_MINUTES)  # of the day
FEW_MINUTES = amount(15, DAY_MINUTES)  # in which as much is spent, or enough
PICTURE_SECONDS = 5.0  # that a picture may be decoded for
GPU_OF: dict[str, Gpu] = {"split": "embedder", "gpu": "scorer", "cpu": ""}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    one.file.close()


def default_of(variable: str) -> float:
    """Return a variable's default in Terraform."""
    text = (TERRAFORM / "variables.tf").read_text()
    found = re.search(rf'variable "{variable}" {{.*?default += ([0-9.]+)\n', text, re.DOTALL)
    assert found
    return float(found[1])


# Prices


def millionths(dollars: float) -> float:
    return 1e6 * dollars


def each(profile: str, kind: str) -> float:
    """Return what one search costs, but for a GPU."""
    parts = COSTS.searches(Case(profile, kind))
    without = 0 if profile == "cpu" else parts["inference service"]
    return (sum(parts.values()) - without) / SEARCHES


@pytest.mark.parametrize("profile", ["split", "gpu", "cpu"])
def test_what_is_charged_is_what_the_table_of_prices_says_and_little_more(profile: str) -> None:
    search = millionths(each(profile, "warm"))
    assert search > 0.8 * spending.SEARCH
    assert search < spending.SEARCH + spending.QUERY_SECOND
    more = millionths(each(profile, "new")) - search
    assert 0.6 * spending.NEW_KEYWORD < more <= spending.NEW_KEYWORD


def test_each_second_and_entry_has_its_price() -> None:
    def second(service: str) -> float:
        return millionths(COSTS.request(service, 1.0) - COSTS.price("request"))

    assert second("query") == pytest.approx(spending.QUERY_SECOND, abs=1)
    assert max(second("scorer"), second("cpu")) == pytest.approx(spending.SCORER_SECOND, abs=1)
    assert millionths(COSTS.hour_of_gpu() / 3600) == pytest.approx(spending.GPU_SECOND, abs=1)
    read = COSTS.price("class_b") + COSTS.value("image_bytes") / 2**30 * COSTS.price("data_out")
    image = millionths(COSTS.request("query", 0.1) + read)
    assert image == pytest.approx(spending.IMAGE, abs=1)
    assert millionths(COSTS.request("query", 0.1)) == pytest.approx(spending.PAGE_FILE, abs=0.1)
    a_byte = millionths(COSTS.price("data_out")) / 2**30
    assert a_byte == pytest.approx(spending.SENT_BYTE, rel=0.01)
    awake = COSTS.value("service_start_seconds") + COSTS.value("linger_seconds")
    assert awake == spending.AWAKE_SECONDS
    a_read = millionths(COSTS.price("firestore_read"))
    assert a_read / COSTS.value("entries_per_read") == pytest.approx(spending.ENTRY)
    found = 1000 * a_read + millionths(COSTS.price("firestore_write"))
    assert found == pytest.approx(spending.FOUND, abs=1)


# A day of an attacker


@dataclass
class Bill:
    """What a day costs by the table of prices, whatever the program thinks that it costs."""

    profile: str
    seconds_of_pictures: float = 0.0
    asked: int = 0  # in a day; what is refused is the same for each, and all day long
    answered: int = 0
    everything: int = 0
    began: list[float] = field(default_factory=list)  # when each new keyword did, in seconds
    scored: list[float] = field(default_factory=list)  # when each search was

    @property
    def gpu_seconds(self) -> float:
        """The time that the GPU is awake: what it works for wakes it, or keeps it awake."""
        worked = sorted([*self.began, *(self.scored if self.profile == "gpu" else ())])
        if self.profile == "cpu" or not worked:
            return 0.0
        work = COSTS.embedding_hours(gpu=True) * 3600 / SEARCHES
        awake = COSTS.value("service_start_seconds") + COSTS.value("linger_seconds")
        gaps = (min(after - before, awake) for before, after in pairwise(worked))
        return float(sum(gaps) + awake + work * len(self.began))

    @property
    def requests(self) -> float:
        """What they cost because they come, whether or not they are refused."""
        return self.asked * COSTS.refused() / 1e6

    @property
    def work(self) -> float:
        """What is done for them besides."""
        scorer = "cpu" if self.profile == "cpu" else "scorer"
        a_second = COSTS.request("query", 1.0) + COSTS.request(scorer, 1.0)
        return sum(
            [
                self.answered * each(self.profile, "warm"),
                self.everything * COSTS.searches_over_everything(STORED) / SEARCHES,
                len(self.began) * each(self.profile, "new"),
                self.gpu_seconds / 3600 * COSTS.hour_of_gpu(),
                self.seconds_of_pictures * a_second,
            ]
        )


@dataclass
class Billed:
    """A scorer that notes what it is asked for; a picture takes it as long as one may."""

    bill: Bill
    clock: SetClock

    def score(self, request: ScoreRequest) -> ScoreReply:
        self.bill.answered += 1
        self.bill.scored.append(self.clock.elapsed_seconds)
        self.bill.everything += request.scope == "catalog"
        if not request.query.is_words:
            self.clock.elapsed_seconds += PICTURE_SECONDS  # the day goes on beside it
            self.bill.seconds_of_pictures += PICTURE_SECONDS
        return ScoreReply((), 3, "twin", False, 0.0, 0.0, matched=False)


WORDS = Query.of_text("horses")
Ask = Callable[[int, int], SearchRequest | None]  # of the request's number, and the second
NUMBERS = count()


def a_new_keyword(number: int, _second: int) -> SearchRequest:
    return SearchRequest(f"new {next(NUMBERS)}", WORDS, wait_seconds=0.0)


def one_to_keep_a_gpu_awake(number: int, second: int) -> SearchRequest | None:
    return a_new_keyword(number, second) if second % 600 == 0 else None


def a_warm_search(number: int, _second: int) -> SearchRequest:
    return SearchRequest("ready", WORDS, wait_seconds=0.0)


def a_picture(number: int, _second: int) -> SearchRequest:
    query = Query((PicturePart(b"a picture"),))
    return SearchRequest("ready", query, wait_seconds=0.0)


def everything(number: int, _second: int) -> SearchRequest:
    return SearchRequest("", WORDS, wait_seconds=0.0, scope="catalog")


KINDS = [a_new_keyword, one_to_keep_a_gpu_awake, a_warm_search, a_picture, everything]


def all_of_it(number: int, second: int) -> SearchRequest | None:
    return KINDS[number % len(KINDS)](number, second)


def addresses_of_a_48() -> Iterator[str]:
    return (f"2001:db8:7:{number % 65_536:x}::1" for number in count())


def a_day(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    ask: Ask,
    *,
    profile: str = "split",
    addresses: Iterator[str] | None = None,
    dollars: float | None = None,
    instances: int = 1,
    minutes: int = MINUTES,
) -> Bill:
    """
    Return the bill of a day in which someone asks twice as often as a client may.

    Without Memorystore each of several *instances* has limits and a lease of its own, and is asked
    as often as it allows.
    """
    addresses = addresses or cycle(["203.0.113.7"])
    nanoseconds = lambda: int(world.clock.elapsed_seconds * 1e9)  # noqa: E731
    world.ready_pool("ready", 3)
    world.outbox.messages.clear()
    for name in ("new_keywords_per_minute", "new_keywords_per_day"):
        setattr(world, name, int(default_of(name)))
    for name in ("catalog_searches_per_minute", "catalog_searches_per_day"):
        setattr(world, name, int(default_of(name)))
    world.assemble()
    bill, waits = Bill(profile), {1.0}
    scorer = Billed(bill, world.clock)
    searches = [
        replace(
            world.search,
            scorer=scorer,
            limiter=in_process.InProcessLimiter(),
            spending=Spending(
                world.catalog, world.clock, dollars, gpu=GPU_OF[profile], entries=lambda: STORED
            ),
        )
        for _ in range(instances)
    ]
    monkeypatch.setattr(in_process, "time", SimpleNamespace(monotonic_ns=nanoseconds))
    a_client = int(default_of("rate_limit_per_minute"))
    per_minute = a_client * max(2, instances)
    began = world.clock.time.replace(hour=0) + timedelta(days=1)
    for number in range(per_minute * minutes):
        moment = number * 60 / per_minute
        world.clock.time = began + timedelta(seconds=moment)
        world.clock.elapsed_seconds = moment
        request = ask(number, int(moment))
        if request is None:
            continue
        client = clients.client_of("", next(addresses), 0)
        bill.asked += DAY_MINUTES // minutes
        try:
            search = searches[number % instances]
            clients.spend(search.limiter, "rate", client, a_client, "too often")
            search(request, client=client)
        except Overloaded as error:
            waits.add(error.retry_after_seconds or 0)
        bill.began += [moment] * len(world.outbox.messages)
        world.outbox.messages.clear()
    assert min(waits) > 0, "each refusal says when to come again"
    return bill


@pytest.mark.slow
@pytest.mark.parametrize("ask", KINDS)
def test_a_day_of_one_attacker_costs_no_more_than_is_to_be(
    world: World, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    minutes = FEW_MINUTES if ask is a_picture else MINUTES
    dollars = default_of("dollars_per_day")
    bill = a_day(world, monkeypatch, ask, dollars=dollars, minutes=minutes)
    print(f"{ask.__name__}: {bill.work:.2f} USD, and {bill.requests:.2f} of {bill.asked} requests")
    assert bill.work > 0
    assert bill.work + bill.requests <= MOST_DOLLARS


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["split", "gpu", "cpu"])
def test_nor_does_one_of_who_has_a_48(
    world: World, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    """And asks for all of it, by turns."""
    dollars, addresses = default_of("dollars_per_day"), addresses_of_a_48()
    bill = a_day(
        world, monkeypatch, all_of_it, profile=profile, addresses=addresses, dollars=dollars
    )
    print(f"{profile}: {bill.work:.2f} USD, and {bill.requests:.2f} of {bill.asked} requests")
    assert bill.work > 2
    assert bill.work + bill.requests <= MOST_DOLLARS


@pytest.mark.slow
def test_nor_do_limits_that_each_instance_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it comes, without Memorystore; who goes on after the refusals is held by no limit."""
    dollars, instances = default_of("dollars_per_day"), int(COSTS.value("query_instances"))
    bill = a_day(
        world,
        monkeypatch,
        all_of_it,
        dollars=dollars,
        instances=instances,
        minutes=FEW_MINUTES,
    )
    print(f"{instances}: {bill.work:.2f} USD, and {bill.requests:.2f} of {bill.asked} requests")
    assert bill.work > 1
    assert bill.work + bill.requests <= MOST_DOLLARS


@pytest.mark.slow
@pytest.mark.parametrize("ask", [one_to_keep_a_gpu_awake, a_warm_search])
def test_it_would_without_the_money_of_the_day(
    world: World, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    # Each time that a GPU is woken is paid for, however soon it ends.
    minutes = MINUTES if ask is one_to_keep_a_gpu_awake else FEW_MINUTES
    work = a_day(world, monkeypatch, ask, minutes=minutes).work
    assert work * DAY_MINUTES / minutes > 4 * MOST_DOLLARS


# The money


def spending_of(world: World, dollars: float | None, gpu: Gpu = "", entries: int = 0) -> Spending:
    """Return what a process has that starts."""
    return Spending(world.catalog, world.clock, dollars, gpu=gpu, entries=lambda: entries)


def how_often(charge: Callable[[], None]) -> int:
    """Return how often it is charged before it is refused."""
    number, refused = 0, None
    while refused is None:
        try:
            charge()
        except Overloaded as caught:
            refused = caught
        else:
            number += 1
            assert number < 100_000, "it is never refused"
    assert 0 < (refused.retry_after_seconds or 0) <= 86_400
    assert "what a day, in UTC, may cost is spent" in str(refused)
    return number


def test_a_quarter_is_for_what_is_known_and_the_rest_for_what_is_new(world: World) -> None:
    one = spending_of(world, 4.0)
    assert how_often(one.new_keyword) == 3_000_000 // spending.NEW_KEYWORD
    assert how_often(one.search) == 1_000_000 // spending.SEARCH


def test_processes_share_it_and_those_that_start_anew(world: World) -> None:
    most = 1_000_000 // spending.SEARCH
    spent = sum(how_often(spending_of(world, 4.0).search) for _ in range(3))
    assert 0.98 * most <= spent <= most
    assert how_often(spending_of(world, 4.0).search) == 0


def test_processes_that_are_started_for_a_search_each_leave_most_of_it(world: World) -> None:
    for _ in range(100):
        spending_of(world, 4.0).search()
    assert how_often(spending_of(world, 4.0).search) > 0.85 * 1e6 / spending.SEARCH


def test_what_is_refused_wakes_no_gpu(world: World) -> None:
    money = spending_of(world, 4.0, gpu="scorer")
    how_often(money.search)
    world.clock.elapsed_seconds += spending.AWAKE_SECONDS
    assert how_often(money.search) == 0
    awake = spending.GPU_SECOND * spending.AWAKE_SECONDS
    most = (3_000_000 - awake) / spending.NEW_KEYWORD
    assert 0.99 * most < how_often(money.new_keyword) <= most


def test_a_day_later_there_is_as_much_again(world: World) -> None:
    one = spending_of(world, 4.0)
    first = how_often(one.search)
    assert how_often(one.search) == 0
    world.clock.time += timedelta(days=1)
    assert how_often(one.search) == first


def test_a_gpu_is_charged_for_the_time_that_it_stays_awake(world: World) -> None:
    apart, close = spending_of(world, 4.0, "embedder"), spending_of(world, 400.0, "embedder")

    def after(seconds: float, one: Spending) -> Callable[[], None]:
        def charge() -> None:
            world.clock.elapsed_seconds += seconds
            one.new_keyword()

        return charge

    a_wake = spending.GPU_SECOND * spending.AWAKE_SECONDS + spending.NEW_KEYWORD
    assert how_often(after(3600, apart)) == 3_000_000 // a_wake
    a_minute = spending.GPU_SECOND * 60 + spending.NEW_KEYWORD
    assert how_often(after(60, close)) == pytest.approx(300_000_000 / a_minute, rel=0.02)


def test_a_search_is_charged_for_a_gpu_where_that_scores(world: World) -> None:
    a_wake = spending.GPU_SECOND * spending.AWAKE_SECONDS
    one = spending_of(world, 4.0, "scorer")
    assert how_often(one.search) == pytest.approx((1_000_000 - a_wake) / spending.SEARCH, rel=0.02)


def test_a_search_over_everything_is_charged_for_all_that_is_stored(world: World) -> None:
    few, many = spending_of(world, 4.0, entries=100_000), spending_of(world, 4.0, entries=10**6)
    assert how_often(few.everything) == 3_000_000 // (spending.FOUND + 300)
    world.clock.time += timedelta(days=1)
    most = 3_000_000 / (spending.FOUND + 3000)
    assert 0.99 * most < how_often(many.everything) <= most


def test_what_took_long_is_made_up_for_by_the_next_one(world: World) -> None:
    one = spending_of(world, 4.0)
    one.scored(0.1)
    one.scored(1_000.0)
    one.waited(10_000.0)
    owed = (spending.QUERY_SECOND + spending.SCORER_SECOND) * 999.9 + spending.QUERY_SECOND * 10_000
    left = (1_000_000 - owed) / spending.SEARCH
    assert how_often(one.search) == pytest.approx(left, rel=0.03)


def test_while_the_catalog_does_not_answer_nothing_new_is_begun_and_what_is_known_goes_on_a_while(
    world: World,
) -> None:
    one = spending_of(world, 4.0)

    def unreachable(what: str, day: int, most: int, more: int = 1) -> bool:
        raise Unavailable("Firestore does not answer")

    counting = world.catalog.pools.count
    world.catalog.pools.count = unreachable  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        one.new_keyword()
    with pytest.raises(Unavailable):
        one.everything()
    on_credit = int(100_000 // spending.SEARCH)
    for _ in range(on_credit):
        one.search()
    with pytest.raises(Unavailable):
        one.search()
    world.catalog.pools.count = counting  # type: ignore[method-assign]
    spent = how_often(one.search) + on_credit
    assert spent == pytest.approx(1_000_000 / spending.SEARCH, rel=0.02)


def test_without_a_number_of_dollars_nothing_is_counted(world: World) -> None:
    def unwanted(what: str, day: int, most: int, more: int = 1) -> bool:
        raise AssertionError(what)

    world.catalog.pools.count = unwanted  # type: ignore[method-assign]
    one = spending_of(world, None, "scorer", entries=10**6)
    for charge in (one.search, one.everything, one.new_keyword):
        charge()


# What a search charges


@dataclass
class Charged(Spending):
    """Notes what is charged."""

    charges: list[str] = field(default_factory=list)

    def search(self) -> None:
        self.charges.append("search")

    def everything(self) -> None:
        self.charges.append("everything")

    def new_keyword(self) -> None:
        self.charges.append("new")

    def waited(self, seconds: float) -> None:
        self.charges.append(f"waited {seconds:g}")

    def scored(self, seconds: float) -> None:
        self.charges.append(f"scored {seconds:g}")


@pytest.fixture
def charged(world: World) -> Charged:
    world.ready_pool("ready", 3)
    charged = Charged()
    world.spending = charged
    world.assemble()
    return charged


def test_each_search_charges_what_it_makes_others_do(world: World, charged: Charged) -> None:
    world.search = replace(world.search, scorer=Billed(Bill("split"), world.clock))
    world.ask("ready")
    picture = SearchRequest("ready", Query((PicturePart(b"a picture"),)), wait_seconds=0.0)
    world.search(picture)
    world.search(everything(0, 0) or picture)
    world.ask("new", wait_seconds=2.0)
    known, slow = ["search", "scored 0"], ["search", f"scored {PICTURE_SECONDS:g}"]
    assert charged.charges == [*known, *slow, "everything", *known, "new", "waited 2"]


def test_work_that_is_taken_up_again_is_charged_again(world: World, charged: Charged) -> None:
    world.ask("new")
    world.ask("new")
    charged_once = ["new", "waited 0", "waited 0"]
    assert charged.charges == charged_once
    world.clock.time += timedelta(hours=2)  # the job was lost
    world.ask("new")
    assert charged.charges == [*charged_once, "new", "waited 0"]
    assert len(world.outbox.messages) == 2


def test_what_a_limit_refuses_is_not_charged(world: World, charged: Charged) -> None:
    world.search = replace(
        world.search,
        new_keywords=replace(world.search.new_keywords, per_minute=1),
        catalog_searches=replace(world.search.catalog_searches, per_minute=1),
    )
    requests = [a_new_keyword(0, 0), everything(0, 0)]
    for request in requests:
        world.search(request, client="203.0.113.1")
    charges = list(charged.charges)
    for request in [a_new_keyword(1, 0), everything(1, 0)]:
        with pytest.raises(Overloaded):
            world.search(request, client="203.0.113.1")
    assert charged.charges == charges


def test_a_stale_pool_answers_when_its_renewal_cannot_be_paid(world: World) -> None:
    world.ready_pool("ready", 3)
    world.spending = spending_of(world, 4.0)
    world.assemble()
    how_often(world.spending.new_keyword)
    world.clock.time += timedelta(days=1, hours=1)
    how_often(world.spending.new_keyword)
    assert len(world.ask("ready").hits or ()) == 3
    assert not world.outbox.messages
    with pytest.raises(Overloaded):
        world.ask("new")
    key = PoolKey.of("new", world.options)
    assert world.catalog.pool(key.pool_id) is None
