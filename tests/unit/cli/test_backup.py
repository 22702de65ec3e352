"""`entente backup-key`, `backup` and `restore`: what they print, and what they refuse in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.storage.notices import waiting
from tests.backup_site import PASSPHRASE, Site, copy_site, files_of, make_template


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_template(tmp_path_factory.mktemp("backup"))


@pytest.fixture
def site(template: tuple[Path, Path], tmp_path: Path) -> Site:
    return copy_site(template, tmp_path / "fr")


@pytest.fixture
def phrase(tmp_path: Path) -> Path:
    path = tmp_path / "phrase"
    path.touch(mode=0o600)
    path.write_bytes(PASSPHRASE + b"\n")
    return path


def run(*arguments: str | Path, code: int = 0, given: bytes | None = None) -> Result:
    result = CliRunner().invoke(app, [str(item) for item in arguments], input=given)
    assert result.exit_code == code, result.output
    return result


def test_a_backup_goes_through_standard_output_and_input(site: Site, tmp_path: Path, phrase: Path) -> None:
    made = run("backup", "-", "--home", site.home.path, "--reason", "daily")
    assert made.stdout_bytes.startswith(b"entente-backup/1\n")
    assert "fr.gateway.test/exchange/us: 300 entries" in made.stderr
    new = tmp_path / "new"
    key = ("--key", site.folder, "--passphrase-file", phrase)
    restored = run("restore", "-", "--home", new, *key, "--reason", "a test", given=made.stdout_bytes)
    assert f"restored  {new / 'data' / 'gateway.db'}" in restored.stdout
    assert len(list(waiting(site.home.data))) == 1


def test_for_machines_a_backup_is_described_in_json(site: Site, tmp_path: Path, phrase: Path) -> None:
    file = tmp_path / "backup"
    made = json.loads(run("backup", file, "--home", site.home.path, "--reason", "daily", "--json").stdout)
    assert [(log["origin"], log["size"]) for log in made["logs"]] == [("fr.gateway.test/exchange/us", 300)]
    assert file.stat().st_mode & 0o777 == 0o600
    key = ("--key", site.folder, "--passphrase-file", phrase)
    assert (
        json.loads(run("restore", file, "--check", "--home", site.home.path, *key, "--json").stdout) == made
    )


def test_a_file_that_exists_is_not_replaced(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_bytes(b"precious")
    refused = run("backup", file, "--home", site.home.path, "--reason", "daily", code=1)
    assert refused.stderr == "backup-refused: there is a file of this name already\n"
    assert file.read_bytes() == b"precious"
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_is_not_there_is_said_in_one_line(site: Site, tmp_path: Path) -> None:
    refused = run("backup", tmp_path / "no" / "backup", "--home", site.home.path, "--reason", "daily", code=1)
    assert refused.stderr == "backup-refused: the backup could not be written: No such file or directory\n"
    assert not list(waiting(site.home.data))


def test_a_wrong_passphrase_writes_nothing(site: Site, tmp_path: Path, phrase: Path) -> None:
    file = tmp_path / "backup"
    run("backup", file, "--home", site.home.path, "--reason", "daily")
    phrase.write_text("another passphrase\n")
    key = ("--key", site.folder, "--passphrase-file", phrase)
    refused = run("restore", file, "--home", tmp_path / "new", *key, "--reason", "a test", code=1)
    assert "the passphrase is wrong" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_a_backup_that_is_not_there_is_said_in_one_line(site: Site, tmp_path: Path, phrase: Path) -> None:
    key = ("--key", site.folder, "--passphrase-file", phrase)
    words = ("restore", tmp_path / "none", "--home", tmp_path / "new", *key, "--reason", "a test")
    refused = run(*words, code=1)
    assert refused.stderr == "backup-refused: the backup cannot be read: No such file or directory\n"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_a_reason_is_needed(site: Site, tmp_path: Path, reason: str) -> None:
    before = files_of(site.home.path)
    run("backup", tmp_path / "backup", "--home", site.home.path, "--reason", reason, code=2)
    assert files_of(site.home.path) == before


def test_a_key_is_made_once_and_says_what_to_do_next(site: Site, tmp_path: Path, phrase: Path) -> None:
    words = ("--home", site.home.path, "--passphrase-file", phrase)
    refused = run("backup-key", tmp_path / "second", *words, code=1)
    assert "--replace makes another" in refused.stderr
    made = run("backup-key", tmp_path / "second", *words, "--replace")
    assert "Take it away, make a copy" in made.stdout
    assert {path.name for path in (tmp_path / "second").iterdir()} == {
        "unlock.key",
        "backup.key",
        "backup-sender.key",
    }
