"""Whether anything is missing between logs: messages without an answer, bundles without an anchor.

A log that is as it was signed can still leave something out. What another log says of it shows
that: the receiver's receipts follow each other, so a message below the last one has to be in
one of them; and a node's audit log anchors every bundle that the node sent or mirrored, in
the transaction that did so, so between two bundles there has to be an anchor. And what was received
was opened with a key that the receiver's log announced before.

Spec: docs/spec/log.md, "Audit log"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from gateway.audit.claims import Answers, Claims
from gateway.audit.contents import LogContents
from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader, read_message
from gateway.audit.report import Check
from gateway.core.message.wording import counted


def check_answered(name: str, answers: Answers, *, log: AuditedLog, contents: LogContents) -> Check:
    """Check that every message below the last receipt has one.

    Args:
        name: Name of the check.
        answers: What the receiver's log says of the sender's.
        log: The sender's log.
        contents: What its entries say.

    Raises:
        GatewayError: The sender's log cannot be read.
    """
    reader = LogReader(log, contents.size)
    end = min(answers.last_end, contents.size)
    missing, first = 0, 0
    for index in _gaps(answers, end):
        if read_message(reader.entry(index)) is not None:
            first = first if missing else index
            missing += 1
    if missing:
        more = f" (and {missing - 1} more)" if missing > 1 else ""
        detail = f"message {first} of {contents.origin} was skipped by receipts{more}"
        return Check.failed(name, detail)
    detail = f"every message of {contents.origin} below {end} has a receipt"
    return Check.held(name, detail)


def check_anchored(
    name: str, audit: LogContents, subject: LogContents, own: Sequence[LogContents] = ()
) -> Check:
    """Check that an audit log anchors every bundle of messages of a log that its node sent or mirrored.

    Args:
        name: Name of the check.
        audit: What the audit log says.
        subject: What the other log says.
        own: What exchange logs of the node say, which anchor the audit log in turn.
    """
    claims = audit.anchored.get(subject.origin)
    if claims is None:
        detail = f"it holds no anchor of {subject.origin}"
        return Check.not_checked(name, detail)
    sizes = sorted(claims.sizes)
    silent = _silent_from(audit, claims, subject, own)
    if silent:
        return Check.failed(name, silent)
    refilled = _refilled(audit, subject)
    anchored = beyond = 0
    bundles = zip((*subject.run_ends, subject.message_end), (*subject.run_starts, sizes[-1]), strict=True)
    for end, next_start in bundles:
        if end < sizes[0]:
            continue  # before this audit log began, or before nodes anchored
        at = bisect_left(sizes, end)
        if at == len(sizes):
            beyond += 1
        elif sizes[at] > next_start and not any(start <= end <= until for start, until in refilled):
            detail = (
                f"the bundle that ends {subject.origin} at size {end} is not anchored, "
                f"the next anchor is at {sizes[at]}: {_entry_of(claims, sizes[at])}"
            )
            return Check.failed(name, detail)
        else:
            anchored += 1
    each = counted(anchored, "bundle", "bundles")
    detail = f"each of {each} of {subject.origin} since size {sizes[0]}"
    if beyond:
        behind = f"{counted(beyond, 'lies', 'lie')} behind the last anchor, at {sizes[-1]}"
        why = "this copy of the audit log is older, or it has anchored no more"
        return Check.not_checked(name, f"{detail}; {behind}: {why}")
    return Check.held(name, detail)


def check_sealed(
    name: str,
    answers: Answers,
    receipts: Claims,
    announced: Mapping[bytes, int],
    *,
    log: AuditedLog,
    contents: LogContents,
) -> Check:
    """Check that messages which were received are sealed for keys that their receiver had announced by then.

    Nobody can have opened another one: the receiver says *kem-key-gone* of it.

    Args:
        name: Name of the check.
        answers: What the receiver's log says of the sender's.
        receipts: Where it says so.
        announced: KEM keys of the receiver's log, and which of its entries announce them.
        log: The sender's log.
        contents: What its entries say.

    Raises:
        GatewayError: The sender's log cannot be read.
    """
    reader = LogReader(log, contents.size)
    excepted = frozenset(answers.excepted)
    received = list(zip(answers.ranges[::2], answers.ranges[1::2], strict=True))
    for (start, key_id), (end, _) in pairwise([*contents.sealed_for, (contents.size, b"")]):
        said_at = receipts.first_above(start)
        if key_id in announced and (said_at is None or announced[key_id] < said_at):
            continue
        when = "after its receipt" if key_id in announced else "nowhere"
        for first, last in received:
            for index in range(max(start, first), min(end, last)):
                if index not in excepted and read_message(reader.entry(index)) is not None:
                    what = f"was received under a KEM key that is announced {when}"
                    detail = f"message {index} of {contents.origin} {what}"
                    return Check.failed(name, detail)
    detail = f"what was received of {contents.origin} is sealed for keys that are announced there"
    return Check.held(name, detail)


def _gaps(answers: Answers, end: int) -> Iterator[int]:
    """Yield the indexes below ``end`` that no receipt covers; ranges may overlap after a recovery."""
    ranges = sorted(zip(answers.ranges[::2], answers.ranges[1::2], strict=True))
    at = 0
    for start, until in ranges:
        yield from range(at, min(start, end))
        at = max(at, until)
    yield from range(at, end)


def _silent_from(audit: LogContents, claims: Claims, subject: LogContents, own: Sequence[LogContents]) -> str:
    """Return what an audit log has left out behind its last anchor of a log, or "" if nothing shows that.

    An exchange log says how far the audit log was when one of its own bundles was made. By then the audit
    log had anchored the bundle before that, and whatever of the other log was answered there. A restore
    puts the two logs back to different states; then this says nothing.
    """
    for log in own:
        said = log.anchored.get(audit.origin)
        if said is None or audit.is_successor or log.recovered:
            continue
        reached = [
            (at, size) for at, size in zip(said.said_at, said.sizes, strict=True) if size <= audit.size
        ]
        if not reached:
            continue
        at, audit_size = reached[-1]
        if log is subject:
            begun = bisect_right(log.run_starts, at)
            needed = log.run_ends[begun - 1] if begun else 0
        else:
            answered = log.receipted.get(subject.origin)
            needed = 0 if answered is None else answered.sizes_before(at + 1)
        if claims.said_at[0] < audit_size and claims.sizes[0] <= needed > claims.sizes_before(audit_size):
            return (
                f"entry {at} of {log.origin} shows that it had {audit_size} entries when {subject.origin} "
                f"had {needed}, and none of them anchors that"
            )
    return ""


def _refilled(audit: LogContents, subject: LogContents) -> Sequence[tuple[int, int]]:
    """Return ranges that came back from the peer's mirror in one step; only the own log does."""
    return audit.acts.refilled if subject.node == audit.node else ()


def _entry_of(claims: Claims, size: int) -> str:
    return next(f"entry {index}" for index, said, _ in claims if said == size)
