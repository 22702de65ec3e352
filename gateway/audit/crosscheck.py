"""What logs say about each other.

Each nation's log holds receipts for the other's entries and anchors of the other's size
and root. With both at hand every such claim is recomputed: whoever rewrites one log has
to rewrite the other one too, and that one bears the other nation's signature.

A log may speak of entries that the copy at hand does not reach yet, because the copies
were made one after the other. Such claims are counted and reported, not failed.

Spec: docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gateway.audit.claims import Answers, Claims
from gateway.audit.completeness import check_anchored, check_answered, check_sealed
from gateway.audit.contents import LogContents
from gateway.audit.cosigners import CosignerPeriods, HeldLog, read_cosignatures
from gateway.audit.ended import check_ended
from gateway.audit.problems import Problems
from gateway.audit.reader import LogReader, read_header, read_message
from gateway.audit.refusals import refusal_checks
from gateway.audit.report import Check, Outcome, SetReport
from gateway.audit.succession import succession_check, told_forks
from gateway.audit.trail import trail_checks, whole_below
from gateway.audit.trust import Trust
from gateway.audit.twobooks import book_checks
from gateway.audit.verify import Verification
from gateway.core.cosignature import signing_key, verify_log_note
from gateway.core.generation import first_of, generation_of, number_of
from gateway.core.merkle import Hash, edge_at
from gateway.core.message.wording import counted
from gateway.core.note import parse_note
from gateway.errors import GatewayError


def compare_logs(
    verifications: Sequence[Verification], *, title: str, trust: Trust, checks: Sequence[Check] = ()
) -> SetReport:
    """Return the reports of logs together with what they say about each other.

    Args:
        verifications: Logs, each verified by itself. Two copies of one log (the writer's and the
            mirror's) have to lie on one history.
        title: Whose logs they are.
        trust: Keys that the auditor trusts.
        checks: What the caller has compared already.
    """
    periods = cosigner_periods(verifications, trust)
    verifications = [replace(item, report=periods.judged(item.report)) for item in verifications]
    copies = _copies(verifications)
    largest = _largest(copies)
    compared = [_copies_check(largest[origin], logs) for origin, logs in copies.items() if len(logs) > 1]
    for speaker in largest.values():
        compared += _claim_checks(speaker, largest)
        compared += _answer_checks(speaker, largest)
        compared += _answered_checks(speaker, largest)
    compared += _statement_checks(largest)
    logs = tuple(item.report for item in verifications)
    return SetReport(title=title, logs=logs, checks=(*checks, *compared))


def cosigner_periods(verifications: Sequence[Verification], trust: Trust) -> CosignerPeriods:
    """Return what these logs, and trusted keys, say of when keys of cosigners were replaced."""
    held = [item.held for item in verifications]
    return CosignerPeriods([log for log in held if log is not None], trust)


def compare_claims(verifications: Sequence[Verification]) -> list[Check]:
    """Return whether what logs say of each other's sizes, roots and keys is so.

    A part of `compare_logs`, for whoever has looked at copies and at single messages already.
    """
    largest = _largest(_copies(verifications))
    claims = [check for speaker in largest.values() for check in _claim_checks(speaker, largest)]
    return [*claims, *_statement_checks(largest)]


def _copies(verifications: Sequence[Verification]) -> dict[str, list[HeldLog]]:
    copies: dict[str, list[HeldLog]] = {}
    for item in verifications:
        known = item.held
        if known is not None:
            copies.setdefault(known.checkpoint.origin, []).append(known)
    return copies


def _largest(copies: Mapping[str, Sequence[HeldLog]]) -> dict[str, HeldLog]:
    return {origin: max(logs, key=lambda log: log.checkpoint.size) for origin, logs in copies.items()}


def _claim_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Check what a log says of the sizes, roots and keys of the logs at hand, and that it leaves none out."""
    checks: list[Check] = []
    if speaker.contents.citation is not None:
        at_hand = {origin: (log.log, log.checkpoint.size) for origin, log in known.items()}
        held = _held_at_the_end(speaker.contents.citation.stored.origin, speaker.contents, known)
        checks.append(
            succession_check(speaker.contents.origin, speaker.contents.citation, at_hand, held=held)
        )
        checks += _keys_checks(speaker, known)
    checks += _root_checks("receipts", speaker.contents.receipted, speaker, known)
    checks += _root_checks("anchors", speaker.contents.anchored, speaker, known)
    checks += _root_checks("erasures", speaker.contents.erasures, speaker, known)
    checks += _root_checks("restores", speaker.contents.restores, speaker, known)
    checks += told_forks(speaker.contents.origin, speaker.contents.forks)
    checks += _anchored_checks(speaker, known)
    checks += _sealed_checks(speaker, known)
    checks += refusal_checks(speaker, known)
    checks += _ended_checks(speaker, known)
    checks += trail_checks(speaker, known)
    checks += book_checks(speaker, known)
    return checks


def _held_at_the_end(closed: str, successor: LogContents, known: Mapping[str, HeldLog]) -> int:
    """Return the size of a closed exchange log that the other node cites where its own successor opens."""
    generation = number_of(successor.origin)
    cited = (
        log.contents.anchored[closed]
        for origin, log in known.items()
        if log.contents.node != successor.node
        and log.contents.is_exchange
        and number_of(origin) == generation
        and closed in log.contents.anchored
    )
    return max((claims.sizes[0] for claims in cited if claims.said_at[0] <= 1), default=0)


def _keys_checks(successor: HeldLog, logs: Mapping[str, HeldLog]) -> list[Check]:
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
        return [Check.failed(name, detail)]
    detail = f"key statement {second.version}, not older than that of the log before it"
    return [Check.held(name, detail)]


def _statement_checks(logs: Mapping[str, HeldLog]) -> list[Check]:
    """Return whether each node states the same keys under a version in all its logs at hand.

    The partner reads one of them only: a root that signs two statements of one version tells it other
    keys than an auditor.
    """
    by_node: dict[str, dict[str, HeldLog]] = {}
    for origin, log in sorted(logs.items()):
        by_node.setdefault(log.contents.node, {})[origin] = log
    return [_stated_check(node, own) for node, own in by_node.items() if len(own) > 1]


def _stated_check(node: str, own: Mapping[str, HeldLog]) -> Check:
    name = f"key statements of {node}"
    first: dict[int, tuple[str, str]] = {}
    for origin, log in own.items():
        for _, statement in log.keys.stated:
            text = parse_note(statement.note).text
            other, stated = first.setdefault(statement.version, (origin, text))
            if stated != text:
                detail = f"{other} and {origin} hold two statements of version {statement.version}"
                return Check.failed(name, detail)
    detail = f"{len(first)}, each version the same in {len(own)} logs"
    return Check.held(name, detail)


def check_cosigned_note(
    verification: Verification, note: bytes, *, trust: Trust, periods: CosignerPeriods
) -> Check | None:
    """Check an earlier note of a verified log that the other node has cosigned.

    The newest note of a log is often not cosigned yet. The newest cosigned one vouches for
    all entries below its size, if the log had that root at that size.

    Args:
        verification: The log, verified by itself.
        note: A note of the same log, of its size or a smaller one.
        trust: Keys that the auditor trusts.
        periods: When keys of cosigners were replaced.

    Returns:
        The check, or None if the log was not verified.
    """
    known = verification.held
    if known is None:
        return None
    origin, size = known.checkpoint.origin, known.checkpoint.size
    name = f"cosigned part of {origin}"
    keys = trust.log_keys(origin)
    if not keys or not trust.foreign_cosigners(origin):
        return Check.not_checked(name, "no key of another node is trusted")
    try:
        signer = signing_key(note, keys)
        verified = verify_log_note(note, verifier=signer)
        checkpoint = verified.checkpoint
        found, check = read_cosignatures(verified, trust)
        if found:
            found, check = periods.judge(found, checkpoint)
        problem = known.keys.problem(signer, checkpoint.size, trust)
        if problem:
            return Check.failed(name, problem)
        if checkpoint.size > size:
            return Check.failed(name, "it is larger than the log")
        if not known.had(checkpoint.size, checkpoint.root):
            detail = f"another root was cosigned for size {checkpoint.size}: a fork"
            return Check.failed(name, detail)
    except GatewayError as error:
        return Check.failed(name, str(error))
    if check.outcome is not Outcome.HELD:
        # Kept as cosigned, so without a line of a trusted cosigner it is not what it is kept for.
        outcome = check.outcome if found else Outcome.FAILED
        detail = check.detail if found else "no trusted cosigner has signed it with both keys"
        return Check(name=name, outcome=outcome, detail=detail)
    by = next(item.name for item in found if item.counts)
    entries = counted(size, "entry", "entries")
    detail = f"{by} vouches for the first {checkpoint.size} of {entries}"
    return Check.held(name, detail)


def _copies_check(largest: HeldLog, copies: Sequence[HeldLog]) -> Check:
    """Check that all copies of one log lie on one history: the smaller are beginnings of the largest."""
    name = f"copies of {largest.checkpoint.origin}"
    reader = LogReader(largest.log, largest.contents.size)
    for copy in copies:
        size = copy.checkpoint.size
        try:
            root = edge_at(size, reader=reader).root()
        except GatewayError as error:
            return Check.failed(name, f"cannot be compared: {error}")
        if root != copy.checkpoint.root:
            detail = f"the log has signed two histories, which differ below size {size}: a fork"
            return Check.failed(name, detail)
    sizes = ", ".join(str(copy.checkpoint.size) for copy in copies)
    return Check.held(name, f"sizes {sizes} lie on one history")


def _root_checks(
    what: str, claimed: Mapping[str, Claims], speaker: HeldLog, known: Mapping[str, HeldLog]
) -> list[Check]:
    checks: list[Check] = []
    for origin, claims in sorted(claimed.items()):
        name = f"{what} in {speaker.contents.origin}"
        subject = known.get(origin)
        if subject is None:
            detail = f"{len(claims)} of {_named(origin)}: that log is not at hand, or is not verified"
            checks.append(Check.not_checked(name, detail))
            continue
        problems, later = Problems(), 0
        try:
            later = _compare_roots(claims, subject, problems)
            if claimed is speaker.contents.erasures:
                _compare_erased(claims, subject, problems)
        except GatewayError as error:
            problems.add(0, f"cannot be compared: {error}")
        held = f"{counted(len(claims) - later, 'agrees', 'agree')} with {origin}{_later(later)}"
        checks.append(_check(name, problems, held))
    return checks


def _compare_roots(claims: Claims, subject: HeldLog, problems: Problems) -> int:
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


def _compare_erased(claims: Claims, subject: HeldLog, problems: Problems) -> None:
    """Check that what was erased, right below the size that is named, is a message."""
    reader = LogReader(subject.log, subject.contents.size)
    for index, size, _ in claims:
        if size <= subject.contents.size and (not size or read_message(reader.entry(size - 1)) is None):
            problems.add(index, "names as erased what is no message")


def _answer_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
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
        exceptions = counted(len(answers.excepted), "exception", "exceptions")
        collections = counted(len(answers.collected), "collection", "collections")
        held = f"{exceptions} and {collections} name messages of {origin}{_later(later)}"
        checks.append(_check(name, problems, held))
    return checks


def _compare_answers(answers: Answers, subject: HeldLog, problems: Problems) -> int:
    size = subject.contents.size
    reader = LogReader(subject.log, subject.contents.size)
    # Who took a message back after its collection did not collect what was refused (`audit reconcile` tells).
    refused = frozenset(answers.excepted) | (frozenset(answers.taken_back) - answers.kept)
    agencies = list(answers.agencies)
    later = 0
    for index in answers.excepted:
        if index >= size:
            later += 1
        elif read_message(reader.entry(index)) is None:
            problems.add(index, "has an exception but is no message")
    for index, collector in zip(answers.collected, answers.collectors, strict=True):
        if index >= size:
            later += 1
            continue
        header = read_header(reader.entry(index))
        if index in refused:
            problems.add(index, "was collected although its receipt refuses it")
        elif header is None:
            problems.add(index, "was collected but is no message")
        elif agencies[collector] not in header.to_agencies:
            problems.add(index, "was collected by an agency that it is not addressed to")
    return later


def _answered_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Check that receipts leave no message out of the logs that are at hand."""

    def check(name: str, answers: Answers, subject: HeldLog) -> Check:
        return check_answered(name, answers, log=subject.log, contents=subject.contents)

    return _receipt_checks("messages answered", check, speaker, known)


def _sealed_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Check that a log says *received* of messages alone that are sealed for keys that it announces."""
    announced = speaker.contents.announced

    def check(name: str, answers: Answers, subject: HeldLog) -> Check:
        receipts = speaker.contents.receipted[subject.contents.origin]
        return check_sealed(name, answers, receipts, announced, log=subject.log, contents=subject.contents)

    return _receipt_checks("KEM keys announced", check, speaker, known)


def _receipt_checks(
    what: str,
    check: Callable[[str, Answers, HeldLog], Check],
    speaker: HeldLog,
    known: Mapping[str, HeldLog],
) -> list[Check]:
    """Hold the receipts of a log against each log at hand that they are about."""
    name = f"{what} in {speaker.contents.origin}"
    checks: list[Check] = []
    for origin, answers in sorted(speaker.contents.answers.items()):
        subject = known.get(origin)
        if subject is None or not answers.ranges:
            continue
        try:
            checks.append(check(name, answers, subject))
        except GatewayError as error:
            checks.append(Check.failed(name, f"cannot be compared: {error}"))
    return checks


def _ended_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Check that no message was received which an audit log calls withdrawn, expired or cancelled."""
    audit = speaker.contents
    if not audit.ended.events:
        return []
    checks: list[Check] = []
    own = {origin: log for origin, log in sorted(known.items()) if log.contents.node == audit.node}
    below = whole_below(audit, [log.contents for log in own.values()])
    for origin, log in own.items():
        said = {other: item.contents.answers for other, item in known.items()}
        answers = {other: found[origin] for other, found in said.items() if origin in found}
        if not log.contents.is_exchange or not answers:
            continue
        try:
            check = check_ended(
                audit,
                log=log.log,
                contents=log.contents,
                answers=answers,
                whole_below=below,
                reader=LogReader(speaker.log, speaker.checkpoint.size),
            )
        except GatewayError as error:
            detail = f"cannot be compared: {error}"
            check = Check.failed(f"messages ended in {audit.origin}", detail)
        checks.append(check)
    return checks


def _anchored_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Check that an audit log leaves out no bundle of the logs that are at hand."""
    if not speaker.contents.is_audit:
        return []
    name = f"bundles anchored in {speaker.contents.origin}"
    exchange = [log.contents for log in known.values() if log.contents.is_exchange]
    own = [contents for contents in exchange if contents.node == speaker.contents.node]
    return [
        check_anchored(name, speaker.contents, subject.contents, own)
        for _, subject in sorted(known.items())
        if subject.contents.is_exchange
    ]


def _check(name: str, problems: Problems, held: str) -> Check:
    if problems.count:
        return Check.failed(name, problems.text())
    return Check.held(name, held)


def _later(count: int) -> str:
    return f"; {counted(count, 'lies', 'lie')} beyond the copy at hand" if count else ""


def _named(origin: str) -> str:
    """Return an origin from an entry so that a terminal can show it."""
    return origin if origin.isascii() and origin.isprintable() else ascii(origin)
