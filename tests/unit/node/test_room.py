"""Room on the disk: a node refuses before the disk is full, and does not change its mind all the time."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.node.room import MIB, DiskLowError, Room
from gateway.ports import DiskSpace

TOTAL = 1_024 * MIB


class Disks:
    """File systems whose room a test sets."""

    def __init__(self, *spaces: DiskSpace) -> None:
        self.found: list[DiskSpace] = list(spaces)
        self.broken = False

    def spaces(self) -> list[DiskSpace]:
        if self.broken:
            raise OSError(5, "Input/output error")
        return self.found


def space(free_mib: int, total_bytes: int = TOTAL) -> DiskSpace:
    return DiskSpace(free_bytes=free_mib * MIB, total_bytes=total_bytes)


def room(reserve_mib: int = 100) -> Room:
    return Room(Disks(), reserve_bytes=reserve_mib * MIB)


def is_open(of: Room) -> tuple[bool, bool]:
    """Return whether agencies, and whether the peer may bring more."""
    answers = []
    for verify in (of.verify_for_agencies, of.verify_for_peer):
        try:
            verify()
        except DiskLowError:
            answers.append(False)
        else:
            answers.append(True)
    return answers[0], answers[1]


def test_a_node_that_has_not_looked_yet_takes_more() -> None:
    assert is_open(room()) == (True, True)


def test_agencies_are_refused_below_the_reserve_and_the_peer_below_half_of_it() -> None:
    disk = room()
    for free_mib, expected in [
        (100, (True, True)),
        (99, (False, True)),
        (50, (False, True)),
        (49, (False, False)),
    ]:
        disk.judge([space(free_mib)])
        assert is_open(disk) == expected


def test_a_disk_that_hovers_around_the_mark_does_not_change_the_answer_every_second() -> None:
    disk = room()
    for free_mib, expected in [
        (99, (False, True)),
        (101, (False, True)),
        (124, (False, True)),
        (125, (True, True)),
        (101, (True, True)),
        (49, (False, False)),
        (62, (False, False)),
        (63, (False, True)),
        (51, (False, True)),
    ]:
        disk.judge([space(free_mib)])
        assert is_open(disk) == expected, free_mib


def test_the_file_system_that_is_nearest_to_its_reserve_counts() -> None:
    disk = room()
    disk.judge([space(90_000, 1_000 * TOTAL), space(99)])
    assert is_open(disk) == (False, True)
    assert disk.left is not None
    assert disk.left.free_bytes == 99 * MIB


def test_a_small_file_system_keeps_an_eighth_of_itself() -> None:
    disk = room()
    disk.judge([space(13, 96 * MIB)])
    assert is_open(disk) == (True, True)
    disk.judge([space(11, 96 * MIB)])
    assert is_open(disk) == (False, True)
    assert disk.left is not None
    assert disk.left.reserve_bytes == 12 * MIB


def test_the_refusal_says_when_to_come_again() -> None:
    disk = room()
    disk.judge([space(0)])
    with pytest.raises(DiskLowError) as refused:
        disk.verify_for_agencies()
    assert (refused.value.code, refused.value.retry_after_s) == ("disk-low", 60)


def test_each_change_is_one_event() -> None:
    disk = room()
    with capture_logs() as logs:
        for free_mib in (500, 99, 98, 49, 48, 99, 125, 126):
            disk.judge([space(free_mib)])
    assert [line["event"] for line in logs] == ["disk.low", "disk.very_low", "disk.enough"]
    assert logs[0]["free_mib"] == 99
    assert logs[0]["reserve_mib"] == 100


async def test_a_file_system_that_does_not_answer_changes_nothing() -> None:
    disks = Disks(space(99))
    disk = Room(disks, reserve_bytes=100 * MIB)
    await disk.look()
    disks.broken = True
    with capture_logs() as logs:
        await disk.look()
    assert is_open(disk) == (False, True)
    assert logs == [{"event": "disk.unreadable", "error": "Input/output error", "log_level": "warning"}]
