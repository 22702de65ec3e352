"""The folder that a nation brings: which logs are in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.exports import MAX_LOGS, exported_logs
from gateway.audit.folder import FolderError
from gateway.audit.verify import verify_log
from tests.unit.audit.making import audit_log, exchange_log, full_trust


def test_a_folder_is_one_log_or_holds_several(tmp_path: Path) -> None:
    audit_log(3).export(tmp_path / "fr/audit")
    exchange_log(8).export(tmp_path / "fr/exchange-us")
    (tmp_path / "fr/letter.txt").write_text("Dear auditor\n")
    (tmp_path / "fr/keys").mkdir()
    assert [title for title, _ in exported_logs(tmp_path / "fr")] == ["'fr/audit'", "'fr/exchange-us'"]
    assert [title for title, _ in exported_logs(tmp_path / "fr/audit")] == ["'audit'"]


@pytest.mark.parametrize("place", ["fr", "fr/audit"])
@pytest.mark.parametrize("left", [None, "nowhere"])
def test_a_log_without_its_checkpoint_is_not_passed_over(
    tmp_path: Path, place: str, left: str | None
) -> None:
    folder = audit_log(3).export(tmp_path / "fr/audit")
    (folder / "checkpoint").unlink()
    if left is not None:
        (folder / "checkpoint").symlink_to(left)
    ((title, log),) = exported_logs(tmp_path / place)
    assert not verify_log(log, title=title, trust=full_trust()).report.is_verified


def test_a_folder_without_logs_or_with_too_many_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="holds no exported log"):
        exported_logs(tmp_path)
    with pytest.raises(FolderError, match="cannot be listed"):
        exported_logs(tmp_path / "absent")
    for number in range(MAX_LOGS + 1):
        (tmp_path / f"{number}/tile").mkdir(parents=True)
    with pytest.raises(FolderError, match="or more than"):
        exported_logs(tmp_path)
