"""Both nations' homes, made once and copied for whoever changes them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.keyring.demo import make_demo_homes
from gateway.keyring.home import NodeHome
from tests.unit.keyring.helpers import Pair


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("homes")
    make_demo_homes(base, now=datetime.now(UTC))
    return base


@pytest.fixture(scope="session")
def pair(made: Path) -> Pair:
    """Homes that nobody changes."""
    return Pair(fr=NodeHome(path=made / "fr"), us=NodeHome(path=made / "us"))


@pytest.fixture
def own_pair(made: Path, tmp_path: Path) -> Pair:
    """Homes of this test alone."""
    base = tmp_path / "homes"
    shutil.copytree(made, base)
    return Pair(fr=NodeHome(path=base / "fr"), us=NodeHome(path=base / "us"))
