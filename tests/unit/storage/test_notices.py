"""Notices: what commands did while they could not write the log, until the node has logged it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.storage.notices import FOLDER, MAX_NOTICE_BYTES, Notice, leave, waiting

NOTICE = Notice(event="backup.made", details=(bytes(48), b"\x01" * 48), made_ms=1_795_000_000_000)


def test_what_is_left_is_found_until_it_is_removed(tmp_path: Path) -> None:
    leave(tmp_path, NOTICE)
    leave(tmp_path, NOTICE)
    found = list(waiting(tmp_path))
    assert [notice for _, notice in found] == [NOTICE, NOTICE]
    for path, _ in found:
        assert path.stat().st_mode & 0o777 == 0o600
        path.unlink()
    assert list(waiting(tmp_path)) == []


def test_where_nothing_was_ever_left_nothing_waits(tmp_path: Path) -> None:
    assert list(waiting(tmp_path)) == []


def test_a_notice_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / ".half").write_text('{"event": "backup.ma')
    assert list(waiting(tmp_path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"event": "backup.made"}',
        '{"event": "backup.made", "details": []}',
        '{"event": "backup.made", "details": [1], "made_ms": 1}',
        '{"event": "backup.made", "details": [], "made_ms": "1"}',
        '{"event": "backup.made", "details": [], "made_ms": -1}',
        '{"event": "backup.made", "details": [], "made_ms": true}',
        '{"event": "backup.made", "details": [], "made_ms": 253402300800000}',
        json.dumps({"event": "backup.made", "details": ["00"], "made_ms": 1}),
        json.dumps({"event": "erasure.ordered", "details": ["00" * 48], "made_ms": 1}),
        json.dumps({"event": ["backup.made"], "details": [], "made_ms": 1}),
        json.dumps({"event": "backup.made", "details": ["00" * 48] * MAX_NOTICE_BYTES, "made_ms": 1}),
    ],
)
def test_a_file_that_no_command_left_is_no_notice(tmp_path: Path, text: str) -> None:
    """Whoever can write into the folder must not choose what the audit log says."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "x.json").write_text(text)
    assert list(waiting(tmp_path)) == [(tmp_path / FOLDER / "x.json", None)]
