"""The formulas of what imagesearch costs on Google Cloud.

Every price, free quota, count and assumption is in `costs.toml`; `costs.py` prints the tables.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLES = Path(__file__).with_name("costs.toml")

PROFILES = ("split", "gpu", "cpu")  # the default first
SEARCHES = 1000
PICTURES = 100_000  # of a collection
HOUR_SECONDS = 3600.0
MONTH_HOURS = 730.0
WEEKS_A_MONTH = MONTH_HOURS / (7 * 24)
_BILLED_SECONDS = 0.1  # Cloud Run rounds a request up to it
_PUBSUB_BYTES = 1000  # the least that is billed for a message
_GIB = 2.0**30


@dataclass(frozen=True)
class Case:
    """
    1,000 searches of one kind.

    Attributes:
        kind: `warm`, its pool is ready; `new`, its keyword was never asked for; `renewed`, its pool
            is a day old and fetched again.
        apart: True when each finds everything asleep; else all come within an hour.
    """

    profile: str
    kind: str
    apart: bool = False
    memorystore: bool = False
    domain: bool = False
    private_images: bool = False


class Costs:
    """The tables of `costs.toml`, and what follows from them, in US dollars before free quotas."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self.tables = tables

    def price(self, name: str) -> float:
        """Return a price for one unit; KeyError when it is not known."""
        return float(self.tables["prices"][name]["usd"])

    def value(self, name: str) -> float:
        """Return an assumption."""
        return float(self.tables["assumptions"][name]["value"])

    def free(self, name: str) -> float:
        """Return how much a month is free."""
        return float(self.tables["free"][name]["amount"])

    def size(self, service: str) -> tuple[float, float]:
        """Return the vCPUs and the GiB of a service."""
        size = self.tables["services"][service]
        return float(size["cpus"]), float(size["memory_gib"])

    def counted(self, kind: str) -> Mapping[str, int]:
        """Return what one search of a kind makes the services do."""
        counts: Mapping[str, int] = self.tables["counts"][kind]
        return counts

    def searches(self, case: Case) -> dict[str, float]:
        """Return what each part costs for 1,000 searches."""
        done = self.counted(case.kind)
        shown = SEARCHES * self.value("images_shown")
        requests = SEARCHES * (2 + (done["messages"] + 1 if done["messages"] else 0))  # 1: a wake
        return {
            "query function": self._function("query", self._query_seconds(case), case)
            + shown * self.request("query", self.value("search_seconds")) * case.private_images,
            "fetch function": self._fetch(case),
            "inference service": self._inference(case),
            "scorer": self._scorer(case),
            "Firestore": SEARCHES * self._documents(case),
            "Cloud Storage": SEARCHES * self._objects(case) + shown * self.price("class_b"),
            "Pub/Sub": 2 * SEARCHES * done["messages"] * self._message(),
            "log": requests * self.value("log_bytes") / _GIB * self.price("log"),
            "to the callers": self._to_callers(case),
        }

    def total(self, case: Case) -> float:
        """Return what 1,000 searches cost."""
        return sum(self.searches(case).values())

    def day_at_the_limit(self, profile: str) -> float:
        """
        Return what a day of as many new keywords as are allowed costs.

        They are spread so that one GPU never sleeps, where the profile has any.
        """
        share, case = self.value("new_keywords_per_day") / SEARCHES, Case(profile, "new")
        day = share * self.total(case)
        if profile != "cpu":
            awake_hours = share * self._awake_seconds(case) / HOUR_SECONDS
            day += max(0.0, 24 - awake_hours) * self.hour_of_gpu()
        return day

    def searches_over_everything(self, images: int) -> float:
        """Return what 1,000 searches over so many stored *images* read from Firestore cost."""
        read = images / self.value("entries_per_read")
        return SEARCHES * (read * self.price("firestore_read") + self.price("firestore_write"))

    def refused(self) -> float:
        """Return what a million requests that are refused cost."""
        log = self.value("log_bytes") / _GIB * self.price("log")
        return 1e6 * (self.request("query", _BILLED_SECONDS) + log)

    def instances_for_a_day(self) -> float:
        """Return what a day costs in which every instance of the query function is busy."""
        a_second = self.request("query", 1.0) - self.price("request")
        return 24 * HOUR_SECONDS * self.value("query_instances") * a_second

    def a_million_came(self) -> float:
        """Return what a million requests cost besides the time of the instances."""
        log = self.value("log_bytes") / _GIB * self.price("log")
        return 1e6 * (self.price("request") + log)

    def hour_of_gpu(self) -> float:
        """Return what an hour of an awake instance with a GPU costs."""
        cpus, memory_gib = self.size("gpu")
        beside = cpus * self.price("instance_cpu") + memory_gib * self.price("instance_memory")
        return HOUR_SECONDS * (self.price("l4") + beside)

    def hour_of_window(self) -> float:
        """Return what an hour costs in which a window of the web app is open: one long request."""
        return self.request("app", HOUR_SECONDS)

    def idle(self, *, memorystore: bool, domain: bool, profile: str) -> dict[str, float]:
        """Return what each part costs in a month without a search, after the free quotas."""
        checks = self.value("uptime_checks_a_month")
        asked = checks * (self.request("query", _BILLED_SECONDS) + self.price("firestore_read"))
        armor = self.price("armor_policy") + 2 * self.price("armor_rule")
        stored = max(0.0, self.registry_gib(profile) - self.free("registry"))
        return {
            "Memorystore": MONTH_HOURS * self.price("memorystore") * memorystore,
            "load balancer": MONTH_HOURS * self.price("load_balancer") * domain,
            "Cloud Armor, unverified": armor * domain,
            "Artifact Registry, at most": stored * self.price("registry"),
            "uptime check's requests": 0.0 if self._is_free(checks) else asked,
            "versions of secrets": self._secrets(1 + memorystore),  # Pixabay's key, the AUTH string
        }

    def registry_gib(self, profile: str) -> float:
        """Return the GiB of all images that are kept, as if no two had a layer in common."""
        image = self.value("cpu_image_gib" if profile == "cpu" else "cuda_image_gib")
        each_kept = image + self.value("function_images_gib")
        return self.value("registry_versions") * each_kept + self.value("registry_caches") * image

    def left_behind(self) -> float:
        """Return what the images and embeddings of 1,000 keywords cost a month."""
        images = SEARCHES * self.value("images_per_pool")
        stored = self.value("image_bytes") * self.price("storage")
        embedded = self.value("embedding_bytes") * self.price("firestore_storage")
        return images * (stored + embedded) / _GIB

    def collection(self, profile: str) -> dict[str, float]:
        """Return what each part costs for a bucket of PICTURES, none of which is known."""
        seconds = self.collection_seconds(profile)
        batches = self._pages() * self.counted_pages("new")["batches"]
        awake = seconds + self.value("service_start_seconds") + self.value("linger_seconds")
        embedding = (
            batches * self.request("cpu", self._embedding_seconds("cpu") / batches)
            if profile == "cpu"
            else awake / HOUR_SECONDS * self.hour_of_gpu()
        )
        pages = self._pages() * self.request("fetch", seconds / self._pages())
        return {"fetch function": pages, "inference service": embedding, **self._of_pages("new")}

    def collection_week(self) -> dict[str, float]:
        """Return what each part costs for a look at that bucket of which nothing is new."""
        pages = self._pages() * self.request("fetch", self.value("page_seconds"))
        return {"fetch function": pages, **self._of_pages("unchanged")}

    def collection_kept(self) -> float:
        """Return what a month of that collection costs: previews, embeddings and files."""
        stored = self.value("preview_bytes") * self.price("storage")
        documents = self.value("embedding_bytes") + self.value("file_bytes")
        return PICTURES * (stored + documents * self.price("firestore_storage")) / _GIB

    def collection_seconds(self, profile: str) -> float:
        """Return how long these pictures take, a page after the other, embedded meanwhile."""
        fetching = PICTURES * self.value("picture_seconds")
        return max(fetching, self._embedding_seconds(profile))

    def counted_pages(self, kind: str) -> Mapping[str, int]:
        """Return what a page of a bucket makes the services do."""
        counts: Mapping[str, int] = self.tables["pages"][kind]
        return counts

    def _pages(self) -> float:
        return PICTURES / self.value("page_pictures")

    def _embedding_seconds(self, profile: str) -> float:
        cpus, _ = self.size("cpu")
        on_cpus = self.value("cpu_images_per_second") * cpus
        return PICTURES / (on_cpus if profile == "cpu" else self.value("gpu_images_per_second"))

    def _of_pages(self, kind: str) -> dict[str, float]:
        """Return what all pages of a kind cost besides the services that do them."""
        done, pages = self.counted_pages(kind), self._pages()
        written = done["previews_stored"] + 1  # and a listing
        read = done["objects_read"] + done["previews_read"]
        return {
            "Firestore": pages * self._billed_documents(done),
            "Cloud Storage": pages
            * (written * self.price("class_a") + read * self.price("class_b")),
            "Pub/Sub": 2 * pages * done["messages"] * self._message(),
            "log": pages * done["messages"] * self.value("log_bytes") / _GIB * self.price("log"),
        }

    def _billed_documents(self, done: Mapping[str, float]) -> float:
        return (
            done["firestore_reads"] * self.price("firestore_read")
            + done["firestore_writes"] * self.price("firestore_write")
            + done["firestore_deletes"] * self.price("firestore_delete")
        )

    def request(self, service: str, seconds: float) -> float:
        """Return what a request costs that a service billed by the request takes *seconds* for."""
        billed = math.ceil(round(seconds / _BILLED_SECONDS, 6)) * _BILLED_SECONDS
        cpus, memory_gib = self.size(service)
        a_second = cpus * self.price("request_cpu") + memory_gib * self.price("request_memory")
        return self.price("request") + billed * a_second

    def embedding_hours(self, *, gpu: bool) -> float:
        """Return how long one instance embeds the images of 1,000 new keywords."""
        a_second = self.value("gpu_images_per_second")
        if not gpu:
            a_second = self.value("cpu_images_per_second") * self.size("cpu")[0]
        return SEARCHES * self.counted("new")["images_stored"] / a_second / HOUR_SECONDS

    def _secrets(self, versions: int) -> float:
        return max(0.0, versions - self.free("secret_version")) * self.price("secret_version")

    def _is_free(self, checks: float) -> bool:
        (cpus, memory_gib), seconds = self.size("query"), checks * _BILLED_SECONDS
        return (
            seconds * cpus <= self.free("request_cpu")
            and seconds * memory_gib <= self.free("request_memory")
            and checks <= min(self.free("request"), self.free("firestore_read"))
        )

    def _starts(self, case: Case) -> int:
        return SEARCHES if case.apart else 1

    def _started(self, service: str, seconds: float, case: Case) -> float:
        # A start is billed like a request, but is none.
        start = self.request(service, seconds) - self.price("request")
        return self._starts(case) * start

    def _function(self, service: str, seconds: float, case: Case) -> float:
        started = self._started(service, self.value("function_start_seconds"), case)
        return SEARCHES * self.request(service, seconds) + started

    def _query_seconds(self, case: Case) -> float:
        return self.value("wait_seconds" if case.kind == "new" else "search_seconds")

    def _fetch(self, case: Case) -> float:
        if case.kind == "warm":
            return 0.0
        seconds = self.value("fetch_seconds" if case.kind == "new" else "renewal_seconds")
        return self._function("fetch", seconds, case)

    def _inference(self, case: Case) -> float:
        if case.profile == "split" and case.kind == "warm":
            return 0.0  # it sleeps
        if case.profile == "cpu":
            return self._on_cpus(case)
        return self._awake_seconds(case) / HOUR_SECONDS * self.hour_of_gpu()

    def _awake_seconds(self, case: Case) -> float:
        work = HOUR_SECONDS * self.embedding_hours(gpu=True) if case.kind == "new" else 0.0
        around = self.value("service_start_seconds") + self.value("linger_seconds")
        return self._starts(case) * around + (work if case.apart else max(HOUR_SECONDS, work))

    def _on_cpus(self, case: Case) -> float:
        done, (cpus, _) = self.counted(case.kind), self.size("cpu")
        embedding = done["images_stored"] / (self.value("cpu_images_per_second") * cpus)
        batches = max(0, done["messages"] - 1)
        each = max(_BILLED_SECONDS, embedding / batches) if batches else 0.0
        scored = self.request("cpu", self.value("search_seconds"))
        work = scored + batches * self.request("cpu", each)
        started = self._started("cpu", self.value("service_start_seconds"), case)
        return SEARCHES * work + started

    def _scorer(self, case: Case) -> float:
        if case.profile != "split":
            return 0.0
        started = self._started("scorer", self.value("service_start_seconds"), case)
        return SEARCHES * self.request("scorer", self.value("search_seconds")) + started

    def _documents(self, case: Case) -> float:
        done = self.counted(case.kind)
        reads = float(done["firestore_reads"])
        if case.kind == "new":
            reads += self.value("wait_seconds") * self.value("reads_per_second_waiting")
        if case.kind == "warm" and not case.memorystore:
            loads = SEARCHES if case.apart else self.value("warm_keywords")
            reads += loads / SEARCHES * self.value("reads_to_load_a_pool")
        return self._billed_documents({**done, "firestore_reads": reads})

    def _objects(self, case: Case) -> float:
        """Return what the operations on stored images cost for a search."""
        done = self.counted(case.kind)
        read = 0 if case.memorystore else done["images_stored"]  # by the service that embeds
        asked = done["images_looked_up"] + read
        return done["images_stored"] * self.price("class_a") + asked * self.price("class_b")

    def _message(self) -> float:
        return max(_PUBSUB_BYTES, self.value("message_bytes")) / _GIB / 1024 * self.price("pubsub")

    def _to_callers(self, case: Case) -> float:
        answers = SEARCHES * self.value("answer_bytes") / _GIB
        shown = SEARCHES * self.value("images_shown")
        images = shown * self.value("image_bytes") / _GIB
        if not case.domain:
            return (answers + images) * self.price("data_out")
        through = (answers + images) * self.price("load_balancer_data")
        if case.private_images:  # which no CDN keeps
            armor = (SEARCHES + shown) * self.price("armor_request")
            return (answers + images) * self.price("data_out") + through + armor
        cdn = images * self.price("cdn_data_out") + shown * self.price("cdn_lookup")
        armor = SEARCHES * self.price("armor_request")
        return answers * self.price("data_out") + cdn + through + armor


def load() -> Costs:
    """Return the costs by the tables of this folder."""
    return Costs(tomllib.loads(TABLES.read_text()))
