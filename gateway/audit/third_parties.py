"""What third parties say of a log: time stamps and lines of witnesses, beside its checkpoints.

They lie in a folder of their own, because an exported log holds nothing but the files of
C2SP tlog-tiles::

    <origin, with _ for />/stamp.<name>.<size>.tsr       response of RFC 3161
    <origin, with _ for />/stamp.<name>.<size>.txt       the text that it is over
    <origin, with _ for />/witness.<name>.<size>.note    note with the line of a witness

Only the responses and notes are read here. What they have to be over is computed from the log
at hand, which was verified by itself: its root at that size. The texts are there for whoever
checks a stamp with ``openssl ts -verify``.

Spec: docs/auditing.md, "Third parties".
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.audit.folder import FolderError, shown
from gateway.audit.keyhistory import KeyHistory
from gateway.audit.reader import LogReader
from gateway.audit.report import Check, time_text
from gateway.audit.stamps import StampAuthority, verify_stamp
from gateway.audit.trust import Trust, TrustUnreadableError
from gateway.audit.verify import Verification
from gateway.core.checkpoint import Checkpoint, format_checkpoint
from gateway.core.cosignature import signing_key, verify_log_note
from gateway.core.merkle import Hash, edge_at
from gateway.core.note import parse_note
from gateway.core.witness import WitnessKey, parse_witness_key, verify_witness
from gateway.errors import GatewayError, MalformedError

MAX_EVIDENCE_BYTES: Final = 65_536
MAX_CLAIMS: Final = 100_000
MAX_KEY_BYTES: Final = 16_384
WITNESSES_SUFFIX: Final = ".witnesses"
"""Files with keys of witnesses. Not ``.vkeys``: one Ed25519 key never stands in for a hybrid pair."""

_SHOWN: Final = 6
_NAME: Final = re.compile(
    r"(?P<kind>stamp|witness)\.(?P<name>[a-z0-9][a-z0-9-]{0,30})"
    r"\.(?P<size>0|[1-9][0-9]{0,15})\.(?P<form>tsr|txt|note)"
)
_FORMS: Final = {"stamp": "tsr", "witness": "note"}


class ClaimKind(StrEnum):
    """How a third party vouches for a checkpoint."""

    STAMP = "stamp"
    WITNESS = "witness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Evidence that a third party has seen a log at a size. Nothing is verified.

    Attributes:
        origin: Log.
        size: Its size then.
        kind: How it is said.
        name: By whom, as the node's configuration calls it.
        evidence: A response of RFC 3161, or a note.
    """

    origin: str
    size: int
    kind: ClaimKind
    name: str
    evidence: bytes


def write_claims(claims: Iterable[tuple[Claim, Hash]], folder: Path) -> int:
    """Write what third parties said, with the texts that stamps are over; return how many.

    Args:
        claims: Each with the root that the log had at its size.
        folder: Where to; what is there of the same names is replaced.

    Raises:
        FolderError: It cannot be written.
    """
    count = 0
    try:
        for claim, root in claims:
            top = folder / claim.origin.replace("/", "_")
            top.mkdir(parents=True, exist_ok=True)
            base = f"{claim.kind}.{claim.name}.{claim.size}"
            (top / f"{base}.{_FORMS[claim.kind]}").write_bytes(claim.evidence)
            if claim.kind is ClaimKind.STAMP:
                (top / f"{base}.txt").write_bytes(_text(claim.origin, claim.size, root))
            count += 1
    except OSError as error:
        msg = f"{shown(folder.name)} cannot be written"
        raise FolderError(msg) from error
    return count


def read_claims(folder: Path) -> list[Claim]:
    """Return what lies in a folder that `write_claims` made.

    Raises:
        FolderError: It holds something else, a link, too many or too long files.
    """
    found: list[Claim] = []
    try:
        tops = sorted(folder.iterdir())
        for top in tops:
            if top.is_symlink() or not top.is_dir():
                msg = f"{shown(top.name)} is no folder with what third parties say"
                raise FolderError(msg)
            for path in sorted(top.iterdir()):
                match = _NAME.fullmatch(path.name)
                if match is None or len(found) == MAX_CLAIMS:
                    msg = f"{shown(path.name)} is no file of a third party, or there are too many"
                    raise FolderError(msg)
                if match["form"] != _FORMS[match["kind"]]:
                    continue
                found.append(
                    Claim(
                        origin=top.name.replace("_", "/"),
                        size=int(match["size"]),
                        kind=ClaimKind(match["kind"]),
                        name=match["name"],
                        evidence=_read(path, MAX_EVIDENCE_BYTES),
                    )
                )
    except OSError as error:
        msg = f"{shown(folder.name)} cannot be read"
        raise FolderError(msg) from error
    return found


def read_witnesses(*paths: Path) -> tuple[WitnessKey, ...]:
    """Return the keys of witnesses in ``.witnesses`` files of folders, one verifier key a line.

    Raises:
        TrustUnreadableError: A file cannot be read, or a line is no key of a witness.
    """
    keys: list[WitnessKey] = []
    for top in paths:
        for path in sorted(top.glob(f"*{WITNESSES_SUFFIX}")) if top.is_dir() else []:
            try:
                lines = _read(path, MAX_KEY_BYTES).decode("utf-8").split("\n")
                keys += [parse_witness_key(line) for line in lines if line]
            except (OSError, ValueError, FolderError, MalformedError) as error:
                msg = f"{shown(path.name)} does not hold verifier keys of witnesses"
                raise TrustUnreadableError(msg) from error
    return tuple(keys)


