"""Stamps and witnesses beside an exported log: verified against the log, and said with size and time."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.audit.stamps import read_authority
from gateway.cli import audit, log
from gateway.core.note import format_note, parse_note
from gateway.core.witness import parse_witness_key
from gateway.link.third_parties import HttpTimeAuthority, HttpWitness
from gateway.node.attestations import ThirdParties
from tests.outsiders import OpensslAuthority, SpecWitness, serving
from tests.unit.audit.homes import exchange, signed_audit_logs, write_home
from tests.world import World

ORIGIN = "fr.gateway.test/exchange/us"
PLACE = "fr.gateway.test_exchange_us"


async def make_home(folder: Path, stack: ExitStack) -> Path:
    """Return the home of a node whose exchange log was stamped and witnessed, at two sizes."""
    world = World(folder / "world")
    keyring = world.sides["FR"].keyring
    key = keyring.own_verifiers(keyring.pair.exchange_origin)[0].verifier_keys(cosigner=False)[0]
    authority = OpensslAuthority(folder / "tsa")
    witness = SpecWitness(name="witness.example/third", log_key=key.encode())
    world.third_parties["FR"] = (
        ThirdParties(
            authorities=(
                HttpTimeAuthority(
                    name="tsa",
                    url=stack.enter_context(serving(authority.answer)),
                    authority=read_authority(authority.certificates),
                    context=None,
                ),
            ),
            witnesses=(
                HttpWitness(
                    name="third",
                    url=stack.enter_context(serving(witness.answer)),
                    key=parse_witness_key(witness.vkey),
                    context=None,
                ),
            ),
        ),
    )

    async def attested() -> int:
        world.clock.advance(3_600)
        store = world.sides["FR"].store
        assert store is not None
        return len(await store.read(lambda tx: tx.facts.attestations(ORIGIN)))

    async with world:
        for round_ in (1, 2):
            await exchange(world, 3)
            await world.until(attested, lambda count, least=2 * round_: count >= least)  # type: ignore[misc]
        await world.settle()
        await signed_audit_logs(world)
    home = write_home(world, "FR", folder / "fr")
    (home / "trust" / "third.witnesses").write_text(f"{witness.vkey}\n", encoding="utf-8")
    (folder / "tsa.pem").write_bytes(authority.certificates)
    with (home / "gateway.toml").open("a", encoding="utf-8") as config:
        config.write(
            f'[stamps]\nurl = "http://127.0.0.1:9/"\ncertificate_file = "{folder / "tsa.pem"}"\n'
            '[witnesses.third]\nurl = "http://127.0.0.1:9/"\nkey_file = "trust/third.witnesses"\n'
        )
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with ExitStack() as stack:
        yield asyncio.run(make_home(tmp_path_factory.mktemp("third"), stack))


@pytest.fixture
def case(home: Path, tmp_path: Path) -> Path:
    """Return a folder with an exported log, what third parties said, and the keys to verify both."""
    arguments = ["export", tmp_path / "log", "--home", home, "--log", "exchange/us"]
    exported = run(log.app, *arguments, "--third-parties", tmp_path / "said", "--json")
    assert json.loads(exported.stdout)["third_parties"] >= 4
    shutil.copytree(home / "trust", tmp_path / "keys")
    shutil.copy(home.parent / "tsa.pem", tmp_path / "tsa.pem")
    return tmp_path


def run(app: Any, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def verify(case: Path, *more: object) -> tuple[dict[str, dict[str, str]], dict[str, Any]]:
    """Return the checks by name, and the whole report."""
    arguments = (case / "log", "--trust", case / "keys", "--third-parties", case / "said", *more, "--json")
    report = json.loads(run(audit.app, "verify", *arguments).stdout)
    return {check["name"]: check for check in report["checks"]}, report


def files(case: Path, pattern: str) -> list[Path]:
    return sorted((case / "said" / PLACE).glob(pattern))


def test_the_table_says_which_sizes_were_stamped_and_witnessed_when(case: Path) -> None:
    checks, report = verify(case, "--tsa", case / "tsa.pem")
    assert report["verdict"] == "VERIFIED"
    stamps, witness = checks[f"time stamps tsa of {ORIGIN}"], checks[f"witness third of {ORIGIN}"]
    sizes = [path.name.split(".")[2] for path in files(case, "stamp.*.tsr")]
    assert stamps["outcome"] == witness["outcome"] == "held"
    assert all(
        f"size {size} at 20" in stamps["detail"] for size in (min(sizes, key=int), max(sizes, key=int))
    )
    assert stamps["detail"].endswith("by CN=Test time-stamp authority")
    assert witness["detail"].endswith("by witness.example/third")


def test_a_node_home_says_the_same(home: Path) -> None:
    report = json.loads(run(audit.app, "verify", "--home", home, "--json").stdout)
    assert report["verdict"] == "VERIFIED", report["reason"]
    held = {check["name"] for check in report["checks"] if check["outcome"] == "held"}
    for title in (f"time stamps tsa of {ORIGIN}", f"witness third of {ORIGIN}"):
        assert title in held
    assert "time stamps tsa of fr.gateway.test/audit" in held


def test_openssl_verifies_what_was_exported(case: Path) -> None:
    for stamp in files(case, "stamp.*.tsr"):
        command: list[str | Path] = ["openssl", "ts", "-verify", "-data", stamp.with_suffix(".txt")]
        command += ["-in", stamp, "-CAfile", case / "tsa.pem", "-untrusted", case / "tsa.pem"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_without_their_keys_third_parties_are_not_checked(case: Path) -> None:
    (case / "keys" / "third.witnesses").unlink()
    checks, report = verify(case)
    assert report["verdict"] == "VERIFIED"
    assert checks[f"time stamps tsa of {ORIGIN}"]["outcome"] == "not checked"
    assert checks[f"witness third of {ORIGIN}"]["outcome"] == "not checked"


def test_a_stamp_of_another_size_is_refused(case: Path) -> None:
    first, second, *_ = files(case, "stamp.*.tsr")
    first.write_bytes(second.read_bytes())
    checks, report = verify(case, "--tsa", case / "tsa.pem")
    assert report["verdict"] == "NOT VERIFIED"
    assert "does not stamp this text" in checks[f"time stamps tsa of {ORIGIN}"]["detail"]


def test_a_stamp_of_an_authority_that_is_not_trusted_is_refused(case: Path, tmp_path: Path) -> None:
    (case / "tsa.pem").write_bytes(OpensslAuthority(tmp_path / "other").certificates)
    assert verify(case, "--tsa", case / "tsa.pem")[1]["verdict"] == "NOT VERIFIED"


def test_a_note_without_the_line_of_the_witness_is_refused(case: Path) -> None:
    path, *_ = files(case, "witness.*.note")
    note = parse_note(path.read_bytes())
    path.write_bytes(format_note(note.text, note.signatures[:-1]))
    checks, report = verify(case)
    assert report["verdict"] == "NOT VERIFIED"
    assert "no line of a trusted witness" in checks[f"witness third of {ORIGIN}"]["detail"]


def test_a_note_of_a_witness_under_another_size_is_refused(case: Path) -> None:
    first, second, *_ = files(case, "witness.*.note")
    first.write_bytes(second.read_bytes())
    checks, _ = verify(case)
    assert "another history" in checks[f"witness third of {ORIGIN}"]["detail"]


def test_what_lies_beyond_the_log_at_hand_is_counted(home: Path, tmp_path: Path, case: Path) -> None:
    smallest = min(int(path.name.split(".")[2]) for path in files(case, "witness.*.note"))
    shutil.rmtree(case / "log")
    arguments = ("export", case / "log", "--home", home, "--log", "exchange/us", "--up-to", smallest)
    assert run(log.app, *arguments).exit_code == 0
    checks, report = verify(case)
    assert report["verdict"] == "VERIFIED"
    assert "beyond the copy at hand" in checks[f"witness third of {ORIGIN}"]["detail"]


@pytest.mark.parametrize("name", ["stamp.tsa.07.tsr", "note", "stamp.TSA.7.tsr", "../x"])
def test_a_foreign_file_is_refused(case: Path, name: str) -> None:
    (case / "said" / PLACE / name).write_bytes(b"x")
    _, report = verify(case)
    assert report["verdict"] == "NOT VERIFIED"
    assert "log-folder" in report["reason"]


def test_a_key_of_a_log_is_no_key_of_a_witness(case: Path) -> None:
    shutil.copy(case / "keys" / "own.vkeys", case / "keys" / "wrong.witnesses")
    _, report = verify(case)
    assert "trust-unreadable" in report["reason"]


def test_a_witness_in_a_file_of_hybrid_keys_is_refused(case: Path) -> None:
    # One Ed25519 key must not become half of a pair, nor a cosigner.
    shutil.copy(case / "keys" / "third.witnesses", case / "keys" / "third.vkeys")
    _, report = verify(case)
    assert "trust-unreadable" in report["reason"]


def test_options_that_do_not_go_together_are_wrong_usage(case: Path) -> None:
    arguments = ("--url", "https://127.0.0.1:1", "--trust", case / "keys")
    assert run(audit.app, "verify", *arguments, "--tsa", case / "tsa.pem").exit_code == 2
