"""A copy of a verified log: what is byte by byte the same is verified, and what is not is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.audit.folder import LogFolder
from gateway.audit.report import LogReport
from gateway.audit.trust import Trust, parse_trust
from gateway.audit.twins import verify_twin
from gateway.audit.verify import verify_log
from gateway.core.entries import KeyStatementEntry
from tests.unit.audit.making import (
    FR,
    FR_US,
    US,
    MadeLog,
    event,
    exchange_log,
    full_trust,
    make_log,
    message,
    opening,
    root_vkeys,
    signer,
    statement,
    vkeys,
)
from tests.unit.audit.making import audit_log as made_audit_log


def twin(folder: Path, log: MadeLog, copy: MadeLog, *, trust: Trust | None = None) -> LogReport | None:
    """Verify a log, and then a copy by comparing it with that."""
    return compared(log.export(folder / "log"), copy.export(folder / "copy"), trust=trust)


def compared(log: Path, copy: Path, *, trust: Trust | None = None) -> LogReport | None:
    keys = trust or full_trust()
    verified = verify_log(LogFolder(log), title="log", trust=keys)
    assert verified.report.is_verified
    return verify_twin(LogFolder(copy), trust=keys, verified=verified)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 600])
def test_a_beginning_of_a_verified_log_is_verified(tmp_path: Path, size: int) -> None:
    log = made_audit_log(600)
    report = twin(tmp_path, log, make_log(log.origin, log.stored[:size], cosigner=US))
    assert report is not None
    assert report.is_verified
    assert report.headline.startswith(f"VERIFIED {log.origin}: {size} entries")
    assert "cosigned by us.gateway.test" in report.headline


def test_a_longer_log_another_log_and_another_history_are_left_to_others(tmp_path: Path) -> None:
    log = made_audit_log(300)
    longer = made_audit_log(301)
    other = exchange_log(300)
    fork = make_log(log.origin, [*log.stored[:299], event(9_000)], cosigner=US)
    for number, copy in enumerate((longer, other, fork)):
        assert twin(tmp_path / str(number), log, copy) is None


FILES = ("tile/entries/000", "tile/entries/001.p/44", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1] + bytes((data[-1] ^ 1,)),
        lambda data: data[:-1],
        lambda data: data + b"\x00",
        lambda _: b"",
    ],
)
def test_no_file_of_a_copy_can_be_different(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    log = made_audit_log(300)
    folder = log.export(tmp_path / "copy")
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    assert compared(log.export(tmp_path / "log"), folder) is None


def test_no_file_of_a_copy_can_be_absent_superfluous_or_a_link(tmp_path: Path) -> None:
    log = made_audit_log(300)
    original = log.export(tmp_path / "log")
    for name in FILES:
        folder = log.export(tmp_path / name.replace("/", "-"))
        (folder / name).unlink()
        assert compared(original, folder) is None
        (folder / name).symlink_to(original / name)
        assert compared(original, folder) is None
    folder = log.export(tmp_path / "more")
    (folder / "tile/0/002").write_bytes(bytes(32))
    assert compared(original, folder) is None


def test_the_signatures_of_a_copy_are_its_own(tmp_path: Path) -> None:
    log = made_audit_log(300)
    folder = log.export(tmp_path / "copy")
    note = (folder / "checkpoint").read_bytes()
    (folder / "checkpoint").write_bytes(note.replace(b"\n\xe2\x80\x94 us.", b"\n\xe2\x80\x94 xx.", 1))
    report = compared(log.export(tmp_path / "log"), folder)
    assert report is not None
    assert not report.is_verified
    (folder / "checkpoint").write_bytes(note[: note.rindex(b"\xe2\x80\x94 fr.")])
    assert compared(tmp_path / "log", folder) is None


def test_the_keys_of_a_copy_have_to_be_those_of_its_size(tmp_path: Path) -> None:
    begun = [*opening(FR), message(FR, 0)]
    entries = [*begun, KeyStatementEntry(statement=statement(FR, 2, 2)), message(FR, 1, bundle=1)]
    trust = parse_trust([*vkeys(FR), *vkeys(FR, 2), *vkeys(US), *root_vkeys(FR)])
    log = make_log(FR_US, entries, by=signer(FR_US, 2))
    early = {number: make_log(FR_US, begun, by=signer(FR_US, number)) for number in (1, 2)}
    right, wrong = (twin(tmp_path / str(n), log, early[n], trust=trust) for n in (1, 2))
    assert right is not None
    assert right.is_verified
    assert wrong is not None
    assert wrong.reason == "key statement: the newest one names other keys than those that signed"
