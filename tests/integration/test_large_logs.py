"""Large logs: verified and reconciled in bounded memory, in a process of its own that is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.export import export_log
from gateway.audit.stack import TileStack
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint
from gateway.core.entries import encode_entry
from gateway.core.merkle import hash_leaf
from tests.unit.audit.grown import BUNDLE, grown_logs, message_now
from tests.unit.audit.making import FR, FR_US, TIME_S, US, opening, root_vkeys, signer, vkeys

MILLION = 1_000_000
MOST_BYTES = 200 * 1024 * 1024

MEASURED = """
import json, re, sys
from pathlib import Path
from gateway.audit.trust import read_trust
from gateway.audit.verify import verify_folder
report = verify_folder(Path(sys.argv[1]), trust=read_trust(Path(sys.argv[2])))
# Of this program alone: getrusage counts what the process was before, a copy of the tests.
peak_kib = re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1]
print(json.dumps({"headline": report.headline, "bytes": int(peak_kib) * 1024}))
"""


RECONCILED = """
import json, re, sys
from pathlib import Path
from gateway.audit.folder import LogFolder
from gateway.audit.reconcile import NamedLog, reconcile
from gateway.audit.trust import read_trust
sides = [
    [NamedLog(title=path.name, log=LogFolder(path)) for path in sorted((Path(sys.argv[1]) / side).iterdir())]
    for side in ("fr", "us")
]
found = reconcile(*sides, trust=read_trust(Path(sys.argv[2])), progress=lambda _: lambda *_: None)
peak_kib = re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1]
print(json.dumps({"headline": found.headline, "open": found.open_ends, "bytes": int(peak_kib) * 1024}))
"""

BUNDLES = 400
"""Of each nation: 204,800 messages."""


class GeneratedLog:
    """A French exchange log of messages that are made when they are asked for.

    Satisfies `gateway.audit.export.LogSource`.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._opening = [encode_entry(entry) for entry in opening(FR)]
        stack = TileStack()
        for first in range(0, size, 256):
            stack.push([hash_leaf(entry) for entry in self.entries(first, min(first + 256, size))])
        checkpoint = Checkpoint(origin=FR_US, size=size, root=stack.edge().root())
        note = sign_checkpoint(checkpoint, signer=signer(FR_US), time_s=TIME_S)
        self._note = cosign(note, cosigner=signer(US), time_s=TIME_S + 1)

    def note(self) -> bytes:
        return self._note

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        return [self._entry(index) for index in range(start, end)]

    def _entry(self, index: int) -> bytes:
        if index < len(self._opening):
            return self._opening[index]
        number = index - len(self._opening)
        return encode_entry(message_now(FR, number, bundle=number // 256, slot=number % 256))


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_a_million_entries_are_verified_in_bounded_memory(tmp_path: Path) -> None:
    folder, trust = tmp_path / "log", tmp_path / "trust"
    export_log(GeneratedLog(MILLION), folder)
    write_trust(trust)
    found = measured(MEASURED, folder, trust)
    assert found["headline"].startswith(f"VERIFIED {FR_US}: 1000000 entries")
    assert found["bytes"] < MOST_BYTES


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_many_messages_of_both_nations_are_reconciled_in_bounded_memory(tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    write_trust(trust)
    *exchange, french, american = grown_logs(BUNDLES)
    for side, audit in (("fr", french), ("us", american)):
        for number, log in enumerate((*exchange, audit)):
            export_log(log, tmp_path / "logs" / side / str(number))
    found = measured(RECONCILED, tmp_path / "logs", trust)
    messages, entries = 2 * BUNDLES * BUNDLE, sum(log.size for log in exchange)
    told = f"RECONCILED: {messages} messages in {entries} entries, both nations tell the same"
    assert (found["headline"], found["open"]) == (told, [])
    assert found["bytes"] < MOST_BYTES // 2


def write_trust(folder: Path) -> None:
    """Write the keys of both nations."""
    folder.mkdir()
    lines = [*vkeys(FR), *vkeys(US), *root_vkeys(FR), *root_vkeys(US)]
    (folder / "all.vkeys").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def measured(program: str, folder: Path, trust: Path) -> dict[str, Any]:
    """Return what a program prints of a folder of logs, in a process of its own."""
    command = [sys.executable, "-c", program, str(folder), str(trust)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(printed)
    return found
