"""`entente audit reconcile`, `find`, `report` and `notes`, on exports of nodes that exchanged messages."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import audit, log
from tests.unit.audit.homes import make_homes

LOGS = {"fr": ("audit", "exchange/us", "mirror/us"), "us": ("audit", "exchange/fr", "mirror/fr")}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as an auditor has it: an export of each nation, and the public keys."""
    folder = tmp_path_factory.mktemp("case")
    homes = asyncio.run(make_homes(folder / "homes"))
    for nation, names in LOGS.items():
        home = homes[nation.upper()]
        for name in names:
            target = folder / nation / name.replace("/", "-")
            arguments = ["export", "--home", str(home), "--log", name, str(target)]
            assert CliRunner().invoke(log.app, arguments).exit_code == 0
    shutil.copytree(homes["FR"] / "trust", folder / "keys")
    return folder


def run(case: Path, command: str, *arguments: object) -> Result:
    trust = ["--trust", str(case / "keys")]
    return CliRunner().invoke(audit.app, [command, *map(str, arguments), *trust])


def json_of(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_two_nations_exports_are_reconciled(case: Path) -> None:
    result = run(case, "reconcile", case / "fr", case / "us")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("RECONCILED: 40 messages in ")
    assert "of which 20 were collected" in result.stdout
    found = json_of(run(case, "reconcile", case / "fr", case / "us", "--json"))
    assert [direction["messages"] for direction in found["directions"]] == [20, 20]
    assert found["differences"] == []


def test_one_nation_alone_is_not_reconciled(case: Path) -> None:
    result = run(case, "reconcile", case / "fr" / "exchange-us", case / "us")
    assert result.exit_code == 1
    assert "NOT RECONCILED" in result.stdout
    assert "only one nation brings us.gateway.test/exchange/fr" in result.stdout
    empty = run(case, "reconcile", case / "keys" / "own", case / "us")
    assert empty.exit_code == 1
    assert "holds no exported log" in empty.stderr
    twice = run(case, "reconcile", case / "fr", case / "us" / ".." / "fr")
    assert twice.exit_code == 2
    assert "give the folders of two nations" in twice.stderr


def test_who_read_a_message_and_what_became_of_it(case: Path) -> None:
    sent = json_of(run(case, "find", case / "fr", "--agency", "FR.DGDDI.SARC", "--json"))["answers"]
    messages = [answer for answer in sent if answer["kind"] == "message"]
    assert len(messages) == 20
    message_id = messages[0]["text"].split()[0]
    result = run(case, "find", case / "fr", case / "us", "--message", message_id)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("VERIFIED: ")
    words = [line.split()[3] for line in result.stdout.splitlines()[1:] if line.startswith("20")]
    assert {"event", "message", "receipt", "collected"} == set(words)
    assert "message.collected" in result.stdout


def test_nothing_found_is_a_no(case: Path) -> None:
    result = run(case, "find", case / "fr", "--role", "operator")
    assert result.exit_code == 1
    assert result.stdout.startswith("VERIFIED: 0 entries answer")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--message", "7"],
        ["--actor", "xyz"],
        ["--kem-key", "123"],
        ["--from", "yesterday"],
    ],
)
def test_a_question_that_cannot_be_asked_is_wrong_usage(case: Path, arguments: list[str]) -> None:
    assert run(case, "find", case / "fr", *arguments).exit_code == 2


def test_a_period_becomes_a_page(case: Path, tmp_path: Path) -> None:
    period = ("--from", "2020-01-01", "--to", "2100-01-01T00:00:00Z")
    for language, word in (("en", "VERIFIED"), ("fr", "VÉRIFIÉ")):
        page = tmp_path / f"{language}.html"
        result = run(case, "report", case / "fr", case / "us", *period, "-o", page, "--language", language)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("VERIFIED: 40 messages")
        assert f">{word}</p>" in page.read_text(encoding="utf-8")
    found = json_of(run(case, "report", case / "fr", *period, "-o", tmp_path / "x.html", "--json"))
    assert found["replies"] == {"not-due": 40}
    assert (found["file"], found["messages"], found["verified"]) == (str(tmp_path / "x.html"), 40, True)
    assert run(case, "report", case / "fr", *period, "-o", tmp_path / "no" / "x.html").exit_code == 1
    assert run(case, "report", case / "fr", *period, "-o", tmp_path / "x", "--language", "de").exit_code == 2


def test_a_page_of_a_log_that_was_altered_says_so(case: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(case / "fr" / "exchange-us", tmp_path / "log")
    path = next((folder / "tile/0").rglob("000*"))
    path = path if path.is_file() else next(path.iterdir())
    path.write_bytes(bytes(path.stat().st_size))
    page = tmp_path / "page.html"
    result = run(case, "report", folder, "--from", "2020-01-01", "--to", "2100-01-01", "-o", page)
    assert result.exit_code == 1
    assert result.stdout.startswith("NOT VERIFIED")
    assert ">NOT VERIFIED</p>" in page.read_text(encoding="utf-8")


def test_checkpoints_of_both_nations_lie_on_one_history(case: Path, tmp_path: Path) -> None:
    for nation, name in (("fr", "exchange-us"), ("us", "mirror-fr"), ("us", "exchange-fr")):
        shutil.copy(case / nation / name / "checkpoint", tmp_path / f"{nation}-{name}")
    files = sorted(tmp_path.iterdir())
    result = run(case, "notes", *files, "--log", case / "fr/exchange-us", "--log", case / "us/exchange-fr")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("VERIFIED 3 saved checkpoints: 2 logs, ")
    files[0].write_bytes(files[0].read_bytes().replace(b"/exchange/us\n", b"/exchange/de\n", 1))
    result = run(case, "notes", *files, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verdict"] == "NOT VERIFIED"


def test_whose_keys_count_has_to_be_said(case: Path) -> None:
    for command in (
        ["reconcile", case / "fr", case / "us"],
        ["find", case / "fr", "--role", "node"],
        ["notes", case / "fr/audit/checkpoint"],
        ["report", case / "fr", "--from", "2020-01-01", "--to", "2021-01-01", "-o", "x.html"],
    ):
        assert CliRunner().invoke(audit.app, [str(word) for word in command]).exit_code == 2
