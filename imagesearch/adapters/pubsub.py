"""The port `Publisher` over Google Cloud Pub/Sub, and the table of topics set up on its emulator.

What a message says is in `messages.py`, the topics and subscriptions are in `topics.py`; in
production Terraform makes them.

The generated client is used, not the batching one that wraps it: its publish is one call that
returns when the message is taken, with no thread that holds messages when the process ends.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imagesearch.errors import Bug, ImageSearchError, Overloaded, Unavailable
from imagesearch.messages import Message
from imagesearch.topics import PullSubscription, PushSubscription, topics_of

if TYPE_CHECKING:  # the SDK takes 0.2 s to import: a function loads it with its first message
    from google.pubsub_v1 import PublisherClient, SubscriberClient

EMULATOR_VARIABLE = "PUBSUB_EMULATOR_HOST"  # as in Google's own clients: host:port


class PubsubPublisher:
    """
    The port `Publisher`: each kind of message goes to the topic of its name in *project*.

    PUBSUB_EMULATOR_HOST names an emulator to talk to instead of Google.

    Args:
        total_seconds: how long a publish may take, its retries included.
    """

    def __init__(self, project: str, *, total_seconds: float = 10.0) -> None:
        self._project = project
        self._total_seconds = total_seconds

    def publish(self, message: Message) -> None:
        """
        Return when Pub/Sub has taken *message*.

        Raises:
            Overloaded: a quota of the project is used up.
            Unavailable: it was not taken, as far as is known; after a time-out it may have been.
            Bug: Pub/Sub will never take it as it is.
        """
        with _translated(f"{message.topic} of {self._project}"):
            self._client.publish(
                topic=f"projects/{self._project}/topics/{message.topic}",
                messages=[{"data": message.model_dump_json().encode(), "attributes": _of(message)}],
                retry=_retry(self._total_seconds),
                timeout=self._total_seconds,
            )

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "_client" in self.__dict__:
            self._client.transport.close()

    @cached_property
    def _client(self) -> PublisherClient:
        from google.pubsub_v1 import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        return _connected(PublisherClient, PublisherGrpcTransport)


def _of(message: Message) -> dict[str, str]:
    """Attributes can be read, and filtered on, without decoding the message."""
    return {
        "schema_version": str(message.schema_version),
        "kind": type(message).__name__,
        "pool_id": message.pool_id,
    }


def _connected(client: Any, transport: Any) -> Any:
    host = os.environ.get(EMULATOR_VARIABLE)
    if not host:
        with _translated("the client"):  # there may be no credentials
            return client()
    import grpc

    return client(transport=transport(channel=grpc.insecure_channel(host)))


def _retry(total_seconds: float) -> Any:
    """Try again what may pass, soon: the pool's lease and the caller are waiting."""
    from google.api_core import exceptions as api
    from google.api_core.retry import Retry, if_exception_type

    passing = if_exception_type(
        api.Aborted, api.Cancelled, api.InternalServerError, api.ServiceUnavailable, api.Unknown
    )
    return Retry(passing, initial=0.1, maximum=1.0, multiplier=2.0, timeout=total_seconds)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise what the SDK raises as one of ours (design §8)."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        raise translate(error, what) from error


def translate(error: Exception, what: str) -> ImageSearchError:
    """
    Return the error of ours for an exception of google-api-core or google-auth.

    A missing topic or right is Unavailable, not NotFound: a push handler that cannot publish
    must nack, so that its message is still there when the operator has mended the project.
    """
    from google.api_core import exceptions as api

    cause = error.cause if isinstance(error, api.RetryError) else error
    reason = f"Pub/Sub, {what}: {cause or error}"
    if isinstance(cause, api.TooManyRequests):
        return Overloaded(reason)
    mendable = (api.Unauthorized, api.Forbidden, api.NotFound, api.FailedPrecondition)
    passing = (api.Aborted, api.Cancelled)
    if isinstance(cause, api.ClientError | api.Redirection | api.MethodNotImplemented):
        return Unavailable(reason) if isinstance(cause, mendable + passing) else Bug(reason)
    return Unavailable(reason)


def declare(
    project: str,
    subscriptions: Collection[PushSubscription | PullSubscription],
    service_urls: Mapping[str, str],
) -> None:
    """
    Create *subscriptions* and the topics they need on the emulator; what exists is left alone.

    The emulator asks for no rights and makes no tokens, so none are declared.

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

    publisher: PublisherClient = _connected(PublisherClient, PublisherGrpcTransport)
    subscriber: SubscriberClient = _connected(SubscriberClient, SubscriberGrpcTransport)
    with publisher, subscriber:
        for topic in topics_of(subscriptions):
            _create(publisher.create_topic, {"name": f"projects/{project}/topics/{topic}"})
        for one in subscriptions:
            _create(subscriber.create_subscription, _settings(project, one, service_urls))


def _create(create: Any, request: dict[str, Any]) -> None:
    from google.api_core.exceptions import AlreadyExists

    with _translated(request["name"]):
        try:
            create(request=request, timeout=10.0)
        except AlreadyExists:
            return


def _settings(
    project: str, one: PushSubscription | PullSubscription, service_urls: Mapping[str, str]
) -> dict[str, Any]:
    """Return *one* in the words of Pub/Sub's API."""
    settings: dict[str, Any] = {
        "name": f"projects/{project}/subscriptions/{one.name}",
        "topic": f"projects/{project}/topics/{one.topic}",
    }
    if isinstance(one, PullSubscription):
        return settings | {"message_retention_duration": _duration(one.retention_seconds)}
    settings["ack_deadline_seconds"] = one.ack_deadline_seconds
    settings["push_config"] = {"push_endpoint": one.endpoint(service_urls[one.service])}
    settings["retry_policy"] = {
        "minimum_backoff": _duration(one.min_backoff_seconds),
        "maximum_backoff": _duration(one.max_backoff_seconds),
    }
    if one.dead_letter_topic:
        settings["dead_letter_policy"] = {
            "dead_letter_topic": f"projects/{project}/topics/{one.dead_letter_topic}",
            "max_delivery_attempts": one.max_delivery_attempts,
        }
    return settings


def _duration(seconds: float) -> dict[str, int]:
    whole = int(seconds)
    return {"seconds": whole, "nanos": round((seconds - whole) * 1e9)}
