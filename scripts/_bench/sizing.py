"""What a million messages ask of a node: CPU, memory, disk. docs/sizing.md has the answers.

    .venv/bin/python -m scripts._bench.sizing --messages 20000

Messages go from one node to the other in two loads, one a request and then a hundred a
request. Disk is the difference between the two ends of the second one, so what a node needs
without any message is not in it. Databases are measured after
the nodes have stopped, as they are and once more in a copy from which all content was erased.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.keyring.backupkey import make_backup_key
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import read_passphrase_file, write_generated_passphrase
from scripts._bench.helper import ROOT, Helper
from scripts._bench.loads import BULK, SINGLE, LoadError, Stage
from scripts._bench.machine import describe
from scripts._bench.measure import memory_bytes
from scripts._bench.nodes import NodeProcess
from scripts._bench.options import Options, fresh_nodes

FIRST_SHARE: Final = 0.25
"""Part of the messages that go before the first measurement."""

ROLES: Final = {"sender": "FR", "receiver": "US"}
MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Bytes of a stopped node.

    Attributes:
        whole: The database.
        erased: The same without any content, as it is when the time of all messages is over.
    """

    whole: int
    erased: int


def measure(options: Options, messages: int) -> dict[str, Any]:
    """Run both loads and return what was measured.

    Raises:
        LoadError: A message was refused, or did not arrive.
    """
    first = max(1_000, int(messages * FIRST_SHARE))
    with fresh_nodes(options) as nodes:
        setup = nodes.write_setup(nodes.folder / "setup.json")
        disks: list[dict[str, Disk]] = []
        loads: list[dict[str, Any]] = []
        memory: dict[str, Any] = {}
        for load, count in ((SINGLE, first), (BULK, messages - first)):
            with (
                nodes.running(),
                Helper("load", str(setup)) as generator,
                Helper("consumer", str(setup)) as consumer,
            ):
                idle = {role: memory_bytes(nodes[nation].pid, "VmRSS") for role, nation in ROLES.items()}
                consumer.ask(do="begin", nations=["US"])
                stage = Stage(nodes, generator, consumer)
                loads.append(stage.run(load, count))
                memory = {
                    role: {"idle": idle[role], "busy": memory_bytes(nodes[nation].pid, "VmHWM")}
                    for role, nation in ROLES.items()
                }
            disks.append({role: _disk(nodes[nation]) for role, nation in ROLES.items()})
        backup = _backup(nodes["US"])
    between = messages - first
    return {
        "messages": messages,
        "cpu_us_per_message": {item["load"]: item["cpu_us_per_message"] for item in loads},
        "memory_bytes": memory,
        "disk_bytes_per_message": {
            role: {
                "whole": (disks[1][role].whole - disks[0][role].whole) / between,
                "erased": (disks[1][role].erased - disks[0][role].erased) / between,
            }
            for role in ROLES
        },
        "link_bytes_per_message": loads[-1]["link_bytes_per_message"],
        "backup": backup,
    }


def _disk(node: NodeProcess) -> Disk:
    """Return what a stopped node's database takes, now and when all content is gone."""
    copy = node.database.with_name("copy.db")
    shutil.copyfile(node.database, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        connection.execute("DELETE FROM contents")
        connection.execute("VACUUM")
    finally:
        connection.close()
    erased = copy.stat().st_size
    copy.unlink()
    return Disk(whole=node.database.stat().st_size, erased=erased)


def _backup(node: NodeProcess) -> dict[str, Any]:
    """Return how long a backup of a stopped node takes and how large it is."""
    home = NodeHome(path=node.home)
    medium = node.home.parent / "medium"
    medium.mkdir()
    keys = KeyFolder.open(home.keys, passphrase=read_passphrase_file(home.passphrase), allow_test=True)
    make_backup_key(
        home,
        keys,
        medium / "backup-key",
        node=f"{node.nation.lower()}.gateway.test",
        passphrase=write_generated_passphrase(medium / "passphrase"),
        now=datetime.now(UTC),
    )
    file = medium / "backup"
    began = time.monotonic()
    words = ("backup", file, "--home", home.path, "--reason", "measured")
    command = [sys.executable, "-m", "gateway", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        msg = "the backup failed"
        raise LoadError(msg)
    return {
        "elapsed_s": time.monotonic() - began,
        "database_bytes": node.database.stat().st_size,
        "file_bytes": file.stat().st_size,
    }


def _print(found: dict[str, Any]) -> None:
    """Print the numbers of a million messages."""
    cpu, disk, memory = found["cpu_us_per_message"], found["disk_bytes_per_message"], found["memory_bytes"]
    for role, nation in ROLES.items():
        print(f"{role}:")
        for load, used in cpu.items():
            hours = used[f"node_{nation.lower()}"] / 3_600
            print(f"  CPU, {load:<6}                 {hours:8.2f} hours a million")
        print(f"  disk with content           {disk[role]['whole'] / 1e3:8.2f} GB a million")
        print(f"  disk after all is erased    {disk[role]['erased'] / 1e3:8.2f} GB a million")
        idle, busy = (memory[role][when] / MIB for when in ("idle", "busy"))
        print(f"  memory idle, busy           {idle:.0f}, {busy:.0f} MiB")
    if found["link_bytes_per_message"] is not None:
        print(f"link                          {found['link_bytes_per_message'] / 1e3:8.2f} GB a million")
    backup = found["backup"]
    before, after = (backup[name] / MIB for name in ("database_bytes", "file_bytes"))
    print(f"backup of {before:.0f} MiB: {after:.0f} MiB in {backup['elapsed_s']:.1f} s")


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/_bench/sizing", description="What messages ask of a node.")
    parser.add_argument("--messages", type=int, default=20_000, help="in both loads together (20000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    arguments = parser.parse_args()
    folder = ROOT / "var" / "bench"
    options = Options(folder=folder, parts=(), rounds=1, seconds=0.0, closed_seconds=0.0, backlog=0)
    found = measure(options, arguments.messages) | {"machine": describe(folder)}
    _print(found)
    if arguments.json is not None:
        arguments.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
