"""What travels on a stick: no secret leaves the node, and nothing comes back unverified."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.keyring.carrying import UNSIGNED_FILE, carry_in, carry_out, sign_on_stick, unsigned_statement
from gateway.keyring.home import NodeHome
from gateway.keyring.refusals import CeremonyError, KeyFileError, TrustError
from gateway.keyring.registry import Registry, read_registry, write_registry
from gateway.keyring.rotation import REASONS, STAGES, revoke
from gateway.keyring.statement import next_statement
from gateway.keyring.trust import read_published_as_stated
from tests.unit.keyring.helpers import Pair, authorities, folder, keyring, present, root_signer


@pytest.fixture
def stick(tmp_path: Path) -> NodeHome:
    return NodeHome(path=tmp_path / "stick" / "fr")


def files(home: NodeHome) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(home.trust.rglob("*")) if path.is_file()}


def come_back(home: NodeHome, stick: NodeHome) -> list[str]:
    return carry_in(home, stick, folder(home), now=present())


@pytest.mark.parametrize("what", ["log", "cosigner"])
def test_new_signing_keys_stay_in_the_node_and_their_statement_is_signed_elsewhere(
    own_pair: Pair, stick: NodeHome, what: str
) -> None:
    home = own_pair.fr
    running = keyring(home)
    carry_out(home, stick, staged=STAGES[what](home, folder(home), now=present()))
    assert not list(stick.path.rglob("*.key"))
    assert running.reload_own() is False

    statement, changes = unsigned_statement(stick)
    assert changes[0] == "version 1 becomes 2"
    assert all(("log" in what) is ("cosigner" not in change) for change in changes[1:])
    sign_on_stick(stick, statement, root_signer(home, nation="FR"))
    assert not (stick.path / UNSIGNED_FILE).exists()

    assert come_back(home, stick) == ["key statement version 2"]
    assert running.reload_own() is True
    assert keyring(home).own_statement == statement
    assert come_back(home, stick) == []


def test_a_revocation_made_on_the_stick_comes_back_with_list_and_registry(
    own_pair: Pair, stick: NodeHome
) -> None:
    home = own_pair.fr
    carry_out(home, stick)
    revoke(stick, authorities(home, nation="FR"), "FR.SCL", reason=REASONS["key-compromise"], now=present())

    brought = come_back(home, stick)

    assert [name.split()[0] for name in brought] == [
        "node-ca.crl",
        "agency-ca.crl",
        "operator-ca.crl",
        "registry",
    ]
    assert "FR.SCL" not in [holder.code for holder in read_registry(home.registry).holders]


def foreign_statement(pair: Pair, stick: NodeHome) -> None:
    shutil.copy(pair.us.own.statement, stick.own.statement)


def foreign_list(pair: Pair, stick: NodeHome) -> None:
    shutil.copy(pair.us.own.crl("agency-ca"), stick.own.crl("agency-ca"))


def old_list(pair: Pair, stick: NodeHome) -> None:
    revoke(pair.fr, authorities(pair.fr, nation="FR"), "FR.ONAF", reason=REASONS["superseded"], now=present())


def damaged_list(_: Pair, stick: NodeHome) -> None:
    stick.own.crl("operator-ca").write_text("no list")


def other_registry(pair: Pair, stick: NodeHome) -> None:
    registry = read_registry(pair.fr.registry)
    write_registry(stick.registry, Registry(nation="FR", version=registry.version, holders=()))


def foreign_registry(pair: Pair, stick: NodeHome) -> None:
    write_registry(stick.registry, Registry(nation="US", version=99, holders=()))


def keys_from_elsewhere(pair: Pair, stick: NodeHome) -> None:
    """Sign a statement whose keys the node does not have, as a root would that was tricked."""
    other = keyring(pair.us).own_statement
    stated = read_published_as_stated(stick.own).statement
    logs = tuple(
        type(old)(name=old.name, ed25519=new.ed25519, mldsa87=new.mldsa87)
        for old, new in zip(stated.logs, other.logs, strict=True)
    )
    sign_root = root_signer(pair.fr, nation="FR")
    (stick.path / UNSIGNED_FILE).write_text("")
    sign_on_stick(stick, next_statement(stated, issued=present(), logs=logs), sign_root)


@pytest.mark.parametrize(
    "spoil",
    [
        foreign_statement,
        foreign_list,
        old_list,
        damaged_list,
        other_registry,
        foreign_registry,
        keys_from_elsewhere,
    ],
)
def test_what_is_not_newer_and_ours_changes_nothing(
    own_pair: Pair, stick: NodeHome, spoil: Callable[[Pair, NodeHome], None]
) -> None:
    home = own_pair.fr
    carry_out(home, stick)
    # Something good travels along: it is not installed either.
    revoke(stick, authorities(home, nation="FR"), "FR.SCL", reason=REASONS["superseded"], now=present())
    spoil(own_pair, stick)
    before = files(home)

    with pytest.raises((TrustError, KeyFileError)):
        come_back(home, stick)

    assert files(home) == before


def test_the_root_signs_nothing_but_new_keys_of_logs_and_cosigner(own_pair: Pair, stick: NodeHome) -> None:
    home = own_pair.fr
    carry_out(home, stick)
    with pytest.raises(CeremonyError, match="no statement waits"):
        unsigned_statement(stick)
    stated = read_published_as_stated(home.own).statement
    for wrong in (
        next_statement(stated, issued=present(), tls_spki=(bytes(32), b"\1" * 32)),
        next_statement(next_statement(stated, issued=present()), issued=present()),
    ):
        (stick.path / UNSIGNED_FILE).write_text(wrong.format())
        with pytest.raises(CeremonyError, match="not signed"):
            unsigned_statement(stick)
    (stick.path / UNSIGNED_FILE).write_text("entente/key-statement/v1\n")
    with pytest.raises(CeremonyError, match="canonical"):
        unsigned_statement(stick)


def test_the_three_commands_do_it_in_turn(own_pair: Pair, stick: NodeHome) -> None:
    home = own_pair.fr

    def run(*arguments: str | Path, code: int = 0, typed: str | None = None) -> str:
        result = CliRunner().invoke(app, ["keys", *map(str, arguments)], input=typed)
        assert result.exit_code == code, result.output
        return result.output

    run("carry-out", stick.path, "--home", home.path, "--rotate", "storage", code=2)
    assert "sign-statement" in run("carry-out", stick.path, "--home", home.path, "--rotate", "log")
    signing: list[str | Path] = ["sign-statement", stick.path, "--authority", home.authority.path]
    assert "not signed" in run(*signing, code=1, typed="n\n")
    assert "new keys of fr.gateway.test/audit" in run(*signing, "--yes")
    assert "installed key statement version 2" in run("carry-in", stick.path, "--home", home.path)
    assert "nothing on the stick is newer" in run("carry-in", stick.path, "--home", home.path)
