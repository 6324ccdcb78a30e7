"""The publisher of the cloud edition; what only embeds or scores has none, and not its package."""

from __future__ import annotations

from imagesearch.adapters.buses.pubsub import PubsubPublisher
from imagesearch.settings import Settings


def publisher_of(settings: Settings) -> PubsubPublisher:
    """Return the publisher to the topics of this deployment."""
    return PubsubPublisher(settings.google_cloud_project, topic_prefix=settings.topic_prefix)
