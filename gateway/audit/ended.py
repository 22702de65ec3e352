"""Messages that a node's audit log calls ended before they were sent, held against its exchange logs.

A message is withdrawn, expires or is cancelled only while its sender's node knows that it has not
arrived. So what an audit log says of that is untrue if the partner's receipt says *received*: the agency
was told that its message never left.

An audit log that was put back to an earlier state is closed, and what it held behind that state did not
happen for the node that goes on: it may have sent since what it withdrew then. A successor says where
that state ends; where it is not at hand an incident in the exchange log says that there was such a loss.

Spec: docs/spec/exchange.md, "Expiry", "Recovery"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from gateway.audit.claims import Answers
from gateway.audit.contents import LogContents
from gateway.audit.log import AuditedLog
from gateway.audit.reader import read_header
from gateway.audit.report import Check, Outcome
from gateway.core.message.wording import counted
from gateway.core.tiles import TILE_WIDTH


def check_ended(
    audit: LogContents,
    *,
    log: AuditedLog,
    contents: LogContents,
    answers: Mapping[str, Answers],
    whole_below: int | None,
) -> Check:
    """Check that no message which an audit log calls ended was received.

    Args:
        audit: What the audit log says; it names at least one such message.
        log: An exchange log of the same node.
        contents: What its entries say.
        answers: What other logs say of it, by their origins.
        whole_below: The size at which the audit log was closed by who lost the rest, else its own size;
            None if there was such a loss, and nothing at hand says where.

    Raises:
        GatewayError: The exchange log cannot be read.
    """
    name = f"messages ended in {audit.origin}"
    if audit.ended.is_full:
        detail = f"more than {len(audit.ended.events)} messages"
        return Check(name=name, outcome=Outcome.NOT_CHECKED, detail=detail)
    untrue, lost = [], 0
    for index, message_id in _sent(audit.ended.events, log, contents.size):
        speaker = next((origin for origin, said in answers.items() if said.is_received(index)), None)
        if speaker is None:
            continue
        event, at = audit.ended.events[message_id]
        if whole_below is None or at >= whole_below:
            lost += 1
            continue
        untrue.append(
            f"entry {at} ({event}) is about message {UUID(bytes=message_id)}, "
            f"which {speaker} has received as entry {index} of {contents.origin}"
        )
    if untrue:
        more = f" (and {len(untrue) - 1} more)" if len(untrue) > 1 else ""
        return Check(name=name, outcome=Outcome.FAILED, detail=untrue[0] + more)
    held = counted(len(audit.ended.events), "message", "messages")
    if lost:
        received = counted(lost, "was", "were")
        detail = f"{held}, of which {received} received after the audit log had been put back"
        return Check(name=name, outcome=Outcome.NOT_CHECKED, detail=detail)
    detail = f"{held} withdrawn, expired or cancelled, none received of {contents.origin}"
    return Check(name=name, outcome=Outcome.HELD, detail=detail)


def _sent(ids: Mapping[bytes, object], log: AuditedLog, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the index and id of the messages of a log that have one of these ids."""
    for start in range(0, size, TILE_WIDTH):
        entries: Sequence[bytes] = log.entries(start, min(start + TILE_WIDTH, size))
        for index, data in enumerate(entries, start):
            # The id stands behind the entry's first 2 bytes, 2 or 3 for the length of the header, and 5 of
            # that. Looking there tells of nearly all that they are not meant; decoding takes far longer.
            if data[9:25] in ids or data[10:26] in ids:
                header = read_header(data)
                if header is not None and header.message_id in ids:
                    yield index, header.message_id
