"""The port `Publisher` over Google Cloud Pub/Sub, and the table of topics set up on its emulator.

What a message says is in `domain/work.py`, the topics and subscriptions are in `topics.py`; in
production Terraform makes them.

The generated client is used, not the batching one that wraps it: its publish is one call that
returns when the message is taken, with no thread that holds messages when the process ends.
It takes 0.2 s of CPU to import, so a function does that with its first message.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping
from typing import Any

from imagesearch import telemetry
from imagesearch.adapters.google_errors import translated
from imagesearch.deployment.topics import PullSubscription, PushSubscription, topics_of
from imagesearch.domain.errors import Bug
from imagesearch.domain.work import Message
from imagesearch.wire.messages import TOPIC_OF, attributes_of, encode

EMULATOR_VARIABLE = "PUBSUB_EMULATOR_HOST"  # as in Google's own clients: host:port


class PubsubPublisher:
    """
    The port `Publisher`: each kind of message goes to the topic of its name in *project*.

    PUBSUB_EMULATOR_HOST names an emulator to talk to instead of Google.

    Args:
        topic_prefix: what the names of the topics begin with, where several deployments share
            *project*.
        total_seconds: how long a publish may take, its retries included.
    """

    def __init__(
        self, project: str, *, topic_prefix: str = "", total_seconds: float = 10.0
    ) -> None:
        self._topics = f"projects/{project}/topics/{topic_prefix}"
        self._total_seconds = total_seconds
        self._connecting = threading.Lock()
        self._client: Any = None

    def publish(self, message: Message) -> None:
        """
        Return when Pub/Sub has taken *message*.

        Raises:
            Overloaded: a quota of the project is used up.
            Unavailable: it was not taken, as far as is known; after a time-out it may have been.
            Bug: Pub/Sub will never take it as it is.
        """
        topic = TOPIC_OF[type(message)]
        with translated(f"Pub/Sub topic {topic}"):
            self._connected().publish(
                request={
                    "topic": f"{self._topics}{topic}",
                    "messages": [
                        {
                            "data": encode(message),
                            "attributes": attributes_of(message, telemetry.trace_to_send()),
                        }
                    ],
                },
                retry=_retry(self._total_seconds),
                timeout=self._total_seconds,
            )

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._connecting:
            if self._client is not None:
                self._client.transport.close()
                self._client = None

    def _connected(self) -> Any:
        from google.pubsub_v1 import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        with self._connecting:
            if self._client is None:
                self._client = _connect(PublisherClient, PublisherGrpcTransport)
            return self._client


def _connect(client: Any, transport: Any) -> Any:
    host = os.environ.get(EMULATOR_VARIABLE)
    if not host:
        return client()
    import grpc  # type: ignore[import-untyped]  # it has no py.typed

    return client(transport=transport(channel=grpc.insecure_channel(host)))


def _retry(total_seconds: float) -> Any:
    """Try again what may pass, soon: the pool's lease and the caller are waiting."""
    from google.api_core import exceptions as api
    from google.api_core.retry import Retry, if_exception_type

    passing = if_exception_type(
        api.Aborted, api.Cancelled, api.InternalServerError, api.ServiceUnavailable, api.Unknown
    )
    return Retry(passing, initial=0.1, maximum=1.0, multiplier=2.0, timeout=total_seconds)


def declare(
    project: str,
    subscriptions: Collection[PushSubscription | PullSubscription],
    service_urls: Mapping[str, str],
) -> None:
    """
    Create *subscriptions* and the topics they need on the emulator; what exists is left alone.

    The emulator asks for no rights and makes no tokens, so none are declared. Nor is a retry
    policy: with one, emulator 0.8.20 forgets messages when several rest for the second time (of
    40 nacked twice, 18 to 34 did not come a third time); without, each comes again in a second.

    Args:
        service_urls: where the push subscriptions' services are, by `service`.

    Raises:
        Unavailable: the emulator does not answer.
        Bug: it refuses a setting.
    """
    if not os.environ.get(EMULATOR_VARIABLE):
        raise Bug(f"{EMULATOR_VARIABLE} names no emulator, and production belongs to Terraform")
    from google.pubsub_v1 import PublisherClient, SubscriberClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    publisher = _connect(PublisherClient, PublisherGrpcTransport)
    subscriber = _connect(SubscriberClient, SubscriberGrpcTransport)
    with publisher, subscriber:
        for topic in topics_of(subscriptions):
            _create(publisher.create_topic, {"name": f"projects/{project}/topics/{topic}"})
        for subscription in subscriptions:
            _create(subscriber.create_subscription, _settings(project, subscription, service_urls))


def _create(create: Any, request: dict[str, Any]) -> None:
    from google.api_core.exceptions import AlreadyExists

    with translated(f"Pub/Sub {request['name']}"):
        try:
            create(request=request, timeout=10.0)
        except AlreadyExists:
            return


def _settings(
    project: str, subscription: PushSubscription | PullSubscription, service_urls: Mapping[str, str]
) -> dict[str, Any]:
    """Return *subscription* in the words of Pub/Sub's API."""
    settings: dict[str, Any] = {
        "name": f"projects/{project}/subscriptions/{subscription.name}",
        "topic": f"projects/{project}/topics/{subscription.topic}",
    }
    if isinstance(subscription, PullSubscription):
        return settings | {
            "message_retention_duration": {"seconds": subscription.retention_seconds}
        }
    settings["ack_deadline_seconds"] = subscription.ack_deadline_seconds
    settings["push_config"] = {
        "push_endpoint": subscription.endpoint(service_urls[subscription.service])
    }
    if subscription.dead_letter_topic:
        settings["dead_letter_policy"] = {
            "dead_letter_topic": f"projects/{project}/topics/{subscription.dead_letter_topic}",
            "max_delivery_attempts": subscription.max_delivery_attempts,
        }
    return settings
