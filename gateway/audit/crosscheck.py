"""What logs say about each other.

Each nation's log holds receipts for the other's entries and anchors of the other's size
and root. With both at hand every such claim is recomputed: whoever rewrites one log has
to rewrite the other one too, and that one bears the other nation's signature.

A log may speak of entries that the copy at hand does not reach yet, because the copies
were made one after the other. Such claims are counted and reported, not failed.

Spec: docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.audit.completeness import check_anchored, check_answered
from gateway.audit.contents import Answers, Claims, LogContents
from gateway.audit.keyhistory import KeyHistory
from gateway.audit.log import AuditedLog
from gateway.audit.problems import Problems
from gateway.audit.reader import LogReader
from gateway.audit.report import Check, Outcome, SetReport
from gateway.audit.succession import succession_check
from gateway.audit.trust import Trust
from gateway.audit.verify import Verification
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import signing_key, verify_cosignature, verify_log_note
from gateway.core.entries import Kind, MessageEntry, decode_entry, kind_of
from gateway.core.envelope import decode_header
from gateway.core.generation import first_of, generation_of
from gateway.core.merkle import Hash, edge_at
from gateway.core.signature import HybridVerifier
from gateway.errors import GatewayError, SignatureInvalidError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A log that was verified by itself."""

    log: AuditedLog
    contents: LogContents
    keys: KeyHistory
    checkpoint: Checkpoint


def compare_logs(
    verifications: Sequence[Verification], *, title: str, checks: Sequence[Check] = ()
) -> SetReport:
    """Return the reports of logs together with what they say about each other.

    Args:
        verifications: Logs, each verified by itself. Two copies of one log (the writer's and the
            mirror's) have to lie on one history.
        title: Whose logs they are.
        checks: What the caller has compared already.
    """
    copies = _copies(verifications)
    largest = _largest(copies)
    compared = [_copies_check(largest[origin], logs) for origin, logs in copies.items() if len(logs) > 1]
    for speaker in largest.values():
        compared += _claim_checks(speaker, largest)
        compared += _answer_checks(speaker, largest)
        compared += _answered_checks(speaker, largest)
    logs = tuple(item.report for item in verifications)
    return SetReport(title=title, logs=logs, checks=(*checks, *compared))


def compare_claims(verifications: Sequence[Verification]) -> list[Check]:
    """Return whether what logs say of each other's sizes, roots and keys is so.

    A part of `compare_logs`, for whoever has looked at copies and at single messages already.
    """
    largest = _largest(_copies(verifications))
    return [check for speaker in largest.values() for check in _claim_checks(speaker, largest)]


def _copies(verifications: Sequence[Verification]) -> dict[str, list[_Known]]:
    copies: dict[str, list[_Known]] = {}
    for item in verifications:
        known = _known(item)
        if known is not None:
            copies.setdefault(known.checkpoint.origin, []).append(known)
    return copies


def _largest(copies: Mapping[str, Sequence[_Known]]) -> dict[str, _Known]:
    return {origin: max(logs, key=lambda log: log.checkpoint.size) for origin, logs in copies.items()}


def _claim_checks(speaker: _Known, known: Mapping[str, _Known]) -> list[Check]:
    """Check what a log says of the sizes, roots and keys of the logs at hand, and that it leaves none out."""
    checks: list[Check] = []
    if speaker.contents.citation is not None:
        at_hand = {origin: (log.log, log.checkpoint.size) for origin, log in known.items()}
        checks.append(succession_check(speaker.contents.origin, speaker.contents.citation, at_hand))
        checks += _keys_checks(speaker, known)
    checks += _root_checks("receipts", speaker.contents.receipted, speaker, known)
    checks += _root_checks("anchors", speaker.contents.anchored, speaker, known)
    checks += _anchored_checks(speaker, known)
    return checks


def _keys_checks(successor: _Known, logs: Mapping[str, _Known]) -> list[Check]:
    """Return whether the keys of a successor are not older than those of the log before it.

    Keys are replaced because they may be stolen: whoever has an old one must not be able to
    open a log with it. Nothing if no log before it is at hand, or one of the two states no keys.
    """
    first_origin = first_of(successor.checkpoint.origin)
    own = generation_of(first_origin, successor.checkpoint.origin) or 1
    found = {generation_of(first_origin, origin): log for origin, log in logs.items()}
    before = max((number for number in found if number is not None and number < own), default=None)
    first = None if before is None else found[before].keys.last
    second = successor.keys.last
    if first is None or second is None:
        return []
    name = f"keys of {successor.checkpoint.origin}"
    if second.version < first.version or (second.version == first.version and second.note != first.note):
        detail = f"key statement {second.version} follows {first.version} of the log before it"
        return [Check(name=name, outcome=Outcome.FAILED, detail=detail)]
    detail = f"key statement {second.version}, not older than that of the log before it"
    return [Check(name=name, outcome=Outcome.HELD, detail=detail)]


