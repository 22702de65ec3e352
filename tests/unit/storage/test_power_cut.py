"""The power fails: what was synced is there, and nothing else may be needed.

A real power cut on a small ext4 file system in a file: an ioctl of Linux drops everything
that was not synced, the journal's unwritten part included. It needs root and a loop device,
and is left out where they are missing.
"""

from __future__ import annotations

import array
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.merkle import Hash
from gateway.core.states import State
from gateway.storage.highwater import FileHighWater
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, identifier

ROOT = Path(__file__).resolve().parents[3]

EXT4_IOC_SHUTDOWN = 0x8004587D
DROP_THE_JOURNAL = 2

# Writes messages and marks without end; prints a line once each is durable.
PROGRAM = """
import asyncio, itertools, sys
from pathlib import Path
from gateway.ports import Step
from gateway.storage.highwater import FileHighWater
from gateway.storage.store import SqlStore
from tests.contract.builders import outgoing

async def main():
    store = SqlStore.open(f"sqlite:///{sys.argv[1]}/gateway.db")
    high = FileHighWater(Path(sys.argv[1]) / "high-water")
    for number in itertools.count(1):
        message = outgoing(number, ciphertext=bytes(3000))
        await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert([message]))
        await high.record({"origin": (number, number.to_bytes(32, "big"))})
        print(number, flush=True)

asyncio.run(main())
"""


class Disk:
    """A small ext4 file system whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.image, self.mount = folder / "disk.img", folder / "mounted"

    def make(self) -> None:
        self.mount.mkdir()
        with self.image.open("wb") as image:
            image.truncate(64 << 20)
        self._run("mkfs.ext4", "-q", "-F", "-m", "0", self.image)
        self._run("mount", "-o", "loop", self.image, self.mount)

    def cut(self) -> None:
        descriptor = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, array.array("I", [DROP_THE_JOURNAL]))
        finally:
            os.close(descriptor)

    def mount_again(self) -> None:
        self._run("umount", self.mount)
        self._run("mount", "-o", "loop", self.image, self.mount)

    def remove(self) -> None:
        subprocess.run(["umount", "-l", str(self.mount)], check=False, capture_output=True)

    @staticmethod
    def _run(*command: object) -> None:
        subprocess.run([str(part) for part in command], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a file system can be made by root with mkfs.ext4 only")
    disk = Disk(tmp_path)
    try:
        disk.make()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no loop device can be mounted here")
    try:
        yield disk
    finally:
        disk.remove()


def write_until_the_power_fails(disk: Disk, *, lines: int) -> int:
    """Return the last number that was acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(disk.mount)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        disk.cut()
        # The process lives on for a moment on a dead disk, and must acknowledge nothing more
        # than what was durable; then it fails by itself.
        said += child.stdout.readlines()
        child.kill()
    return max(int(line) for line in said if line.endswith("\n"))


async def test_a_power_cut_loses_no_acknowledged_write(disk: Disk) -> None:
    acknowledged = write_until_the_power_fails(disk, lines=120)
    disk.mount_again()

    high = FileHighWater(disk.mount / "high-water")
    size, root = high.read()["origin"]
    assert size >= acknowledged
    assert root == Hash(size.to_bytes(32, "big"))
    high.close()
    store = SqlStore.open(f"sqlite:///{disk.mount}/gateway.db")
    rows = await store.read(lambda tx: tx.outbox.listing(LYON, after=0, limit=100_000))
    held = {row.message_id for row in rows}
    assert {identifier(number) for number in range(1, acknowledged + 1)} <= held
    assert await store.read(lambda tx: tx.outbox.count(State.ACCEPTED)) == len(rows)
    await store.close()
