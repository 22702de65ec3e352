"""Programs of other projects accept what we export, at the sizes where such programs have failed.

The Go project's ``golang.org/x/mod`` reads notes and computes trees and tiles (as the Go
checksum database does); the program around it (`tests/foreign/go/main.go`) names files only.
`tests/integration/test_independent_checkers.py` has pymerkle and a checker in Python.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.audit.making import LARGE_SIZES, SIZES, MadeLog, audit_log, signer

pytestmark = [pytest.mark.golang, pytest.mark.timeout(600)]

SOURCE = Path(__file__).parent.parent / "foreign/go/main.go"
FORGED_SIZES = (257, 258, 259, 511, 515)
"""At 259, 511 and 515 a reader with CVE-2026-56865 accepts a forged first tile."""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checker, compiled against Debian's golang-golang-x-mod-dev."""
    folder = tmp_path_factory.mktemp("go")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOCACHE": str(folder / "cache"),
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
    }
    program = folder / "checker"
    subprocess.run(["go", "build", "-o", program, SOURCE], check=True, env=environment)
    return program


def check(checker: Path, folder: Path, made: MadeLog) -> tuple[int, str]:
    key = signer(made.origin).verifier.verifier_keys(cosigner=False)[0].encode()
    found = subprocess.run([checker, folder, key], capture_output=True, text=True, check=False)
    return found.returncode, found.stdout


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES])
def test_the_go_projects_code_accepts_every_size(checker: Path, tmp_path: Path, size: int) -> None:
    made = audit_log(size)
    assert check(checker, made.export(tmp_path), made) == (
        0,
        f"accepted: size {size}, root {made.root(size).hex()}\n",
    )


@pytest.mark.parametrize("size", FORGED_SIZES)
def test_the_go_projects_code_refuses_what_we_refuse(checker: Path, tmp_path: Path, size: int) -> None:
    made = audit_log(size)
    folder = made.export(tmp_path)
    for name in ("tile/entries/000", "tile/0/000", f"tile/1/000.p/{size // 256}", "checkpoint"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
        assert check(checker, folder, made)[0] == 1
        (folder / name).write_bytes(data)
    assert check(checker, folder, made)[0] == 0