def check_claims(
    claims: Sequence[Claim],
    logs: Sequence[Verification],
    *,
    trust: Trust,
    authority: StampAuthority | None,
    witnesses: Sequence[WitnessKey],
) -> list[Check]:
    """Check what third parties say of logs that were verified by themselves.

    Args:
        claims: What they say.
        logs: Copies of logs at hand.
        trust: Keys of the logs.
        authority: Whose stamps are believed, or None.
        witnesses: Whose lines are believed.

    Returns:
        A check for each log and third party, which says when it saw which size.
    """
    checks: list[Check] = []
    groups: dict[tuple[str, ClaimKind, str], list[Claim]] = {}
    for claim in sorted(claims, key=lambda item: item.size):
        groups.setdefault((claim.origin, claim.kind, claim.name), []).append(claim)
    copies = _largest(logs)
    for (origin, kind, name), group in sorted(groups.items()):
        title = f"{'time stamps' if kind is ClaimKind.STAMP else 'witness'} {name} of {_plain(origin)}"
        copy = copies.get(origin)
        if copy is None:
            what = f"{len(group)}: that log is not at hand, or is not verified"
            checks.append(Check.not_checked(title, what))
        elif kind is ClaimKind.STAMP and authority is None:
            what = f"{len(group)}: no certificate of a time-stamp authority is trusted"
            checks.append(Check.not_checked(title, what))
        elif kind is ClaimKind.WITNESS and not witnesses:
            what = f"{len(group)}: no key of a witness is trusted"
            checks.append(Check.not_checked(title, what))
        else:
            checks.append(_group_check(title, group, copy, trust, authority, witnesses))
    return checks


def _group_check(
    title: str,
    group: Sequence[Claim],
    copy: Verification,
    trust: Trust,
    authority: StampAuthority | None,
    witnesses: Sequence[WitnessKey],
) -> Check:
    """Check what one third party says of one log."""
    checkpoint, log, history = copy.report.checkpoint, copy.log, copy.keys
    assert checkpoint is not None  # noqa: S101 - `_largest` took no other
    assert log is not None  # noqa: S101 - nor here
    assert history is not None  # noqa: S101 - nor here
    reader = LogReader(log, checkpoint.size)
    seen: list[str] = []
    names: set[str] = set()
    beyond = 0
    for claim in group:
        if claim.size > checkpoint.size:
            beyond += 1
            continue
        try:
            root = edge_at(claim.size, reader=reader).root()
            if claim.kind is ClaimKind.STAMP and authority is not None:
                stamp = verify_stamp(
                    claim.evidence, _text(claim.origin, claim.size, root), authority=authority
                )
                time_s, name = stamp.time_s, stamp.authority
            else:
                time_s, name = _verify_witnessed(claim, root, history, trust, witnesses)
        except GatewayError as error:
            return Check.failed(title, f"size {claim.size}: {error}")
        seen.append(f"size {claim.size} at {time_text(time_s)}")
        names.add(_plain(name))
    later = f"; {beyond} lie beyond the copy at hand" if beyond else ""
    if not seen:
        return Check.not_checked(title, f"0 at hand{later}")
    first = seen[:_SHOWN] if len(seen) <= _SHOWN else [*seen[: _SHOWN - 1], "…", seen[-1]]
    detail = f"{', '.join(first)}, by {', '.join(sorted(names))}{later}"
    return Check.held(title, detail)


def _verify_witnessed(
    claim: Claim, root: Hash, history: KeyHistory, trust: Trust, witnesses: Sequence[WitnessKey]
) -> tuple[int, str]:
    """Verify the note of a witness; return when it signed, and its name."""
    keys = trust.log_keys(claim.origin)
    lines = parse_note(claim.evidence).signatures
    known = [key for key in witnesses if key.has_line(lines)]
    if not keys or not known:
        msg = "the note has no line of a trusted witness"
        raise MalformedError(msg)
    signer = signing_key(claim.evidence, keys)
    checkpoint = verify_log_note(claim.evidence, verifier=signer).checkpoint
    times = [verify_witness(claim.evidence, witness=key) for key in known]
    if checkpoint.size != claim.size or checkpoint.root != root:
        msg = "the witness saw another history than the log at hand: a fork, and the note proves it"
        raise MalformedError(msg)
    wrong = history.problem(signer, checkpoint.size, trust)
    if wrong:
        raise MalformedError(wrong)
    return min(times), ", ".join(key.name for key in known)


def _largest(logs: Sequence[Verification]) -> Mapping[str, Verification]:
    found: dict[str, tuple[int, Verification]] = {}
    for item in logs:
        checkpoint = item.report.checkpoint
        if not item.report.is_verified or item.log is None or item.keys is None or checkpoint is None:
            continue
        if checkpoint.origin not in found or checkpoint.size > found[checkpoint.origin][0]:
            found[checkpoint.origin] = (checkpoint.size, item)
    return {origin: item for origin, (_, item) in found.items()}


def _text(origin: str, size: int, root: Hash) -> bytes:
    """Return the text of a note: what a stamp is over."""
    return format_checkpoint(Checkpoint(origin=origin, size=size, root=root)).encode()


def _read(path: Path, most: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(most + 1)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or len(data) > most:
            msg = f"{shown(path.name)} is not a regular file of at most {most} bytes"
            raise FolderError(msg)
    return data


def _plain(text: str) -> str:
    """Return a foreign text so that a terminal can show it."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
