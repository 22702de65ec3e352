"""A second copy of a log that has been verified: it is enough that its files are the same.

Two nations bring two copies of each exchange log, which are nearly always alike. Comparing bytes
takes a fifth of the time that hashing them anew does, and says the same: what is byte by byte what
was verified is verified. Note, signatures and keys are the copy's own and are checked as ever.

Spec: docs/auditing.md, "Two nations side by side".
"""

from __future__ import annotations

from gateway.audit.cosigners import read_cosignatures
from gateway.audit.folder import LogFolder
from gateway.audit.reader import LogReader
from gateway.audit.report import Check, LogReport
from gateway.audit.trust import Trust
from gateway.audit.verify import Progress, Verification, verify_note
from gateway.core.merkle import edge_at
from gateway.core.message.wording import counted
from gateway.core.tiles import TILE_WIDTH, entries_path, tile_path
from gateway.errors import GatewayError


def verify_twin(
    log: LogFolder, *, trust: Trust, verified: Verification, progress: Progress = lambda _done, _all: None
) -> LogReport | None:
    """Verify a copy of a log by comparing it with one that was verified and is no shorter.

    Args:
        log: The copy.
        trust: Keys that the auditor trusts.
        verified: The other one, a folder as well.
        progress: Told now and then how far the work is.

    Returns:
        The report, or None if anything about the copy is different or cannot be read: then verifying
        it by itself tells what.
    """
    other, known, keys = verified.log, verified.report.checkpoint, verified.keys
    if not (verified.report.is_verified and isinstance(other, LogFolder) and known and keys):
        return None
    try:
        note, signer = verify_note(log.note(), trust)
        checkpoint = note.checkpoint
        if checkpoint.origin != known.origin or checkpoint.size > known.size:
            return None
        size = checkpoint.size
        if edge_at(size, reader=LogReader(other, known.size)).root() != checkpoint.root:
            return None
        files = log.check_names(size)
        if not _is_alike(log, other, size, known.size, progress):
            return None
    except GatewayError:
        return None
    cosignatures, cosignature = read_cosignatures(note, trust)
    checks = [
        _held("signatures", f"Ed25519 and ML-DSA-87 of {checkpoint.origin}"),
        cosignature,
        _held("files", f"{files}, none absent, none superfluous"),
        _held(
            "tree",
            f"{counted(size, 'entry', 'entries')}, byte by byte as in the copy that leads to the signed root",
        ),
        _held("tiles", "byte by byte those of that copy"),
        *keys.up_to(size).checks(signer, trust),
    ]
    return LogReport(
        title=checkpoint.origin,
        checkpoint=checkpoint,
        signed_s=note.time_s,
        cosignatures=cosignatures,
        kinds={},
        checks=tuple(checks),
    )


def _is_alike(log: LogFolder, other: LogFolder, size: int, known_size: int, progress: Progress) -> bool:
    """Return whether all files of a log of ``size`` entries hold what those of a longer one begin with."""
    reader = LogReader(other, known_size)
    for number in range(size // TILE_WIDTH):
        if not log.is_alike(other, entries_path(number, TILE_WIDTH)):
            return False
        progress(number * TILE_WIDTH, size)
    first = size - size % TILE_WIDTH
    # What is not full yet has another name in a longer log, and begins alike.
    if first < size and list(log.entries(first, size)) != [reader.entry(at) for at in range(first, size)]:
        return False
    level, hashes = 0, size
    while hashes:
        for number in range(hashes // TILE_WIDTH):
            if not log.is_alike(other, tile_path(level, number, TILE_WIDTH)):
                return False
        first = hashes - hashes % TILE_WIDTH
        if first < hashes and list(log.hashes(level, first, hashes)) != list(
            reader.hashes(level, first, hashes)
        ):
            return False
        level, hashes = level + 1, hashes // TILE_WIDTH
    progress(size, size)
    return True


def _held(name: str, detail: str) -> Check:
    return Check.held(name, detail)