def check_cosigned_note(verification: Verification, note: bytes, *, trust: Trust) -> Check | None:
    """Check an earlier note of a verified log that the other node has cosigned.

    The newest note of a log is often not cosigned yet. The newest cosigned one vouches for
    all entries below its size, if the log had that root at that size.

    Args:
        verification: The log, verified by itself.
        note: A note of the same log, of its size or a smaller one.
        trust: Keys that the auditor trusts.

    Returns:
        The check, or None if the log was not verified.
    """
    known = _known(verification)
    if known is None:
        return None
    origin = known.checkpoint.origin
    name = f"cosigned part of {origin}"
    keys = trust.log_keys(origin)
    cosigners = trust.foreign_cosigners(origin)
    if not keys or not cosigners:
        return Check(name=name, outcome=Outcome.NOT_CHECKED, detail="no key of another node is trusted")
    try:
        signer = signing_key(note, keys)
        checkpoint = verify_log_note(note, verifier=signer).checkpoint
        by = _verify_any(note, cosigners)
        problem = known.keys.problem(signer, checkpoint.size, trust)
        if problem:
            return Check(name=name, outcome=Outcome.FAILED, detail=problem)
        if checkpoint.size > known.checkpoint.size:
            return Check(name=name, outcome=Outcome.FAILED, detail="it is larger than the log")
        root = edge_at(checkpoint.size, reader=LogReader(known.log, known.contents.size)).root()
    except GatewayError as error:
        return Check(name=name, outcome=Outcome.FAILED, detail=str(error))
    if root != checkpoint.root:
        detail = f"another root was cosigned for size {checkpoint.size}: a fork"
        return Check(name=name, outcome=Outcome.FAILED, detail=detail)
    detail = f"{by} vouches for the first {checkpoint.size} of {known.checkpoint.size} entries"
    return Check(name=name, outcome=Outcome.HELD, detail=detail)


def _verify_any(note: bytes, cosigners: Sequence[HybridVerifier]) -> str:
    """Return the name of the first cosigner whose lines verify."""
    for cosigner in cosigners:
        with suppress(SignatureInvalidError):
            verify_cosignature(note, cosigner=cosigner)
            return cosigner.name
    msg = "no trusted cosigner has signed it with both keys"
    raise SignatureInvalidError(msg)


def _known(verification: Verification) -> _Known | None:
    checkpoint = verification.report.checkpoint
    log, contents, keys = verification.log, verification.contents, verification.keys
    if not (verification.report.is_verified and log and contents and keys and checkpoint):
        return None
    return _Known(log=log, contents=contents, keys=keys, checkpoint=checkpoint)


def _copies_check(largest: _Known, copies: Sequence[_Known]) -> Check:
    """Check that all copies of one log lie on one history: the smaller are beginnings of the largest."""
    name = f"copies of {largest.checkpoint.origin}"
    reader = LogReader(largest.log, largest.contents.size)
    for copy in copies:
        size = copy.checkpoint.size
        try:
            root = edge_at(size, reader=reader).root()
        except GatewayError as error:
            return Check(name=name, outcome=Outcome.FAILED, detail=f"cannot be compared: {error}")
        if root != copy.checkpoint.root:
            detail = f"the log has signed two histories, which differ below size {size}: a fork"
            return Check(name=name, outcome=Outcome.FAILED, detail=detail)
    sizes = ", ".join(str(copy.checkpoint.size) for copy in copies)
    return Check(name=name, outcome=Outcome.HELD, detail=f"sizes {sizes} lie on one history")


