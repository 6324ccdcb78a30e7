"""`terraform/` and the code, held together: what one side says, the other means.

What Terraform's own tests hold, each profile and each variable, is in `terraform/tests/`; who may
do what is in `test_terraform_grants.py`.
"""

from __future__ import annotations

import ast
import base64
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from starlette.routing import Route

from imagesearch.adapters import firestore
from imagesearch.adapters.collections import firestore as collections_firestore
from imagesearch.adapters.firestore_facts import INDEXED, LISTS, facts_fields
from imagesearch.adapters.libraries.firestore import embedding_fields
from imagesearch.adapters.pools import firestore as pools_firestore
from imagesearch.adapters.records import marks_fields
from imagesearch.adapters.retention import firestore as retention_firestore
from imagesearch.adapters.scorers.cloud_run import PATIENCE_SECONDS
from imagesearch.client import http as client
from imagesearch.compose import fetch, inference, query
from imagesearch.deployment.services import SERVICES
from imagesearch.deployment.topics import (
    BUCKET_EVENTS,
    PULL_SUBSCRIPTIONS,
    PUSH_SUBSCRIPTIONS,
    TOPICS,
)
from imagesearch.domain.buckets import bucket_root
from imagesearch.domain.collections import CollectedFile, Stamp
from imagesearch.domain.images import Credit, Image
from imagesearch.domain.pool_life import Marks
from imagesearch.domain.work import BucketChange, CollectJob, ForgetJob
from imagesearch.doors.http_api import MAX_WAIT_SECONDS
from imagesearch.local.emulated import images_site
from imagesearch.settings import AllSettings, Settings, load_settings
from imagesearch.sources.pixabay import CATEGORIES, COLORS, LANGUAGES
from imagesearch.wire.messages import TOPIC_OF, attributes_of, decode
from inference_service.app import create_app
from tests.terraform import KEY, PROJECT, ROOT, TERRAFORM, Applied, applied, refusals, waits_for
from tests.world import TwinEncoder
from tools.cost_model import load as load_costs

DOORS = {
    "query": "functions/query/main.py",
    "fetch": "functions/fetch/main.py",
    "inference": "inference_service/app.py",
    "scorer": "inference_service/app.py",
}
COMPOSE: dict[str, Callable[[Settings], object]] = {
    "query": query.compose,
    "fetch": fetch.compose,
    "inference": lambda settings: inference.compose(settings, TwinEncoder),
    "scorer": lambda settings: inference.compose(settings, TwinEncoder),
}
# Those that a service reads to see that it has none.
LACKED = {"scorer": {"images_bucket"}}
# Settings that the cloud leaves as they are: the code's own numbers, and what the image sets.
KEPT = {
    "lease_seconds": "the code's own",
    "retry_seconds": "the code's own",
    "pool_max_age_seconds": "what the sources ask for",
    "download_connections": "the code's own",
    "max_image_bytes": "the code's own",
    "log_level": "the code's own",
    "clip_model": "inference_service/Dockerfile sets it to the model that it has",
    "previous_clip_model": "so it does, while it has two",
    "gallery_url": "the demo's",
    "traces": "none are sent, unless traces_enabled says so",
    "topic_prefix": "that of the name imagesearch",
    "source": "of a service that embeds or scores: it asks none",
}
# What costs money in the cloud, and none on one machine.
DEARER = {
    "new_keywords_per_minute",
    "catalog_searches_per_minute",
    "catalog_searches_per_day",
    "rate_limit_per_minute",
    "dollars_per_day",
}
# Where things are, and who stands in front: no default fits every project.
ADDRESSES = {
    "edition",
    "google_cloud_project",
    "images_bucket",
    "scorer_url",
    "embedder_url",
    "trusted_proxies",
    "paid_gpu",
    "search_api_key",
    "redis_host",
    "redis_port",
    "redis_auth_string",
    "redis_server_ca",
}
SECRET = "a-secret"
SECRETS = {"DATABASE_URL": f"postgresql://imagesearch:{SECRET}@10.8.0.9/imagesearch"}
# Gunicorn's and pydantic's, from imagesearch/deployment/services.py.
OF_THE_PROCESS = {"THREADS", "PYDANTIC_DISABLE_PLUGINS"}


