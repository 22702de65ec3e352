"""Saved checkpoints: whether all of them lie on one history.

Anybody may keep the checkpoint of a log: a copied file of 13 kB, or less. Two of one log that
no single tree satisfies prove that its node has signed two histories, and nobody else can
have made them. Two of one size are compared by their roots; for two of different sizes a
copy of the log is needed, which is recomputed before it is believed.

Spec: docs/auditing.md, "Saved checkpoints".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.audit.cosigners import CosignerPeriods, read_cosignatures
from gateway.audit.crosscheck import cosigner_periods
from gateway.audit.reader import LogReader
from gateway.audit.report import Check, Outcome, SetReport, time_text
from gateway.audit.trust import Trust
from gateway.audit.verify import Verification
from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.cosignature import signing_key, verify_log_note
from gateway.core.merkle import edge_at
from gateway.core.message.wording import counted
from gateway.core.note import parse_note
from gateway.core.signature import HybridVerifier
from gateway.errors import GatewayError


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedNote:
    """A note that somebody kept.

    Attributes:
        label: What to call it, such as its file's name; shown as it is.
        note: Its bytes.
    """

    label: str
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    label: str
    checkpoint: Checkpoint
    signer: HybridVerifier


def check_notes(saved: Sequence[SavedNote], logs: Sequence[Verification], *, trust: Trust) -> SetReport:
    """Say whether saved checkpoints lie on one history for each log.

    Args:
        saved: Checkpoints from anywhere, of any logs.
        logs: Copies of logs at hand, each verified by itself; may be none.
        trust: Keys that the auditor trusts.
    """
    checks: list[Check] = []
    by_origin: dict[str, list[_Signed]] = {}
    periods = cosigner_periods(logs, trust)
    for item in saved:
        signed, check = _signed(item, trust, periods)
        checks.append(check)
        if signed is not None:
            by_origin.setdefault(signed.checkpoint.origin, []).append(signed)
    for origin, notes in sorted(by_origin.items()):
        copies = [log for log in logs if log.report.is_verified and _origin(log) == origin]
        checks.append(_history(origin, notes, copies, trust))
    return SetReport(
        title=counted(len(saved), "saved checkpoint", "saved checkpoints"),
        logs=tuple(log.report for log in logs),
        checks=tuple(checks),
        needs_logs=False,
        needs_all=True,  # whether they lie on one history is all that was asked
    )


def check_since(
    verification: Verification, saved: SavedNote, *, trust: Trust, periods: CosignerPeriods
) -> Check:
    """Check that a log begins with what a saved checkpoint of it says."""
    name = "since"
    signed, check = _signed(saved, trust, periods)
    if signed is None:
        return Check.failed(name, check.detail)
    size = signed.checkpoint.size
    known = verification.report.checkpoint
    if known is None or not verification.report.is_verified:
        return Check.not_checked(name, "the log itself is not verified")
    if known.origin != signed.checkpoint.origin:
        detail = f"{saved.label} is a checkpoint of {signed.checkpoint.origin}, another log"
        return Check.failed(name, detail)
    if size > known.size:
        detail = (
            f"{saved.label} covers {counted(size, 'entry', 'entries')}, "
            f"the log at hand only {known.size}: the rest is withheld"
        )
        return Check.failed(name, detail)
    problem = _against(signed, verification, trust)
    if problem is not None:
        return Check.failed(name, problem)
    begins = counted(size, "entry", "entries")
    added = counted(known.size - size, "was", "were")
    detail = f"begins with the {begins} of {saved.label}; {added} added"
    return Check.held(name, detail)


def _signed(saved: SavedNote, trust: Trust, periods: CosignerPeriods) -> tuple[_Signed | None, Check]:
    """Verify the signatures of a saved note."""
    name = f"note {saved.label}"
    try:
        origin = parse_checkpoint(parse_note(saved.note).text).origin
        keys = trust.log_keys(origin)
        if not keys:
            detail = f"no trusted keys for the log {origin}"
            return None, Check.failed(name, detail)
        signer = signing_key(saved.note, keys)
        verified = verify_log_note(saved.note, verifier=signer)
        # A line of a known key that does not verify refuses the whole note, whose line it ever is.
        found, cosigned = read_cosignatures(verified, trust)
    except GatewayError as error:
        return None, Check.failed(name, str(error))
    if found:
        cosigned = periods.judge(found, verified.checkpoint)[1]
    if cosigned.outcome is Outcome.FAILED:
        return None, Check.failed(name, cosigned.detail)
    checkpoint = verified.checkpoint
    detail = f"{origin}, size {checkpoint.size}, signed {time_text(verified.time_s)}"
    check = Check.held(name, detail)
    return _Signed(label=saved.label, checkpoint=checkpoint, signer=signer), check


def _history(origin: str, notes: Sequence[_Signed], copies: Sequence[Verification], trust: Trust) -> Check:
    """Compare all signed notes of one log with each other and with copies of the log."""
    name = f"history of {origin}"
    fork = _two_roots(notes) or _first(_against(note, copy, trust) for note in notes for copy in copies)
    if fork is not None:
        return Check.failed(name, fork)
    sizes = sorted({note.checkpoint.size for note in notes})
    reach = max((copy.report.checkpoint.size for copy in copies if copy.report.checkpoint), default=0)
    beyond = [size for size in sizes if size > reach]
    # Up to one size beyond every copy stands by itself only if nothing else has to agree with it.
    if beyond and len(sizes) > 1:
        what = "no copy of the log is at hand" if not copies else f"the copies at hand end at {reach}"
        detail = f"{_sizes(sizes)} cannot all be compared: {what}"
        return Check.not_checked(name, detail)
    found = counted(len(notes), "checkpoint", "checkpoints")
    detail = f"{found}, {_sizes(sizes)}, {'lie' if len(notes) > 1 else 'lies'} on one history"
    return Check.held(name, detail)


def _two_roots(notes: Sequence[_Signed]) -> str | None:
    """Name two notes of one size with two roots."""
    by_size: dict[int, _Signed] = {}
    for note in notes:
        other = by_size.setdefault(note.checkpoint.size, note)
        if other.checkpoint.root != note.checkpoint.root:
            size = note.checkpoint.size
            return f"{other.label} and {note.label} name two roots for size {size}: a fork, and they prove it"
    return None


def _against(note: _Signed, copy: Verification, trust: Trust) -> str | None:
    """Name a note and a copy of its log that contradict each other, or a note under keys of another size."""
    known = copy.report.checkpoint
    size = note.checkpoint.size
    if known is None or copy.log is None or copy.keys is None or size > known.size:
        return None
    wrong = copy.keys.problem(note.signer, size, trust)
    if wrong:
        return f"{note.label} (size {size}): {wrong}"
    try:
        root = edge_at(size, reader=LogReader(copy.log, known.size)).root()
    except GatewayError as error:
        return f"the log at hand cannot be compared: {error}"
    if root == note.checkpoint.root:
        return None
    return (
        f"{note.label} (size {size}) and the checkpoint of the log at hand (size {known.size}) "
        f"are signed for two histories: a fork, and they prove it"
    )


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)


def _origin(log: Verification) -> str | None:
    return None if log.report.checkpoint is None else log.report.checkpoint.origin


def _sizes(sizes: Sequence[int]) -> str:
    shown = ", ".join(str(size) for size in sizes[:8])
    return f"size{'s'[: len(sizes) > 1]} {shown}{f' … {sizes[-1]}' if len(sizes) > 8 else ''}"
