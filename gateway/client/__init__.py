"""What an agency system imports to post messages and read its inbox.

It imports `gateway.core` and `gateway.errors` alone: no node, no storage, no keys but the
agency's own TLS certificate. `AsyncClient` is for programs on asyncio, `Client` for all
others; both make the same calls.
"""

from gateway.client.async_client import AsyncClient
from gateway.client.errors import (
    AnswerUnreadableError,
    ClientClosedError,
    ErrorItem,
    IdentityError,
    KeyUnusableError,
    NotReachableError,
    ProblemError,
)
from gateway.client.identity import open_context, stored_url
from gateway.client.model import (
    Accepted,
    Change,
    Checked,
    Conversation,
    Deadline,
    InboxPage,
    LogPlace,
    MaySend,
    MessageException,
    MessageType,
    Received,
    RequestStatus,
    Room,
    Summary,
    TimelineEvent,
    Tracked,
    ValueWarning,
    Verification,
    WhoAmI,
)
from gateway.client.sync_client import Client
from gateway.client.transport import Retries

__all__ = [
    "Accepted",
    "AnswerUnreadableError",
    "AsyncClient",
    "Change",
    "Checked",
    "Client",
    "ClientClosedError",
    "Conversation",
    "Deadline",
    "ErrorItem",
    "IdentityError",
    "InboxPage",
    "KeyUnusableError",
    "LogPlace",
    "MaySend",
    "MessageException",
    "MessageType",
    "NotReachableError",
    "ProblemError",
    "Received",
    "RequestStatus",
    "Retries",
    "Room",
    "Summary",
    "TimelineEvent",
    "Tracked",
    "ValueWarning",
    "Verification",
    "WhoAmI",
    "open_context",
    "stored_url",
]