@pytest.fixture
def full() -> Applied:
    return applied("full")


# Settings


class Noted:
    """Stands for Settings and notes which of its fields are read."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in AllSettings.model_fields:
            self.read.add(name)
            return getattr(self.settings, name)
        # A property or a method, which reads the fields through us.
        return getattr(Settings, name).__get__(self)


def names_read_by(path: Path, function: str | None = None) -> set[str]:
    """Return each NAME of `settings.NAME` in the file, or in one function of it."""
    tree: ast.AST = ast.parse(path.read_text())
    if function is not None:
        tree = next(
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name == function
        )
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "settings"
    }


def settings_of(service: str) -> set[str]:
    """Return the settings that a process of *service* reads: its door's and its use cases'."""
    given: dict[str, object] = {
        "edition": "cloud",
        "google_cloud_project": PROJECT,
        "images_bucket": "" if service in LACKED else "images",
        "source": "commons,openverse,pixabay",
        "source_contact": "ops@example.com",
        "pixabay_api_key": "key",
        "scorer_url": "https://scorer.example.com",
        "embedder_url": "https://embedder.example.com",
        "redis_host": "10.8.0.3",
        "library": "postgres",
        "database_url": SECRETS["DATABASE_URL"],
    }
    noted = Noted(load_settings(**given))
    COMPOSE[service](cast(Settings, noted))
    door = names_read_by(ROOT / DOORS[service])
    start = names_read_by(ROOT / "imagesearch" / "compose" / "start.py", "start")
    for name in door | start:
        value = getattr(noted, name)
        if callable(value):
            value("https://api.example.com")
    return noted.read - LACKED.get(service, set())


def environment_of(service: str, applied: Applied) -> dict[str, str]:
    """Return the variables of *service*; a secret has a value of ours."""
    if service in ("query", "fetch"):
        (config,) = applied[f"google_cloudfunctions2_function.{service}"]["service_config"]
        names = [one["key"] for one in config["secret_environment_variables"]]
        secrets = {name: SECRETS.get(name, SECRET) for name in names}
        return {**_with_urls(config["environment_variables"]), **secrets}
    (template,) = applied[f'google_cloud_run_v2_service.inference["{service}"]']["template"]
    (container,) = template["containers"]
    return {
        one["name"]: SECRETS.get(one["name"], SECRET) if one["value_source"] else one["value"]
        for one in container["env"]
    }


def _with_urls(given: dict[str, str]) -> dict[str, str]:
    """Return *given* with URLs for the words that the mocked provider has in their place."""
    return {
        name: f"https://{value}.run.app" if name.endswith("_URL") and "/" not in value else value
        for name, value in given.items()
    }


@pytest.mark.parametrize("service", DOORS)
def test_a_service_is_given_the_settings_that_it_reads_and_nothing_else(
    service: str, full: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = set(environment_of(service, full)) - OF_THE_PROCESS
    needed = {name.upper() for name in settings_of(service)}
    assert given - needed == set(), "Terraform sets what the service does not read"
    assert needed - given <= {name.upper() for name in KEPT}, "the service reads what is not set"


@pytest.mark.parametrize("service", DOORS)
def test_what_a_service_is_given_is_valid(
    service: str, full: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(service, full).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.edition == "cloud"
    assert settings.google_cloud_project == PROJECT
    assert (settings.redis_host, settings.redis_port) == ("10.8.0.3", 6378)
    assert settings.library == "postgres"


def test_the_secret_with_the_database_is_what_the_setting_takes(full: Applied) -> None:
    version = full["google_secret_manager_secret_version.database_url[0]"]
    url = load_settings(database_url=version["secret_data"]).database_url
    assert url is not None
    assert "@10.8.0.9/imagesearch?sslmode=require" in url.get_secret_value()


def test_a_revision_starts_with_the_secret_that_it_names_while_the_next_is_made(
    full: Applied,
) -> None:
    versions = full.of("secret_manager_secret_version")
    assert {one.values["deletion_policy"] for one in versions} == {"ABANDON"}
    assert len(versions) == 2


def test_what_is_not_asked_for_keeps_the_defaults_of_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment_of("query", applied("default")).items():
        monkeypatch.setenv(name, value)
    given = load_settings()
    for name in given.model_fields_set - ADDRESSES - DEARER:
        assert getattr(given, name) == AllSettings.model_fields[name].default, name
    for name in DEARER:
        assert getattr(given, name) < (AllSettings.model_fields[name].default or math.inf)


@pytest.mark.parametrize("words", [LANGUAGES, CATEGORIES, COLORS])
def test_a_plan_takes_the_words_that_the_source_has(words: Sequence[str]) -> None:
    text = (ROOT / "terraform" / "variables.tf").read_text()
    assert f'split(" ", "{" ".join(words)}")' in text


def test_a_plan_refuses_what_no_schedule_can_be() -> None:
    """What each variable refuses is in terraform/tests/variables.tftest.hcl."""
    text = (ROOT / "terraform" / "variables.tf").read_text()
    blocks = re.split(r"(?m)^variable ", text)[1:]
    schedules = [block for block in blocks if "_schedule" in block.split('"')[1]]
    assert len(schedules) == 3
    assert all("local.cron_fields" in block for block in schedules)


@pytest.mark.parametrize(
    "model",
    [
        *("openai/clip-vit-base-patch32", "a/b", "_a/b_", "a.b/c-d", f"{'a' * 96}/{'b' * 96}"),
        *(f"a/{'b' * 97}", f"{'a' * 97}/b", "a/-b", "a/b-", ".a/b", "a./b", "a/b.", "a/", "/b"),
        *("a/b--c", "a--b/c", "a/b..c", "a/..", "a/b.git", "a/b/c", "a/b c", "a/é"),
    ],
)
def test_a_plan_takes_the_models_that_the_hub_could_have(model: str) -> None:
    text = (ROOT / "terraform" / "bounds.tf").read_text()
    taken, refused = re.findall(r'(?m)^  (?:no_)?model_id += "(.*)"$', text)
    is_taken = bool(re.search(taken, model)) and not re.search(refused, model)
    try:
        validate_repo_id(model)
    except HFValidationError:
        assert not is_taken
    else:
        assert is_taken


# Topics


def topic_names(applied: Applied) -> dict[str, str]:
    """Return the topics that have messages of ours; the others start builds."""
    return {
        one.values["id"]: one.values["name"]
        for one in applied.of("pubsub_topic")
        if one.address not in ("google_pubsub_topic.drift[0]", "google_pubsub_topic.updates[0]")
    }


def urls(applied: Applied) -> dict[str, str]:
    (fetch,) = applied["google_cloudfunctions2_function.fetch"]["service_config"]
    inference = applied['google_cloud_run_v2_service.inference["inference"]']
    return {"fetch": fetch["uri"], "inference": inference["uri"]}


def test_the_topics_are_those_of_the_table(full: Applied) -> None:
    assert sorted(topic_names(full).values()) == sorted(TOPICS)


def test_the_subscriptions_are_those_of_the_table(full: Applied) -> None:
    names = [one.values["name"] for one in full.of("pubsub_subscription")]
    pushed = [one.name for one in PUSH_SUBSCRIPTIONS]
    assert sorted(names) == sorted([*pushed, *(one.name for one in PULL_SUBSCRIPTIONS)])


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def test_a_push_subscription_is_as_in_the_table(full: Applied) -> None:
    made = {one.values["name"]: one.values for one in full.of("pubsub_subscription")}
    topics, url_of = topic_names(full), urls(full)
    for one in PUSH_SUBSCRIPTIONS:
        values = made[one.name]
        (push,), (retry,) = values["push_config"], values["retry_policy"]
        assert topics[values["topic"]] == one.topic
        assert push["push_endpoint"] == one.endpoint(url_of[one.service])
        assert push["oidc_token"][0]["audience"] == url_of[one.service]
        assert values["ack_deadline_seconds"] == one.ack_deadline_seconds
        assert seconds(retry["minimum_backoff"]) == one.min_backoff_seconds
        assert seconds(retry["maximum_backoff"]) == one.max_backoff_seconds
        dead = [
            (topics[policy["dead_letter_topic"]], policy["max_delivery_attempts"])
            for policy in values["dead_letter_policy"]
        ]
        asked = (
            [(one.dead_letter_topic, one.max_delivery_attempts)] if one.dead_letter_topic else []
        )
        assert dead == asked


def test_a_pull_subscription_is_as_in_the_table(full: Applied) -> None:
    made = {one.values["name"]: one.values for one in full.of("pubsub_subscription")}
    for one in PULL_SUBSCRIPTIONS:
        values = made[one.name]
        assert topic_names(full)[values["topic"]] == one.topic
        assert seconds(values["message_retention_duration"]) == one.retention_seconds
        assert not values["push_config"]


# Services


def test_a_service_is_run_with_the_numbers_of_the_table(full: Applied) -> None:
    for service in SERVICES:
        if service.name == "inference":
            continue
        made = full[f"google_cloudfunctions2_function.{service.name}"]
        (config,) = made["service_config"]
        assert made["build_config"][0]["entry_point"] == service.command[-1]
        assert config["max_instance_request_concurrency"] == service.concurrency
        assert service.environment.items() <= config["environment_variables"].items()
    (inference,) = (one for one in SERVICES if one.name == "inference")
    for one in full.of("cloud_run_v2_service"):
        (template,) = one.values["template"]
        (probe,) = template["containers"][0]["startup_probe"]
        assert template["max_instance_request_concurrency"] == inference.concurrency
        assert probe["http_get"][0]["path"] == inference.started_path


def test_a_search_may_wait_and_then_meet_a_scorer_that_starts(full: Applied) -> None:
    costs = load_costs()
    assert 2 * costs.value("service_start_seconds") <= PATIENCE_SECONDS
    (query,) = full["google_cloudfunctions2_function.query"]["service_config"]
    longest = costs.value("function_start_seconds") + MAX_WAIT_SECONDS + PATIENCE_SECONDS
    assert query["timeout_seconds"] >= 1.5 * longest, "the catalog and the cache take some, too"
    for one in full.of("cloud_run_v2_service"):
        assert seconds(one.values["template"][0]["timeout"]) > PATIENCE_SECONDS
    assert client.TIME_LIMITS_SECONDS[1] > longest, "else the command line sees no 504"


def test_probes_and_pushes_ask_for_paths_that_the_inference_service_has(full: Applied) -> None:
    methods = {
        route.path: route.methods or set()
        for route in create_app(cast(Any, None)).routes
        if isinstance(route, Route)
    }
    (container,) = full['google_cloud_run_v2_service.inference["inference"]']["template"][0][
        "containers"
    ]
    for probe in ("startup_probe", "liveness_probe"):
        assert "GET" in methods[container[probe][0]["http_get"][0]["path"]]
    subscription = full['google_pubsub_subscription.work["embed-batches"]']
    endpoint = subscription["push_config"][0]["push_endpoint"]
    assert "POST" in methods[endpoint.removeprefix(urls(full)["inference"])]


def test_the_image_listens_on_the_port_that_terraform_opens(full: Applied) -> None:
    (port,) = re.findall(
        r"^EXPOSE (\d+)$", (ROOT / "inference_service" / "Dockerfile").read_text(), re.MULTILINE
    )
    for one in full.of("cloud_run_v2_service"):
        assert one.values["template"][0]["containers"][0]["ports"][0]["container_port"] == int(port)


def test_the_uptime_check_asks_the_query_function_whether_it_is_ready(full: Applied) -> None:
    (query,) = (one for one in SERVICES if one.name == "query")
    (check,) = full.of("monitoring_uptime_check_config")
    assert check.values["http_check"][0]["path"] == query.ready_path


def test_what_the_first_deployment_prepares_is_there_to_be_prepared(full: Applied) -> None:
    script = (ROOT / "tools" / "first_deployment.sh").read_text()
    targets = re.findall(r"-target=module\.imagesearch\.(\S+)", script)
    resources = (*full.resources, *applied("closed").resources)
    addresses = {re.sub(r"\[.*", "", one.address) for one in resources}
    assert targets
    assert set(targets) <= addresses
    assert full["google_storage_bucket.sources"]["name"] == f"{PROJECT}-imagesearch-sources"
    assert "sources_bucket=$project-$name-sources" in script


# Firestore


def documents() -> Iterator[tuple[str, set[str]]]:
    """Yield each collection and the fields that the adapter writes there."""
    image = Image("demo-1", "demo-1.jpg", "", 1, 1, Credit("", ""), ())
    yield "embeddings", {*embedding_fields(image, bytes(4), "model")}
    yield "generations", {"listing", *marks_fields(Marks((), "")), "expire_at"}
    yield "pools", {"expire_at"}
    yield "uses", {"image_ids", "day"}
    record = {"root": "gs://example-photos", "keeps_place": False}
    file = CollectedFile("1.jpg", Stamp(1, 1), Stamp(1, 1))
    absent = collections_firestore._absent("Photos", "1.jpg")
    yield "collected", {*absent, *collections_firestore._file_fields(file, record, absent)}


def test_every_index_and_policy_is_on_a_field_that_the_catalog_writes(full: Applied) -> None:
    written = dict(documents())
    adapter = "".join(
        Path(str(each.__file__)).read_text() for each in (firestore, collections_firestore)
    )
    for one in full.of("firestore_field"):
        assert one.values["field"] in written[one.values["collection"]]
        assert f'"{one.values["collection"]}"' in adapter
    for index in full.of("firestore_index"):
        fields = {field["field_path"] for field in index.values["fields"]} - {"__name__"}
        assert {each.partition(".")[0] for each in fields} <= written[index.values["collection"]]


def test_there_is_a_vector_index_for_what_the_library_filters_by_and_no_other(
    full: Applied,
) -> None:
    image = Image("demo-1", "demo-1.jpg", "", 1, 1, Credit("", ""), ())
    assert set(INDEXED) <= facts_fields(image)["facts"].keys()
    filtered = {}
    for index in full.of("firestore_index"):
        fields = index.values["fields"]
        if index.values["collection"] != "embeddings":
            continue
        if not fields[-1]["vector_config"]:
            words = ["model_revision", "facts.words"]  # by which tags are searched
            assert [each["field_path"] for each in fields] == words
            assert fields[1]["array_config"] == "CONTAINS"
            continue
        first, *facts, name, _ = fields
        assert (first["field_path"], name["field_path"]) == ("model_revision", "__name__")
        for fact in facts:
            filtered[fact["field_path"]] = (fact["order"], fact["array_config"])
    assert filtered == {
        f"facts.{fact}": (None, "CONTAINS") if fact in LISTS else ("ASCENDING", None)
        for fact in INDEXED
    }


def test_whether_an_image_was_used_since_a_day_has_an_index(full: Applied) -> None:
    (index,) = (one for one in full.of("firestore_index") if one.values["collection"] == "uses")
    images, day = index.values["fields"]
    assert (images["field_path"], images["array_config"]) == ("image_ids", "CONTAINS")
    assert (day["field_path"], day["order"]) == ("day", "ASCENDING")
    written = Path(retention_firestore.__file__).read_text()
    assert 'fields = {"day": day, "image_ids": ids}' in written


def test_files_are_listed_in_order_by_the_indexes_that_the_adapter_names(full: Applied) -> None:
    """It says them in words, as no emulator asks for any."""
    (said,) = re.findall(r"needed are `(.*?)` and `(.*?)`;", str(collections_firestore.__doc__))
    made = {
        tuple(field["field_path"] for field in one.values["fields"])
        for one in full.of("firestore_index")
        if one.values["collection"] == "collected"
    }
    assert made == {tuple(names.split(", ")) for names in said}


def test_once_a_day_what_nobody_used_is_forgotten(full: Applied) -> None:
    """As long as the code itself says, by a message that its door reads."""
    job = full["google_cloud_scheduler_job.forgets_unused[0]"]
    (target,) = job["pubsub_target"]
    assert topic_names(full)[target["topic_name"]] == TOPIC_OF[ForgetJob]
    message = decode(ForgetJob, base64.b64decode(target["data"]))
    days = AllSettings.model_fields["retention_days"].default
    assert message == ForgetJob(unused_days=days)
    sent = attributes_of(message, "")
    assert target["attributes"] == {name: sent[name] for name in ("schema_version", "kind")}
    assert job["schedule"].split()[2:] == ["*", "*", "*"]


def test_what_expires_is_what_the_catalog_gives_an_end(full: Applied) -> None:
    expiring = {
        (one.values["collection"], one.values["field"])
        for one in full.of("firestore_field")
        if one.values["ttl_config"]
    }
    assert expiring == {(each, "expire_at") for each in ("pools", "generations", "collected")}
    written = Path(pools_firestore.__file__).read_text()
    assert 'kept = {"expire_at": pool.current.requested_at + self._kept}' in written


def test_a_budget_that_is_to_stop_new_work_tells_the_fetch_function(full: Applied) -> None:
    assert "google_pubsub_topic.budget[0]" not in {one.address for one in full.resources}
    braked = applied("braked")
    [rule] = braked["google_billing_budget.month[0]"]["all_updates_rule"]
    topic = braked["google_pubsub_topic.budget[0]"]
    assert (rule["pubsub_topic"], rule["schema_version"]) == (topic["id"], "1.0")
    subscription = braked["google_pubsub_subscription.budget[0]"]
    assert subscription["topic"] == topic["id"]
    [push] = subscription["push_config"]
    assert push["push_endpoint"] == f"{urls(braked)['fetch']}/budget"
    assert push["oidc_token"][0]["audience"] == urls(braked)["fetch"]
    granted = braked["google_pubsub_topic_iam_member.billing_tells_of_budget[0]"]
    assert granted["member"] == "serviceAccount:billing-budget-alert@system.gserviceaccount.com"


def test_the_catalog_is_kept_as_it_was_for_a_week_and_in_weekly_backups_for_four(
    full: Applied,
) -> None:
    [database] = full.of("firestore_database")
    assert database.values["point_in_time_recovery_enablement"] == "POINT_IN_TIME_RECOVERY_ENABLED"
    [backups] = full.of("firestore_backup_schedule")
    assert backups.values["retention"] == f"{4 * 7 * 86_400}s"
    assert backups.values["weekly_recurrence"] == [{"day": "SUNDAY"}]
    assert backups.values["database"] == database.values["name"]


def test_what_nothing_is_searched_by_has_no_index_of_its_own(full: Applied) -> None:
    """The embedding above all: each write would pay for its entries."""
    exempt = {
        (one.values["collection"], one.values["field"])
        for one in full.of("firestore_field")
        if one.values["index_config"] and not one.values["index_config"][0].get("indexes")
    }
    assert exempt >= {("embeddings", name) for name in ("vector", "image", "row", "facts")}
    assert exempt >= {("generations", name) for name in ("listing", "states", "reasons")}
    fields = dict(documents())["collected"]
    searched = set(re.findall(r'_is\("(\w+)"', Path(collections_firestore.__file__).read_text()))
    in_order = {"path", "is_gone"}  # with the collection, which a composite index has
    assert {name for of, name in exempt if of == "collected"} == fields - searched | in_order


# A key of one's own

ENCRYPTED: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "artifact_registry_repository": lambda one: one["kms_key_name"],
    "cloud_run_v2_service": lambda one: one["template"][0]["encryption_key"],
    "cloudfunctions2_function": lambda one: one["kms_key_name"],
    "firestore_database": lambda one: one["cmek_config"][0]["kms_key_name"],
    "pubsub_topic": lambda one: one["kms_key_name"],
    "redis_instance": lambda one: one["customer_managed_key"],
    "secret_manager_secret": lambda one: one["replication"][0]["user_managed"][0]["replicas"][0][
        "customer_managed_encryption"
    ][0]["kms_key_name"],
    "sql_database_instance": lambda one: one["encryption_key_name"],
    "storage_bucket": lambda one: one["encryption"][0]["default_kms_key_name"],
}


def test_all_that_is_stored_is_encrypted_with_the_key_that_is_given(full: Applied) -> None:
    closed = applied("closed")
    for kind, key_of in ENCRYPTED.items():
        made = closed.of(kind)
        assert made, kind
        for one in made:
            assert key_of(one.values) == KEY, one.address
            address = one.address.partition("[")[0]
            assert "google_kms_crypto_key_iam_member.agent_uses_key" in waits_for(address), address
    assert not [one for one in full.resources if KEY in str(one.values)]
    for one in closed.of("secret_manager_secret"):
        [replica] = one.values["replication"][0]["user_managed"][0]["replicas"]
        assert replica["location"] == "europe-west4", "a key of a region encrypts nothing elsewhere"


def test_in_a_companys_network_all_that_is_private_is_reached_and_no_network_is_made() -> None:
    closed = applied("closed")
    assert not closed.of("compute_network", "compute_subnetwork")
    network = "projects/their-network/global/networks/shared"
    subnetwork = "projects/their-network/regions/europe-west4/subnetworks/search"
    for one in closed.of("cloudfunctions2_function"):
        [interface] = one.values["service_config"][0]["direct_vpc_network_interface"]
        assert (interface["network"], interface["subnetwork"]) == (network, subnetwork)
    for one in closed.of("cloud_run_v2_service"):
        [interface] = one.values["template"][0]["vpc_access"][0]["network_interfaces"]
        assert (interface["network"], interface["subnetwork"]) == (network, subnetwork)
    redis = closed["google_redis_instance.cache[0]"]
    assert redis["authorized_network"] == network
    assert redis["connect_mode"] == "PRIVATE_SERVICE_ACCESS", "peering is refused of a shared one"
    assert closed["google_compute_address.library[0]"]["subnetwork"] == subnetwork
    assert closed["google_compute_forwarding_rule.library[0]"]["network"] == network
    [settings] = closed["google_sql_database_instance.library[0]"]["settings"]
    [psc] = settings["ip_configuration"][0]["psc_config"]
    assert psc["allowed_consumer_projects"] == [PROJECT, "their-network"]


# Collections


def test_a_collection_is_compared_with_its_bucket_each_week_by_a_job_that_its_door_reads(
    full: Applied,
) -> None:
    expected = {
        "My photos": CollectJob("My photos", "gs://example-photos"),
        "Work": CollectJob("Work", "gs://example-work/pictures/2026", keeps_place=True),
    }
    for name, message in expected.items():
        job = full[f'google_cloud_scheduler_job.updates_collection["{name}"]']
        (target,) = job["pubsub_target"]
        assert topic_names(full)[target["topic_name"]] == TOPIC_OF[CollectJob]
        assert decode(CollectJob, base64.b64decode(target["data"])) == message
        assert bucket_root(message.root).url == message.root, "as the command line writes it"
        sent = attributes_of(message, "")
        assert target["attributes"] == {name: sent[name] for name in ("schema_version", "kind")}
        assert job["schedule"].split()[2:] == ["*", "*", "0"]
    assert full.outputs["collection_jobs"].keys() == expected.keys()
    jobs = {one.values["name"] for one in full.of("cloud_scheduler_job")}
    assert set(full.outputs["collection_jobs"].values()) < jobs


def test_the_emulated_bucket_lets_pages_do_what_the_bucket_lets_them(full: Applied) -> None:
    """Else a page that works with emulators alone would pass for one that works."""
    for deployment in (full, applied("default")):
        (cors,) = deployment["google_storage_bucket.images"]["cors"]
        assert {
            "allow_origins": cors["origin"],
            "allow_methods": cors["method"],
            "allow_headers": cors["response_header"],
            "max_age": cors["max_age_seconds"],
        } == images_site.CORS


def test_a_bucket_tells_of_what_comes_and_goes_in_its_folder(full: Applied) -> None:
    """In the form that the code reads, and of no event that the code does nothing for."""
    told = {}
    for one in full.of("storage_notification"):
        assert topic_names(full)[one.values["topic"]] == BUCKET_EVENTS
        assert one.values["payload_format"] == "JSON_API_V1"
        meant = {each.value for each in BucketChange} - {BucketChange.OTHER.value}
        assert set(one.values["event_types"]) == meant
        told[one.values["bucket"]] = one.values["object_name_prefix"]
    roots = {root.bucket: root.prefix for root in map(bucket_root, ROOTS)}
    assert told == {bucket: prefix or None for bucket, prefix in roots.items()}


ROOTS = ("gs://example-photos", "gs://example-work/pictures/2026")


def test_no_event_and_no_update_comes_before_what_does_it(full: Applied) -> None:
    notification = waits_for("google_storage_notification.collection")
    assert "google_pubsub_subscription.work" in notification, "a topic without one drops them"
    assert "google_pubsub_topic_iam_member.bucket_agent_publishes_events" in notification
    for address in (
        "google_storage_notification.collection",
        "google_cloud_scheduler_job.updates_collection",
    ):
        assert "google_cloud_run_v2_service.inference" in waits_for(address)


# What a person reads


def test_a_refusal_says_what_to_do_instead() -> None:
    said = "\n".join(refusals("refused"))
    assert "asia-southeast1, europe-west1, europe-west4, us-east4" in said
    assert 'inference_profile = "cpu"' in said
    assert "gcloud artifacts docker images describe" in said
    assert "There is no ../build/absent.zip:" in said
    assert "python -m tools.package_function query" in said
    assert "collections: bucket must be the name of a bucket, without gs://" in said
    assert (
        "none in which imagesearch keeps previews; got example-project-imagesearch-images" in said
    )
    assert "collections: prefix must be a folder such as photos/2026" in said
    assert 'got ["/2026","2026","",""]' in said
    assert "collections: two names must differ in more than case" in said
    assert "collections: none may lie in another" in said
    assert "--format='value(projectNumber)' prints" in said
    assert 'door = "iap" needs a domain, as people sign in at its load balancer' in said
    assert "start once an hour at most, such as 23 4 * * 0 for Sundays at 4:23" in said
    assert "the minute must be one number of 0 to 59, got 61; the day of the month must be" in said
    assert "pools.category must be a category of Pixabay's, such as animals" in said
    assert 'with commas between, such as red,blue, or empty for all; got "red,mauve"' in said
    assert "postgres.tier must have 1 CPU or an even number up to 96" in said
    assert "postgres.disk_gb must be a whole number from 10 to 65536; got 65537" in said
    assert 'gcloud billing accounts list shows it; got "mine"' in said
    assert "budget.monthly_amount must be a whole number from 1 to 1000000000; got 0.5" in said


def variables() -> Mapping[str, tuple[str, str]]:
    """Return the description and the default of each variable; a required one has no default."""
    found = {}
    for block in re.split(r"(?m)^variable ", (TERRAFORM / "variables.tf").read_text())[1:]:
        name = block.split('"')[1]
        description = re.search(r'(?m)^  description = "(.*)"$', block)
        default = re.search(r"(?m)^  default +=(.*)$", block)
        assert description, name
        text = description[1].replace('\\"', '"')
        found[name] = (text, default[1].strip().strip('"').replace('\\"', '"') if default else "")
    return found


def test_the_page_has_the_table_of_the_variables() -> None:
    rows = [
        f"| `{name}` | {f'`{default}`' if default else 'required'} | {description} |"
        for name, (description, default) in variables().items()
    ]
    page = (TERRAFORM / "README.md").read_text()
    assert "\n".join(rows) in page, "\n".join(rows)


def test_a_description_is_one_sentence() -> None:
    for name, (description, _) in variables().items():
        assert description.endswith("."), name
        assert ". " not in description, name
