"""What a node needs from outside, as Protocols that state their contract.

The pipelines of `gateway.node` know storage, keys, time and the peer only through these.
The composition root (`gateway.app`) brings the real ones; `tests/world.py` brings a clock
that it moves and faults that it switches on.

Storage is one object, `Store`, whose `write` runs a closure inside a transaction. The
closure gets a `Transaction`, a bundle of small repositories (`logs`, `outbox`, …). All
closures that wait while a commit runs share the next commit (group commit), so the price
of durability is paid once a group.
"""

from __future__ import annotations

from gateway.ports.inbox import Inbox
from gateway.ports.outbox import Outbox
from gateway.ports.outside import (
    BundleAnswer,
    Clock,
    Disk,
    DiskSpace,
    Entropy,
    HighWater,
    Keyring,
    Order,
    OrderBook,
    OrderKind,
    PeerLink,
    PeerView,
    Standing,
    TimeAuthority,
    Witness,
)
from gateway.ports.queue import Queue
from gateway.ports.removal import Removal
from gateway.ports.rows import (
    POST_DIGEST_BYTES,
    Attestation,
    AttestationKind,
    CollectionRow,
    EffectRow,
    Erasure,
    Hold,
    InboxRow,
    Incident,
    LogHead,
    LogKind,
    LostMessage,
    MessageRow,
    NewMessage,
    OpenRequest,
    PostName,
    ReceiptDue,
    SentBundle,
    Step,
    StoredNote,
    StoreStats,
    Waiting,
)
from gateway.ports.store import (
    Facts,
    Logs,
    Store,
    Threads,
    Transaction,
)

__all__ = [
    "POST_DIGEST_BYTES",
    "Attestation",
    "AttestationKind",
    "BundleAnswer",
    "Clock",
    "CollectionRow",
    "Disk",
    "DiskSpace",
    "EffectRow",
    "Entropy",
    "Erasure",
    "Facts",
    "HighWater",
    "Hold",
    "Inbox",
    "InboxRow",
    "Incident",
    "Keyring",
    "LogHead",
    "LogKind",
    "Logs",
    "LostMessage",
    "MessageRow",
    "NewMessage",
    "OpenRequest",
    "Order",
    "OrderBook",
    "OrderKind",
    "Outbox",
    "PeerLink",
    "PeerView",
    "PostName",
    "Queue",
    "ReceiptDue",
    "Removal",
    "SentBundle",
    "Standing",
    "Step",
    "Store",
    "StoreStats",
    "StoredNote",
    "Threads",
    "TimeAuthority",
    "Transaction",
    "Waiting",
    "Witness",
]
