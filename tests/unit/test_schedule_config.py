"""A planned change of the catalogue, as an operator writes it down."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.app import read_schedule
from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.config import load_config
from gateway.core.message.registry import CatalogueError
from gateway.errors import ConfigError
from gateway.keyring.ceremony import NodePlan
from gateway.keyring.config_file import Ports, config_text, write_config
from gateway.keyring.home import NodeHome

PLAN = NodePlan(
    nation="FR",
    node="fr.gateway.example",
    peer_nation="US",
    peer_node="us.gateway.example",
    test=False,
)
FROM = "2027-01-01T00:00:00Z"
FROM_MS = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1_000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_config(
        NodeHome(path=tmp_path),
        config_text(PLAN, Ports.from_base(9_440, "FR"), peer_url="https://us.gateway.example:9452"),
    )
    return tmp_path


def write(home: Path, *lines: str) -> None:
    with (home / "gateway.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(("", "[agreement]", *lines, "")))


def test_without_a_plan_the_catalogue_of_the_installation_is_in_force_for_good(home: Path) -> None:
    schedule = read_schedule(home, load_config(home))
    assert schedule.at(2**50) is read_catalogue()
    assert schedule.following is None


def test_a_plan_names_a_folder_and_a_time(home: Path) -> None:
    write(home, f'next_catalogue = "{catalogue_folder()}"', f"next_from = {FROM}")
    schedule = read_schedule(home, load_config(home))
    assert (schedule.following, schedule.change_ms) == (read_catalogue(), FROM_MS)


def test_another_folder_may_be_in_force_meanwhile(home: Path) -> None:
    write(home, f'catalogue = "{catalogue_folder()}"')
    assert read_schedule(home, load_config(home)).catalogue is read_catalogue()


@pytest.mark.parametrize(
    "lines",
    [
        (f"next_from = {FROM}",),
        ('next_catalogue = "schemas-2"',),
        ('next_catalogue = "schemas-2"', "next_from = 2027-01-01T00:00:00"),
        ('next_catalogue = "schemas-2"', 'next_from = "soon"'),
        ('following = "schemas-2"',),
    ],
)
def test_half_a_plan_is_refused(home: Path, lines: tuple[str, ...]) -> None:
    write(home, *lines)
    with pytest.raises(ConfigError, match="agreement"):
        load_config(home)


def test_a_plan_whose_folder_holds_no_catalogue_is_refused_at_the_start(home: Path) -> None:
    write(home, 'next_catalogue = "nowhere"', f"next_from = {FROM}")
    with pytest.raises(CatalogueError):
        read_schedule(home, load_config(home))