def _root_checks(
    what: str, claimed: Mapping[str, Claims], speaker: _Known, known: Mapping[str, _Known]
) -> list[Check]:
    checks: list[Check] = []
    for origin, claims in sorted(claimed.items()):
        name = f"{what} in {speaker.contents.origin}"
        subject = known.get(origin)
        if subject is None:
            detail = f"{len(claims)} of {_named(origin)}: that log is not at hand, or is not verified"
            checks.append(Check(name=name, outcome=Outcome.NOT_CHECKED, detail=detail))
            continue
        problems, later = Problems(), 0
        try:
            later = _compare_roots(claims, subject, problems)
        except GatewayError as error:
            problems.add(0, f"cannot be compared: {error}")
        held = f"{len(claims) - later} agree with {origin}{_later(later)}"
        checks.append(_check(name, problems, held))
    return checks


def _compare_roots(claims: Claims, subject: _Known, problems: Problems) -> int:
    """Compare claimed roots with recomputed ones; return how many lie beyond the log."""
    reader = LogReader(subject.log, subject.contents.size)
    later = 0
    last: tuple[int, Hash] | None = None
    for index, size, root in claims:
        if size > subject.contents.size:
            later += 1
            continue
        if last is None or last[0] != size:
            last = (size, edge_at(size, reader=reader).root())
        if last[1] != root:
            problems.add(index, f"names another root than {subject.contents.origin} had at size {size}")
    return later


def _answer_checks(speaker: _Known, known: Mapping[str, _Known]) -> list[Check]:
    """Check that exceptions and collections name messages, and collectors are addressees."""
    checks: list[Check] = []
    for origin, answers in sorted(speaker.contents.answers.items()):
        subject = known.get(origin)
        if subject is None:
            continue  # said for the receipts already
        name = f"answers in {speaker.contents.origin}"
        problems, later = Problems(), 0
        try:
            later = _compare_answers(answers, subject, problems)
        except GatewayError as error:
            problems.add(0, f"cannot be compared: {error}")
        held = (
            f"{len(answers.excepted)} exceptions and {len(answers.collected)} collections "
            f"name messages of {origin}{_later(later)}"
        )
        checks.append(_check(name, problems, held))
    return checks


def _compare_answers(answers: Answers, subject: _Known, problems: Problems) -> int:
    size = subject.contents.size
    reader = LogReader(subject.log, subject.contents.size)
    refused = frozenset(answers.excepted)
    agencies = list(answers.agencies)
    later = 0
    for index in answers.excepted:
        if index >= size:
            later += 1
        elif kind_of(reader.entry(index)) != Kind.MESSAGE:
            problems.add(index, "has an exception but is no message")
    for index, collector in zip(answers.collected, answers.collectors, strict=True):
        if index >= size:
            later += 1
            continue
        entry = decode_entry(reader.entry(index))
        if index in refused:
            problems.add(index, "was collected although its receipt refuses it")
        elif not isinstance(entry, MessageEntry):
            problems.add(index, "was collected but is no message")
        elif agencies[collector] not in decode_header(entry.header).to_agencies:
            problems.add(index, "was collected by an agency that it is not addressed to")
    return later


def _answered_checks(speaker: _Known, known: Mapping[str, _Known]) -> list[Check]:
    """Check that receipts leave no message out of the logs that are at hand."""
    checks: list[Check] = []
    for origin, answers in sorted(speaker.contents.answers.items()):
        subject = known.get(origin)
        if subject is None or not answers.ranges:
            continue
        name = f"messages answered in {speaker.contents.origin}"
        try:
            checks.append(check_answered(name, answers, log=subject.log, contents=subject.contents))
        except GatewayError as error:
            checks.append(Check(name=name, outcome=Outcome.FAILED, detail=f"cannot be compared: {error}"))
    return checks


def _anchored_checks(speaker: _Known, known: Mapping[str, _Known]) -> list[Check]:
    """Check that an audit log leaves out no bundle of the logs that are at hand."""
    if not speaker.contents.is_audit:
        return []
    name = f"bundles anchored in {speaker.contents.origin}"
    return [
        check_anchored(name, speaker.contents, subject.contents)
        for _, subject in sorted(known.items())
        if subject.contents.is_exchange
    ]


def _check(name: str, problems: Problems, held: str) -> Check:
    if problems.count:
        return Check(name=name, outcome=Outcome.FAILED, detail=problems.text())
    return Check(name=name, outcome=Outcome.HELD, detail=held)


def _later(count: int) -> str:
    return f"; {count} lie beyond the copy at hand" if count else ""


def _named(origin: str) -> str:
    """Return an origin from an entry so that a terminal can show it."""
    return origin if origin.isascii() and origin.isprintable() else ascii(origin)
