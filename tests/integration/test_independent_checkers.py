"""Programs that share no code with ours accept what we export, and refuse what is altered.

Two of them: `tests/independent_checker.py`, which an auditor might write from the C2SP
texts, and pymerkle, for the tree.
"""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymerkle
import pytest
from typer.testing import CliRunner

from gateway.audit.verify import verify_folder
from gateway.cli import log
from gateway.core.checkpoint import parse_checkpoint
from gateway.core.entries import KeyStatementEntry, encode_entry
from gateway.core.note import parse_note
from tests import independent_checker
from tests.independent_checker import (
    NotAcceptedError,
    check_log,
    file_name,
    leaf_hash,
    split_bundle,
    tree_head,
)
from tests.unit.audit.homes import make_homes
from tests.unit.audit.making import (
    FR,
    FR_US,
    LARGE_SIZES,
    SIZES,
    US,
    US_FR,
    MadeLog,
    audit_log,
    exchange_log,
    full_trust,
    make_log,
    opening,
    root_vkeys,
    signer,
    statement,
)

ALL_SIZES = [*SIZES, *LARGE_SIZES]


def log_keys(origin: str) -> list[str]:
    return [key.encode() for key in signer(origin).verifier.verifier_keys(cosigner=False)]


def cosigner_keys(node: str) -> list[str]:
    return [key.encode() for key in signer(node).verifier.verifier_keys(cosigner=True)]


def read_entries(folder: Path, size: int) -> Iterator[bytes]:
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        yield from split_bundle((folder / file_name("entries", index, width)).read_bytes(), width)


def signed_root(folder: Path) -> bytes:
    return parse_checkpoint(parse_note((folder / "checkpoint").read_bytes()).text).root


def pymerkle_root(folder: Path, size: int) -> bytes:
    tree = pymerkle.InmemoryTree.init_from_entries(read_entries(folder, size), algorithm="sha256")
    assert tree.get_size() == size
    root: bytes = tree.get_root()
    return root


def test_the_independent_checker_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(independent_checker.__file__).read_text(encoding="utf-8"))
    modules = {
        *(alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names),
        *(node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)),
    }
    assert {name.partition(".")[0] for name in modules} == {
        *("__future__", "base64", "cryptography", "dilithium_py", "hashlib", "pathlib", "re", "sys")
    }


@pytest.mark.parametrize("size", ALL_SIZES)
def test_an_independent_checker_accepts_every_size(tmp_path: Path, size: int) -> None:
    made = audit_log(size)
    folder = made.export(tmp_path)
    assert check_log(folder, log_keys(made.origin), cosigner_keys(US)) == (size, made.root(size))


@pytest.mark.parametrize("size", ALL_SIZES)
def test_pymerkle_computes_the_signed_root(tmp_path: Path, size: int) -> None:
    folder = audit_log(size).export(tmp_path)
    assert pymerkle_root(folder, size) == signed_root(folder)


def test_an_export_that_grew_is_accepted_at_every_step(tmp_path: Path) -> None:
    for size in (1, 255, 256, 257, 300, 515, 770):
        folder = audit_log(size).export(tmp_path)
        assert check_log(folder, log_keys(audit_log(0).origin), cosigner_keys(US))[0] == size


def test_the_checker_runs_by_itself_on_files_and_printed_keys(tmp_path: Path) -> None:
    made = exchange_log(300)
    folder = made.export(tmp_path / "log")
    for name, lines in (("log", log_keys(made.origin)), ("cosigner", cosigner_keys(US))):
        (tmp_path / f"{name}.vkeys").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    command = [sys.executable, "-I", independent_checker.__file__, "log", "log.vkeys", "cosigner.vkeys"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == f"accepted: size 300, root {made.root(300).hex()}\n"
    (folder / "tile/1/000.p/1").write_bytes(bytes(32))
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "not accepted: tile/1/000.p/1\n")


def rotated(*, by: int = 2, statements: tuple[bytes, ...] = (), cosigned_by: int = 1) -> MadeLog:
    """Return a French exchange log in which the node has gone over to its second keys."""
    entries = [*exchange_log(20).stored, encode_entry(KeyStatementEntry(statement=statement(FR, 2, 2)))]
    entries += [encode_entry(KeyStatementEntry(statement=item)) for item in statements]
    return make_log(FR_US, entries, by=signer(FR_US, by), cosigned_by=signer(US, cosigned_by))


def own_keys(keys: int) -> list[str]:
    return [key.encode() for key in signer(FR_US, keys).verifier.verifier_keys(cosigner=False)]


def test_the_checker_takes_a_log_under_the_key_of_its_size_alone(tmp_path: Path) -> None:
    right = rotated().export(tmp_path / "right")
    assert check_log(right, own_keys(2), cosigner_keys(US), root_vkeys(FR))[0] == 21
    stolen = rotated(by=1).export(tmp_path / "stolen")
    with pytest.raises(NotAcceptedError, match="was replaced"):
        check_log(stolen, own_keys(1), cosigner_keys(US))
    before = exchange_log(20).export(tmp_path / "before")
    assert check_log(before, own_keys(1), None, root_vkeys(FR))[0] == 20
    with pytest.raises(NotAcceptedError, match="one line of"):
        check_log(before, own_keys(2))


