"""Messages that a node's audit log calls ended before they were sent, held against its exchange logs.

A message is withdrawn, expires or is cancelled only while its sender's node knows that it has not
arrived. So what an audit log says of that is untrue if the partner's receipt says *received*: the agency
was told that its message never left.

What stands in a log as well, because it was to be sent again, shows until when it could be delivered: what a
node calls expired before that was not.

An audit log that was put back to an earlier state is closed, and what it held behind that state did not
happen for the node that goes on: it may have sent since what it withdrew then. A successor says where
that state ends; where it is not at hand an incident in the exchange log says that there was such a loss.

Spec: docs/spec/exchange.md, "Expiry", "Recovery"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from gateway.audit.claims import Answers
from gateway.audit.contents import LogContents
from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader, read_header
from gateway.audit.refusals import GRANTED_MS
from gateway.audit.report import Check
from gateway.core.entries import EventEntry, decode_entry
from gateway.core.envelope import Header
from gateway.core.message.wording import counted
from gateway.core.tiles import TILE_WIDTH

_EXPIRED: Final = "message.expired"


def check_ended(
    audit: LogContents,
    *,
    log: AuditedLog,
    contents: LogContents,
    answers: Mapping[str, Answers],
    whole_below: int | None,
    reader: LogReader,
) -> Check:
    """Check that no message which an audit log calls ended was received, or had time left when it expired.

    Args:
        audit: What the audit log says; it names at least one such message.
        log: An exchange log of the same node.
        contents: What its entries say.
        answers: What other logs say of it, by their origins.
        whole_below: The size at which the audit log was closed by who lost the rest, else its own size;
            None if there was such a loss, and nothing at hand says where.
        reader: Reads the audit log.

    Raises:
        GatewayError: The exchange log cannot be read.
    """
    name = f"messages ended in {audit.origin}"
    if audit.ended.is_full:
        detail = f"more than {len(audit.ended.events)} messages"
        return Check.not_checked(name, detail)
    untrue, lost = [], 0
    for index, header in _sent(audit.ended.events, log, contents.size):
        event, at = audit.ended.events[header.message_id]
        what = f"entry {at} ({event}) is about message {UUID(bytes=header.message_id)}"
        if event == _EXPIRED and _at_ms(reader.entry(at)) + GRANTED_MS < header.expires_ms:
            untrue.append(f"{what}, whose time was not over (entry {index} of {contents.origin})")
            continue
        speaker = next((origin for origin, said in answers.items() if said.is_received(index)), None)
        if speaker is None:
            continue
        if whole_below is None or at >= whole_below:
            lost += 1
            continue
        untrue.append(f"{what}, which {speaker} has received as entry {index} of {contents.origin}")
    if untrue:
        more = f" (and {len(untrue) - 1} more)" if len(untrue) > 1 else ""
        return Check.failed(name, untrue[0] + more)
    held = counted(len(audit.ended.events), "message", "messages")
    if lost:
        received = counted(lost, "was", "were")
        detail = f"{held}, of which {received} received after the audit log had been put back"
        return Check.not_checked(name, detail)
    detail = f"{held} withdrawn, expired or cancelled, none received of {contents.origin}"
    return Check.held(name, detail)


def _at_ms(data: bytes) -> int:
    """Return the time of an event."""
    entry = decode_entry(data)
    return entry.at_ms if isinstance(entry, EventEntry) else 0


def _sent(ids: Mapping[bytes, object], log: AuditedLog, size: int) -> Iterator[tuple[int, Header]]:
    """Yield the index and header of the messages of a log that have one of these ids."""
    for start in range(0, size, TILE_WIDTH):
        entries: Sequence[bytes] = log.entries(start, min(start + TILE_WIDTH, size))
        for index, data in enumerate(entries, start):
            # The id stands behind the entry's first 2 bytes, 2 or 3 for the length of the header, and 5 of
            # that. Looking there tells of nearly all that they are not meant; decoding takes far longer.
            if data[9:25] in ids or data[10:26] in ids:
                header = read_header(data)
                if header is not None and header.message_id in ids:
                    yield index, header
