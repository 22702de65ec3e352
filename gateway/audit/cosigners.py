"""Whose cosignatures count: those under a key that was the cosigner's when they were made.

A key is replaced because it may be stolen, and the seconds of a signature are the signer's choice. So a
cosignature under a key that was replaced says nothing by itself. Logs say when it was replaced, and what
its node held:

- a node goes over to a later key before it ships anything behind the statement that names it. Who has an
  entry behind that, and says so in a log, is cosigned under the later key from that entry on;
- a node says in its own logs what it holds of the other's. That is what a cosignature says as well, and it
  is signed by log keys, which hold for their sizes alone.

What neither shows is not checked, and does not count.

Spec: docs/spec/keys.md, "Periods of cosigner keys".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.audit.claims import Claims
from gateway.audit.contents import LogContents
from gateway.audit.keyhistory import KeyHistory
from gateway.audit.log import AuditedLog
from gateway.audit.reader import LogReader
from gateway.audit.report import Check, Cosigned, LogReport, Outcome
from gateway.audit.statement import Statement
from gateway.audit.trust import Trust
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import VerifiedNote, verify_cosignature
from gateway.core.generation import number_of
from gateway.core.merkle import Hash, edge_at
from gateway.core.note import parse_note
from gateway.core.signature import HybridVerifier
from gateway.errors import GatewayError

NAME: Final = "cosignature"
"""Name of the check."""

_TOLD_FIRST: Final = (Outcome.FAILED, Outcome.HELD, Outcome.NOT_CHECKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLog:
    """A log at hand that was verified by itself.

    Attributes:
        log: The log.
        contents: What its entries say.
        keys: Which keys are right for which of its sizes.
        checkpoint: What it signed.
        signed_s: When, as it says.
    """

    log: AuditedLog
    contents: LogContents
    keys: KeyHistory
    checkpoint: Checkpoint
    signed_s: int

    def had(self, size: int, root: Hash) -> bool:
        """Return whether the log had this root at this size."""
        if size > self.checkpoint.size:
            return False
        return edge_at(size, reader=LogReader(self.log, self.checkpoint.size)).root() == root


class CosignerPeriods:
    """Knows from trusted keys, and from logs at hand, which key of a cosigner was its own when."""

    def __init__(self, logs: Sequence[HeldLog], trust: Trust, *, stated: Sequence[Statement] = ()) -> None:
        """Learn from logs; of copies of one log the fullest one is asked.

        Args:
            logs: Logs at hand.
            trust: Keys that the auditor trusts.
            stated: Key statements that are at hand without their log.
        """
        self._trust = trust
        self._logs: dict[str, HeldLog] = {}
        self._stated: dict[str, list[Statement]] = {}
        for statement in stated:
            self._stated.setdefault(statement.node, []).append(statement)
        for log in sorted(logs, key=lambda item: item.checkpoint.size):
            self._logs[log.checkpoint.origin] = log
        for log in self._logs.values():
            stated = self._stated.setdefault(log.contents.node, [])
            stated += [statement for _, statement in log.keys.stated]

    def judged(self, report: LogReport) -> LogReport:
        """Return a report on a log with what its cosignatures are worth."""
        if not report.cosignatures or report.checkpoint is None:
            return report
        cosignatures, check = self.judge(report.cosignatures, report.checkpoint)
        checks = tuple(check if item.name == NAME else item for item in report.checks)
        return replace(report, cosignatures=cosignatures, checks=checks)

    def judge(self, found: Sequence[Cosigned], checkpoint: Checkpoint) -> tuple[tuple[Cosigned, ...], Check]:
        """Return which cosignatures of a checkpoint count, and the check that says so.

        Args:
            found: Cosignatures that verify; at least one.
            checkpoint: What they sign.
        """
        try:
            standings = [self._standing(item.key, checkpoint) for item in found]
        except GatewayError as error:
            detail = f"cannot be compared with what the logs say: {error}"
            return tuple(replace(item, counts=False) for item in found), _check(Outcome.FAILED, detail)
        cosigned = tuple(
            replace(item, counts=outcome is Outcome.HELD)
            for item, (outcome, _) in zip(found, standings, strict=True)
        )
        # One that somebody made with a replaced key is worse news than a good one beside it is good.
        told = min((outcome for outcome, _ in standings), key=_TOLD_FIRST.index)
        details = dict.fromkeys(detail for outcome, detail in standings if outcome is told)
        return cosigned, _check(told, "; ".join(details))

    def is_replaced(self, key: HybridVerifier) -> bool:
        """Return whether a later key of the cosigner is known, from logs or among the trusted ones."""
        last = self._last_version(key)
        if last and any(statement.version > last for statement in self._stated[key.name]):
            return True
        trusted = self._trust.cosigner_keys(key.name)
        newer = trusted[: trusted.index(key)] if key in trusted else ()
        # Statements are numbered; how files of keys are ordered counts where they say nothing.
        return any(not 0 < self._last_version(other) < last for other in newer)

    def _standing(self, key: HybridVerifier, checkpoint: Checkpoint) -> tuple[Outcome, str]:
        """Return what a cosignature under a key is worth, and why."""
        held = f"Ed25519 and ML-DSA-87 of {key.name}"
        if not self.is_replaced(key):
            return Outcome.HELD, held
        if self._is_borne_out(key.name, checkpoint):
            return Outcome.HELD, f"{held}, under a key that was replaced later; its own log says the same"
        shown_by = self._shown_late_by(key, checkpoint)
        if shown_by is not None:
            what = f"of {key.name}, under a key that had been replaced when entry {shown_by} was written"
            return Outcome.FAILED, what
        what = f"of {key.name}, under a key that was replaced; no log at hand shows that it was made before"
        return Outcome.NOT_CHECKED, what

    def _last_version(self, key: HybridVerifier) -> int:
        """Return the newest statement that names a key as its node's cosigner, 0 for none."""
        stated = self._stated.get(key.name, ())
        return max((item.version for item in stated if item.names_cosigner(key)), default=0)

    def _is_borne_out(self, node: str, checkpoint: Checkpoint) -> bool:
        """Return whether the cosigner's own logs say that it held the log at this size or a larger one."""
        subject = self._subject(checkpoint)
        if subject is None:
            return False
        return any(
            checkpoint.size <= size and subject.had(size, root)
            for log in self._logs.values()
            if log.contents.node == node
            for claims in _claims(log, checkpoint.origin)
            for _, size, root in claims
        )

    def _shown_late_by(self, key: HybridVerifier, checkpoint: Checkpoint) -> int | None:
        """Return the entry of a log below whose size its cosigner had gone over to a later key, or None."""
        subject = self._subject(checkpoint)
        if subject is None:
            return None
        generation = _generation(subject, checkpoint.size)
        for log in self._logs.values():
            origin = log.checkpoint.origin
            if (
                log.contents.node != key.name
                or not log.contents.is_exchange
                or number_of(origin) != generation
            ):
                continue
            gone = self._gone_from(log, key)
            if gone is None:
                continue
            for claims in _claims(subject, origin):
                for index, size, root in claims:
                    if index >= checkpoint.size:
                        break
                    if size >= gone and log.had(size, root):
                        return index
        return None

    def _gone_from(self, log: HeldLog, key: HybridVerifier) -> int | None:
        """Return the size of a node's exchange log from which on it has gone over from a key to a later one.

        The bundle of the statement is answered for before the next one leaves: whoever holds more than
        that has been heard to hold the statement.
        """
        first: tuple[int, Statement] | None = None
        for index, statement in reversed(log.keys.stated):
            if statement.names_cosigner(key):
                break
            first = index, statement
        if first is None or not 0 < self._last_version(key) < first[1].version:
            return None
        return first[0] + 2

    def _subject(self, checkpoint: Checkpoint) -> HeldLog | None:
        """Return the fullest copy of a log if a checkpoint lies on its history."""
        subject = self._logs.get(checkpoint.origin)
        return subject if subject is not None and subject.had(checkpoint.size, checkpoint.root) else None


