"""The table of topics: within Pub/Sub's bounds, whole, and light to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imagesearch.deployment.topics import (
    BUCKET_EVENTS,
    PATIENCE_SECONDS,
    PULL_SUBSCRIPTIONS,
    PUSH_SUBSCRIPTIONS,
    TOPICS,
    PullSubscription,
    PushSubscription,
    dead_letter_topic,
    topics_of,
)
from imagesearch.domain.work import CollectJob, EmbedBatch, FetchJob, ForgetJob
from imagesearch.doors.push import FINAL_ATTEMPT
from imagesearch.sources.pixabay import QUOTA
from imagesearch.wire.messages import TOPIC_OF
from inference_service.encoder import IMAGE_LIMIT_SECONDS

SUBSCRIPTIONS: list[PushSubscription | PullSubscription] = [
    *PUSH_SUBSCRIPTIONS,
    *PULL_SUBSCRIPTIONS,
]
WORK = [one for one in PUSH_SUBSCRIPTIONS if one.dead_letter_topic]
HOUR_SECONDS = 3600.0


def test_every_kind_of_message_has_its_topic_a_worker_and_a_dead_letter_topic() -> None:
    kinds = {TOPIC_OF[kind] for kind in (FetchJob, EmbedBatch, ForgetJob, CollectJob)}
    kinds |= {BUCKET_EVENTS}
    assert set(TOPICS) == kinds | {dead_letter_topic(topic) for topic in kinds}
    assert {one.topic for one in WORK} == kinds
    assert all(one.dead_letter_topic == dead_letter_topic(one.topic) for one in WORK)


def test_each_dead_letter_topic_has_a_door_and_a_place_where_people_look() -> None:
    """A message of a topic that nobody subscribes to is lost."""
    for one in WORK:
        assert one.dead_letter_topic in {door.topic for door in PUSH_SUBSCRIPTIONS}
        assert one.dead_letter_topic in {kept.topic for kept in PULL_SUBSCRIPTIONS}


def test_a_dead_letter_is_not_given_up_again() -> None:
    doors = [one for one in PUSH_SUBSCRIPTIONS if one not in WORK]
    assert {one.topic: one.path for one in doors} == {
        "fetch-jobs-dead-letter": "/dead-letter",
        "embed-batches-dead-letter": "/dead-letter",
        "forget-jobs-dead-letter": "/forget/dead-letter",
        "collect-jobs-dead-letter": "/collect/dead-letter",
        "bucket-events-dead-letter": "/bucket-events/dead-letter",
    }
    assert all(one.dead_letter_topic is None for one in doors)


def test_no_name_is_used_twice() -> None:
    names = [one.name for one in SUBSCRIPTIONS]
    assert len(set(names)) == len(names)
    assert len(set(TOPICS)) == len(TOPICS)


@pytest.mark.parametrize("one", PUSH_SUBSCRIPTIONS, ids=lambda one: one.name)
def test_a_subscription_is_within_the_bounds_of_pubsub(one: PushSubscription) -> None:
    """Source: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions."""
    assert 10 <= one.ack_deadline_seconds <= 600
    assert 0 <= one.min_backoff_seconds <= one.max_backoff_seconds <= 600
    assert 5 <= one.max_delivery_attempts <= 100
    assert 3 <= len(one.name) <= 255
    assert not one.name.startswith("goog")


@pytest.mark.parametrize("one", PULL_SUBSCRIPTIONS, ids=lambda one: one.name)
def test_a_dead_letter_is_kept_for_a_week(one: PullSubscription) -> None:
    assert one.retention_seconds == 604_800


def rests(one: PushSubscription, deliveries: int) -> list[float]:
    """
    Return the rests between so many deliveries that are each nacked at once.

    Source: https://cloud.google.com/pubsub/docs/handling-failures#exponential_backoff.
    """
    return [
        min(one.max_backoff_seconds, one.min_backoff_seconds * 2**n) for n in range(deliveries - 1)
    ]


@pytest.mark.parametrize("one", WORK, ids=lambda one: one.name)
def test_overload_makes_no_dead_letter_within_an_hour(one: PushSubscription) -> None:
    assert sum(rests(one, one.max_delivery_attempts)) >= HOUR_SECONDS


@pytest.mark.parametrize("one", WORK, ids=lambda one: one.name)
def test_what_fails_is_given_up_once_the_rate_limit_of_the_source_is_over(
    one: PushSubscription,
) -> None:
    assert one.max_delivery_attempts > FINAL_ATTEMPT
    assert QUOTA.period_seconds < sum(rests(one, FINAL_ATTEMPT)) < 2 * QUOTA.period_seconds


@pytest.mark.parametrize("one", WORK, ids=lambda one: one.name)
def test_a_push_waits_for_most_of_its_deadline_and_has_time_for_its_work_then(
    one: PushSubscription,
) -> None:
    assert one.ack_deadline_seconds / 2 < PATIENCE_SECONDS
    assert one.ack_deadline_seconds > PATIENCE_SECONDS + IMAGE_LIMIT_SECONDS


def test_a_dead_letter_has_time_to_come_after_jobs_that_wait_for_their_turn() -> None:
    doors = [one for one in PUSH_SUBSCRIPTIONS if one not in WORK]
    assert all(one.ack_deadline_seconds > PATIENCE_SECONDS for one in doors)


def test_an_endpoint_is_a_path_of_its_service() -> None:
    batches = next(one for one in WORK if one.topic == TOPIC_OF[EmbedBatch])
    for url in ("https://inference.run.app", "https://inference.run.app/"):
        assert batches.endpoint(url) == "https://inference.run.app/events/embed"


def test_the_topics_of_a_part_of_the_table_include_its_dead_letter_topics() -> None:
    assert topics_of(WORK[:1]) == ("fetch-jobs", "fetch-jobs-dead-letter")
    assert topics_of([]) == ()


def test_importing_it_loads_no_sdk_and_no_http_client() -> None:
    """Nor do its neighbours; proved in a clean process: the first message or request loads them."""
    modules = (
        "imagesearch.deployment.topics",
        "imagesearch.adapters.buses.pubsub",
        "imagesearch.adapters.scorers.cloud_run",
    )
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert loaded.issuperset(modules)
    assert loaded & {"google.api_core", "google.auth", "grpc", "requests", "urllib3"} == set()
