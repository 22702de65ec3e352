"""The programs in scripts/ make, complete and judge the environment; here without installing anything."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return scripts/_environment.py, looking at a project of its own whose environment seems complete."""
    specification = importlib.util.spec_from_file_location(
        "_environment", ROOT / "scripts" / "_environment.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "LOCKS", {"run": tmp_path / "run.lock", "dev": tmp_path / "dev.lock"})
    for name in ("run.lock", "dev.lock", "pyproject.toml", ".venv/bin/python", ".venv/bin/entente"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "var").mkdir()
    return module


def stamp(environment: ModuleType, kind: str) -> None:
    environment.stamp_path(kind).write_text(environment.expected_stamp(kind))


@pytest.mark.parametrize("kind", ["run", "dev"])
def test_an_environment_without_a_stamp_is_not_current(environment: ModuleType, kind: str) -> None:
    assert not environment.is_current(kind)


@pytest.mark.parametrize("kind", ["run", "dev"])
def test_an_environment_with_its_stamp_is_current(environment: ModuleType, kind: str) -> None:
    stamp(environment, kind)
    assert environment.is_current(kind)


def test_what_serves_development_serves_the_gateway_but_not_the_other_way_round(
    environment: ModuleType,
) -> None:
    stamp(environment, "dev")
    assert environment.is_current("run")
    environment.stamp_path("dev").unlink()
    stamp(environment, "run")
    assert not environment.is_current("dev")


@pytest.mark.parametrize("changed", ["dev.lock", "pyproject.toml"])
def test_a_change_of_what_decides_makes_an_environment_stale(environment: ModuleType, changed: str) -> None:
    stamp(environment, "dev")
    (environment.ROOT / changed).write_text("another")
    assert not environment.is_current("dev")


def test_a_move_makes_an_environment_stale(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stamp(environment, "run")
    monkeypatch.setattr(environment, "ROOT", tmp_path / ".")
    assert environment.is_current("run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "pyproject.toml").write_text("pyproject.toml")
    monkeypatch.setattr(environment, "ROOT", tmp_path / "elsewhere")
    assert not environment.is_current("run")


@pytest.mark.parametrize("missing", [".venv/bin/python", ".venv/bin/entente"])
def test_an_environment_that_lost_a_program_is_not_current(environment: ModuleType, missing: str) -> None:
    stamp(environment, "run")
    (environment.ROOT / missing).unlink()
    assert not environment.is_current("run")


def test_an_installation_that_did_not_finish_is_never_current(environment: ModuleType) -> None:
    stamp(environment, "run")
    environment.marker_path().touch()
    assert not environment.is_current("run")


def test_a_python_that_does_not_run_is_not_usable(environment: ModuleType) -> None:
    assert not environment.is_usable()
    python = environment.VENV / "bin" / "python"
    python.unlink()
    python.symlink_to(sys.executable)
    assert environment.is_usable()


def test_removing_an_environment_leaves_nothing(environment: ModuleType) -> None:
    (environment.ROOT / "var" / "removed-environment" / "older").mkdir(parents=True)
    environment.remove()
    assert not environment.VENV.exists()
    assert list((environment.ROOT / "var").iterdir()) == []


def test_a_step_that_fails_shows_what_it_printed(
    environment: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="ended with status 3"):
        environment.run(sys.executable, "-c", "import sys; print('what went wrong'); sys.exit(3)")
    assert "what went wrong" in capsys.readouterr().err


def test_a_step_that_works_is_quiet(environment: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    environment.run(sys.executable, "-c", "print('nobody wants to know')")
    assert capsys.readouterr() == ("", "")


# --- finding a Python ------------------------------------------------------------------

NAMES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python")


def find_python(folder: Path, *, python3: str) -> subprocess.CompletedProcess[str]:
    """Return what the scripts find when `python3` is this program and no other Python is there."""
    for name in NAMES:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{python3 if name == 'python3' else 'exit 127'}\n")
        program.chmod(0o755)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return subprocess.run(
        ("bash", "-c", ". scripts/_setup.sh; find_python"),
        cwd=ROOT,
        env=variables | {"PATH": f"{folder}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_enough_python_is_found(tmp_path: Path) -> None:
    done = find_python(tmp_path, python3=f'exec "{sys.executable}" "$@"')
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == sys.executable


def test_a_missing_venv_module_gets_a_sentence_that_names_the_package(tmp_path: Path) -> None:
    done = find_python(
        tmp_path, python3=f'case "$*" in *ensurepip*) exit 1 ;; esac; exec "{sys.executable}" "$@"'
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_old_python_gets_a_sentence_that_says_which_is_needed(tmp_path: Path) -> None:
    done = find_python(
        tmp_path, python3='case "$*" in *version_info\\ \\<*) exit 1 ;; *%*) echo 3.9 ;; esac; exit 0'
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer; only Python 3.9 was found" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_python_at_all_gets_a_sentence_too(tmp_path: Path) -> None:
    done = find_python(tmp_path, python3="exit 127")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer; none was found" in done.stderr
