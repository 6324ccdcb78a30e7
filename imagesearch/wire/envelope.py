"""Pub/Sub's push envelope, and the message inside."""

from __future__ import annotations

import base64
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imagesearch.domain.errors import MalformedMessage
from imagesearch.domain.work import BucketEvent, BudgetNotice
from imagesearch.wire import messages
from imagesearch.wire.bucket_events import bucket_event_of
from imagesearch.wire.budget_notices import budget_notice_of
from imagesearch.wire.messages import AnyMessage
from imagesearch.wire.validation import well_formed


def _or_none(attributes: object) -> object:
    """Take JSON's null for no attributes."""
    return {} if attributes is None else attributes


class PubsubMessage(BaseModel):
    """The message inside a push envelope; *data* is base64."""

    model_config = ConfigDict(defer_build=True)
    data: str = ""  # a notification without a payload has none
    messageId: str = ""  # noqa: N815 - Pub/Sub's own spelling
    publishTime: str = ""  # noqa: N815 - Pub/Sub's own spelling
    attributes: Annotated[dict[str, str], BeforeValidator(_or_none)] = Field(default_factory=dict)


class PushEnvelope(BaseModel):
    """
    The body of a Pub/Sub push request.

    Source: https://cloud.google.com/pubsub/docs/push#receive_push
    """

    model_config = ConfigDict(defer_build=True)
    message: PubsubMessage
    subscription: str = ""
    deliveryAttempt: int | None = None  # noqa: N815 - Pub/Sub's own spelling

    @classmethod
    def parse(cls, body: bytes) -> PushEnvelope:
        """Read the *body* of a push request, or raise MalformedMessage saying what is wrong."""
        with well_formed(cls.__name__):
            return cls.model_validate_json(body)

    def decode(self, kind: type[AnyMessage]) -> AnyMessage:
        """Return the message inside as a *kind*; MalformedMessage, Unavailable: see `messages`."""
        if issubclass(kind, BucketEvent):
            # Nothing derives from it.
            return bucket_event_of(self.message.attributes)  # type: ignore[return-value]
        try:
            data = base64.b64decode(self.message.data, validate=True)
        except ValueError as error:  # binascii.Error is one, and what is not ASCII gets another
            raise MalformedMessage(f"message.data is not base64: {error}") from error
        if issubclass(kind, BudgetNotice):
            return budget_notice_of(data)  # type: ignore[return-value]
        return messages.decode(kind, data)