def test_the_checker_takes_a_statement_from_the_root_of_the_nation_alone(tmp_path: Path) -> None:
    # Who kept the replaced key forges a statement that names it once more, or another nation makes one.
    own, foreign = statement(FR, 3, 1), statement(FR, 3, 1, nation="US")
    forged = own[:-20] + b"A" * 18 + own[-2:]
    for number, item in enumerate((forged, foreign)):
        folder = rotated(by=1, statements=(item,)).export(tmp_path / str(number))
        with pytest.raises(NotAcceptedError):
            check_log(folder, own_keys(1), None, root_vkeys(FR))
    folder = rotated(by=1, statements=(own,)).export(tmp_path / "own")
    assert check_log(folder, own_keys(1), None, root_vkeys(FR))[0] == 22


def test_the_checker_takes_a_root_that_was_replaced_before_its_successor_alone(tmp_path: Path) -> None:
    later = statement(FR, 3, 2, root_keys=2)
    both = [*root_vkeys(FR), *root_vkeys(FR, 2)]
    folder = rotated(statements=(later,)).export(tmp_path / "replaced")
    assert check_log(folder, own_keys(2), None, both)[0] == 22
    for known in (root_vkeys(FR), root_vkeys(FR, 2), both[2:] + both[:2]):
        with pytest.raises(NotAcceptedError, match="signature of the root"):
            check_log(folder, own_keys(2), None, known)
    folder = rotated(statements=(later, statement(FR, 4, 2, root_keys=1))).export(tmp_path / "back")
    with pytest.raises(NotAcceptedError, match="signature of the root"):
        check_log(folder, own_keys(2), None, both)


def test_the_checker_takes_a_cosignature_under_the_newest_key_of_its_node_alone(tmp_path: Path) -> None:
    folder = rotated().export(tmp_path / "log")
    for name, lines in (
        ("log", own_keys(2)),
        ("cosigner", cosigner_keys(US)),
        ("root", root_vkeys(FR)),
    ):
        (tmp_path / f"{name}.vkeys").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    make_log(US_FR, opening(US)).export(tmp_path / "before")
    later = [*opening(US), KeyStatementEntry(statement=statement(US, 2, 2))]
    make_log(US_FR, later, by=signer(US_FR, 2)).export(tmp_path / "after")
    command = [sys.executable, "-I", independent_checker.__file__, str(folder)]
    command += [str(tmp_path / f"{name}.vkeys") for name in ("log", "cosigner", "root")]
    answers = [
        subprocess.run([*command, other], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
        for other in ("before", "after")
    ]
    assert answers[0].startswith("accepted: size 21")
    assert answers[1] == f"not accepted: the key of {US} was replaced\n"


def test_both_checkers_refuse_the_same_alterations(tmp_path: Path) -> None:
    made = audit_log(258)
    folder = made.export(tmp_path)
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        data = path.read_bytes()
        for at in sorted({0, 1, 2, 31, 32, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}):
            if at >= len(data):
                continue
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
            assert not verify_folder(folder, trust=full_trust()).is_verified
            with pytest.raises(NotAcceptedError):
                check_log(folder, log_keys(made.origin), cosigner_keys(US))
        path.write_bytes(data)
    assert check_log(folder, log_keys(made.origin), cosigner_keys(US))


def test_all_logs_of_two_nodes_that_exchanged_messages_are_accepted(tmp_path: Path) -> None:
    homes = asyncio.run(make_homes(tmp_path, count=300))
    sizes = {}
    for nation, peer in (("FR", "us"), ("US", "fr")):
        for name in ("audit", f"exchange/{peer}", f"mirror/{peer}"):
            arguments = ["--home", str(homes[nation]), "--log", name]
            folder = tmp_path / f"{nation}-{name.replace('/', '-')}"
            assert CliRunner().invoke(log.app, ["export", *arguments, str(folder)]).exit_code == 0
            keys = CliRunner().invoke(log.app, ["vkeys", *arguments]).stdout.split()
            sizes[nation, name] = check_log(folder, keys)[0]
            assert pymerkle_root(folder, sizes[nation, name]) == signed_root(folder)
    assert sizes["FR", "exchange/us"] == sizes["US", "mirror/fr"] > 300
    assert sizes["US", "exchange/fr"] == sizes["FR", "mirror/us"] > 300
    assert sizes["FR", "audit"] > 300


def test_a_cosigned_export_of_real_traffic_is_accepted_with_both_signers(tmp_path: Path) -> None:
    home = asyncio.run(make_homes(tmp_path, count=20))["FR"]
    folder = tmp_path / "log"
    arguments = ["--home", str(home), "--log", "exchange/us"]
    assert CliRunner().invoke(log.app, ["export", *arguments, "--cosigned", str(folder)]).exit_code == 0
    keys = [
        CliRunner().invoke(log.app, ["vkeys", *arguments, *more]).stdout.split()
        for more in ([], ["--cosigner"])
    ]
    assert check_log(folder, *keys)[0] > 20


@pytest.mark.parametrize("size", range(1, 40))
def test_our_tree_is_that_of_the_recursive_definition(size: int) -> None:
    made = audit_log(size)
    assert made.root(size) == tree_head([leaf_hash(entry) for entry in made.stored])
