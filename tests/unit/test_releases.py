"""The list of releases says what the history, the changelog and the version of this tree say."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

import tests.releases as module
from tests.releases import ROOT, NoHistoryError, is_behind, last_release, releases, require_history


def test_each_release_is_a_commit_behind_this_one() -> None:
    last_release()
    for release in releases():
        assert re.fullmatch(r"[0-9a-f]{40}", release.commit)
        assert is_behind(release), f"{release.version}: its commit is not in the history of this one"


def test_each_release_has_its_own_version_in_its_own_tree() -> None:
    last_release()
    for release in releases():
        text = subprocess.run(
            ("git", "show", f"{release.commit}:pyproject.toml"), cwd=ROOT, capture_output=True, check=True
        ).stdout.decode()
        assert tomllib.loads(text)["project"]["version"] == release.version


def test_the_newest_release_is_listed_first_and_this_tree_is_past_it() -> None:
    versions = [Version(release.version) for release in releases()]
    assert versions == sorted(versions, reverse=True)
    assert len(set(versions)) == len(versions)
    here = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert Version(here) >= versions[0]


def test_the_changelog_and_the_list_name_the_same_releases() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(\d[^\]]*)\] - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    assert headings == [(release.version, release.date.isoformat()) for release in releases()]


def test_a_copy_without_its_history_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(NoHistoryError, match="no clone"):
        require_history()

    whole, shallow = tmp_path / "whole", tmp_path / "shallow"
    author = ("-c", "user.name=test", "-c", "user.email=test@example.test")
    _git("init", "--quiet", whole)
    for message in ("first", "second"):
        _git("-C", whole, *author, "commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", message)
    _git("clone", "--quiet", "--depth", "1", whole.as_uri(), shallow)
    monkeypatch.setattr(module, "ROOT", shallow)
    with pytest.raises(NoHistoryError, match="git fetch --unshallow"):
        require_history()


def _git(*arguments: str | Path) -> None:
    subprocess.run(("git", *map(str, arguments)), check=True, capture_output=True)
