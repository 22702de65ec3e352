"""Refusals that the refused message itself contradicts: its header stands in the sender's log, in clear.

Why a receiver refuses a message it says with a code, and most of that is about content, which no log
holds. Three codes are about the header: to whom it is addressed, whether it can be read, and until when it
may be delivered. A receiver decides the last one by its own clock and says when, so its receipts tell
whether the time was over by then, and so does the time at which it signed them. Clocks of two nodes may
differ by five minutes before either accepts nothing any more; so much is granted.

Spec: docs/spec/exchange.md, "Exceptions", "Expiry"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.audit.claims import Answers
from gateway.audit.cosigners import HeldLog
from gateway.audit.problems import Problems
from gateway.audit.reader import LogReader, read_header
from gateway.audit.report import Check
from gateway.core.envelope import Header
from gateway.core.generation import first_of
from gateway.core.message.threads import nation_of
from gateway.core.message.wording import counted
from gateway.core.receipt import ExceptionCode
from gateway.errors import GatewayError

GRANTED_MS: Final = 300_000
"""By how much clocks may differ."""

_OF_HEADER: Final = frozenset({int(ExceptionCode.WRONG_RECIPIENT), int(ExceptionCode.UNKNOWN_SUITE)})


def refusal_checks(speaker: HeldLog, known: Mapping[str, HeldLog]) -> list[Check]:
    """Check that headers at hand do not contradict what a receiver says of them.

    Args:
        speaker: The receiver's log.
        known: The fullest copy of each log at hand, by origin.
    """
    name, checks = f"refusals in {speaker.contents.origin}", []
    for origin, answers in sorted(speaker.contents.answers.items()):
        subject = known.get(origin)
        if subject is None or not (answers.expired or _OF_HEADER.intersection(answers.codes)):
            continue
        problems = Problems()
        try:
            count = _compare(speaker, answers, subject, problems)
        except GatewayError as error:
            checks.append(Check.failed(name, f"cannot be compared: {error}"))
            continue
        if problems.count:
            checks.append(Check.failed(name, problems.text()))
            continue
        detail = f"{counted(count, 'refusal fits', 'refusals fit')} the headers in {origin}"
        checks.append(Check.held(name, detail))
    return checks


def _compare(speaker: HeldLog, answers: Answers, subject: HeldLog, problems: Problems) -> int:
    """Note what the headers contradict; return how many refusals were compared."""
    size = subject.checkpoint.size
    reader = LogReader(subject.log, size)
    what = f"message {{}} of {subject.contents.origin}"
    count = 0
    for index, code, at in zip(answers.excepted, answers.codes, answers.said_at, strict=True):
        if code not in _OF_HEADER or index >= size or (header := read_header(reader.entry(index))) is None:
            continue
        count += 1
        if code == ExceptionCode.UNKNOWN_SUITE:
            problems.add(at, f"calls {what.format(index)} of an unknown suite, and its header is of this one")
        elif _is_addressed(header, speaker, subject):
            problems.add(at, f"calls {what.format(index)} addressed to somebody else, and it is not")
    # A time that lies behind the signature is one that the receiver cannot have read on its clock.
    signed_ms = (speaker.signed_s + 1) * 1_000
    for index, at, said_ms in zip(*(iter(answers.expired),) * 3, strict=True):
        if index >= size or (header := read_header(reader.entry(index))) is None:
            continue
        count += 1
        if min(said_ms, signed_ms) + GRANTED_MS < header.expires_ms:
            problems.add(at, f"calls {what.format(index)} expired before its time is over")
    return count


def _is_addressed(header: Header, speaker: HeldLog, subject: HeldLog) -> bool:
    """Return whether a message goes from one node to the other, and to agencies of that nation alone."""
    reader = first_of(subject.contents.origin).rpartition("/")[2]
    nodes = (header.from_node, header.to_node)
    return nodes == (subject.contents.node, speaker.contents.node) and all(
        nation_of(agency).lower() == reader for agency in header.to_agencies
    )
