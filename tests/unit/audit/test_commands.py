"""`entente log` and `entente audit`, on the homes of nodes that have exchanged messages."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.cli import audit, log
from tests.databases import tampering
from tests.unit.audit.homes import exchange, make_homes, signed_audit_logs, write_home
from tests.world import World

LOGS = ["audit", "exchange/us", "mirror/us"]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return asyncio.run(make_homes(tmp_path_factory.mktemp("homes")))


@pytest.fixture
def home(homes: dict[str, Path]) -> Path:
    return homes["FR"]


@pytest.fixture
def copy(homes: dict[str, Path], tmp_path: Path) -> Path:
    """Return a home of its own whose database a test may damage."""
    home = tmp_path / "home"
    shutil.copytree(homes["FR"], home)
    data = home / "data"
    data.mkdir()
    text = (home / "gateway.toml").read_text(encoding="utf-8")
    for line in text.splitlines():
        name, _, value = line.partition(" = ")
        if name in {"url", "high_water_file"} and "/" in value and "https" not in value:
            old = Path("/" + value.strip('"').split("///")[-1].lstrip("/"))
            shutil.copy(old, data / old.name)
            new = f"data/{old.name}" if name == "high_water_file" else f"sqlite:///data/{old.name}"
            text = text.replace(value, f'"{new}"')
    (home / "gateway.toml").write_text(text, encoding="utf-8")
    return home


def run(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def json_of(result: Result) -> Any:
    return json.loads(result.stdout)


# --- log ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGS)
def test_each_log_is_exported_and_verified_from_files_alone(home: Path, tmp_path: Path, name: str) -> None:
    result = run(log.app, "export", "--home", home, "--log", name, tmp_path / "log")
    assert result.exit_code == 0, result.output
    assert "entries" in result.stdout
    trust = tmp_path / "trust"
    trust.mkdir()
    for cosigner in ([], ["--cosigner"]):
        keys = run(log.app, "vkeys", "--home", home, "--log", name, *cosigner)
        assert keys.exit_code == 0
        (trust / f"{len(cosigner)}.vkeys").write_text(keys.stdout, encoding="ascii")
    result = run(audit.app, "verify", tmp_path / "log", "--trust", trust)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("VERIFIED ")


def test_a_second_export_adds_nothing_to_a_log_that_has_not_grown(home: Path, tmp_path: Path) -> None:
    arguments = ("export", "--home", home, "--log", "exchange/us", tmp_path / "log", "--json")
    first, second = json_of(run(log.app, *arguments)), json_of(run(log.app, *arguments))
    assert first["size"] == first["added"] == second["size"] > 20
    assert second["added"] == 0


def test_an_export_can_end_at_the_newest_cosigned_checkpoint(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    result = run(log.app, "export", "--home", home, "--log", "exchange/us", "--cosigned", folder)
    assert result.exit_code == 0, result.output
    result = run(audit.app, "verify", folder, "--home", home)
    assert "cosigned by us.gateway.test 2026-" in result.stdout.splitlines()[0]
    whole = json_of(run(log.app, "export", "--home", home, "--log", "exchange/us", folder, "--json"))
    assert whole["added"] > 0


def test_an_export_into_a_folder_of_something_else_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    result = run(log.app, "export", "--home", home, "--log", "audit", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("export-refused: ")


def test_a_log_that_does_not_exist_is_refused_with_the_names_of_those_that_do(home: Path) -> None:
    result = run(log.app, "export", "--home", home, "--log", "exchange/de", home / "x")
    assert result.exit_code == 1
    assert "audit, exchange/us, mirror/us" in result.stderr


def test_verifier_keys_are_two_lines_ed25519_first(home: Path) -> None:
    for name, cosigner, label in (
        ("audit", False, "fr.gateway.test/audit"),
        ("exchange/us", False, "fr.gateway.test/exchange/us"),
        ("mirror/us", False, "us.gateway.test/exchange/fr"),
        ("audit", True, "us.gateway.test"),
        ("exchange/us", True, "us.gateway.test"),
        ("mirror/us", True, "fr.gateway.test"),
    ):
        result = run(log.app, "vkeys", "--home", home, "--log", name, *(["--cosigner"] if cosigner else []))
        lines = result.stdout.splitlines()
        assert [line.split("+")[0] for line in lines] == [label, label]
        assert len(lines[0]) < len(lines[1])


@pytest.mark.parametrize("name", ["exchange/fr", "mirror/fr", "exchange", "AUDIT", "", "../audit"])
def test_keys_of_a_log_that_cannot_exist_are_refused(home: Path, name: str) -> None:
    result = run(log.app, "vkeys", "--home", home, "--log", name)
    assert result.exit_code == 1
    assert result.stderr == "unknown-log-name: a log is audit, exchange/us or mirror/us\n"


def test_logs_are_listed_by_the_names_that_commands_take(home: Path) -> None:
    rows = json_of(run(log.app, "list", "--home", home, "--json"))
    assert [row["name"] for row in rows] == LOGS
    assert all(row["signed_size"] for row in rows)
    assert len(run(log.app, "list", "--home", home).stdout.splitlines()) == 3


def test_the_newest_entries_are_told_one_a_line(home: Path) -> None:
    lines = run(log.app, "tail", "--home", home, "--log", "exchange/us", "-n", "5").stdout.splitlines()
    assert len(lines) == 5
    everything = run(log.app, "tail", "--home", home, "--log", "exchange/us", "-n", "1000", "--json")
    entries = [json.loads(line) for line in everything.stdout.splitlines()]
    assert [entry["index"] for entry in entries] == list(range(len(entries)))
    assert [entry["kind"] for entry in entries[:3]] == ["key-statement", "kem-key", "agreement"]
    assert {"message", "receipt", "collected"} <= {entry["kind"] for entry in entries}


async def test_logs_are_read_beside_running_nodes(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    async with world:
        await exchange(world, 5)
        await signed_audit_logs(world)
        home = write_home(world, "FR", tmp_path / "fr")
        result = await asyncio.to_thread(run, audit.app, "verify", "--home", home)
        assert result.exit_code == 0, result.output
        folder = tmp_path / "log"
        arguments = ("export", "--home", home, "--log", "exchange/us", folder)
        before = await asyncio.to_thread(run, log.app, *arguments)
        await exchange(world, 5)
        after = await asyncio.to_thread(run, log.app, *arguments)
        assert (before.exit_code, after.exit_code) == (0, 0)
        result = await asyncio.to_thread(run, audit.app, "verify", folder, "--home", home)
        assert result.exit_code == 0, result.output


# --- audit --------------------------------------------------------------------------


@pytest.mark.parametrize("nation", ["FR", "US"])
def test_all_logs_of_a_home_are_verified_and_compared(homes: dict[str, Path], nation: str) -> None:
    result = run(audit.app, "verify", "--home", homes[nation])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"VERIFIED {nation.lower()}.gateway.test: 3 logs, ")
    data = json_of(run(audit.app, "verify", "--home", homes[nation], "--json"))
    assert data["verdict"] == "VERIFIED"
    held = {check["name"].split(" in ")[0] for check in data["checks"] if check["outcome"] == "held"}
    assert {"receipts", "answers"} <= held
    assert sum(name.startswith("high water of ") for name in held) >= 2


def test_exports_of_both_nations_are_compared_with_each_other(homes: dict[str, Path], tmp_path: Path) -> None:
    folders = []
    for nation, names in (("FR", ["exchange/us", "mirror/us"]), ("US", ["exchange/fr", "mirror/fr"])):
        for name in names:
            folders.append(tmp_path / f"{nation}-{name.replace('/', '-')}")
            result = run(log.app, "export", "--home", homes[nation], "--log", name, folders[-1])
            assert result.exit_code == 0
    result = run(audit.app, "verify", *folders, "--trust", homes["FR"] / "trust")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("VERIFIED 4 exported logs: 4 logs, ")
    assert result.stdout.count("lie on one history") == 2


def test_an_altered_export_is_not_verified(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    run(log.app, "export", "--home", home, "--log", "audit", folder)
    tile = next((folder / "tile/0").rglob("*.p/*"))
    tile.write_bytes(tile.read_bytes()[:-1] + b"\x00")
    result = run(audit.app, "verify", folder, "--home", home)
    assert result.exit_code == 1
    assert result.stdout.startswith("NOT VERIFIED fr.gateway.test/audit: tiles: ")
    data = json_of(run(audit.app, "verify", folder, "--home", home, "--json"))
    assert data["verdict"] == "NOT VERIFIED"
    assert data["reason"].startswith("tiles: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["{log}"],
        ["--trust", "{trust}"],
        ["{log}", "--trust", "{log}/nowhere"],
        ["{log}/nowhere", "--trust", "{trust}"],
        ["{log}/checkpoint", "--trust", "{trust}"],
        ["--home", "{log}/nowhere"],
        ["--home", "{home}", "--trust", "{trust}"],
        ["--unknown"],
    ],
)
def test_wrong_usage_has_a_status_of_its_own(home: Path, tmp_path: Path, arguments: list[str]) -> None:
    run(log.app, "export", "--home", home, "--log", "audit", tmp_path / "log")
    values = {"log": tmp_path / "log", "trust": home / "trust", "home": home}
    result = run(audit.app, "verify", *(argument.format(**values) for argument in arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_keys_that_cannot_be_read_are_not_verified(home: Path, tmp_path: Path) -> None:
    run(log.app, "export", "--home", home, "--log", "audit", tmp_path / "log")
    (tmp_path / "keys.vkeys").write_text("garbage\n", encoding="ascii")
    result = run(audit.app, "verify", tmp_path / "log", "--trust", tmp_path / "keys.vkeys")
    assert result.exit_code == 1
    assert result.stdout.startswith("NOT VERIFIED anything: trust-unreadable: ")


def test_a_home_without_a_database_is_not_verified(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "trust", tmp_path / "trust")
    text = (home / "gateway.toml").read_text(encoding="utf-8").replace("gateway.db", "absent.db")
    (tmp_path / "gateway.toml").write_text(text, encoding="utf-8")
    result = run(audit.app, "verify", "--home", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith("NOT VERIFIED ")
    assert "Traceback" not in result.output


# --- a database that somebody changed -------------------------------------------------

OF_LOG = r"log_id = (SELECT id FROM logs WHERE origin = 'fr.gateway.test/\1')"


def change(home: Path, *statements: str) -> None:
    """Change the database as somebody with access to the file can."""
    with tampering(home / "data/gateway.db") as database:
        for short in statements:
            statement = re.sub(r"log = '(.*)'", OF_LOG, short)
            changed = database.execute(statement).rowcount
            assert changed != 0, statement


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(
            ["UPDATE entries SET entry = x'00' WHERE leaf_index = 5 AND log = 'exchange/us'"], id="altered"
        ),
        pytest.param(["DELETE FROM entries WHERE leaf_index = 5 AND log = 'exchange/us'"], id="deleted"),
        pytest.param(
            [
                "DELETE FROM entries WHERE leaf_index = 5 AND log = 'audit'",
                "UPDATE entries SET leaf_index = leaf_index - 1 WHERE leaf_index > 5 AND log = 'audit'",
            ],
            id="closed gap",
        ),
        pytest.param(
            [
                "UPDATE entries SET leaf_index = -1 WHERE leaf_index = 5 AND log = 'exchange/us'",
                "UPDATE entries SET leaf_index = 5 WHERE leaf_index = 6 AND log = 'exchange/us'",
                "UPDATE entries SET leaf_index = 6 WHERE leaf_index = -1 AND log = 'exchange/us'",
            ],
            id="reordered",
        ),
        pytest.param(["UPDATE logs SET edge = zeroblob(length(edge))"], id="edge"),
        pytest.param(["UPDATE logs SET size = 1, edge = x'" + "00" * 32 + "'"], id="cut"),
        pytest.param(["UPDATE whole_notes SET note = x'00'"], id="note"),
        pytest.param(["DELETE FROM notes"], id="no note"),
        pytest.param(["DELETE FROM notes WHERE log = 'exchange/us'"], id="no note of one log"),
    ],
)
def test_a_changed_database_is_not_verified(copy: Path, statements: list[str]) -> None:
    assert run(audit.app, "verify", "--home", copy).exit_code == 0
    change(copy, *statements)
    result = run(audit.app, "verify", "--home", copy)
    assert result.exit_code == 1, result.output
    assert result.stdout.startswith("NOT VERIFIED ")
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_entries_that_nobody_has_signed_are_counted_and_not_covered(copy: Path) -> None:
    change(copy, "DELETE FROM notes WHERE log = 'audit'")
    data = json_of(run(audit.app, "verify", "--home", copy, "--json"))
    (end,) = (check for check in data["checks"] if check["name"] == "end of audit")
    assert end["outcome"] == "not checked"
    assert re.fullmatch(r"[1-9][0-9]+ entries are not signed yet", end["detail"])


def test_a_database_that_was_rolled_back_is_named(copy: Path) -> None:
    marks = (copy / "data/high-water").read_bytes()
    assert marks
    change(copy, "DELETE FROM entries WHERE leaf_index > 4", "UPDATE logs SET size = 5, edge = zeroblob(64)")
    data = json_of(run(audit.app, "verify", "--home", copy, "--json"))
    failed = {check["name"]: check["detail"] for check in data["checks"] if check["outcome"] == "failed"}
    assert "it was rolled back" in failed["high water of fr.gateway.test/exchange/us"]
