"""The cloud edition with faults on demand, and what its logs, catalog and gallery have counted.

Faults that need more than a signal to a child are in `faults.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
import requests

from imagesearch.cli.main import cli
from imagesearch.compose.fetch import compose
from imagesearch.domain.errors import ImageSearchError
from imagesearch.domain.pools import Pool, PoolKey
from imagesearch.domain.work import Message
from imagesearch.local.emulated.cloud_stack import BUCKET, PROJECT, CloudStack, cloud_stack
from imagesearch.local.emulated.environment import environment_of
from imagesearch.local.emulated.processes import HOST, Child
from imagesearch.settings import Settings, load_settings
from imagesearch.usecases.fetch import Fetch
from tests.e2e.cloud import CLEAN, complete, require_programs
from tests.e2e.faults import CountingGallery, Link, counting_gallery, link

# Three batches: the size does not matter to what is tested. Each test has keywords of its own, and
# no two of them have one of their first 70 images in common: what is stored is not fetched again.
POOL_SIZE = 70
WAIT_SECONDS = 120.0  # for what takes a few seconds on an idle machine
# Enough are given first for whole batches, whatever the order, and more are held than are
# downloaded at a time.
HELD_IMAGES = 22
EMBEDDED_IMAGES = 24  # of the first two batches
UNFOLDED = {"fold": "false"}  # each image counts here, whatever it looks like
SERVICES_OF = {"FetchJob": "fetch", "DeadLetter": "fetch", "EmbedBatch": "inference"}


@dataclass
class FaultyCloud:
    """
    A running stack in a test's hands.

    Attributes:
        firestore: the link of the three services to the Firestore emulator.
        pubsub: the link of the query function to the Pub/Sub emulator.
        settings: of the same emulators, for the test itself; it uses no link.
        services: the use case over them, for its ports.
        pool_size: images of a keyword's pool.
    """

    stack: CloudStack
    gallery: CountingGallery
    firestore: Link
    pubsub: Link
    settings: Settings
    services: Fetch
    pool_size: int = POOL_SIZE
    table: list[tuple[str, str, str]] = field(default_factory=list)

    def child(self, name: str) -> Child:
        """Return the child *name*."""
        return self.stack.children[name]

    def key(self, keyword: str) -> PoolKey:
        """Return the key of a keyword's pool."""
        options = replace(self.settings.source_options, pool_size=self.pool_size)
        return PoolKey.of(keyword, options)

    @contextmanager
    def pools_of(self, images: int, **settings: str) -> Iterator[None]:
        """Have the query function ask for pools of so many *images* meanwhile."""
        told, pool_size = self.child("query").environment, self.pool_size
        self.pool_size = images
        try:
            self.begin_query({**told, "POOL_SIZE": str(images), **settings})
            yield
        finally:
            self.pool_size = pool_size
            self.begin_query(told)

    def begin_query(self, environment: Mapping[str, str]) -> None:
        """Start the query function anew with *environment*."""
        query = self.child("query")
        query.kill()
        query.environment = environment
        self.stack.restart("query")

    def pool(self, keyword: str) -> Pool | None:
        """Return the pool as the catalog has it."""
        return self.services.catalog.pool(self.key(keyword).pool_id)

    def embedded(self, keyword: str) -> int:
        """Return how many images of the pool are embedded."""
        pool = self.pool(keyword)
        return pool.current.embedded if pool else 0

    def search(self, keyword: str, **params: Any) -> requests.Response:
        """Search once."""
        asked = {"t": keyword, "s_query": f"a {keyword}", "wait": 0, **UNFOLDED, **params}
        return requests.get(f"{self.stack.query_url}/search", params=asked, timeout=60)

    def complete(self, keyword: str, **params: Any) -> dict[str, Any]:
        """Search for all images until the answer is complete, and return it."""
        asked = {"t": keyword, "s_query": f"a {keyword}", "k": 200, **UNFOLDED, **params}
        return complete(self.stack.query_url, **asked)

    def begin(self, keyword: str) -> None:
        """Return in the middle of a new pool: some is embedded, the gallery holds the rest."""
        self.gallery.hold_after(POOL_SIZE - HELD_IMAGES)
        assert self.search(keyword).status_code == 202
        eventually("two batches are embedded", lambda: self.embedded(keyword) >= EMBEDDED_IMAGES)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """
        Have nothing delivered meanwhile.

        Production lets a nacked message rest for 5 s and more; the emulator for one, so that five
        attempts would be over before a service on a busy machine has started.
        """
        self.child("pubsub").pause()
        try:
            yield
        finally:
            self.child("pubsub").resume()

    def assert_whole(self, keyword: str) -> None:
        """The pool is ready with each image once, in the generation that it began with."""
        answer = self.complete(keyword)
        pool = answer["pool"]
        assert (pool["state"], pool["generation"]) == ("ready", 1)
        assert (pool["embedded"], pool["rejected"]) == (self.pool_size, 0)
        ids = image_ids(answer)
        assert len(ids) == len(set(ids)) == self.pool_size

    def publish(self, message: Message) -> None:
        """Publish *message* as the services do."""
        with environment_of(self.stack.emulator_environment):
            self.services.publisher.publish(message)

    def units(self, kind: str, keyword: str = "", **fields: Any) -> list[dict[str, Any]]:
        """Return the lines of work of *kind*, of a keyword's pool and with *fields* if given."""
        wanted = {"kind": kind, **fields}
        if keyword:
            wanted["pool_id"] = self.key(keyword).pool_id
        return [
            one for one in lines(self.child(SERVICES_OF[kind])) if wanted.items() <= one.items()
        ]

    def settled(self, keyword: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """
        Return the lines of a whole pool's fetch jobs and of its batches, once all are written.

        A pool is whole with the last write to the catalog, and the line of that batch comes later.
        Images that other keywords' pools had before are in no line of a batch. Of a service that
        was killed the lines may be fewer than what it has written.
        """
        stored = self.job(keyword)["stored"]
        eventually("each image has its line", lambda: self._encoded(keyword) >= stored)
        return self.units("FetchJob", keyword), self.units("EmbedBatch", keyword)

    def job(self, keyword: str) -> dict[str, Any]:
        """Return the one run that fetched a pool, once it is over; all runs were of one message."""
        # The pool is whole before its run is: the line comes last.
        eventually("the job is done", lambda: self.units("FetchJob", keyword, outcome="fetched"))
        runs = self.units("FetchJob", keyword)
        assert len({run["message_id"] for run in runs}) == 1
        (done,) = [run for run in runs if run["outcome"] == "fetched"]
        return done

    def _encoded(self, keyword: str) -> int:
        batches = self.units("EmbedBatch", keyword)
        return sum(batch.get("embedded", 0) for batch in batches)

    def counts(self, keyword: str) -> str:
        """Return what was done for a keyword so far, in a line."""
        pool = self.pool(keyword)
        jobs = self.units("FetchJob", keyword)
        batches = self.units("EmbedBatch", keyword)
        letters = self.units("DeadLetter", keyword)
        parts = [
            f"{pool.current.state.value} gen {pool.current.number}" if pool else "absent",
            f"{pool.current.embedded}/{pool.current.images} embedded" if pool else "",
            f"jobs {_outcomes(jobs)}" if jobs else "",
            f"batches {_outcomes(batches)}" if batches else "",
            f"{self._encoded(keyword)} encoded" if batches else "",
            f"{len(letters)} dead letters" if letters else "",
        ]
        return ", ".join(part for part in parts if part)

    def record(self, fault: str, before: str, after: str) -> None:
        """Put a row into the table that the end of the session prints."""
        self.table.append((fault, before, after))


def lines(child: Child) -> list[dict[str, Any]]:
    """Return the JSON lines that *child* has printed, of all its starts."""
    printed = child.log.splitlines()
    # The last one may be on its way.
    return [_parsed(one) for one in printed if one.startswith("{") and one.endswith("}")]


@cache  # what waits for a line asks for all of them twenty times a second
def _parsed(line: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def eventually(what: str, is_so: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Return when *is_so* is true; fail, naming *what*, when it is not in time."""
    give_up_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < give_up_at, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def image_ids(answer: dict[str, Any]) -> list[str]:
    """Return the ids of an answer's results, best first."""
    return [result["image_id"] for result in answer["results"]]


def _outcomes(units: list[dict[str, Any]]) -> str:
    counted: dict[str, int] = {}
    for one in units:
        counted[one["outcome"]] = counted.get(one["outcome"], 0) + 1
    return " + ".join(f"{number} {outcome}" for outcome, number in sorted(counted.items()))


@contextmanager
def faulty_cloud(**settings: str) -> Iterator[FaultyCloud]:
    """Yield a started stack whose services have *settings* besides."""
    with ExitStack() as opened:
        gallery = opened.enter_context(counting_gallery())
        here = load_settings(port=0, pixabay_api_key=None)
        stack = opened.enter_context(cloud_stack(here, {**CLEAN, **settings}))
        firestore = opened.enter_context(link(stack.children["firestore"].port))
        pubsub = opened.enter_context(link(stack.children["pubsub"].port))
        tell(stack.children["query"], PUBSUB_EMULATOR_HOST=pubsub.address)
        for name in ("query", "fetch", "inference"):
            child = stack.children[name]
            tell(child, FIRESTORE_EMULATOR_HOST=firestore.address, GALLERY_URL=gallery.url)
        stack.start()
        own_settings = _settings(stack, gallery)
        services = _services(own_settings, stack.emulator_environment)
        opened.callback(services.catalog.close)
        yield FaultyCloud(stack, gallery, firestore, pubsub, own_settings, services)


def tell(child: Child, **environment: str) -> None:
    """Have *child* find *environment* at its next start."""
    child.environment = {**child.environment, **environment}


def _settings(stack: CloudStack, gallery: CountingGallery) -> Settings:
    return load_settings(
        edition="cloud",
        google_cloud_project=PROJECT,
        images_bucket=BUCKET,
        gallery_url=gallery.url,
        pool_size=POOL_SIZE,
        redis_host=HOST,
        redis_port=stack.redis_port,
    )


def _services(settings: Settings, emulators: Mapping[str, str]) -> Fetch:
    with environment_of(emulators):  # where clients look while they are made
        services = compose(settings).fetch
        services.catalog.check()
        assert services.store.existing(["none.jpg"]) == set()
    return services


@pytest.fixture
def faulty(faulty_stack: FaultyCloud) -> Iterator[FaultyCloud]:
    """
    The running stack, whose gallery holds nothing back once a test has ended.

    Its bucket is empty then: with each object the emulator writes a list of all that it has.
    """
    yield faulty_stack
    faulty_stack.gallery.release()
    everything = f"{faulty_stack.stack.storage_url}/wipe"
    requests.get(everything, params={"keep-buckets": "true"}, timeout=20).raise_for_status()


@pytest.fixture
def typed(faulty: FaultyCloud, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what runs a command of the cloud edition in this process, and gives what it prints."""
    told = {
        **faulty.stack.emulator_environment,
        "EDITION": "cloud",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "COLUMNS": "200",
    }

    def run(*arguments: str) -> str:
        with environment_of(told):
            capsys.readouterr()
            try:
                status = cli(arguments) or 0
            except ImageSearchError as error:
                return f"error: {error}"
        printed = capsys.readouterr()
        return f"{status}: {printed.out}{printed.err}"

    return run


@pytest.fixture(scope="session")
def faulty_stack(pytestconfig: pytest.Config) -> Iterator[FaultyCloud]:
    """One running stack for all tests of faults, which each leave it whole."""
    require_programs()
    limits = {"RATE_LIMIT_PER_MINUTE": "100000", "NEW_KEYWORDS_PER_MINUTE": "10000"}
    with faulty_cloud(POOL_SIZE=str(POOL_SIZE), **limits) as cloud:
        yield cloud
    _print(pytestconfig, cloud)


def _print(pytestconfig: pytest.Config, cloud: FaultyCloud) -> None:
    printer = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    if printer is not None and cloud.table:
        printer.write_sep("=", "faults: before -> after")
        for fault, before, after in cloud.table:
            printer.write_line(f"{fault}\n    before: {before}\n    after:  {after}")
