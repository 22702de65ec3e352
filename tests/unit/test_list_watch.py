"""A running node reads a reference list that is replaced, and keeps what it had if the new one is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.catalogue import read_lists
from gateway.errors import StoreError
from gateway.list_watch import ListWatch
from gateway.node.runtime import Node
from gateway.ports import Step
from tests.unit.node.conftest import world
from tests.world import World

__all__ = ["world"]

HS = {
    "title": "HS",
    "x-title-fr": "SH",
    "renew_by": "2030-12-31",
    "source": "made for a test",
    "complete": True,
    "groups": {"85": "1712"},
}


def put(folder: Path, edition: str) -> None:
    """Put a list as an operator does: written beside its place, and renamed."""
    folder.mkdir(exist_ok=True)
    beside = folder / "hs.part"
    beside.write_text(json.dumps({**HS, "edition": edition}))
    beside.replace(folder / "hs.json")


async def looked(watch: ListWatch) -> list[dict[str, Any]]:
    """Let a watch look once and return what it said."""
    with capture_logs() as logs:
        await watch.look()
    return [dict(item) for item in logs if item["event"].startswith("lists.")]


def edition_of(node: Node) -> str:
    return node._admission._preparation.lists["hs"].edition.name


async def events(world: World) -> list[str]:
    return [event.event for event in await world.events("FR") if event.event == "lists.renewed"]


@pytest.fixture
def node(world: World) -> Node:
    return world.node("FR")


async def test_lists_are_read_again_when_one_is_put_replaced_or_removed(
    world: World, node: Node, tmp_path: Path
) -> None:
    node.use_lists(read_lists())
    folder = tmp_path / "lists"
    watch = ListWatch(folder, node, clock=world.clock)
    assert await looked(watch) == []

    put(folder, "2027")
    (said,) = await looked(watch)
    assert (said["event"], said["hs"], edition_of(node)) == ("lists.renewed", "2027", "2027")
    assert said["unlocode"] == "2023-1"
    assert await looked(watch) == []

    put(folder, "2028")
    await looked(watch)
    assert edition_of(node) == "2028"
    (folder / "hs.json").unlink()
    await looked(watch)
    assert edition_of(node) == "2022"
    assert await events(world) == ["lists.renewed"] * 3


async def test_lists_that_cannot_be_put_on_record_are_not_used(
    world: World, node: Node, tmp_path: Path
) -> None:
    node.use_lists(read_lists())
    folder = tmp_path / "lists"
    watch = ListWatch(folder, node, clock=world.clock)
    world.break_write("FR", Step.AUDITED, persisted=False)
    put(folder, "2027")
    with pytest.raises(StoreError):
        await watch.look()
    assert edition_of(node) == "2022"


async def test_what_is_no_list_is_told_once_and_changes_nothing(
    world: World, node: Node, tmp_path: Path
) -> None:
    node.use_lists(read_lists())
    folder = tmp_path / "lists"
    watch = ListWatch(folder, node, clock=world.clock)
    put(folder, "2027")
    await looked(watch)

    (folder / "hs.json").write_text('{"edition": "secret"')
    (said,) = await looked(watch)
    assert said["event"] == "lists.refused"
    assert "hs.json" in said["error"]
    assert "secret" not in said["error"]
    assert await looked(watch) == []
    assert edition_of(node) == "2027"

    put(folder, "2028")
    assert [item["event"] for item in await looked(watch)] == ["lists.renewed"]
    assert edition_of(node) == "2028"
    assert await events(world) == ["lists.renewed"] * 2