def read_cosignatures(verified: VerifiedNote, trust: Trust) -> tuple[tuple[Cosigned, ...], Check]:
    """Verify every trusted cosigner that has a line in a note; both its lines are required.

    Returns:
        Those that verify, and the check as far as trusted keys alone can tell what they are worth.
    """
    origin = verified.checkpoint.origin
    lines = {(line.name, line.key_id) for line in parse_note(verified.note).signatures}
    known = {label for key in trust.log_keys(origin) for label in labels(key, cosigner=False)}
    found: list[Cosigned] = []
    candidates = trust.foreign_cosigners(origin)
    for cosigner in candidates:
        own = labels(cosigner, cosigner=True)
        known |= own
        if not lines & own:
            continue
        try:
            time_s = verify_cosignature(verified.note, cosigner=cosigner)
        except GatewayError as error:
            return (), _check(Outcome.FAILED, f"of {cosigner.name}: {error}")
        found.append(Cosigned(key=cosigner, time_s=time_s, counts=False))
    if found:
        return CosignerPeriods((), trust).judge(found, verified.checkpoint)
    if not candidates:
        what = "no key of another node is trusted"
    elif lines - known:
        what = "absent; lines of unknown keys are ignored"
    else:
        what = "absent: no other node vouches for this checkpoint"
    return (), _check(Outcome.NOT_CHECKED, what)


def labels(verifier: HybridVerifier, *, cosigner: bool) -> set[tuple[str, bytes]]:
    """Return name and key ID of both lines of a key."""
    return {(key.name, key.key_id) for key in verifier.verifier_keys(cosigner=cosigner)}


def _claims(log: HeldLog, origin: str) -> Iterator[Claims]:
    """Yield what a log says of the sizes and roots of another one."""
    said: Sequence[Mapping[str, Claims]] = (log.contents.anchored, log.contents.receipted)
    return (claims[origin] for claims in said if origin in claims)


def _generation(log: HeldLog, size: int) -> int:
    """Return the generation of the exchange logs in which the first entries of a log leave their nodes.

    An exchange log is of one. An audit log goes on, and anchors the exchange logs of each.
    """
    if log.contents.is_exchange:
        return number_of(log.checkpoint.origin)
    anchored = log.contents.anchored.items()
    before = [origin for origin, claims in anchored if "/exchange/" in origin and claims.said_at[0] < size]
    return max(map(number_of, before), default=1)


def _check(outcome: Outcome, detail: str) -> Check:
    return Check(name=NAME, outcome=outcome, detail=detail)
