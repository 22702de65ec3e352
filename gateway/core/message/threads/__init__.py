"""Conversations: does a message fit what came before it, and what does it change?

The rules of this package need what a node has sent and accepted so far, which a
`ThreadView` answers. Sender and receiver judge alike, each by its own store, with two
differences. A gap in the numbers refuses a message at the sender only: at the receiver the
missing message may have been refused or may still come, so the gap is flagged. And a
message may meet, on its way, one of the other side that closes what it answers, or the
room it belongs to: at the receiver it is flagged as crossed and accepted.

- ``examination``: one message against its conversation, all rules in their order (RF-DUP, RF-SEQ);
- ``replies``: a message that answers another (RF-OPEN, RF-TYPE, RF-CONV, RF-PARTY, PU-04, H-08);
- ``owed``: what an answer owes to its request, by its type (CX-ACK, CX-REPLY, CX-INSPECT,
  CX-RESULTS, CX-BOARDDEC);
- ``targets``: a message about another, by its type (RF-OPEN, RF-OWN, RF-THEIRS);
- ``corrections``: corrections, and the values in force (CX-PATCH);
- ``use_changes``: use changes, and the terms in force (CX-USECHANGE);
- ``quotas``: how many messages of a type an agency may send on a day (RF-QUOTA);
- ``rooms``: operation rooms: members, types, end (RF-ROOM);
- ``effects``: what an accepted message does to earlier ones, and what closes what;
- ``in_force``: what became of a message: values, terms, retraction, consents;
- ``endings``: what a message orders about the content of others;
- ``outline``: what all of these look at of the message that is examined;
- ``progress``: the states of a request, as data, and its deadline;
- ``deadlines``: every time that somebody has to keep.

Spec: docs/spec/rules.md, "Conversations".
"""

from gateway.core.message.effect import CLOSING, Effect, NewEffect
from gateway.core.message.threads.effects import closes, effects_of, subjects_of
from gateway.core.message.threads.endings import endings_of
from gateway.core.message.threads.examination import examine_thread
from gateway.core.message.threads.outline import outline_of
from gateway.core.message.threads.progress import awaits
from gateway.core.message.threads.targets import is_known_to
from gateway.core.message.threads.view import (
    AppliedEffect,
    Flag,
    Side,
    StoredMessage,
    ThreadVerdict,
    ThreadView,
    nation_of,
    uuid_bytes,
    uuid_text,
)

__all__ = [
    "CLOSING",
    "AppliedEffect",
    "Effect",
    "Flag",
    "NewEffect",
    "Side",
    "StoredMessage",
    "ThreadVerdict",
    "ThreadView",
    "awaits",
    "closes",
    "effects_of",
    "endings_of",
    "examine_thread",
    "is_known_to",
    "nation_of",
    "outline_of",
    "subjects_of",
    "uuid_bytes",
    "uuid_text",
]
